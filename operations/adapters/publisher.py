"""What a trading service imports to publish events: once each, in order, until acknowledged.

    async with Publisher(Access(url=..., user=..., password=...), actor="oms-1") as publisher:
        await publisher.publish(event)      # into the buffer, at once
        await publisher.confirm(event)      # and wait until it is in the stream

One unit is on its way at a time: a single event, or everything that has gathered meanwhile as one
atomic batch, which the server stores in a row or not at all. So no event overtakes an earlier one,
whatever breaks, and a backlog still moves at thousands of events per fsync. A unit without an
answer is sent again under the same ids, which the server knows for the stream's duplicate window.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec
from msgspec import Struct

from operations.adapters.link import (
    BATCHES_DISABLED,
    BATCHES_UNKNOWN,
    Access,
    Answer,
    Link,
    Outgoing,
    address,
)
from operations.adapters.tasks import end_tasks
from operations.clock import new_event_id, now_ns, rfc3339
from operations.errors import Denied, OperationsError, Rejected, Retryable
from operations.events.base import Event, encode
from operations.signing import message as signing
from operations.signing.message import Signer

BATCH_EVENTS = 1000  # the server's limit
BATCH_BYTES = 4 * 1024 * 1024
PAUSE_SECONDS = 0.25
LEAVE_SECONDS = 5.0  # for the rest of the buffer when its user failed
REFUSALS_KEPT = 100
MESSAGE_TOO_LARGE = 10054  # error code of a message that the stream will never take


class BufferFull(Retryable):
    """The buffer holds as many unacknowledged events as it may; wait, or publish less."""


class Acknowledgement(NamedTuple):
    """Where an event is in the stream. `duplicate`: it was there before.

    `burned`: a foreign message was in the stream under this event's id, so the event was published
    under another one; whoever did that should be looked for.
    """

    subject: str
    event_id: str
    sequence: int
    duplicate: bool
    burned: bool


class _Entry(Struct):
    number: int
    event_id: str
    outgoing: Outgoing
    done: asyncio.Future[Acknowledgement]
    burned: bool = False


class Publisher:
    """Publishes events of one actor. Use it as an async context manager, in one event loop."""

    def __init__(
        self,
        access: Access,
        *,
        actor: str = "",
        source: str = "",
        signer: Signer | None = None,
        buffer_events: int = 10_000,
        atomic_batches: bool = True,
        acknowledge_seconds: float = 5.0,
        drain_seconds: float = 30.0,
    ) -> None:
        self.problem = ""  # why nothing moves, in words; empty while all is well
        self._access = access
        self._actor = actor or access.user
        self._source = source or f"{self._actor}@{socket.gethostname()}"
        self._signer = signer
        self._buffer_events = buffer_events
        self._batches = atomic_batches
        self._acknowledge_seconds = acknowledge_seconds
        self._drain_seconds = drain_seconds
        self._queue: deque[_Entry] = deque()
        self._numbered = 0
        self._one_by_one = 0  # entries at the head that go without a batch
        self._careful = True  # send one alone before sending many
        self._refused: list[OperationsError] = []
        self._failure: BaseException | None = None
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._link: Link

    @property
    def waiting(self) -> int:
        """Events that are not acknowledged yet."""
        return len(self._queue)

    async def __aenter__(self) -> Self:
        """Connect. Raises Retryable when nobody answers and Denied when the user is refused."""
        self._link = await Link.open(self._access)
        self._task = asyncio.create_task(self._run(self._link), name="publisher")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait until the buffer is empty; after an exception try, but let that exception pass."""
        if error is None:
            await self.close()
            return
        with suppress(OperationsError):
            await self.close(min(self._drain_seconds, LEAVE_SECONDS))

    async def publish(self, event: Event, *, wait: bool = False) -> asyncio.Future[Acknowledgement]:
        """Put an event into the buffer; the future ends when the stream has it.

        Fills event_id, timestamp, actor and source where they are empty. Raises Rejected for an
        event that can never be published, and BufferFull, or with `wait` waits for room: a loop
        over more events than the buffer holds needs it. What the server refuses later ends the
        future, and `flush`, with Denied or Rejected.
        """
        filled = self._filled(event)
        return await self.publish_bytes(filled.subject, encode(filled), filled.event_id, wait=wait)

    async def publish_bytes(
        self, subject: str, payload: bytes, event_id: str, *, wait: bool = False
    ) -> asyncio.Future[Acknowledgement]:
        """Do the same with a payload as it is, for recordings and other encoders."""
        outgoing = self._outgoing(subject, payload, event_id)
        while len(self._queue) >= self._buffer_events:
            self._check_running()
            if not wait:
                raise BufferFull(
                    f"{len(self._queue)} events wait for acknowledgement, which is the limit; "
                    f"publish with wait=True or later ({self.problem or 'the server is slow'})"
                )
            await self._progress.wait()
        self._check_running()
        self._numbered += 1
        done: asyncio.Future[Acknowledgement] = asyncio.get_running_loop().create_future()
        done.add_done_callback(_seen)
        self._queue.append(_Entry(self._numbered, event_id, outgoing, done))
        self._wake.set()
        return done

    async def confirm(self, event: Event) -> Acknowledgement:
        """Publish an event and wait until the stream has it; raises what `publish` raises."""
        done = await self.publish(event, wait=True)
        try:
            return await asyncio.shield(done)
        except (Denied, Rejected) as error:
            self._refused = [other for other in self._refused if other is not error]
            raise

    async def flush(self, timeout_seconds: float | None = None) -> None:
        """Wait until everything published so far is in the stream.

        Raises the first refusal (Denied, Rejected) since the last flush, and Retryable when the
        time is over; the events stay in the buffer and are tried on.
        """
        last = self._numbered
        self._check_running()
        try:
            async with asyncio.timeout(timeout_seconds):
                while self._queue and self._queue[0].number <= last:
                    await self._progress.wait()
                    self._check_running()
        except TimeoutError as error:
            raise Retryable(
                f"{len(self._queue)} events are not acknowledged after {timeout_seconds} s: "
                f"{self.problem or 'the server is slow'}"
            ) from error
        if self._refused:
            refused, self._refused = self._refused, []
            raise refused[0]

    async def close(self, drain_seconds: float | None = None) -> None:
        """Flush, at most `drain_seconds`, and disconnect. Raises what `flush` raises."""
        if self._task is None:
            return
        try:
            await self.flush(self._drain_seconds if drain_seconds is None else drain_seconds)
        finally:
            task, self._task = self._task, None
            await end_tasks(task)
            await self._link.close()
            self._fail(Retryable("the publisher is closed; open a new one"))

    def _filled(self, event: Event) -> Event:
        changes: dict[str, str] = {}
        if not event.event_id:
            changes["event_id"] = new_event_id()
        if not event.timestamp:
            changes["timestamp"] = rfc3339(now_ns())
        if not event.actor:
            changes["actor"] = self._actor
        if not event.source:
            changes["source"] = self._source
        return msgspec.structs.replace(event, **changes) if changes else event

    def _outgoing(self, subject: str, payload: bytes, event_id: str) -> Outgoing:
        outgoing = address(subject, payload, event_id)
        if self._signer:
            outgoing.headers[signing.HEADER] = self._signer(subject, payload)
        return outgoing

    async def _run(self, link: Link) -> None:
        """Send units until cancelled, on a new connection whenever one breaks."""
        try:
            while True:
                await self._send_on(link)
                self._careful = True
                await link.close()
                link = self._link = await self._reopened()
        except Exception as error:  # a mistake in here must not look like a slow server
            self._fail(error)
            raise

    async def _reopened(self) -> Link:
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            try:
                return await Link.open(self._access)
            except (Retryable, Denied) as error:
                self.problem = str(error)

    async def _send_on(self, link: Link) -> None:
        """Send units on a connection and return when it is of no more use."""
        while not link.broken:
            if not self._queue:
                self._wake.clear()
                await _either(self._wake.wait(), link.wait_broken())
                continue
            unit = self._unit()
            batch = self._batches and len(unit) > 1 and not self._one_by_one
            send = link.send_batch if batch else link.send
            answers = await send([entry.outgoing for entry in unit], self._acknowledge_seconds)
            if batch and self._refused_batch(answers, len(unit)):
                continue
            if not await self._settle(link, unit, answers):
                return

    def _unit(self) -> list[_Entry]:
        alone = self._careful or (self._signer and self._one_by_one)
        limit = 1 if alone else self._one_by_one or BATCH_EVENTS
        unit: list[_Entry] = []
        size = 0
        for entry in islice(self._queue, limit):
            size += len(entry.outgoing.payload)
            if unit and size > BATCH_BYTES:
                break
            unit.append(entry)
        return unit

    def _refused_batch(self, answers: list[Answer | None], length: int) -> bool:
        """Whether the server stored nothing of a batch and its events must go one by one."""
        first = answers[0]
        if first is None or not first.error or any(a and a.denied for a in answers):
            return False
        if first.error_code in (BATCHES_DISABLED, BATCHES_UNKNOWN):
            self._batches = False
        self._one_by_one = length
        return True

    async def _settle(self, link: Link, unit: list[_Entry], answers: list[Answer | None]) -> bool:
        """Take what has an answer out of the buffer; return whether the link is still good."""
        kept = []
        failed = unanswered = False
        for entry, answer in zip(unit, answers, strict=True):
            if answer is None:
                unanswered = True
            elif await self._settled(link, entry, answer):
                self._one_by_one = max(0, self._one_by_one - 1)
                continue
            else:
                failed = True
            kept.append(entry)
        for _ in unit:
            self._queue.popleft()
        self._queue.extendleft(reversed(kept))
        self._careful = failed or unanswered
        if len(kept) < len(unit):
            self._progress.set()
            self._progress = asyncio.Event()
        if unanswered:
            self.problem = f"{self._access.url} does not answer"
        elif failed:
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            self.problem = ""
        return not unanswered

    async def _settled(self, link: Link, entry: _Entry, answer: Answer) -> bool:
        """End the future of an entry if the answer is final."""
        outgoing = entry.outgoing
        if answer.denied:
            self._refuse(
                entry,
                Denied(
                    f"user {self._access.user!r} may not publish on {outgoing.subject}; publish "
                    "as a user who may, or add the right to the server's configuration"
                ),
            )
            return True
        if answer.error_code == MESSAGE_TOO_LARGE:
            self._refuse(entry, Rejected(f"{outgoing.subject} was refused: {answer.error}"))
            return True
        if answer.error:
            self.problem = f"{outgoing.subject} is refused for now: {answer.error}"
            return False
        if answer.duplicate and self._signer and not await self._is_ours(link, entry, answer):
            if link.broken:
                return False
            outgoing.headers["Nats-Msg-Id"] = f"{outgoing.subject}:{new_event_id()}"
            entry.burned = True
            return False
        if not entry.done.done():
            entry.done.set_result(
                Acknowledgement(
                    outgoing.subject,
                    entry.event_id,
                    answer.sequence,
                    answer.duplicate,
                    entry.burned,
                )
            )
        return True

    async def _is_ours(self, link: Link, entry: _Entry, answer: Answer) -> bool:
        """Whether the message under our id is ours; what may not be read is taken as foreign.

        A signed event moves something, so storing it twice is better than not at all.
        """
        found = await link.stored(answer.stream, answer.sequence, self._acknowledge_seconds)
        if found is None:
            return False
        subject, headers, payload = found
        signature = f"{signing.HEADER}: {entry.outgoing.headers[signing.HEADER]}\r\n".encode()
        ours = (entry.outgoing.subject, entry.outgoing.payload)
        return (subject, payload) == ours and signature in headers

    def _refuse(self, entry: _Entry, error: OperationsError) -> None:
        if len(self._refused) < REFUSALS_KEPT:
            self._refused.append(error)
        if not entry.done.done():
            entry.done.set_exception(error)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        for entry in self._queue:
            if not entry.done.done():
                entry.done.set_exception(self._failure)
        self._queue.clear()
        self._progress.set()

    def _check_running(self) -> None:
        if self._failure:
            raise self._failure
        if not self._task:
            raise Rejected("the publisher is not open; use `async with Publisher(...)`")


async def _either(*waits: Coroutine[Any, Any, object]) -> None:
    """Return when the first of some waits ends, and cancel the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _seen(done: asyncio.Future[Acknowledgement]) -> None:
    """Mark a refusal as seen: `flush` raises it too."""
    if not done.cancelled():
        done.exception()
