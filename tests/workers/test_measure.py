"""Does a measuring process say what is, once each, and do only what it may?"""

import asyncio
import contextlib
from functools import partial

import asyncpg
import msgspec
import pytest
from halting import Firm, envelope, in_this_loop, ready
from http_stub import Stub
from support import eventually
from worn_tables import worn

from operations.adapters import stored
from operations.config import Measure, Postgres
from operations.events import subjects
from operations.events.base import encode
from operations.events.findings import Finding, FindingRaised, Parameter
from operations.events.registry import (
    Service,
    ServiceDeregistered,
    ServiceLeaving,
    ServiceRegistered,
)
from workers import measure

pytestmark = pytest.mark.integration
POLLED = "mts.v1.operations.service.polled"
MEASURED = "mts.v1.operations.database.measured"
MAINTAINED = "mts.v1.operations.database.maintained"


class Plant:
    """A firm with a database, whose services and tables are measured."""

    def __init__(self, firm, database, **settings):
        self.firm, self.database = firm, database
        quick = {"database_seconds": 0.3, "statement_seconds": 0.1} | settings
        self.settings = msgspec.structs.replace(
            firm.settings("measure"),
            postgres=Postgres(dsn=database.dsn("mts_measurer"), database=database.name),
            measure=Measure(**quick),
        )

    @contextlib.asynccontextmanager
    async def measured(self):
        async with in_this_loop("measure", self.settings, measure.run) as worker:
            await ready(worker)
            yield worker

    async def register(self, name, url, **more):
        data = Service(name=name, healthz_url=url, **({"poll_seconds": 1.0} | more))
        await self.publish(ServiceRegistered(**envelope(name), data=data))

    async def publish(self, event):
        client = await self.firm.nats.connect("publisher")
        try:
            await client.jetstream().publish(event.subject, encode(event))
        finally:
            await client.close()

    async def said(self, subject):
        async with self.firm.connected("operator") as person:
            found = stored.following(person.client, "MTS", subject, 1)
            return [subjects.decode(each.subject, each.payload) async for each in found]

    async def says(self, subject, check):
        async def there():
            return [each for each in await self.said(subject) if check(each.data)]

        return await eventually(there, f"{subject} says it")


@pytest.fixture
def plant(nats_server, database):
    return Plant(Firm(nats_server), database)


async def test_a_service_is_polled_and_every_failure_and_change_is_said(plant):
    async with Stub() as stub:
        await plant.register("pricing", stub.url)
        async with plant.measured():
            good = await plant.says(POLLED, lambda poll: poll.healthy)
            assert (good[0].data.status, good[0].data.service) == (200, "pricing")
            assert 0 < good[0].data.latency_ms < 60_000
            assert good[0].actor == "measure"
            stub.answer = b"HTTP/1.1 503 Busy\r\n\r\n"
            red = await plant.says(POLLED, lambda poll: poll.consecutive_failures == 2)
            assert red[0].data.reason == "answers 503"
            stub.answer = b"HTTP/1.1 200 OK\r\n\r\n"
            await plant.says(POLLED, lambda poll: poll.healthy and poll.status == 200)
        assert all(request.startswith(b"GET /healthz HTTP/1.1\r\n") for request in stub.requests)


async def test_nobody_can_aim_it_at_an_address_that_is_not_allowed(nats_server, database):
    async with Stub() as secret, Stub() as allowed:
        plant = Plant(Firm(nats_server), database, allowed=f"127.0.0.1:{allowed.port}")
        await plant.register("thief", secret.url)
        await plant.register("honest", allowed.url)
        async with in_this_loop("measure", plant.settings, measure.run) as worker:
            await plant.says(POLLED, lambda poll: poll.service == "honest")
            await eventually(lambda: "not among" in worker.conditions.get("worker").detail)
            assert not worker.conditions.ready
        assert secret.requests == []


async def test_a_service_that_moves_or_leaves_is_polled_there_or_no_more(plant):
    async with Stub() as before, Stub() as after:
        await plant.register("pricing", before.url)
        async with plant.measured():
            await plant.says(POLLED, lambda poll: poll.healthy)
            await plant.register("pricing", after.url)
            await eventually(lambda: after.requests)
            old = len(before.requests)
            leaving = ServiceLeaving(name="pricing", reason="retired")
            await plant.publish(ServiceDeregistered(**envelope("pricing"), data=leaving))
            await plant.register("other", before.url)
            await eventually(lambda: len(before.requests) >= old + 2)
            new = len(after.requests)
            await eventually(lambda: len(before.requests) >= old + 4)
            assert len(after.requests) <= new + 1


