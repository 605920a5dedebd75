"""Is a message that must not be added up told from one that may?"""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from operations.clock import NANOSECONDS
from operations.watchdogs.arrivals import (
    AHEAD_NS,
    BEHIND_NS,
    COUNTING,
    MOST_MISSING,
    REMEMBERED,
    Ids,
    Screen,
    Unchanged,
)

pytestmark = pytest.mark.unit
AT = 1_000_000 * NANOSECONDS


@pytest.mark.parametrize(
    ("happened_ns", "said_ns", "fault"),
    [
        (AT, AT, ""),
        (AT + AHEAD_NS, AT, ""),
        (AT + AHEAD_NS + 1, AT, "clock"),
        (AT - BEHIND_NS, AT, ""),
        (AT - BEHIND_NS - 1, AT, "clock"),
        (AT, AT + AHEAD_NS, ""),
        (AT, AT + AHEAD_NS + 1, "clock"),
        (AT, AT - 10 * BEHIND_NS, ""),  # a publisher that waited long says so; the venue counts
    ],
)
def test_a_time_that_cannot_be_is_a_fault_from_just_beyond_the_bound(happened_ns, said_ns, fault):
    assert Screen().take("1", happened_ns, said_ns, AT) == fault


def test_an_id_that_came_before_is_a_duplicate_as_long_as_it_is_remembered():
    ids = Ids()
    for number in range(REMEMBERED):
        assert ids.take(f"a{number}") == (False, 0)
    assert ids.take("a0")[0]
    ids.take("one more")
    assert not ids.take("a0")[0]


def test_where_ids_count_up_a_very_old_one_is_a_duplicate_though_forgotten():
    ids = Ids()
    for number in range(1, 3 * REMEMBERED):
        assert ids.take(str(number)) == (False, 0)
    assert ids.take("5")[0]


@given(
    st.lists(
        st.one_of(
            st.integers(1, 12).map(str), st.sampled_from(["a", "", "007", "9" * 19, "1" + "0" * 19])
        )
    ),
    st.integers(0, 80),
    st.integers(1, 30),
)
@example(["9" * 19, "1" + "0" * 19], 0, 1)
@settings(max_examples=300)
def test_ids_that_come_together_are_taken_as_one_by_one(odd, counted, size):
    stream = [*map(str, range(1, counted)), *odd, *map(str, range(counted, counted + 40))]
    one, together = Ids(), Ids()
    found = [one.take(each) for each in stream]
    taken = []
    for begin in range(0, len(stream), size):
        taken += zip(*together.take_all(stream[begin : begin + size]), strict=True)
    assert taken == found
    assert together.snapshot() == one.snapshot()


@pytest.mark.parametrize("size", [1, 700, REMEMBERED, 2500])
def test_of_very_many_ids_that_come_together_the_newest_are_remembered(size):
    stream = [str(number) for number in range(1, 5001)]
    one, together = Ids(), Ids()
    for each in stream:
        one.take(each)
    for begin in range(0, len(stream), size):
        together.take_all(stream[begin : begin + size])
    assert together.snapshot() == one.snapshot()


def test_a_jump_of_ids_says_no_more_than_a_column_holds():
    ids = Ids()
    for number in range(1, COUNTING + 2):
        ids.take(str(number))
    assert ids.take("9" * 19) == (False, MOST_MISSING)


def test_what_is_missing_between_ids_that_count_up_is_counted():
    ids = Ids()
    for number in range(1, COUNTING + 2):
        ids.take(str(number))
    assert ids.take(str(COUNTING + 5)) == (False, 3)


def test_before_ids_are_known_to_count_up_a_jump_means_nothing():
    ids = Ids()
    for number in range(1, COUNTING):
        ids.take(str(number))
    assert ids.take(str(COUNTING + 9)) == (False, 0)


def test_ids_that_always_jump_are_never_said_to_be_missing():
    ids = Ids()
    assert all(ids.take(str(number)) == (False, 0) for number in range(0, 5000, 3))


def test_a_late_trade_is_neither_missing_nor_a_duplicate():
    ids = Ids()
    for number in range(1, 200):
        if number != 150:
            ids.take(str(number))
    assert ids.take("150") == (False, 0)


def test_values_that_repeat_are_counted_for_each_thing_by_itself():
    unchanged = Unchanged()
    assert unchanged.take("a", (1.0,), 0) == 0
    assert unchanged.take("b", (2.0,), 0) == 0
    assert unchanged.take("a", (1.0,), 5) == 1
    assert unchanged.take("b", (2.0,), 7) == 2
    assert unchanged.span_ns == 7
    assert unchanged.take("a", (1.5,), 9) == 0
    assert unchanged.span_ns == 0


def test_a_snapshot_goes_through_json_and_remembers_everything():
    ids, unchanged = Ids(), Unchanged()
    for number in range(1, 80):
        ids.take(str(number))
        unchanged.take("a", (1.0, "x", None), number)
    ids = Ids.restored(json.loads(json.dumps(ids.snapshot())))
    unchanged = Unchanged.restored(json.loads(json.dumps(unchanged.snapshot())))
    assert ids.take("79")[0]
    assert ids.take("82") == (False, 2)
    assert unchanged.take("a", (1.0, "x", None), 90) == 79
    assert unchanged.span_ns == 89


def test_a_screen_names_a_duplicate_though_its_clock_is_right():
    screen = Screen()
    assert screen.take("7", AT, AT, AT) == ""
    assert screen.take("7", AT, AT, AT) == "duplicate"
    assert screen.take("", AT, AT, AT) == ""  # a feed without identities has none
    assert screen.take("", AT, AT, AT) == ""
