"""Is every lift refused that lacks anything, with the reason, and the right one let through?"""

import pytest
from halt_cases import (
    FUND,
    KEYS,
    NOON,
    SECOND,
    STRATEGY,
    TRUST,
    changed,
    cosign_command,
    fact,
    halt_command,
    lift_of,
    member,
    requested,
    resume_command,
    signed,
    trust,
)
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from operations.clock import rfc3339
from operations.errors import Denied
from operations.events.halts import HaltLifted, SignedOrder
from operations.halt.signoff import Trust, judge_lift
from operations.halt.state import FIRM, Fact, Halts

pytestmark = pytest.mark.unit

LATER = NOON + 10 * SECOND


def known(*requests):
    halts = Halts()
    for place, each in enumerate(requests, start=1):
        halts.request(fact(each, place))
    return halts


HALTS = known(requested("h1"), requested("h2", FUND), requested("h3", FIRM))


def stored(lift, sequence=9, at_ns=LATER):
    event = HaltLifted(
        event_id="lift", timestamp=rfc3339(NOON), actor="halt", subject_id="r1", data=lift
    )
    return Fact(event, sequence, at_ns, "")


def judged(lift, *, sequence=9, at_ns=LATER, halts=HALTS, by=TRUST):
    return judge_lift(stored(lift, sequence, at_ns), halts, by)


def resumed(*halt_ids, by="alice", **data):
    return signed(resume_command(*halt_ids, **data), by)


def both(*halt_ids, first="alice", second="bob", **data):
    """Return a resume and its cosign, signed by two."""
    resume = resumed(*halt_ids, by=first)
    return resume, signed(cosign_command(resume, **data), second)


def refused(words, lift, **settings):
    with pytest.raises(Denied, match=words):
        judged(lift, **settings)


def test_one_risk_manager_lifts_a_strategy_and_a_fund():
    assert judged(lift_of(resumed("h1"))) == ("alice",)
    assert judged(lift_of(resumed("h1", "h2"))) == ("alice",)


def test_two_people_lift_the_firm():
    assert judged(lift_of(*both("h3"))) == ("alice", "bob")
    assert judged(lift_of(*both("h3", first="dora", second="carol"))) == ("dora", "carol")


def test_a_lift_that_was_only_heard_is_refused():
    refused("not stored", lift_of(resumed("h1")), sequence=None)


def test_something_else_than_a_lift_is_refused():
    with pytest.raises(Denied, match="HaltRequested is no lift"):
        judge_lift(fact(requested("h1"), 1), HALTS, TRUST)


def test_a_lift_without_orders_or_with_too_many_is_refused():
    refused("carries the resume", lift_of(resumed("h1"), orders=()))
    orders = both("h3")
    refused("carries the resume", lift_of(*orders, orders=(*orders, orders[1])))


@pytest.mark.parametrize("halt_ids", [(), ("h2",), ("h1", "h2"), ("h1", "h1")])
def test_a_lift_that_names_other_halts_than_its_resume_is_refused(halt_ids):
    refused("names other halts", lift_of(resumed("h1"), halt_ids=halt_ids))


def test_a_resume_of_no_halt_or_of_one_twice_is_refused():
    none = resume_command("h1")
    none = changed(none, data=replace(none.data, halt_ids=()))
    refused("at least one halt", lift_of(signed(none, "alice")))
    refused("each once", lift_of(resumed("h1", "h1")))


def test_a_lift_of_another_resume_is_refused():
    refused("its order is r1", lift_of(resumed("h1"), resume_id="r2"))


@pytest.mark.parametrize(
    "changes",
    [{"treatment": "REBASELINED"}, {"treatment": "MUTED"}, {"muted_until": rfc3339(LATER)}],
)
def test_a_lift_that_treats_the_trigger_otherwise_is_refused(changes):
    refused("treats the trigger otherwise", lift_of(resumed("h1"), **changes))


@pytest.mark.parametrize("data", [{"treatment": "MUTED"}, {"muted_until": rfc3339(LATER)}])
def test_a_mute_without_an_end_and_an_end_without_a_mute_are_refused(data):
    refused("muted until a time", lift_of(resumed("h1", **data)))


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_a_resume_or_cosign_without_a_reason_is_refused(reason):
    refused("resume needs a reason", lift_of(resumed("h1", reason=reason)))
    refused("cosign needs a reason", lift_of(*both("h3", reason=reason)))


