"""Does `mts watchdogs` show how everything stands, and its report what was found?"""

import asyncio
import json
from contextlib import asynccontextmanager

import msgspec
import pytest
from alert_site import vpin
from commands import Command, assert_harmless
from halting import Firm, in_this_loop, ready
from support import eventually
from volatile_fund import CALM, WILD, history

from operations import watchdogs as known
from operations.adapters import accounts
from operations.cli import watchdogs as board
from operations.config import Watch
from operations.events.base import encode
from operations.watchdogs.portfolio_vol_dd import NAME
from workers import watchdogs

pytestmark = pytest.mark.integration


class House:
    def __init__(self, nats_server, tmp_path):
        self.firm = Firm(nats_server)
        self.mts = Command(
            tmp_path,
            MTS_NATS_URL=nats_server.url,
            MTS_NATS_USER="operator",
            MTS_NATS_PASSWORD=nats_server.password("operator"),
            MTS_NATS_INBOX=accounts.inbox("operator"),
            MTS_AUDIT_ROSTER_FILE=str(self.firm.base.roster_path),
            MTS_AUDIT_ROOT_KEY_FILE=str(self.firm.base.root_key_path),
        )

    async def publish(self, *events) -> None:
        client = await self.firm.nats.connect("publisher")
        try:
            for event in events:
                await client.jetstream().publish(event.subject, encode(event))
        finally:
            await client.close()

    @asynccontextmanager
    async def watched(self):
        settings = msgspec.structs.replace(
            self.firm.settings("watchdogs"), watch=Watch(snapshot_seconds=60.0)
        )
        async with in_this_loop("watchdogs", settings, watchdogs.run) as worker:
            await ready(worker)
            yield worker

    async def run(self, *words, code=0):
        said = await asyncio.to_thread(self.mts, *words)
        assert said.code == code, said
        return said.out or said.err


@pytest.fixture
def house(nats_server, tmp_path):
    return House(nats_server, tmp_path)


async def test_a_breach_is_on_the_board_and_in_the_report(house):
    await house.publish(*history([CALM] * 40 + [WILD] * 8))
    async with house.watched() as worker:
        await eventually(lambda: "1 findings open" in worker.conditions.get("worker").detail)
        found = json.loads(await house.run("watchdogs", "--output", "json"))
        shown = await house.run("watchdogs", "--check", NAME)
        (row,) = [row for row in found if row["watchdog"] == NAME]
        assert (row["unit"], row["state"], row["mode"]) == ("alpha", "warning", "observe")
        assert row["statistic"] >= row["threshold"] > 0
        assert "! warning" in shown
        assert_harmless(shown)
    async with house.firm.connected("watchdogs") as canary:
        await canary.send(vpin(environment="canary"), "service-watchdogs")
    report = json.loads(await house.run("watchdogs", "report", "--output", "json"))
    (total,) = [each for each in report["watchdogs"] if each["watchdog"] == NAME]
    assert (total["episodes"], total["open"], total["acted"], total["would_have_acted"]) == (
        1, 1, 0, 1,
    )  # fmt: skip
    assert len(report["episodes"]) == 1  # what a canary finds each day is no episode
    assert "reduce gross exposure" in await house.run("watchdogs", "report")


async def test_where_no_process_speaks_every_watchdog_is_silent_and_that_is_no_success(house):
    found = json.loads(await house.run("watchdogs", "--output", "json", code=1))
    assert {row["watchdog"]: row["state"] for row in found} == {
        one.name: "silent" for one in known.ALL
    }


def test_many_units_that_are_ok_are_one_row_with_the_oldest_look_unless_they_are_asked_for():
    def row(number, state="ok"):
        return {
            "state": state, "watchdog": "vpin", "unit": f"U{number}", "mode": "act",
            "statistic": 0.1, "threshold": 0.4, "sample": 600, "what": "calm",
            "last_look": f"2026-11-20T15:00:0{number}Z",
        }  # fmt: skip

    units = [row(0, "warning"), *(row(number) for number in range(1, 5))]
    shown = board.for_people(units, fold=True)
    assert [each["unit"] for each in shown] == ["U0", "4 units"]
    assert shown[1]["last_look"] == board.for_people(units[1:2], fold=True)[0]["last_look"]
    assert "mts watchdogs --check vpin" in shown[1]["what"]
    assert len(board.for_people(units, fold=False)) == 5
    assert len(board.for_people(units[:4], fold=True)) == 4


async def test_a_name_that_is_none_is_refused_with_those_that_are(house):
    said = await house.run("watchdogs", "--check", "vipn", code=2)
    assert "did you mean vpin?" in said


async def test_a_board_that_no_watchdog_process_signed_is_not_shown(house):
    async with house.firm.connected("watchdogs") as thief:
        task = asyncio.create_task(house.run("watchdogs", "--output", "json", code=1))
        while not task.done():
            await thief.client.publish("ops.v1.watchdogs.board", b'{"process":"x"}')
            await asyncio.wait({task}, timeout=0.2)
        assert {row["state"] for row in json.loads(await task)} == {"silent"}
