"""Does everybody who has heard the same hold the same, in whatever order it was heard?"""

import pytest
from halt_cases import FUND, STRATEGY, fact, lift_of, requested, resume_command, signed
from hypothesis import given
from hypothesis import strategies as st

from operations.clock import rfc3339
from operations.events.halts import HaltLifted
from operations.halt.state import FIRM, Halts, Scope, scope_of

pytestmark = pytest.mark.unit

STREAM = (
    requested("h1"),
    requested("h1", mode="REDUCE_ONLY", event_id="more-h1"),
    requested("h2", FUND),
    requested("h3", FIRM, mode="REDUCE_ONLY"),
    requested("h3", FIRM, event_id="more-h3"),
    requested("h4", Scope("STRATEGY_HALT", "other"), fund_id=None, mode="REDUCE_ONLY"),
    requested("h4", FUND, event_id="foreign-h4"),
)


def lifted(*halt_ids, resume_id="r1"):
    lift = lift_of(signed(resume_command(*halt_ids, resume_id=resume_id), "alice"))
    return HaltLifted(
        event_id=f"lifted-{resume_id}",
        timestamp=rfc3339(0),
        actor="halt",
        subject_id=resume_id,
        data=lift,
    )


def folded(facts):
    halts = Halts()
    for each in facts:
        (halts.lift if isinstance(each.event, HaltLifted) else halts.request)(each)
    return halts


def seen(halts):
    return halts.active, halts.lifted, halts.verdicts, halts.state_hash, halts.sequence


def test_a_firm_halt_stops_every_strategy_and_a_fund_halt_those_of_the_fund():
    halts = folded([fact(requested("h1", FIRM), 1), fact(requested("h2", FUND), 2)])
    assert {each.halt_id for each in halts.over("mean-rev", "alpha")} == {"h1", "h2"}
    assert {each.halt_id for each in halts.over("mean-rev", "beta")} == {"h1"}


def test_the_strictest_mode_of_a_scope_counts_until_it_is_lifted():
    halts = folded([
        fact(requested("h1"), 1),
        fact(requested("h2", mode="REDUCE_ONLY"), 2),
    ])  # fmt: skip
    assert halts.verdicts[STRATEGY].mode == "BLOCK_ALL"
    halts.lift(fact(lifted("h1"), 3))
    assert halts.verdicts[STRATEGY] == ("REDUCE_ONLY", "h2")
    halts.lift(fact(lifted("h2", resume_id="r2"), 4))
    assert not halts.verdicts


def test_a_mode_is_raised_and_never_lowered_by_a_request():
    halts = folded([fact(requested("h1"), 1), fact(requested("h1", mode="REDUCE_ONLY"), 2)])
    assert halts.active["h1"].mode == "BLOCK_ALL"


def test_a_lift_that_was_only_heard_is_refused():
    halts = folded([fact(requested("h1"), 1)])
    with pytest.raises(TypeError, match="only a stored"):
        halts.lift(fact(lifted("h1")))
    assert "h1" in halts.active


def test_a_lifted_halt_never_comes_back_under_its_id():
    halts = folded([fact(requested("h1"), 1), fact(lifted("h1"), 2), fact(requested("h1"), 3)])
    assert not halts.active
    assert halts.state_hash == Halts().state_hash


def test_one_id_for_two_scopes_stops_the_firm():
    halts = folded([fact(requested("h1"), 1), fact(requested("h1", FUND, event_id="x"), 2)])
    assert halts.active["h1"].scope == FIRM


def test_a_strategy_halt_that_names_no_strategy_stops_the_firm():
    assert scope_of(requested("h1", Scope("STRATEGY_HALT", ""))) == FIRM


def test_what_was_only_heard_changes_neither_the_hash_nor_what_is_stored():
    halts = folded([fact(requested("h1", mode="REDUCE_ONLY"), 1)])
    before = halts.state_hash
    halts.request(fact(requested("h1", event_id="more")))
    halts.request(fact(requested("h2", FIRM)))
    assert halts.active["h1"].mode == "BLOCK_ALL"
    assert FIRM in halts.verdicts
    assert halts.state_hash == before
    assert halts.stored("h1").mode == "REDUCE_ONLY"
    assert halts.stored("h2") is None


def test_the_hash_tells_modes_and_ids_apart():
    hashes = {
        folded([fact(requested(halt_id, mode=mode), 1)]).state_hash
        for halt_id in ("h1", "h2")
        for mode in ("BLOCK_ALL", "REDUCE_ONLY")
    }
    assert len(hashes) == 4


facts_of_the_stream = [fact(event, place) for place, event in enumerate(STREAM, start=1)]
LIFT = fact(lifted("h1", "h3"), len(STREAM) + 1)


@given(st.data())
def test_any_order_and_any_duplicate_gives_the_same_state(data):
    """Each fact is heard any number of times, at any time, and comes out of the stream once."""
    order = data.draw(st.permutations(facts_of_the_stream))
    heard = data.draw(st.lists(st.sampled_from([fact(event) for event in STREAM]), max_size=9))
    mixed = list(order)
    for each in heard:
        mixed.insert(data.draw(st.integers(0, len(mixed))), each)
    assert seen(folded(mixed)) == seen(folded(facts_of_the_stream))


@given(st.data())
def test_the_active_halts_after_a_lift_do_not_depend_on_the_order(data):
    order = data.draw(st.permutations([*facts_of_the_stream, LIFT]))
    after, expected = folded(order), folded([*facts_of_the_stream, LIFT])
    assert seen(after) == seen(expected)
    assert set(after.active) == {"h2", "h4"}
