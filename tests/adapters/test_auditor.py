"""Every change to a log is found under its name, and a log that grows is never accused."""

import random

import pytest
from attacks import ATTACKS, disarm
from logs import NOW_NS, ORIGIN, Log, make_log
from support import Database

from operations.adapters.auditor import Auditor
from operations.adapters.scanner import Snapshot

pytestmark = pytest.mark.integration
SEEDS = 200


@pytest.fixture
async def log(database: Database) -> Log:
    return await make_log(database, sizes=(300, 700, 1103), unsigned=17)


async def judge(log: Log, db, **options):
    auditor = Auditor(log.settings, ORIGIN, [log.key.verifier], jobs=1, **options)
    return await auditor.verify_in(Snapshot(log.settings, db, ""), NOW_NS)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_every_change_is_found_under_its_name(log: Log, attack) -> None:
    db = await log.database.connect()
    wrong = []
    for seed in range(SEEDS):
        rng = random.Random(seed)
        change = db.transaction()
        await change.start()
        await disarm(db)
        expected = await attack(db, rng, log.signed_size)
        report = await judge(log, db)
        found = [(str(each.tampering), each.sequence) for each in report.findings]
        if found[:1] != [tuple(expected)] or report.exit_code != 1:
            wrong.append((seed, tuple(expected), report.findings, report.obstacle))
        await change.rollback()
    await db.close()
    assert not wrong, f"{len(wrong)} of {SEEDS}: {wrong[:3]}"
