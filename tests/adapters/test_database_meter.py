"""Does the meter read what the server knows, and say what it may not see?"""

import asyncpg
import pytest
from contrib_server import FOUND, running
from support import eventually
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


SCHEMA = """
    CREATE SCHEMA audit;
    CREATE TABLE audit.head (origin text PRIMARY KEY, size bigint);
    CREATE TABLE audit.projection (name text PRIMARY KEY, size bigint);
    CREATE TABLE audit.entry (sequence bigint PRIMARY KEY);
    CREATE TABLE audit.event (sequence bigint PRIMARY KEY);
    INSERT INTO audit.event SELECT n FROM generate_series(1, 1000) n;
    INSERT INTO audit.head VALUES ('o', 0);
    CREATE SCHEMA "its modules";
"""
ORDER = """
    CREATE OR REPLACE FUNCTION public.ordered(a bigint, b bigint) RETURNS int IMMUTABLE LANGUAGE sql
    AS 'SELECT {sign} * CASE WHEN a < b THEN -1 WHEN a > b THEN 1 ELSE 0 END'
"""
OWN_ORDER = """
    CREATE OPERATOR CLASS public.own FOR TYPE bigint USING btree AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
    FUNCTION 1 public.ordered(bigint, bigint)
"""
INDEX = "CREATE INDEX in_own_order ON audit.event (sequence public.own)"


@pytest.fixture
async def contrib():
    """The administrator of a server that has pg_stat_statements and amcheck."""
    if not FOUND:
        pytest.skip("no Postgres with contrib modules in /usr/lib/postgresql")
    with running() as address:

        async def connected():
            try:
                return await asyncpg.connect(address)
            except (OSError, asyncpg.CannotConnectNowError):
                return None

        admin = await eventually(connected, "the server answers")
        await admin.execute(SCHEMA)
        yield admin
        await admin.close()


async def test_the_slowest_statement_is_known_where_pg_stat_statements_is_installed(contrib):
    meter = Meter("postgres", "o")
    before = await meter.whole(contrib)
    assert before.slowest_mean_ms is None
    assert "pg_stat_statements: not installed in this database" in before.lacking
    await contrib.execute('CREATE EXTENSION pg_stat_statements SCHEMA "its modules"')
    await contrib.execute('SELECT "its modules".pg_stat_statements_reset()')
    for _ in range(9):
        await contrib.execute("SELECT pg_sleep(0.02)")
    assert (await meter.whole(contrib)).slowest_mean_ms is None, "nine calls say little"
    await contrib.execute("SELECT pg_sleep(0.02)")
    found = await meter.whole(contrib)
    assert found.slowest_mean_ms >= 20
    assert not any("pg_stat_statements" in each for each in found.lacking)


async def test_a_damaged_index_is_found_where_amcheck_is_installed(contrib):
    meter = Meter("postgres", "o")
    await meter.check_indexes(contrib)
    before = await meter.whole(contrib)
    assert (before.indexes_checked, before.index_problem) == (None, None)
    assert any(each.startswith("amcheck: not installed") for each in before.lacking)
    await contrib.execute('CREATE EXTENSION amcheck SCHEMA "its modules"')
    await contrib.execute(ORDER.format(sign=1) + ";" + OWN_ORDER + ";" + INDEX)
    await meter.check_indexes(contrib)
    well = await meter.whole(contrib)
    assert (well.indexes_checked, well.index_problem) == (3, None)
    assert not any("amcheck" in each for each in well.lacking)
    assert await contrib.fetchval("SHOW statement_timeout") == "5s"
    await contrib.execute(ORDER.format(sign=-1))  # as a library that sorts differently would
    await meter.check_indexes(contrib)
    damaged = await meter.whole(contrib)
    assert damaged.index_problem.startswith("in_own_order: ")
    assert "in_own_order" in damaged.index_problem.partition(": ")[2]


async def test_who_may_not_ask_amcheck_knows_nothing_about_indexes(contrib):
    await contrib.execute('CREATE EXTENSION amcheck SCHEMA "its modules"; CREATE ROLE nobody')
    await contrib.execute('GRANT USAGE ON SCHEMA audit, "its modules" TO nobody; SET ROLE nobody')
    meter = Meter("postgres", "o")
    await meter.check_indexes(contrib)
    await contrib.execute("RESET ROLE")
    assert (await meter.whole(contrib)).indexes_checked is None
