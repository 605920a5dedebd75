"""When does the verifier accuse nobody, when can it not tell, and what makes it start over?"""

import asyncio
import random

import asyncpg
import pytest
from attacks import forged, rewrite_from, row_at
from logs import NOW_NS, ORIGIN, Log, deliveries, make_log, writing
from pipeline import Site, fill, orders
from support import Database, eventually
from tampering import judge, prepared

from operations.adapters import keyfiles
from operations.adapters.auditor import Auditor, Report
from operations.adapters.signer import Refused
from operations.audit.entry import decode, encode, link
from operations.audit.note import generate_key
from operations.clock import now_ns

pytestmark = pytest.mark.integration
SECOND_NS = 10**9
HOUR_NS = 3600 * SECOND_NS


async def verify(log: Log, at_ns: int = NOW_NS, from_sequence: int = 0, **options) -> Report:
    options.setdefault("jobs", 1)
    auditor = Auditor(log.settings, ORIGIN, [log.key.verifier], **options)
    return await auditor.verify(at_ns, from_sequence)


async def test_a_log_is_proven_at_every_size_and_with_an_unsigned_tail(database: Database) -> None:
    async with writing(database) as writer:
        await writer.sign()
        db = await (await prepared(writer.log())).database.connect()
        for size in range(2, 602):
            await writer.seal(1)
            unsigned = await judge(writer.log(), db)
            assert (unsigned.exit_code, unsigned.unsigned) == (0, 1), (size, unsigned)
            await writer.sign()
            report = await judge(writer.log(), db)
            proven = (report.exit_code, report.size, report.signed_size, report.unsigned)
            assert proven == (0, size, size, 0), report
            await db.execute("DELETE FROM audit.checkpoint WHERE size < $1", size - 3)
        await db.close()


@pytest.mark.parametrize("boundary", [1 << 8, 1 << 16])
async def test_a_log_is_proven_around_the_borders_of_tiles_and_segments(
    database: Database, boundary: int
) -> None:
    async with writing(database) as writer:
        for multiple in (1, 2):
            for size in range(multiple * boundary - 1, multiple * boundary + 2):
                await writer.seal(size - writer.head.size)
                assert (await verify(writer.log())).findings == []
                await writer.sign()
                report = await verify(writer.log())
                assert (report.exit_code, report.entries) == (0, size)
        again = await verify(writer.log(), jobs=2)
        assert (again.exit_code, again.root) == (0, report.root)


async def test_a_log_that_grows_while_it_is_verified_is_never_accused(
    nats_server, database: Database, tmp_path
) -> None:
    site = Site(nats_server, database, tmp_path)
    settings = site.settings("checkpoint")
    reading = settings.postgres.__class__(dsn=database.dsn("mts_reader"))
    codes: list[int] = []
    sizes: set[int] = set()

    async def once(jobs: int = 1) -> Report:
        keys = keyfiles.read_public(settings.public_key_path)
        report = await Auditor(reading, ORIGIN, keys, jobs=jobs, segment=512).verify(now_ns())
        assert report.findings == []
        codes.append(report.exit_code)
        sizes.add(report.size)
        return report

    async def publish() -> None:
        for number in range(20):
            await fill(site.nats, orders(250, first=250 * number))

    async with site.working("audit", "checkpoint"):
        await eventually(lambda: signed_at_all(database))
        publishing = asyncio.create_task(publish())
        while not publishing.done():
            await once()
        await publishing
        await once(jobs=2)

        async def is_proven() -> bool:
            report = await once()
            return report.exit_code == 0 and report.signed_size == 5001

        await eventually(is_proven)
    assert set(codes) <= {0, 3}
    assert len(sizes) >= 5


async def signed_at_all(database: Database) -> bool:
    db = await database.connect()
    try:
        return bool(await db.fetchval("SELECT count(*) FROM audit.checkpoint"))
    finally:
        await db.close()


@pytest.mark.parametrize("jobs", [1, 2])
async def test_rows_that_lie_in_another_order_on_disk_are_the_same_log(
    database: Database, jobs: int
) -> None:
    log = await prepared(await make_log(database, sizes=(300, 700, 1103), unsigned=17))
    db = await database.connect()
    await db.execute("CREATE TABLE kept AS SELECT * FROM audit.entry ORDER BY md5(sequence::text)")
    await db.execute("TRUNCATE audit.entry_000000")
    await db.execute("INSERT INTO audit.entry SELECT * FROM kept")
    await db.execute("UPDATE audit.entry SET hash = hash WHERE sequence % 7 = 0")
    shuffled = await db.fetch("SELECT sequence FROM audit.entry_000000 LIMIT 5")
    await db.execute("VACUUM FULL audit.entry_000000")
    await db.close()
    assert [row["sequence"] for row in shuffled] != [0, 1, 2, 3, 4]
    report = await verify(log, jobs=jobs, segment=256)
    assert (report.exit_code, report.entries) == (0, 1120)


