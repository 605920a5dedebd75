"""Is a halt lifted by exactly what it takes, and is everything else denied with its reason?"""

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
    member,
    new_desk,
    requested,
    resume_command,
    signed,
    trust,
)
from halt_floor import MINUTE, Floor, kinds, only, refusal

from operations.clock import rfc3339
from operations.events.base import encode
from operations.events.findings import FindingCleared, FindingRaised, FindingUpdated
from operations.events.halts import (
    HaltActivated,
    HaltLifted,
    HaltRequested,
    ResumeCosigned,
    ResumeDenied,
    ResumeRequested,
)
from operations.halt import manager
from operations.halt.records import Ask
from operations.halt.state import FIRM, Scope

pytestmark = pytest.mark.unit


@pytest.fixture
def floor():
    return Floor()


def test_one_person_lifts_a_fund_and_the_lift_carries_the_order(floor):
    floor.tell(halt_command("h1", FUND))
    floor.tell(halt_command("h2"))
    event = only(floor.resume("h1"), HaltLifted)
    assert event.data.signed_by == ("alice",)
    assert event.data.orders[0] == signed(resume_command("h1"), "alice")
    assert floor.active == {"h2"}
    assert floor.desk.phase("h1") == "LIFTED"


def test_a_resume_that_was_only_heard_is_not_answered(floor):
    floor.tell(halt_command("h1"))
    heard = ask(resume_command("h1"), "alice")
    floor.desk.hear(heard)
    assert manager.decide(floor.desk, heard, floor.now) == ()


def test_one_signed_command_lifts_every_strategy_and_fund_halt(floor):
    for halt_id, scope in (("h1", STRATEGY), ("h2", FUND), ("h3", FIRM)):
        floor.tell(halt_command(halt_id, scope))
    only(floor.resume("h1", "h2"), HaltLifted)
    only(floor.resume("h3", resume_id="r2"), ResumeRequested)
    assert floor.active == {"h3"}
    assert floor.desk.phase("h3") == "RESUME_PENDING"


def firm_resume(floor):
    floor.tell(halt_command("h1", FIRM))
    only(floor.resume("h1"), ResumeRequested)
    return signed(resume_command("h1"), "alice")


def test_a_second_person_completes_the_lift_of_the_firm(floor):
    order = firm_resume(floor)
    answers = floor.tell(cosign_command(order), "bob")
    assert only(answers, ResumeCosigned).data.cosigned_by == "bob"
    assert only(answers, HaltLifted).data.signed_by == ("alice", "bob")
    assert floor.active == set()


def test_a_request_to_cosign_names_what_is_to_be_cosigned(floor):
    floor.tell(halt_command("h1", FIRM))
    event = only(floor.resume("h1"), ResumeRequested)
    assert (
        event.data.payload_sha256
        == cosign_command(signed(resume_command("h1"), "alice")).data.resume_sha256
    )


@pytest.mark.parametrize(
    ("by", "data", "words"),
    [
        ("alice", {}, "cannot cosign it"),
        ("erin", {}, "may not sign"),
        ("dora", {}, "may not sign"),
        ("bob", {"resume_sha256": "0" * 64}, "SHA-256 of the resume"),
        ("bob", {"reason": " "}, "needs a reason"),
        ("bob", {"expires_at": rfc3339(NOON)}, "expired"),
    ],
)
def test_a_cosign_that_does_not_count_is_refused_and_the_request_stays_open(floor, by, data, words):
    order = firm_resume(floor)
    assert words in refusal(floor.tell(cosign_command(order, **data), by))
    assert floor.desk.phase("h1") == "RESUME_PENDING"
    only(floor.tell(cosign_command(order, event_id="good"), "carol"), HaltLifted)


def test_a_cosign_of_nothing_or_of_something_closed_is_refused(floor):
    order = signed(resume_command("h1"), "alice")
    assert "there is no resume r1" in refusal(floor.tell(cosign_command(order), "bob"))
    order = firm_resume(floor)
    floor.tell(cosign_command(order, event_id="c2"), "bob")
    words = refusal(floor.tell(cosign_command(order, event_id="c3"), "carol"))
    assert "its halts are lifted" in words


@pytest.mark.parametrize(
    ("by", "halt_ids", "data", "words"),
    [
        ("alice", ("h9",), {}, "there is no halt h9"),
        ("alice", ("h1", "h9"), {}, "there is no halt h9"),
        ("alice", ("h1",), {"reason": ""}, "needs a reason"),
        ("alice", ("h1", "h1"), {}, "each once"),
        ("alice", ("h1",), {"expires_at": rfc3339(NOON)}, "expired"),
        ("alice", ("h1",), {"treatment": "MUTED"}, "muted until a time"),
        ("erin", ("h1",), {}, "may not sign"),
        ("service-halt", ("h1",), {}, "may not sign"),
        ("mallory", ("h1",), {}, "unknown key"),
    ],
)
def test_a_resume_that_does_not_count_is_denied_with_the_reason(floor, by, halt_ids, data, words):
    floor.tell(halt_command("h1"))
    event = only(floor.resume(*halt_ids, by=by, **data), ResumeDenied)
    assert words in event.data.reason
    assert event.causation_id == "resume-r1"
    assert floor.active == {"h1"}
    assert floor.desk.phase("h1") == "ACTIVE"


