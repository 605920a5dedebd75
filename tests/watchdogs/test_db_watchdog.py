"""Is a copy that differs told from one that lags, and a full table from one that was never seen?"""

import msgspec
import pytest
from watching import (
    SECOND,
    START_NS,
    assert_cut_into_batches,
    assert_resumed,
    engine,
    event,
    run,
    spoken,
    stored,
)

from operations.clock import rfc3339
from operations.events.operations import (
    ClockTicked,
    DatabaseMeasured,
    DatabaseMeasurement,
    Tick,
    WarehouseMeasured,
    WarehouseMeasurement,
)
from operations.watchdogs.db_watchdog import NAME, WATCHDOG, DatabaseLimits

pytestmark = pytest.mark.unit
RAISED, CLEARED, UPDATED = (f"finding.{NAME}.{verb}" for verb in ("raised", "cleared", "updated"))
TABLE, STATEMENTS, MODEL = "mts audit.event", "mts statements", "mts read model"
COPIES = "mts log and read model"


def at(number, kind, data):
    made = event(kind, "mts", data, number)
    return msgspec.structs.replace(made, timestamp=rfc3339(START_NS + number * 60 * SECOND))


def whole(number, **values):
    data = DatabaseMeasurement(database="mts", table="", **values)
    return at(number, DatabaseMeasured, data)


def table(number, dead_rows, due=100):
    data = DatabaseMeasurement(
        database="mts", table="audit.event", dead_rows=dead_rows, vacuum_due_rows=due
    )
    return at(number, DatabaseMeasured, data)


def held(number, name, digest, high_water=70):
    data = WarehouseMeasurement(
        warehouse=name, table="bars", high_water_stream_sequence=high_water, rows=5, sha256=digest
    )
    return at(number, WarehouseMeasured, data)


def tick(number):
    return at(number, ClockTicked, Tick(minute="2026-01-05T00:00:00Z", offset_ms=0.0))


def said(events, mode="act", **limits):
    return run(engine(WATCHDOG, mode=mode, **limits), stored(events))


def of(events, unit):
    return [subject for subject, name in spoken(said(events)) if name == unit]


def standing(events, unit):
    one = engine(WATCHDOG)
    run(one, stored(events))
    return one.standings[NAME, unit]


@pytest.mark.parametrize(
    ("age", "expected"), [(4999.0, []), (5000.0, []), (5000.1, [RAISED]), (None, [])]
)
def test_a_statement_older_than_five_seconds_is_a_finding(age, expected):
    events = [whole(1, longest_statement_ms=age, longest_statement_by="process 7, mts_reader")]
    assert of(events, STATEMENTS) == expected
    if expected:
        assert "process 7, mts_reader" in said(events)[0].data.title
        assert of([*events, whole(2)], STATEMENTS) == [RAISED, CLEARED]


@pytest.mark.parametrize(
    ("locked", "expected"),
    [
        (["x", "x"], []),
        (["x", "x", "", "x", "x"], []),
        (["x", None, "x", None, "x"], [RAISED]),  # between them only statements were looked at
        (["x"] * 9, [RAISED]),
        (["x", "x", "x", None], [RAISED]),
        (["x", "x", "x", ""], [RAISED, CLEARED]),
    ],
)
def test_what_three_measurements_could_not_read_for_a_lock_is_a_finding_and_answers(
    locked, expected
):
    events = [whole(number, locked=each) for number, each in enumerate(locked)]
    assert of(events, "mts locks") == expected
    assert of(events, "mts") == []
    if expected:
        (raised,) = [each for each in said(events) if each.subject.endswith(".raised")]
        assert raised.data.title == "mts locks: nobody can read what is locked: x"
        assert raised.data.severity == "warning"


def test_statements_that_may_not_be_seen_are_not_taken_as_none():
    events = [whole(1, lacking=("statements of others: no pg_read_all_stats",))]
    one = engine(WATCHDOG)
    run(one, stored(events))
    assert (NAME, STATEMENTS) not in one.standings


