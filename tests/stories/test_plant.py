"""Do watchdogs see what really happens to services and to the database, and does it end?"""

import asyncio
import contextlib
from functools import partial

import asyncpg
import msgspec
import pytest
from halting import Firm, envelope
from http_stub import Stub
from support import eventually
from watched_firm import act, watched, working

from operations.config import Measure, Postgres
from operations.events.base import encode
from operations.events.registry import Service, ServiceRegistered
from workers import measure

pytestmark = pytest.mark.integration
SERVICES = "mts.v1.operations.finding.dependency_watchdog.*"
DATABASES = "mts.v1.operations.finding.db_watchdog.*"


@contextlib.asynccontextmanager
async def measured(firm, database):
    settings = msgspec.structs.replace(
        firm.settings("measure"),
        postgres=Postgres(dsn=database.dsn("mts_measurer"), database=database.name),
        measure=Measure(database_seconds=0.5, statement_seconds=0.2),
    )
    async with working("measure", settings, measure.run) as worker:
        yield worker


async def register(firm, name, url):
    data = Service(name=name, healthz_url=url, poll_seconds=1.0, criticality="critical")
    event = ServiceRegistered(**envelope(name), data=data)
    client = await firm.nats.connect("publisher")
    await client.jetstream().publish(event.subject, encode(event))
    await client.close()


async def said(firm, subject, unit):
    found = await firm.stored(subject)
    return [each.subject.rpartition(".")[2] for each in found if each.subject_id == unit]


async def holds(firm, subject, unit, *verbs):
    async def there():
        return await said(firm, subject, unit) == [*verbs]

    await eventually(there, f"{unit}: {verbs}")


async def test_a_dead_dependency_alerts_after_three_polls_and_recovers(nats_server, database):
    firm = Firm(nats_server)
    async with Stub() as pricing, Stub() as risk:
        await register(firm, "pricing", pricing.url)
        await register(firm, "risk", risk.url)
        async with watched(firm), measured(firm, database):
            await eventually(lambda: pricing.requests and risk.requests)
            pricing.answer = b"HTTP/1.1 500 Broken\r\n\r\n"
            await holds(firm, SERVICES, "pricing", "raised")
            raised = (await firm.stored(SERVICES))[0]
            assert raised.data.title == ("pricing is down, 3 failed polls in a row: answers 500")
            assert raised.data.severity == "critical"
            pricing.answer = b"HTTP/1.1 200 OK\r\n\r\n"
            await holds(firm, SERVICES, "pricing", "raised", "cleared")
        assert await said(firm, SERVICES, "risk") == []


async def test_a_real_table_with_dead_rows_is_vacuumed_once(nats_server, database):
    firm = Firm(nats_server)
    await act(firm, "db_watchdog")
    admin = await database.connect()
    await admin.execute("ALTER TABLE audit.event SET (autovacuum_enabled = false)")
    await admin.execute(
        "INSERT INTO audit.event (sequence, stream_sequence, time_ns, subject, actor, action, "
        "subject_id) SELECT n, n, n, 's', 'a', 'a', 's' FROM generate_series(1, 3000) n"
    )
    await admin.execute("DELETE FROM audit.event")
    unit = f"{database.name} audit.event"
    async with watched(firm), measured(firm, database):
        await holds(firm, DATABASES, unit, "raised", "cleared")
        done = await firm.stored("mts.v1.operations.database.maintained")
        assert [(each.data.statement, each.data.done) for each in done] == [
            ("VACUUM (ANALYZE) audit.event", True)
        ]
    query = "SELECT vacuum_count, n_dead_tup FROM pg_stat_user_tables WHERE relname = 'event'"
    assert tuple(await admin.fetchrow(query)) == (1, 0)
    await admin.close()


async def test_a_statement_that_runs_for_more_than_five_seconds_is_found_and_its_end_too(
    nats_server, database
):
    firm = Firm(nats_server)
    admin = await database.connect()
    async with watched(firm), measured(firm, database):
        process = await admin.fetchval("SELECT pg_backend_pid()")
        running = asyncio.create_task(admin.execute("SELECT pg_sleep(3600)"))
        await holds(firm, DATABASES, f"{database.name} statements", "raised")
        found = (await firm.stored(DATABASES))[0].data
        assert found.statistic > 5000
        assert "mts_admin" in found.title
        killer = await database.connect()
        await killer.execute("SELECT pg_cancel_backend($1)", process)
        await killer.close()
        with contextlib.suppress(asyncpg.QueryCanceledError):
            await running
        await holds(firm, DATABASES, f"{database.name} statements", "raised", "cleared")
    await admin.close()


async def test_a_row_that_is_gone_from_the_read_model_is_found(nats_server, database):
    firm = Firm(nats_server)
    admin = await database.connect()
    origin = firm.base.audit.origin
    await admin.execute(
        "INSERT INTO audit.entry SELECT n, 'x', sha256('x') FROM generate_series(0, 99) n"
    )
    await admin.execute(
        "INSERT INTO audit.event (sequence, stream_sequence, time_ns, subject, actor, action, "
        "subject_id) SELECT n, n, n, 's', 'a', 'a', 's' FROM generate_series(0, 99) n"
    )
    await admin.execute("INSERT INTO audit.head VALUES ($1, 1, 100, sha256('x'), 100, 1)", origin)
    await admin.execute("INSERT INTO audit.projection VALUES ('event', 100)")
    unit = f"{database.name} log and read model"
    async with watched(firm), measured(firm, database):
        await admin.execute("DELETE FROM audit.event WHERE sequence = 42")
        await holds(firm, DATABASES, unit, "raised")
        await admin.execute(
            "INSERT INTO audit.event (sequence, stream_sequence, time_ns, subject, actor, action, "
            "subject_id) VALUES (42, 42, 42, 's', 'a', 'a', 's')"
        )
        await eventually(partial(cleared, firm, unit))
    await admin.close()


async def cleared(firm, unit):
    return await said(firm, DATABASES, unit) == ["raised", "cleared"]