def test_a_halt_is_lifted_once(floor):
    floor.tell(halt_command("h1"))
    floor.resume("h1")
    words = only(floor.resume("h1", resume_id="r2"), ResumeDenied).data.reason
    assert "lifted already" in words


def test_a_replayed_resume_is_refused_and_does_not_close_the_open_one(floor):
    order = firm_resume(floor)
    assert refusal(floor.resume("h1")) == "it was sent before"
    assert floor.desk.phase("h1") == "RESUME_PENDING"
    only(floor.tell(cosign_command(order), "bob"), HaltLifted)


def test_a_resume_under_the_id_of_another_is_refused(floor):
    order = firm_resume(floor)
    stolen = floor.resume("h1", by="bob", event_id="other", reason="mine")
    assert "is that of another resume" in refusal(stolen)
    only(floor.tell(cosign_command(order), "bob"), HaltLifted)


def test_a_resume_that_nobody_cosigns_expires(floor):
    """Pitfall 16: an approval executed after its expiry."""
    order = firm_resume(floor)
    assert kinds(floor.wait(9 * MINUTE)).isdisjoint({ResumeDenied, HaltLifted})
    event = only(floor.wait(10 * MINUTE), ResumeDenied)
    assert "expired" in event.data.reason
    assert floor.desk.phase("h1") == "ACTIVE"
    assert "is closed" in refusal(floor.tell(cosign_command(order), "bob"))


@pytest.mark.parametrize("scope", [FIRM, FUND, STRATEGY])
def test_any_new_halt_in_the_firm_ends_an_open_request_to_lift_the_firm(floor, scope):
    order = firm_resume(floor)
    answers = floor.tell(halt_command("h2", scope))
    assert isinstance(answers[0], HaltRequested)
    assert floor.desk.phase("h1") == "ACTIVE"
    assert "was requested at" in only(floor.wait(), ResumeDenied).data.reason
    assert "is closed" in refusal(floor.tell(cosign_command(order), "bob"))


def test_worse_evidence_ends_an_open_request_and_more_of_the_same_does_not(floor):
    floor.tell(finding("news_aggregate", scope=FIRM))
    (halt_id,) = floor.active
    floor.resume(halt_id)
    same = finding("news_aggregate", "f2", FindingUpdated, FIRM)
    assert floor.tell(same) == []
    assert floor.desk.phase(halt_id) == "RESUME_PENDING"
    worse = finding("news_aggregate", "f3", FindingUpdated, FIRM, statistic=30.0)
    only(floor.tell(worse), HaltRequested)
    only(floor.wait(), ResumeDenied)


def test_a_halt_that_came_before_the_resume_was_stored_and_was_not_seen_ends_it(floor):
    floor.tell(halt_command("h1"))
    seen = floor.sequence
    floor.tell(halt_command("h2"))
    denied = only(floor.resume("h1", as_of_sequence=seen), ResumeDenied)
    assert "halt h2" in denied.data.reason
    only(floor.resume("h1", resume_id="r2", as_of_sequence=floor.sequence), HaltLifted)


def test_a_request_that_widens_a_halt_to_the_firm_ends_every_open_request(floor):
    floor.tell(halt_command("h1"))
    floor.tell(halt_command("h2", Scope("STRATEGY_HALT", "other")))
    floor.sequence += 1
    asked = ask(resume_command("h2"), "alice", floor.sequence, floor.now)
    floor.desk.hear(asked)
    floor.publish([requested("h1", FUND, event_id="another-scope")])
    assert floor.desk.halts.active["h1"].scope == FIRM
    only(floor.wait(), ResumeDenied)


def test_a_drill_does_not_end_an_open_request(floor):
    firm_resume(floor)
    floor.tell(drill_command())
    assert floor.desk.phase("h1") == "RESUME_PENDING"


def test_a_lift_waits_for_a_request_in_its_scope_that_is_not_stored_yet(floor):
    floor.tell(halt_command("h1"))
    racing = fact(requested("h2"))
    floor.desk.take(racing)
    assert floor.resume("h1") == []
    assert kinds(floor.wait()) == {HaltActivated}
    floor.sequence += 1
    floor.desk.take(fact(racing.event, floor.sequence))
    only(floor.wait(), ResumeDenied)
    assert floor.active == {"h1", "h2"}


def test_a_lift_that_the_stream_refused_is_given_again_until_it_is_stored(floor):
    floor.tell(halt_command("h1"))
    floor.sequence += 1
    asked = ask(resume_command("h1"), "alice", floor.sequence, floor.now)
    floor.desk.hear(asked)
    first = only(manager.decide(floor.desk, asked, floor.now), HaltLifted)
    floor.desk.take(fact(first))
    assert floor.active == {"h1"}  # only the stream lifts
    assert not floor.desk.void_lifts
    again = only(manager.due(floor.desk, floor.now), HaltLifted)
    assert encode(again) == encode(first)


