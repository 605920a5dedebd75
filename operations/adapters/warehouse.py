"""The private tables of a watchdog process: an in-memory DuckDB that is rebuilt after any death.

It holds what the watchdogs of this process keep and nothing else, in one thread and bounded memory.
Rows go in by columns, because row by row costs a hundred times as much. Nothing that counts is
only here: a snapshot in Parquet files, bound to a place in the stream, saves reading it all again.
"""

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np

from operations.adapters.credentials import private_folder
from operations.checks import Look, Row, Table, Watchdog
from operations.clock import NANOSECONDS
from operations.errors import Rejected

MEMORY_MB = 256
WAITING_ROWS = 2_000
DAY_NS = 86_400 * NANOSECONDS
ALWAYS = (("sequence", "BIGINT"), ("at_ns", "BIGINT"))
LOOKS = "look"
NAMES_OF_A_UNIT = ("look", "unit", "fund_id", "strategy_id")
STATE_FILE = "state.json"
_NUMPY: Mapping[str, type] = {
    "BIGINT": np.int64, "INTEGER": np.int64, "DOUBLE": np.float64, "BOOLEAN": np.bool_,
}  # fmt: skip


class Found(NamedTuple):
    """The rows that one look may see of one unit; `names` are their columns."""

    look: int
    unit: str
    fund_id: str | None
    strategy_id: str | None
    names: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class Warehouse:
    """The tables of some watchdogs. Not for several threads.

    `problems` says of which table a row did not fit, and why: such a row is left out, and no other.
    """

    def __init__(self, tables: Iterable[Table], memory_mb: int = MEMORY_MB) -> None:
        self._tables = {table.name: table for table in tables}  # one that many use stands once
        self._database = duckdb.connect(
            ":memory:", config={"threads": 1, "memory_limit": f"{memory_mb}MB"}
        )
        # Where it thinks that somebody watches, it would draw into what a command prints.
        self._database.execute("SET enable_progress_bar = false")
        for table in self._tables.values():
            columns = ", ".join(f"{name} {kind}" for name, kind in _columns(table))
            self._database.execute(f"CREATE TABLE {table.name} ({columns})")
        self.problems: dict[str, str] = {}
        self._new: dict[str, list[Row]] = {name: [] for name in self._tables}  # not in DuckDB yet

    def close(self) -> None:
        """Give the memory back."""
        self._database.close()

    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Add rows, each with a value for every column of the table; None is NULL.

        They wait until somebody asks, or are many: each insertion costs as much as 500 rows.
        Raises Rejected when a row has another number of values.
        """
        columns = _columns(table)
        if any(len(row) != len(columns) for row in rows):
            raise Rejected(f"a row of {table.name} has not one value for each of {columns}")
        new = self._new[table.name]
        new += rows
        if len(new) >= WAITING_ROWS:
            self._flush(table)

    def _flush(self, table: Table) -> None:
        """Put the rows that wait into the table."""
        rows, self._new[table.name] = self._new[table.name], []
        if rows and (problem := self._put(table, rows)):
            self.problems[table.name] = f"a row does not fit: {problem}"

    def _put(self, table: Table, rows: Sequence[Row]) -> str:
        """Put rows into a table; say what is wrong with the last one that does not fit."""
        values = zip(*rows, strict=True)
        try:
            block = {
                name: _array(kind, column)
                for (name, kind), column in zip(_columns(table), values, strict=True)
            }
            self._database.register("block", block)
            self._database.execute(f"INSERT INTO {table.name} SELECT * FROM block")  # noqa: S608 (our own names)
        except (duckdb.Error, ArithmeticError, TypeError, ValueError) as error:
            if len(rows) == 1:
                return f"{error} in {str(rows[0])[:200]}"
            half = len(rows) // 2
            first, second = self._put(table, rows[:half]), self._put(table, rows[half:])
            return second or first
        finally:
            self._database.unregister("block")
        return ""

    def ask(self, watchdog: Watchdog, looks: Sequence[Look]) -> list[Found]:
        """Return what each look may see, by look and unit; units without rows are left out.

        Raises Rejected when the query fails or does not yield the fields of the watchdog's row.
        """
        for table in watchdog.tables:
            self._flush(table)
        block = {
            "look": np.arange(len(looks)),
            "sequence": np.array([look.sequence for look in looks], np.int64),
            "at_ns": np.array([look.at_ns for look in looks], np.int64),
            "unit": np.array([look.unit.id if look.unit else None for look in looks], object),
        }
        self._database.register(LOOKS, block)
        try:
            cursor = self._database.execute(watchdog.query)
            found = cursor.fetchall()
        except duckdb.Error as error:
            raise Rejected(f"the query of {watchdog.name} failed: {error}") from error
        names = tuple(column[0] for column in cursor.description or ())
        wanted = (*NAMES_OF_A_UNIT, *watchdog.row._fields)
        if names != wanted:
            raise Rejected(f"the query of {watchdog.name} yields {names}, its rows are {wanted}")
        return [
            Found(look, unit, fund_id, strategy_id, names[4:], [row[4:] for row in group])
            for (look, unit, fund_id, strategy_id), group in groupby(found, itemgetter(0, 1, 2, 3))
        ]

    def trim(self, now_ns: int) -> None:
        """Remove rows of days that are older than their table keeps, by the time of the stream.

        And of the days before this one rows beyond those that it keeps of each unit: whenever that
        is done within a day, the same rows are left. A checkpoint then gives back what they
        took and packs the rest: 46 MB of a million rows, half of them gone, became 4, in 0.3 s.
        """
        for table in self._tables.values():
            self._flush(table)
            today = now_ns // DAY_NS * DAY_NS
            oldest = today - table.keep_days * DAY_NS
            self._database.execute(f"DELETE FROM {table.name} WHERE at_ns < ?", [oldest])  # noqa: S608
            if table.keep_of_each is not None:
                columns, most = table.keep_of_each
                self._database.execute(f"""
                    DELETE FROM {table.name} WHERE rowid IN (
                        SELECT rowid FROM {table.name} WHERE at_ns < {today}
                        QUALIFY {most} < row_number() OVER (
                            PARTITION BY {columns} ORDER BY sequence DESC))
                """)  # noqa: S608 (our own names)
        self._database.execute("CHECKPOINT")

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its tables."""
        return tuple(self._tables.values())

    def measure(self, table: Table) -> tuple[int, str]:
        """Return the number of rows of a table, and the SHA-256 over those of its rows, sorted."""
        self._flush(table)
        texts = ", ".join(f"coalesce({name}::VARCHAR, '')" for name, _ in _columns(table))
        statement = f"""
            WITH row AS (SELECT sha256(concat_ws(chr(31), {texts})) AS hash FROM {table.name})
            SELECT count(*), sha256(coalesce(string_agg(hash, '' ORDER BY hash), '')) FROM row
        """  # noqa: S608 (our own names)
        count, digest = self._database.execute(statement).fetchall()[0]
        return int(count), str(digest)

    def save(self, folder: Path, state: Mapping[str, Any]) -> None:
        """Write every table and a state into a folder, in place of what is there."""
        self.freeze(state).write(folder)

    def freeze(self, state: Mapping[str, Any]) -> "Frozen":
        """Return what can be written while this goes on: all rows so far, and a state."""
        for table in self._tables.values():
            self._flush(table)
        reader = self._database.cursor()
        reader.execute("BEGIN TRANSACTION")
        # The transaction sees what there is when it first reads.
        reader.table(next(iter(self._tables))).limit(1).fetchall()
        return Frozen(reader, tuple(self._tables), json.dumps(state))

    def load(self, folder: Path) -> None:
        """Fill the empty tables from a folder. Raises Rejected when a file cannot be used."""
        for table in self._tables.values():
            names = ", ".join(name for name, _ in _columns(table))
            statement = f"INSERT INTO {table.name} SELECT {names} FROM read_parquet(?)"  # noqa: S608
            try:
                self._database.execute(statement, [str(folder / f"{table.name}.parquet")])
            except duckdb.Error as error:
                raise Rejected(f"the snapshot of {table.name} cannot be used: {error}") from error


