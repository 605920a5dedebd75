"""Servers die, hang and come back while events are published: is any event lost or doubled?"""

import asyncio

import psutil
import pytest
from pipeline import Acknowledged, Site, assert_exactly_once, read_log, stream_state
from support import NatsHandle, Servers, eventually, make_home, remove_home, settings_for

from operations.adapters import stream

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def fragile():
    """Servers of this module alone, to be hurt."""
    home = make_home()
    running = Servers(settings_for(home))
    try:
        running.start()
        yield running
    finally:
        running.stop()
        remove_home(home)


@pytest.fixture
def site(fragile, tmp_path):
    database = fragile.new_database()
    yield Site(fragile.nats, database, tmp_path)
    fragile.drop_database(database)


async def kill_nats(servers: Servers):
    servers.nats.kill()
    await asyncio.to_thread(NatsHandle.start, servers.nats)


async def restart_nats(servers: Servers):
    await asyncio.to_thread(servers.nats.restart)


async def pause_nats(servers: Servers):
    servers.nats.pause()
    await asyncio.sleep(2)  # the outage itself: clients wait for answers meanwhile
    servers.nats.resume()


async def kill_postgres(servers: Servers):
    servers.postgres.kill()
    await asyncio.to_thread(servers.postgres.start)


async def restart_postgres(servers: Servers):
    await asyncio.to_thread(servers.postgres.restart)


async def pause_a_connection(servers: Servers):
    """The server process that serves the sealer hangs for a while."""
    found = psutil.Process(servers.postgres._process.pid).children()
    serving = [each for each in found if "mts_sealer" in " ".join(each.cmdline())]
    assert serving
    for process in serving:
        process.suspend()
        await asyncio.sleep(1)  # the outage itself
        process.resume()


OUTAGES = (
    kill_nats, restart_nats, pause_nats, kill_postgres, restart_postgres, pause_a_connection,
)  # fmt: skip


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.__name__)
async def test_every_acknowledged_event_is_in_the_log_once_after_an_outage(fragile, site, outage):
    async with site.working("audit", "checkpoint", "projection"):
        async with Acknowledged(fragile.nats) as publisher:
            await publisher.more(50)
            await site.sealed_to(1)
            await outage(fragile)
            await publisher.more(50)
        last = (await stream_state(fragile.nats))["last_seq"]
        await site.sealed_to(last)
        size = len(await read_log(site.database))
        newest = "SELECT max(size) FROM audit.checkpoint"

        async def signed() -> bool:
            return await site.fetchval(newest) == size

        await eventually(signed, f"size {size} is signed")

        async def projected() -> bool:
            return await site.fetchval("SELECT count(*) FROM audit.event") == size

        await eventually(projected, f"{size} entries are projected")
    await assert_exactly_once(site, publisher.events)


async def test_an_idle_sealer_notices_that_its_database_is_gone(fragile, site):
    async with site.working("audit") as (worker,):
        await eventually(lambda: worker.conditions.ready)
        fragile.postgres.stop()
        await eventually(lambda: not worker.conditions.ready, "it says so")
        fragile.postgres.start()
        await eventually(lambda: worker.conditions.ready, "it works again")


async def test_silence_of_the_bus_is_noticed(fragile, site, monkeypatch):
    monkeypatch.setattr(stream, "SILENCE_SECONDS", 1)
    async with site.working("audit") as (worker,):
        await eventually(lambda: worker.conditions.ready)
        fragile.nats.pause()
        await eventually(lambda: not worker.conditions.ready, "it says so")
        fragile.nats.resume()
        await eventually(lambda: worker.conditions.ready, "it works again")