def test_a_resume_counts_until_it_expires_at_the_time_of_the_stream():
    """Pitfall 16: an approval executed after its expiry."""
    lift = lift_of(resumed("h1", expires_at=rfc3339(LATER)))
    assert judged(lift, at_ns=LATER - 1)
    refused("resume expired", lift, at_ns=LATER)
    cosigned = lift_of(*both("h3", expires_at=rfc3339(LATER)))
    assert judged(cosigned, at_ns=LATER - 1)
    refused("cosign expired", cosigned, at_ns=LATER)


def test_a_resume_that_would_count_for_more_than_an_hour_is_refused():
    until = rfc3339(LATER + 3601 * SECOND)
    refused("more than 3600 s", lift_of(resumed("h1", expires_at=until)))


def test_evidence_that_its_signer_had_not_looked_at_voids_a_resume():
    """Even for a thief with the key of a halt worker, who need not care for what was denied."""
    halts = known(requested("h1"), requested("h2", FUND), requested("h1", event_id="more"))
    assert judged(lift_of(resumed("h1", as_of_sequence=3)), halts=halts)
    assert judged(lift_of(resumed("h2", as_of_sequence=2)), halts=halts)
    refused("requested again at 3", lift_of(resumed("h1", as_of_sequence=2)), halts=halts)
    heard = known(requested("h1"))
    heard.request(fact(requested("h1", event_id="more")))
    assert judged(lift_of(resumed("h1", as_of_sequence=1)), halts=heard)


def test_an_unknown_key_lifts_nothing():
    refused("unknown key", lift_of(resumed("h1", by="mallory")))


def test_a_changed_payload_lifts_nothing():
    order = resumed("h1")
    forged = replace(order, payload=order.payload.replace('"h1"', '"h2"'))
    refused("bad signature", lift_of(forged))


def test_a_signature_of_another_place_lifts_nothing():
    lift = lift_of(resumed("h1"))
    refused("bad signature|wrong environment", lift, by=Trust(TRUST.roster, "other", "live"))


def test_an_order_without_a_signature_or_of_another_kind_lifts_nothing():
    refused("not signed", lift_of(replace(resumed("h1"), signature="none")))
    halt = signed(halt_command("h1"), "alice")
    refused("starts with a resume", lift_of(resumed("h1"), orders=(halt,)))
    resume = resumed("h3")
    refused("second order of a lift", lift_of(resume, orders=(resume, resume)))
    unreadable = SignedOrder(subject=resume.subject, payload="{}", signature=resume.signature)
    refused("cannot be read", lift_of(resume, orders=(unreadable,)))


def test_a_role_without_the_right_at_that_level_lifts_nothing():
    refused("may not sign .*resume.strategy", lift_of(resumed("h1", by="erin")))
    assert judged(lift_of(resumed("h1", by="dora")))
    refused("may not sign .*resume.fund", lift_of(resumed("h2", by="dora")))
    refused("may not sign .*cosign.firm", lift_of(*both("h3", second="dora")))


def test_the_highest_level_counts_and_every_level_needs_its_right():
    refused("only one signed", lift_of(resumed("h1", "h3")))
    refused("resume.fund", lift_of(*both("h2", "h3", first="dora", second="bob")))


def test_a_halt_that_the_stream_does_not_have_is_one_of_the_firm():
    refused("only one signed", lift_of(resumed("h9")))
    heard = known()
    heard.request(fact(requested("h1")))
    refused("only one signed", lift_of(resumed("h1")), halts=heard)
    assert judged(lift_of(*both("h9")))


def test_what_was_only_heard_does_not_change_the_level():
    halts = known(requested("h1"))
    halts.request(fact(requested("h1", FIRM, event_id="wider")))
    assert judged(lift_of(resumed("h1")), halts=halts) == ("alice",)
    halts.request(fact(requested("h1", FIRM, event_id="wider"), 2))
    refused("only one signed", lift_of(resumed("h1")), halts=halts)


def test_nobody_cosigns_his_own_resume():
    refused("cannot cosign it", lift_of(*both("h3", second="alice")))


