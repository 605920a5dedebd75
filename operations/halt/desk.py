"""Everything that a decision about halts is made from, folded from what was stored or heard.

Two kinds of facts arrive. Answers (`halt.*`) are taken as they are; asks (findings, commands,
acknowledgements) are heard with who signed them, after the signature was judged. All of it is kept
as sets, and what has to be compared is compared by its place in the stream, so the order in which
facts arrive and hearing one twice change nothing, and several halt workers agree.
"""

from bisect import bisect_right, insort
from collections.abc import Iterator

from operations.clock import parse_rfc3339
from operations.errors import Denied
from operations.events import halts as kinds
from operations.events.base import Event
from operations.events.commands import Command, CosignCommanded, ResumeCommanded
from operations.events.findings import FindingCleared, FindingRaised, FindingUpdated
from operations.halt import policy, signoff
from operations.halt.coverage import Coverage
from operations.halt.policy import Judged, Seen
from operations.halt.records import (
    Ask,
    Evidence,
    Lifted,
    Request,
    Trigger,
    Wish,
    as_of,
    halt_ids_of,
    touches,
)
from operations.halt.signoff import Trust
from operations.halt.state import Fact, Halts, Scope, scope_of

OWN_CHECK = "halt"  # under which halt workers find things themselves
KIND = "kind"  # parameter that says which of its findings one is
MISSING = "acknowledgement_missing"
STREAK_LENGTH = 16  # observations kept of one episode of findings; more than any rule wants


