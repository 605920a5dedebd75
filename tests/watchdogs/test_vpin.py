"""Is one-sided flow told from flow that is as one-sided as it always is?"""

import random
from decimal import Decimal

import pytest
from feeding import Tape
from real_data import needs_data, rows, signed_trades
from watching import SECOND, assert_cut_into_batches, assert_resumed, engine, run, spoken

from operations.adapters.warehouse import Warehouse
from operations.checks import Look, Unit
from operations.clock import NANOSECONDS, now_ns, parse_rfc3339
from operations.events.registry import Instrument, InstrumentDefined
from operations.statistics.vpin import signed_vpin
from operations.watchdogs import feeds
from operations.watchdogs.flow import FLOW, Bars
from operations.watchdogs.vpin import (
    HISTORY,
    NAME,
    WATCHDOG,
    Bucket,
    VpinLimits,
    canary,
    inspect,
)

pytestmark = pytest.mark.unit
RAISED, CLEARED = f"finding.{NAME}.raised", f"finding.{NAME}.cleared"


def define(tape, volume=5000, symbol="SPY"):
    data = Instrument(
        symbol=symbol, kind="equity", currency="USD", multiplier=Decimal(1),
        average_daily_volume=None if volume is None else Decimal(volume),
    )  # fmt: skip
    tape.put(InstrumentDefined, symbol, data)


def flow(tape, count, bought, first=1, seed=1):
    """Trades of a bucket each; `bought` is the part that was bought, or a list of sides."""
    source = random.Random(seed)
    for number in range(first, first + count):
        side = "buy" if source.random() < bought else "sell"
        tape.trade(f"t{number}", size="20", aggressor=side)


def lively():
    """Six hundred buckets on both sides, one-sided ones, and balanced ones."""
    tape = Tape(step_ns=SECOND // 10)
    define(tape)
    flow(tape, 5 * 650, 0.5)
    flow(tape, 5 * 60, 1.0, 10_000)
    flow(tape, 5 * 150, 0.5, 20_000, seed=2)
    return tape


def test_one_sided_flow_throttles_once_with_an_end_and_is_cleared_when_it_is_as_ever():
    tape = lively()
    said = run(engine(WATCHDOG), tape.events)
    assert spoken(said) == [
        (RAISED, "SPY"), ("action.requested", said[1].subject_id), (CLEARED, "SPY"),
    ]  # fmt: skip
    finding, action = said[0].data, said[1].data
    assert finding.severity == "warning"
    assert finding.halt_level is None
    assert action.kind == "throttle"
    assert (action.scope, action.scope_id) == ("instrument", "SPY")
    assert action.orders_per_minute_at_most == 30
    cause = next(one for one in tape.events if one.event.event_id == said[1].causation_id)
    assert parse_rfc3339(action.until) == cause.at_ns + 1800 * NANOSECONDS


def test_flow_on_both_sides_is_never_spoken_of():
    tape = Tape(step_ns=SECOND // 10)
    define(tape)
    flow(tape, 5 * 700, 0.5)
    one = engine(WATCHDOG, vpin=VpinLimits(own_level=1.0))
    assert run(one, tape.events) == []


def test_while_observing_it_says_what_it_would_have_done():
    said = run(engine(WATCHDOG, mode="observe"), lively().events)
    assert spoken(said) == [(RAISED, "SPY"), (CLEARED, "SPY")]
    assert said[0].data.would_have == "at most 30 orders a minute in SPY for 1800 s"


def early():
    """The feeds and VPIN itself, which judges after 50 buckets."""
    limits = VpinLimits(minimum_buckets=50, own_margin=1.0)
    return engine(feeds.WATCHDOG, WATCHDOG, vpin=limits)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_size_of_a_batch_changes_no_byte(size):
    whole, cut = assert_cut_into_batches(early, mixed(), size, 1)
    assert cut.warehouse.measure(FLOW) == whole.warehouse.measure(FLOW)
    assert cut.standings == whole.standings


def mixed():
    """Trades with and without an aggressor, of two instruments, with faults between them."""
    tape = Tape(step_ns=SECOND)
    define(tape, 500)
    define(tape, 2000, "QQQ")
    source = random.Random(3)
    for number in range(190):
        side = ("buy", "sell")[source.random() < 0.5] if number < 150 else "buy"
        tape.trade(f"t{number}", size="15", aggressor=side)
        price = f"{100 + source.randrange(9) / 100:.2f}"
        tape.trade(f"q{number}", price, str(source.randrange(1, 90)), symbol="QQQ")
        if number % 60 == 0:
            tape.trade(f"t{number}", size="15", aggressor=side)
            tape.trade(f"late{number}", size="15", aggressor=side, late_ns=-SECOND)
            tape.wait(2000)
    return tape.events


def test_from_any_snapshot_the_rest_is_said_byte_for_byte(tmp_path):
    events = mixed()
    assert_resumed(early, events, (1, 250, len(events) - 3), tmp_path)


def bucket(
    vpin=0.5, below=990, before=1000, signed=False, bucket_volume=100.0, median=0.0, upper=0.05
):
    return Bucket(9, 1, 9, signed, vpin, before, below, median, upper, bucket_volume, 0, 0.0)


def judge(known=None, limits=None, **values):
    look = Look(9, 9, 9, "e9", Unit("instrument", "SPY"))
    return inspect([bucket(**values)], look, limits or VpinLimits(), known)


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({"below": 989}, "ok"),
        ({"below": 990}, "warning"),
        ({"vpin": 0.4}, "ok"),
        ({"vpin": 0.4000001}, "warning"),
        ({"vpin": 0.1, "signed": True}, "warning"),
        ({"vpin": 0.9, "signed": True, "below": 989}, "ok"),
        ({"median": 0.25, "upper": 0.5, "vpin": 0.67}, "ok"),
        ({"median": 0.25, "upper": 0.5, "vpin": 0.68}, "warning"),
        ({"before": 499, "below": 499}, "unknown"),
        ({"before": 500, "below": 500}, "warning"),
        ({"vpin": None}, "unknown"),
        ({"bucket_volume": None}, "unknown"),
    ],
)
def test_each_limit_holds_as_it_is_written(values, state):
    assert judge(**values).state == state


