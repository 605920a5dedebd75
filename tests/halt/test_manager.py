"""Does a halt worker stop what people and checks ask it to stop, once, and say so?"""

import pytest
from halt_cases import (
    FUND,
    NOON,
    SECOND,
    STRATEGY,
    ask,
    cosign_command,
    drill_command,
    fact,
    finding,
    halt_command,
    new_desk,
    resume_command,
    signed,
)
from halt_floor import Floor, only, refusal

from operations.clock import rfc3339
from operations.events.base import encode
from operations.events.commands import CancelAllCommanded, CancelAllOrder
from operations.events.findings import FindingRaised, FindingUpdated
from operations.events.halts import (
    HaltRequested,
)
from operations.halt import manager, policy
from operations.halt.signals import Held, Report
from operations.halt.state import FIRM, Scope

pytestmark = pytest.mark.unit


@pytest.fixture
def floor():
    return Floor()


def test_a_halt_by_a_person_is_decided_before_it_is_stored(floor):
    heard = ask(halt_command("h1"), "alice")
    floor.desk.hear(heard)
    event = only(manager.decide(floor.desk, heard, NOON), HaltRequested)
    assert (event.data.halt_id, event.data.mode) == ("h1", "BLOCK_ALL")
    assert event.data.requested_by == "alice"
    assert event.strategy_id == STRATEGY.id
    assert event.data.payload_sha256 == heard.fact.payload_sha256
    assert event.causation_id == "halt-h1"


def test_several_halt_workers_make_the_same_bytes_whenever_they_hear_an_ask():
    for event in (halt_command("h1"), drill_command(), finding()):
        made = set()
        for sequence, at_ns in ((None, NOON + 5), (None, NOON + 9), (4, NOON + 7)):
            desk = new_desk()
            heard = ask(event, "alice", sequence, at_ns)
            desk.hear(heard)
            made |= {encode(each) for each in manager.decide(desk, heard, at_ns)}
        assert len(made) == 1


def test_an_answer_is_given_once(floor):
    heard = ask(halt_command("h1"), "alice")
    floor.desk.hear(heard)
    for event in manager.decide(floor.desk, heard, NOON):
        floor.desk.take(fact(event))
    assert floor.tell(halt_command("h1")) == []


def test_a_halt_is_obeyed_whatever_its_clock_says(floor):
    event = halt_command("h1", expires_at=rfc3339(NOON - 3600 * SECOND))
    only(floor.tell(event), HaltRequested)
    assert floor.active == {"h1"}


def test_a_halt_that_names_nothing_stops_the_firm(floor):
    event = only(floor.tell(halt_command("h1", Scope("FUND_HALT", ""))), HaltRequested)
    assert event.data.level == "FIRM_HALT"
    assert floor.desk.halts.active["h1"].scope == FIRM


def test_a_replayed_halt_stops_nothing_again_and_is_reported(floor):
    floor.tell(halt_command("h1"))
    floor.resume("h1")
    assert floor.active == set()
    assert refusal(floor.tell(halt_command("h1"))) == "it was sent before"
    assert floor.active == set()


def test_a_new_halt_with_the_id_of_one_that_is_over_still_stops(floor):
    floor.tell(halt_command("h1"))
    floor.resume("h1")
    event = only(floor.tell(halt_command("h1", event_id="another")), HaltRequested)
    assert event.data.halt_id != "h1"
    assert floor.active == {event.data.halt_id}


def test_overlapping_halts_of_one_scope_stand_beside_each_other(floor):
    floor.tell(halt_command("h1"))
    floor.tell(halt_command("h2"))
    floor.resume("h1")
    assert floor.active == {"h2"}
    assert STRATEGY in floor.desk.halts.verdicts


def test_a_drill_halts_the_reserved_strategy_alone(floor):
    event = only(floor.tell(drill_command()), HaltRequested)
    assert (event.strategy_id, event.environment) == ("drill", "drill")
    assert event.data.reason_code == "DRILL"