@pytest.mark.parametrize(
    ("asked", "started"), [(0, 0), (99, 0), (100, 100), (299, 100), (300, 300), (9999, 523)]
)
async def test_verifying_starts_at_the_last_proven_checkpoint(
    database: Database, asked: int, started: int
) -> None:
    log = await make_log(database, sizes=(100, 300, 523), unsigned=17)
    report = await verify(log, from_sequence=asked)
    assert (report.exit_code, report.first, report.entries) == (0, started, 540 - started)


async def test_without_proof_of_a_starting_point_verifying_starts_at_the_beginning(
    database: Database,
) -> None:
    log = await prepared(await make_log(database, sizes=(100, 300, 523), unsigned=17))
    db = await database.connect()
    # Whatever the byte is, it becomes another one.
    turned = "UPDATE audit.tile SET hashes = set_byte(hashes, 8, 255 - get_byte(hashes, 8))"
    for change, started in (
        (f"{turned} WHERE index = 1", 100),
        (turned, 0),
        ("DELETE FROM audit.tile", 0),
        ("DELETE FROM audit.checkpoint WHERE size = 300", 100),
        ("DELETE FROM audit.checkpoint WHERE size < 523", 0),
    ):
        undo = db.transaction()
        await undo.start()
        await db.execute(change)
        report = await judge(log, db, from_sequence=400)
        assert (report.exit_code, report.first) == (0, started), change
        await undo.rollback()
    await db.close()


async def test_the_row_before_a_starting_point_is_never_trusted(database: Database) -> None:
    log = await prepared(await make_log(database, sizes=(100, 300, 523), unsigned=17))
    db = await database.connect()
    for seed in range(60):
        rng = random.Random(seed)
        undo = db.transaction()
        await undo.start()
        at = rng.choice((299, rng.randrange(1, 300)))
        if seed % 2:
            await rewrite_from(db, rng, at)  # so the row before agrees with all that follows
            expected = ("rewrite", at)
        else:
            at = 299
            await db.execute(
                "UPDATE audit.entry SET hash = $1 WHERE sequence = 299", rng.randbytes(32)
            )
            expected = ("edit", at)
        report = await judge(log, db, from_sequence=rng.randrange(300, 523))
        assert report.exit_code == 1
        assert report.first < 300
        assert [each[:2] for each in report.findings] == [expected]
        await undo.rollback()
    await db.close()


async def test_what_cannot_be_verified_is_not_called_intact(database: Database) -> None:
    empty = await database.connect("mts_reader")
    key = generate_key(ORIGIN)
    bare = Log(database, None, key, 0, 0, (), (), None)
    assert await verdict(bare, empty) == (2, "log 'mts.local/audit' has no entries to verify")
    async with writing(database) as writer:
        await writer.seal(50)
        log = writer.log()
        assert await verdict(log, empty) == (2, "the log has no checkpoint signed by this key")
        await writer.sign()
        assert await verdict(log, empty) == (0, "")
        auditor = Auditor(log.settings, ORIGIN, [], jobs=1)
        assert (await auditor.verify(NOW_NS)).exit_code == 2
    stranger = log._replace(key=generate_key(ORIGIN))
    assert (await verdict(stranger, empty))[0] == 1
    await empty.close()
    db = await (await prepared(log)).database.connect()
    await db.execute("DELETE FROM audit.checkpoint")
    assert await verdict(log, db) == (2, "the log has no checkpoint signed by this key")
    await db.execute("DELETE FROM audit.entry")
    assert (await verdict(log, db))[0] == 2
    await db.close()


async def verdict(log: Log, db: asyncpg.Connection) -> tuple[int, str]:
    report = await judge(log, db)
    return report.exit_code, report.obstacle


async def test_a_log_whose_entries_are_all_gone_after_it_was_signed_is_tampered_with(
    database: Database,
) -> None:
    log = await prepared(await make_log(database, sizes=(20,), unsigned=0))
    db = await database.connect()
    note = await db.fetchval("SELECT note FROM audit.checkpoint")
    for table in ("entry", "head", "tile", "edge"):
        await db.execute(f"DELETE FROM audit.{table}")
    report = await judge(log, db)
    assert (report.exit_code, str(report.findings[0].tampering)) == (1, "missing chain")
    await db.execute("DELETE FROM audit.checkpoint")
    assert (await judge(log, db)).exit_code == 2
    brought = await judge(log, db, (note,))
    assert (brought.exit_code, str(brought.findings[0].tampering)) == (1, "missing chain")
    await db.close()


