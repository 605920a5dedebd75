"""Every way of changing a log that an attacker with the superuser's rights has.

Each attack takes a connection inside a transaction, a random source and the log, changes it, and
returns the class that a verifier must name and the first sequence it must point at. Sequences are
drawn from the signed part; nothing here uses the code that finds the change.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

import asyncpg
from logs import Log

from operations.audit import entry as entries

FAR = 1 << 21


class Expected(NamedTuple):
    """What the verifier has to say."""

    tampering: str
    sequence: int
    brought: tuple[str, ...] = ()
    """Checkpoints that the verifier got from elsewhere."""
    or_from: int | None = None
    """With the stored tree gone, the change can only be placed after this size."""


Attack = Callable[[asyncpg.Connection, random.Random, Log], Awaitable[Expected]]


async def disarm(db: asyncpg.Connection) -> None:
    """Take the guards away, as a superuser can."""
    for table in ("entry", "entry_000000", "head", "tile", "checkpoint", "edge"):
        await db.execute(f"ALTER TABLE audit.{table} DISABLE TRIGGER ALL")


async def row_at(db: asyncpg.Connection, sequence: int) -> tuple[bytes, bytes]:
    row = await db.fetchrow("SELECT entry, hash FROM audit.entry WHERE sequence = $1", sequence)
    return row["entry"], row["hash"]


async def _write(db: asyncpg.Connection, sequence: int, entry: bytes, hash_: bytes) -> None:
    await db.execute(
        "UPDATE audit.entry SET entry = $2, hash = $3 WHERE sequence = $1", sequence, entry, hash_
    )


def flip(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def forged(data: bytes, rng: random.Random) -> bytes:
    """Return the entry with another payload, otherwise well formed."""
    entry = entries.decode(data)
    return entries.encode(entry._replace(data=entry.data + rng.randbytes(5).hex().encode()))


def _shortened(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.choice((0, 1, 20, len(data) - 1))]


async def edit(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    at = rng.randrange(log.signed_size)
    entry, hash_ = await row_at(db, at)
    changed = rng.choice((flip, forged, _shortened))(entry, rng)
    await _write(db, at, changed, hash_)
    return Expected("edit", at)


async def edit_of_the_hash(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    at = rng.randrange(log.signed_size)
    entry, hash_ = await row_at(db, at)
    await _write(db, at, entry, flip(hash_, rng))
    return Expected("edit", at)


async def edit_to_null(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    at, column = rng.randrange(log.signed_size), rng.choice(("entry", "hash"))
    await db.execute(f"ALTER TABLE audit.entry ALTER COLUMN {column} DROP NOT NULL")
    await db.execute(f"UPDATE audit.entry SET {column} = NULL WHERE sequence = $1", at)
    return Expected("edit", at)


async def rehashed_edit(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    at = rng.randrange(1, log.signed_size - 1)
    entry, _ = await row_at(db, at)
    _, before = await row_at(db, at - 1)
    changed = forged(entry, rng)
    await _write(db, at, changed, sha256(before + changed).digest())
    return Expected("rehashed edit", at)


async def rehashed_edit_with_the_tree(
    db: asyncpg.Connection, rng: random.Random, log: Log
) -> Expected:
    """Change an entry, its hash, and the leaf in the stored tree."""
    at = rng.choice((rng.randrange(1, log.signed_size - 1), log.signed_size - 2))
    entry, _ = await row_at(db, at)
    _, before = await row_at(db, at - 1)
    changed = forged(entry, rng)
    hash_ = sha256(before + changed).digest()
    await _write(db, at, changed, hash_)
    index, place = divmod(at, 256)
    is_full = (index + 1) * 256 <= log.signed_size
    table, where = ("tile", f"level = 0 AND index = {index}") if is_full else ("edge", "level = 0")
    hashes = await db.fetchval(f"SELECT hashes FROM audit.{table} WHERE {where}")
    leaf = sha256(b"\0" + hash_).digest()
    hashes = hashes[: place * 32] + leaf + hashes[place * 32 + 32 :]
    await db.execute(f"UPDATE audit.{table} SET hashes = $1 WHERE {where}", hashes)
    return Expected("rehashed edit", at)


async def rewrite_from(db: asyncpg.Connection, rng: random.Random, at: int) -> list[bytes]:
    """Change an entry and make all that follows agree; return the hashes of the whole log."""
    rows = await db.fetch("SELECT sequence, entry, hash FROM audit.entry ORDER BY sequence")
    hashes = [row["hash"] for row in rows[:at]]
    changed = []
    for sequence, entry, _ in rows[at:]:
        made = forged(entry, rng) if sequence == at else entry
        hashes.append(sha256(hashes[-1] + made).digest())
        changed.append((sequence, made, hashes[-1]))
    await db.execute(
        "UPDATE audit.entry SET entry = n.entry, hash = n.hash "
        "FROM unnest($1::bigint[], $2::bytea[], $3::bytea[]) AS n(sequence, entry, hash) "
        "WHERE audit.entry.sequence = n.sequence",
        *map(list, zip(*changed, strict=True)),
    )
    await db.execute("UPDATE audit.head SET hash = $1", hashes[-1])
    return hashes


def signed_before(log: Log, at: int) -> int:
    """Return the largest size that was signed and does not reach beyond a sequence."""
    return max((size for size in log.sizes if size <= at), default=0)


async def rewrite(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    at = rng.randrange(1, log.signed_size)
    await rewrite_from(db, rng, at)
    return Expected("rewrite", at, or_from=signed_before(log, at))


async def deletion(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    at = rng.randrange(log.signed_size - 1)
    count = min(rng.choice((1, 1, 2, 40)), log.signed_size - 1 - at)
    await db.execute(
        "DELETE FROM audit.entry WHERE sequence >= $1 AND sequence < $2", at, at + count
    )
    return Expected("deletion", at)


async def deletion_with_renumbering(
    db: asyncpg.Connection, rng: random.Random, log: Log
) -> Expected:
    at = rng.randrange(log.signed_size - 1)
    await db.execute("DELETE FROM audit.entry WHERE sequence = $1", at)
    await _shift(db, at, -1)
    if rng.random() < 0.5:
        await db.execute("UPDATE audit.head SET size = size - 1")
    return Expected("deletion", at)


async def _shift(db: asyncpg.Connection, after: int, by: int) -> None:
    await db.execute(
        "UPDATE audit.entry SET sequence = sequence + $2 WHERE sequence > $1", after, FAR
    )
    await db.execute(
        "UPDATE audit.entry SET sequence = sequence - $1 WHERE sequence > $2", FAR - by, FAR
    )


async def insertion(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    at = rng.randrange(1, log.signed_size)
    _, before = await row_at(db, at - 1)
    original = rng.randrange(log.signed_size)
    copied, copied_hash = await row_at(db, original)
    await _shift(db, at - 1, 1)
    added = entries.encode(entries.decode(copied)._replace(sequence=at, data=rng.randbytes(9)))
    row = rng.choice(((added, sha256(before + added).digest()), (copied, copied_hash)))
    await db.execute("INSERT INTO audit.entry VALUES ($1, $2, $3)", at, *row)
    if rng.random() < 0.5:
        await db.execute("UPDATE audit.head SET size = size + 1")
    stands_right = original == at and row[0] == copied  # then its double after it is the one added
    return Expected("insertion", at + stands_right)


async def insertion_of_a_second_row(
    db: asyncpg.Connection, rng: random.Random, log: Log
) -> Expected:
    """Drop the primary key, then give one sequence to two rows."""
    at = rng.randrange(log.signed_size)
    entry, hash_ = await row_at(db, at)
    added = rng.choice((entry, flip(entry, rng), b""))
    await db.execute("ALTER TABLE audit.entry DROP CONSTRAINT entry_pkey")
    await db.execute("INSERT INTO audit.entry VALUES ($1, $2, $3)", at, added, hash_)
    return Expected("insertion", at)


async def insertion_before_the_first(
    db: asyncpg.Connection, rng: random.Random, log: Log
) -> Expected:
    """Make room where no reading in order would ever look."""
    entry, hash_ = await row_at(db, rng.randrange(log.signed_size))
    await db.execute("CREATE TABLE audit.entry_other PARTITION OF audit.entry DEFAULT")
    await db.execute("ALTER TABLE audit.entry DROP CONSTRAINT entry_sequence_check")
    at = -1 - rng.randrange(3)
    await db.execute("INSERT INTO audit.entry VALUES ($1, $2, $3)", at, entry, hash_)
    return Expected("insertion", 0)


async def insertion_beyond_the_head(
    db: asyncpg.Connection, rng: random.Random, log: Log
) -> Expected:
    at = log.size
    entry, before = await row_at(db, at - 1)
    added = entries.encode(entries.decode(entry)._replace(sequence=at, data=rng.randbytes(9)))
    await db.execute(
        "INSERT INTO audit.entry VALUES ($1, $2, $3)", at, added, sha256(before + added).digest()
    )
    return Expected("insertion", at)


async def reorder(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    one, other = _two(rng, log.signed_size)
    first, second = await row_at(db, one), await row_at(db, other)
    await _write(db, one, *second)
    await _write(db, other, *first)
    return Expected("reorder", one)


async def reorder_by_sequence_alone(
    db: asyncpg.Connection, rng: random.Random, log: Log
) -> Expected:
    """Change nothing but the column `sequence`: two rows change places, or one goes elsewhere."""
    one, other = _two(rng, log.signed_size)
    steps = [(one, FAR), (other, one), (FAR, other)]
    if rng.random() < 0.4:
        steps = [(one, log.size + rng.choice((0, 1, 1000)))]
    for before, after in steps:
        await db.execute("UPDATE audit.entry SET sequence = $2 WHERE sequence = $1", before, after)
    return Expected("reorder", one)


async def reorder_onto_another(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    """Drop the primary key, then give a row the sequence of the one before it."""
    at = rng.randrange(1, log.signed_size)
    await db.execute("ALTER TABLE audit.entry DROP CONSTRAINT entry_pkey")
    await db.execute("UPDATE audit.entry SET sequence = $1 WHERE sequence = $2", at - 1, at)
    return Expected("reorder", at - 1)


async def edit_of_the_tail(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    """Change an entry that no signature reaches yet; the chain does."""
    at = rng.randrange(log.signed_size, log.size)
    entry, hash_ = await row_at(db, at)
    await _write(db, at, forged(entry, rng), hash_)
    return Expected("edit", at)


async def deletion_in_the_tail(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    at = rng.randrange(log.signed_size, log.size)
    await db.execute("DELETE FROM audit.entry WHERE sequence = $1", at)
    return Expected("truncation" if at == log.size - 1 else "deletion", at)


async def truncation_of_the_tail(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    at = rng.randrange(log.signed_size, log.size)
    await db.execute("DELETE FROM audit.entry WHERE sequence >= $1", at)
    return Expected("truncation", at)


async def misnumbered_tail(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    """Forge the newest entry, not signed yet, so that it claims a sequence that cannot be."""
    at = log.size - 1
    entry, _ = await row_at(db, at)
    _, before = await row_at(db, at - 1)
    made = entries.encode(entries.decode(entry)._replace(sequence=at + 2 + rng.randrange(99)))
    hash_ = sha256(before + made).digest()
    await _write(db, at, made, hash_)
    await db.execute("UPDATE audit.head SET hash = $1", hash_)
    return Expected("edit", at)


def _two(rng: random.Random, size: int) -> tuple[int, int]:
    one, other = sorted(rng.sample(range(size), 2))
    if rng.random() < 0.4:
        one = min(one, size - 2)
        return one, one + 1
    return one, other


async def truncation(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    at = rng.randrange(1, log.signed_size)
    await db.execute("DELETE FROM audit.entry WHERE sequence >= $1", at)
    if rng.random() < 0.7:
        _, last = await row_at(db, at - 1)
        await db.execute("UPDATE audit.head SET size = $1, hash = $2", at, last)
    if rng.random() < 0.3:
        await db.execute("DELETE FROM audit.tile WHERE index >= $1", at // 256)
    return Expected("truncation", at)


async def head_moved_back(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    at = rng.randrange(1, log.signed_size)
    _, last = await row_at(db, at - 1)
    await db.execute("UPDATE audit.head SET size = $1", at)
    if rng.random() < 0.5:
        await db.execute("UPDATE audit.head SET hash = $1", last)
    return Expected("truncation", at)


async def head_moved_forward(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    await db.execute("UPDATE audit.head SET size = $1", rng.choice((log.size + 1, 1 << 62)))
    return Expected("truncation", log.size)


async def head_changed(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    if rng.random() < 0.5:
        await db.execute("UPDATE audit.head SET stream_sequence = stream_sequence + 1")
    else:
        hash_ = await db.fetchval("SELECT hash FROM audit.head")
        await db.execute("UPDATE audit.head SET hash = $1", flip(hash_, rng))
    return Expected("edit", log.size - 1)


async def missing_head(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    how = ("DELETE FROM audit.head", "UPDATE audit.head SET origin = 'elsewhere'")
    await db.execute(rng.choice(how))
    return Expected("missing chain", 0)


async def missing_chain(db: asyncpg.Connection, rng: random.Random, log: Log) -> Expected:
    await db.execute("DELETE FROM audit.entry")
    if rng.random() < 0.5:
        await db.execute("DELETE FROM audit.head")
    return Expected("missing chain", 0)


ATTACKS: Sequence[Attack] = (
    edit,
    edit_of_the_hash,
    edit_to_null,
    rehashed_edit,
    rehashed_edit_with_the_tree,
    rewrite,
    deletion,
    deletion_with_renumbering,
    insertion,
    insertion_of_a_second_row,
    insertion_before_the_first,
    insertion_beyond_the_head,
    reorder,
    reorder_by_sequence_alone,
    reorder_onto_another,
    truncation,
    head_moved_back,
    head_moved_forward,
    head_changed,
    missing_head,
    missing_chain,
)


ON_THE_TAIL: Sequence[Attack] = (
    edit_of_the_tail,
    deletion_in_the_tail,
    truncation_of_the_tail,
    misnumbered_tail,
)
