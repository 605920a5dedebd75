"""Are funds and strategies listed as they were registered last?"""

import asyncio
import json
from decimal import Decimal

import pytest
from commands import Command, assert_harmless

from operations.adapters import accounts
from operations.adapters.link import Access
from operations.adapters.publisher import Publisher
from operations.events.registry import (
    Account,
    AccountRegistered,
    Fund,
    FundRegistered,
    Strategy,
    StrategyRegistered,
)

pytestmark = pytest.mark.integration


def mts(nats_server, tmp_path) -> Command:
    return Command(
        tmp_path,
        MTS_NATS_URL=nats_server.url,
        MTS_NATS_USER="operator",
        MTS_NATS_PASSWORD=nats_server.password("operator"),
        MTS_NATS_INBOX=accounts.inbox("operator"),
    )


def fund(fund_id, trading="paper", **more):
    data = Fund(
        name=f"Fund {fund_id}",
        base_currency="USD",
        trading=trading,
        day_end_time="17:00",
        day_end_zone="America/New_York",
        **more,
    )
    return FundRegistered(subject_id=fund_id, data=data)


def strategy(strategy_id, fund_id, *account_ids):
    data = Strategy(name=f"The {strategy_id}", fund_id=fund_id, account_ids=account_ids)
    return StrategyRegistered(subject_id=strategy_id, data=data)


async def register(nats_server, *events):
    access = Access(
        url=nats_server.url, user="publisher", password=nats_server.password("publisher")
    )
    async with Publisher(access, actor="registry") as publisher:
        for event in events:
            await publisher.confirm(event)


async def test_without_registrations_it_says_so(nats_server, tmp_path):
    command = mts(nats_server, tmp_path)
    for group in ("funds", "strategies"):
        said = await asyncio.to_thread(command, group, "list")
        assert (said.code, "is registered; orders of an unknown" in said.err) == (2, True)
    said = await asyncio.to_thread(command, "funds", "list", "--output", "json")
    assert (said.code, json.loads(said.out)) == (2, [])


async def test_the_last_registration_is_what_is_listed(nats_server, tmp_path):
    command = mts(nats_server, tmp_path)
    await register(
        nats_server,
        fund("alpha", "live", drawdown_halt_pct=Decimal(8)),
        fund("beta\x1b[31m"),
        fund("alpha", "live", drawdown_halt_pct=Decimal(12), daily_loss_halt_pct=Decimal("2.50")),
        AccountRegistered(subject_id="acc-1", data=Account(fund_id="alpha", trading="live")),
        strategy("momentum", "alpha", "acc-1", "acc-2"),
        strategy("carry", "nowhere", "acc-3"),
    )
    said = await asyncio.to_thread(command, "funds", "list")
    assert said.code == 0
    assert_harmless(said.out)
    rows = json.loads((await asyncio.to_thread(command, "funds", "list", "--output", "json")).out)
    assert [row["fund"] for row in rows] == ["alpha", "beta\x1b[31m"]
    assert (rows[0]["drawdown_halt_pct"], rows[0]["daily_loss_halt_pct"]) == ("12", "2.50")
    assert rows[0]["strategies"] == ["momentum"]
    said = await asyncio.to_thread(command, "strategies", "list", "--output", "json")
    found = {row["strategy"]: (row["trading"], row["accounts"]) for row in json.loads(said.out)}
    assert found == {"carry": ("unknown", ["acc-3"]), "momentum": ("live", ["acc-1", "acc-2"])}
    said = await asyncio.to_thread(command, "strategies", "list", "--fund", "alpha")
    assert "momentum" in said.out
    assert "carry" not in said.out


async def test_a_silent_bus_is_said(nats_server, tmp_path):
    command = mts(nats_server, tmp_path)
    nats_server.kill()
    said = await asyncio.to_thread(command, "strategies", "list")
    assert (said.code, said.out) == (2, "")
    assert "cannot connect to NATS" in said.err
