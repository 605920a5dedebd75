"""Do trades that come together count as they do one by one?"""

import json

import numpy as np
import pytest
from feeding import MS, Tape
from hypothesis import given, settings
from hypothesis import strategies as st

from operations.checks import Batch
from operations.events.marketdata import TradePrinted
from operations.watchdogs.arrivals import Unchanged
from operations.watchdogs.conditions import EACH_ROW, Feed, FeedFold, Message

pytestmark = pytest.mark.unit
FEED = "trades/SPY/XNAS"

PARTS = st.one_of(
    st.tuples(st.just("good"), st.integers(1, 130)),
    st.tuples(st.just("frozen"), st.integers(1, 130)),
    st.tuples(st.just("again"), st.integers(1, 6)),
    st.tuples(st.just("jump"), st.integers(1, 9)),
    st.tuples(st.just("ahead"), st.integers(1, 3)),
    st.tuples(st.just("silent"), st.integers(1, 200)),
)


def played(parts):
    tape, number = Tape(step_ns=MS), 0
    for what, many in parts:
        if what == "silent":
            tape.wait(many)
            tape.tick()
            continue
        if what == "jump":
            number += many
        for _ in range(1 if what == "jump" else many):
            number += what != "again"
            price = "10.00" if what == "frozen" else f"{10 + number % 7}"
            tape.trade(number, price=price, late_ns=-1000 * MS if what == "ahead" else MS)
    return tape.events


def one_by_one(feed, events):
    rows = []
    for stored in events:
        event = stored.event
        if isinstance(event, TradePrinted):
            trade = event.data
            values = float(trade.price), float(trade.size)
            rows += feed.take(Message(FEED, trade.trade_id, trade.venue_time, "", values), stored)
        elif feed.messages and feed.tick(stored.at_ns):
            rows.append(feed.row(stored.sequence, stored.at_ns))
    return rows


@given(st.lists(PARTS, max_size=8), st.integers(1, 400), st.sampled_from([0, EACH_ROW - 40]))
@settings(max_examples=150, deadline=None)
def test_trades_that_come_together_are_taken_as_one_by_one(parts, size, messages):
    events = played(parts)
    one, fold = Feed(FEED), FeedFold()
    one.messages = messages
    fold.restore({FEED: one.snapshot()} if messages else {})
    rows = one_by_one(one, events)
    together = []
    for begin in range(0, len(events), size):
        together += fold.take(Batch.read(events[begin : begin + size]))
    assert together == rows
    known = fold.snapshot().get(FEED, Feed(FEED).snapshot())
    assert json.dumps(known) == json.dumps(one.snapshot())


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 50)), min_size=1), st.integers(1, 6))
def test_values_are_taken_together_unless_a_run_gets_too_long(told, below):
    values = np.array([float(value) for value, _ in told])
    happened_ns = np.array([moment for _, moment in told])
    together, one = Unchanged(), Unchanged()
    for unchanged in (together, one):
        for at_ns in (5, 105):
            unchanged.take("", (0.0, 1.0), at_ns)
    before = one.snapshot()
    runs = [
        one.take("", (value, 1.0), at)
        for value, at in zip(values.tolist(), happened_ns.tolist(), strict=True)
    ]
    taken = together.take_all("", (values, np.ones(len(told))), happened_ns, below)
    assert taken == (max(1, *runs) < below)
    assert together.snapshot() == (one.snapshot() if taken else before)
