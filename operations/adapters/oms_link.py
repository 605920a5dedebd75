"""What an order system says on the bus: signed, at once, and again until the stream has it.

An acknowledgement must not wait for the one before it to be stored, so nothing here waits: each
event goes out when it is made, everybody who listens hears it then, and what the stream has not
confirmed after a second is sent again under the same id, also on the next connection.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from operations.adapters.stream import request
from operations.adapters.wire import WireClient
from operations.clock import NANOSECONDS, monotonic_ns, new_event_id, now_ns, parse_rfc3339, rfc3339
from operations.events.base import Event, encode
from operations.signing import message
from operations.signing.message import Signer

AGAIN_NS = NANOSECONDS
WAITING_AT_MOST = 10_000


class BusClock:
    """The time of the bus, as well as it is known here, whatever the clock of this machine says."""

    def __init__(self) -> None:
        self._offset_ns = now_ns() - monotonic_ns()
        self._known = False

    def now_ns(self) -> int:
        """Return ns since 1970; before the bus told anything by the clock of this machine."""
        return monotonic_ns() + self._offset_ns

    def set(self, bus_ns: int) -> None:
        """Take the time that the bus gave just now."""
        self._offset_ns, self._known = bus_ns - monotonic_ns(), True

    def saw(self, bus_ns: int) -> None:
        """Take a time that the bus gave to something that has happened already."""
        offset_ns = bus_ns - monotonic_ns()
        if not self._known or offset_ns > self._offset_ns:
            self._offset_ns, self._known = offset_ns, True


class StreamState(Struct, frozen=True):
    """What has to be known of the stream before reading it; times in ns since 1970."""

    created_ns: int
    last_sequence: int


async def stream_state(client: WireClient, stream: str, clock: BusClock) -> StreamState:
    """Ask for the stream and set the clock by the answer. Raises Retryable."""
    answer: dict[str, Any] = msgspec.json.decode(await request(client, f"STREAM.INFO.{stream}"))
    if "ts" in answer:
        clock.set(parse_rfc3339(answer["ts"]))
    return StreamState(parse_rfc3339(answer["created"]), int(answer["state"]["last_seq"]))


async def is_drained(client: WireClient, stream: str, consumer: str) -> bool:
    """Whether the stream holds nothing for a consumer that was not delivered."""
    answer = await request(client, f"CONSUMER.INFO.{stream}.{consumer}")
    return int(msgspec.json.decode(answer)["num_pending"]) == 0


class _Waiting(Struct):
    subject: str
    payload: bytes
    headers: dict[str, str]
    stored: Callable[[], None]
    sent_ns: int = 0


def _nothing() -> None:
    """Do nothing when the stream has an event."""


class Outbox:
    """Events of one order system on their way to the stream; `problem` says what is refused."""

    def __init__(self, actor: str, signer: Signer) -> None:
        self.problem = ""
        self._actor = actor
        self._source = f"{actor}@{socket.gethostname()}"
        self._signer = signer
        self._waiting: dict[int, _Waiting] = {}
        self._number = 0
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many events the stream has not confirmed."""
        return len(self._waiting)

    def put(self, event: Event, stored: Callable[[], None] = _nothing) -> None:
        """Send an event as soon as there is a connection, until the stream has it: then `stored`.

        Fills event_id, timestamp, actor and source where they are empty. For the event loop only.
        """
        filled = msgspec.structs.replace(
            event,
            event_id=event.event_id or new_event_id(),
            timestamp=event.timestamp or rfc3339(now_ns()),
            actor=event.actor or self._actor,
            source=event.source or self._source,
        )
        payload = encode(filled)
        subject = filled.subject
        headers = self._signed(subject, payload)
        headers["Nats-Msg-Id"] = f"{subject}:{filled.event_id}"
        if event.event_id:
            # Others can work it out, and the server takes an id once, on whatever subject. Our own
            # signature of it they cannot, and it is the same in our next life.
            proof = sha256(self._signer(subject, event.event_id.encode()).encode())
            headers["Nats-Msg-Id"] += f":{proof.hexdigest()[:32]}"
        self._number += 1
        self._waiting[self._number] = _Waiting(subject, payload, headers, stored)
        if len(self._waiting) > WAITING_AT_MOST:
            del self._waiting[next(iter(self._waiting))]
        self._wake.set()

    async def say(self, client: WireClient, subject: str, payload: bytes) -> None:
        """Say something signed that nobody stores, on a connection."""
        await client.publish(subject, payload, headers=self._signed(subject, payload))

    async def serve(self, client: WireClient) -> None:
        """Send what waits on a connection until it is cancelled or the connection fails."""
        inbox = client.new_inbox()

        def answered(subject: bytes, _reply: bytes, headers: bytes, data: bytes) -> None:
            self._answered(subject, headers, data)

        await client.subscribe_raw(f"{inbox}.*", answered)
        for each in self._waiting.values():
            each.sent_ns = 0
        while True:
            self._wake.clear()
            now = monotonic_ns()
            for number, each in list(self._waiting.items()):
                if now - each.sent_ns >= AGAIN_NS or not each.sent_ns:
                    each.sent_ns = now
                    reply = f"{inbox}.{number}"
                    await client.publish(each.subject, each.payload, reply, each.headers)
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_NS / NANOSECONDS / 2):
                    await self._wake.wait()

    def _answered(self, subject: bytes, headers: bytes, data: bytes) -> None:
        try:
            number = int(subject.rpartition(b".")[2])
            answer = msgspec.json.decode(data) if data else {}
            if "error" in answer or headers.startswith(b"NATS/1.0 503"):
                self.problem = str(answer.get("error", "no stream takes it"))[:300]
            elif "seq" in answer:
                self.problem = ""
                if done := self._waiting.pop(number, None):
                    done.stored()
        except (ValueError, TypeError, msgspec.DecodeError) as error:
            self.problem = f"an answer that is none: {error}"

    def _signed(self, subject: str, payload: bytes) -> dict[str, str]:
        return {message.HEADER: self._signer(subject, payload)}
