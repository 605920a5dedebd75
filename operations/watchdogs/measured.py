"""What measurements of databases and warehouses add up to: the table of the database watchdog.

One row says how one thing is after one measurement. What a measurement does not say makes no row,
so that nothing is judged on values that are not there.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from operations.checks import Batch, Row, Stored, Table
from operations.clock import near_ns
from operations.events.operations import (
    DatabaseMeasured,
    DatabaseMeasurement,
    WarehouseMeasured,
)

HIGH_WATERS = 16  # of which warehouses are compared; older ones are settled


class Reading(NamedTuple):
    """One thing that was measured: `bad` says whether it counts towards a row of bad ones."""

    what: str
    unit: str
    value: float | None
    bound: float | None
    bad: bool
    about: str | None


class Known(msgspec.Struct):
    """What is remembered of one unit: its last time, how often bad in a row, since when."""

    measured_ns: int = 0
    bad: int = 0
    first_sequence: int = 0
    value: float | None = None
    differs_from: int | None = None  # first log sequence of a stretch in which copies differ


class Memory(msgspec.Struct):
    """What is remembered of all units, and what warehouses held at which place in the stream."""

    units: dict[str, Known] = {}
    warehouses: dict[str, dict[str, dict[str, str]]] = {}  # table, high water, warehouse: digest


class Measurements:
    """The fold: a row for each reading that is newer than the last one of its unit."""

    def __init__(self) -> None:
        self._memory = Memory()

    def take(self, batch: Batch) -> list[Row]:
        """Return the rows of a batch."""
        return [row for stored in batch for row in self._rows(stored)]

    def snapshot(self) -> Any:
        """Return what is remembered."""
        return msgspec.to_builtins(self._memory)

    def restore(self, state: Any) -> None:
        """Go on from a snapshot."""
        self._memory = msgspec.convert(state, Memory)

    def _rows(self, stored: Stored) -> Iterator[Row]:
        event = stored.event
        # A clock that runs ahead would hide all measurements until that time has come.
        measured_ns = min(near_ns(event.timestamp), stored.at_ns)
        if isinstance(event, WarehouseMeasured):
            readings = [self._warehouse(event)]
        else:
            assert isinstance(event, DatabaseMeasured)
            readings = list(database(event.data, self._memory.units))
        for reading in readings:
            known = self._memory.units.setdefault(reading.unit, Known())
            if reading.what != "warehouse" and measured_ns <= known.measured_ns:
                continue  # a repetition, or it came too late
            if not (reading.bad and known.bad):
                known.first_sequence = stored.sequence
            known.measured_ns = max(measured_ns, known.measured_ns)
            known.bad = known.bad + 1 if reading.bad else 0
            known.value = reading.value
            yield (
                stored.sequence, stored.at_ns, reading.unit, reading.what, known.measured_ns,
                known.first_sequence, reading.value, reading.bound, known.bad, reading.about,
            )  # fmt: skip

    def _warehouse(self, event: WarehouseMeasured) -> Reading:
        """Compare with what other warehouses held at the same place; the same one may say more."""
        data = event.data
        places = self._memory.warehouses.setdefault(data.table, {})
        digests = places.setdefault(str(data.high_water_stream_sequence), {})
        digests[data.warehouse] = f"{data.rows} {data.sha256}"
        for old in sorted(places, key=int)[:-HIGH_WATERS]:
            del places[old]
        differ = len(set(digests.values())) > 1
        about = f"{', '.join(sorted(digests))} at stream sequence {data.high_water_stream_sequence}"
        return Reading(
            "warehouse", f"warehouse {data.table}", float(len(set(digests.values()))),
            float(len(digests)), differ, about,
        )  # fmt: skip


def database(data: DatabaseMeasurement, units: dict[str, Known]) -> Iterator[Reading]:
    """Return the readings of one measurement of a database or of one of its tables."""
    name = data.database
    if data.table:
        if data.dead_rows is not None and data.vacuum_due_rows is not None:
            due = data.dead_rows > data.vacuum_due_rows
            unit = f"{name} {data.table}"
            yield Reading(
                "dead_rows", unit, float(data.dead_rows), float(data.vacuum_due_rows), due,
                data.table,
            )  # fmt: skip
        return
    lacking = "; ".join(data.lacking) or None
    yield Reading("answers", name, None, None, not data.reachable, lacking)
    if not data.reachable:
        return
    if not any(each.startswith("statements") for each in data.lacking):
        by, age = data.longest_statement_by, data.longest_statement_ms or 0.0
        yield Reading("statement", f"{name} statements", age, None, bad=False, about=by)
    if data.locked is not None:
        yield Reading("locks", f"{name} locks", None, None, bool(data.locked), data.locked or None)
    if data.log_entries is not None and data.projected_entries is not None:
        unit = f"{name} read model"
        before = units.get(unit, Known()).value
        behind = data.projected_entries < data.log_entries
        stuck = behind and before == float(data.projected_entries)
        yield Reading(
            "read_model", unit, float(data.projected_entries), float(data.log_entries), stuck, None
        )
    if data.compared_entries is not None:
        yield _compared(data, units.setdefault(f"{name} log and read model", Known()))
    if data.indexes_checked is not None:
        yield Reading(
            "index", f"{name} indexes", float(data.index_problem is not None),
            float(data.indexes_checked), data.index_problem is not None, data.index_problem,
        )  # fmt: skip


def _compared(data: DatabaseMeasurement, known: Known) -> Reading:
    """Return how log and read model compare; a stretch that differed is well when it agrees."""
    first, count = data.compared_from or 0, data.compared_entries or 0
    found = data.entries_found or 0, data.rows_found or 0
    if {*found} != {count}:
        known.differs_from = first
    elif known.differs_from is not None and first <= known.differs_from < first + count:
        known.differs_from = None
    about = (
        f"from log sequence {first}: the log holds {found[0]} of {count}, the read model {found[1]}"
    )
    differs = known.differs_from is not None
    if differs and known.differs_from != first:
        about += f"; they differed from {known.differs_from}, which was not looked at again yet"
    unit = f"{data.database} log and read model"
    return Reading("comparison", unit, float(min(found)), float(count), differs, about)


MEASURED = Table(
    name="measured",
    columns=(
        ("unit", "VARCHAR"), ("what", "VARCHAR"), ("measured_ns", "BIGINT"),
        ("first_sequence", "BIGINT"), ("value", "DOUBLE"), ("bound", "DOUBLE"), ("bad", "BIGINT"),
        ("about", "VARCHAR"),
    ),
    kinds=(DatabaseMeasured, WarehouseMeasured),
    fold=Measurements,
    keep_days=365,
    keep_of_each=("unit", 1),  # what is measured no more is unknown, and not forgotten
)  # fmt: skip
