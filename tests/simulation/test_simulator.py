"""The simulated day is the same for the same seed, in time order, and adds up."""

import hashlib
import subprocess
import sys
from collections import Counter, defaultdict
from decimal import Decimal

import pytest

from operations.errors import Rejected
from operations.events.base import encode
from operations.events.orders import Fill, Order, OrderFilled, OrderPartiallyFilled
from operations.events.portfolio import NavMarked
from operations.events.positions import PositionChanged, PositionSnapshotted
from operations.events.registry import InstrumentDefined
from operations.events.strategies import PnlMarked
from operations.events.subjects import ALL, decode
from operations.simulation.simulator import simulate

pytestmark = pytest.mark.unit

FILLS = (OrderPartiallyFilled, OrderFilled)
# What only people, checks and the operations plane itself say, or what this firm never does.
NOT_SIMULATED = {"mts.v1.registry.service.deregistered"}


@pytest.fixture(scope="module")
def day():
    return list(simulate(7))


def digest(events):
    whole = hashlib.sha256()
    for event in events:
        whole.update(encode(event))
    return whole.hexdigest()


def test_the_same_seed_gives_the_same_bytes_in_another_process(day):
    program = (
        "import hashlib\n"
        "from operations.events.base import encode\n"
        "from operations.simulation.simulator import simulate\n"
        "h = hashlib.sha256()\n"
        "for event in simulate(7, events=5000): h.update(encode(event))\n"
        "print(h.hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONHASHSEED": "4711", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == digest(day[:5000])


def test_another_seed_gives_another_day(day):
    assert digest(simulate(8, events=500)) != digest(day[:500])


def test_the_number_of_events_asked_for_is_given_also_beyond_one_day(day):
    many = list(simulate(7, events=len(day) + 1000))
    assert len(many) == len(day) + 1000
    assert many[: len(day)] == day
    assert {event.timestamp[:10] for event in many} == {"2026-11-20", "2026-11-23"}


def test_a_day_that_does_not_exist_is_rejected():
    with pytest.raises(Rejected, match="YYYY-MM-DD"):
        simulate(1, day="2026-02-30")


def test_events_are_in_time_order_and_every_id_is_new(day):
    times = [event.timestamp for event in day]
    assert times == sorted(times)
    assert len({event.event_id for event in day}) == len(day)


def test_ids_sort_by_their_time_to_the_millisecond(day):
    milliseconds = [event.event_id[:13] for event in day]
    assert milliseconds == sorted(milliseconds)


def test_every_event_is_read_back_as_it_was_written(day):
    for event in day[::7]:
        assert decode(event.subject, encode(event)) == event


def test_everything_that_trading_services_publish_occurs(day):
    trading = {kind.pattern for kind in ALL if not kind.pattern.startswith("mts.v1.operations.")}
    assert {event.pattern for event in day} == trading - NOT_SIMULATED


def test_a_cause_is_an_earlier_event(day):
    seen = set()
    for event in day:
        assert event.causation_id is None or event.causation_id in seen
        seen.add(event.event_id)


def test_leaves_are_quantity_less_what_was_filled_until_the_order_ends(day):
    filled = defaultdict(Decimal)
    ended = set()
    for event in day:
        if not isinstance(event.data, Order):
            continue
        assert event.order_id not in ended, "nothing follows the end of an order"
        if isinstance(event.data, Fill):
            assert event.data.last_quantity > 0
            filled[event.order_id] += event.data.last_quantity
        verb = event.pattern.rpartition(".")[2]
        if verb in {"canceled", "rejected", "expired", "filled"}:
            assert event.data.leaves_quantity == 0
            ended.add(event.order_id)
        else:
            left = event.data.quantity - filled[event.order_id]
            assert event.data.leaves_quantity == left > 0
        if verb == "filled":
            assert event.data.quantity == filled[event.order_id]
    assert len(ended) > 4000


def test_every_order_ends_and_begins_with_its_submission(day):
    verbs = defaultdict(list)
    for event in day:
        if isinstance(event.data, Order):
            verbs[event.order_id].append(event.pattern.rpartition(".")[2])
    ends = Counter(life[-1] for life in verbs.values())
    assert set(ends) == {"filled", "canceled", "rejected", "expired"}
    for life in verbs.values():
        assert life[0] == "submitted" or life == ["rejected"]
        assert life.count("accepted") == (life[-1] != "rejected")


def test_a_position_is_the_sum_of_its_fills_and_transfers(day):
    held = defaultdict(Decimal)
    waiting = {}
    for event in day:
        if isinstance(event, FILLS):
            waiting[event.data.execution_id] = event
        if isinstance(event, PositionChanged):
            place = (event.strategy_id, event.account_id, event.data.symbol)
            change = event.data.after_quantity - event.data.before_quantity
            assert event.data.before_quantity == held[place]
            held[place] = event.data.after_quantity
            if event.data.cause == "order":
                fill = waiting.pop(event.data.execution_id)
                assert event.data.price == fill.data.price
                sign = 1 if fill.data.side == "buy" else -1
                assert change == sign * fill.data.last_quantity
        if isinstance(event, PositionSnapshotted):
            listed = {holding.symbol: holding.quantity for holding in event.data.holdings}
            assert listed == {
                symbol: quantity
                for (strategy, _, symbol), quantity in held.items()
                if strategy == event.strategy_id and quantity
            }
    assert not waiting, "every fill changed a position"


def test_nav_is_that_of_the_morning_and_all_profit_and_loss_to_the_last_digit(day):
    moments = defaultdict(lambda: {"nav": {}, "profit": defaultdict(Decimal)})
    for event in simulate(7, events=len(day) + 30_000):
        if isinstance(event, NavMarked):
            moments[event.data.as_of]["nav"][event.fund_id] = event.data
        if isinstance(event, PnlMarked):
            total = event.data.realised + event.data.unrealised - event.data.fees
            moments[event.data.as_of]["profit"][event.fund_id] += total
    assert len(moments) > 400
    for moment in list(moments.values())[:-1]:
        for fund_id, value in moment["nav"].items():
            assert value.nav == value.start_of_day_nav + moment["profit"][fund_id]


def test_profit_is_what_the_fills_paid_and_the_snapshots_are_worth(day):
    multiplier = {e.data.symbol: e.data.multiplier for e in day if isinstance(e, InstrumentDefined)}
    paid = Decimal(0)
    profits, values = {}, {}
    for event in day:
        if event.strategy_id != "mean-rev":
            continue
        if isinstance(event, PositionChanged):
            change = event.data.after_quantity - event.data.before_quantity
            paid += change * event.data.price * multiplier[event.data.symbol]
        if isinstance(event, FILLS):
            paid += event.data.fee
        if isinstance(event, PnlMarked):
            data = event.data
            profits[data.as_of] = (data.realised + data.unrealised - data.fees, paid)
        if isinstance(event, PositionSnapshotted):
            values[event.data.as_of] = sum(
                holding.quantity * holding.mark_price * multiplier[holding.symbol]
                for holding in event.data.holdings
            )
    assert len(values) == 8
    for moment, value in values.items():
        profit, paid_then = profits[moment]
        assert profit == value - paid_then
