"""Does the meter read what the server knows, and say what it may not see?"""

import pytest
from worn_tables import worn

from operations.adapters.database_meter import Meter, vacuum
from operations.config import Postgres

pytestmark = pytest.mark.integration


async def measured(database, admin, *statements):
    """The table audit.event after some statements of the administrator."""
    for statement in statements:
        await admin.execute(statement)
    connected = await database.connect("mts_measurer")
    try:
        meter = Meter(database.name, "o")
        await meter.prepare(connected)
        tables = {each.table: each for each in await meter.tables(connected)}
        return tables["audit.event"]
    finally:
        await connected.close()


@pytest.mark.parametrize(
    ("options", "due"),
    [
        ("fillfactor = 90", 50),
        ("autovacuum_vacuum_threshold = 7", 7),
        ("autovacuum_vacuum_threshold = 7, autovacuum_vacuum_scale_factor = 0.5", 507),
        ("autovacuum_vacuum_scale_factor = 0.5, autovacuum_vacuum_max_threshold = 99", 99),
        ("autovacuum_vacuum_scale_factor = 0.5, autovacuum_vacuum_max_threshold = -1", 550),
    ],
)
async def test_the_dead_rows_that_are_due_follow_the_servers_own_formula(database, options, due):
    admin = await database.connect()
    rows = (
        "INSERT INTO audit.event (sequence, stream_sequence, time_ns, subject, actor, action, "
        "subject_id) SELECT n, n, n, 's', 'a', 'a', 's' FROM generate_series(1, 1000) n"
    )
    filled = () if due in (50, 7) else (rows, "ANALYZE audit.event")
    found = await measured(database, admin, f"ALTER TABLE audit.event SET ({options})", *filled)
    await admin.close()
    assert found.vacuum_due_rows == due
    assert found.total_bytes > 0


async def test_what_may_not_be_seen_is_said_and_not_taken_as_nothing(database):
    connected = await database.connect("mts_reader")  # may not see what others run
    found = await Meter(database.name, "o").statement(connected)
    await connected.close()
    assert (found.ms, found.by) == (None, None)
    assert "pg_read_all_stats" in found.lacking


async def test_a_vacuum_that_the_server_skips_is_no_success(database):
    await worn(database, "audit.event")
    settings = Postgres(dsn=database.dsn("mts_reader"), database=database.name)
    result = await vacuum(settings, "audit.event")
    assert not result.done
    assert "permission denied" in result.reason


async def test_what_has_no_dead_rows_to_speak_of_is_not_vacuumed(database):
    await worn(database, "audit.event", 50)  # autovacuum comes beyond 50
    settings = Postgres(dsn=database.dsn("mts_measurer"), database=database.name)
    result = await vacuum(settings, "audit.event")
    assert (result.done, result.statement) == (True, "")
    assert result.reason.startswith("not needed any more: 50 dead rows; autovacuum comes beyond 50")
    assert result.reason.endswith("last vacuumed at no known time")
    await worn(database, "audit.event", 1)
    assert (await vacuum(settings, "audit.event")).statement == "VACUUM (ANALYZE) audit.event"
    assert "not needed any more: 0 dead" in (await vacuum(settings, "audit.event")).reason


async def test_a_connection_that_measures_can_change_nothing_and_waits_for_nothing(database):
    connected = await database.connect("mts_measurer")
    await Meter(database.name, "o").prepare(connected)
    names = ("statement_timeout", "lock_timeout", "default_transaction_read_only")
    values = [await connected.fetchval("SELECT current_setting($1)", name) for name in names]
    await connected.close()
    assert values == ["5s", "2s", "on"]
