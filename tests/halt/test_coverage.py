"""Does an operator see who obeys, who does not, and who has said nothing?"""

import pytest
from halt_cases import NOON, acknowledged, fact, requested
from hypothesis import given
from hypothesis import strategies as st

from operations.halt.coverage import Coverage

pytestmark = pytest.mark.unit

MILLISECOND = 1_000_000
EXPECTED = frozenset(("oms-1", "oms-2", "oms-3"))


def covered(*answers, expected=EXPECTED, after_ms=500, request=None):
    coverage = Coverage()
    coverage.request(request or fact(requested("h1"), at_ns=NOON))
    for each in answers:
        coverage.acknowledge(each, each.event.data.oms_id)
    return coverage.of("h1", expected, NOON + after_ms * MILLISECOND)


def word(oms_id, phase="BLOCKING", after_ms=5, sequence=None):
    event = acknowledged("h1", oms_id, phase)
    return fact(event, sequence, NOON + after_ms * MILLISECOND)


ALL_BLOCK = tuple(word(oms_id) for oms_id in sorted(EXPECTED))


def test_a_halt_propagates_until_everybody_blocks():
    assert covered().state == "PROPAGATING"
    assert covered(*ALL_BLOCK[:2]).state == "PROPAGATING"
    assert covered(*ALL_BLOCK).state == "ENFORCED"


def test_after_the_deadline_some_is_partial_and_none_is_unconfirmed():
    assert covered(after_ms=999).state == "PROPAGATING"
    assert covered(after_ms=1000).state == "UNCONFIRMED"
    assert covered(*ALL_BLOCK[:2], after_ms=1000).state == "PARTIAL"
    assert covered(*ALL_BLOCK[:2], after_ms=1000).missing == ("oms-3",)
    assert covered(*ALL_BLOCK, after_ms=1000).state == "ENFORCED"


def test_the_request_itself_sets_the_deadline():
    short = fact(requested("h1", ack_deadline_ms=200), at_ns=NOON)
    assert covered(after_ms=199, request=short).state == "PROPAGATING"
    assert covered(after_ms=200, request=short).state == "UNCONFIRMED"


def test_nobody_expected_is_not_all_is_well():
    assert covered(expected=frozenset(), after_ms=1000).state == "UNCONFIRMED"


def test_received_is_not_blocking_and_later_phases_do_not_replace_it():
    assert covered(word("oms-1", "RECEIVED"), expected={"oms-1"}).missing == ("oms-1",)
    assert covered(word("oms-1", "CANCEL_SENT"), expected={"oms-1"}).missing == ("oms-1",)


def test_a_refusal_is_known_at_once_and_ends_with_a_later_word_that_it_blocks():
    refusal = word("oms-1", "REFUSED", 7)
    assert covered(refusal, expected={"oms-1"}).state == "UNCONFIRMED"
    assert covered(refusal, word("oms-2"), expected={"oms-1", "oms-2"}).state == "PARTIAL"
    assert covered(word("oms-1"), refusal, expected={"oms-1"}).missing == ("oms-1",)
    assert covered(refusal, word("oms-1", after_ms=9), expected={"oms-1"}).state == "ENFORCED"


def test_phases_and_durations_are_shown_for_each_order_system():
    rows = covered(word("oms-2"), word("oms-2", "CANCEL_CONFIRMED", 80)).rows
    assert [row.oms_id for row in rows] == ["oms-1", "oms-2", "oms-3"]
    assert rows[0].phase is None
    assert (rows[1].phase, rows[1].blocking) == ("CANCEL_CONFIRMED", True)
    assert rows[1].round_trip_ms == 5.0
    assert rows[1].to_block_ms == 4.1


def test_two_clocks_are_never_subtracted_from_each_other():
    skewed = fact(requested("h1"), 7, NOON - 60_000 * MILLISECOND)
    assert covered(word("oms-1"), request=skewed).rows[0].round_trip_ms is None
    stored = word("oms-1", after_ms=-59_990, sequence=8)
    assert covered(stored, request=skewed).rows[0].round_trip_ms == 10.0


def test_one_order_system_cannot_acknowledge_for_another():
    coverage = Coverage()
    coverage.request(fact(requested("h1")))
    problem = coverage.acknowledge(fact(acknowledged("h1", "oms-2")), "oms-1")
    assert problem == "oms-1 cannot acknowledge for oms-2"
    assert coverage.missing("h1", EXPECTED) == EXPECTED


def test_an_unexpected_order_system_is_shown_and_does_not_count():
    found = covered(word("oms-9"), expected={"oms-1"}, after_ms=1000)
    assert found.state == "UNCONFIRMED"
    assert [row.oms_id for row in found.rows] == ["oms-1", "oms-9"]


WORDS = [
    word(oms_id, phase, after_ms, sequence)
    for oms_id in ("oms-1", "oms-2")
    for phase, after_ms in (("RECEIVED", 1), ("BLOCKING", 5), ("REFUSED", 8))
    for sequence in (None, 4)
]


@given(st.lists(st.sampled_from(WORDS), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_acknowledgements_and_hearing_them_twice_change_nothing(words, random):
    shuffled = words * 2
    random.shuffle(shuffled)
    assert covered(*shuffled) == covered(*words)
