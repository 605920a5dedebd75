"""How a halt worker speaks and hears: at once, and again until the stream has it.

A halt is published by core NATS with the stream's answer asked for on the side. Everybody who
listens has it at once, and nobody waits for the disk; the stream's answer comes later or not at
all, and what it has not got is published again. A lift is the other way round: it counts only
where the stream took it, on the condition that no newer request is there, and is never repeated.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Literal, NamedTuple

import msgspec
import nats.errors
from msgspec import Struct

from operations.adapters.judge import Judge, Received, heard
from operations.adapters.stored import following
from operations.adapters.wire import WireClient
from operations.clock import new_event_id
from operations.errors import Denied, Rejected, Retryable
from operations.events.base import Event
from operations.events.halts import HaltLifted, HaltRequested
from operations.signing import message
from operations.signing.message import Signer

AGAIN_SECONDS = 1.0
WRONG_LAST_SEQUENCE = frozenset((10070, 10071, 10164))
TOO_LARGE = 10054
MESSAGE_ID = "Nats-Msg-Id"
EXPECTED = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"

What = Literal["stored", "conflict", "refused", "burned"]


class Outcome(NamedTuple):
    """What became of an event: its place in the stream, or why it has none.

    `conflict`: a lift lost against a newer request. `refused`: it can never be stored. `burned`: a
    foreign message was there under its id, so it was published again under another one.
    """

    event: Event
    what: What
    sequence: int
    reason: str


class Said(Struct):
    """An event on its way into the stream."""

    event: Event
    payload: bytes
    headers: dict[str, str]
    said_at: float  # seconds of the monotonic clock
    answer: dict[str, Any] | None = None


class HaltBus:
    """One connection of a halt worker."""

    def __init__(self, client: WireClient, stream_name: str, signer: Signer, judge: Judge) -> None:
        self._client, self._stream = client, stream_name
        self._signer, self._judge = signer, judge
        self.unstored: dict[str, Said] = {}  # by event id
        self._waiting: dict[int, str] = {}  # number of a publication to the event id
        self._number = 0
        self._inbox = client.new_inbox()
        self._answered: asyncio.Queue[str] = asyncio.Queue()

    async def listen(self, subjects: Iterable[str], receive: Callable[[Received], None]) -> None:
        """Hear the answers of the stream, and hand every message on the subjects to `receive`.

        `receive` is called from the read loop, so it must only put the message somewhere.
        """

        def take(subject: bytes, _reply: bytes, headers: bytes, payload: bytes) -> None:
            with suppress(Rejected):
                receive(heard(subject, headers, payload))

        await self._client.subscribe_raw(f"{self._inbox}.*", self._take_answer)
        for subject in subjects:
            await self._client.subscribe_raw(subject, take)

    async def say(self, event: Event, payload: bytes, newest_request: int | None = None) -> None:
        """Publish an event now; `settle` learns later what the stream made of it.

        `payload` is the event as encoded; `newest_request`, for a lift, the place of the last
        request that was folded. Raises Retryable when the connection is lost.
        """
        headers = {
            MESSAGE_ID: f"{event.subject}:{event.event_id}",
            message.HEADER: self._signer(event.subject, payload),
        }
        if newest_request is not None:
            headers[EXPECTED] = str(newest_request)
            headers[EXPECTED_SUBJECT] = HaltRequested.pattern
        said = Said(event, payload, headers, time.monotonic())
        self.unstored[event.event_id] = said
        await self._publish(said)
        # The client writes from a task of its own: let it, before anything else is computed.
        await asyncio.sleep(0)

    async def say_again(self) -> int:
        """Publish what the stream has not taken for a second; return how many that were.

        A lift without an answer is given up: it was for the stream as it was then.
        """
        now, count = time.monotonic(), 0
        for event_id, said in list(self.unstored.items()):
            if now - said.said_at < AGAIN_SECONDS:
                continue
            if isinstance(said.event, HaltLifted):
                del self.unstored[event_id]
                continue
            said.said_at = now
            count += 1
            await self._publish(said)
        return count

    async def tell(self, subject: str, payload: bytes) -> None:
        """Publish a signed message that is no event, as a heartbeat."""
        await self._send(subject, payload, "", {message.HEADER: self._signer(subject, payload)})

    async def settle(self) -> Outcome:
        """Wait for the next event whose fate is known."""
        while True:
            event_id = await self._answered.get()
            said = self.unstored.get(event_id)
            if said is None or said.answer is None:
                continue
            answer, said.answer = said.answer, None
            outcome = await self._judge_answer(said, answer)
            if outcome is not None:
                if outcome.what != "burned":
                    self.unstored.pop(event_id, None)
                return outcome

    async def _publish(self, said: Said) -> None:
        self._number += 1
        self._waiting[self._number] = said.event.event_id
        await self._send(
            said.event.subject, said.payload, f"{self._inbox}.{self._number}", said.headers
        )

    async def _send(
        self, subject: str, payload: bytes, reply: str, headers: dict[str, str]
    ) -> None:
        try:
            await self._client.publish(subject, payload, reply, headers)
        except (nats.errors.Error, OSError) as error:
            raise Retryable(f"the connection to NATS is lost: {error!r}") from error

    def _take_answer(self, subject: bytes, _reply: bytes, headers: bytes, payload: bytes) -> None:
        with suppress(ValueError, msgspec.DecodeError):
            event_id = self._waiting.pop(int(subject.rpartition(b".")[2]), "")
            said = self.unstored.get(event_id)
            if said is None:
                return
            if headers.startswith(b"NATS/1.0 503"):
                said.answer = {"error": {"description": "no stream takes this subject"}}
            else:
                said.answer = msgspec.json.decode(payload, type=dict[str, Any])
            self._answered.put_nowait(event_id)

    async def _judge_answer(self, said: Said, answer: dict[str, Any]) -> Outcome | None:
        """Return what an answer comes to; None when the event is to be published again later."""
        error = answer.get("error")
        if error:
            code, reason = int(error.get("err_code", 0)), str(error.get("description", ""))
            if code in WRONG_LAST_SEQUENCE and isinstance(said.event, HaltLifted):
                return Outcome(said.event, "conflict", 0, reason)
            if code == TOO_LARGE:
                return Outcome(said.event, "refused", 0, reason)
            return None
        sequence = int(answer.get("seq", 0))
        if not answer.get("duplicate") or await self._is_ours(said.event, sequence):
            return Outcome(said.event, "stored", sequence, "")
        reason = f"entry {sequence} of the stream has its id and is not ours"
        said.headers[MESSAGE_ID] = f"{said.event.subject}:{new_event_id()}"
        said.said_at = time.monotonic()
        await self._publish(said)
        return Outcome(said.event, "burned", sequence, reason)

    async def _is_ours(self, event: Event, sequence: int) -> bool:
        """Whether the stream has this decision there, from this halt worker or another one."""
        try:
            found = await anext(following(self._client, self._stream, ">", sequence))
            there = self._judge.ask(found).fact.event
        except (StopAsyncIteration, Retryable, Rejected, Denied):
            return False
        wanted = (sequence, event.subject, event.event_id)
        return (found.sequence, there.subject, there.event_id) == wanted
