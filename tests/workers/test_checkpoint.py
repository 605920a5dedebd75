"""Are checkpoints signed while the log grows, each with a proof that it only grew?"""

import pytest
from pipeline import Site, fill, orders, read_log, tree_root
from support import eventually

from operations.adapters import keyfiles
from operations.adapters.signer_memory import MemoryFile
from operations.audit import checkpoint, merkle, proof

pytestmark = pytest.mark.integration
LAST_QUESTION = """
    SELECT max(query_start) FROM pg_stat_activity
    WHERE application_name = 'mts-checkpoint' AND datname = current_database()
"""


@pytest.fixture
def site(nats_server, database, tmp_path):
    return Site(nats_server, database, tmp_path)


async def test_each_checkpoint_goes_out_with_its_proof_to_three_places(site):
    heard = []

    async def hear(message):
        heard.append(message.data.decode())

    auditor = await site.nats.connect("auditor")
    await auditor.subscribe("ops.v1.audit.checkpoint", cb=hear)
    await auditor.flush()
    async with site.working("audit", "checkpoint") as (_, signer):
        for number in range(4):
            last = await fill(site.nats, orders(150, first=150 * number))
            await site.sealed_to(last)
            await eventually(lambda last=last: signed_size(signer) == last + 1)
        await eventually(lambda: len(heard) == checkpoints(signer))
    await auditor.close()
    entries = await read_log(site.database)
    keys = keyfiles.read_public(site.settings("checkpoint").public_key_path)
    assert len(heard) >= 4
    stored = [note for _, note in MemoryFile(site.settings("checkpoint").checkpoint_path).signed()]
    connection = await site.database.connect("mts_reader")
    rows = await connection.fetch("SELECT note FROM audit.checkpoint ORDER BY size")
    await connection.close()
    assert [row["note"] for row in rows] == stored
    for note in stored:
        opened = checkpoint.open_checkpoint(note, "mts.local/audit", keys)
        assert opened.root == tree_root(entries[: opened.size])
    opened = [checkpoint.open_checkpoint(note, "mts.local/audit", keys) for note in stored]
    empty = checkpoint.Checkpoint("mts.local/audit", 0, merkle.EMPTY_ROOT)
    for text, before, after in zip(heard, [empty, *opened], opened, strict=False):
        made = proof.parse_consistency(text)
        assert made.old == before.size
        leaves = [before.size, after.size, before.root, after.root]
        assert merkle.verify_consistency(*leaves, made.hashes)


def signed_size(worker) -> float | None:
    return worker.registry.get_sample_value("audit_checkpoint_size")


def checkpoints(worker) -> float | None:
    return worker.registry.get_sample_value("audit_checkpoints_total")


async def test_an_idle_log_is_signed_once(site):
    async with site.working("audit", "checkpoint") as (_, signer):
        await site.sealed_to(await fill(site.nats, orders(3)))
        await eventually(lambda: signed_size(signer) == 4)
        count, turns = checkpoints(signer), set()

        async def turned() -> bool:
            turns.add(await site.fetchval(LAST_QUESTION))
            return len(turns) > 10  # at each of them it could sign

        await eventually(turned, "the signer goes on looking at the log")
        assert checkpoints(signer) == count


async def test_what_is_sealed_is_signed_while_more_waits_to_be_sealed(site):
    async with site.working("audit"):
        sealed = await fill(site.nats, orders(300))
        await site.sealed_to(sealed)
    await fill(site.nats, orders(1000, first=300))
    async with site.working("checkpoint") as (signer,):
        await eventually(lambda: signed_size(signer) == sealed + 1)
