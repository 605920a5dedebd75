"""The log in Postgres, as the sealer and the signer use it.

The sealer writes entries and head in one transaction, so the place in the stream and the entries
made from it can never differ, whatever is killed when. Exactly once comes from that, not from
acknowledgements. Two things keep a second sealer away: an advisory lock on the writing connection,
and a fence number that every write names; a stale holder's write touches no row, and it stops.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import asyncpg

from operations.adapters.steps import Step, onward
from operations.audit import entry
from operations.audit.chain import Head, Sealed, Tail
from operations.audit.tiles import Place, Tile
from operations.config import Postgres, secret
from operations.errors import Corrupted, Retryable

PARTITION = 1 << 22
HASHES_AT_ONCE = 1 << 16
CONNECT_SECONDS = 5
STANDBY_SECONDS = 15
CLOSE_SECONDS = 2

_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_COPY_TRAILER = struct.pack(">h", -1)
_pack_row = struct.Struct(">hiqi").pack
_HASH_LENGTH = struct.pack(">i", 32)

Connection = asyncpg.Connection
_LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # What asyncpg raises when it is used in the moment in which the server ends the connection.
    asyncpg.InternalClientError,
)


# The processes that serve whoever holds the lock of a log, and when each was last asked something.
_HOLDERS = """
    SELECT pid, query_start FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND objid = (hashtext($1)::bigint & 4294967295)::oid
"""


class Superseded(Retryable):
    """Another sealer has taken this log over."""


class Signed(NamedTuple):
    """A checkpoint as it lies in the database."""

    size: int
    signed_at_ns: int
    note: str


@asynccontextmanager
async def connection(settings: Postgres, name: str) -> AsyncIterator[asyncpg.Connection]:
    """Give one connection; what goes wrong with the server becomes Retryable.

    After an error the outcome of a commit is unknown, so the connection is never used again.
    """
    connected = await open_connection(settings, name)
    try:
        yield connected
    except _LOST as error:
        raise Retryable(f"Postgres failed: {error or type(error).__name__}") from error
    finally:
        await _close(connected)


async def open_connection(settings: Postgres, name: str) -> asyncpg.Connection:
    """Connect to the database of the settings; raises Retryable."""
    try:
        return await asyncpg.connect(
            settings.dsn,
            password=secret("", settings.password_file) or None,
            timeout=CONNECT_SECONDS,
            server_settings={"application_name": f"mts-{name}"},
        )
    except FileNotFoundError as error:
        raise Retryable(
            f"cannot connect to Postgres as {name}: its address names a socket (host) or a "
            "certificate (sslrootcert) that is not there"
        ) from error
    except (*_LOST, ValueError) as error:
        raise Retryable(f"cannot connect to Postgres as {name}: {error}") from error


async def _close(connected: asyncpg.Connection) -> None:
    try:
        await connected.close(timeout=CLOSE_SECONDS)
    except _LOST:
        connected.terminate()


def require_connected(connected: asyncpg.Connection) -> None:
    """Raise Retryable if the connection was ended: who has nothing to write would not notice."""
    if connected.is_closed():
        raise Retryable("the connection to Postgres is lost")


class SealerLedger:
    """The one writer of a log: holds its lock, knows its fence, appends."""

    def __init__(self, connected: asyncpg.Connection, origin: str) -> None:
        self._connection = connected
        self._origin = origin
        self._fence = 0
        self._partition = -1

    def require_connected(self) -> None:
        """Raise Retryable if the connection was ended, and with it the lock."""
        require_connected(self._connection)

    async def beat(self) -> None:
        """Show whoever stands by that this sealer lives, though it has nothing to write."""
        await self._connection.execute("SELECT")

    async def take_over(self) -> Head | None:
        """Become the one sealer and return the head; None while the log has no entry yet.

        Raises Superseded while another sealer lives. One that holds the lock but asks the database
        nothing for STANDBY_SECONDS (paused, cut off) loses its connection.
        """
        await self._lock()
        row = await self._connection.fetchrow(
            "UPDATE audit.head SET fence = fence + 1 WHERE origin = $1 "
            "RETURNING fence, size, hash, stream_sequence, stream_created_ns",
            self._origin,
        )
        if row is None:
            return None
        self._fence, *head = row
        return Head(*head)

    async def _lock(self) -> None:
        query = "SELECT pg_try_advisory_lock(hashtext($1))"
        if await self._connection.fetchval(query, self._origin):
            return
        before = await self._connection.fetch(_HOLDERS, self._origin)
        for _ in range(STANDBY_SECONDS):
            await asyncio.sleep(1)
            if await self._connection.fetchval(query, self._origin):
                return
        if before != await self._connection.fetch(_HOLDERS, self._origin):
            raise Superseded("another sealer holds the log and works; standing by")
        for holder in before:
            await self._connection.fetchval("SELECT pg_terminate_backend($1)", holder["pid"])
        raise Superseded("another sealer held the log and did not move; its connection was ended")

    async def create(self, genesis: Sealed) -> None:
        """Write entry 0 and the head; raises Superseded if someone else just did."""
        async with self._connection.transaction():
            self._fence = 1
            inserted = await self._connection.execute(
                "INSERT INTO audit.head (origin, fence, size, hash, stream_sequence, "
                "stream_created_ns) VALUES ($1, 1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
                self._origin, *genesis.head,
            )  # fmt: skip
            if inserted != "INSERT 0 1":
                raise Superseded("another sealer has just created this log")
            await self._copy(0, genesis)

    async def append(self, before: Head, sealed: Sealed, at: Step = onward) -> None:
        """Write entries and head in one transaction; committed and flushed when this returns."""
        await self._ensure_partition(sealed.head.size)
        async with self._connection.transaction():
            at("begun")
            updated = await self._connection.execute(
                "UPDATE audit.head SET size = $4, hash = $5, stream_sequence = $6, "
                "stream_created_ns = $7 WHERE origin = $1 AND fence = $2 AND size = $3",
                self._origin, self._fence, before.size, *sealed.head,
            )  # fmt: skip
            if updated != "UPDATE 1":
                raise Superseded(f"another sealer moved the log on from size {before.size}")
            at("head updated")
            await self._copy(before.size, sealed)
            at("entries copied")

    async def _copy(self, first: int, sealed: Sealed) -> None:
        try:
            await self._connection.copy_to_table(
                "entry",
                schema_name="audit",
                columns=("sequence", "entry", "hash"),
                source=_chunks(copy_rows(first, sealed.entries, sealed.hashes)),
                format="binary",
            )
        except asyncpg.UniqueViolationError as error:
            raise Corrupted(
                f"the log already has entries from sequence {first} on that its head does not "
                "count; run `mts audit verify` before anything else"
            ) from error

    async def _ensure_partition(self, size: int) -> None:
        if size // PARTITION != self._partition:
            await self._connection.execute("SELECT audit.ensure_partition($1)", size)
            self._partition = size // PARTITION


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    yield data


def copy_rows(first: int, entries: Sequence[bytes], hashes: Iterable[bytes]) -> bytes:
    """Return entries in Postgres' binary COPY format (documentation of COPY, "Binary Format")."""
    parts = [_COPY_HEADER]
    for sequence, (made, linked) in enumerate(zip(entries, hashes, strict=True), first):
        parts += (_pack_row(3, 8, sequence, len(made)), made, _HASH_LENGTH, linked)
    parts.append(_COPY_TRAILER)
    return b"".join(parts)