def test_the_bare_rule_needs_no_history():
    bare = VpinLimits(own_level=0.0)
    assert judge(limits=bare, before=0, below=0, vpin=0.41).state == "warning"
    assert judge(limits=bare, before=0, below=0, vpin=0.40).state == "ok"
    assert judge(limits=bare, before=0, below=0, vpin=0.41, signed=True).state == "warning"
    assert judge(limits=bare, before=0, below=0, vpin=0.40, signed=True).state == "ok"


def test_it_is_over_below_the_level_of_the_exit_only():
    known = object()
    assert not judge(known, below=900).recovered
    assert judge(known, below=899).recovered
    assert not judge(None, below=899).recovered


def test_an_instrument_without_a_volume_is_unknown_and_says_so():
    tape = Tape()
    define(tape, None)
    flow(tape, 20, 1.0)
    one = engine(WATCHDOG)
    assert run(one, tape.events, 3) == []
    standing = one.standings[NAME, "SPY"]
    assert standing.state == "unknown"
    assert "average_daily_volume" in standing.title


def values(one):
    found = one.warehouse._database.execute(
        "SELECT vpin, left_out, left_out_volume FROM vpin_bucket ORDER BY place"
    )
    return found.fetchall()


def test_duplicates_and_wrong_clocks_are_left_out_and_counted():
    clean, dirty = Tape(), Tape()
    for tape in (clean, dirty):
        define(tape)
        flow(tape, 5 * 30, 0.5)
    for number in (1, 2, 3):
        dirty.trade(f"t{number}", size="20", aggressor="buy")
    dirty.trade("fast", size="20", aggressor="buy", late_ns=-SECOND)
    dirty.trade("none", size="20")
    dirty.trade("zero", size="0", aggressor="buy")
    for tape in (clean, dirty):
        flow(tape, 5 * 30, 0.5, 1_000, seed=5)
    one, two = engine(WATCHDOG), engine(WATCHDOG)
    run(one, clean.events)
    run(two, dirty.events)
    assert [row[0] for row in values(one)] == [row[0] for row in values(two)]
    assert values(two)[-1][1:] == (6, 100.0)


