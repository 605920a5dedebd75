"""A person's line to the halts: what the stream holds, what is heard live, and what is sent.

It trusts no halt worker: every message is judged by the roster here, as order systems do. What was
only heard may halt on the board and never lifts; so lifts are read from the stream again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from operations.adapters import judge as judging
from operations.adapters import oms_link, stored, wire
from operations.adapters.judge import Judge, Judged, Received, RosterWatch
from operations.adapters.oms_link import BusClock
from operations.adapters.orders_of_people import Person
from operations.adapters.publisher import Acknowledgement, Publisher
from operations.adapters.roster_files import read_public
from operations.adapters.tasks import end_tasks
from operations.adapters.wire import WireClient
from operations.clock import NANOSECONDS, monotonic_ns
from operations.config import Nats, Settings
from operations.errors import Denied, OperationsError, Rejected, Retryable
from operations.events import subjects
from operations.events.base import Event
from operations.events.findings import FindingRaised
from operations.events.halts import HaltAcknowledged, SignedOrder
from operations.halt import signals
from operations.halt.desk import Desk
from operations.halt.records import Ask
from operations.halt.signals import HEARTBEAT, REPORT, Heartbeat, Report
from operations.halt.signoff import Trust

DECISIONS = "mts.v1.operations.halt."
HALTS = f"{DECISIONS}>"
REFUSALS = "mts.v1.operations.finding.halt.*"
ROSTERS = "mts.v1.operations.roster.published"
SIGNALS = (HEARTBEAT, f"{REPORT}.*")
# What decides whether something is halted is read from the beginning, ...
STATE = (
    f"{DECISIONS}requested",
    f"{DECISIONS}lifted",
    f"{DECISIONS}resume_denied",
    "mts.v1.operations.command.resume",
    "mts.v1.operations.command.cosign",
    ROSTERS,
)
# ... and how far it is obeyed only from the oldest halt on that still holds.
PROGRESS = (
    f"{DECISIONS}activated",
    f"{DECISIONS}acknowledged.*",
    f"{DECISIONS}resume_requested",
    f"{DECISIONS}cosigned",
    REFUSALS,
)
LOOK_SECONDS = 0.25
LEAVE_SECONDS = 0.5
CLOCK_SECONDS = 1.0


class HaltLine:
    """One connection that reads, hears and judges, and the desk that it folds into.

    `refused` counts the messages that did not count, `findings` are those of halt workers by
    event id. `reports` and `heartbeats` are the newest of
    each order system and halt worker, with the receiver's monotonic time in ns.
    """

    def __init__(
        self, client: WireClient, stream_name: str, judge: Judge, expected: frozenset[str]
    ) -> None:
        self.judge = judge
        self.desk = Desk(_trust(judge), expected)
        self.clock = BusClock()
        self.refused = 0
        self.findings: dict[str, FindingRaised] = {}
        self.reports: dict[str, tuple[Report, int]] = {}
        self.heartbeats: dict[str, tuple[Heartbeat, int]] = {}
        self._client = client
        self._stream = stream_name
        self._begin = 1  # where reading begins on what was not read yet
        self._next: dict[str, int] = {}
        self._heard: asyncio.Queue[Received] = asyncio.Queue()

    async def hear(self, *patterns: str) -> None:
        """Hear subjects live from now on; `until` takes what arrives and what is stored then."""
        for subject in patterns:
            await self._client.subscribe_raw(subject, self._receive)
        # nats-py flushes before what it has buffered, so only a second answer comes after it.
        await self._client.flush()
        await self._client.flush()
        # Times are judged by the clock of the bus; where it does not say, by that of this computer.
        with suppress(OperationsError):
            async with limit(CLOCK_SECONDS):
                state = await oms_link.stream_state(self._client, self._stream, self.clock)
                self._begin = state.last_sequence + 1

    def begin_at(self, sequence: int) -> None:
        """Take also what is stored from a place in the stream on, and was not read yet."""
        self._begin = sequence

    async def catch_up(self) -> None:
        """Take everything from which follows what is halted now. Raises Retryable."""
        self._next |= dict.fromkeys(STATE, 1)
        await self._read(STATE)
        halts = self.desk.halts
        held = [each.first_sequence for each in halts.active.values() if each.first_sequence]
        self._next |= dict.fromkeys(PROGRESS, min(held, default=halts.sequence + 1))
        await self._read(PROGRESS)

    async def until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Take what is heard, and what the stream gets, until it is done.

        Returns False when the time is over first. A stream that does not answer ends nothing.
        """
        deadline = monotonic_ns() + int(seconds * NANOSECONDS)
        polling = asyncio.create_task(self._poll())
        try:
            while not done():
                left = (deadline - monotonic_ns()) / NANOSECONDS
                if left <= 0:
                    return False
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left, LOOK_SECONDS)):
                        self._judge(await self._heard.get())
                while not self._heard.empty():
                    self._judge(self._heard.get_nowait())
            return True
        finally:
            await end_tasks(polling)

    async def _poll(self) -> None:
        """Read again and again; a stream that does not answer must not keep what is heard."""
        while True:
            with suppress(Retryable):
                await self._read((*STATE, *PROGRESS))
            await asyncio.sleep(LOOK_SECONDS)

    async def _read(self, patterns: tuple[str, ...]) -> None:
        """Take what the stream holds on these subjects and was not read before, in its order.

        Either all that was found is taken or, when this is cancelled, nothing.
        """
        groups = await asyncio.gather(*(self._read_one(pattern) for pattern in patterns))
        together = [received for group in groups for received in group]
        for received in sorted(together, key=lambda each: each.sequence or 0):
            self._judge(received)
        for pattern, group in zip(patterns, groups, strict=True):
            if group:
                self._next[pattern] = (group[-1].sequence or 0) + 1

    async def _read_one(self, pattern: str) -> list[Received]:
        first = self._next.get(pattern, self._begin)
        found = stored.following(self._client, self._stream, pattern, first)
        return [received async for received in found]

    def _receive(self, subject: bytes, _reply: bytes, headers: bytes, data: bytes) -> None:
        with suppress(Rejected):
            received = judging.heard(subject, headers, data)
            self._heard.put_nowait(received._replace(at_ns=self.clock.now_ns()))

    def _judge(self, received: Received) -> None:
        try:
            if received.subject.startswith(REPORT):
                self._take_report(received)
            elif received.subject == HEARTBEAT:
                self._take_heartbeat(received)
            elif received.subject == ROSTERS:
                self._take_roster(received)
            else:
                self._fold(self.judge.ask(received))
        except (Denied, Rejected):
            self.refused += 1

    def _fold(self, judged: Judged) -> None:
        fact, event = judged.fact, judged.fact.event
        if event.subject.startswith(DECISIONS) and not isinstance(event, HaltAcknowledged):
            self.desk.take(fact)
            return
        if isinstance(event, FindingRaised):
            self.findings[event.event_id] = event
        payload = judged.message.payload.decode()
        order = SignedOrder(subject=event.subject, payload=payload, signature=judged.signature)
        self.desk.hear(Ask(fact, judged.member.name, order))

    def _take_roster(self, received: Received) -> None:
        """Take a newer roster; it proves itself, whoever brought it."""
        if self.judge.take_roster(subjects.decode(received.subject, received.payload)):
            self.desk.trust = _trust(self.judge)

    def _take_report(self, received: Received) -> None:
        self.judge.signer(received, (received.subject,))
        report = signals.decode_report(received.payload)
        if received.subject != signals.report_subject(report.oms_id):
            raise Rejected(f"a report of {report.oms_id} arrived on {received.subject}")
        self.reports[report.oms_id] = (report, monotonic_ns())

    def _take_heartbeat(self, received: Received) -> None:
        self.judge.signer(received, (received.subject,))
        beat = signals.decode_heartbeat(received.payload)
        self.heartbeats[beat.worker] = (beat, monotonic_ns())


