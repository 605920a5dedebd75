"""A measuring process that is killed: is anything lost that nobody notices, or done twice?"""

import asyncio
from collections.abc import AsyncIterator

import pytest
from halting import envelope
from http_stub import Stub
from support import Database, NatsHandle, eventually
from watched_floor import WatchedFloor
from worn_tables import worn

from operations.checks import Stored
from operations.clock import now_ns
from operations.config import Measure, Postgres
from operations.events.findings import Finding, FindingRaised, Parameter
from operations.events.operations import DatabaseMaintained, DatabaseMeasured, ServicePolled
from operations.events.registry import Service, ServiceRegistered
from operations.watchdogs.polled import Polls

pytestmark = pytest.mark.integration
TABLE = "audit.event"
VACUUMS = "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'event'"
RUNNING = "SELECT count(*) FROM pg_stat_progress_vacuum WHERE datname = current_database()"


class Plant(WatchedFloor):
    """A floor with a database that is measured by a process of its own."""

    def __init__(self, nats: NatsHandle, database: Database) -> None:
        super().__init__(nats)
        self.database = database

    def start_measuring(self, *crash: object) -> None:
        self.start(
            "measure", *crash,
            measure=Measure(database_seconds=0.3, statement_seconds=0.1),
            postgres=Postgres(dsn=self.database.dsn("mts_measurer"), database=self.database.name),
        )  # fmt: skip

    async def fetchval(self, query: str) -> int:
        admin = await self.database.connect()
        try:
            return int(await admin.fetchval(query) or 0)
        finally:
            await admin.close()

    async def ask_for_a_vacuum(self) -> None:
        """Say what the database watchdog says of a table with dead rows."""
        data = Finding(
            check="db_watchdog", episode="e-1", severity="warning", title="dead rows",
            looked_at="2026-01-05T00:00:00Z", rule_version="1", mode="act",
            parameters=(Parameter(name="vacuum_table", value=TABLE),),
        )  # fmt: skip
        async with self.firm.connected("watchdogs") as watchdogs:
            finding = FindingRaised(**envelope(f"mts {TABLE}"), data=data)
            await watchdogs.send(finding, "service-watchdogs")


@pytest.fixture
async def plant(nats_server: NatsHandle, database: Database) -> AsyncIterator[Plant]:
    one = Plant(nats_server, database)
    try:
        yield one
    finally:
        await asyncio.to_thread(one.end)


@pytest.mark.parametrize(("step", "unsaid"), [("polled", 1), ("poll said", 0)])
async def test_killed_around_a_poll_the_failures_still_count_in_a_row_and_none_counts_twice(
    plant, step, unsaid
):
    async with Stub() as stub:
        stub.answer = b"HTTP/1.1 503 Busy\r\n\r\n"
        service = Service(name="pricing", healthz_url=stub.url, poll_seconds=1.0)
        await plant.publish(ServiceRegistered(**envelope("pricing"), data=service))
        plant.start_measuring(step, 2, "KILL")
        await plant.died("measure")
        assert len(await plant.of(ServicePolled)) == len(stub.requests) - unsaid == 2 - unsaid
        plant.start_measuring()
        said = await plant.said(ServicePolled, 4)
        plant.kill("measure")
        assert len(said) <= len(stub.requests) - unsaid
    assert len({each.event_id for each in said}) == len(said)
    rows = Polls().take([Stored(each, n, now_ns()) for n, each in enumerate(said, start=1)])
    reds = [row[5] for row in rows]
    assert reds == list(range(1, len(said) + 1))


@pytest.mark.parametrize("step", ["measured", "measurement said"])
async def test_killed_around_a_measurement_it_measures_again_at_once_under_a_new_id(plant, step):
    plant.start_measuring(step, 1, "KILL")
    await plant.died("measure")
    before = await plant.of(DatabaseMeasured)
    assert len(before) == (step == "measurement said")
    plant.start_measuring()
    whole = await plant.said(DatabaseMeasured, 1 + len(before), table="")
    assert len({each.event_id for each in whole}) == len(whole)


@pytest.mark.parametrize("step", ["vacuumed", "vacuum said"])
async def test_killed_after_a_vacuum_it_says_so_once_and_runs_no_second_one(plant, step):
    await worn(plant.database, TABLE)
    await plant.ask_for_a_vacuum()
    plant.start_measuring(step, 1, "KILL")
    await plant.died("measure")
    plant.start_measuring()
    await plant.is_ready("measure")
    (done,) = await plant.said(DatabaseMaintained)
    assert done.data.done
    assert done.correlation_id == "e-1"
    if step == "vacuumed":
        assert done.data.statement == ""
        assert done.data.reason.startswith("not needed any more: 0 dead rows")
    plant.restart("measure")
    await plant.is_ready("measure")
    await plant.said(DatabaseMeasured, 1 + len(await plant.of(DatabaseMeasured)))
    assert await plant.of(DatabaseMaintained) == [done]
    assert await plant.fetchval(VACUUMS) == 1


async def test_killed_while_a_vacuum_runs_the_next_one_waits_for_it_and_says_that_it_is_done(plant):
    slow = ("vacuum_cost_delay = '40ms'", "vacuum_cost_limit = 1")
    goes_on = "client_connection_check_interval = 0"  # as where the server is somebody else's
    for setting in (*slow, goes_on):
        name = plant.database.name
        await plant.fetchval(f"ALTER ROLE mts_measurer IN DATABASE {name} SET {setting}")
    await worn(plant.database, TABLE, 2000)  # some seconds at this speed
    await plant.ask_for_a_vacuum()
    plant.start_measuring()

    async def runs() -> bool:
        return await plant.fetchval(RUNNING) == 1

    await eventually(runs, "the vacuum runs")
    plant.kill("measure")
    plant.start_measuring()
    (done,) = await plant.said(DatabaseMaintained)
    assert (done.data.done, done.data.statement) == (True, "")
    assert await plant.fetchval(VACUUMS) == 1
