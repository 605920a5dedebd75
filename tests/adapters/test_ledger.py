"""Can the log only grow, by one writer, whoever tries what?"""

import asyncpg
import pytest
from audit_logs import CREATED_NS, ORIGIN, deliveries

from operations.adapters import credentials, ledger
from operations.adapters.ledger import SealerLedger, Superseded
from operations.audit import chain
from operations.audit.chain import Head
from operations.config import Postgres
from operations.errors import Corrupted, Retryable

pytestmark = pytest.mark.integration
GENESIS = chain.first_entry(ORIGIN, "key", "MTS", CREATED_NS)
TABLES = ("entry", "entry_000000", "head", "tile", "checkpoint", "edge")
# What each role may change; everything else must be refused.
ALLOWED = {
    "mts_sealer": {("INSERT", "entry"), ("INSERT", "head"), ("UPDATE", "head")},
    "mts_signer": {
        ("INSERT", "tile"), ("INSERT", "checkpoint"), ("INSERT", "edge"), ("UPDATE", "edge"),
    },
    "mts_projector": set(),
    "mts_reader": set(),
    "mts_notifier": set(),
    "mts_measurer": set(),
}  # fmt: skip


@pytest.fixture
async def sealed(database):
    """A log of 51 entries, its writer still connected."""
    connection = await database.connect("mts_sealer")
    log = SealerLedger(connection, ORIGIN)
    assert await log.take_over() is None
    await log.create(GENESIS)
    made = chain.seal(GENESIS.head, deliveries(50))
    await log.append(GENESIS.head, made)
    yield log, made.head
    await connection.close()


async def refused(connection: asyncpg.Connection, statement: str) -> bool:
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return True
    return False


def statements(table: str) -> dict[str, str]:
    column = {"head": "fence", "tile": "level", "edge": "level", "checkpoint": "note"}
    name = column.get(table, "hash")
    return {
        "INSERT": f"INSERT INTO audit.{table} SELECT * FROM audit.{table} LIMIT 0",
        "UPDATE": f"UPDATE audit.{table} SET {name} = {name} WHERE false",
        "DELETE": f"DELETE FROM audit.{table} WHERE false",
        "TRUNCATE": f"TRUNCATE audit.{table}",
    }


@pytest.mark.parametrize("role", credentials.LOGIN_ROLES)
async def test_a_role_may_do_what_it_needs_and_nothing_else(database, sealed, role):
    connection = await database.connect(role)
    for table in TABLES:
        for verb, statement in statements(table).items():
            may = (verb, table) in ALLOWED[role]
            assert await refused(connection, statement) is not may, (role, verb, table)
    assert await refused(connection, "SET session_replication_role = replica")
    assert await refused(connection, "ALTER TABLE audit.entry DISABLE TRIGGER ALL")
    assert await refused(connection, "DROP TABLE audit.entry_000000")
    may_partition = role == "mts_sealer"
    assert await refused(connection, "SELECT audit.ensure_partition(0)") is not may_partition
    await connection.close()


@pytest.mark.parametrize("mode", ["origin", "replica"])
@pytest.mark.parametrize("role", [credentials.OWNER, ""], ids=["owner", "superuser"])
async def test_not_even_the_owner_changes_the_log_by_accident(database, sealed, role, mode):
    connection = await database.connect()
    await connection.execute(f"SET session_replication_role = {mode}")
    if role:
        await connection.execute(f"SET ROLE {role}")
    await connection.execute("SELECT audit.ensure_partition(4194304 * 5)")
    partitions = [f"entry_{number:06}" for number in range(8)]
    for table in ("entry", *partitions, "tile", "checkpoint"):
        for verb in ("UPDATE", "DELETE", "TRUNCATE"):
            if await connection.fetchval("SELECT to_regclass($1) IS NULL", f"audit.{table}"):
                continue
            assert await refused(connection, statements(table)[verb]), (table, verb)
    for verb in ("DELETE", "TRUNCATE"):
        assert await refused(connection, statements("head")[verb])
    for change in ("size = size - 1", "fence = fence - 1", "hash = sha256(hash)", "origin = 'x'"):
        assert await refused(connection, f"UPDATE audit.head SET {change}"), change
    await connection.close()


