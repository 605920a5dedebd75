"""Is an order that nobody meant told from one that is only large?"""

import math
import random
from decimal import Decimal

import pytest
from feeding import Tape
from watching import DAY, engine, run, spoken

from operations.adapters import warehouse
from operations.checks import Look, Unit
from operations.clock import now_ns
from operations.events.base import encode
from operations.events.orders import Order, OrderAmended, OrderSubmitted
from operations.events.positions import PositionChange, PositionChanged
from operations.events.strategies import StrategyBaseline, StrategyBaselinePublished
from operations.watchdogs.position_anomaly import (
    NAME,
    WATCHDOG,
    WINDOW,
    Sent,
    SizeLimits,
    canary,
    inspect,
)

pytestmark = pytest.mark.unit
RAISED, UPDATED, CLEARED = (f"finding.{NAME}.{verb}" for verb in ("raised", "updated", "cleared"))
UNIT = "mean-rev SPY"


def order(tape, size, number, kind=OrderSubmitted, parent=None, symbol="SPY"):
    data = Order(symbol=symbol, side="buy", quantity=Decimal(size), parent_id=parent)
    name = f"o{number}"
    tape.put(kind, name, data, order_id=name, strategy_id="mean-rev", fund_id="alpha")


def usual(tape, count, first=0, seed=1, typical=100):
    source = random.Random(seed)
    for number in range(first, first + count):
        order(tape, max(1, round(typical * math.exp(source.uniform(-0.3, 0.3)))), number)


def change(tape, cause):
    data = PositionChange(
        symbol="SPY", before_quantity=Decimal(1), after_quantity=Decimal(7), cause=cause
    )
    tape.put(PositionChanged, "SPY", data, strategy_id="mean-rev")


def confirm(tape):
    data = StrategyBaseline(baseline_id="b2", currency="USD")
    tape.put(StrategyBaselinePublished, "mean-rev", data, strategy_id="mean-rev")


def state(one):
    return one.standings[NAME, UNIT]


def test_an_order_of_ten_times_the_size_is_paged_once_and_over_after_ten_typical_ones():
    tape = Tape()
    usual(tape, 60)
    order(tape, 1000, "big")
    order(tape, 1200, "bigger")
    usual(tape, 9, 100)
    said = run(engine(WATCHDOG), tape.events)
    assert spoken(said) == [(RAISED, UNIT)]
    finding = said[0].data
    assert (finding.severity, finding.samples) == ("warning", 60)
    assert "order obig of mean-rev SPY is 1000" in finding.title
    assert said[0].strategy_id == "mean-rev"
    usual(tape, 1, 200)
    assert spoken(run(engine(WATCHDOG), tape.events)) == [(RAISED, UNIT), (CLEARED, UNIT)]


def test_nothing_is_ever_asked_for():
    tape = Tape()
    usual(tape, 60)
    order(tape, 100_000, "big")
    assert all("action" not in each.subject for each in run(engine(WATCHDOG), tape.events))


def test_a_size_that_is_only_listed_wakes_nobody_and_grows_to_a_page():
    tape = Tape()
    usual(tape, 60)
    order(tape, 10, "small")
    said = run(engine(WATCHDOG), tape.events)
    assert [each.data.severity for each in said] == ["info"]
    order(tape, 2000, "big")
    said = run(engine(WATCHDOG), tape.events)
    assert spoken(said) == [(RAISED, UNIT), (UPDATED, UNIT)]
    assert [each.data.severity for each in said] == ["info", "warning"]


def test_fewer_than_ten_orders_before_it_are_unknown():
    for before, wanted in ((9, "unknown"), (10, "warning")):
        tape = Tape()
        usual(tape, before)
        order(tape, 5000, "big")
        one = engine(WATCHDOG)
        run(one, tape.events)
        assert state(one).state == wanted


def test_a_strategy_that_goes_on_with_larger_orders_does_not_make_them_normal():
    tape = Tape()
    usual(tape, 60)
    usual(tape, 400, 100, typical=1000)
    one = engine(WATCHDOG)
    assert spoken(run(one, tape.events)) == [(RAISED, UNIT)]
    assert state(one).episode
    confirm(tape)
    usual(tape, 11, 600, typical=1000)
    one = engine(WATCHDOG)
    assert spoken(run(one, tape.events)) == [(RAISED, UNIT), (CLEARED, UNIT)]
    assert state(one).state in {"ok", "warning"}
    assert state(one).samples == 10


def test_sizes_before_a_split_do_not_count():
    tape = Tape()
    usual(tape, 60)
    change(tape, "corporate_action")
    order(tape, 700, "first")
    one = engine(WATCHDOG)
    assert run(one, tape.events) == []
    assert state(one).state == "unknown"


def test_orders_of_a_rebalance_are_not_judged_and_teach_nothing():
    tape = Tape()
    usual(tape, 60)
    tape.wait(2 * 86_400)
    change(tape, "rebalance")
    for number in range(20):
        order(tape, 5000, f"r{number}")
    one = engine(WATCHDOG)
    assert run(one, tape.events) == []
    assert state(one).state == "unknown"
    tape.now_ns += 2 * DAY
    order(tape, 5000, "big")
    assert spoken(run(engine(WATCHDOG), tape.events)) == [(RAISED, UNIT)]


