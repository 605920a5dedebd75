"""Do watchdogs find the same however the stream is cut, and after a start from a snapshot?"""

import json
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from typing import NamedTuple

import msgspec
import pytest
from volatile_fund import CALM, WILD, history
from watching import SECOND, START_NS, engine, event, run, spoken, stored

from operations import watchdogs
from operations.adapters import warehouse
from operations.checks import Batch, Table, Verdict, boundaries
from operations.clock import parse_rfc3339
from operations.errors import Rejected
from operations.events.base import encode
from operations.events.news import Beat, FeedBeat, Story, StoryPublished
from operations.events.operations import ClockTicked, Tick
from operations.events.portfolio import NavMarked, NetAssetValue
from operations.events.positions import Greeks, GreeksMarked
from operations.watchdogs.portfolio_vol_dd import NAME, WATCHDOG

pytestmark = pytest.mark.unit


def lively():
    """Two breaches and two recoveries."""
    return stored(history(([CALM] * 25 + [WILD] * 10 + [CALM] * 35) * 2))


def words(said):
    return [encode(each) for each in said]


def test_a_slow_question_draws_nothing_into_what_a_command_prints():
    # In a program without a file DuckDB believes that somebody watches, even through a pipe.
    program = """
from operations.adapters.warehouse import Warehouse
print(Warehouse([])._database.sql("SELECT current_setting('enable_progress_bar')").fetchall())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[(False,)]\n"


@pytest.mark.parametrize("size", [1, 13, 100])
def test_the_size_of_a_batch_changes_no_byte_of_what_is_said(size):
    whole = run(engine(WATCHDOG), lively())
    assert len(whole) == 6
    assert words(run(engine(WATCHDOG), lively(), size)) == words(whole)


def test_from_any_snapshot_the_rest_is_said_byte_for_byte(tmp_path):
    events = lively()
    whole = words(run(engine(WATCHDOG), events))
    for place in (0, 60, 64, 66, 140, len(events)):
        first, second = engine(WATCHDOG), engine(WATCHDOG)
        before = run(first, events[:place], 39)
        first.warehouse.save(tmp_path / "one", first.snapshot())
        second.warehouse.load(tmp_path / "one")
        second.restore(warehouse.read_state(tmp_path / "one"))
        assert words(before + run(second, events[place:], 41)) == whole
        assert second.standings == engine_at_end(events).standings


def engine_at_end(events):
    one = engine(WATCHDOG)
    run(one, events)
    return one


@pytest.mark.parametrize("mistake", [lambda: 1 / 0, lambda: sorted([None, 1]), lambda: [].alpha])
def test_a_watchdog_that_fails_is_unknown_and_ends_no_other(mistake):
    def breaks(_rows, _look, _limits, _known):
        return mistake()

    broken = msgspec.structs.replace(WATCHDOG, name="vpin", inspect=breaks)
    one = engine(broken, WATCHDOG)
    said = run(one, lively())
    assert Counter(each.subject.split(".")[4] for each in said if "finding" in each.subject) == {
        NAME: 4
    }
    assert one.standings["vpin", "alpha"].state == "unknown"
    assert "alpha could not be judged: " in one.problems["vpin"]
    assert "Error(" in one.problems["vpin"]


def test_a_fold_that_fails_ends_no_other():
    class Broken:
        def take(self, _batch):
            return next(iter(()))

    table = msgspec.structs.replace(WATCHDOG.tables[0], name="t", fold=Broken)
    broken = msgspec.structs.replace(WATCHDOG, name="vpin", tables=(table,))
    one = engine(broken, WATCHDOG)
    said = run(one, lively())
    assert len(said) == 6
    assert "StopIteration" in one.problems["t"]


FAR = "9999-12-31T23:59:59Z"


@pytest.mark.parametrize(
    ("kind", "data", "envelope", "feed"),
    [
        (
            NavMarked,
            NetAssetValue(
                as_of=FAR, nav=Decimal(1), currency="USD", start_of_day_nav=Decimal(1), final=True
            ),
            {"fund_id": "alpha"},
            "nav/alpha",
        ),
        (
            GreeksMarked,
            Greeks(symbol="C", quantity=Decimal(1), currency="USD", marked_at=FAR),
            {"fund_id": "alpha", "account_id": "a"},
            "greeks/alpha/a",
        ),
        (
            StoryPublished,
            Story(story_id="s", feed="w", headline_hash="h", published_at=FAR, tickers=("A",)),
            {},
            "news/w",
        ),
        (FeedBeat, Beat(feed="w", stories=1 << 70, interval_seconds=1e300), {}, "news/w"),
    ],
)
def test_what_no_column_holds_is_a_fault_of_its_feed_and_ends_nothing(kind, data, envelope, feed):
    one = engine(*watchdogs.ALL)
    events = [event(kind, "x", data, number, **envelope) for number in range(30)]
    run(one, stored(events, at_ns=lambda number: START_NS + number * SECOND))
    assert one.problems == {}
    assert one.standings["data_fault", feed].state == "breached"


def test_a_query_that_yields_other_columns_than_the_rows_is_refused_by_name():
    wrong = msgspec.structs.replace(
        WATCHDOG, query="SELECT look, unit, unit AS fund_id, unit AS strategy_id, 1 AS x FROM look"
    )
    one = engine(wrong)
    assert run(one, lively()) == []
    assert "yields" in one.problems[NAME]


def test_while_its_feed_is_at_fault_a_unit_is_unknown_and_nothing_is_said():
    fault = msgspec.structs.replace(
        WATCHDOG, name="data_fault",
        inspect=lambda rows, _look, _limits, known: Verdict(
            state="breached", title="values repeat", stage=int(60 > len(rows) >= 32),
            recovered=known is not None and len(rows) >= 60,
        ),
    )  # fmt: skip
    dependent = msgspec.structs.replace(WATCHDOG, feeds=lambda unit: (unit.id,))
    one = engine(fault, dependent)
    said = run(one, lively(), 13)
    first = [each for each in said if each.data.__class__.__name__ == "Finding"]
    assert spoken(first[:1]) == [("finding.data_fault.raised", "alpha")]
    assert one.standings[NAME, "alpha"].state == "ok"
    while_at_fault = engine(fault, dependent)
    run(while_at_fault, lively()[:90])
    assert while_at_fault.standings[NAME, "alpha"].state == "unknown"
    assert "values repeat" in while_at_fault.standings[NAME, "alpha"].title


class Place(NamedTuple):
    sequence: int


def test_fixed_times_are_looked_at_once_each_wherever_a_batch_ends():
    seen = []

    def note(_rows, look, _limits, _known):
        seen.append((look.at_ns, look.sequence))
        return Verdict(state="ok", title="")

    hourly = msgspec.structs.replace(
        WATCHDOG,
        looks=lambda _batch, _rows: (),
        every_seconds=3600,
        lateness_seconds=30,
        query="""
            SELECT look.look, n.fund_id AS unit, n.fund_id, NULL AS strategy_id, n.sequence
            FROM look JOIN fund_mark n ON n.sequence <= look.sequence
            ORDER BY look.look, unit, n.sequence""",
        row=Place,
        inspect=note,
    )
    ticks = [
        event(ClockTicked, "clock", Tick(minute="2026-01-05T00:00:00Z", offset_ms=0.0), number * 60)
        for number in range(300)
    ]
    made = [*history([CALM] * 3), *ticks]
    events = stored(made, at_ns=lambda number: parse_rfc3339(made[number - 1].timestamp))
    run(engine(hourly), events)
    whole, seen[:] = list(seen), []
    assert len(whole) == 5
    assert all(at_ns % (3600 * 10**9) == 0 for at_ns, _ in whole)
    run(engine(hourly), events, 7)
    assert seen == whole


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_clock_of_the_bus_that_runs_back_changes_no_look_at_a_fixed_time(size):
    hourly = msgspec.structs.replace(WATCHDOG, every_seconds=3600, lateness_seconds=30)
    seconds = (5, 3700, 3650, 7300, 10, 20, 7240, 11_000, 30)
    ticks = [event(ClockTicked, "clock", Tick(minute=FAR, offset_ms=0.0))] * len(seconds)
    events = stored(ticks, at_ns=lambda number: START_NS + seconds[number - 1] * SECOND)
    whole, done_ns = boundaries(hourly, Batch.read(events), 0)
    assert [look.sequence for look in whole] == [2, 2, 4, 8]
    cut, reached_ns = [], 0
    for begin in range(0, len(events), size):
        found, reached_ns = boundaries(hourly, Batch.read(events[begin : begin + size]), reached_ns)
        cut += found
    assert (cut, reached_ns) == (whole, done_ns)


def test_a_row_that_does_not_fit_its_table_is_refused():
    table = Table(
        name="t", columns=(("n", "BIGINT"),), kinds=(), fold=WATCHDOG.tables[0].fold, keep_days=1
    )
    house = warehouse.Warehouse([table])
    with pytest.raises(Rejected, match="one value for each"):
        house.insert(table, [(1, 2)])


def test_of_the_rows_that_wait_only_the_one_that_does_not_fit_is_left_out():
    table = Table(
        name="t", columns=(("n", "BIGINT"),), kinds=(), fold=WATCHDOG.tables[0].fold, keep_days=2
    )
    house = warehouse.Warehouse([table])
    house.insert(table, [(number, 0, 1 << 70 if number == 33 else number) for number in range(100)])
    assert house.measure(table)[0] == 99
    assert house.problems["t"].endswith("in (33, 0, 1180591620717411303424)")


def test_rows_are_kept_as_long_as_their_table_says():
    table = Table(
        name="t", columns=(("n", "BIGINT"),), kinds=(), fold=WATCHDOG.tables[0].fold, keep_days=2
    )
    house = warehouse.Warehouse([table])
    day = 86_400 * 10**9
    house.insert(table, [(number, number * day, None if number else 5) for number in range(5)])
    assert house.measure(table)[0] == 5
    house.trim(5 * day)
    assert house.measure(table)[0] == 2


def test_trimming_gives_back_the_memory_of_rows_that_went_from_between_others():
    table = Table(
        name="t", columns=(("n", "BIGINT"),), kinds=(), fold=WATCHDOG.tables[0].fold, keep_days=2
    )
    house = warehouse.Warehouse([table])
    day, count = 86_400 * 10**9, 400_000
    house.insert(table, [(number, number % 2 * 9 * day, number) for number in range(count)])
    house.trim(0)
    before = memory(house)
    house.trim(10 * day)
    assert house.measure(table)[0] == count // 2
    assert memory(house) < 0.75 * before


def memory(house):
    """What the tables of a warehouse take, in bytes."""
    question = "SELECT sum(memory_usage_bytes) FROM duckdb_memory() WHERE tag LIKE '%TABLE%'"
    return house._database.execute(question).fetchall()[0][0]


def keeping(of_each):
    """A table that keeps so many rows of each unit beyond the day."""
    return Table(
        name="t", columns=(("unit", "VARCHAR"),), kinds=(), fold=WATCHDOG.tables[0].fold,
        keep_days=2, keep_of_each=("unit", of_each),
    )  # fmt: skip


def test_of_each_unit_the_last_rows_are_kept_where_its_table_says_so():
    table = keeping(of_each=3)
    house, kept = (warehouse.Warehouse([table]) for _ in range(2))
    rows = [(number, 0, "ab"[number > 4]) for number in range(10)]
    house.insert(table, [*rows, (10, 0, "c")])
    house.trim(warehouse.DAY_NS)
    kept.insert(table, [*rows[2:5], *rows[7:], (10, 0, "c")])
    assert house.measure(table) == kept.measure(table)


def test_whenever_of_a_day_rows_are_trimmed_the_same_are_left():
    """Two processes cut the stream in other places, and db_watchdog compares what they hold."""
    table = keeping(of_each=1)
    soon, late = (warehouse.Warehouse([table]) for _ in range(2))
    before = [(number, warehouse.DAY_NS - 1, "a") for number in range(3)]
    after = [(number, warehouse.DAY_NS, "a") for number in range(3, 6)]
    soon.insert(table, [*before, after[0]])
    soon.trim(warehouse.DAY_NS)
    soon.insert(table, after[1:])
    late.insert(table, [*before, *after])
    late.trim(warehouse.DAY_NS + 1)
    assert soon.measure(table) == late.measure(table)
    assert soon.measure(table)[0] == 4


def test_two_warehouses_with_the_same_rows_measure_the_same_and_others_do_not():
    table = Table(
        name="t", columns=(("n", "BIGINT"), ("w", "VARCHAR")), kinds=(),
        fold=WATCHDOG.tables[0].fold, keep_days=2,
    )  # fmt: skip
    one, two, three = (warehouse.Warehouse([table]) for _ in range(3))
    rows = [(number, number, number, f"w{number}") for number in range(50)]
    one.insert(table, rows)
    two.insert(table, rows[30:])
    two.insert(table, rows[:30])
    three.insert(table, [*rows[1:], (0, 0, 0, "w1")])
    assert one.measure(table) == two.measure(table) != three.measure(table)
    assert json.dumps(one.measure(table))


def test_a_canary_in_mode_act_is_found_and_asks_for_no_action():
    real = run(engine(WATCHDOG), lively())
    canaries = [msgspec.structs.replace(each.event, environment="canary") for each in lively()]
    said = run(engine(WATCHDOG), stored(canaries))
    findings = [each for each in real if ".finding." in each.subject]
    assert len(findings) < len(real)
    assert [each.subject for each in said] == [each.subject for each in findings]
    assert {each.environment for each in said} == {"canary"}
