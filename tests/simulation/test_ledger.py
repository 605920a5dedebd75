"""Value is conserved: whatever is traded at whatever price, no cent appears or is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.simulation.ledger import BY_SYMBOL, Ledger, Position
from operations.simulation.world import HOUSES, TRADERS

pytestmark = pytest.mark.unit

HELD = [(trader.strategy_id, symbol) for trader in TRADERS for symbol in trader.symbols]
trade = st.tuples(
    st.sampled_from(HELD),
    st.integers(-10_000, 10_000).filter(bool),
    st.integers(1, 1_000_000),
    st.integers(-50, 500),
)


@given(st.lists(trade), st.integers(1, 1_000_000), st.integers(5_000, 20_000))
def test_nav_is_that_of_the_morning_and_every_profit_and_loss(trades, mark, rate):
    ledger = Ledger()
    ledger.start_day()
    for (strategy_id, symbol), units, price, fee in trades:
        before, after = ledger.trade(strategy_id, symbol, units, price, fee)
        assert after - before == units
    ledger.marks_cents = dict.fromkeys(ledger.marks_cents, mark)
    ledger.rates["EUR"] = rate
    for house in HOUSES:
        profit = sum(
            (position.realised_cents - position.fees_cents - position.cost_cents)
            * ledger.rates[position.asset.currency]
            + ledger.value_micros(position)
            for position in ledger.held_by(fund_id=house.fund_id)
        )
        start = ledger.start_of_day_micros[house.fund_id]
        assert ledger.nav_micros(house.fund_id) == start + profit


@given(st.lists(trade))
def test_a_new_day_begins_with_the_value_of_the_old_one_and_without_profit(trades):
    ledger = Ledger()
    ledger.start_day()
    for (strategy_id, symbol), units, price, fee in trades:
        ledger.trade(strategy_id, symbol, units, price, fee)
    before = {house.fund_id: ledger.nav_micros(house.fund_id) for house in HOUSES}
    ledger.start_day()
    assert ledger.start_of_day_micros == before
    for position in ledger.positions.values():
        assert position.realised_cents == position.fees_cents == 0


@given(st.lists(st.tuples(st.integers(-500, 500).filter(bool), st.integers(1, 10_000))))
def test_a_position_that_is_flat_has_no_cost(trades):
    position = Position(TRADERS[0], BY_SYMBOL["AAPL"])
    for units, price in trades:
        position.trade(units, price, 0)
        if position.quantity == 0:
            assert position.cost_cents == 0


def test_what_is_closed_becomes_realised_and_turning_starts_anew():
    position = Position(TRADERS[0], BY_SYMBOL["AAPL"])
    position.trade(10, 100, 0)
    position.trade(-4, 150, 0)
    assert (position.realised_cents, position.cost_cents) == (200, 600)
    position.trade(-10, 90, 0)
    assert (position.quantity, position.realised_cents) == (-4, 140)
    assert position.cost_cents == -360
