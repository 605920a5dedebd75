"""Do log, read model and warehouses agree, and does the database get its rest?

What is measured outside the stream comes as events, and this judges them: log and read model at the
same log sequences, two warehouses at the same place in the stream, statements that run too long,
dead rows that autovacuum has left beyond its own formula, a database that does not answer. A
table with too many dead rows may be vacuumed: in mode act the finding itself asks the measuring
process for it, by a parameter that names the table, once in an episode. A difference is never
repaired here: the log is the truth, and why a copy of it differs has to be found out by people.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, NamedTuple

from msgspec import Meta

from operations.checks import (
    Batch,
    Episode,
    Limits,
    Look,
    Row,
    Unit,
    Verdict,
    Watchdog,
    look_at,
)
from operations.clock import NANOSECONDS, rfc3339
from operations.events.base import Event, doc
from operations.events.findings import Parameter
from operations.events.operations import DatabaseMeasured, DatabaseMeasurement
from operations.measuring import DATABASE_CHECK, VACUUM_TABLE
from operations.settings.catalogue import LOOSER_HIGHER
from operations.watchdogs.cases import Case
from operations.watchdogs.measured import MEASURED

NAME = DATABASE_CHECK


class DatabaseLimits(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a database is not well."""

    statement_ms: Annotated[
        float,
        Meta(gt=0),
        doc("Age of a running statement beyond which it is a finding, in milliseconds."),
        LOOSER_HIGHER,
    ] = 5000.0
    dead_row_measurements: Annotated[
        int,
        Meta(gt=0),
        doc("Measurements in a row with more dead rows than autovacuum's own formula allows."),
        LOOSER_HIGHER,
    ] = 3
    stuck_measurements: Annotated[
        int,
        Meta(gt=0),
        doc("Measurements in a row in which the read model was behind and did not move."),
        LOOSER_HIGHER,
    ] = 3
    unreachable_measurements: Annotated[
        int,
        Meta(gt=0),
        doc("Measurements in a row that the database did not answer."),
        LOOSER_HIGHER,
    ] = 3
    locked_measurements: Annotated[
        int,
        Meta(gt=0),
        doc("Measurements in a row that a lock kept from being read."),
        LOOSER_HIGHER,
    ] = 3
    stale_seconds: Annotated[
        float,
        Meta(gt=0),
        doc("Time without a measurement after which a unit is unknown."),
        LOOSER_HIGHER,
    ] = 300.0


class Measured(NamedTuple):
    """The last thing that was measured of one unit."""

    first_sequence: int
    last_sequence: int
    what: str
    measured_ns: int
    value: float | None
    bound: float | None
    bad: int
    about: str | None


QUERY = """
WITH wanted AS (
    SELECT look.look, look.sequence AS seen, u.unit
    FROM look JOIN (SELECT unit, min(sequence) AS first FROM measured GROUP BY unit) u
      ON u.first <= look.sequence AND (look.unit IS NULL OR look.unit = u.unit)
)
SELECT w.look, w.unit, NULL::VARCHAR AS fund_id, NULL::VARCHAR AS strategy_id,
       m.first_sequence, m.sequence AS last_sequence, m.what, m.measured_ns, m.value, m.bound,
       m.bad, m.about
FROM wanted w ASOF JOIN measured m ON m.unit = w.unit AND m.sequence <= w.seen
ORDER BY w.look, w.unit
"""


def looks(_batch: Batch, rows: Mapping[str, Sequence[Row]]) -> Iterator[Look]:
    """Look at every unit that was measured."""
    by_sequence = {stored.sequence: stored for stored in _batch}
    for row in rows[MEASURED.name]:
        yield look_at(by_sequence[row[0]], Unit("database", row[2]))


def inspect(
    rows: Sequence[Measured], look: Look, limits: DatabaseLimits, known: Episode | None
) -> Verdict:
    """Judge one unit by its last measurement."""
    assert look.unit is not None
    name = look.unit.id
    if not rows:
        return Verdict(state="unknown", title=f"{name} was never measured")
    row = rows[-1]
    age = (look.at_ns - row.measured_ns) / NANOSECONDS
    if age > limits.stale_seconds and row.what != "warehouse":
        return Verdict(state="unknown", title=f"{name} was not measured for {age:.0f} s")
    return JUDGES[row.what](name, row, limits, known)


def _answers(name: str, row: Measured, limits: DatabaseLimits, known: Episode | None) -> Verdict:
    dead = row.bad >= limits.unreachable_measurements
    why = f": {row.about}" if row.about else ""
    return Verdict(
        state="breached" if dead else "ok",
        title=f"{name} {'does not answer' if row.bad else 'answers'}{why}",
        stage=int(dead),
        recovered=known is not None and not row.bad,
        statistic=float(row.bad),
        statistic_name="measurements in a row without an answer",
        threshold=float(limits.unreachable_measurements),
    )


def _locks(name: str, row: Measured, limits: DatabaseLimits, known: Episode | None) -> Verdict:
    stuck = row.bad >= limits.locked_measurements
    held = f"nobody can read what is locked: {row.about}" if row.bad else "nothing is locked"
    return Verdict(
        state="warning" if stuck else "ok",
        title=f"{name}: {held}",
        stage=int(stuck),
        recovered=known is not None and not row.bad,
        statistic=float(row.bad),
        statistic_name="measurements in a row that a lock kept from being read",
        threshold=float(limits.locked_measurements),
    )


