"""Tampers with a real log again and again, and says which changes a verifier did not name."""

import random
from collections.abc import Iterable

import asyncpg
from attacks import Attack, Expected, disarm
from damage import damage
from logs import NOW_NS, ORIGIN, Log

from operations.adapters.auditor import Auditor, Report
from operations.adapters.scanner import Snapshot

SMALL_SEGMENT = 64


async def prepared(log: Log) -> Log:
    """Take the guards of a log away for good."""
    db = await log.database.connect()
    await disarm(db)
    await db.close()
    return log


async def judge(
    log: Log,
    db: asyncpg.Connection,
    brought: tuple[str, ...] = (),
    from_sequence: int = 0,
    *,
    projection: bool = False,
    **options: int,
) -> Report:
    """Verify what a connection sees, with what it changed and did not commit."""
    auditor = Auditor(log.settings, ORIGIN, [log.key.verifier], brought, jobs=1, **options)
    view = Snapshot(log.settings, db, "")
    return await auditor.verify_in(view, NOW_NS, from_sequence, projection=projection)


def is_named(report: Report, expected: Expected, *, tree_is_whole: bool) -> bool:
    """Say whether the report names the class and the first sequence of a change, and fails."""
    if report.exit_code != 1:
        return False
    kind, sequence, _ = report.findings[0]
    first = expected.sequence
    if expected.or_from is not None and not (tree_is_whole and not expected.brought):
        first = min(max(sequence, expected.or_from), expected.sequence)
    return (str(kind), sequence) == (expected.tampering, first)


async def missed(
    log: Log, attack: Attack, seeds: Iterable[int], *, projection: bool = False
) -> list[str]:
    """Attack once per seed, each time the untouched log; return what was not found or misnamed.

    With every other seed the stored tree is damaged too (not for the read model, which does not
    need it); with every third, segments are small.
    """
    db = await log.database.connect()
    try:
        found = [await _try(log, db, attack, seed, projection=projection) for seed in seeds]
    finally:
        await db.close()
    return [each for each in found if each]


async def _try(
    log: Log, db: asyncpg.Connection, attack: Attack, seed: int, *, projection: bool
) -> str:
    rng = random.Random(seed)
    damaged = seed % 2 == 1 and not projection
    options = {"segment": SMALL_SEGMENT} if seed % 3 == 1 else {}
    change = db.transaction()
    await change.start()
    try:
        expected = await attack(db, rng, log)
        if damaged:
            await damage(db, rng)
        report = await judge(log, db, expected.brought, projection=projection, **options)
    finally:
        await change.rollback()
    if is_named(report, expected, tree_is_whole=not damaged):
        return ""
    return f"seed {seed}: {expected[:2]}, the verifier says {report.findings or report.obstacle}"