@asynccontextmanager
async def opened(settings: Settings, nats: Nats) -> AsyncIterator[HaltLine]:
    """Give a line and close it. Raises Retryable without NATS, Rejected without a roster."""
    named = settings.halt.order_systems.split(",")
    expected = frozenset(each.strip() for each in named if each.strip())
    async with wire.connection(nats, "people") as client:
        yield HaltLine(client, nats.stream, judge_of(settings), expected)


def _trust(judge: Judge) -> Trust:
    return Trust(judge.watch.roster, judge.origin, judge.environment)


def judge_of(settings: Settings) -> Judge:
    """Return the judge of the person at this computer, who remembers the newest roster seen."""
    memory = Path(settings.path("people", "roster.json"))
    root = read_public(settings.root_key_path)
    watch = RosterWatch(root, settings.environment, memory, settings.roster_path)
    return Judge(settings.audit.origin, settings.environment, watch)


class Sent:
    """Commands on their way: published at once, stored as soon as the stream takes them."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._done: dict[str, asyncio.Future[Acknowledgement]] = {}

    async def send(self, event: Event) -> None:
        """Publish a signed command; whoever hears it live does not wait for the stream."""
        self._done[event.event_id] = await self._publisher.publish(event)

    def sequence(self, event: Event) -> int | None:
        """Return where a command is in the stream; None while it is not known to be there."""
        done = self._done[event.event_id]
        if not done.done() or done.cancelled() or done.exception():
            return None
        return done.result().sequence

    async def settled(self, seconds: float) -> int | None:
        """Wait until all are stored or refused; return the lowest place in the stream, if any."""
        if self._done:
            await asyncio.wait(self._done.values(), timeout=seconds)
        places = [
            done.result().sequence
            for done in self._done.values()
            if done.done() and not done.cancelled() and not done.exception()
        ]
        return min(places, default=None)

    def refusal(self, event: Event) -> OperationsError | None:
        """Return why a command will never be in the stream, None while it may be."""
        done = self._done[event.event_id]
        if not done.done() or done.cancelled():
            return None
        error = done.exception()
        return error if isinstance(error, OperationsError) else None


@asynccontextmanager
async def limit(seconds: float) -> AsyncIterator[None]:
    """Raise Retryable when what is done within takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise Retryable(f"NATS has not answered within {seconds:g} s") from error


@asynccontextmanager
async def sending(person: Person) -> AsyncIterator[Sent]:
    """Give what sends signed commands of a person; leaving waits for nothing.

    Raises Retryable when NATS does not answer, Denied when it refuses the user.
    """
    publisher = Publisher(
        person.access, actor=person.name, signer=person.signer, drain_seconds=LEAVE_SECONDS
    )
    await publisher.__aenter__()
    try:
        yield Sent(publisher)
    finally:
        with suppress(OperationsError):
            await publisher.close()
