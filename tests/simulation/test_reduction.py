"""Are caps parts of the size at the start, never above the target, and is nothing turned over?"""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.simulation.reduction import Cap, caps_of, excess, part_held, room

pytestmark = pytest.mark.unit
UNITS = st.integers(-10_000, 10_000)


def test_caps_are_rounded_down_and_a_flat_position_has_none():
    caps = caps_of({("a", "X"): -101, ("a", "Y"): 0, ("b", "X"): 1}, Decimal("0.5"))
    assert caps == (
        Cap(owner="a", symbol="X", base=101, most=50),
        Cap(owner="b", symbol="X", base=1, most=0),
    )


@given(UNITS, st.integers(0, 100))
def test_what_is_closed_ends_exactly_at_the_target_and_a_second_look_closes_nothing(held, percent):
    caps = caps_of({("a", "X"): held}, Decimal(percent) / 100)
    most = caps[0].most if caps else 0
    size = excess(held, most, 0)
    left = held - size if held > 0 else held + size
    assert abs(left) == min(abs(held), most)
    assert left * held >= 0  # never turned over
    assert excess(left, most, 0) == 0
    assert excess(held, most, size) == 0  # the order that closes it is still open


@given(UNITS, st.integers(0, 10_000), st.sampled_from(("buy", "sell")), st.integers(0, 500))
def test_what_there_is_room_for_never_goes_beyond_the_cap(held, most, side, opened):
    size = room(held, most, side, opened)
    after = held + (size + opened if side == "buy" else -size - opened)
    assert size == 0 or (after if side == "buy" else -after) <= most


def test_the_part_held_is_the_largest_of_all():
    caps = caps_of({("a", "X"): 100, ("a", "Y"): 10}, Decimal("0.5"))
    assert part_held(caps, {("a", "X"): 50, ("a", "Y"): -6}) == Decimal("0.6")
    assert part_held((), {("a", "X"): 50}) == 0
