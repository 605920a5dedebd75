"""Everything that a decision about halts is made from, folded from what was stored or heard.

Two kinds of facts arrive. Answers (`halt.*`) are taken as they are; asks (findings, commands,
acknowledgements) are heard with who signed them, after the signature was judged. All of it is kept
as sets, and what has to be compared is compared by its place in the stream, so the order in which
facts arrive and hearing one twice change nothing, and several halt workers agree.
"""

from bisect import bisect_right, insort
from collections.abc import Iterator
from typing import NamedTuple

from msgspec import Struct

from operations.clock import parse_rfc3339
from operations.errors import Denied
from operations.events import halts as kinds
from operations.events.base import Event
from operations.events.commands import Command, CosignCommanded, ResumeCommanded
from operations.events.findings import FindingCleared, FindingRaised, FindingUpdated
from operations.events.halts import SignedOrder
from operations.halt import policy, signoff
from operations.halt.coverage import Coverage
from operations.halt.policy import Judged, Seen
from operations.halt.signoff import Trust
from operations.halt.state import Episode, Fact, Halts, Scope, scope_of

OWN_CHECK = "halt"  # under which halt workers find things themselves
STREAK_LENGTH = 16  # observations kept of one episode of findings; more than any rule wants


class Ask(NamedTuple):
    """A finding, command or acknowledgement whose signature was judged.

    `signer` is the name of the member of the roster who signed it, `order` the message as sent.
    """

    fact: Fact
    signer: str
    order: SignedOrder


class Request(NamedTuple):
    """A stored or heard `halt.requested`, as far as lifts compare themselves with it."""

    sequence: int
    event_id: str
    halt_id: str
    scope: Scope
    fund_id: str


class Lifted(NamedTuple):
    """How a halt ended, and what that means for its trigger."""

    sequence: int
    resume_id: str
    muted_until_ns: int


class Trigger(NamedTuple):
    """What raises automatic halts: a check over a scope."""

    check: str
    scope: Scope


class Evidence(NamedTuple):
    """What a request for a halt rested on: the event that asked, its statistic, its place."""

    cause: str
    statistic: float | None
    sequence: int | None


class Wish(Struct):
    """A resume and what became of it; open until it was denied or lifted."""

    resume: Ask | None = None
    cosigns: dict[str, Ask] = {}
    denial: str | None = None
    lifted_at: int | None = None

    @property
    def open(self) -> bool:
        """Whether it may still lift something."""
        return self.resume is not None and self.denial is None and self.lifted_at is None