@pytest.mark.parametrize(
    ("dead", "expected"),
    [
        ([101, 101], []),
        ([100, 100, 100, 100], []),
        ([101, 101, 101], [RAISED]),
        ([101, 101, 100, 101, 101], []),
        ([101] * 9, [RAISED]),
        ([101, 101, 101, 0], [RAISED, CLEARED]),
    ],
)
def test_dead_rows_that_autovacuum_leaves_three_times_are_a_finding(dead, expected):
    assert of([table(number, rows) for number, rows in enumerate(dead)], TABLE) == expected


def test_the_finding_asks_for_a_vacuum_of_the_table_once_and_in_mode_act_only():
    events = [table(number, 900) for number in range(9)]
    acting, watching = said(events), said(events, mode="observe")
    for found in (acting, watching):
        assert spoken(found) == [(RAISED, TABLE)]
        assert [(each.name, each.value) for each in found[0].data.parameters] == [
            ("vacuum_table", "audit.event")
        ]
    assert (acting[0].data.mode, acting[0].data.would_have) == ("act", None)
    assert watching[0].data.mode == "observe"
    assert watching[0].data.would_have == "VACUUM (ANALYZE) audit.event"


def test_what_a_measurement_does_not_say_is_never_zero():
    unknown = DatabaseMeasurement(database="mts", table="audit.event", dead_rows=900)
    one = engine(WATCHDOG)
    run(one, stored([at(number, DatabaseMeasured, unknown) for number in range(4)]))
    assert (NAME, TABLE) not in one.standings


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([(100, 50), (110, 60), (120, 70), (130, 80), (140, 90)], []),  # behind, and it moves
        ([(100, 50), (110, 50), (120, 50)], []),
        ([(100, 50), (110, 50), (120, 50), (130, 50)], [RAISED]),
        ([(100, 100)] * 9, []),  # nothing to do is not stuck
        ([(100, 50)] * 4 + [(100, 100)], [RAISED, CLEARED]),
        ([(100, 101)], [RAISED]),  # it covers what the log does not hold
    ],
)
def test_a_read_model_that_does_not_move_or_is_ahead_of_the_log_is_a_finding(places, expected):
    events = [
        whole(number, log_entries=log, projected_entries=model)
        for number, (log, model) in enumerate(places)
    ]
    assert of(events, MODEL) == expected


def compared(number, first, entries, rows, count=1000):
    return whole(
        number, compared_from=first, compared_entries=count, entries_found=entries, rows_found=rows
    )


def test_log_and_read_model_that_differ_at_the_same_place_page_until_that_place_agrees():
    assert of([compared(1, 0, 1000, 1000)], COPIES) == []
    for entries, rows in ((1000, 999), (1000, 1001), (999, 1000), (999, 999)):
        events = [compared(1, 0, 1000, 1000), compared(2, 1000, entries, rows)]
        assert of(events, COPIES) == [RAISED]
        assert said(events)[0].data.severity == "critical"
        elsewhere = [*events, compared(3, 2000, 1000, 1000)]
        assert of(elsewhere, COPIES) == [RAISED]
        assert "was not looked at again" in standing(elsewhere, COPIES).title
        assert of([*elsewhere, compared(4, 1000, 1000, 1000)], COPIES) == [RAISED, CLEARED]


def test_two_warehouses_with_other_rows_at_the_same_place_disagree():
    unit = "warehouse bars"
    assert of([held(1, "a", "x"), held(2, "b", "x")], unit) == []
    assert of([held(1, "a", "x"), held(2, "b", "y", high_water=71)], unit) == []
    differ = [held(1, "a", "x"), held(2, "b", "y")]
    assert of(differ, unit) == [RAISED]
    assert "a, b at stream sequence 70" in said(differ)[0].data.title
    assert of([*differ, held(3, "a", "z", 80)], unit) == [RAISED]  # one alone proves nothing
    assert of([*differ, held(3, "a", "z", 80), held(4, "b", "z", 80)], unit) == [RAISED, CLEARED]


