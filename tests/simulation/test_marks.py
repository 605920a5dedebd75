"""Greeks of calls are those of the textbook, and exposure is that of the positions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.events.portfolio import NavMarked
from operations.events.positions import ExposureMarked, GreeksMarked
from operations.simulation.marks import call_greeks
from operations.simulation.simulator import simulate

pytestmark = pytest.mark.unit


def test_greeks_of_a_call_at_the_money_are_those_of_the_textbook():
    # Hull, 9th ed., chapter 19 with r = 0: N(0.0374) and -S n(d1) sigma / (2 sqrt(T)) / 365.
    delta, theta = call_greeks(190_00, 190_00)
    assert delta == pytest.approx(0.5149, abs=1e-4)
    assert theta == -10


@given(st.integers(1_00, 10_000_00), st.integers(1_00, 10_000_00))
def test_a_call_gains_with_its_underlying_and_decays(spot, strike):
    delta, theta = call_greeks(spot, strike)
    assert 0 <= delta <= 1
    assert theta <= 0


def test_greeks_and_exposure_are_marked_from_the_opening():
    events = list(simulate(5, events=500))
    (greeks,) = [event for event in events if isinstance(event, GreeksMarked)]
    assert greeks.data.quantity < 0
    exposures = [event for event in events if isinstance(event, ExposureMarked)]
    assert exposures
    assert all(event.data.gross >= abs(event.data.net) for event in exposures)


def test_a_fund_begins_with_its_capital():
    first = {}
    for event in simulate(5, events=500):
        if isinstance(event, NavMarked):
            first.setdefault(event.fund_id, event)
    assert {fund_id: int(event.data.nav) for fund_id, event in first.items()} == {
        "alpha": 25_000_000,
        "beta": 5_000_000,
    }
    assert first["alpha"].environment == "live"
    assert first["beta"].environment == "paper"
