"""Does `mts canary` say of every watchdog whether it still looks?"""

import asyncio
import json

import pytest
from halting import Firm
from obedient import mts
from watched_firm import watched

from operations import watchdogs

pytestmark = pytest.mark.integration


async def canary(firm, *arguments):
    return await asyncio.to_thread(mts(firm, "canary"), "canary", *arguments)


async def test_every_watchdog_that_has_a_case_finds_it_and_that_is_in_the_stream(nats_server):
    firm = Firm(nats_server)
    async with watched(firm):
        said = await canary(firm, "--output", "json")
    rows = {row["watchdog"]: row for row in json.loads(said.out)}
    assert list(rows) == [each.name for each in watchdogs.ALL]
    with_case = {each.name for each in watchdogs.ALL if each.canary}
    assert {name for name, row in rows.items() if row["result"] == "passed"} == with_case
    assert all(0 < rows[name]["delay_ms"] < 100_000 for name in with_case)
    assert {rows[name]["result"] for name in rows.keys() - with_case} <= {"none"}
    assert said.code == int(bool(rows.keys() - with_case))
    passed = await firm.stored("mts.v1.operations.canary.passed")
    assert {each.data.check for each in passed} == with_case
    again = await canary(firm, "db_watchdog", "--seconds", "1")  # nobody watches any more
    assert again.code == 1
    assert "silent" in again.out


async def test_one_at_a_time_and_twice_in_a_row(nats_server):
    firm = Firm(nats_server)
    async with watched(firm):
        for _ in range(2):
            said = await canary(firm, "dependency_watchdog", "db_watchdog")
            assert said.code == 0, said.out + said.err
            assert said.out.count("passed") == 2


async def test_a_watchdog_that_does_not_exist_and_a_bus_that_is_away_are_2(nats_server):
    firm = Firm(nats_server)
    assert (await canary(firm, "vpim")).code == 2
    nats_server.stop()
    assert (await canary(firm)).code == 2