def test_a_database_that_does_not_answer_three_times_pages_and_says_why():
    gone = [whole(n, reachable=False, lacking=("connection refused",)) for n in range(3)]
    assert of(gone[:2], "mts") == []
    assert of(gone, "mts") == [RAISED]
    assert said(gone)[0].data.severity == "critical"
    assert "connection refused" in said(gone)[0].data.title
    assert of([*gone, whole(4)], "mts") == [RAISED, CLEARED]


def test_a_damaged_index_pages():
    damaged = [whole(1, indexes_checked=3, index_problem="event_pkey: item order is wrong")]
    assert of(damaged, "mts indexes") == [RAISED]
    assert of([*damaged, whole(2, indexes_checked=3)], "mts indexes") == [RAISED, CLEARED]


@pytest.mark.parametrize(("silent", "state"), [(5, "warning"), (6, "unknown")])
def test_measurements_that_stop_are_unknown_and_end_nothing(silent, state):
    events = [table(number, 900) for number in range(3)]
    events += [tick(2 + number) for number in range(1, silent + 1)]
    assert standing(events, TABLE).state == state
    assert of(events, TABLE) == [RAISED]


def test_a_measurement_from_the_future_hides_none_that_follows_it():
    events = stored([table(number, 5) for number in range(5)])
    ahead = msgspec.structs.replace(events[1].event, timestamp="2031-01-01T00:00:00Z")
    rest = stored([table(number, 900) for number in range(5, 8)], first=6)
    said = run(engine(WATCHDOG), [events[0], events[1]._replace(event=ahead), *events[2:], *rest])
    assert spoken(said) == [(RAISED, TABLE)]


def test_a_repeated_or_late_measurement_does_not_count_again():
    events = [table(1, 900), table(2, 900)]
    assert of([*events, *events, *events], TABLE) == []
    assert of([*events, table(0, 0)], TABLE) == []
    assert of([*events, table(0, 0), table(3, 900)], TABLE) == [RAISED]


def lively():
    events = [table(number, 900 if number % 5 else 0) for number in range(14)]
    events += [whole(n, longest_statement_ms=9000.0 * (n % 2)) for n in range(14)]
    events += [compared(n, 1000 * (n % 3), 1000, 1000 - (n == 4)) for n in range(14)]
    events += [held(n, "ab"[n % 2], f"{n > 5}{n % 2}", n // 2) for n in range(14)]
    return stored(sorted(events, key=lambda each: each.timestamp))


@pytest.mark.parametrize("size", [1, 7])
def test_the_size_of_a_batch_changes_no_byte(size):
    assert_cut_into_batches(lambda: engine(WATCHDOG), lively(), size, 16)


def test_from_any_snapshot_the_rest_is_said_byte_for_byte(tmp_path):
    assert_resumed(lambda: engine(WATCHDOG), lively(), (0, 9, 20, 33, 50), tmp_path)


def test_its_canary_is_found_each_time_and_is_over_afterwards():
    one = engine(WATCHDOG)
    for run_id in ("one", "two"):
        found = run(one, stored(WATCHDOG.canary(START_NS, run_id), at_ns=lambda _: START_NS))
        unit = f"canary-{run_id} canary.table"
        assert spoken(found) == [(RAISED, unit), (CLEARED, unit)]
        assert {each.environment for each in found} == {"canary"}


def test_a_limit_of_its_own_is_kept():
    events = [whole(1, longest_statement_ms=700.0, longest_statement_by="x")]
    found = said(events, **{NAME: DatabaseLimits(statement_ms=500.0)})
    assert spoken(found) == [(RAISED, STATEMENTS)]
