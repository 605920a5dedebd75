"""Measures the database of the log without hurting it, and vacuums what a finding asks for.

Every question is bounded: in time by the server, in rows by what is asked. Log and read model are
counted over one stretch of sequences after the other, in one snapshot, so that they are compared at
the same place; a stretch in which they differ is looked at again until they agree.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

import asyncpg

from operations.adapters.ledger import Connection, connection
from operations.clock import NANOSECONDS, monotonic_ns, rfc3339
from operations.config import Postgres
from operations.events.operations import DatabaseMeasurement
from operations.measuring import VACUUMED

STRETCH = 2000
MEASURE_SECONDS = 5.0  # after which the server gives up on a question
INDEX_SECONDS = 60.0
VACUUM_SECONDS = 1800.0
LOCK_SECONDS = 2.0
TABLES_AT_MOST = 100

STATEMENT = """
    SELECT pid, usename, application_name,
           extract(epoch FROM clock_timestamp() - query_start)::float8 * 1000 AS ms
    FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'active' AND backend_type = 'client backend'
      AND usename <> current_user AND query_start IS NOT NULL
    ORDER BY query_start LIMIT 1
"""
# Postgres documentation, "Updating planner statistics" and autovacuum_vacuum_max_threshold (18).
DUE = """
    WITH options AS (
        SELECT c.oid, c.reltuples, s.*,
               (SELECT option_value FROM pg_options_to_table(c.reloptions)
                WHERE option_name = 'autovacuum_vacuum_threshold')::float8 AS own_threshold,
               (SELECT option_value FROM pg_options_to_table(c.reloptions)
                WHERE option_name = 'autovacuum_vacuum_scale_factor')::float8 AS own_scale,
               (SELECT option_value FROM pg_options_to_table(c.reloptions)
                WHERE option_name = 'autovacuum_vacuum_max_threshold')::float8 AS own_most
        FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
    ), due AS (
        SELECT *, schemaname || '.' || relname AS name,
               coalesce(own_threshold, current_setting('autovacuum_vacuum_threshold')::float8)
               + coalesce(own_scale, current_setting('autovacuum_vacuum_scale_factor')::float8)
               * greatest(reltuples, 0) AS formula,
               coalesce(
                   own_most, current_setting('autovacuum_vacuum_max_threshold', true)::float8, -1
               ) AS most
        FROM options
    ), measured AS (
        SELECT *, greatest(last_vacuum, last_autovacuum) AS vacuumed,
               CASE WHEN most < 0 THEN formula ELSE least(formula, most) END::bigint AS due
        FROM due
    )
"""
TABLES = f"""
    {DUE}
    SELECT name, n_live_tup, n_dead_tup, pg_total_relation_size(relid) AS bytes, due,
           (extract(epoch FROM vacuumed) * 1000000)::bigint AS vacuum
    FROM measured
    WHERE n_tup_upd + n_tup_del + n_dead_tup > 0 OR name = ANY($1)
    ORDER BY n_dead_tup DESC, name LIMIT $2
"""  # noqa: S608 (our own constant)
NEED = f"""
    {DUE}
    SELECT n_dead_tup, due, vacuumed::text,
           EXISTS (SELECT FROM pg_stat_progress_vacuum p WHERE p.relid = measured.relid) AS running
    FROM measured WHERE name = $1
"""  # noqa: S608 (our own constant)
COUNTS = """
    SELECT (SELECT size FROM audit.head WHERE origin = $1) AS log,
           coalesce((SELECT size FROM audit.projection WHERE name = 'event'), 0) AS model
"""
STRETCHES = """
    SELECT (SELECT count(*) FROM audit.entry WHERE sequence >= $1 AND sequence < $2) AS entries,
           (SELECT count(*) FROM audit.event WHERE sequence >= $1 AND sequence < $2) AS rows
