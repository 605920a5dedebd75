"""What an attacker does to the stored tree beside an attack, so that it helps nobody to find it.

The tree is never trusted, only proven; without it a verifier has the entries, the head and the
signatures.
"""

import random

import asyncpg
from attacks import flip


async def _tiles_gone(db: asyncpg.Connection, rng: random.Random) -> None:
    await db.execute("DELETE FROM audit.tile")


async def _edge_gone(db: asyncpg.Connection, rng: random.Random) -> None:
    await db.execute("DELETE FROM audit.edge")


async def _tree_gone(db: asyncpg.Connection, rng: random.Random) -> None:
    await _tiles_gone(db, rng)
    await _edge_gone(db, rng)


async def _one_tile_gone(db: asyncpg.Connection, rng: random.Random) -> None:
    await db.execute("DELETE FROM audit.tile WHERE index = $1", await _a_tile(db, rng))


async def _tile_changed(db: asyncpg.Connection, rng: random.Random) -> None:
    index = await _a_tile(db, rng)
    hashes = await db.fetchval("SELECT hashes FROM audit.tile WHERE index = $1", index)
    hashes = hashes or bytes(8192)
    await db.execute("UPDATE audit.tile SET hashes = $2 WHERE index = $1", index, flip(hashes, rng))


async def _edge_changed(db: asyncpg.Connection, rng: random.Random) -> None:
    hashes = await db.fetchval("SELECT hashes FROM audit.edge WHERE level = 0") or bytes(32)
    change = rng.choice((flip(hashes, rng), hashes[:-1], hashes + bytes(32), b""))
    await db.execute("UPDATE audit.edge SET hashes = $1 WHERE level = 0", change)
    if rng.random() < 0.3:
        await db.execute("INSERT INTO audit.edge VALUES (-1, 3, $1)", bytes(32))


async def _a_tile(db: asyncpg.Connection, rng: random.Random) -> int:
    count = await db.fetchval("SELECT count(*) FROM audit.tile WHERE level = 0")
    return rng.randrange(max(1, count))  # a truncation may have taken all of them


DAMAGES = (_tiles_gone, _edge_gone, _tree_gone, _one_tile_gone, _tile_changed, _edge_changed)


async def damage(db: asyncpg.Connection, rng: random.Random) -> None:
    """Destroy or falsify the stored tree."""
    await rng.choice(DAMAGES)(db, rng)
