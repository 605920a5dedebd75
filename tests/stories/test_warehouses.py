"""Can the private tables of two watchdog processes be compared, and is one that differs found?"""

import asyncio
from collections.abc import AsyncIterator

import duckdb
import pytest
from support import NatsHandle, eventually
from volatile_fund import CALM, history
from watched_floor import WatchedFloor

from operations import watchdogs
from operations.adapters import stored
from operations.clock import NANOSECONDS, new_event_id, now_ns, rfc3339
from operations.config import Watch
from operations.events.findings import FindingCleared, FindingRaised
from operations.events.operations import ClockTicked, Tick, WarehouseMeasured
from operations.watchdogs.db_watchdog import NAME

pytestmark = pytest.mark.integration
TEN_MINUTES_NS = 600 * NANOSECONDS
TABLES = {table.name for watchdog in watchdogs.ALL for table in watchdog.tables}
FIRST, SECOND = "watchdogs-1", "watchdogs-2"


@pytest.fixture
async def floor(nats_server: NatsHandle) -> AsyncIterator[WatchedFloor]:
    """Two watchdog processes that save what they hold after every batch."""
    one = WatchedFloor(nats_server)
    try:
        await one.act(NAME)
        await one.publish(*history([CALM] * 40))
        for number, name in enumerate((FIRST, SECOND), start=1):
            watch = Watch(instance=number, snapshot_seconds=0.0)
            one.start("watchdogs", called=name, watch=watch)
        await one.is_ready(FIRST, SECOND)
        yield one
    finally:
        await asyncio.to_thread(one.end)


async def ten_minutes_pass(floor: WatchedFloor) -> int:
    """Write a minute at which tables are measured into the stream; returns its place."""
    minute = rfc3339(now_ns() // TEN_MINUTES_NS * TEN_MINUTES_NS)
    tick = ClockTicked(
        event_id=new_event_id(), timestamp=rfc3339(now_ns()), actor="watchdogs",
        subject_id="clock", data=Tick(minute=minute, offset_ms=0.0),
    )  # fmt: skip
    async with floor.firm.connected("watchdogs") as person:
        await person.send(tick, "service-watchdogs")

    async def places() -> list[int | None]:
        async with floor.firm.connected("operator") as person:
            found = stored.following(person.client, "MTS", ClockTicked.pattern, 1)
            return [each.sequence async for each in found if tick.event_id.encode() in each.payload]

    place = (await eventually(places, "the minute is stored"))[0]
    assert place
    return place


async def held(floor: WatchedFloor, place: int) -> dict[str, set[str]]:
    """Wait until both said what every table holds at a place; returns the contents by table."""

    async def both() -> dict[str, set[str]] | None:
        said = await floor.of(WarehouseMeasured, high_water_stream_sequence=place)
        by = {(each.data.table, each.data.warehouse): each.data for each in said}
        if by.keys() != {(table, name) for table in TABLES for name in (FIRST, SECOND)}:
            return None
        assert len(said) == len(by)
        return {
            table: {f"{by[table, name].rows} {by[table, name].sha256}" for name in (FIRST, SECOND)}
            for table in TABLES
        }

    return await eventually(both, "both say what every table holds")


def lose_a_row(floor: WatchedFloor, name: str, number: int) -> None:
    """Kill a process, take a row out of its snapshot, and let it go on from there."""
    floor.kill(name)
    file = floor.home / "watch" / str(number) / "newest" / "real" / "fund_mark.parquet"
    with duckdb.connect() as database:
        database.execute(f"CREATE TABLE kept AS SELECT * FROM '{file}' ORDER BY sequence OFFSET 1")
        database.execute(f"COPY kept TO '{file}' (FORMAT parquet)")
    floor.restart(name)


async def test_two_that_read_the_same_say_the_same_and_one_that_lost_a_row_is_found_once(floor):
    alike = await held(floor, await ten_minutes_pass(floor))
    assert [table for table, contents in alike.items() if len(contents) != 1] == []
    assert len(set.union(*alike.values())) > 3
    assert await floor.of(FindingRaised, check=NAME) == []
    lose_a_row(floor, SECOND, 2)
    await floor.is_ready(SECOND)
    for _ in range(2):
        place = await ten_minutes_pass(floor)
        unlike = await held(floor, place)
        assert [table for table, contents in unlike.items() if len(contents) != 1] == ["fund_mark"]
    (found,) = await floor.said(FindingRaised, check=NAME)
    words = f"warehouse fund_mark differs between {FIRST}, {SECOND} at stream sequence"
    assert found.data.title.startswith(words)
    floor.kill(SECOND)
    for file in (floor.home / "watch" / "2" / "newest" / "real").iterdir():
        file.unlink()  # what the runbook says: without its snapshot it is rebuilt from the stream
    floor.restart(SECOND)
    await floor.is_ready(SECOND)
    whole = await held(floor, await ten_minutes_pass(floor))
    assert [table for table, contents in whole.items() if len(contents) != 1] == []
    await floor.said(FindingCleared, check=NAME, episode=found.data.episode)
