"""One connection that publishes to JetStream and is thrown away when it breaks.

nats-py reconnects by itself and then sends what it had buffered, in front of what its user sends
again: events would overtake each other. So a link never reconnects. Whoever uses it opens a new one
and sends again, in order, whatever the old one left without an answer.
"""

import asyncio
import base64
import json
import re
import ssl
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import nats
import nats.errors
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg

from operations.errors import Denied, Rejected, Retryable
from operations.events.base import MAX_BYTES

CONNECT_SECONDS = 2
PING_SECONDS = 5
PENDING_BYTES = 64 * 1024 * 1024
BATCHES_DISABLED = 10174  # error code of a stream without allow_atomic
BATCHES_UNKNOWN = -1  # our own: the server is older than 2.12 and stored them one by one

# Printable ASCII without space, wildcards, and what the server would escape in its refusals.
_TOKEN = re.compile(r"[!#-)+-=?-\[\]-~]+")
_EVENT_ID = re.compile(r"[!-~]{1,128}")

# The client turns the server's text into lower case, the subject too.
_VIOLATION = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')


class Outgoing(Struct):
    """A message on its way."""

    subject: str
    payload: bytes
    headers: dict[str, str]


def address(subject: str, payload: bytes, event_id: str) -> Outgoing:
    """Return a message that is stored once. Raises Rejected for one that never can be."""
    if len(payload) > MAX_BYTES:
        raise Rejected(f"the event on {subject} has {len(payload)} bytes; the limit is {MAX_BYTES}")
    if len(subject) > 512 or not all(_TOKEN.fullmatch(token) for token in subject.split(".")):
        raise Rejected(f"{subject[:200]!r} is not a subject that one can publish on")
    if not _EVENT_ID.fullmatch(event_id):
        raise Rejected(f"{event_id[:200]!r} cannot be the id of an event")
    return Outgoing(subject, payload, {"Nats-Msg-Id": f"{subject}:{event_id}"})


class Answer(Struct, frozen=True):
    """What the server said about one message: stored, refused by rights, or not stored."""

    sequence: int = 0
    duplicate: bool = False
    denied: bool = False
    error: str = ""
    error_code: int = 0
    batch: str = ""
    stream: str = ""


class Access(Struct, frozen=True, kw_only=True):
    """Where to connect and as whom. The user may hear `inbox`.>, by default _INBOX_<user>.>."""

    url: str
    user: str = ""
    password: str = ""
    inbox: str = ""
    ca_file: str = ""


