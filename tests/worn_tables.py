"""Tables of a test that need a vacuum, because nobody else comes to do it."""

from support import Database, eventually

EVENTS = """
    INSERT INTO audit.event (sequence, stream_sequence, time_ns, subject, actor, action, subject_id)
    SELECT -n, n, n, 's', 'a', 'a', 's' FROM generate_series(1, $1::int) n
"""
ROWS = {
    "audit.event": (
        EVENTS,
        "DELETE FROM audit.event WHERE sequence < 0",
    ),
    "audit.projection": (
        "INSERT INTO audit.projection SELECT 'worn ' || n, n FROM generate_series(1, $1::int) n",
        "DELETE FROM audit.projection WHERE name LIKE 'worn %'",
    ),
}
DEAD = """
    SELECT n_dead_tup FROM pg_stat_user_tables WHERE schemaname || '.' || relname = $1
"""


async def worn(database: Database, table: str, dead_rows: int = 500) -> None:
    """Give a table so many more dead rows, which autovacuum will leave alone."""
    admin = await database.connect()
    try:
        await admin.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
        before = await admin.fetchval(DEAD, table)
        fill, empty = ROWS[table]
        await admin.execute(fill, dead_rows)
        await admin.execute(empty)

        async def seen() -> bool:
            return await admin.fetchval(DEAD, table) >= before + dead_rows

        await eventually(seen, f"{table} has {dead_rows} more dead rows")
    finally:
        await admin.close()
