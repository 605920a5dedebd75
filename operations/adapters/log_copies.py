"""Copies of a log to try changes on, as the superuser; the log itself is only read.

A demonstration and a drill need a log that somebody tampered with. The copy has the same schema
and rows, in a database of its own; the changes are those an attacker who owns the server makes.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from tempfile import TemporaryFile
from typing import NamedTuple

import asyncpg

from operations.adapters import credentials, ledger, provision
from operations.audit import entry as entries
from operations.config import Postgres, Settings
from operations.errors import Rejected

PRISTINE = "mts_copy"
TABLES = ("entry", "head", "tile", "checkpoint", "edge", "event", "projection")
GUARDED = ("entry", "entry_000000", "head", "tile", "checkpoint")
QUANTITY = b'"quantity":"'


class Change(NamedTuple):
    """What was done to a copy, and what a verifier has to say about it."""

    done: str
    tampering: str
    sequence: int


Tamper = Callable[[asyncpg.Connection, int], Awaitable[Change]]
"""Change a copy at or after a sequence."""


async def copy_log(settings: Settings) -> None:
    """Copy the log of these settings, as it is now, into a new database on the same server.

    Raises Retryable when Postgres fails.
    """
    async with _connected(settings, "postgres") as server:
        await provision.ensure_database(server, PRISTINE)
    await provision.migrate(credentials.admin_dsn(settings, PRISTINE))
    async with (
        _connected(settings, settings.postgres.database) as source,
        _connected(settings, PRISTINE) as target,
        source.transaction(isolation="repeatable_read", readonly=True),
    ):
        for table in TABLES:
            await _copy_table(source, target, table)


async def _copy_table(source: asyncpg.Connection, target: asyncpg.Connection, table: str) -> None:
    with TemporaryFile() as file:
        query = f"SELECT * FROM audit.{table}"  # noqa: S608 (one of TABLES)
        await source.copy_from_query(query, output=file, format="binary")
        file.seek(0)
        await target.copy_to_table(table, schema_name="audit", source=file, format="binary")


async def tampered(settings: Settings, name: str, tamper: Tamper, at: int) -> Change:
    """Make a database from the copy and change it there; the guards are taken away first."""
    async with _connected(settings, "postgres") as server:
        await server.execute(f"CREATE DATABASE {name} TEMPLATE {PRISTINE}")
        await provision.grant_connect(server, name)
    async with _connected(settings, name) as copy:
        for table in GUARDED:
            await copy.execute(f"ALTER TABLE audit.{table} DISABLE TRIGGER ALL")
        return await tamper(copy, at)


def _connected(
    settings: Settings, database: str
) -> AbstractAsyncContextManager[asyncpg.Connection]:
    return ledger.connection(Postgres(dsn=credentials.admin_dsn(settings, database)), "copy")


async def edit(copy: asyncpg.Connection, at: int) -> Change:
    """Change one payload and leave everything else."""
    data = await copy.fetchval("SELECT entry FROM audit.entry WHERE sequence = $1", at)
    await copy.execute("UPDATE audit.entry SET entry = $2 WHERE sequence = $1", at, _forged(data))
    return Change(f"the quantity in entry {at} was changed", "edit", at)


async def delete(copy: asyncpg.Connection, at: int) -> Change:
    """Take one entry away."""
    await copy.execute("DELETE FROM audit.entry WHERE sequence = $1", at)
    return Change(f"entry {at} was deleted", "deletion", at)


async def rewrite(copy: asyncpg.Connection, at: int) -> Change:
    """Change one payload and hash everything after it again, head included."""
    rows = await copy.fetch(
        "SELECT sequence, entry, hash FROM audit.entry WHERE sequence >= $1 ORDER BY sequence",
        at - 1,
    )
    previous = rows[0]["hash"]
    made = []
    for sequence, entry, _ in rows[1:]:
        changed = _forged(entry) if sequence == at else entry
        previous = sha256(previous + changed).digest()
        made.append((sequence, changed, previous))
    await copy.execute("DELETE FROM audit.entry WHERE sequence >= $1", at)
    columns = ("sequence", "entry", "hash")
    await copy.copy_records_to_table("entry", schema_name="audit", columns=columns, records=made)
    await copy.execute("UPDATE audit.head SET hash = $1", previous)
    done = f"the quantity in entry {at} was changed and all {len(made)} hashes from there on redone"
    return Change(done, "rewrite", at)


async def truncate(copy: asyncpg.Connection, at: int) -> Change:
    """Take away everything from an entry on, and move the head back to match."""
    last = await copy.fetchrow("SELECT hash, entry FROM audit.entry WHERE sequence = $1", at - 1)
    removed = await copy.execute("DELETE FROM audit.entry WHERE sequence >= $1", at)
    await copy.execute(
        "UPDATE audit.head SET size = $1, hash = $2, stream_sequence = $3",
        at,
        last["hash"],
        entries.decode(last["entry"]).stream_sequence,
    )
    count = removed.rpartition(" ")[2]
    return Change(
        f"the last {count} entries were removed and the head moved back", "truncation", at
    )


TAMPERINGS: tuple[Tamper, ...] = (edit, delete, rewrite, truncate)


def _forged(data: bytes) -> bytes:
    """Return an entry of an order with a nine before its quantity; raises Rejected for others."""
    entry = entries.decode(data)
    if QUANTITY not in entry.data:
        raise Rejected(f"entry {entry.sequence} has no quantity to change")
    return entries.encode(entry._replace(data=entry.data.replace(QUANTITY, QUANTITY + b"9", 1)))
