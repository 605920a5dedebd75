"""Is the stored tree believed exactly as far as a signed root proves it?"""

from hashlib import sha256

import asyncpg
import pytest
from attacks_on_trust import tree_root
from logs import ORIGIN, Log, make_log
from support import Database
from tampering import prepared

from operations.adapters import ledger, signed_tree
from operations.adapters.signed_tree import SignedLeaves
from operations.audit.checkpoint import Checkpoint
from operations.audit.merkle import leaf_hash

pytestmark = pytest.mark.integration
SIZES = (100, 256, 300, 523)


@pytest.fixture
async def log(database: Database) -> Log:
    return await prepared(await make_log(database, sizes=SIZES, unsigned=17))


async def hashes_of(db: asyncpg.Connection) -> list[bytes]:
    return [row["hash"] for row in await db.fetch("SELECT hash FROM audit.entry ORDER BY sequence")]


async def leaves_at(db: asyncpg.Connection, signed: Checkpoint) -> list[bytes | None]:
    leaves = SignedLeaves(db, signed)
    await leaves.open()
    await leaves.load(set(range(-1, 600)))
    return [leaves.leaf(sequence) for sequence in range(signed.size + 3)]


async def test_the_right_edge_is_found_at_every_signed_size(log: Log) -> None:
    db = await log.database.connect()
    hashes = await hashes_of(db)
    for size in SIZES:
        signed = Checkpoint(ORIGIN, size, tree_root(hashes[:size]))
        found = await signed_tree.frontier(db, signed)
        assert found is not None
        assert (found.size, found.root()) == (size, signed.root)
        assert await signed_tree.is_last(db, signed, hashes[size - 1])
        assert not await signed_tree.is_last(db, signed, hashes[size - 2])
        assert not await signed_tree.is_last(db, signed, b"")
        lied = signed._replace(root=sha256(signed.root).digest())
        assert await signed_tree.frontier(db, lied) is None
        assert not await signed_tree.is_last(db, lied, hashes[size - 1])
    await db.close()


async def test_a_tree_that_is_damaged_proves_nothing_and_fails_nowhere(log: Log) -> None:
    db = await log.database.connect()
    hashes = await hashes_of(db)
    signed = Checkpoint(ORIGIN, 300, tree_root(hashes[:300]))
    for damage in (
        "DELETE FROM audit.tile",
        "UPDATE audit.tile SET hashes = overlay(hashes PLACING '\\x00' FROM 1)",
        "INSERT INTO audit.edge VALUES (-3, 300, 'x')",
        "INSERT INTO audit.edge VALUES (7, -300, '')",
        "UPDATE audit.edge SET hashes = substr(hashes, 1, 31)",
    ):
        undo = db.transaction()
        await undo.start()
        await db.execute(damage)
        found = await signed_tree.frontier(db, signed)
        assert found is None or found.root() == signed.root
        assert await leaves_at(db, signed._replace(root=bytes(32))) == [None] * 303
        await undo.rollback()
    await db.close()


async def test_the_leaves_of_the_newest_root_are_known_and_no_others(log: Log) -> None:
    db = await log.database.connect()
    hashes = await hashes_of(db)
    newest = Checkpoint(ORIGIN, 523, tree_root(hashes[:523]))
    right = [leaf_hash(each) for each in hashes[:523]]
    assert await leaves_at(db, newest) == [*right, None, None, None]
    older = Checkpoint(ORIGIN, 300, tree_root(hashes[:300]))
    assert await leaves_at(db, older) == [None] * 303, "the edge is that of the newest"
    await db.close()


async def test_a_changed_tile_is_unknown_and_its_neighbours_are_not(log: Log) -> None:
    db = await log.database.connect()
    right = [leaf_hash(each) for each in (await hashes_of(db))[:523]]
    newest = Checkpoint(ORIGIN, 523, tree_root((await hashes_of(db))[:523]))
    tile = (await ledger.tile_hashes(db, [(0, 1)]))[0, 1]
    changed = tile[:40] + bytes([tile[40] ^ 1]) + tile[41:]
    await db.execute("UPDATE audit.tile SET hashes = $1 WHERE level = 0 AND index = 1", changed)
    assert await leaves_at(db, newest) == [*right[:256], *[None] * 256, *right[512:], *[None] * 3]
    edge = await db.fetchval("SELECT hashes FROM audit.edge WHERE level = 0")
    await db.execute("UPDATE audit.edge SET hashes = $1 WHERE level = 0", bytes(32) + edge[32:])
    assert await leaves_at(db, newest) == [None] * 526
    await db.close()