def test_a_daily_update_of_the_volume_keeps_the_history_and_a_split_begins_it_anew():
    for volume, unknown in ((9_000, False), (35_000, True)):
        tape = Tape()
        define(tape)
        flow(tape, 5 * 560, 0.5)
        define(tape, volume)
        flow(tape, 5 * 60 * 7, 0.5, 10_000)
        one = engine(WATCHDOG)
        run(one, tape.events)
        assert (one.standings[NAME, "SPY"].state == "unknown") is unknown


def test_changes_of_price_do_not_bridge_a_pause():
    def left_out(pause):
        tape = Tape(step_ns=60 * SECOND)
        define(tape, 50)
        source = random.Random(4)
        for number in range(200):
            tape.trade(f"t{number}", f"{100 + source.randrange(99) / 100:.2f}", "1")
            if number % 50 == 49:
                tape.wait(pause)
        one = engine(WATCHDOG)
        run(one, tape.events)
        return values(one)[-1][1]

    assert left_out(29 * 60) == 30  # the first bar and the warm-up
    assert left_out(31 * 60) == 30 + 3


def test_a_trade_that_comes_late_counts_to_the_running_bar_without_its_price():
    late, known = Bars(), Bars()
    for bars, minute, price in ((late, 1, 999.0), (known, 2, 101.0)):
        bars.take(1, 100.0, 10.0)
        bars.take(2, 101.0, 10.0)
        assert bars.take(minute, price, 5.0) is None
    assert late.take(3, 102.0, 1.0) == known.take(3, 102.0, 1.0)
    assert late.snapshot() == known.snapshot()


def test_a_value_is_judged_beside_as_many_as_its_history_and_no_older_ones():
    house = Warehouse(WATCHDOG.tables)
    count = HISTORY + 2

    def row(place):
        kept = {"symbol": "SPY", "series": 1, "place": place, "vpin": 0.9 if place < 2 else 0.3}
        return (place + 1, place + 1, *(kept.get(name, 0) for name, _ in FLOW.columns))

    house.insert(FLOW, [row(place) for place in range(count)])
    look = Look(count, count, count, "e", Unit("instrument", "SPY"))
    (found,) = house.ask(WATCHDOG, [look])
    newest = Bucket(*found.rows[0])
    assert (newest.before, newest.first_sequence, newest.upper) == (HISTORY, 2, 0.3)


def test_the_canary_is_found():
    tape = Tape(start_ns=now_ns(), step_ns=0)
    for each in canary(tape.now_ns, "run-1"):
        assert each.environment == "canary"
        assert "run-1" in each.event_id
        tape.put(type(each), each.subject_id, each.data, environment="canary")
    said = run(engine(WATCHDOG), tape.events)
    assert spoken(said)[0] == (RAISED, "canary-run-1")
    assert said[0].environment == "canary"


@needs_data
def test_real_trades_with_their_aggressors_give_the_values_of_the_statistic():
    name = "h_usdm_btcusdt_20240808"
    tape = Tape()
    define(tape, "1000")
    for row in rows(f"trades/{name}_trades.csv.gz"):
        tape.now_ns = int(row["event_ms"]) * 1_000_000 - tape.step_ns
        side = "sell" if row["buyer_is_maker"] == "True" else "buy"
        tape.trade(row["trade_id"], row["price"], row["qty"], aggressor=side)
    one = engine(WATCHDOG)
    run(one, tape.events, 500)
    sizes, signs = signed_trades(name)
    assert [row[0] for row in values(one)] == signed_vpin(sizes, signs, 20.0).tolist()


@needs_data
def test_a_stock_that_hardly_trades_stays_unknown():
    tape = Tape()
    bars = rows("bars/QES_2018_11_22.csv")
    define(tape, str(sum(float(row["5. volume"]) for row in bars) / 8), "QES")
    for number, row in enumerate(bars):
        at = row["date"].replace(" ", "T") + "Z"
        tape.now_ns = parse_rfc3339(at) - tape.step_ns
        tape.trade(number, row["4. close"], row["5. volume"], symbol="QES")
    one = engine(WATCHDOG)
    assert run(one, tape.events) == []
    assert one.standings[NAME, "QES"].state == "unknown"