class Link:
    """A connection with an inbox of its own. Use `open`; one `send` at a time."""

    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._broken = asyncio.Event()
        self._outgoing: Sequence[Outgoing] = ()
        self._answers: dict[int, Answer] = {}
        self._expected = 0
        self._round = 0
        self._answered = asyncio.Event()
        self._violation = ""
        self._raw_reply = b""

    @classmethod
    async def open(cls, access: Access) -> "Link":
        """Connect. Raises Retryable when nobody answers, Denied for a wrong password or right."""
        prefix = f"{access.inbox or f'_INBOX_{access.user}'}.{uuid.uuid4().hex}"
        client = Client()
        link = cls(client, prefix)
        tls = ssl.create_default_context(cafile=access.ca_file) if access.ca_file else None
        try:
            await client.connect(
                access.url,
                user=access.user or None,
                password=access.password or None,
                tls=tls,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=CONNECT_SECONDS,
                ping_interval=PING_SECONDS,
                max_outstanding_pings=2,
                pending_size=PENDING_BYTES,
                error_cb=link._on_error,
                closed_cb=link._on_closed,
            )
            await client.subscribe(f"{prefix}.*.*", cb=link._on_reply)
            # nats-py sends the PING of a flush before what it has buffered, so only a second one
            # comes back after the server has judged the subscription.
            await client.flush(CONNECT_SECONDS)
            await client.flush(CONNECT_SECONDS)
        except (OSError, TimeoutError, nats.errors.Error) as error:
            await link.close()
            if "authorization violation" in str(error).lower():
                raise Denied(
                    f"{access.url} refuses user {access.user!r}; check user and password"
                ) from error
            raise Retryable(f"{access.url} cannot be reached: {error or type(error)}") from error
        if link._violation:
            await link.close()
            raise Denied(
                f"user {access.user!r} may not receive replies on {prefix.rpartition('.')[0]}.>; "
                "give it that right or set the inbox prefix that it has"
            )
        return link

    async def send(
        self, outgoing: Sequence[Outgoing], timeout_seconds: float
    ) -> list[Answer | None]:
        """Publish in order and return the answer to each; None for one without an answer.

        Fewer answers than messages mean that the connection broke or the time was over: close the
        link and send again on a new one.
        """
        self._begin(outgoing, len(outgoing))
        with suppress(nats.errors.Error, OSError):
            for place, message in enumerate(outgoing):
                await self._publish(message, message.headers, place)
        await self._wait(timeout_seconds)
        return [self._answers.get(place) for place in range(len(outgoing))]

    async def send_batch(
        self, outgoing: Sequence[Outgoing], timeout_seconds: float
    ) -> list[Answer | None]:
        """Publish as one atomic batch (ADR-50, server 2.12): all are stored in a row, or none.

        Returns the answer to each; when the batch was refused, each has the same error.
        """
        batch = uuid.uuid4().hex
        last = len(outgoing) - 1
        self._begin(outgoing, 1)
        with suppress(nats.errors.Error, OSError):
            for place, message in enumerate(outgoing):
                headers = message.headers | {
                    "Nats-Batch-Id": batch,
                    "Nats-Batch-Sequence": str(place + 1),
                }
                if place == last:
                    headers["Nats-Batch-Commit"] = "1"
                await self._publish(message, headers, place if place == last else None)
        await self._wait(timeout_seconds)
        answers = self._answers
        final = answers.get(last)
        if any(answer.denied for answer in answers.values()):
            rest = Answer(error="the batch misses a message that was denied")
            return [answers.get(place, rest) for place in range(len(outgoing))]
        if final is None:
            return [None] * len(outgoing)
        if final.error:
            return [final] * len(outgoing)
        if final.batch != batch:  # a server that knows no batches stored them one by one
            return [Answer(error="the server knows no batches", error_code=BATCHES_UNKNOWN)] * len(
                outgoing
            )
        first = final.sequence - last
        return [
            Answer(sequence=first + place, stream=final.stream) for place in range(len(outgoing))
        ]

    async def stored(
        self, stream: str, sequence: int, timeout_seconds: float
    ) -> tuple[str, bytes, bytes] | None:
        """Return subject, header block and payload of a message; None when it may not be read."""
        subject = f"$JS.API.STREAM.MSG.GET.{stream}"
        request = Outgoing(subject, json.dumps({"seq": sequence}).encode(), {})
        self._begin([request], 1)
        self._raw_reply = b""
        with suppress(nats.errors.Error, OSError):
            await self._publish(request, None, 0)
        await self._wait(timeout_seconds)
        try:
            found = json.loads(self._raw_reply)["message"]
            headers = base64.b64decode(found.get("hdrs", ""))
            return found["subject"], headers, base64.b64decode(found.get("data", ""))
        except (ValueError, KeyError, TypeError):
            return None

    async def close(self) -> None:
        """Drop the connection; what the server has not read is lost and has no answer."""
        self._broken.set()
        # After an error nothing of the buffer may still be sent, and nothing may block.
        transport = self._client._transport  # noqa: SLF001 (the client offers no abort)
        writer = getattr(transport, "_io_writer", None)
        if writer is not None and self._expected > len(self._answers):
            writer.transport.abort()
        with suppress(nats.errors.Error, OSError, TimeoutError):
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._client.close()

    @property
    def broken(self) -> bool:
        """Whether nothing can be sent on it any more."""
        return self._broken.is_set() or self._client.is_closed

    async def wait_broken(self) -> None:
        """Return when the connection is gone."""
        await self._broken.wait()

    def _begin(self, outgoing: Sequence[Outgoing], expected: int) -> None:
        self._round += 1
        self._outgoing, self._expected = outgoing, expected
        self._answers = {}
        self._answered = asyncio.Event()

    async def _publish(
        self, message: Outgoing, headers: dict[str, str] | None, place: int | None
    ) -> None:
        reply = "" if place is None else f"{self._prefix}.{self._round}.{place}"
        await self._client.publish(message.subject, message.payload, reply, headers)

    async def _wait(self, timeout_seconds: float) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self._answered, self._broken)]
        try:
            await asyncio.wait(waits, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _answer(self, place: int, answer: Answer) -> None:
        self._answers[place] = answer
        if len(self._answers) >= self._expected:
            self._answered.set()

    async def _on_reply(self, reply: Msg) -> None:
        _, turn, place = reply.subject.rsplit(".", 2)
        if int(turn) == self._round:
            self._raw_reply = reply.data
            self._answer(int(place), _read_answer(reply))

    async def _on_error(self, error: Exception) -> None:
        found = _VIOLATION.search(str(error).lower())
        if not found:
            return
        if found[1] == "subscription":
            self._violation = str(error)
            return
        meant = {
            place: message.subject
            for place, message in enumerate(self._outgoing)
            if message.subject.lower() == found[2] and place not in self._answers
        }
        clear = len(set(meant.values())) == 1
        for place in meant:
            self._answer(
                place,
                Answer(denied=True) if clear else Answer(error="it or one spelt like it is denied"),
            )

    async def _on_closed(self) -> None:
        self._broken.set()


def _read_answer(reply: Msg) -> Answer:
    if reply.headers and reply.headers.get("Status") == "503":
        return Answer(error="no stream takes this subject")
    try:
        found: dict[str, Any] = json.loads(reply.data)
        error = found.get("error")
        if error:
            return Answer(error=str(error["description"]), error_code=int(error["err_code"]))
        return Answer(
            sequence=int(found.get("seq", 0)),
            duplicate=bool(found.get("duplicate", False)),
            batch=str(found.get("batch", "")),
            stream=str(found.get("stream", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return Answer(error=f"an answer that is no acknowledgement: {reply.data[:200]!r}")