def test_a_second_key_does_not_make_a_second_person():
    entry = member("alice", "risk_manager")
    spare = member("robot", "risk_manager").keys
    by = trust([replace(entry, keys=entry.keys + spare)])
    first = resumed("h3")
    second = signed(cosign_command(first), "robot")
    refused("alice asked for this resume and cannot cosign it", lift_of(first, second), by=by)


def test_two_names_with_one_key_are_one_person():
    twin = trust([member("twin", "risk_manager", key="bob")], without=["bob"])
    first = resumed("h3", by="bob")
    second = signed(cosign_command(first), "bob")
    refused("cannot cosign it", lift_of(first, second), by=twin)


def test_one_key_under_two_names_cosigns_nothing():
    """The key text carries its name, so one raw key may stand in a roster under two names."""
    from operations.signing import keys
    from operations.signing.message import Signer
    from operations.signing.roster import Key, Member

    twin = keys.private_key("twin", KEYS["alice"].seed)
    times = {"valid_from": "2026-11-20T00:00:00Z", "valid_until": "2026-11-21T00:00:00Z"}
    entry = Key(public_key=str(twin.public), **times)
    known_twin = trust([Member(name="twin", roles=("risk_manager",), keys=(entry,))])
    first = resumed("h3")
    order = signed(cosign_command(first), "bob")
    payload = order.payload.encode()
    header = Signer(twin, TRUST.origin, TRUST.environment)(order.subject, payload)
    lift = lift_of(first, replace(order, signature=header))
    refused("signed with one key", lift, by=known_twin)


def test_a_service_lifts_nothing_whatever_its_roles():
    robot = member("robot", "risk_manager")
    robot = replace(robot, service=True)
    by = trust([robot])
    refused("robot is a service", lift_of(resumed("h1", by="robot")), by=by)
    refused("robot is a service", lift_of(*both("h3", second="robot")), by=by)


def test_a_cosign_is_for_the_resume_that_it_names_by_id_and_hash():
    first = resumed("h3")
    other = signed(cosign_command(first, resume_id="r2"), "bob")
    refused("cosign is for resume r2", lift_of(first, other))
    changed_resume = resumed("h3", reason="another reason")
    stale = signed(cosign_command(changed_resume), "bob")
    refused("the SHA-256 of the resume is", lift_of(first, stale))


def test_a_key_counts_at_the_time_of_the_lift_and_not_before_or_after():
    early = trust([member("alice", "risk_manager", valid_from=rfc3339(LATER + 1))])
    refused("not yet valid", lift_of(resumed("h1")), by=early)
    late = trust([member("alice", "risk_manager", valid_until=rfc3339(LATER))])
    refused("expired", lift_of(resumed("h1")), by=late)
    revoked = trust([member("bob", "risk_manager", revoked_at=rfc3339(LATER))])
    refused("revoked", lift_of(*both("h3")), by=revoked)
    assert judged(lift_of(*both("h3")), by=revoked, at_ns=LATER - 1)


LEVELS = {"h1": "strategy", "h2": "fund", "h3": "firm"}
RESUMES = {
    "alice": {"strategy", "fund", "firm"},
    "bob": {"strategy", "fund", "firm"},
    "carol": {"strategy", "fund", "firm"},
    "dora": {"strategy", "firm"},
    "erin": set(),
    "service-halt": set(),
    "mallory": set(),
}
COSIGNS = {"alice", "bob", "carol"}


@given(
    st.sets(st.sampled_from(sorted(LEVELS)), min_size=1),
    st.sampled_from(sorted(RESUMES)),
    st.none() | st.sampled_from(sorted(RESUMES)),
)
def test_nothing_is_lifted_without_everybody_it_needs(halt_ids, first, second):
    orders = [resumed(*sorted(halt_ids), by=first)]
    if second:
        orders.append(signed(cosign_command(orders[0]), second))
    levels = {LEVELS[each] for each in halt_ids}
    enough = levels <= RESUMES[first]
    if second or "firm" in levels:
        enough = enough and second in COSIGNS and second != first
    lift = lift_of(*orders)
    if enough:
        assert judged(lift) == tuple(filter(None, (first, second)))
    else:
        with pytest.raises(Denied):
            judged(lift)


def test_the_scope_of_the_examples_is_what_they_say():
    assert HALTS.stored("h1").scope == STRATEGY
