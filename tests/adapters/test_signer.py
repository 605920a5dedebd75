"""Does the signer sign only what two processes agree on, and remember it before it says it?"""

import asyncpg
import pytest
from audit_logs import CREATED_NS, KEY, ORIGIN, OTHER_KEY, SimulatedLog, deliveries

from operations.adapters import ledger, signer
from operations.adapters.ledger import SealerLedger
from operations.adapters.signer import Refused, Signer
from operations.adapters.signer_memory import MemoryFile
from operations.audit import chain, checkpoint
from operations.audit.chain import Jump
from operations.audit.rotation import TrustedKeys
from operations.errors import Corrupted

pytestmark = pytest.mark.integration
GENESIS = chain.first_entry(ORIGIN, str(KEY.verifier), "MTS", CREATED_NS)
MESSAGES = deliveries(1000)


@pytest.fixture
async def log(database):
    """A sealed log of 501 entries; `append` seals more."""
    connection = await database.connect("mts_sealer")
    writer = SealerLedger(connection, ORIGIN)
    await writer.take_over()
    await writer.create(GENESIS)
    made = chain.seal(GENESIS.head, MESSAGES[:500])
    await writer.append(GENESIS.head, made)
    yield writer, made.head
    await connection.close()


@pytest.fixture
async def connected(database):
    connection = await database.connect("mts_signer")
    yield connection
    await connection.close()


@pytest.fixture
def file(tmp_path):
    return MemoryFile(tmp_path / "memory")


async def start(file: MemoryFile, connected: asyncpg.Connection) -> Signer:
    trusted = TrustedKeys((KEY.verifier,), {})
    memory = await signer.remember(file, connected, ORIGIN, trusted, GENESIS)
    made = Signer(memory, file, KEY)
    await made.restore(connected, trusted)
    return made


async def test_the_root_it_signs_is_the_root_of_the_log(log, connected, file):
    made = await start(file, connected)
    assert made.follow(MESSAGES[:500], gap_is_real=False) == 500
    signed = await made.sign(connected, 7)
    expected = SimulatedLog()
    expected.seal(MESSAGES[:500])
    opened = checkpoint.open_checkpoint(signed.note, ORIGIN, [KEY.verifier])
    assert (opened.size, opened.root) == (501, expected.root(501))
    assert await ledger.newest_checkpoint(connected) == signed
    assert file.signed() == [(7, signed.note)]


async def test_it_waits_until_the_log_holds_what_it_recomputed(log, connected, file):
    writer, head = log
    made = await start(file, connected)
    made.follow(MESSAGES[:600], gap_is_real=False)
    assert await made.sign(connected, 1) is None
    await writer.append(head, chain.seal(head, MESSAGES[500:600]))
    assert (await made.sign(connected, 2)).size == 601


async def test_a_jump_is_not_signed_over(log, connected, file):
    made = await start(file, connected)
    with pytest.raises(Jump):
        made.follow(MESSAGES[3:], gap_is_real=False)
    made.follow(MESSAGES[3:500], gap_is_real=True)
    made.follow(MESSAGES[500:502], gap_is_real=False)
    with pytest.raises(Refused, match="the stream gives"):
        await made.sign(connected, 1)
    assert await ledger.newest_checkpoint(connected) is None
    assert file.load() is None


async def test_a_signature_that_could_not_be_stored_is_remembered(database, log, connected, file):
    made = await start(file, connected)
    made.follow(MESSAGES[:500], gap_is_real=False)
    admin = await database.connect()
    await admin.execute("REVOKE INSERT ON audit.checkpoint FROM mts_signer")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await made.sign(connected, 1)
    assert file.load().signed_size == 501
    await admin.execute("GRANT INSERT ON audit.checkpoint TO mts_signer")
    await admin.close()
    again = await start(file, connected)
    assert (again.head.size, again.signed.size) == (501, 501)
    assert (await ledger.newest_checkpoint(connected)).size == 501  # put back from its own file
    assert await again.sign(connected, 2)
    assert await ledger.tile_count(connected) == 1  # the tile that was lost with the transaction


async def test_what_another_key_signed_does_not_count(database, log, connected, file):
    forged = checkpoint.sign(checkpoint.Checkpoint(ORIGIN, 9_999, bytes(32)), OTHER_KEY)
    await ledger.store_checkpoint(connected, ledger.Signed(9_999, 1, forged))
    made = await start(file, connected)
    made.follow(MESSAGES[:500], gap_is_real=False)
    assert (await made.sign(connected, 2)).size == 501


async def test_a_memory_that_cannot_be_read_is_not_replaced_by_a_guess(connected, file):
    file.trusted.parent.mkdir()
    file.trusted.with_name("memory.json").write_bytes(b"{torn")
    with pytest.raises(Corrupted, match="cannot be read"):
        await start(file, connected)


async def test_a_torn_line_in_the_file_of_checkpoints_is_left_out(file):
    file.trusted.parent.mkdir()
    file.append(1, "one\n")
    with file.checkpoints.open("a") as torn:
        torn.write("2 dG9y")
    assert file.signed() == [(1, "one\n")]
