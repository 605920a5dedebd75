"""The read model in Postgres: rows of audit.event, and how far they reach, in one transaction."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import asyncpg

from operations.audit import entry
from operations.audit.projection import Row, project

NAME = "event"
REFUSED = "refused by the database"
PREFETCH = 500
MOST_BYTES = 8 * 1024 * 1024


async def position(connected: asyncpg.Connection) -> int:
    """Return how many entries the read model covers."""
    size = await connected.fetchval("SELECT size FROM audit.projection WHERE name = $1", NAME)
    return size or 0


async def advance(connected: asyncpg.Connection, most: int) -> int:
    """Project the next entries, up to `most`; return how many there were."""
    first = await position(connected)
    found = await _entries(connected, first, most)
    if found:
        rows = [project(entry.decode(each)) for each in found]
        async with connected.transaction():
            await _write(connected, rows)
            await connected.execute(
                "INSERT INTO audit.projection (name, size) VALUES ($1, $2) "
                "ON CONFLICT (name) DO UPDATE SET size = excluded.size",
                NAME,
                first + len(rows),
            )
    return len(found)


async def _entries(connected: asyncpg.Connection, first: int, most: int) -> list[bytes]:
    """Return the next entries, as many as fit into MOST_BYTES."""
    query = "SELECT entry FROM audit.entry WHERE sequence >= $1 ORDER BY sequence LIMIT $2"
    found: list[bytes] = []
    size = 0
    async with connected.transaction(readonly=True):
        async for row in connected.cursor(query, first, most, prefetch=PREFETCH):
            found.append(row["entry"])
            size += len(found[-1])
            if size > MOST_BYTES:
                break
    return found


async def _write(connected: asyncpg.Connection, rows: Sequence[Row]) -> None:
    """Write rows; if the database refuses one, find it and write it without its data."""
    try:
        async with connected.transaction():
            await connected.copy_records_to_table(
                "event", schema_name="audit", columns=Row._fields, records=rows
            )
    except (asyncpg.DataError, asyncpg.ProgramLimitExceededError) as error:
        if len(rows) == 1:
            if rows[0].data is None:
                raise
            await _write(connected, [rows[0]._replace(data=None, problem=refusal(error))])
            return
        middle = len(rows) // 2
        await _write(connected, rows[:middle])
        await _write(connected, rows[middle:])


def refusal(error: asyncpg.PostgresError) -> str:
    """Say in the row why its data is missing."""
    return f"{REFUSED}: {error.args[0]}"


COMPARED_AT_ONCE = 200


async def first_drift(connected: asyncpg.Connection, size: int) -> tuple[int, str] | None:
    """Return the first row that is not what its entry gives, and how it differs.

    The read model may lag behind the log; rows it has not reached yet are no drift.
    """
    covered = min(size, await position(connected))
    for first in range(0, covered, COMPARED_AT_ONCE):
        end = min(covered, first + COMPARED_AT_ONCE)
        query = "SELECT * FROM {} WHERE sequence >= $1 AND sequence < $2 ORDER BY sequence"
        entries = await connected.fetch(query.format("audit.entry"), first, end)
        events = await connected.fetch(query.format("audit.event"), first, end)
        shown: dict[int, list[Row]] = {}
        for row in events:
            shown.setdefault(row["sequence"], []).append(Row(*row.values()))
        for row in entries:
            stored = shown.pop(row["sequence"], [])
            expected = project(entry.decode(row["entry"]))
            if stored and await _is_refused(connected, expected, stored[0]):
                expected = expected._replace(data=None, problem=stored[0].problem)
            difference = _difference(expected, stored)
            if difference:
                return row["sequence"], difference
        if shown:
            return min(shown), "the read model has a row that the log does not have"
    extra = await connected.fetchval(
        "SELECT min(sequence) FROM audit.event WHERE sequence < 0 OR sequence >= $1", covered
    )
    return None if extra is None else (extra, "the read model has a row beyond its position")


async def _is_refused(connected: asyncpg.Connection, expected: Row, stored: Row) -> bool:
    """Say whether data is missing because the database does not take it, and not because of us."""
    if expected.data is None or not (stored.problem or "").startswith(REFUSED):
        return False
    try:
        async with connected.transaction():
            await connected.fetchval("SELECT $1::jsonb IS NULL", expected.data)
    except (asyncpg.DataError, asyncpg.ProgramLimitExceededError):
        return True
    return False


def _difference(expected: Row, found: Sequence[Row]) -> str:
    if not found:
        return "the row is missing in the read model"
    if len(found) > 1:
        return "the read model has more than one row for this entry"
    stored = found[0]
    for name, right, shown in zip(Row._fields, expected, stored, strict=True):
        if name == "data" and right is not None and shown is not None:
            if _json(str(right)) != _json(str(shown)):
                return "column data differs from the payload of the entry"
        elif right != shown:
            return f"column {name} is {shown!r}, the entry gives {right!r}"
    return ""


def _json(text: str) -> Any:
    """Decode JSON so that numbers compare by value, as jsonb keeps them."""
    return json.loads(text, parse_int=Decimal, parse_float=Decimal)