def test_an_expired_or_replayed_drill_is_refused(floor):
    late = drill_command("d1", expires_at=rfc3339(NOON))
    assert "expired" in refusal(floor.tell(late))
    floor.tell(drill_command("d2"))
    assert refusal(floor.tell(drill_command("d2"))) == "it was sent before"


def test_an_expired_cancel_is_refused_with_an_event_that_names_it(floor):
    event = CancelAllCommanded(
        event_id="cancel",
        timestamp=rfc3339(NOON),
        actor="alice",
        subject_id="all",
        data=CancelAllOrder(
            command_id="c1", issued_at=rfc3339(NOON), expires_at=rfc3339(NOON), reason=""
        ),
    )
    found = only(floor.tell(event), FindingRaised)
    assert (found.subject_id, found.causation_id) == ("c1", "cancel")
    assert "expired" in found.data.details


def test_a_finding_halts_with_its_figures(floor):
    event = only(floor.tell(finding(samples=42), "service-limits"), HaltRequested)
    halt = event.data
    assert (halt.level, event.fund_id, halt.reason_code) == ("FUND_HALT", "alpha", "DRAWDOWN")
    assert (halt.statistic, halt.threshold, halt.samples) == (12.0, 10.0, 42)
    assert (event.correlation_id, event.causation_id) == ("episode-1", "f1")


def test_breaches_are_counted_over_the_findings_of_an_episode(floor):
    for name, second in (("f1", 1), ("f2", 2)):
        looked_at = rfc3339(NOON + second * SECOND)
        kind = FindingRaised if second == 1 else FindingUpdated
        assert floor.tell(finding(name=name, kind=kind, looked_at=looked_at, parameters=())) == []
    third = finding(
        name="f3", kind=FindingUpdated, looked_at=rfc3339(NOON + 3 * SECOND), parameters=()
    )
    only(floor.tell(third), HaltRequested)


def test_a_bad_tick_among_breaches_neither_counts_nor_resets(floor):
    """Pitfall 11: the cure for bad ticks suppresses a real crash."""
    for second, statistic in enumerate((12.0, None, 12.0, None), start=1):
        looked_at = rfc3339(NOON + second * SECOND)
        event = finding(
            name=f"f{second}",
            kind=FindingUpdated,
            statistic=statistic,
            looked_at=looked_at,
            parameters=(),
            halt_level="fund" if statistic else None,
        )
        assert floor.tell(event) == []
    last = finding(name="f9", looked_at=rfc3339(NOON + 9 * SECOND), parameters=())
    only(floor.tell(last), HaltRequested)


def test_a_streak_is_in_the_order_of_the_looks_and_not_of_arrival(floor):
    def look(second, statistic):
        return finding(
            name=f"f{second}",
            kind=FindingUpdated,
            statistic=statistic,
            looked_at=rfc3339(NOON + second * SECOND),
            parameters=(),
        )

    for second, statistic in ((4, 12.0), (2, 12.0), (3, 5.0)):
        assert floor.tell(look(second, statistic)) == []
    assert floor.desk.streak(look(4, 12.0)) == 1
    assert floor.tell(look(5, 12.0)) == []
    only(floor.tell(look(6, 12.0)), HaltRequested)


def test_an_ask_beyond_its_row_is_refused_with_an_event(floor):
    assert "may stop nothing" in refusal(floor.tell(finding("vpin"), "service-vpin"))
    assert floor.active == set()


def test_a_canary_stops_nothing(floor):
    assert floor.tell(finding(environment="canary")) == []


