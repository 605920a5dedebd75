"""Every way of changing a log that an attacker with the superuser's rights has.

Each attack takes a connection inside a transaction and a random source, changes the log, and
returns the class that a verifier must name and the first sequence it must point at. Sequences are
drawn from the signed part; nothing here uses the code that finds the change.
"""

import random
from hashlib import sha256
from typing import NamedTuple

import asyncpg

from operations.audit import entry as entries


class Expected(NamedTuple):
    """What the verifier has to say."""

    tampering: str
    sequence: int


async def disarm(db: asyncpg.Connection) -> None:
    """Take the guards away, as a superuser can."""
    for table in ("entry", "entry_000000", "head", "tile", "checkpoint", "edge"):
        await db.execute(f"ALTER TABLE audit.{table} DISABLE TRIGGER ALL")


async def _row(db: asyncpg.Connection, sequence: int) -> tuple[bytes, bytes]:
    row = await db.fetchrow("SELECT entry, hash FROM audit.entry WHERE sequence = $1", sequence)
    return row["entry"], row["hash"]


async def _write(db: asyncpg.Connection, sequence: int, entry: bytes, hash_: bytes) -> None:
    await db.execute(
        "UPDATE audit.entry SET entry = $2, hash = $3 WHERE sequence = $1", sequence, entry, hash_
    )


def _flip(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _forged(data: bytes, rng: random.Random) -> bytes:
    """Return the entry with another payload, otherwise well formed."""
    entry = entries.decode(data)
    return entries.encode(entry._replace(data=entry.data + rng.randbytes(5).hex().encode()))


async def edit(db: asyncpg.Connection, rng: random.Random, size: int) -> Expected:
    at = rng.randrange(size)
    entry, hash_ = await _row(db, at)
    changed = rng.choice((_flip, _forged))(entry, rng)
    await _write(db, at, changed, hash_)
    return Expected("edit", at)


async def edit_of_the_hash(db: asyncpg.Connection, rng: random.Random, size: int) -> Expected:
    at = rng.randrange(size)
    entry, hash_ = await _row(db, at)
    await _write(db, at, entry, _flip(hash_, rng))
    return Expected("edit", at)


async def rehashed_edit(db: asyncpg.Connection, rng: random.Random, size: int) -> Expected:
    at = rng.randrange(1, size - 1)
    entry, _ = await _row(db, at)
    _, before = await _row(db, at - 1)
    changed = _forged(entry, rng)
    await _write(db, at, changed, sha256(before + changed).digest())
    return Expected("rehashed edit", at)


async def rewrite(db: asyncpg.Connection, rng: random.Random, size: int) -> Expected:
    at = rng.randrange(1, size)
    entry, _ = await _row(db, at)
    _, previous = await _row(db, at - 1)
    rows = await db.fetch(
        "SELECT sequence, entry FROM audit.entry WHERE sequence >= $1 ORDER BY sequence", at
    )
    for row in rows:
        changed = _forged(entry, rng) if row["sequence"] == at else row["entry"]
        previous = sha256(previous + changed).digest()
        await _write(db, row["sequence"], changed, previous)
    await db.execute("UPDATE audit.head SET hash = $1", previous)
    return Expected("rewrite", at)


async def deletion(db: asyncpg.Connection, rng: random.Random, size: int) -> Expected:
    at = rng.randrange(size - 1)
    await db.execute("DELETE FROM audit.entry WHERE sequence = $1", at)
    return Expected("deletion", at)


async def deletion_with_renumbering(
    db: asyncpg.Connection, rng: random.Random, size: int
) -> Expected:
    at = rng.randrange(size - 1)
    await db.execute("DELETE FROM audit.entry WHERE sequence = $1", at)
    await _shift(db, at, -1)
    if rng.random() < 0.5:
        await db.execute("UPDATE audit.head SET size = size - 1")
    return Expected("deletion", at)


async def _shift(db: asyncpg.Connection, after: int, by: int) -> None:
    far = 1 << 21
    await db.execute(
        "UPDATE audit.entry SET sequence = sequence + $2 WHERE sequence > $1", after, far
    )
    await db.execute(
        "UPDATE audit.entry SET sequence = sequence - $1 WHERE sequence > $1", far - by
    )


async def insertion(db: asyncpg.Connection, rng: random.Random, size: int) -> Expected:
    at = rng.randrange(1, size)
    _, before = await _row(db, at - 1)
    copied, copied_hash = await _row(db, rng.randrange(size))
    await _shift(db, at - 1, 1)
    added = entries.encode(entries.decode(copied)._replace(sequence=at, data=rng.randbytes(9)))
    row = rng.choice(((added, sha256(before + added).digest()), (copied, copied_hash)))
    await db.execute("INSERT INTO audit.entry VALUES ($1, $2, $3)", at, *row)
    if rng.random() < 0.5:
        await db.execute("UPDATE audit.head SET size = size + 1")
    return Expected("insertion", at)


async def insertion_beyond_the_head(
    db: asyncpg.Connection, rng: random.Random, size: int
) -> Expected:
    at = await db.fetchval("SELECT size FROM audit.head")
    entry, before = await _row(db, at - 1)
    added = entries.encode(entries.decode(entry)._replace(sequence=at, data=rng.randbytes(9)))
    await db.execute(
        "INSERT INTO audit.entry VALUES ($1, $2, $3)", at, added, sha256(before + added).digest()
    )
    return Expected("insertion", at)


async def reorder(db: asyncpg.Connection, rng: random.Random, size: int) -> Expected:
    one, other = sorted(rng.sample(range(size), 2))
    if rng.random() < 0.4:
        one, other = min(one, size - 2), min(one, size - 2) + 1
    first, second = await _row(db, one), await _row(db, other)
    await _write(db, one, *second)
    await _write(db, other, *first)
    return Expected("reorder", one)


async def truncation(db: asyncpg.Connection, rng: random.Random, size: int) -> Expected:
    at = rng.randrange(1, size)
    await db.execute("DELETE FROM audit.entry WHERE sequence >= $1", at)
    if rng.random() < 0.7:
        _, last = await _row(db, at - 1)
        await db.execute("UPDATE audit.head SET size = $1, hash = $2", at, last)
    if rng.random() < 0.3:
        await db.execute("DELETE FROM audit.tile WHERE index >= $1", at // 256)
    return Expected("truncation", at)


async def missing_chain(db: asyncpg.Connection, rng: random.Random, size: int) -> Expected:
    await db.execute("DELETE FROM audit.entry")
    if rng.random() < 0.5:
        await db.execute("DELETE FROM audit.head")
    return Expected("missing chain", 0)


ATTACKS = (
    edit,
    edit_of_the_hash,
    rehashed_edit,
    rewrite,
    deletion,
    deletion_with_renumbering,
    insertion,
    insertion_beyond_the_head,
    reorder,
    truncation,
    missing_chain,
)