class Desk:
    """The state of a halt worker, and of every board that shows it.

    `expected` are the order systems that have to obey, `modes` the modes that automatic halts get
    instead of their rule's, by level and fund; an empty fund stands for all. `trust` may be
    replaced by a newer roster at any time.
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
        self.revisit: dict[str, None] = {}  # checks whose findings time or a race may decide anew
        self.alarms: dict[str, dict[str, FindingRaised]] = {}  # silent order systems, by halt
        self._caused: dict[str, str] = {}  # event id of what asked to the halt that came of it
        self.to_clear: dict[str, None] = {}  # halts with such an alarm that may be over
        self._halts_of: dict[Trigger, set[str]] = {}
        self._stored: list[Request] = []
        self._stored_ids: set[str] = set()
        self._heard: dict[str, Request] = {}
        self._latest: dict[tuple[str, str], Ask] = {}  # newest finding by check and episode
        self._observed: dict[tuple[str, str], list[tuple[int, str, Seen]]] = {}

    def take(self, fact: Fact) -> None:
        """Fold an event of `halt.*` that a halt worker signed; others are only counted as read."""
        event = fact.event
        if isinstance(event, kinds.HaltLifted):
            self._take_lift(fact)
        elif isinstance(event, kinds.HaltRequested):
            self._take_request(fact)
        elif isinstance(event, kinds.ResumeDenied):
            self._take_denial(event, fact.sequence)
            self.open_wishes.pop(event.data.resume_id, None)
        elif isinstance(event, kinds.HaltActivated):
            self.activations.pop(event.data.halt_id, None)
            self.expected_for[event.data.halt_id] = frozenset(event.data.expected_oms_ids)
            self._settle(event.data.halt_id)
        if not isinstance(event, kinds.HaltLifted):
            self.said.add(event.event_id)
        self.halts.pass_over(fact.sequence or 0)

    def hear(self, ask: Ask) -> None:
        """Fold a finding, a command or an acknowledgement whose signature holds."""
        event = ask.fact.event
        if isinstance(event, kinds.HaltAcknowledged):
            self.coverage.acknowledge(ask.fact, ask.signer)
            self._settle(event.data.halt_id)
        elif isinstance(event, FindingRaised | FindingUpdated | FindingCleared):
            self._hear_finding(event, ask)
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

    def evidence_of(self, halt_id: str) -> tuple[Evidence, ...]:
        """Return what every request for a halt rested on."""
        return tuple(self.evidence.get(halt_id, {}).values())

    def evidence_before(self, trigger: Trigger, resume_id: str, place: int) -> tuple[Evidence, ...]:
        """Return what was stored before a place about the halts that this resume then ended."""
        ended = (each for each in self._halts_of.get(trigger, ()) if each in self.lifts)
        return tuple(
            evidence
            for halt_id in ended
            if self.lifts[halt_id].resume_id == resume_id
            for evidence in self.evidence_of(halt_id)
            if evidence.sequence is not None and evidence.sequence < place
        )

    def to_revisit(self) -> tuple[Ask, ...]:
        """Return the newest findings of checks that were muted, or asked too late for a lift.

        One that is behind an active halt has its answer until that is lifted.
        """
        if not self.revisit:
            return ()
        active, caused = self.halts.active, self._caused
        return tuple(
            ask
            for (check, _), ask in self._latest.items()
            if check in self.revisit
            and not isinstance(ask.fact.event, FindingCleared)
            and caused.get(ask.fact.event.event_id) not in active
        )

    def overtaken_by(self, wish: Wish) -> Request | None:
        """Return the first stored request in the scope of a resume that its signer had not seen."""
        assert wish.resume is not None
        after = as_of(wish.resume)
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

    def silent(self, halt_id: str) -> frozenset[str]:
        """Return who is not known to obey a halt; an empty name when nobody is expected to."""
        expected = self.expected_by(halt_id)
        if not expected:
            return frozenset(("",))
        return self.coverage.missing(halt_id, expected)

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
        check = halt.requested_by if halt.rule_version is not None else ""
        cause = event.causation_id or ""
        self._caused[cause] = halt.halt_id
        evidence[event.event_id] = Evidence(cause, check, halt.statistic, place)
        if new:
            self.coverage.request(fact)
            self._settle(halt.halt_id)
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
            self._settle(halt_id)
            self.activations.pop(halt_id, None)
            self._revisit(halt_id)
        wish = self._wish(lift.resume_id)
        wish.lifted_at = min(fact.sequence, wish.lifted_at or fact.sequence)
        self.open_wishes.pop(lift.resume_id, None)

    def _take_denial(self, event: kinds.ResumeDenied, sequence: int | None) -> None:
        wish = self._wish(event.data.resume_id)
        wish.denial = event.data.reason
        if sequence is not None:
            wish.denied_at = min(sequence, wish.denied_at or sequence)

    def _revisit(self, halt_id: str) -> None:
        """Note the checks behind a halt that is over: their newest findings may count again."""
        for evidence in self.evidence_of(halt_id):
            if evidence.check:
                self.revisit[evidence.check] = None

    def _hear_finding(self, event: Judged, ask: Ask) -> None:
        finding, fact = event.data, ask.fact
        if finding.check == OWN_CHECK:
            self._hear_own(event)
            return
        if policy.rule_of(finding.check) is None:
            return  # it may stop nothing, and there may be millions of it
        if fact.sequence is not None:
            first = self.findings.get(event.event_id, fact.sequence)
            self.findings[event.event_id] = min(fact.sequence, first)
        observed = self._observed.setdefault((finding.check, finding.episode), [])
        one = (parse_rfc3339(finding.looked_at), event.event_id, policy.seen(event))
        if one not in observed:
            insort(observed, one)
            del observed[:-STREAK_LENGTH]
        if one == observed[-1]:
            self._latest[finding.check, finding.episode] = ask

    def _hear_own(self, event: Judged) -> None:
        self.said.add(event.event_id)
        named = {each.name: each.value for each in event.data.parameters}
        if named.get(KIND) != MISSING:
            return
        halt_id, oms_id = named.get("halt_id", ""), named.get("oms_id", "")
        if isinstance(event, FindingRaised):
            self.alarms.setdefault(halt_id, {}).setdefault(oms_id, event)
        elif isinstance(event, FindingCleared):
            self.alarms.get(halt_id, {}).pop(oms_id, None)
        self._settle(halt_id)

    def _settle(self, halt_id: str) -> None:
        """Note whether anybody still has to be waited for, and whether an alarm may be over."""
        alarmed = self.alarms.get(halt_id, {}).keys()
        silent = self.silent(halt_id) if halt_id in self.halts.active else frozenset()
        if silent - alarmed:
            self.coverage.unsettled[halt_id] = None
        else:
            self.coverage.end(halt_id)
        if alarmed - silent:
            self.to_clear[halt_id] = None
        else:
            self.to_clear.pop(halt_id, None)

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
        for each in requests:
            # One id for two scopes stops the firm, whichever of them this request named.
            merged = self.halts.stored(each.halt_id)
            request = each if merged is None else each._replace(scope=merged.scope)
            if any(touches(request, episode) for episode in known) or len(known) < len(episodes):
                yield request
