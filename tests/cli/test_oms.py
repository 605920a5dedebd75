"""Does `mts oms conformance` tell who keeps the protocol from who does not?"""

import asyncio
import json

import pytest
from commands import Command, assert_harmless
from halting import Firm
from oms_cases import leased, register, trading

from operations.halt.verdicts import Allowed

pytestmark = pytest.mark.integration


@pytest.fixture
def firm(nats_server) -> Firm:
    return Firm(nats_server)


def command(firm: Firm) -> Command:
    return Command(firm.base.path(), MTS_HOME=firm.base.home, MTS_NATS_URL=firm.nats.url)


async def test_an_order_system_that_obeys_passes_every_check(firm, tmp_path):
    await register(firm)
    async with firm.working(), trading(firm, tmp_path) as (oms, _):
        await leased(oms)
        result = await asyncio.to_thread(command(firm), "oms", "conformance", "oms-1")
        assert result.code == 0, result.out + result.err
        assert "keeps the protocol" in result.out
        assert "skipped" not in result.out
        assert_harmless(result.out)


async def test_an_order_system_whose_gate_lets_a_probe_pass_fails_and_says_where(firm, tmp_path):
    await register(firm)
    async with firm.working(), trading(firm, tmp_path) as (oms, _):
        await leased(oms)
        oms.gate.probe = lambda _scope: Allowed("send")
        result = await asyncio.to_thread(
            command(firm), "oms", "conformance", "oms-1", "--output", "json"
        )
        assert result.code == 1
        results = {row["check"]: row["result"] for row in json.loads(result.out)["checks"]}
        assert results["blocks a drill after a denied probe"] == "failed"
        assert results["ignores a halt without signature"] == "passed"


async def test_an_order_system_that_passes_over_actions_fails_and_says_where(firm, tmp_path):
    await register(firm)
    async with firm.working(), trading(firm, tmp_path) as (oms, _):
        await leased(oms)
        oms._actions._live = False
        result = await asyncio.to_thread(
            command(firm), "oms", "conformance", "oms-1", "--output", "json"
        )
        assert result.code == 1
        failed = [row for row in json.loads(result.out)["checks"] if row["result"] == "failed"]
        assert [row["check"] for row in failed] == ["answers an action when it is true"]
        assert failed[0]["words"] == "it said nothing"


async def test_an_order_system_that_says_nothing_fails(firm):
    result = await asyncio.to_thread(command(firm), "oms", "conformance", "oms-2")
    assert result.code == 1
    assert "0 signed reports" in result.out
