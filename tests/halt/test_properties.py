"""Do the promises about halts hold whatever people, checks, workers and thieves do, in any order?

Two halt workers read one stream, each at its own pace; both also hear messages early. The stream
refuses a lift when a newer request was stored, and stores each id once. A thief with the key of a
halt worker publishes lifts that carry whatever orders of people he has captured.
"""

import pytest
from halt_cases import (
    FUND,
    SECOND,
    STRATEGY,
    cosign_command,
    fact,
    finding,
    halt_command,
    lift_of,
    new_desk,
    requested,
    resume_command,
    signed,
)
from halt_model import Model, overlap, seen
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from msgspec.structs import replace

from operations.clock import parse_rfc3339, rfc3339
from operations.events.findings import FindingCleared, FindingRaised, FindingUpdated
from operations.events.halts import HaltLifted, HaltRequested
from operations.halt import manager
from operations.halt.records import Ask
from operations.halt.state import FIRM, Scope

pytestmark = pytest.mark.unit

OTHER = Scope("STRATEGY_HALT", "momentum")  # of fund alpha as well, and nobody says so
SCOPES = (STRATEGY, OTHER, FUND, Scope("FUND_HALT", "beta"), FIRM)
MAY_RESUME = {
    "STRATEGY_HALT": {"alice", "bob", "carol", "dora"},
    "FUND_HALT": {"alice", "bob", "carol"},
    "FIRM_HALT": {"alice", "bob", "carol", "dora"},
}
MAY_COSIGN = {"alice", "bob", "carol"}
# Those who may are drawn more often, so that lifts are common.
PEOPLE = st.sampled_from(["alice", "bob", "alice", "bob", "carol", "dora", "erin", "mallory"])
HALTED = st.sampled_from((FIRM, FIRM, *SCOPES))
WORKER = st.integers(0, 1)


