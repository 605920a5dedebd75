"""Attacks on what a log is believed by: its key, its checkpoints, and what people look at.

Like those of `attacks`, each changes the log in a transaction and says what must be found.
"""

import random
from collections.abc import Sequence
from hashlib import sha256

import asyncpg
from attacks import Attack, Expected, rewrite_from, signed_before
from logs import NOW_NS, ORIGIN, Log

from operations.audit import rotation
from operations.audit.checkpoint import Checkpoint
from operations.audit.note import generate_key
from operations.audit.projection import Row
from operations.audit.rotation import Rotation

BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def tree_root(hashes: Sequence[bytes]) -> bytes:
    """Hash a tree as RFC 9162 defines it."""
    if len(hashes) == 1:
        return sha256(b"\0" + hashes[0]).digest()
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return sha256(b"\1" + tree_root(hashes[:split]) + tree_root(hashes[split:])).digest()


async def _hashes(db: asyncpg.Connection) -> list[bytes]:
    rows = await db.fetch("SELECT hash FROM audit.entry ORDER BY sequence")
    return [row["hash"] for row in rows]


def _signed(log: Log, size: int, root: bytes) -> str:
    return log.key.sign(str(Checkpoint(ORIGIN, size, root)))


async def _add(db: asyncpg.Connection, size: int, note: str, age_ns: int = 2) -> None:
    await db.execute(
        "INSERT INTO audit.checkpoint VALUES ($1, $2, $3)", size, NOW_NS - age_ns, note
    )