class Desk:
    """The state of a halt worker, and of every board that shows it.

    `expected` are the order systems that have to obey, `modes` the modes that automatic halts get
    instead of their rule's: by scope, with an empty id for all of a level. `trust` may be replaced
    by a newer roster at any time.
    """

    def __init__(self, trust: Trust, expected: frozenset[str] = frozenset()) -> None:
        self.trust = trust
        self.expected = expected
        self.modes: dict[Scope, kinds.Mode] = {}
        self.halts = Halts()
        self.coverage = Coverage()
        self.said: set[str] = set()  # ids of our own events that were stored or heard
        self.wishes: dict[str, Wish] = {}
        self.open_wishes: dict[str, None] = {}
        self.commands: dict[str, int] = {}  # command id to the place where it was stored first
        self.findings: dict[str, int] = {}  # event id of a finding to its place in the stream
        self.lifts: dict[str, Lifted] = {}
        self.void_lifts: dict[str, tuple[Fact, str]] = {}  # stored, and their orders do not count
        self.expected_for: dict[str, frozenset[str]] = {}
        self.activations: dict[str, tuple[Fact, str]] = {}  # first request and the hash there
        self.evidence: dict[str, dict[str, Evidence]] = {}
        self.parked: dict[Trigger, Ask] = {}  # newest ask of a muted trigger
        self.alarms: dict[str, FindingRaised] = {}  # our own findings that are not cleared
        self._halts_of: dict[Trigger, set[str]] = {}
        self._stored: list[Request] = []
        self._stored_ids: set[str] = set()
        self._heard: dict[str, Request] = {}
        self._observed: dict[tuple[str, str], list[tuple[int, str, Seen]]] = {}

    def take(self, fact: Fact) -> None:
        """Fold an event of `halt.*` that a halt worker signed; others are only counted as read."""
        event = fact.event
        if isinstance(event, kinds.HaltLifted):
            self._take_lift(fact)
        elif isinstance(event, kinds.HaltRequested):
            self._take_request(fact)
        elif isinstance(event, kinds.ResumeDenied):
            self._wish(event.data.resume_id).denial = event.data.reason
            self.open_wishes.pop(event.data.resume_id, None)
        elif isinstance(event, kinds.HaltActivated):
            self.activations.pop(event.data.halt_id, None)
            self.expected_for[event.data.halt_id] = frozenset(event.data.expected_oms_ids)
        if not isinstance(event, kinds.HaltLifted):
            self.said.add(event.event_id)
        self.halts.pass_over(fact.sequence or 0)

    def hear(self, ask: Ask) -> None:
        """Fold a finding, a command or an acknowledgement whose signature holds."""
        event = ask.fact.event
        if isinstance(event, kinds.HaltAcknowledged):
            self.coverage.acknowledge(ask.fact, ask.signer)
        elif isinstance(event, FindingRaised | FindingUpdated | FindingCleared):
            self._hear_finding(event, ask.fact)
        elif isinstance(event.data, Command) and ask.fact.sequence is not None:
            self._hear_command(event, event.data, ask, ask.fact.sequence)
        self.halts.pass_over(ask.fact.sequence or 0)

    @property
    def last_request(self) -> int:
        """Place of the last `halt.requested` that was folded, 0 before the first.

        A lift is published on the condition that the stream has no newer one.
        """
        return self._stored[-1].sequence if self._stored else 0

    def replayed(self, ask: Ask) -> bool:
        """Whether the stream held another message under the id of this stored command before."""
        data, sequence = ask.fact.event.data, ask.fact.sequence
        if not isinstance(data, Command) or sequence is None:
            return False
        return self.commands.get(data.command_id, sequence) < sequence

    def streak(self, event: Judged) -> int:
        """Count the breaches in a row in the episode of this finding, up to it."""
        observed = self._observed.get((event.data.check, event.data.episode), [])
        upto = (parse_rfc3339(event.data.looked_at), event.event_id)
        return policy.streak(seen for at_ns, name, seen in observed if (at_ns, name) <= upto)

    def last_lift(self, trigger: Trigger) -> Lifted | None:
        """Return the newest lift of a halt that this trigger had caused."""
        ended = [self.lifts[each] for each in self._halts_of.get(trigger, ()) if each in self.lifts]
        return max(ended, default=None)

    def asked_at(self, resume_id: str) -> int | None:
        """Return the place of a resume command in the stream, None when it is not known."""
        wish = self.wishes.get(resume_id)
        return wish.resume.fact.sequence if wish and wish.resume else None

    def worst(self, halt_id: str, below: int | None = None) -> tuple[Evidence, ...]:
        """Return the evidence of a halt, or only what was stored before a place in the stream."""
        found = self.evidence.get(halt_id, {}).values()
        if below is None:
            return tuple(found)
        return tuple(each for each in found if each.sequence is not None and each.sequence < below)

    def overtaken_by(self, wish: Wish) -> Request | None:
        """Return the first stored request in the scope of a resume that is newer than it."""
        assert wish.resume is not None
        after = wish.resume.fact.sequence or 0
        start = bisect_right(self._stored, after, key=lambda each: each.sequence)
        newer = self._stored[start:]
        return next(self._touching(wish, newer), None)

    def racing(self, wish: Wish) -> Request | None:
        """Return a request in the scope of a resume that was heard and is not stored yet."""
        return next(self._touching(wish, list(self._heard.values())), None)

    def phase(self, halt_id: str) -> str:
        """Return ACTIVE, RESUME_PENDING or LIFTED, and an empty text for an unknown halt."""
        if halt_id in self.halts.lifted:
            return "LIFTED"
        if halt_id not in self.halts.active:
            return ""
        for resume_id in self.open_wishes:
            wish = self.wishes[resume_id]
            if halt_id in halt_ids_of(wish) and self.overtaken_by(wish) is None:
                return "RESUME_PENDING"
        return "ACTIVE"

    def expected_by(self, halt_id: str) -> frozenset[str]:
        """Return the order systems that have to obey a halt."""
        return self.expected_for.get(halt_id, self.expected)

    def _take_request(self, fact: Fact) -> None:
        event = fact.event
        assert isinstance(event, kinds.HaltRequested)
        halt = event.data
        new = halt.halt_id not in self.halts.lifted
        known = self.halts.stored(halt.halt_id) is not None
        self.halts.request(fact)
        self._remember(event, fact.sequence)
        trigger = Trigger(halt.requested_by, scope_of(event))
        if halt.rule_version is not None:
            self._halts_of.setdefault(trigger, set()).add(halt.halt_id)
        evidence = self.evidence.setdefault(halt.halt_id, {})
        before = evidence.get(event.event_id)
        place = fact.sequence if before is None or before.sequence is None else before.sequence
        evidence[event.event_id] = Evidence(event.causation_id or "", halt.statistic, place)
        if new:
            self.coverage.request(fact)
            if fact.sequence is not None and not known:
                self.activations[halt.halt_id] = (fact, self.halts.state_hash)

    def _remember(self, event: kinds.HaltRequested, sequence: int | None) -> None:
        if event.event_id in self._stored_ids:
            return
        request = Request(
            sequence or 0,
            event.event_id,
            event.data.halt_id,
            scope_of(event),
            event.fund_id or "",
        )
        if sequence is None:
            self._heard[event.event_id] = request
            return
        self._heard.pop(event.event_id, None)
        self._stored_ids.add(event.event_id)
        insort(self._stored, request)

    def _take_lift(self, fact: Fact) -> None:
        """Fold a lift that is stored and holds; one that was only heard changes nothing."""
        event = fact.event
        assert isinstance(event, kinds.HaltLifted)
        if fact.sequence is None:
            return
        try:
            signoff.judge_lift(fact, self.halts, self.trust)
        except Denied as error:
            if not set(event.data.halt_ids) <= self.halts.lifted.keys():
                self.void_lifts[event.event_id] = (fact, str(error))
            return
        self.halts.lift(fact)
        lift = event.data
        until = parse_rfc3339(lift.muted_until) if lift.muted_until else 0
        lifted = Lifted(fact.sequence, lift.resume_id, until)
        for halt_id in lift.halt_ids:
            self.lifts[halt_id] = min(lifted, self.lifts.get(halt_id, lifted))
            self.coverage.end(halt_id)
            self.activations.pop(halt_id, None)
        wish = self._wish(lift.resume_id)
        wish.lifted_at = min(fact.sequence, wish.lifted_at or fact.sequence)
        self.open_wishes.pop(lift.resume_id, None)

    def _hear_finding(self, event: Judged, fact: Fact) -> None:
        finding = event.data
        if fact.sequence is not None:
            first = self.findings.get(event.event_id, fact.sequence)
            self.findings[event.event_id] = min(fact.sequence, first)
        if finding.check == OWN_CHECK:
            self._hear_own(event)
            return
        if policy.rule_of(finding.check) is None:
            return
        observed = self._observed.setdefault((finding.check, finding.episode), [])
        one = (parse_rfc3339(finding.looked_at), event.event_id, policy.seen(event))
        if one not in observed:
            insort(observed, one)
            del observed[:-STREAK_LENGTH]

    def _hear_own(self, event: Judged) -> None:
        self.said.add(event.event_id)
        if isinstance(event, FindingRaised):
            self.alarms.setdefault(event.data.episode, event)
        elif isinstance(event, FindingCleared):
            self.alarms.pop(event.data.episode, None)

    def _hear_command(self, event: Event, data: Command, ask: Ask, sequence: int) -> None:
        first = min(sequence, self.commands.get(data.command_id, sequence))
        self.commands[data.command_id] = first
        if first < sequence:
            return
        if isinstance(event, ResumeCommanded):
            wish = self._wish(event.data.resume_id)
            if wish.resume is None or sequence < (wish.resume.fact.sequence or 0):
                wish.resume = ask
            if wish.open:
                self.open_wishes[event.data.resume_id] = None
        elif isinstance(event, CosignCommanded):
            self._wish(event.data.resume_id).cosigns.setdefault(event.event_id, ask)

    def _wish(self, resume_id: str) -> Wish:
        return self.wishes.setdefault(resume_id, Wish())

    def _touching(self, wish: Wish, requests: list[Request]) -> Iterator[Request]:
        episodes = [self.halts.stored(each) for each in halt_ids_of(wish)]
        known = [each for each in episodes if each is not None]
        for request in requests:
            if any(touches(request, each) for each in known) or len(known) < len(episodes):
                yield request


def touches(request: Request, episode: Episode) -> bool:
    """Whether a request concerns what the lift of an episode would free.

    One scope contains the other, as far as is known: a strategy whose fund nobody named may belong
    to any fund, and a firm contains all. Drills concern drills alone.
    """
    ours, theirs = request.scope, episode.scope
    drills = [_is_drill(ours), _is_drill(theirs)]
    if any(drills):
        return all(drills)
    if "FIRM_HALT" in (ours.level, theirs.level):
        return True
    if ours.level == theirs.level:
        return ours == theirs
    funds = (_fund(ours, request.fund_id), _fund(theirs, episode.fund_id))
    return funds[0] == funds[1] or "" in funds


def halt_ids_of(wish: Wish) -> tuple[str, ...]:
    """Return the halts that a resume names."""
    event = wish.resume.fact.event if wish.resume else None
    return event.data.halt_ids if isinstance(event, ResumeCommanded) else ()


def _is_drill(scope: Scope) -> bool:
    return scope == Scope("STRATEGY_HALT", kinds.DRILL_STRATEGY)


def _fund(scope: Scope, fund_id: str) -> str:
    return scope.id if scope.level == "FUND_HALT" else fund_id
