"""Each fault does what it says, where and when it says it, and nothing before."""

from collections import Counter
from itertools import pairwise

import pytest

from operations.clock import parse_rfc3339
from operations.events.marketdata import QuoteUpdated
from operations.events.news import StoryPublished
from operations.events.orders import OrderFilled, OrderPartiallyFilled, OrderSubmitted
from operations.events.portfolio import NavMarked
from operations.events.positions import PositionChanged
from operations.simulation.faults import (
    ALL,
    BadTicks,
    ClockFault,
    Drawdown,
    FrozenFeed,
    MissingFills,
    NewsSpike,
    RunawayStrategy,
)
from operations.simulation.simulator import simulate

pytestmark = pytest.mark.unit

EVENTS = 18_000  # about an hour
OPENED = parse_rfc3339("2026-11-20T14:30:00Z")


def minute(event):
    return (parse_rfc3339(event.timestamp) - OPENED) // 60_000_000_000


def during(kind, *faults, events=EVENTS, minutes=range(30, 40)):
    return [
        event
        for event in simulate(3, faults=faults, events=events)
        if isinstance(event, kind) and minute(event) in minutes
    ]


def quotes(*faults):
    return [event for event in during(QuoteUpdated, *faults) if event.data.symbol == "AAPL"]


def test_a_runaway_strategy_sends_twenty_orders_a_second_that_grow():
    sent = [
        event
        for event in during(
            OrderSubmitted, RunawayStrategy(minutes=2), events=30_000, minutes=range(30, 32)
        )
        if event.strategy_id == "momentum" and event.data.symbol == "NVDA"
    ]
    assert len(sent) > 2000
    assert sent[-1].data.quantity > 10 * sent[0].data.quantity


def test_a_drawdown_takes_the_fund_down_by_what_was_asked():
    def loss_pct(*faults):
        marks = [
            e.data for e in during(NavMarked, *faults, minutes=range(30, 41))
            if e.fund_id == "alpha"
        ]  # fmt: skip
        return float(100 * (1 - marks[-1].nav / marks[0].nav))

    assert abs(loss_pct()) < 0.5
    assert loss_pct(Drawdown(loss_pct=6)) == pytest.approx(6, abs=0.7)


def test_a_news_spike_is_about_the_named_instruments():
    calm = Counter(t for e in during(StoryPublished) for t in e.data.tickers)
    loud = Counter(
        t for e in during(StoryPublished, NewsSpike(symbols=("KO",))) for t in e.data.tickers
    )
    assert 600 <= loud["KO"] <= 600 + 10 + 2 * calm["KO"]
    assert loud["JPM"] <= 10 + 2 * calm["JPM"]


def test_a_news_spike_without_names_is_about_all():
    loud = Counter(t for e in during(StoryPublished, NewsSpike()) for t in e.data.tickers)
    assert min(loud.values()) > 80


def test_a_frozen_feed_repeats_its_quote_byte_for_byte():
    frozen = quotes(FrozenFeed())
    assert len(frozen) > 100
    assert len({event.data for event in frozen}) == 1
    assert len({event.data for event in quotes()}) > 100


def test_a_silent_feed_says_nothing():
    assert quotes(FrozenFeed(silent=True)) == []


def test_bad_ticks_are_ten_times_the_price_and_pass():
    prices = [event.data.bid_price for event in quotes(BadTicks())]
    wrong = [price for price in prices if price > 1000]
    assert 0.1 < len(wrong) / len(prices) < 0.35
    assert all(price < 300 for price in prices if price not in wrong)


def test_a_clock_fault_moves_the_venue_into_the_future():
    for event in quotes(ClockFault(offset_ms=1500)):
        ahead = parse_rfc3339(event.data.venue_time) - parse_rfc3339(event.timestamp)
        assert 1_490_000_000 < ahead < 1_500_000_000


def test_missing_fills_change_positions_all_the_same():
    fault = MissingFills()
    published = {e.data.execution_id for e in during((OrderFilled, OrderPartiallyFilled), fault)}
    changed = {e.data.execution_id: e.strategy_id for e in during(PositionChanged, fault)}
    missing = changed.keys() - published
    assert missing
    assert {changed[execution_id] for execution_id in missing} == {"mean-rev"}


@pytest.mark.parametrize("fault", [kind() for kind in ALL])
def test_before_a_fault_the_day_is_the_one_without_it(fault):
    def said(*faults):
        return [(e.timestamp, e.subject, e.data) for e in simulate(3, faults=faults, events=5000)]

    assert said(fault) == said()


def test_the_same_seed_with_a_fault_has_other_ids():
    plain = {event.event_id for event in simulate(3, events=100)}
    assert plain.isdisjoint(
        event.event_id for event in simulate(3, faults=[Drawdown()], events=100)
    )


def test_the_gaps_between_quotes_are_not_all_the_same():
    times = [parse_rfc3339(event.timestamp) for event in quotes()]
    assert len({later - earlier for earlier, later in pairwise(times)}) > 100
