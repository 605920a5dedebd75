"""Everything that a halt worker does with a message: judge, fold, decide, publish, remember.

The deciding is pure (`operations.halt.manager`); this is its hands. What was heard is decided at
once, before the stream has it and whatever the stream does; what comes out of the stream is folded
and decided again, which changes nothing when it was decided before. A halt is in the journal
before it is published. Only lifts wait until the whole stream was read.
"""

import asyncio
from hashlib import sha256

import msgspec
from msgspec import Struct

from operations.adapters.halt_bus import HaltBus, Outcome
from operations.adapters.halt_journal import Decided, HaltJournal
from operations.adapters.judge import Judge, Judged, Received, rights
from operations.adapters.steps import Step, onward
from operations.clock import NANOSECONDS, monotonic_ns, now_ns, rfc3339
from operations.config import Settings
from operations.errors import Denied, Rejected
from operations.events import subjects
from operations.events.base import Event, derived_id, encode
from operations.events.commands import Command, ConfigureCommanded, ModeCommanded
from operations.events.findings import Finding, FindingRaised, FindingUpdated
from operations.events.halts import (
    HaltAcknowledged,
    HaltActivated,
    HaltDocumented,
    HaltLifted,
    HaltRequested,
    Mode,
    SignedOrder,
)
from operations.events.operations import RosterPublished
from operations.halt import alarms, manager
from operations.halt.desk import OWN_CHECK, Desk
from operations.halt.policy import LEVELS, rule_of
from operations.halt.records import Ask
from operations.halt.signals import REPORT, Report, decode_report, report_subject
from operations.halt.signoff import Trust
from operations.halt.state import Fact, Scope

GRACE_NS = 2 * NANOSECONDS  # what an order system obeys may still be on its way to us
REFUSALS_A_MINUTE = 60
IN_A_ROW = 16  # steps of a long work before others get their turn
# What matters only until its halt is over: it stops, lifts and asks for nothing.
ABOUT_A_HALT = (
    HaltAcknowledged.pattern.partition("{")[0],
    HaltActivated.pattern,
    HaltDocumented.pattern,
)


class _Named(Struct, frozen=True):
    halt_id: str = ""


class _About(Struct, frozen=True):
    """The one field by which a message waits; whether it counts is judged when its turn comes."""

    data: _Named


