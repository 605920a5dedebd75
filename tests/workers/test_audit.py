"""Is every acknowledged event in the log exactly once, whatever is killed or paused when?"""

import pytest
from pipeline import (
    Acknowledged,
    SealerProcess,
    Site,
    assert_exactly_once,
    fill,
    orders,
    read_log,
    tree_root,
)
from support import NatsHandle, eventually, make_home, remove_home, run_blocking, settings_for

from operations.adapters import ledger, sealer

pytestmark = pytest.mark.integration

STEPS = (
    "taken over", "read", "linked", "begun",
    "head updated", "entries copied", "committed", "acknowledged",
)  # fmt: skip
CRASHES = [
    (step, count) for step in STEPS for count in (1, 2) if (step, count) != ("taken over", 2)
]
MESSAGES = orders(6000)


@pytest.fixture(scope="module")
def filled_nats():
    """A stream of events that many logs are made from, one after the other."""
    home = make_home()
    server = NatsHandle(settings_for(home))
    try:
        server.start()
        run_blocking(fill(server, MESSAGES))
        yield server
    finally:
        server.stop()
        remove_home(home)


@pytest.fixture
def site(filled_nats, database, tmp_path):
    return Site(filled_nats, database, tmp_path)


async def assert_whole(site: Site) -> bytes:
    """The log is the stream, whole; return its root."""
    entries = await read_log(site.database)
    assert entries[0].subject == b"audit.genesis"
    assert [each.message for each in entries[1:]] == MESSAGES
    assert [each.stream_sequence for each in entries] == list(range(len(MESSAGES) + 1))
    return tree_root(entries)


@pytest.mark.parametrize(("step", "count"), CRASHES)
async def test_a_sealer_killed_at_any_step_loses_and_doubles_nothing(site, step, count):
    process = SealerProcess(site, step, count, "KILL")
    try:
        await process.died()
    finally:
        process.end()
    before = await read_log(site.database)
    after = await site.seal_everything()
    assert after[: len(before)] == before
    await assert_whole(site)


async def two_are_connected(site: Site) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name = $2"
    return await site.fetchval(query, site.database.name, "mts-audit") == 2


@pytest.mark.parametrize("step", STEPS)
async def test_a_paused_sealer_is_replaced_and_changes_nothing_when_it_wakes(
    site, step, monkeypatch
):
    monkeypatch.setattr(ledger, "STANDBY_SECONDS", 1)
    process = SealerProcess(site, step, 2 if step in ("read", "linked") else 1, "STOP")
    try:
        await process.paused()
        async with site.working("audit"):
            await site.sealed_to(len(MESSAGES))
            sealed = await read_log(site.database)
            process.resume()
            await eventually(lambda: two_are_connected(site), "it connects anew")
        await assert_whole(site)
    finally:
        process.end()
    assert await read_log(site.database) == sealed


async def test_the_same_stream_gives_the_same_root_whatever_the_batches(
    site, servers, tmp_path, monkeypatch
):
    process = SealerProcess(site, "entries copied", 1, "KILL")
    try:
        await process.died()
    finally:
        process.end()
    await site.seal_everything()
    other = Site(site.nats, servers.new_database(), tmp_path)
    monkeypatch.setattr(sealer, "SLICE", 7)
    monkeypatch.setattr(sealer, "LARGEST_BATCH", 100)
    await other.seal_everything()
    assert await assert_whole(other) == await assert_whole(site)
    assert await read_log(other.database) == await read_log(site.database)
    servers.drop_database(other.database)


async def test_of_two_sealers_one_works_and_the_other_takes_over_when_it_stops(
    nats_server, database, tmp_path, monkeypatch
):
    monkeypatch.setattr(ledger, "STANDBY_SECONDS", 1)
    site = Site(nats_server, database, tmp_path)
    async with Acknowledged(nats_server) as publisher, site.working("audit") as (first,):
        await eventually(lambda: first.conditions.ready)
        async with site.working("audit") as (second,):
            await eventually(lambda: stands_by(second), "it stands by")
            assert first.conditions.ready
            first.stopping.set()
            await eventually(lambda: second.conditions.ready, "it takes over")
            await publisher.more(10)
            await site.sealed_to(max(publisher.events))
    await site.seal_everything()
    await assert_exactly_once(site, publisher.events)


async def test_a_sealer_with_nothing_to_do_keeps_its_log_while_another_stands_by(
    nats_server, database, tmp_path, monkeypatch
):
    monkeypatch.setattr(ledger, "STANDBY_SECONDS", 3)
    site = Site(nats_server, database, tmp_path)
    async with site.working("audit") as (first,):
        await eventually(lambda: first.conditions.ready)
        since_ns = first.conditions.get("worker").since_ns
        async with site.working("audit") as (second,):
            await eventually(lambda: stands_by(second), "it stands by")
        assert first.conditions.ready
        assert first.conditions.get("worker").since_ns == since_ns


def stands_by(worker) -> bool:
    condition = worker.conditions.get("worker")
    return condition is not None and "standing by" in condition.detail