async def head(connected: asyncpg.Connection, origin: str) -> Head | None:
    """Return how far the log is sealed; None if it does not exist."""
    row = await connected.fetchrow(
        "SELECT size, hash, stream_sequence, stream_created_ns FROM audit.head WHERE origin = $1",
        origin,
    )
    return Head(*row) if row else None


async def entry_row(connected: asyncpg.Connection, sequence: int) -> tuple[bytes, bytes] | None:
    """Return canonical bytes and stored hash of one entry."""
    row = await connected.fetchrow(
        "SELECT entry, hash FROM audit.entry WHERE sequence = $1", sequence
    )
    # Who drops a constraint can store null; no bytes are never the right bytes.
    return (row["entry"] or b"", row["hash"] or b"") if row else None


async def tail(connected: asyncpg.Connection, at: Head) -> Tail:
    """Return the head with what is needed to compare its last entry with the stream."""
    last = await entry_row(connected, at.size - 1)
    if last is None:
        raise Corrupted(
            f"the head says the log has {at.size} entries, but entry {at.size - 1} is missing; "
            "run `mts audit verify` before anything else"
        )
    if not entry.decode(last[0]).subject.startswith(entry.SUBJECT_PREFIX):
        return Tail(at, None)
    previous = await entry_row(connected, at.size - 2)
    return Tail(at, previous[1] if previous else b"")


async def newest_checkpoint(connected: asyncpg.Connection) -> Signed | None:
    """Return the checkpoint with the largest size, of those the last signed."""
    row = await connected.fetchrow(
        "SELECT size, signed_at_ns, note FROM audit.checkpoint "
        "ORDER BY size DESC, signed_at_ns DESC LIMIT 1"
    )
    return Signed(*row) if row else None


async def checkpoint_at(connected: asyncpg.Connection, size: int) -> Signed | None:
    """Return the last checkpoint signed at exactly this size."""
    row = await connected.fetchrow(
        "SELECT size, signed_at_ns, note FROM audit.checkpoint WHERE size = $1 "
        "ORDER BY signed_at_ns DESC LIMIT 1",
        size,
    )
    return Signed(*row) if row else None


async def checkpoints(connected: asyncpg.Connection) -> list[Signed]:
    """Return every checkpoint, smallest first."""
    rows = await connected.fetch(
        "SELECT size, signed_at_ns, note FROM audit.checkpoint ORDER BY size, signed_at_ns"
    )
    return [Signed(*row) for row in rows]