async def test_what_was_proven_long_ago_is_stale(database: Database) -> None:
    log = await make_log(database, sizes=(20,), unsigned=0)
    assert (await verify(log, NOW_NS + 2 * HOUR_NS - SECOND_NS)).exit_code == 0
    assert (await verify(log, NOW_NS + 2 * HOUR_NS + SECOND_NS)).exit_code == 3
    assert (await verify(log, NOW_NS - 3 * HOUR_NS)).exit_code == 3, "a time to come never ages"


async def test_a_checkpoint_from_elsewhere_has_no_age_so_it_alone_proves_nothing_recent(
    database: Database,
) -> None:
    log = await prepared(await make_log(database, sizes=(20,), unsigned=0))
    db = await database.connect()
    note = await db.fetchval("SELECT note FROM audit.checkpoint")
    assert (await judge(log, db, (note,))).exit_code == 0
    await db.execute("DELETE FROM audit.checkpoint")
    report = await judge(log, db, (note,))
    assert (report.exit_code, report.findings) == (3, [])
    await db.close()


async def test_entries_that_nobody_signs_are_stale_after_ten_seconds(database: Database) -> None:
    log = await make_log(database, sizes=(20,), unsigned=5)
    assert (await verify(log, NOW_NS + 8 * SECOND_NS)).exit_code == 0
    report = await verify(log, NOW_NS + 12 * SECOND_NS)
    assert (report.exit_code, report.unsigned, report.findings) == (3, 5, [])


@pytest.mark.parametrize("replaced", [True, False])
async def test_a_forged_tail_is_not_signed_and_is_never_more_than_intact_but_unsigned(
    database: Database, replaced: bool
) -> None:
    log = await prepared(await make_log(database, sizes=(100, 300), unsigned=17))
    first = 305 if replaced else log.size
    db = await database.connect()
    await forge_tail(db, first, log.size + 8)
    report = await verify(log)
    assert (report.exit_code, report.findings, report.unsigned) == (0, [], 25)
    assert (await verify(log, NOW_NS + 12 * SECOND_NS)).exit_code == 3
    await db.close()
    signing = await database.connect("mts_signer")
    stream = deliveries(log.signer.head.stream_sequence + 1, 25)
    if not replaced:  # up to where the forged rows begin the log is right, and is signed
        log.signer.follow(stream[:17], gap_is_real=False)
        assert await log.signer.sign(signing, NOW_NS)
    log.signer.follow(stream, gap_is_real=False)
    with pytest.raises(Refused, match="the stream gives"):
        await log.signer.sign(signing, NOW_NS)
    await signing.close()
    later = await verify(log)
    assert later.signed_size == (300 if replaced else 317)


async def forge_tail(db: asyncpg.Connection, first: int, end: int) -> None:
    """Replace or add rows that nobody published, and move the head to fit."""
    model, _ = await row_at(db, first - 1)
    _, previous = await row_at(db, first - 1)
    await db.execute("DELETE FROM audit.entry WHERE sequence >= $1", first)
    place = decode(model).stream_sequence
    for sequence in range(first, end):
        place += 1
        made = decode(model)._replace(sequence=sequence, stream_sequence=place)
        entry = forged(encode(made), random.Random(sequence))
        previous = link(previous, entry)
        await db.execute("INSERT INTO audit.entry VALUES ($1, $2, $3)", sequence, entry, previous)
    await db.execute(
        "UPDATE audit.head SET size = $1, hash = $2, stream_sequence = $3", end, previous, place
    )


async def test_an_unsigned_entry_that_is_no_entry_is_found(database: Database) -> None:
    log = await prepared(await make_log(database, sizes=(100,), unsigned=3))
    db = await database.connect()
    entry, _ = await row_at(db, 100)
    _, previous = await row_at(db, 99)
    for sequence in (100, 101, 102):
        entry = (await row_at(db, sequence))[0]
        entry = b"not an entry at all" + entry[19:] if sequence == 100 else entry
        previous = link(previous, entry)
        await db.execute(
            "UPDATE audit.entry SET entry = $2, hash = $3 WHERE sequence = $1",
            sequence, entry, previous,
        )  # fmt: skip
    await db.execute("UPDATE audit.head SET hash = $1", previous)
    report = await judge(log, db)
    await db.close()
    assert report.exit_code == 1
    assert report.findings[0][:2] == ("edit", 100)