def test_a_lift_names_the_condition_under_which_it_is_published(floor):
    floor.tell(halt_command("h1"))
    stored = [each.sequence for each in floor.log if not isinstance(each, Ask)]
    assert floor.desk.last_request == stored[-1]
    floor.desk.take(fact(requested("h2")))
    assert floor.desk.last_request == stored[-1]


def test_a_cleared_trigger_latches_again_on_newer_evidence_only(floor):
    """Pitfall 5: the halt latches again at once."""
    old = finding()
    floor.tell(old)
    (halt_id,) = floor.active
    floor.resume(halt_id)
    asked = floor.log[0]
    assert manager.decide(floor.desk, asked, floor.now) == ()
    assert floor.wait() == []
    new = only(floor.tell(finding(name="f2", kind=FindingUpdated)), HaltRequested)
    assert new.data.halt_id != halt_id


def test_a_muted_trigger_does_not_latch_until_then_and_is_looked_at_when_it_ends(floor):
    floor.tell(finding())
    (halt_id,) = floor.active
    until = NOON + 30 * MINUTE
    floor.resume(halt_id, treatment="MUTED", muted_until=rfc3339(until))
    looked_at = rfc3339(NOON + MINUTE)
    worse = finding(name="f2", kind=FindingUpdated, statistic=15.0, looked_at=looked_at)
    assert floor.tell(worse) == []
    assert floor.wait(until - floor.now - 1) == []
    event = only(floor.wait(until - floor.now), HaltRequested)
    assert event.causation_id == "f2"


def test_what_was_cleared_while_muted_stays_so(floor):
    floor.tell(finding())
    (halt_id,) = floor.active
    until = NOON + 30 * MINUTE
    floor.resume(halt_id, treatment="MUTED", muted_until=rfc3339(until))
    for name, kind, minute in (("f2", FindingUpdated, 1), ("f3", FindingCleared, 2)):
        looked_at = rfc3339(NOON + minute * MINUTE)
        assert floor.tell(finding(name=name, kind=kind, looked_at=looked_at)) == []
    assert floor.wait(until - floor.now) == []


def test_a_mute_concerns_its_own_check_and_scope(floor):
    floor.tell(finding())
    (halt_id,) = floor.active
    floor.resume(halt_id, treatment="MUTED", muted_until=rfc3339(NOON + 30 * MINUTE))
    only(floor.tell(finding("daily_loss", "f2")), HaltRequested)
    only(floor.tell(finding(name="f3", scope=Scope("FUND_HALT", "beta"))), HaltRequested)
    only(floor.tell(halt_command("h9", FUND)), HaltRequested)


def test_evidence_that_overtook_its_lift_by_a_moment_stops_again(floor):
    """A finding between the resume and its lift that another worker decided too late."""
    floor.tell(finding())
    (halt_id,) = floor.active
    floor.sequence += 1
    asked = ask(resume_command(halt_id), "alice", floor.sequence, floor.now)
    floor.desk.hear(asked)
    lift = only(manager.decide(floor.desk, asked, floor.now), HaltLifted)
    floor.sequence += 1
    worse = ask(
        finding(name="f2", kind=FindingUpdated, statistic=14.0, looked_at=rfc3339(NOON + SECOND)),
        "service-limits",
        floor.sequence,
        floor.now,
    )
    other = new_desk()
    for each in floor.log:
        (other.hear if isinstance(each, Ask) else other.take)(each)
    other.hear(worse)
    late = only(manager.decide(other, worse, floor.now), HaltRequested)
    assert late.data.halt_id == halt_id
    floor.desk.hear(worse)
    floor.publish([lift, late])
    event = only(floor.wait(), HaltRequested)
    assert event.data.halt_id != halt_id
    assert event.causation_id == "f2"
    assert floor.active == {event.data.halt_id}


def test_a_lift_in_the_stream_that_was_not_signed_frees_nothing_and_is_reported(floor):
    floor.tell(halt_command("h1", FIRM))
    answers = floor.resume("h1")
    forged = HaltLifted(
        event_id="forged",
        timestamp=rfc3339(NOON),
        actor="halt",
        subject_id="r1",
        data=manager.resumption._lifted(floor.desk, resume_command("h1"), (floor.log[-2],)).data,
    )
    assert only(answers, ResumeRequested)
    floor.publish([forged])
    assert floor.active == {"h1"}
    event = only(floor.wait(), FindingRaised)
    assert "only one signed" in event.data.details
    assert floor.wait() == []


def test_a_revoked_key_lifts_nothing(floor):
    floor.tell(halt_command("h1"))
    floor.desk.trust = trust([member("alice", "risk_manager", revoked_at=rfc3339(NOON))])
    assert "revoked" in only(floor.resume("h1"), ResumeDenied).data.reason