async def test_the_database_is_measured_as_it_is(plant):
    admin = await plant.database.connect()
    origin = plant.settings.audit.origin
    await admin.execute("ALTER TABLE audit.event SET (autovacuum_enabled = false)")
    await fill(admin, origin, 3000)
    async with plant.measured() as worker:
        whole = await plant.says(MEASURED, lambda data: data.compared_from == 2000)
        assert whole[0].data.log_entries == whole[0].data.projected_entries == 3000
        counted = whole[0].data
        assert counted.entries_found == counted.rows_found == counted.compared_entries == 1000
        assert any(each.startswith("pg_stat_statements:") for each in counted.lacking)
        assert any(each.startswith("amcheck:") for each in counted.lacking)
        assert worker.conditions.ready
        await admin.execute("DELETE FROM audit.event WHERE sequence = 1234")
        differs = await plant.says(MEASURED, lambda data: data.rows_found == 1999)
        assert (differs[0].data.compared_from, differs[0].data.entries_found) == (0, 2000)
        await admin.execute("DELETE FROM audit.event WHERE sequence > 2500")
        table = await plant.says(MEASURED, lambda data: (data.dead_rows or 0) >= 500)
        assert table[0].data.table == "audit.event"
        assert 50 <= table[0].data.vacuum_due_rows <= 650
    await admin.close()


async def fill(admin, origin, count):
    """Entries and their rows, as far as they are counted."""
    await admin.execute(
        "INSERT INTO audit.entry SELECT n, 'x'::bytea, sha256(n::text::bytea) "
        "FROM generate_series(0, $1::int - 1) n", count,
    )  # fmt: skip
    await admin.execute(
        "INSERT INTO audit.event (sequence, stream_sequence, time_ns, subject, actor, action, "
        "subject_id) SELECT n, n, n, 's', 'a', 'a', 's' FROM generate_series(0, $1::int - 1) n",
        count,
    )
    await admin.execute(
        "INSERT INTO audit.head VALUES ($1, 1, $2, sha256('x'), $2, 1)", origin, count
    )
    await admin.execute("INSERT INTO audit.projection VALUES ('event', $1)", count)
    await admin.execute("ANALYZE audit.event")


async def test_a_statement_that_runs_is_seen_with_who_runs_it_and_so_is_its_end(plant):
    admin = await plant.database.connect()
    async with plant.measured():
        running = asyncio.create_task(admin.execute("SELECT pg_sleep(60)"))
        found = await plant.says(MEASURED, lambda data: (data.longest_statement_ms or 0) > 1500)
        assert "mts_admin" in found[0].data.longest_statement_by
        killer = await plant.database.connect()
        await killer.execute(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' "
            "AND pid <> pg_backend_pid()"
        )
        await killer.close()
        with contextlib.suppress(asyncpg.QueryCanceledError):
            await running
        count = len(await plant.said(MEASURED))

        async def over():
            newer = (await plant.said(MEASURED))[count:]
            whole = [each.data for each in newer if not each.data.table]
            return whole and whole[-1].longest_statement_ms is None

        await eventually(over)
    await admin.close()


async def test_a_database_that_is_away_is_said_and_services_are_polled_on(nats_server, database):
    plant = Plant(Firm(nats_server), database)
    gone = msgspec.structs.replace(
        plant.settings.postgres, dsn=f"postgres://mts_measurer:x@127.0.0.1:9/{database.name}"
    )
    plant.settings = msgspec.structs.replace(plant.settings, postgres=gone)
    async with Stub() as stub:
        await plant.register("pricing", stub.url)
        async with in_this_loop("measure", plant.settings, measure.run) as worker:
            away = await plant.says(MEASURED, lambda data: not data.reachable)
            assert "127.0.0.1" in away[0].data.lacking[0]
            assert "x@" not in away[0].data.lacking[0]
            await plant.says(POLLED, lambda poll: poll.healthy)
            await eventually(lambda: not worker.conditions.get("database").ok)