class Frozen:
    """The rows of a warehouse at one moment and a state, for one other thread to write."""

    def __init__(self, reader: duckdb.DuckDBPyConnection, names: Sequence[str], state: str) -> None:
        self._reader, self._names, self._state = reader, names, state

    def write(self, folder: Path) -> None:
        """Write all of it into a folder, in place of what is there, and let the rows go.

        Raises Rejected when it cannot be written.
        """
        try:
            shutil.rmtree(folder, ignore_errors=True)
            private_folder(folder)
            for name in self._names:
                self._reader.execute(f"COPY {name} TO '{folder / name}.parquet' (FORMAT parquet)")
            (folder / STATE_FILE).write_text(self._state)
            for file in (*folder.iterdir(), folder, folder.parent):
                _sync(file)
        except (OSError, duckdb.Error) as error:
            raise Rejected(f"the snapshot cannot be written to {folder}: {error}") from error
        finally:
            self._reader.close()


def point(link: Path, place: Path) -> None:
    """Let a link name a folder beside it, in one step. Raises Rejected when that fails."""
    new = link.with_name(f".{link.name}")
    try:
        new.unlink(missing_ok=True)
        new.symlink_to(place.name)
        new.replace(link)
        _sync(link.parent)
    except OSError as error:
        raise Rejected(f"the snapshot cannot be written to {link}: {error}") from error


def read_state(folder: Path) -> dict[str, Any] | None:
    """Return the state that was saved into a folder; None when there is none that can be read."""
    try:
        found = json.loads((folder / STATE_FILE).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _columns(table: Table) -> tuple[tuple[str, str], ...]:
    return (*ALWAYS, *table.columns)


def _array(kind: str, values: Sequence[Any]) -> Any:
    """Return a column for DuckDB; a column with missing values is masked."""
    numpy_kind = _NUMPY.get(kind)
    if numpy_kind is None:
        texts = [None if value is None else str(value) for value in values]
        return np.array(texts, object)
    missing = [value is None for value in values]
    if not any(missing):
        return np.array(values, numpy_kind)
    filled = [0 if value is None else value for value in values]
    return np.ma.masked_array(np.array(filled, numpy_kind), mask=missing)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
