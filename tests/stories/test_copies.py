"""Streams and databases that were lost, made anew or restored from copies: never a forked log."""

import asyncio
import json
import shutil
from functools import partial

import pytest
from pipeline import Site, fill, messages_in, orders, read_log, stream_state, tree_root
from remade import admin, made_anew
from support import Database, NatsHandle, eventually

from operations.adapters import provision
from operations.adapters.signer_memory import MemoryFile
from operations.audit import checkpoint
from workers.runtime import Runtime

pytestmark = pytest.mark.integration


@pytest.fixture
def site(nats_server, database, tmp_path):
    return Site(nats_server, database, tmp_path)


async def make_stream_that_forgets(nats: NatsHandle):
    """Replace the stream by one from which an administrator can delete messages."""
    await made_anew(nats, deny_delete=False)


async def forget(nats: NatsHandle, *sequences: int):
    for sequence in sequences:
        assert (await admin(nats, "STREAM.MSG.DELETE.MTS", b'{"seq":%d}' % sequence))["success"]


def says(worker: Runtime, text: str) -> bool:
    condition = worker.conditions.get("worker")
    return condition is not None and not condition.ok and text in condition.detail


async def sign(site: Site) -> str:
    """Let both workers finish; return the newest note, which must be of the whole log."""
    async with site.working("audit", "checkpoint"):
        await site.sealed_to((await stream_state(site.nats))["last_seq"])
        return await signed(site)


async def signed(site: Site) -> str:
    """Wait until the whole log is signed; the root must be the one of its entries."""
    entries = await read_log(site.database)
    query = "SELECT note FROM audit.checkpoint WHERE size = $1"
    note = await eventually(lambda: site.fetchval(query, len(entries)), "the log is signed")
    text = checkpoint.parse(note.partition("\n\n")[0] + "\n")
    assert (text.size, text.root) == (len(entries), tree_root(entries))
    return note


async def copy_of(site: Site, servers) -> Site:
    """Copy the database of a site; what is written later is not in the copy."""
    copied = Database(servers._named(f"{site.database.name}_copy"))
    connection = await Database(servers._named("postgres")).connect()
    try:
        await connection.execute(
            f"CREATE DATABASE {copied.name} TEMPLATE {site.database.name} STRATEGY wal_log"
        )
        await provision.grant_connect(connection, copied.name)
    finally:
        await connection.close()
    return Site(site.nats, copied, site.folder)


async def test_messages_that_a_dead_reader_holds_are_read_again(site):
    last = await fill(site.nats, orders(300))
    reader = await site.nats.connect("audit")
    inbox = await reader.subscribe(reader.new_inbox())
    subject = "$JS.API.CONSUMER.MSG.NEXT.MTS.audit"
    await reader.publish(subject, b'{"batch":100}', reply=inbox.subject)
    await eventually(lambda: inbox.pending_msgs == 100)
    await reader.publish(subject, b'{"batch":1000,"expires":60000000000}', reply=inbox.subject)
    await eventually(lambda: inbox.pending_msgs == 300)
    try:
        async with site.working("audit"):
            await site.sealed_to(last)
            # The other reader still asks: it is given the newest, and nothing newer comes.
            last = await fill(site.nats, orders(3, first=300))
            await site.sealed_to(last)
    finally:
        await reader.close()
    assert await messages_in(site.database) == orders(303)
    assert not [each for each in await read_log(site.database) if each.subject == b"audit.gap"]


@pytest.mark.parametrize("lost", [(1,), (1, 2, 3), (5,), (4, 5, 8), (9,)], ids=str)
async def test_what_the_stream_lost_is_an_entry_that_both_processes_agree_on(site, lost):
    await make_stream_that_forgets(site.nats)
    await fill(site.nats, orders(10))
    await forget(site.nats, *lost)
    await sign(site)
    entries = await read_log(site.database)
    kept = [number for number in range(1, 11) if number not in lost]
    sealed = [each for each in entries if each.subject.startswith(b"mts.v1.")]
    assert [each.stream_sequence for each in sealed] == kept
    holes = [json.loads(each.data) for each in entries if each.subject == b"audit.gap"]
    missing = [n for hole in holes for n in range(hole["first_missing"], hole["last_missing"] + 1)]
    assert tuple(missing) == lost


async def test_what_was_lost_while_the_sealer_was_away_is_an_entry(site):
    await make_stream_that_forgets(site.nats)
    await fill(site.nats, orders(4))
    await sign(site)
    await fill(site.nats, orders(4, first=4))
    await forget(site.nats, 5, 7)
    await sign(site)
    entries = await read_log(site.database)
    assert [each.stream_sequence for each in entries] == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert [entries[at].subject for at in (5, 7)] == [b"audit.gap"] * 2
    assert entries[7].timestamp_ns == entries[8].timestamp_ns


async def test_a_stream_made_anew_is_not_taken_for_the_old_one(site):
    await fill(site.nats, orders(5))
    await sign(site)
    before = await read_log(site.database)
    async with site.working("audit", "checkpoint") as (sealer, signer):
        await eventually(lambda: sealer.conditions.ready)
        await make_stream_that_forgets(site.nats)  # while they run
        await fill(site.nats, orders(20, first=100))
        await eventually(lambda: says(sealer, "was created"))
        await eventually(lambda: says(signer, "was created"))
    async with site.working("audit", "checkpoint") as (sealer, signer):  # and at their start
        await eventually(lambda: says(sealer, "adopt-stream"))
        await eventually(lambda: says(signer, "adopt-stream"))
    assert await read_log(site.database) == before