async def publish_checkpoint(
    connected: asyncpg.Connection, signed: Signed, tiles: Sequence[Tile], edge: Sequence[bytes]
) -> None:
    """Store a checkpoint with the tiles that became full and the partial tiles at its edge."""
    async with connected.transaction():
        await store_tiles(connected, tiles)
        await store_checkpoint(connected, signed)
        await connected.executemany(
            "INSERT INTO audit.edge (level, size, hashes) VALUES ($1, $2, $3) "
            "ON CONFLICT (level) DO UPDATE SET size = excluded.size, hashes = excluded.hashes",
            [(level, signed.size, hashes) for level, hashes in enumerate(edge)],
        )


async def store_checkpoint(connected: asyncpg.Connection, signed: Signed) -> None:
    """Store a signed checkpoint."""
    await connected.execute("INSERT INTO audit.checkpoint VALUES ($1, $2, $3)", *signed)


async def store_tiles(connected: asyncpg.Connection, tiles: Sequence[Tile]) -> None:
    """Store full tiles; one that is stored already must be the same."""
    await connected.executemany(
        "INSERT INTO audit.tile VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", tiles
    )


async def tile_hashes(connected: asyncpg.Connection, wanted: Iterable[Place]) -> dict[Place, bytes]:
    """Return the tiles (level, index) that exist."""
    pairs = list(wanted)
    rows: list[Any] = await connected.fetch(
        "SELECT level, index, hashes FROM audit.tile JOIN unnest($1::int[], $2::bigint[]) "
        "AS w(level, index) USING (level, index)",
        [level for level, _ in pairs],
        [index for _, index in pairs],
    )
    return {(row["level"], row["index"]): row["hashes"] for row in rows}


async def tile_count(connected: asyncpg.Connection) -> int:
    """Return how many full tiles of leaf hashes are stored."""
    count: int = await connected.fetchval("SELECT count(*) FROM audit.tile WHERE level = 0")
    return count


async def stored_hashes(connected: asyncpg.Connection, size: int) -> AsyncIterator[list[bytes]]:
    """Give the stored hashes of the first `size` entries, in order, many at a time."""
    for first in range(0, size, HASHES_AT_ONCE):
        yield await hashes_between(connected, first, min(size, first + HASHES_AT_ONCE))


async def hashes_between(connected: asyncpg.Connection, first: int, end: int) -> list[bytes]:
    """Return the stored hashes of entries [first, end), in order."""
    query = "SELECT hash FROM audit.entry WHERE sequence >= $1 AND sequence < $2 ORDER BY sequence"
    return [row["hash"] or b"" for row in await connected.fetch(query, first, end)]


async def edge(connected: asyncpg.Connection) -> list[tuple[int, int, bytes]]:
    """Return level, tree size and hashes of the partial tiles, lowest level first."""
    rows = await connected.fetch("SELECT level, size, hashes FROM audit.edge ORDER BY level")
    return [(row["level"], row["size"], row["hashes"]) for row in rows]


async def has_entries(connected: asyncpg.Connection) -> bool:
    """Say whether there is any entry at all."""
    return bool(await connected.fetchval("SELECT EXISTS (SELECT FROM audit.entry)"))


async def sequences_below(connected: asyncpg.Connection, size: int) -> int:
    """Return how many different sequences below `size` have a row."""
    query = "SELECT count(DISTINCT sequence) FROM audit.entry WHERE sequence < $1"
    count: int = await connected.fetchval(query, size)
    return count


async def has_entries_before(connected: asyncpg.Connection) -> bool:
    """Say whether there are rows that no reading in order would meet: below 0, or without place."""
    query = "SELECT EXISTS (SELECT FROM audit.entry WHERE sequence < 0 OR sequence IS NULL)"
    return bool(await connected.fetchval(query))


async def first_beyond(connected: asyncpg.Connection, size: int) -> int | None:
    """Return the first sequence at or after `size` that has a row, if there is one."""
    query = "SELECT min(sequence) FROM audit.entry WHERE sequence >= $1"
    first: int | None = await connected.fetchval(query, size)
    return first


async def entries_from(
    connected: asyncpg.Connection, first: int, most: int
) -> list[tuple[bytes, bytes]]:
    """Return canonical bytes and stored hashes of entries from a sequence on."""
    rows = await connected.fetch(
        "SELECT entry, hash FROM audit.entry WHERE sequence >= $1 ORDER BY sequence LIMIT $2",
        first,
        most,
    )
    return [(row["entry"], row["hash"]) for row in rows]


async def rotations(connected: asyncpg.Connection) -> list[str]:
    """Return the notes of all key rotations, oldest first."""
    rows = await connected.fetch("SELECT note FROM audit.rotation ORDER BY number")
    return [row["note"] for row in rows]


async def store_rotation(connected: asyncpg.Connection, number: int, note: str) -> None:
    """Store a key rotation."""
    await connected.execute("INSERT INTO audit.rotation VALUES ($1, $2)", number, note)