class HaltDecider:
    """The state of one halt worker and what it does with each message."""

    def __init__(
        self,
        settings: Settings,
        judge: Judge,
        bus: HaltBus,
        journal: HaltJournal,
        at: Step = onward,
    ) -> None:
        """Take the journal into the state: what is in it holds until the stream says otherwise.

        `at` is told each step by name, so that tests can end or pause the process there.
        """
        self._at = at
        self._settings, self._judge, self._bus, self._journal = settings, judge, bus, journal
        expected = filter(None, settings.halt.order_systems.replace(" ", "").split(","))
        self.desk = Desk(self._trust(), frozenset(expected))
        self.desk.modes.update(_reduce_only(settings.halt.reduce_only))
        self.folded = False  # whether the stream was read to its end
        self.answered = asyncio.Event()  # and what nobody had answered was
        self.server_ahead_ns = 0  # the clock of the server minus ours
        self.reports: dict[str, Report] = {}
        self.requests = 0  # halts that this worker has decided
        self._unanswered: dict[str, Ask] = {}
        self._denied: list[tuple[Received, str]] = []
        self._later: dict[str, list[Received]] = {}  # not judged yet, by halt id
        self._payloads: dict[str, Decided] = {}  # stored requests that are not over, by event id
        self._stored_at_ns: dict[str, int] = {}
        self._missed_since: dict[str, int] = {}
        self._refusals: list[int] = []
        for known in journal.active.values():
            for decided in known.values():
                payload = decided.payload.encode()
                self._take(subjects.decode(decided.subject, payload), payload)

    @property
    def now_ns(self) -> int:
        """The time of the server as far as we know it, in ns since 1970."""
        return now_ns() + self.server_ahead_ns

    def refresh_roster(self) -> None:
        """Look whether there is a newer roster."""
        if self._judge.watch.refresh():
            self.desk.trust = self._trust()

    async def handle(self, received: Received) -> None:
        """Do what a message asks for; what counts for nothing is dropped."""
        if received.sequence is None:
            received = received._replace(at_ns=received.at_ns + self.server_ahead_ns)
        if received.subject.startswith(f"{REPORT}."):
            await self._report(received)
            return
        if not self._waits(received):
            await self._look_at(received)

    async def _look_at(self, received: Received) -> None:
        try:
            event = subjects.decode(received.subject, received.payload)
        except Rejected:
            return  # the audit worker reports what is no event
        if isinstance(event, RosterPublished):
            if self._judge.take_roster(event):
                self.desk.trust = self._trust()
            return
        if received.sequence is None and event.event_id in self.desk.said:
            return  # our own word, or what another halt worker said as well
        if not _matters(event) or (not self.folded and _moves_nothing(event)):
            self.desk.halts.pass_over(received.sequence or 0)
            return
        try:
            judged = self._judge.judge(event, received, rights(event))
        except Denied as error:
            await self._refuse(received, str(error))
            return
        await self._answer(judged)

    async def read_everything(self) -> None:
        """Say that the stream was read to its end: answer what nobody has answered."""
        desk = self.desk
        await self._look_at_what_waits()
        self.folded = True
        for halt_id in desk.halts.lifted:
            self._journal.lift(halt_id)
        for decided in self._payloads.values():
            if decided.halt_id in desk.halts.active:
                self._journal.request(decided)
        self._payloads.clear()
        for known in list(self._journal.active.values()):
            for decided in known.values():
                if desk.halts.stored(decided.halt_id) is None:
                    await self._say_again(decided)
        await self._answer_old_asks()
        denied, self._denied = self._denied, []
        for received, reason in denied:
            await self._refuse(received, reason)
        await self.due()

    async def due(self) -> None:
        """Publish what time alone brings, and what the stream has not taken yet."""
        if self.folded:
            await self.publish(*manager.due(self.desk, self.now_ns))
        await self._bus.say_again()
        if not self._journal.synced:
            await asyncio.to_thread(self._journal.sync)
        self._at("synced")

    async def blind(self, what: str, since_ns: int) -> None:
        """Reduce the firm because the stream cannot be trusted."""
        await self.publish(*manager.blind(self.desk, what, since_ns))

    async def settled(self, outcome: Outcome) -> None:
        """Do what the fate of an event asks for."""
        self._at(outcome.what)
        if outcome.what == "conflict" and self.folded:
            # The newer request comes out of the stream next; `due` then decides again.
            return
        if outcome.what == "burned":
            await self.publish(_burned(outcome, self.now_ns))

    async def publish_again_before(self, max_age_ns: int) -> None:
        """Publish active requests again when the stream has kept them for half of its time."""
        for halt_id, known in list(self._journal.active.items()):
            stored_ns = self._stored_at_ns.get(halt_id)
            if stored_ns is None or self.now_ns - stored_ns < max_age_ns // 2:
                continue
            for decided in known.values():
                await self._say_again(decided)

    async def publish(self, *events: Event) -> None:
        """Publish decisions: remembered, said at once, and then folded."""
        for event in events:
            if event.event_id in self._bus.unstored:
                continue
            self._at("decided")
            payload = encode(event)
            if isinstance(event, HaltLifted):
                self._at("lifting")
                await self._bus.say(event, payload, self.desk.last_request)
                continue
            if isinstance(event, HaltRequested):
                self.requests += 1
                halt_id, subject = event.data.halt_id, event.subject
                self._journal.request(Decided(halt_id, event.event_id, subject, payload.decode()))
                self._at("journaled")
            await self._bus.say(event, payload)
            self._at("said")
            self._take(event, payload)

    async def _say_again(self, decided: Decided) -> None:
        payload = decided.payload.encode()
        await self._bus.say(subjects.decode(decided.subject, payload), payload)

    def _trust(self) -> Trust:
        judge = self._judge
        return Trust(judge.watch.roster, judge.origin, judge.environment)

    def _take(self, event: Event, payload: bytes) -> None:
        """Fold an event of our own as heard."""
        fact = Fact(event, None, self.now_ns, sha256(payload).hexdigest())
        if isinstance(event.data, Finding):
            order = SignedOrder(subject=event.subject, payload=payload.decode(), signature="")
            self.desk.hear(Ask(fact, manager.ACTOR, order))
        else:
            self.desk.take(fact)

    def _waits(self, received: Received) -> bool:
        """Put a stored message off that matters only if its halt is not over in the end.

        Most of an old stream is about halts that are over, and reading and checking a message
        costs more than folding it.
        """
        if self.folded or received.sequence is None:
            return False
        if not received.subject.startswith(ABOUT_A_HALT):
            return False
        try:
            named = msgspec.json.decode(received.payload, type=_About)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        self._later.setdefault(named.data.halt_id, []).append(received)
        self.desk.halts.pass_over(received.sequence)
        return True

    async def _look_at_what_waits(self) -> None:
        """Without the acknowledgements of active halts every order system would seem silent."""
        later, self._later = self._later, {}
        for halt_id, waiting in later.items():
            if halt_id in self.desk.halts.lifted:
                continue
            for received in waiting:
                await self._look_at(received)
            await asyncio.sleep(0)

    async def _answer_old_asks(self) -> None:
        for number, ask in enumerate(list(self._unanswered.values())):
            await self.publish(*manager.decide(self.desk, ask, self.now_ns))
            if number % IN_A_ROW == 0:
                await asyncio.sleep(0)
        self._unanswered.clear()
        self.answered.set()

    async def _answer(self, judged: Judged) -> None:
        fact, event = judged.fact, judged.fact.event
        if event.subject.startswith("mts.v1.operations.halt.") and not isinstance(
            event, HaltAcknowledged
        ):
            self._fold(fact, judged.message)
            return
        self._at("heard" if fact.sequence is None else "read")
        payload = judged.message.payload.decode()
        order = SignedOrder(subject=event.subject, payload=payload, signature=judged.signature)
        ask = Ask(fact, judged.member.name, order)
        self.desk.hear(ask)
        # What is read before everything was read may have been answered further on.
        if self.folded or (fact.sequence is None and _halts_something(event)):
            await self.publish(*manager.decide(self.desk, ask, self.now_ns))
        if not self.folded and not isinstance(event, HaltAcknowledged):
            self._unanswered[event.event_id] = ask

    def _fold(self, fact: Fact, message: Received) -> None:
        """Fold what a halt worker decided, this one or another."""
        desk, event = self.desk, fact.event
        desk.take(fact)
        if isinstance(event, HaltRequested) and fact.sequence is not None:
            halt_id = event.data.halt_id
            self._stored_at_ns[halt_id] = fact.at_ns
            decided = Decided(halt_id, event.event_id, event.subject, message.payload.decode())
            if not self.folded:
                self._payloads[event.event_id] = decided
            elif halt_id in desk.halts.active:
                self._journal.request(decided)
        elif isinstance(event, HaltLifted):
            for halt_id in event.data.halt_ids:
                if halt_id in desk.halts.lifted:
                    self._later.pop(halt_id, None)
                    self._stored_at_ns.pop(halt_id, None)
                    self._journal.lift(halt_id)

    async def _refuse(self, received: Received, reason: str) -> None:
        """Say publicly that a stored message did not count; so many a minute, no more."""
        if received.sequence is None:
            return
        if not self.folded:
            self._denied.append((received, reason))
            del self._denied[:-REFUSALS_A_MINUTE]
            return
        now = monotonic_ns()
        self._refusals = [at for at in self._refusals if now - at < 60 * NANOSECONDS]
        if len(self._refusals) >= REFUSALS_A_MINUTE:
            return
        event = subjects.decode(received.subject, received.payload)
        digest = sha256(received.payload).hexdigest()
        fact = Fact(event, received.sequence, received.at_ns, digest)
        finding = alarms.refused(fact, received.subject, event.actor, reason)
        if finding.event_id not in self.desk.said:
            self._refusals.append(now)
            await self.publish(finding)

    async def _report(self, received: Received) -> None:
        """Take what an order system obeys; what the stream lost is requested again."""
        try:
            self._judge.signer(received, (received.subject,))
            report = decode_report(received.payload)
        except (Denied, Rejected):
            return
        if received.subject != report_subject(report.oms_id):
            return
        self.reports[report.oms_id] = report
        halts = self.desk.halts
        unknown = {each.halt_id for each in report.held} - halts.active.keys() - halts.lifted.keys()
        if not unknown or not self.folded:
            self._missed_since.pop(report.oms_id, None)
            return
        since = self._missed_since.setdefault(report.oms_id, monotonic_ns())
        if monotonic_ns() - since >= GRACE_NS and halts.sequence >= report.sequence:
            await self.publish(*manager.recovered(self.desk, report))


