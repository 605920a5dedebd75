"""The read model in Postgres: rows of audit.event, and how far they reach, in one transaction."""

from collections.abc import Sequence

import asyncpg

from operations.audit import entry
from operations.audit.projection import Row, project

NAME = "event"


async def position(connected: asyncpg.Connection) -> int:
    """Return how many entries the read model covers."""
    size = await connected.fetchval("SELECT size FROM audit.projection WHERE name = $1", NAME)
    return size or 0


async def advance(connected: asyncpg.Connection, most: int) -> int:
    """Project the next entries, up to `most`; return how many there were."""
    first = await position(connected)
    found = await connected.fetch(
        "SELECT entry FROM audit.entry WHERE sequence >= $1 AND sequence < $2 ORDER BY sequence",
        first,
        first + most,
    )
    if found:
        rows = [project(entry.decode(row["entry"])) for row in found]
        async with connected.transaction():
            await _write(connected, rows)
            await connected.execute(
                "INSERT INTO audit.projection (name, size) VALUES ($1, $2) "
                "ON CONFLICT (name) DO UPDATE SET size = excluded.size",
                NAME,
                first + len(rows),
            )
    return len(found)


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
    return f"refused by the database: {error.args[0]}"
