"""Is a log that the stream does not give found out, signed or not?"""

from hashlib import sha256

import pytest
from attacks import disarm
from pipeline import ORIGIN, Site, fill, orders, read_log, stream_state, tree_root
from support import eventually

from operations.adapters import accounts, keyfiles, ledger
from operations.adapters.rebuild import Rebuilt
from operations.audit import entry as entries
from operations.config import Nats, Postgres
from operations.errors import Rejected
from operations.service import AuditLog

pytestmark = pytest.mark.integration


@pytest.fixture
def site(nats_server, database, tmp_path) -> Site:
    return Site(nats_server, database, tmp_path)


def auditor(site: Site) -> Nats:
    return Nats(
        url=site.nats.url,
        user="auditor",
        password=site.nats.password("auditor"),
        inbox=accounts.inbox("auditor"),
    )


def audit_log(site: Site) -> AuditLog:
    keys = keyfiles.read_public(site.settings("audit").public_key_path)
    return AuditLog(Postgres(dsn=site.database.dsn("mts_reader")), ORIGIN, keys)


async def rebuild(site: Site, **options) -> Rebuilt:
    return await audit_log(site).rebuild(auditor(site), **options)


async def signed_size(site: Site) -> int:
    return await site.fetchval("SELECT coalesce(max(size), 0) FROM audit.checkpoint")


async def seal_and_sign(site: Site) -> int:
    """Let the workers seal and sign what the stream holds; return the size of the log."""
    async with site.working("audit", "checkpoint"):
        await site.sealed_to((await stream_state(site.nats))["last_seq"])
        size = await site.fetchval("SELECT size FROM audit.head")

        async def signed() -> bool:
            return await signed_size(site) >= size

        await eventually(signed, "everything is signed")
    return size


async def forge(site: Site, count: int) -> int:
    """Add entries that no message ever was, linked as the sealer would; return the first."""
    db = await site.database.connect()
    await disarm(db)
    size = await db.fetchval("SELECT size FROM audit.head")
    row = await db.fetchrow("SELECT entry, hash FROM audit.entry WHERE sequence = $1", size - 1)
    made, previous = entries.decode(row["entry"]), row["hash"]
    for _ in range(count):
        made = made._replace(
            sequence=made.sequence + 1, stream_sequence=made.stream_sequence + 1, data=b"forged"
        )
        raw = entries.encode(made)
        previous = sha256(previous + raw).digest()
        await db.execute("INSERT INTO audit.entry VALUES ($1, $2, $3)", made[0], raw, previous)
    await db.execute(
        "UPDATE audit.head SET size = $1, hash = $2, stream_sequence = $3",
        made.sequence + 1, previous, made.stream_sequence,
    )  # fmt: skip
    await db.close()
    return size


async def test_the_stream_gives_the_same_log_and_the_signed_root(site):
    await fill(site.nats, orders(2300))
    size = await seal_and_sign(site)
    steps = []
    result = await rebuild(site, progress=lambda *step: steps.append(step))
    log = await read_log(site.database)
    assert (result.exit_code, result.differs_at, result.first) == (0, None, 0)
    assert (result.size, result.signed_root_agrees) == (size, True)
    assert (result.root, result.head_hash) == (tree_root(log).hex(), log[-1].hash.hex())
    assert steps[-1] == (size - 1, size - 1)


async def test_a_forged_tail_that_nobody_signed_is_found(site):
    await fill(site.nats, orders(300))
    await seal_and_sign(site)
    first = await forge(site, 7)
    report = await audit_log(site).verify(jobs=1)
    assert (report.findings, report.unsigned) == ([], 7)
    result = await rebuild(site)
    assert (result.exit_code, result.differs_at) == (1, first)
    assert "entries were added to the log" in result.detail
    assert result.signed_root_agrees


async def test_a_forged_tail_is_found_while_real_messages_follow(site):
    await fill(site.nats, orders(300))
    await seal_and_sign(site)
    first = await forge(site, 7)
    await fill(site.nats, orders(50, first=300))
    result = await rebuild(site)
    assert (result.exit_code, result.differs_at) == (1, first)
    assert "timestamp_ns" in result.detail
    assert "data" in result.detail


async def test_each_change_of_the_log_is_found_at_its_first_entry(site):
    await fill(site.nats, orders(300))
    await seal_and_sign(site)
    db = await site.database.connect()
    await disarm(db)
    for change, place in (
        ("UPDATE audit.entry SET hash = sha256(hash) WHERE sequence = 200", 200),
        ("UPDATE audit.entry SET entry = 'x' WHERE sequence = 100", 100),
        ("UPDATE audit.entry SET entry = set_byte(entry, 150, 0) WHERE sequence = 50", 50),
        ("DELETE FROM audit.entry WHERE sequence = 40", 40),
        ("UPDATE audit.entry SET entry = entry || 'x' WHERE sequence = 0", 0),
    ):
        await db.execute(change)
        result = await rebuild(site)
        assert (result.exit_code, result.differs_at) == (1, place)
        assert result.signed_root_agrees
    await db.close()


