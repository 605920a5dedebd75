"""Is the read model what `project` makes of the log, and never stopped by what is in it?"""

from itertools import pairwise

import asyncpg
import pytest
from audit_logs import CREATED_NS, ORIGIN, deliveries, reply

from operations.adapters import read_model
from operations.adapters.ledger import SealerLedger
from operations.audit import chain, entry
from operations.audit.projection import Row, project

pytestmark = pytest.mark.integration
PAYLOADS = [
    b'{"order_id":"o-1","data":{"n":1e400}}', b'{"data":"\\u0000"}', b'{"data":"\\ud800"}',
    b'{"n":' + b"9" * 200_000 + b"}", b'{"n":1' + b"0" * 900 + b"e999}", b"\xff", b"",
    b'{"a":"' + b"x" * 500_000 + b'"}', b'{"' + b"k" * 300_000 + b'":1}', b'{"order_id":7}',
    b"[" * 64 + b"]" * 64, b"[" * 65 + b"]" * 65, b'"\xc2\x80"', b"-0", b"1E-999", b"NaN",
]  # fmt: skip


@pytest.fixture
async def entries(database):
    """The entries of a log with ordinary and hostile messages."""
    connection = await database.connect("mts_sealer")
    log = SealerLedger(connection, ORIGIN)
    genesis = chain.first_entry(ORIGIN, "key", "MTS", CREATED_NS)
    await log.take_over()
    await log.create(genesis)
    messages = deliveries(200)
    messages += [(b"mts.v1.\xff\x00", reply(201 + n), b"", data) for n, data in enumerate(PAYLOADS)]
    made = chain.seal(genesis.head, messages)
    await log.append(genesis.head, made)
    await connection.close()
    return genesis.entries + made.entries


@pytest.fixture
async def projector(database):
    connection = await database.connect("mts_projector")
    yield connection
    await connection.close()


async def rows(connection: asyncpg.Connection) -> list[Row]:
    columns = ", ".join("data::text" if each == "data" else each for each in Row._fields)
    found = await connection.fetch(f"SELECT {columns} FROM audit.event ORDER BY sequence")
    return [Row(*row) for row in found]


async def fill_up(connection: asyncpg.Connection, most: int) -> None:
    while await read_model.advance(connection, most):
        pass


async def test_it_is_what_project_makes_of_each_entry(projector, entries):
    await fill_up(projector, 50)
    assert await read_model.position(projector) == len(entries)
    texts = [project(entry.decode(each)) for each in entries]
    found = await rows(projector)
    assert [row._replace(data=None) for row in found] == [row._replace(data=None) for row in texts]
    for stored, made in zip(found, texts, strict=True):
        assert (stored.data is None) == (made.data is None)
        if made.data is not None:
            same = await projector.fetchval("SELECT $1::jsonb = $2::jsonb", stored.data, made.data)
            assert same, made.data[:80]


async def test_emptied_and_filled_again_it_is_the_same(projector, entries):
    await fill_up(projector, 1000)
    before = await rows(projector)
    await projector.execute("TRUNCATE audit.event, audit.projection")
    await fill_up(projector, 7)
    assert await rows(projector) == before


async def test_rows_and_position_move_together(projector, entries):
    assert await read_model.advance(projector, 30) == 30
    assert await read_model.position(projector) == len(await rows(projector)) == 30


async def test_the_classic_record_shows_the_chain(projector, entries):
    await fill_up(projector, 1000)
    records = await projector.fetch("SELECT * FROM audit.audit_entry ORDER BY sequence")
    names = ["sequence", "timestamp", "actor", "action", "subject_id", "data", "prev_hash", "hash"]
    assert list(records[0].keys()) == names
    assert records[0]["prev_hash"] is None
    assert all(a["hash"] == b["prev_hash"] for a, b in pairwise(records))