def test_more_of_the_same_is_no_new_halt_and_worse_is_evidence(floor):
    floor.tell(finding())
    (halt_id,) = floor.active
    same = finding(name="f2", kind=FindingUpdated)
    assert floor.tell(same) == []
    worse = finding(name="f3", kind=FindingUpdated, statistic=13.0)
    assert only(floor.tell(worse), HaltRequested).data.halt_id == halt_id
    again = finding(name="f4", episode="episode-2")
    assert only(floor.tell(again), HaltRequested).data.halt_id == halt_id
    assert floor.active == {halt_id}
    assert len(floor.desk.evidence_of(halt_id)) == 3


def test_the_settings_of_a_level_and_fund_soften_a_halt_and_never_harden_a_reduction(floor):
    floor.desk.modes[Scope("FUND_HALT", "")] = "REDUCE_ONLY"
    floor.desk.modes[Scope("FUND_HALT", "beta")] = "BLOCK_ALL"
    alpha = only(floor.tell(finding()), HaltRequested)
    beta = only(floor.tell(finding(name="f2", scope=Scope("FUND_HALT", "beta"))), HaltRequested)
    assert (alpha.data.mode, beta.data.mode) == ("REDUCE_ONLY", "BLOCK_ALL")
    stale = finding(name="f3", scope=Scope("FUND_HALT", "beta"), statistic=None)
    assert only(floor.tell(stale), HaltRequested).data.mode == "REDUCE_ONLY"


def test_each_appearance_of_the_file_of_an_order_system_is_a_halt_of_its_own(floor):
    own = Scope("STRATEGY_HALT", "oms.oms-1")
    first = only(floor.tell(finding("oms_oms-1", scope=own), "oms-1"), HaltRequested)
    assert first.data.halt_id == policy.halt_id_of("oms_oms-1", own, "episode-1")
    floor.resume(first.data.halt_id)
    assert floor.tell(finding("oms_oms-1", "f2", scope=own), "oms-1") == []
    third = finding("oms_oms-1", "f3", scope=own, episode="episode-2")
    assert only(floor.tell(third, "oms-1"), HaltRequested).data.halt_id != first.data.halt_id


def test_a_stream_that_cannot_be_trusted_reduces_the_firm_once(floor):
    made = manager.blind(floor.desk, "the stream is frozen since 12:00", NOON)
    event = only(made, HaltRequested)
    assert (event.data.level, event.data.mode) == ("FIRM_HALT", "REDUCE_ONLY")
    floor.publish(made)
    assert manager.blind(floor.desk, "the stream is full", NOON + SECOND) == ()
    order = signed(resume_command(event.data.halt_id), "alice")
    floor.resume(event.data.halt_id)
    floor.tell(cosign_command(order), "bob")
    assert floor.active == set()
    again = only(manager.blind(floor.desk, "the stream is full", floor.now), HaltRequested)
    assert again.data.halt_id != event.data.halt_id


def test_what_an_order_system_obeys_and_the_stream_lost_is_requested_again(floor):
    floor.tell(halt_command("h1"))
    floor.tell(halt_command("h2"))
    floor.resume("h2")
    held = (
        Held(halt_id="h1", level="STRATEGY_HALT", scope_id=STRATEGY.id, mode="BLOCK_ALL"),
        Held(halt_id="h2", level="STRATEGY_HALT", scope_id=STRATEGY.id, mode="BLOCK_ALL"),
        Held(halt_id="h3", level="FUND_HALT", scope_id="alpha", mode="REDUCE_ONLY"),
        Held(halt_id="h4", level="NONSENSE", scope_id="", mode="BLOCK_ALL"),
    )
    report = Report(
        oms_id="oms-1",
        run="x",
        count=1,
        issued_at=rfc3339(NOON),
        build="1",
        sequence=0,
        state_hash="",
        mode=None,
        why=(),
        held_count=4,
        held=held,
        roster_version=1,
    )
    floor.publish(manager.recovered(floor.desk, report))
    assert floor.active == {"h1", "h3", "h4"}
    assert floor.desk.halts.active["h3"].scope == FUND
    assert floor.desk.halts.active["h4"].scope == FIRM
    assert manager.recovered(floor.desk, report) == ()
