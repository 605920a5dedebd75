"""A copy of a log is the log, and each change to it is what it says it is."""

import pytest
from logs import NOW_NS, ORIGIN, make_log
from support import Database

from operations.adapters import log_copies
from operations.adapters.auditor import Auditor, Report
from operations.audit.note import VerifierKey
from operations.config import Postgres

pytestmark = pytest.mark.integration


async def verify(dsn: str, name: str, key: VerifierKey) -> Report:
    place = Postgres(dsn=f"{dsn.rpartition('/')[0]}/{name}")
    return await Auditor(place, ORIGIN, [key], jobs=1).verify(NOW_NS, projection=True)


async def test_copies_verify_until_they_are_changed(database: Database) -> None:
    log = await make_log(database, sizes=(100, 400), unsigned=0, projected=True)
    connected = await database.connect()
    try:
        await log_copies.copy_log(database.settings)
        assert (
            await verify(log.settings.dsn, log_copies.PRISTINE, log.key.verifier)
        ).findings == []
        for number, tamper in enumerate(log_copies.TAMPERINGS):
            name = f"{log_copies.PRISTINE}_{number}"
            change = await log_copies.tampered(database.settings, name, tamper, 150 + number)
            report = await verify(log.settings.dsn, name, log.key.verifier)
            assert report.exit_code == 1
            assert report.findings[0][:2] == (change.tampering, change.sequence)
            await connected.execute(f"DROP DATABASE {name}")
        await connected.execute(f"DROP DATABASE {log_copies.PRISTINE}")
    finally:
        await connected.close()
    original = await Auditor(log.settings, ORIGIN, [log.key.verifier], jobs=1).verify(NOW_NS)
    assert original.findings == []