"""
LOCKED = """
    SELECT n.nspname || '.' || c.relname AS name, l.pid, a.usename, a.application_name
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation'
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND c.relkind IN ('r', 'p') ORDER BY name LIMIT 10
"""
EXTENSION = """
    SELECT quote_ident(nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    WHERE extname = $1
"""
INDEXES = """
    SELECT c.oid, c.relname FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
    WHERE a.amname = 'btree' AND i.indisvalid AND i.indrelid = ANY($1::regclass[])
    ORDER BY c.relname
"""


class Statement(NamedTuple):
    """The oldest running statement of others; None where none runs or none may be seen."""

    ms: float | None
    by: str | None
    lacking: str | None


class Meter:
    """Measures one database on one connection; remembers where the comparison goes on."""

    def __init__(self, database: str, origin: str) -> None:
        self._database, self._origin = database, origin
        self._next = 0
        self._indexes: tuple[int | None, str | None] = (None, None)

    async def prepare(self, connected: Connection) -> None:
        """Let this connection do nothing that could hurt."""
        await connected.execute(f"SET statement_timeout = '{MEASURE_SECONDS:.0f}s'")
        await connected.execute(f"SET lock_timeout = '{LOCK_SECONDS:.0f}s'")
        await connected.execute("SET default_transaction_read_only = on")

    async def statement(self, connected: Connection) -> Statement:
        """Return the oldest running statement of this database."""
        seen = await connected.fetchval(
            "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')"
        )
        if not seen:
            return Statement(
                None, None, "statements of others: GRANT pg_read_all_stats TO this role"
            )
        row = await connected.fetchrow(STATEMENT)
        if row is None:
            return Statement(None, None, None)
        by = f"process {row['pid']}, {row['usename']}, {row['application_name'] or 'no name'}"
        return Statement(float(row["ms"]), by, None)

    async def whole(self, connected: Connection) -> DatabaseMeasurement:
        """Return the state of the database as a whole."""
        statement = await self.statement(connected)
        slowest, lacking = await self._slowest(connected)
        notes = [statement.lacking, lacking]
        if self._indexes[0] is None:
            notes.append("amcheck: not installed in this database, or indexes not yet looked at")
        return DatabaseMeasurement(
            database=self._database,
            table="",
            longest_statement_ms=statement.ms,
            longest_statement_by=statement.by,
            slowest_mean_ms=slowest,
            indexes_checked=self._indexes[0],
            index_problem=self._indexes[1],
            locked="",
            lacking=tuple(note for note in notes if note),
            **await self._compared(connected),
        )

    async def _compared(self, connected: Connection) -> dict[str, Any]:
        async with connected.transaction(isolation="repeatable_read", readonly=True):
            row = await connected.fetchrow(COUNTS, self._origin)
            if row["log"] is None:
                return {}
            log, model = int(row["log"]), int(row["model"])
            found: dict[str, Any] = {"log_entries": log, "projected_entries": model}
            end = min(log, model)
            if not end:
                return found
            first = self._next if self._next < end else 0
            last = min(first + STRETCH, end)
            counted = await connected.fetchrow(STRETCHES, first, last)
        entries, rows = int(counted["entries"]), int(counted["rows"])
        agree = entries == rows == last - first
        self._next = last if agree else first
        return found | {
            "compared_from": first, "compared_entries": last - first,
            "entries_found": entries, "rows_found": rows,
        }  # fmt: skip

    async def _slowest(self, connected: Connection) -> tuple[float | None, str | None]:
        schema = await connected.fetchval(EXTENSION, "pg_stat_statements")
        if schema is None:
            return None, "pg_stat_statements: not installed in this database"
        query = f"SELECT max(mean_exec_time) FROM {schema}.pg_stat_statements WHERE calls >= 10"  # noqa: S608 (quoted by the server)
        try:
            slowest = await connected.fetchval(query)
        except asyncpg.PostgresError as error:
            return None, f"pg_stat_statements: {error}"
        return slowest, None

    async def tables(self, connected: Connection) -> list[DatabaseMeasurement]:
        """Return the state of each table in which rows can be dead, and of what may be vacuumed."""
        rows = await connected.fetch(TABLES, VACUUMED, TABLES_AT_MOST)
        return [self._table(row) for row in rows]

    def _table(self, row: Mapping[str, Any]) -> DatabaseMeasurement:
        vacuum = row["vacuum"]
        return DatabaseMeasurement(
            database=self._database,
            table=row["name"],
            live_rows=row["n_live_tup"],
            dead_rows=row["n_dead_tup"],
            total_bytes=row["bytes"],
            last_vacuum_at=None if vacuum is None else rfc3339(vacuum * 1000),
            vacuum_due_rows=row["due"],
        )

    async def check_indexes(self, connected: Connection) -> None:
        """Let amcheck look at the indexes of what may be vacuumed; the next `whole` says it."""
        schema = await connected.fetchval(EXTENSION, "amcheck")
        if schema is None:
            self._indexes = (None, None)
            return
        await connected.execute(f"SET statement_timeout = '{INDEX_SECONDS:.0f}s'")
        try:
            self._indexes = await _check(connected, schema)
        finally:
            await connected.execute(f"SET statement_timeout = '{MEASURE_SECONDS:.0f}s'")

    async def locked(self, connected: Connection) -> DatabaseMeasurement:
        """Return what is said when a lock kept a question waiting: who holds it, and nothing else.

        The database answers, and what could not be read is not known.
        """
        statement = await self.statement(connected)
        holders = [
            f"{row['name']} by process {row['pid']}, {row['usename'] or 'somebody'}, "
            f"{row['application_name'] or 'no name'}"
            for row in await connected.fetch(LOCKED)
        ]
        notes = ("log, read model and tables: a lock kept them from being read", statement.lacking)
        return DatabaseMeasurement(
            database=self._database,
            table="",
            longest_statement_ms=statement.ms,
            longest_statement_by=statement.by,
            lacking=tuple(note for note in notes if note),
            locked="; ".join(holders) or "a table by somebody who has just let go of it",
        )

    def unreachable(self, reason: str) -> DatabaseMeasurement:
        """Return what is said of a database that does not answer."""
        return DatabaseMeasurement(
            database=self._database, table="", reachable=False, lacking=(reason,)
        )


async def _check(connected: Connection, schema: str) -> tuple[int | None, str | None]:
    checked, look = 0, f"SELECT {schema}.bt_index_check($1::oid::regclass)"
    for row in await connected.fetch(INDEXES, VACUUMED):
        try:
            await connected.execute(look, row["oid"])
        except (asyncpg.IndexCorruptedError, asyncpg.DataCorruptedError) as error:
            return checked + 1, f"{row['relname']}: {error}"
        except (asyncpg.InsufficientPrivilegeError, asyncpg.QueryCanceledError):
            return None, None
        checked += 1
    return checked, None


class Vacuumed(NamedTuple):
    """What came of a vacuum; `statement` is empty when there was no need to run any."""

    statement: str
    seconds: float
    reason: str | None

    @property
    def done(self) -> bool:
        """Whether the table needs no vacuum now."""
        return self.reason is None or not self.statement


async def vacuum(settings: Postgres, table: str) -> Vacuumed | None:
    """Vacuum one of the tables that may be vacuumed if it still needs that; None while one runs.

    The target is absolute: no more dead rows than autovacuum itself would leave. So whoever asks
    twice, or died before it could say that it was done, gets no second vacuum without need, and one
    that went on in the server after we died is waited for. Raises Retryable when the database does
    not answer.
    """
    assert table in VACUUMED
    began_ns = monotonic_ns()
    async with connection(settings, "measure-vacuum") as connected:
        await connected.execute(f"SET lock_timeout = '{LOCK_SECONDS:.0f}s'")
        await connected.execute(f"SET statement_timeout = '{VACUUM_SECONDS:.0f}s'")
        need = await connected.fetchrow(NEED, table)
        if need is not None and need["running"]:
            return None
        if need is not None and need["n_dead_tup"] <= need["due"]:
            counts = f"{need['n_dead_tup']} dead rows; autovacuum comes beyond {need['due']}"
            last = f"last vacuumed at {need['vacuumed'] or 'no known time'}"
            return Vacuumed("", _seconds_since(began_ns), f"not needed any more: {counts}, {last}")
        statement = f"VACUUM (ANALYZE) {table}"
        reason = await _run(connected, statement)
    return Vacuumed(statement, _seconds_since(began_ns), reason)


async def _run(connected: Connection, statement: str) -> str | None:
    """Run a VACUUM; return why it failed, if it did.

    Never VACUUM FULL and never in a transaction. What the server skips it only warns about, so a
    warning is a failure here.
    """
    warnings: list[str] = []
    connected.add_log_listener(lambda _, message: warnings.append(str(message)))
    try:
        await connected.execute(statement)
    except (
        asyncpg.QueryCanceledError,
        asyncpg.LockNotAvailableError,
        asyncpg.InsufficientPrivilegeError,
    ) as error:
        warnings.append(str(error))
    await asyncio.sleep(0)  # the listener is called in the next turn of the loop
    return "; ".join(warnings) or None


def _seconds_since(began_ns: int) -> float:
    return (monotonic_ns() - began_ns) / NANOSECONDS