class Firm(Model, RuleBasedStateMachine):
    """What people, checks, workers and a thief do, in any order."""

    @initialize()
    def four_halts(self):
        self.begin()
        for scope in (FIRM, STRATEGY, OTHER, FUND):
            self.send(halt_command(self.name("h"), scope), "alice", {0, 1}, stored_first=True)

    HEARD = st.sets(WORKER)

    @rule(
        scope=HALTED,
        heard=HEARD,
        mode=st.sampled_from(["BLOCK_ALL", "REDUCE_ONLY"]),
        first=st.booleans(),
    )
    def somebody_halts(self, scope, heard, mode, first):
        event = halt_command(self.name("h"), scope, mode=mode)
        self.send(event, "alice", heard, stored_first=first)

    @rule(
        data=st.data(),
        scope=HALTED,
        heard=HEARD,
        mode=st.sampled_from(["BLOCK_ALL", "REDUCE_ONLY"]),
        first=st.booleans(),
    )
    def somebody_halts_under_an_id_that_is_taken(self, data, scope, heard, mode, first):
        known = sorted(self.desks[0].halts.active) or ["h1"]
        halt_id = data.draw(st.sampled_from(known))
        event = halt_command(halt_id, scope, event_id=self.name("again"), mode=mode)
        self.send(event, "alice", heard, stored_first=first)

    @rule(
        scope=st.sampled_from(SCOPES),
        heard=HEARD,
        statistic=st.none() | st.sampled_from([9.0, 12.0, 15.0, 40.0]),
        episode=st.integers(1, 2),
        kind=st.sampled_from([FindingRaised, FindingUpdated, FindingCleared]),
        first=st.booleans(),
    )
    def a_check_finds(self, scope, heard, statistic, episode, kind, first):
        name = self.name("f")
        check = "news_aggregate" if scope == FIRM else "drawdown"
        event = finding(
            check,
            name,
            kind,
            scope,
            statistic=statistic,
            episode=f"{check} {scope} {episode}",
            looked_at=rfc3339(self.now),
        )
        self.send(event, "service-limits", heard, stored_first=first)

    @rule(
        data=st.data(),
        by=PEOPLE,
        treatment=st.sampled_from(["CLEARED", "MUTED"]),
        seconds=st.sampled_from([1, 60, 600]),
    )
    def somebody_resumes(self, data, by, treatment, seconds):
        known = sorted(self.desks[0].halts.active) or ["nothing"]
        halt_ids = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=4, unique=True))
        until = rfc3339(self.now + 120 * SECOND) if treatment == "MUTED" else None
        resume_id = self.name("r")
        event = resume_command(
            *halt_ids,
            resume_id=resume_id,
            treatment=treatment,
            muted_until=until,
            expires_at=rfc3339(self.now + seconds * SECOND),
            as_of_sequence=self.places[0] if data.draw(st.booleans()) else None,
        )
        self.resumes[resume_id] = (by, event, signed(event, by))
        self.captured.append(signed(event, by))
        self.send(event, by, ())

    @precondition(lambda self: self.resumes)
    @rule(data=st.data(), by=PEOPLE, seconds=st.sampled_from([1, 600]))
    def somebody_cosigns(self, data, by, seconds):
        resume_id = data.draw(st.sampled_from(sorted(self.resumes)))
        event = cosign_command(
            self.resumes[resume_id][2],
            resume_id=resume_id,
            event_id=self.name("c"),
            expires_at=rfc3339(self.now + seconds * SECOND),
        )
        self.cosigns[resume_id, by] += 1
        self.captured.append(signed(event, by))
        self.send(event, by, ())

    @rule(data=st.data(), first=PEOPLE, second=PEOPLE, worker=WORKER, himself=st.booleans())
    def two_people_lift_what_a_worker_has_read(self, data, first, second, worker, himself):
        """The straight way, so that lifts are common: ask, read, cosign, read."""
        self.a_worker_reads_on(worker, len(self.stream) + 1)
        known = sorted(self.desks[worker].halts.active)
        if not known:
            return
        chosen = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
        resume_id = self.name("r")
        event = resume_command(
            *chosen, resume_id=resume_id, expires_at=rfc3339(self.now + 600 * SECOND)
        )
        self.resumes[resume_id] = (first, event, signed(event, first))
        self.send(event, first, ())
        self.a_worker_reads_on(worker, len(self.stream) + 1)
        second = first if himself else second
        cosign = cosign_command(
            self.resumes[resume_id][2],
            resume_id=resume_id,
            event_id=self.name("c"),
            expires_at=rfc3339(self.now + 600 * SECOND),
        )
        self.cosigns[resume_id, second] += 1
        self.captured += [signed(event, first), signed(cosign, second)]
        self.send(cosign, second, ())
        self.a_worker_reads_on(worker, len(self.stream) + 1)

    @rule(worker=WORKER, count=st.integers(1, 30))
    def a_worker_reads_on(self, worker, count):
        for stored in self.stream[self.places[worker] : self.places[worker] + count]:
            self.places[worker] += 1
            if isinstance(stored, Ask):
                self.deliver(worker, stored)
            else:
                self.desks[worker].take(stored)

    @rule(worker=WORKER)
    def time_brings_what_is_due(self, worker):
        self.publish(worker, manager.due(self.desks[worker], self.now))

    @rule(worker=WORKER)
    def a_worker_starts_again(self, worker):
        """It reads the whole stream, then decides every ask in it anew."""
        self.desks[worker] = desk = new_desk()
        for stored in list(self.stream):
            (desk.hear if isinstance(stored, Ask) else desk.take)(stored)
        self.places[worker] = len(self.stream)
        for stored in list(self.stream):
            if isinstance(stored, Ask):
                self.publish(worker, manager.decide(desk, stored, self.now))

    @rule(seconds=st.sampled_from([1, 30, 300, 900]))
    def time_passes(self, seconds):
        self.passed_ns += seconds * SECOND

    @precondition(lambda self: self.captured)
    @rule(data=st.data(), seconds=st.sampled_from([0, 0, 0, 601]))
    def a_thief_publishes_a_lift_of_his_own(self, data, seconds):
        self.passed_ns += seconds * SECOND
        resumes = [each for each in self.captured if each.subject.endswith("resume")]
        resume = data.draw(st.sampled_from(resumes[-3:]))
        orders = [resume]
        if data.draw(st.booleans()):
            orders.append(data.draw(st.sampled_from(self.captured[-4:])))
        lift = replace(lift_of(resume), orders=tuple(orders))
        if data.draw(st.booleans()):
            known = sorted(self.desks[0].halts.active) or ["nothing"]
            lift = replace(lift, halt_ids=tuple(data.draw(st.sets(st.sampled_from(known)))))
        event = HaltLifted(
            event_id=self.name("thief"),
            timestamp=rfc3339(self.now),
            actor="halt",
            subject_id=lift.resume_id,
            data=lift,
        )
        stored = self.store(fact(event))
        for desk in self.desks:
            desk.take(stored._replace(sequence=None))

    @rule(data=st.data(), scope=HALTED)
    def a_thief_requests_a_halt_under_a_known_id(self, data, scope):
        """He may stop whatever he likes; what is over does not come back."""
        known = sorted({*self.desks[0].halts.lifted, *self.desks[0].halts.active}) or ["h1"]
        halt_id = data.draw(st.sampled_from(known))
        stored = self.store(fact(requested(halt_id, scope, event_id=self.name("thief"))))
        for desk in self.desks:
            desk.take(stored._replace(sequence=None))

    # What must hold at every moment; what is slow to see is looked at now and then.

    @rule()
    def somebody_compares(self):
        self.a_lift_of_a_halt_worker_lost_against_every_newer_request_in_its_scope()
        self.everybody_who_has_read_everything_agrees()

    @invariant()
    def nothing_is_lifted_without_those_who_may(self):
        for desk in self.desks:
            for halt_id, lifted in desk.lifts.items():
                by, event, _ = self.resumes[lifted.resume_id]
                episode = desk.halts.stored(halt_id)
                level = episode.scope.level if episode else "FIRM_HALT"
                assert halt_id in event.data.halt_ids
                assert by in MAY_RESUME[level]
                at_ns = self.stream[lifted.sequence - 1].at_ns
                assert at_ns < parse_rfc3339(event.data.expires_at)
                if level == "FIRM_HALT":
                    assert any(self.cosigns[lifted.resume_id, other] for other in MAY_COSIGN - {by})

    @invariant()
    def nothing_is_lifted_past_what_its_signer_had_looked_at(self):
        for desk in self.desks:
            for halt_id, lifted in desk.lifts.items():
                as_of = self.resumes[lifted.resume_id][1].data.as_of_sequence
                for newer in self.stream[as_of : lifted.sequence - 1] if as_of is not None else ():
                    if not isinstance(newer, Ask) and isinstance(newer.event, HaltRequested):
                        assert newer.event.data.halt_id != halt_id

    @invariant()
    def what_is_active_is_what_was_requested_and_not_lifted_by_name(self):
        for desk in self.desks:
            requested = {request.halt_id for request in desk._stored}
            requested |= {request.halt_id for request in desk._heard.values()}
            assert set(desk.halts.active) == requested - set(desk.lifts)

    def a_lift_of_a_halt_worker_lost_against_every_newer_request_in_its_scope(self):
        for stored in self.stream:
            if isinstance(stored, Ask) or stored.event.event_id not in self.honest:
                continue
            lift = stored.event.data
            asked = self.place_of(self.resumes[lift.resume_id][1].event_id)
            scopes = [self.scope_of(halt_id, stored.sequence) for halt_id in lift.halt_ids]
            for newer in self.stream[asked : stored.sequence - 1]:
                if not isinstance(newer, Ask) and isinstance(newer.event, HaltRequested):
                    other = self.scope_of(newer.event.data.halt_id, stored.sequence)
                    assert not any(overlap(other, scope) for scope in scopes)

    @invariant()
    def a_lift_of_a_halt_worker_counts_wherever_it_is_judged(self):
        for desk in self.desks:
            assert desk.void_lifts.keys().isdisjoint(self.honest)

    def everybody_who_has_read_everything_agrees(self):
        self.read_the_rest()
        fresh, late = new_desk(), new_desk()
        for stored in self.stream:
            (fresh.hear if isinstance(stored, Ask) else fresh.take)(stored)
        for again in (1, 2):
            for stored in self.stream:
                hear = late.hear if isinstance(stored, Ask) else late.take
                if again == 1 and isinstance(stored, Ask):
                    hear(stored._replace(fact=stored.fact._replace(sequence=None)))
                elif again == 1:
                    hear(stored._replace(sequence=None))
                else:
                    hear(stored)
                    hear(stored)
        assert seen(late) == seen(fresh)
        assert self.order_system.state_hash == fresh.halts.state_hash
        assert set(self.order_system.active) == set(fresh.halts.active)
        for worker, desk in enumerate(self.desks):
            if self.places[worker] == len(self.stream) and not desk._heard:
                assert seen(desk) == seen(fresh)

    def teardown(self):
        """In the end every halt that somebody asked for stops something, or people lifted it."""
        for _ in range(4):
            for worker in (0, 1):
                self.a_worker_reads_on(worker, len(self.stream) + 1000)
                self.time_brings_what_is_due(worker)
        self.somebody_compares()
        stored = [each for each in self.stream if isinstance(each, Ask)]
        desk = self.desks[0]
        for each in stored:
            event = each.fact.event
            if event.subject.endswith("command.halt"):
                halt_id = event.data.halt_id
                assert halt_id in desk.halts.active or halt_id in desk.halts.lifted


Firm.TestCase.settings = settings(max_examples=100, stateful_step_count=30)
TestFirm = Firm.TestCase
