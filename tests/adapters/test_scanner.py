"""Is a log that spans many segments read by several processes as by one, changed or not?"""

import random

import pytest
from attacks import (
    Attack,
    deletion,
    edit,
    insertion_of_a_second_row,
    rehashed_edit,
    reorder,
    rewrite,
    truncation,
)
from logs import NOW_NS, ORIGIN, Log, make_log
from support import Database
from tampering import is_named, prepared

from operations.adapters import ledger, scanner
from operations.adapters.auditor import Auditor, Report
from operations.adapters.scanner import SEGMENT, Span

pytestmark = pytest.mark.integration


async def verify(log: Log, **options) -> Report:
    auditor = Auditor(log.settings, ORIGIN, [log.key.verifier], **options)
    return await auditor.verify(NOW_NS)


def test_a_log_is_divided_into_aligned_segments_that_know_their_cuts() -> None:
    assert list(scanner.spans(0, 130, [50, 64, 130], b"before", 64)) == [
        Span(0, 64, (50,), b"before"),
        Span(64, 128, (), None),
        Span(128, 130, (), None),
    ]
    assert list(scanner.spans(100, 130, [], b"x", 64)) == [
        Span(100, 128, (), b"x"),
        Span(128, 130, (), None),
    ]
    assert list(scanner.spans(5, 5, [], b"x", 64)) == []
    assert [span.end for span in scanner.spans(0, SEGMENT + 1, [], b"")] == [SEGMENT, SEGMENT + 1]


@pytest.mark.parametrize(
    "attack",
    [edit, rehashed_edit, rewrite, deletion, insertion_of_a_second_row, reorder, truncation],
    ids=lambda attack: attack.__name__,
)
async def test_two_processes_find_what_one_finds(database: Database, attack: Attack) -> None:
    log = await prepared(await make_log(database, sizes=(100, 300, 523), unsigned=17))
    one, two = [await verify(log, jobs=jobs, segment=100) for jobs in (1, 2)]
    assert (one.exit_code, one.root, one.head_hash) == (0, two.root, two.head_hash)
    db = await database.connect()
    expected = await attack(db, random.Random(attack.__name__), log)
    await db.close()
    one, two = [await verify(log, jobs=jobs, segment=100) for jobs in (1, 2)]
    assert one.findings == two.findings
    assert is_named(two, expected, tree_is_whole=True)


async def test_changes_at_the_borders_of_full_segments_are_placed(database: Database) -> None:
    log = await prepared(await make_log(database, sizes=(70_000, 140_000), unsigned=0))
    report = await verify(log, jobs=2)
    assert (report.exit_code, report.entries) == (0, 140_000)
    db = await log.database.connect()
    change = "UPDATE audit.entry SET entry = $2 WHERE sequence = $1"
    for at in (SEGMENT - 1, SEGMENT, 2 * SEGMENT):
        entry, _ = await ledger.entry_row(db, at)
        changed = entry.replace(b'"quantity":"', b'"quantity":"9')
        await db.execute(change, at, changed)
        report = await verify(log, jobs=2)
        assert [each[:2] for each in report.findings] == [("edit", at)]
        await db.execute(change, at, entry)
    assert (await verify(log, jobs=2)).exit_code == 0
    await db.close()


async def test_progress_is_told_and_ends_with_everything(database: Database) -> None:
    log = await make_log(database, sizes=(300,), unsigned=0)
    told: list[tuple[int, int]] = []
    await verify(log, jobs=1, segment=64, progress=lambda done, total: told.append((done, total)))
    assert told == [(64, 300), (128, 300), (192, 300), (256, 300), (300, 300)]