def asked(episode, table="audit.event", mode="act", **more):
    data = Finding(
        check="db_watchdog", episode=episode, severity="warning", title="dead rows",
        looked_at="2026-01-05T00:00:00Z", rule_version="1", mode=mode,
        parameters=(Parameter(name="vacuum_table", value=table),),
    )  # fmt: skip
    return FindingRaised(**envelope("mts audit.event", **more), data=data)


async def send(plant, event, key="service-watchdogs"):
    async with plant.firm.connected("watchdogs") as watchdogs:
        await watchdogs.send(event, key)


async def last_vacuum(plant):
    connection = await plant.database.connect()
    try:
        return await connection.fetchrow(
            "SELECT vacuum_count, analyze_count FROM pg_stat_user_tables WHERE relname = 'event'"
        )
    finally:
        await connection.close()


async def test_a_table_that_is_locked_is_said_with_who_holds_it_and_the_database_answers(plant):
    admin = await plant.database.connect()
    holder = await admin.fetchval("SELECT pg_backend_pid()")
    async with plant.measured() as worker:
        async with admin.transaction():
            await admin.execute("LOCK TABLE audit.event IN ACCESS EXCLUSIVE MODE")
            (found, *_) = await plant.says(MEASURED, lambda each: each.locked)
            assert found.data.locked.startswith(f"audit.event by process {holder}, ")
            assert found.data.reachable
            assert found.data.log_entries is None
            assert worker.conditions.get("database").ok
        before = len(await plant.said(MEASURED))

        async def free() -> bool:
            said = (await plant.said(MEASURED))[before:]
            return any(each.data.locked == "" for each in said)

        await eventually(free, "it is said that nothing is locked")
        assert all(each.data.reachable for each in await plant.said(MEASURED))
    await admin.close()


async def test_a_signed_finding_vacuums_its_table_once_also_after_a_restart(plant):
    for table in ("audit.event", "audit.projection"):
        await worn(plant.database, table)
    await send(plant, asked("e-1"))
    async with plant.measured():
        found = await plant.says(MAINTAINED, lambda data: data.episode == "e-1")
        assert (found[0].data.done, found[0].data.reason) == (True, None)
        assert found[0].data.statement == "VACUUM (ANALYZE) audit.event"
        assert found[0].correlation_id == "e-1"
    async with plant.measured():
        await send(plant, asked("e-1"))
        await send(plant, asked("e-2", table="audit.projection"))
        await plant.says(MAINTAINED, lambda data: data.episode == "e-2")
    assert [each.data.episode for each in await plant.said(MAINTAINED)] == ["e-1", "e-2"]
    await eventually(partial(vacuumed, plant, (1, 1)))


async def vacuumed(plant, counts):
    return tuple(await last_vacuum(plant)) == counts


async def test_who_may_not_ask_for_a_vacuum_gets_none(plant):
    async with plant.measured() as worker:
        await send(plant, asked("forged"), key="service-limits")
        await send(plant, asked("head", table="audit.head"))
        await send(plant, asked("only-looking", mode="observe"))
        await send(plant, asked("a-canary", environment="canary"))
        await send(plant, asked("real", table="audit.projection"))
        await plant.says(MAINTAINED, lambda data: data.episode == "real")
        assert "1 messages refused" in worker.conditions.get("worker").detail
    assert [each.data.episode for each in await plant.said(MAINTAINED)] == ["real"]


async def test_a_table_that_somebody_holds_is_left_alone_and_that_is_said(plant):
    await worn(plant.database, "audit.event")
    holder = await plant.database.connect()
    await holder.execute("SET idle_in_transaction_session_timeout = 0")
    async with plant.measured(), holder.transaction():
        await holder.execute("LOCK TABLE audit.event IN ACCESS EXCLUSIVE MODE")
        await send(plant, asked("e-1"))
        found = await plant.says(MAINTAINED, lambda data: data.episode == "e-1")
        assert not found[0].data.done
        assert "lock timeout" in found[0].data.reason
    await holder.close()


async def test_its_role_reads_no_event_and_may_vacuum_the_read_model_alone(plant):
    connection = await plant.database.connect("mts_measurer")
    for statement in (
        "SELECT entry FROM audit.entry",
        "SELECT data FROM audit.event",
        "SELECT * FROM audit.head",
        "DELETE FROM audit.event",
        "LOCK TABLE audit.head IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE audit.entry IN ACCESS EXCLUSIVE MODE",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with connection.transaction():
                await connection.execute(statement)
    await connection.close()