async def test_partitions_are_made_ahead_and_none_is_left_without_its_triggers(database):
    connection = await database.connect("mts_sealer")
    for size in (0, 1, ledger.PARTITION - 1, ledger.PARTITION, 7 * ledger.PARTITION):
        await connection.execute("SELECT audit.ensure_partition($1)", size)
    rows = await connection.fetch(
        "SELECT c.relname, count(t.oid) AS triggers FROM pg_inherits i "
        "JOIN pg_class c ON c.oid = i.inhrelid LEFT JOIN pg_trigger t ON t.tgrelid = c.oid "
        "AND t.tgname = 'append_only' AND t.tgenabled = 'A' "
        "WHERE i.inhparent = 'audit.entry'::regclass GROUP BY 1"
    )
    numbers = (0, 1, 2, 3, 7, 8, 9)
    assert {row["relname"]: row["triggers"] for row in rows} == {
        f"entry_{number:06}": 1 for number in numbers
    }
    await connection.close()


async def test_a_batch_across_a_boundary_of_partitions_is_written(database):
    connection = await database.connect("mts_sealer")
    before = Head(ledger.PARTITION - 5, bytes(32), 7, CREATED_NS)
    await connection.execute("INSERT INTO audit.head VALUES ($1, 0, $2, $3, $4, $5)", ORIGIN,
                             *before)  # fmt: skip
    log = SealerLedger(connection, ORIGIN)
    assert await log.take_over() == before
    made = chain.seal(before, deliveries(20, first=8))
    await log.append(before, made)
    again = chain.seal(made.head, deliveries(20, first=28))
    await log.append(made.head, again)
    admin = await database.connect()
    counts = [
        await admin.fetchval(f"SELECT count(*) FROM audit.entry_{number:06}") for number in range(2)
    ]
    await admin.close()
    assert counts == [5, 35]
    await connection.close()


async def test_a_stale_writer_writes_nothing(database, sealed):
    log, top = sealed
    thief = await database.connect()
    await thief.execute("UPDATE audit.head SET fence = fence + 1")
    with pytest.raises(Superseded, match="moved the log on"):
        await log.append(top, chain.seal(top, deliveries(5, first=51)))
    assert await thief.fetchval("SELECT count(*) FROM audit.entry") == top.size
    await thief.close()


async def test_a_log_is_created_once(database, sealed):
    other = await database.connect("mts_sealer")
    with pytest.raises(Superseded, match="just created"):
        await SealerLedger(other, ORIGIN).create(GENESIS)
    await other.close()


async def test_a_sealer_in_another_database_is_left_alone(servers, database, sealed, monkeypatch):
    monkeypatch.setattr(ledger, "STANDBY_SECONDS", 1)
    log, top = sealed
    elsewhere = servers.new_database()
    first = await elsewhere.connect("mts_sealer")
    await SealerLedger(first, ORIGIN).take_over()
    second = await elsewhere.connect("mts_sealer")
    with pytest.raises(Superseded, match="did not move"):
        await SealerLedger(second, ORIGIN).take_over()
    log.require_connected()
    await log.append(top, chain.seal(top, deliveries(5, first=51)))
    await second.close()
    await first.close()
    servers.drop_database(elsewhere)


async def test_entries_beyond_the_head_are_never_written_over(database, sealed):
    log, top = sealed
    connection = await database.connect()
    await connection.execute("INSERT INTO audit.entry VALUES ($1, 'x', $2)", top.size, bytes(32))
    with pytest.raises(Corrupted, match=f"entries from sequence {top.size} on"):
        await log.append(top, chain.seal(top, deliveries(5, first=51)))
    await connection.close()


async def test_a_head_without_its_last_entry_is_not_continued(database, sealed):
    _, top = sealed
    connection = await database.connect()
    with pytest.raises(Corrupted, match=f"entry {top.size + 4} is missing"):
        await ledger.tail(connection, top._replace(size=top.size + 5))
    await connection.close()


async def test_a_database_that_does_not_answer_is_tried_again_later(database):
    for dsn in ("postgres://mts_sealer:guess@" + database.admin_dsn.rpartition("@")[2],
                "postgres://x@127.0.0.1:1/none", "nonsense"):  # fmt: skip
        with pytest.raises(Retryable, match="cannot connect to Postgres"):
            async with ledger.connection(Postgres(dsn=dsn), "test"):
                pass