def _reduce_only(words: str) -> dict[Scope, Mode]:
    """Read the setting of that name. Raises Rejected for a word that is none."""
    modes: dict[Scope, Mode] = {}
    for word in filter(None, words.replace(" ", "").split(",")):
        name, _, fund_id = word.partition(":")
        if name not in LEVELS or (fund_id and name == "firm"):
            raise Rejected(f"halt.reduce_only has {word!r}; say strategy, fund, firm or fund:NAME")
        modes[Scope(LEVELS[name], fund_id)] = "REDUCE_ONLY"
    return modes


def _matters(event: Event) -> bool:
    """Whether the desk has anything to do with an event; settings have a worker of their own."""
    if isinstance(event, ConfigureCommanded | ModeCommanded):
        return False
    if isinstance(event.data, Finding | Command):
        return True
    return event.subject.startswith("mts.v1.operations.halt.")


def _moves_nothing(event: Event) -> bool:
    """Whether an old finding is of a check that may stop nothing, and does not ask for it."""
    if not isinstance(event.data, Finding) or event.data.halt_level is not None:
        return False
    return event.data.check != OWN_CHECK and rule_of(event.data.check) is None


def _halts_something(event: Event) -> bool:
    """Whether an ask can only stop things: then it is answered before the stream was read."""
    if isinstance(event, FindingRaised | FindingUpdated):
        return event.data.halt_level is not None
    return event.subject == "mts.v1.operations.command.halt"


def _burned(outcome: Outcome, at_ns: int) -> Event:
    """Return the finding that somebody put a message of his own under an id of ours."""
    event = outcome.event
    episode = derived_id(event.event_id, "burned", event.subject, outcome.sequence)
    finding = Finding(
        check=OWN_CHECK,
        episode=episode,
        severity="critical",
        title=f"the id of {event.subject} {event.event_id} was taken by a foreign message",
        looked_at=rfc3339(at_ns),
        rule_version="burned/v1",
        details=f"{outcome.reason}; look who published it",
        mode="act",
    )
    return FindingRaised(
        event_id=episode,
        timestamp=rfc3339(at_ns),
        actor=manager.ACTOR,
        subject_id=event.event_id,
        data=finding,
    )