def test_slices_are_no_orders_and_an_amended_order_is_judged_as_it_stands():
    tape = Tape()
    usual(tape, 60)
    for number in range(30):
        order(tape, 1, f"slice{number}", parent="o1")
    assert run(engine(WATCHDOG), tape.events) == []
    order(tape, 100, "o")
    order(tape, 9000, "o", OrderAmended)
    assert spoken(run(engine(WATCHDOG), tape.events)) == [(RAISED, UNIT)]


def test_an_order_that_is_stored_twice_is_one_order():
    tape = Tape()
    usual(tape, 9)
    last = tape.events[-1]
    for number in range(5):
        tape.events.append(last._replace(sequence=10 + number))
    one = engine(WATCHDOG)
    assert run(one, tape.events) == []
    assert state(one).state == "unknown"


def judge(size, sizes=(90, 110) * 10, **limits):
    sent = [Sent(n, n, f"o{n}", float(each), False, None) for n, each in enumerate((*sizes, size))]
    look = Look(99, 99, 99, "e", Unit("strategy", UNIT, None, "mean-rev"))
    return inspect(sent, look, SizeLimits(**limits), None)


def test_each_limit_holds_at_its_value_and_not_just_below():
    score = judge(140).statistic
    assert judge(140, paged_score=score).stage == 2
    assert judge(140, paged_score=score * 1.0001, listed_deviations=score).stage == 1
    assert judge(140, listed_deviations=score * 1.0001).stage == 0
    assert judge(30, listed_deviations=1).stage == 1  # a small one is listed, never paged


def test_a_large_order_is_not_paged_while_a_larger_one_is_in_the_window():
    assert judge(400).stage == 2
    assert judge(400, (90, 110) * 10 + (400,)).stage == 1


@pytest.mark.parametrize(("between", "severity"), [(WINDOW - 1, "info"), (WINDOW, "warning")])
def test_the_window_slides_by_orders_so_a_larger_one_that_left_it_hides_nothing(between, severity):
    tape = Tape()
    usual(tape, 60)
    order(tape, 1000, "big")
    usual(tape, between, 100)
    order(tape, 999, "smaller")
    one = engine(WATCHDOG)
    said = run(one, tape.events)
    assert [subject for subject, _ in spoken(said)][:2] == [RAISED, CLEARED]
    last = said[-1]
    assert (last.data.severity, "osmaller" in last.data.title) == (severity, True)
    assert state(one).samples == WINDOW


def test_a_strategy_that_always_sends_one_size_has_a_least_deviation():
    assert judge(100, (100,) * 20).statistic == pytest.approx(0, abs=1e-9)
    assert judge(130, (100,) * 20).stage == 1
    assert judge(150, (100,) * 20).stage == 2


@pytest.mark.parametrize("size", [0.0, -5.0, math.nan, math.inf])
def test_a_size_that_is_none_is_unknown(size):
    assert judge(size).state == "unknown"
    assert judge(100, (*(100,) * 20, size)).state == "unknown"


def lively():
    tape = Tape(step_ns=DAY // 40)
    for round_ in range(3):
        usual(tape, 25, 1000 * round_, seed=round_)
        order(tape, 10, f"small{round_}")
        order(tape, 5000, f"big{round_}")
        change(tape, ("rebalance", "order", "corporate_action")[round_])
        usual(tape, 15, 1000 * round_ + 500, seed=9)
    confirm(tape)
    usual(tape, 15, 9000)
    return tape.events


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_size_of_a_batch_changes_no_byte(size):
    said = [encode(each) for each in run(engine(WATCHDOG), lively())]
    assert len(said) >= 4
    assert [encode(each) for each in run(engine(WATCHDOG), lively(), size)] == said


def test_from_any_snapshot_the_rest_is_said_byte_for_byte(tmp_path):
    events = lively()
    whole = [encode(each) for each in run(engine(WATCHDOG), events)]
    for place in (1, 26, 60, len(events) - 1):
        first, second = engine(WATCHDOG), engine(WATCHDOG)
        before = run(first, events[:place], 9)
        first.warehouse.save(tmp_path / "one", first.snapshot())
        second.warehouse.load(tmp_path / "one")
        second.restore(warehouse.read_state(tmp_path / "one"))
        rest = run(second, events[place:], 11)
        assert [encode(each) for each in (*before, *rest)] == whole


def test_the_canary_is_found():
    tape = Tape(start_ns=now_ns(), step_ns=0)
    for each in canary(tape.now_ns, "run-1"):
        assert each.environment == "canary"
        assert "run-1" in each.event_id
        named = {"order_id": each.order_id, "strategy_id": each.strategy_id}
        tape.put(type(each), each.subject_id, each.data, environment="canary", **named)
    said = run(engine(WATCHDOG), tape.events)
    assert spoken(said) == [(RAISED, "canary-run-1 canary")]
