"""Is everything that has arrived committed together, in order, and acknowledged only afterwards?"""

import pytest
from pipeline import ORIGIN, Site, fill, messages_in, orders

from operations.adapters import ledger, sealer, wire
from operations.adapters.ledger import SealerLedger
from operations.adapters.sealer import Sealer
from operations.adapters.stream import Reader
from operations.audit import chain

pytestmark = pytest.mark.integration


@pytest.fixture
async def parts(nats_server, database, tmp_path):
    """A ledger, a reader at the beginning of the stream and the head of an empty log."""
    site = Site(nats_server, database, tmp_path)
    settings = site.settings("audit")
    async with (
        ledger.connection(settings.postgres, "audit") as connected,
        wire.connection(settings.nats, "audit") as client,
    ):
        log = SealerLedger(connected, ORIGIN)
        await log.take_over()
        genesis = chain.first_entry(ORIGIN, "key", "MTS", 1)
        await log.create(genesis)
        reader = Reader(client, "MTS", "audit")
        await reader.rewind(1)
        yield site, log, reader, genesis.head
        await reader.close()


async def work(made: Sealer, count: int) -> list[sealer.Committed]:
    batches = []
    while sum(batch.entries for batch in batches) < count:
        batch = await made.turn()
        batches += [batch] if batch else []
    return batches


async def test_the_steps_come_in_the_order_that_loses_nothing(parts):
    site, log, reader, head = parts
    await fill(site.nats, orders(3))
    steps = []
    await work(Sealer(log, reader, head, steps.append), 3)
    order = ["begun", "head updated", "entries copied", "committed", "acknowledged"]
    assert steps.index("linked") < steps.index("begun")
    assert [step for step in steps if step in order][:5] == order


async def test_a_flood_is_committed_in_large_batches_and_a_lone_event_at_once(parts):
    site, log, reader, head = parts
    await fill(site.nats, orders(5000))
    made = Sealer(log, reader, head)
    batches = await work(made, 5000)
    assert batches[-1].head.size == 5001
    assert max(batch.entries for batch in batches) > sealer.SLICE
    await fill(site.nats, orders(1, first=5000))
    (alone,) = await work(made, 1)
    assert (alone.entries, alone.head.size) == (1, 5002)
    assert await messages_in(site.database) == orders(5001)


async def test_draining_commits_what_was_linked(parts):
    site, log, reader, head = parts
    await fill(site.nats, orders(700))
    made = Sealer(log, reader, head)
    while reader.waiting < 700:
        await reader.read(most=0)
    await made.turn()
    await made.drain()
    await made.aclose()
    found = await messages_in(site.database)
    assert len(found) >= sealer.SLICE
    assert found == orders(len(found))


async def test_what_was_committed_is_acknowledged(parts):
    site, log, reader, head = parts
    await fill(site.nats, orders(10))
    await work(Sealer(log, reader, head), 10)
    admin = await site.nats.connect()
    info = await admin.jetstream().consumer_info("MTS", "audit")
    await admin.close()
    assert info.ack_floor.stream_seq == 10