async def restore_stream(site: Site, copy):
    site.nats.stop()
    shutil.rmtree(site.nats.settings.path("nats", "jetstream"))
    shutil.copytree(copy, site.nats.settings.path("nats", "jetstream"))
    await asyncio.to_thread(site.nats.start)


async def copy_stream(site: Site, copy):
    site.nats.stop()
    shutil.copytree(site.nats.settings.path("nats", "jetstream"), copy)
    await asyncio.to_thread(site.nats.start)


async def test_a_stream_restored_from_an_older_copy_is_noticed(site, tmp_path):
    await fill(site.nats, orders(5))
    await copy_stream(site, tmp_path / "copy")
    await fill(site.nats, orders(5, first=5))
    await sign(site)
    before = await read_log(site.database)
    await restore_stream(site, tmp_path / "copy")
    async with site.working("audit", "checkpoint") as (sealer, signer):
        await eventually(lambda: says(sealer, "ends at sequence 5"))
        await eventually(lambda: says(signer, "ends at sequence 5"))
    await fill(site.nats, orders(9, first=900))  # it reaches further than the log, with others
    async with site.working("audit", "checkpoint") as (sealer, signer):
        await eventually(lambda: says(sealer, "is not the one that"))
        await eventually(lambda: says(signer, "is not the one that"))
    assert await read_log(site.database) == before


async def test_a_database_restored_from_an_older_copy_becomes_the_same_log(site, servers):
    await fill(site.nats, orders(400))
    await sign(site)
    older = await copy_of(site, servers)
    try:
        await fill(site.nats, orders(400, first=400))
        note = await sign(site)
        await sign(older)
        assert await read_log(older.database) == await read_log(site.database)
        notes = "SELECT count(*) FROM audit.checkpoint WHERE note = $1"
        assert await older.fetchval(notes, note) > 0  # what was signed meanwhile is put back
        query = "SELECT array_agg(t ORDER BY level, index) FROM audit.tile t"
        assert await older.fetchval(query) == await site.fetchval(query)
    finally:
        servers.drop_database(older.database)


async def test_the_signer_refuses_an_older_database_that_goes_on_differently(
    site, servers, tmp_path
):
    await fill(site.nats, orders(5))
    await sign(site)
    older = await copy_of(site, servers)
    await copy_stream(site, tmp_path / "copy")
    known = "SELECT array_agg(DISTINCT note) FROM audit.checkpoint"
    try:
        await fill(site.nats, orders(5, first=5))
        note = await sign(site)
        signed = await site.fetchval(known)
        await restore_stream(site, tmp_path / "copy")
        await fill(site.nats, orders(9, first=900))
        await older.seal_everything()  # the sealer cannot know: its database is as old
        async with older.working("checkpoint") as (signer,):
            await eventually(lambda: says(signer, "is not the one that"))
        # Nor may losing the memory help.
        shutil.rmtree(older.settings("checkpoint").checkpoint_path)
        async with older.working("checkpoint") as (signer,):
            await eventually(lambda: says(signer, "trusted.txt"))
        trust(older, note)
        async with older.working("checkpoint") as (signer,):
            await eventually(lambda: says(signer, "would be a fork"))
        assert await older.fetchval(known) == signed
    finally:
        servers.drop_database(older.database)


def trust(site: Site, note: str):
    file = MemoryFile(site.settings("checkpoint").checkpoint_path).trusted
    file.parent.mkdir(exist_ok=True)
    file.write_text(note)


async def test_a_signer_that_lost_its_memory_goes_on_from_a_checkpoint_kept_elsewhere(site):
    await fill(site.nats, orders(5))
    older = await sign(site)
    await fill(site.nats, orders(5, first=5))
    note = await sign(site)
    shutil.rmtree(site.settings("checkpoint").checkpoint_path)
    for given, answer in (("", "trusted.txt"), ("junk", "not a checkpoint"), (older, "size 11")):
        if given:
            trust(site, given)
        async with site.working("checkpoint") as (signer,):
            await eventually(partial(says, signer, answer))
    trust(site, note)
    await fill(site.nats, orders(5, first=10))
    await sign(site)
    assert len(await read_log(site.database)) == 16


async def test_a_signer_whose_memory_was_rolled_back_refuses(site, tmp_path):
    folder = site.settings("checkpoint").checkpoint_path
    await fill(site.nats, orders(5))
    await sign(site)
    shutil.copytree(folder, tmp_path / "copy")
    await fill(site.nats, orders(5, first=5))
    await sign(site)
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "copy", folder)
    async with site.working("checkpoint") as (signer,):
        await eventually(lambda: says(signer, "rolled back"))


async def test_an_entry_changed_in_the_database_is_not_signed(site):
    await fill(site.nats, orders(5))
    await sign(site)
    await fill(site.nats, orders(5, first=5))
    await site.seal_everything()
    connection = await site.database.connect()
    for table in ("audit.entry", "audit.entry_000000"):
        await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only")
    await connection.execute(
        "UPDATE audit.entry SET hash = sha256(hash) WHERE sequence = "
        "(SELECT max(sequence) FROM audit.entry)"
    )
    await connection.close()
    async with site.working("checkpoint") as (signer,):
        await eventually(lambda: says(signer, "the stream gives"))
    assert await site.fetchval("SELECT max(size) FROM audit.checkpoint") == 6