def _statement(_name: str, row: Measured, limits: DatabaseLimits, known: Episode | None) -> Verdict:
    if row.value is None:
        return Verdict(state="unknown", title="the age of statements is not known")
    late = row.value > limits.statement_ms
    words = f"the oldest statement runs for {row.value / 1000:.1f} s"
    return Verdict(
        state="warning" if late else "ok",
        title=f"{words}, by {row.about or 'somebody'}" if row.value else "no statement runs",
        stage=int(late),
        recovered=known is not None and not late,
        statistic=row.value,
        statistic_name="age of the oldest running statement, in milliseconds",
        threshold=limits.statement_ms,
    )


def _dead_rows(name: str, row: Measured, limits: DatabaseLimits, known: Episode | None) -> Verdict:
    assert row.value is not None
    assert row.bound is not None
    late = row.bad >= limits.dead_row_measurements
    return Verdict(
        state="warning" if late else "ok",
        title=f"{name} has {row.value:.0f} dead rows; autovacuum comes beyond {row.bound:.0f}",
        stage=int(late),
        recovered=known is not None and not row.bad,
        statistic=row.value,
        statistic_name="dead rows",
        threshold=row.bound,
        samples=row.bad,
        parameters=(Parameter(name=VACUUM_TABLE, value=row.about or ""),) if late else (),
        maintenance=f"VACUUM (ANALYZE) {row.about}" if late else None,
    )


def _read_model(name: str, row: Measured, limits: DatabaseLimits, known: Episode | None) -> Verdict:
    assert row.value is not None
    assert row.bound is not None
    ahead = row.value > row.bound
    stuck = row.bad >= limits.stuck_measurements
    words = "covers more than the log holds" if ahead else "is behind and does not move"
    wrong = ahead or stuck
    return Verdict(
        state="breached" if ahead else "warning" if stuck else "ok",
        title=f"{name}: {row.value:.0f} of {row.bound:.0f} log entries{f'; {words}' * wrong}",
        stage=2 if ahead else int(stuck),
        recovered=known is not None and not ahead and not row.bad,
        statistic=row.value,
        statistic_name="log entries that the read model covers",
        threshold=row.bound,
        samples=row.bad,
    )


def _comparison(
    name: str, row: Measured, _limits: DatabaseLimits, known: Episode | None
) -> Verdict:
    return Verdict(
        state="breached" if row.bad else "ok",
        title=f"{name} {'disagree' if row.bad else 'agree'}, {row.about}",
        stage=int(row.bad > 0),
        recovered=known is not None and not row.bad,
        statistic=row.value,
        statistic_name="rows found",
        threshold=row.bound,
    )


def _warehouse(name: str, row: Measured, _limits: DatabaseLimits, known: Episode | None) -> Verdict:
    alone = (row.bound or 0) < 2
    differ = "differs between" if row.bad else "is the same in"
    return Verdict(
        state="breached" if row.bad else "ok",
        title=f"{name} {'is held by' if alone else differ} {row.about}",
        stage=int(row.bad > 0),
        recovered=known is not None and not row.bad and not alone,
        statistic=row.value,
        statistic_name="different contents at the same place in the stream",
        threshold=1.0,
        samples=int(row.bound or 0),
    )


def _index(name: str, row: Measured, _limits: DatabaseLimits, known: Episode | None) -> Verdict:
    return Verdict(
        state="breached" if row.bad else "ok",
        title=f"{name}: {row.about or f'amcheck looked at {row.bound:.0f} and found nothing'}",
        stage=int(row.bad > 0),
        recovered=known is not None and not row.bad,
        statistic=row.value,
        statistic_name="damaged indexes",
        threshold=0.0,
    )


Judge = Callable[[str, Measured, DatabaseLimits, Episode | None], Verdict]
JUDGES: Mapping[str, Judge] = {
    "answers": _answers,
    "locks": _locks,
    "statement": _statement,
    "dead_rows": _dead_rows,
    "read_model": _read_model,
    "comparison": _comparison,
    "warehouse": _warehouse,
    "index": _index,
}


def canary(now_ns: int, run_id: str) -> Iterable[Event]:
    """Return a table whose dead rows stay, and then are gone."""
    case = Case(NAME, now_ns, run_id)
    for number, dead_rows in enumerate((900, 900, 900, 0)):
        measurement = DatabaseMeasurement(
            database=case.subject_id, table="canary.table", dead_rows=dead_rows, vacuum_due_rows=50
        )
        at = rfc3339(now_ns - 4 + number)
        yield case.event(DatabaseMeasured, measurement, timestamp=at)


WATCHDOG = Watchdog(
    name=NAME,
    why="A copy that differs from the log, or a database that chokes, is found by nobody else.",
    action="alert, and VACUUM (ANALYZE) of named tables",
    budget="0 by construction: every finding is a measured fact",
    unit="database",
    limits=DatabaseLimits,
    tables=(MEASURED,),
    row=Measured,
    query=QUERY,
    inspect=inspect,
    looks=looks,
    every_seconds=60,
    canary=canary,
)
