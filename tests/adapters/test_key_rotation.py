"""The key of a log is rotated while the log lives; a crash between two steps is finished later."""

from pathlib import Path

import pytest
from logs import NOW_NS, ORIGIN, Log, deliveries, make_log
from support import Database

from operations.adapters import key_rotation, keyfiles, ledger
from operations.adapters.auditor import Auditor
from operations.adapters.ledger import SealerLedger
from operations.adapters.signer import Signer
from operations.adapters.signer_memory import MemoryFile
from operations.audit import chain
from operations.audit.note import SignerKey
from operations.config import Audit, Postgres, Settings

pytestmark = pytest.mark.integration


@pytest.fixture
async def log(database: Database, tmp_path: Path) -> Log:
    return await make_log(database, sizes=(300,), unsigned=3, folder=tmp_path / "checkpoints")


@pytest.fixture
def settings(log: Log, tmp_path: Path) -> Settings:
    """The signer's settings, with the key of the log as the fleet keeps it."""
    made = Settings(
        home=str(tmp_path),
        audit=Audit(origin=ORIGIN),
        postgres=Postgres(dsn=log.database.dsn("mts_signer")),
    )
    made.signing_key_path.parent.mkdir()
    made.signing_key_path.write_text(f"{log.key}\n")
    made.signing_key_path.chmod(0o600)
    made.public_key_path.write_text(f"{log.key.verifier}\n")
    return made


async def finish(settings: Settings, size: int) -> bool:
    async with ledger.connection(settings.postgres, "test") as connected:
        file = MemoryFile(settings.checkpoint_path)
        return await key_rotation.finish(settings, file, connected, size)


async def grow(log: Log, settings: Settings, key: SignerKey, size: int) -> None:
    """Seal more entries and sign them with a key."""
    async with ledger.connection(Postgres(dsn=log.database.dsn("mts_sealer")), "test") as sealer:
        writing = SealerLedger(sealer, ORIGIN)
        head = await writing.take_over()
        messages = deliveries(head.stream_sequence + 1, size - head.size)
        await writing.append(head, chain.seal(head, messages))
    file = MemoryFile(settings.checkpoint_path)
    memory = file.load()
    signer = Signer(memory, file, key)
    missed = deliveries(memory.stream_sequence + 1, size - memory.size)
    signer.follow(missed, gap_is_real=False)
    async with ledger.connection(settings.postgres, "test") as connected:
        assert await signer.sign(connected, NOW_NS - 1)


async def verify(log: Log, keys) -> object:
    return await Auditor(log.settings, ORIGIN, keys, jobs=1).verify(NOW_NS)


async def test_who_trusts_only_the_first_key_still_verifies_after_a_rotation(
    log: Log, settings: Settings
) -> None:
    new = key_rotation.prepare(settings)
    assert await finish(settings, log.signed_size)
    assert keyfiles.read_signer(settings.signing_key_path) == new
    assert keyfiles.read_public(settings.public_key_path) == (log.key.verifier, new.verifier)
    await grow(log, settings, new, 500)
    report = await verify(log, [log.key.verifier])
    assert (report.exit_code, report.signed_size) == (0, 500)


async def test_nothing_is_rotated_while_no_key_waits(log: Log, settings: Settings) -> None:
    assert not await finish(settings, log.signed_size)


async def test_what_a_retired_key_signs_later_is_a_misused_key(
    log: Log, settings: Settings
) -> None:
    key_rotation.prepare(settings)
    await finish(settings, log.signed_size)
    await grow(log, settings, log.key, 500)  # the thief has the old key
    report = await verify(log, [log.key.verifier])
    assert [str(each.tampering) for each in report.findings] == ["misused key"]


@pytest.mark.parametrize("lost", ["database", "public key", "rename"])
async def test_a_rotation_that_was_cut_off_is_finished_with_the_same_key(
    log: Log, settings: Settings, lost: str
) -> None:
    new = key_rotation.prepare(settings)
    old_key = settings.signing_key_path.read_text()
    await finish(settings, log.signed_size)
    settings.signing_key_path.write_text(old_key)
    key_rotation.next_key_path(settings).write_text(f"{new}\n")
    key_rotation.next_key_path(settings).chmod(0o600)
    if lost != "rename":
        settings.public_key_path.write_text(f"{log.key.verifier}\n")
    if lost == "database":
        db = await log.database.connect()
        await db.execute("ALTER TABLE audit.rotation DISABLE TRIGGER ALL")
        await db.execute("DELETE FROM audit.rotation")
        await db.close()
    assert await finish(settings, log.signed_size)
    assert keyfiles.read_signer(settings.signing_key_path) == new
    assert keyfiles.read_public(settings.public_key_path) == (log.key.verifier, new.verifier)
    assert len(MemoryFile(settings.checkpoint_path).rotations()) == 1
    db = await log.database.connect()
    assert await db.fetchval("SELECT count(*) FROM audit.rotation") == 1
    await db.close()
