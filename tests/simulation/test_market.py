"""Bars are the sum of the trades, and quotes are never crossed."""

from collections import defaultdict
from itertools import pairwise
from random import Random
from statistics import fmean, pstdev

import pytest

from operations.clock import parse_rfc3339
from operations.events.marketdata import BarClosed, FxRateMarked, QuoteUpdated, TradePrinted
from operations.simulation.faults import BadTicks
from operations.simulation.market import draw
from operations.simulation.simulator import simulate

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("faults", [(), (BadTicks(minute=5, one_in=2),)])
def test_a_bar_is_the_sum_of_the_trades_of_its_minute(faults):
    trades = defaultdict(list)
    bars = 0
    for event in simulate(5, faults=faults, events=15_000):
        if isinstance(event, TradePrinted):
            trades[event.data.symbol].append(event.data)
        if isinstance(event, BarClosed):
            printed, bar = trades.pop(event.data.symbol, []), event.data
            bars += 1
            assert bar.trades == len(printed)
            assert bar.volume == sum(trade.size for trade in printed)
            assert parse_rfc3339(event.timestamp) - parse_rfc3339(bar.opens_at) == 60_000_000_000
            if printed:
                prices = [trade.price for trade in printed]
                assert (bar.open_price, bar.close_price) == (prices[0], prices[-1])
                assert (bar.low_price, bar.high_price) == (min(prices), max(prices))
            else:
                assert bar.open_price == bar.high_price == bar.low_price == bar.close_price
    assert bars > 400


def test_quotes_are_never_crossed_and_their_venue_is_a_little_behind():
    quotes = [event for event in simulate(5, events=10_000) if isinstance(event, QuoteUpdated)]
    assert len(quotes) > 1000
    for event in quotes:
        assert 0 < event.data.bid_price < event.data.ask_price
        behind = parse_rfc3339(event.timestamp) - parse_rfc3339(event.data.venue_time)
        assert 1_000_000 <= behind < 3_000_000


def test_a_rate_is_marked_every_minute_from_the_opening():
    rates = [event for event in simulate(5, events=10_000) if isinstance(event, FxRateMarked)]
    times = [parse_rfc3339(event.timestamp) for event in rates]
    assert {later - earlier for earlier, later in pairwise(times)} == {60_000_000_000}


def test_draws_are_nearly_normal_and_centred():
    chance = Random(1)
    drawn = [draw(chance) for _ in range(20_000)]
    assert abs(fmean(drawn)) < 0.1
    assert pstdev(drawn) == pytest.approx(8**0.5, rel=0.02)