async def test_a_head_that_was_moved_back_is_found(site):
    await fill(site.nats, orders(300))
    await seal_and_sign(site)
    db = await site.database.connect()
    await disarm(db)
    for change in (
        "UPDATE audit.head SET size = 200",
        "UPDATE audit.head SET hash = sha256(hash)",
        "DELETE FROM audit.head",
    ):
        undo = db.transaction()
        await undo.start()
        await db.execute(change)
        await undo.commit()
        assert (await rebuild(site)).exit_code == 1
    await db.close()


async def test_messages_that_come_meanwhile_are_no_difference(site):
    await fill(site.nats, orders(300))
    await seal_and_sign(site)
    await fill(site.nats, orders(100, first=300))
    result = await rebuild(site)
    assert (result.exit_code, result.size) == (0, 301)


async def test_without_a_checkpoint_nothing_is_proven(site):
    await fill(site.nats, orders(30))
    await site.seal_everything()
    result = await rebuild(site)
    assert (result.exit_code, result.differs_at) == (2, None)
    assert "no signed checkpoint" in result.obstacle


async def test_a_log_that_does_not_exist_is_no_proof_of_anything(site):
    result = await rebuild(site)
    assert result.exit_code == 2
    assert "there is no log" in result.obstacle


async def test_another_stream_is_not_compared(site):
    await fill(site.nats, orders(30))
    await seal_and_sign(site)
    db = await site.database.connect()
    await disarm(db)
    await db.execute("UPDATE audit.head SET stream_created_ns = stream_created_ns - 1")
    await db.close()
    result = await rebuild(site)
    assert result.exit_code == 2
    assert "the log was made from one created" in result.obstacle


async def expire_all(site: Site) -> None:
    """Let the stream forget every message, as a limit on their age does."""
    client = await site.nats.connect()
    jetstream = client.jetstream()
    info = await jetstream.stream_info("MTS")
    for seconds in (1, 0):
        info.config.max_age, info.config.duplicate_window = seconds, seconds or 600
        await jetstream.update_stream(info.config)

        async def is_empty() -> bool:
            return (await jetstream.stream_info("MTS")).state.messages == 0

        await eventually(is_empty, "the messages are too old")
    await client.close()


async def test_a_stream_that_forgot_its_beginning_is_compared_from_a_checkpoint_on(site):
    await fill(site.nats, orders(300))
    size = await seal_and_sign(site)
    await expire_all(site)
    await fill(site.nats, orders(200, first=300))
    whole = await seal_and_sign(site)
    result = await rebuild(site)
    assert (result.exit_code, result.first, result.size) == (0, size, whole)
    assert result.root == tree_root(await read_log(site.database)).hex()
    first = await forge(site, 1)
    assert (await rebuild(site)).differs_at == first
    db = await site.database.connect()
    await disarm(db)
    await db.execute("DELETE FROM audit.edge")
    await db.execute("DELETE FROM audit.tile")
    await db.close()
    result = await rebuild(site)
    assert result.exit_code == 2
    assert "begins at sequence 301" in result.obstacle


async def test_messages_that_were_lost_before_they_were_sealed_are_a_gap_again(site):
    await fill(site.nats, orders(300))
    size = await seal_and_sign(site)
    await fill(site.nats, orders(40, first=300))
    await expire_all(site)
    await fill(site.nats, orders(60, first=340))
    await seal_and_sign(site)
    log = await read_log(site.database)
    assert log[size].subject == b"audit.gap"
    report = await audit_log(site).verify(jobs=1)
    assert (report.exit_code, report.gaps) == (0, [size])
    result = await rebuild(site)
    assert result.exit_code == 0
    assert result.size == len(log)


async def test_the_rebuilt_log_is_written_into_an_empty_database(site, servers):
    await fill(site.nats, orders(2300))
    await seal_and_sign(site)
    await fill(site.nats, orders(100, first=2300))
    empty = servers.new_database()
    try:
        into = Postgres(dsn=empty.dsn("mts_sealer"))
        result = await rebuild(site, into=into)
        assert (result.exit_code, result.written) == (0, 2401)
        rebuilt = await read_log(empty)
        assert rebuilt[:2301] == await read_log(site.database)
        with pytest.raises(Rejected, match="not empty"):
            await rebuild(site, into=into)
        async with ledger.connection(into, "test") as connected:
            assert (await ledger.head(connected, ORIGIN)).size == 2401
    finally:
        servers.drop_database(empty)


async def test_a_lost_database_comes_back_and_a_checkpoint_that_was_kept_proves_it(site, servers):
    await fill(site.nats, orders(300))
    await seal_and_sign(site)
    kept = await audit_log(site).checkpoint()
    lost, empty = servers.new_database(), servers.new_database()
    try:
        keys = keyfiles.read_public(site.settings("audit").public_key_path)
        log = AuditLog(Postgres(dsn=lost.dsn("mts_reader")), ORIGIN, keys)
        into = Postgres(dsn=empty.dsn("mts_sealer"))
        result = await log.rebuild(auditor(site), brought=[kept], into=into)
        assert (result.signed_root_agrees, result.written) == (True, 301)
        assert await read_log(empty) == await read_log(site.database)
    finally:
        servers.drop_database(lost)
        servers.drop_database(empty)