async def fork_at_one_size(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    """The key signed two roots for one size; the other one is in the database or elsewhere."""
    size = rng.choice(log.sizes)
    note = _signed(log, size, rng.randbytes(32))
    if rng.random() < 0.5:
        return Expected("fork", size, brought=(note,))
    await _add(db, size, note, rng.choice((0, 2)))
    return Expected("fork", size)


async def fork_of_history(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    """The log was rewritten and signed again by the same key; one checkpoint had got out before."""
    kept = rng.randrange(2, log.signed_size)
    at = rng.randrange(1, kept)
    note = _signed(log, kept, tree_root((await _hashes(db))[:kept]))
    hashes = await rewrite_from(db, rng, at)
    for size in (size for size in log.sizes if size > at):
        await db.execute(
            "UPDATE audit.checkpoint SET note = $2 WHERE size = $1",
            size,
            _signed(log, size, tree_root(hashes[:size])),
        )
    agreed = kept if kept in log.sizes else signed_before(log, kept)
    return Expected("fork", agreed, brought=(note,))


async def rewrite_known_elsewhere(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    """Every checkpoint is gone from the database; one that was kept elsewhere is enough."""
    note = await db.fetchval("SELECT note FROM audit.checkpoint WHERE size = $1", log.signed_size)
    at = rng.randrange(1, log.signed_size)
    await rewrite_from(db, rng, at)
    await db.execute("DELETE FROM audit.checkpoint")
    return Expected("rewrite", at, brought=(note,), or_from=0)


async def rollback_known_elsewhere(
    db: asyncpg.Connection, rng: random.Random, log: Log
) -> Expected:
    """Everything is taken back to an older signed size; a newer checkpoint is known elsewhere."""
    note = await db.fetchval("SELECT note FROM audit.checkpoint WHERE size = $1", log.signed_size)
    size = rng.choice(log.sizes[:-1])
    last = await db.fetchval("SELECT hash FROM audit.entry WHERE sequence = $1", size - 1)
    await db.execute("DELETE FROM audit.entry WHERE sequence >= $1", size)
    await db.execute("DELETE FROM audit.checkpoint WHERE size > $1", size)
    await db.execute("UPDATE audit.head SET size = $1, hash = $2", size, last)
    return Expected("truncation", size, brought=(note,))


async def checkpoint_of_another_key(
    db: asyncpg.Connection, rng: random.Random, log: Log
) -> Expected:
    """Another key signs under the name of this log."""
    size = rng.choice((*log.sizes, log.size, log.size + 9))
    note = generate_key(ORIGIN).sign(str(Checkpoint(ORIGIN, size, rng.randbytes(32))))
    if rng.random() < 0.3:
        return Expected("misused key", size, brought=(note,))
    await _add(db, size, note)
    return Expected("misused key", size)


async def checkpoint_of_another_log(
    db: asyncpg.Connection, rng: random.Random, log: Log
) -> Expected:
    """The right key, for a log of another name."""
    size = rng.choice(log.sizes)
    note = log.key.sign(str(Checkpoint("other.example/audit", size, rng.randbytes(32))))
    await _add(db, size, note)
    return Expected("misused key", size)


async def checkpoint_of_a_retired_key(
    db: asyncpg.Connection, rng: random.Random, log: Log
) -> Expected:
    """The key was replaced by another one; who stole the old one signs on with it."""
    change = Rotation(
        ORIGIN, log.signed_size, log.key.verifier, (new := generate_key(ORIGIN)).verifier
    )
    note = rotation.sign(change, log.key, new)
    await db.execute("INSERT INTO audit.rotation VALUES (1, $1)", note)
    size = log.size + rng.randrange(3)
    forged = _signed(log, size, rng.randbytes(32))
    if rng.random() < 0.5:
        return Expected("misused key", size, brought=(forged,))
    await _add(db, size, forged)
    return Expected("misused key", size)


async def broken_signature(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    """One character of the root or of the signature is another one."""
    size = rng.choice(log.sizes)
    note = await db.fetchval("SELECT note FROM audit.checkpoint WHERE size = $1", size)
    line = rng.choice(note.strip().split("\n")[2::2])  # the root; the signature
    place = note.index(line) + len(line) - 3 - rng.randrange(38)
    other = rng.choice(BASE64.replace(note[place], ""))
    broken = note[:place] + other + note[place + 1 :]
    await db.execute("UPDATE audit.checkpoint SET note = $2 WHERE size = $1", size, broken)
    return Expected("misused key", size)


ON_KEYS: Sequence[Attack] = (
    fork_at_one_size,
    fork_of_history,
    rewrite_known_elsewhere,
    rollback_known_elsewhere,
    checkpoint_of_another_key,
    checkpoint_of_another_log,
    checkpoint_of_a_retired_key,
    broken_signature,
)


async def drift_of_a_column(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    at, column = rng.randrange(log.signed_size), rng.choice(Row._fields)
    value = "'forged'"
    if column in {"sequence", "stream_sequence", "time_ns"}:
        value = f"{column} + 100000"
    elif column == "data":
        value = rng.choice(("""'{"forged":true}'""", "NULL"))
    await db.execute(f"UPDATE audit.event SET {column} = {value} WHERE sequence = $1", at)
    return Expected("drifted projection", at)


async def drift_by_a_removed_row(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    at = rng.randrange(log.signed_size)
    await db.execute("DELETE FROM audit.event WHERE sequence = $1", at)
    return Expected("drifted projection", at)


async def drift_by_an_added_row(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    copied = rng.randrange(log.signed_size)
    at = rng.choice((copied, -1, log.size, 10**9))
    await db.execute("ALTER TABLE audit.event DROP CONSTRAINT event_pkey")
    columns = ", ".join(Row._fields[1:])
    await db.execute(
        f"INSERT INTO audit.event SELECT $2, {columns} FROM audit.event WHERE sequence = $1",
        copied,
        at,
    )
    return Expected("drifted projection", at)


async def drift_behind_an_excuse(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    """Data is hidden as if the database had refused to take it."""
    at = rng.randrange(log.signed_size)
    await db.execute(
        "UPDATE audit.event SET data = NULL, problem = 'refused by the database: no' "
        "WHERE sequence = $1",
        at,
    )
    return Expected("drifted projection", at)


async def drift_of_the_position(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    at = rng.randrange(log.signed_size)
    await db.execute("UPDATE audit.projection SET size = $1", at)
    return Expected("drifted projection", at)


ON_THE_READ_MODEL: Sequence[Attack] = (
    drift_of_a_column,
    drift_by_a_removed_row,
    drift_by_an_added_row,
    drift_behind_an_excuse,
    drift_of_the_position,
)
