"""The order system's side of a halt, on a real bus with real halt workers, keys and files."""

import pytest
from halting import Firm, halt_order, resume_order
from oms_cases import Floor, acknowledged, code, leased, opened, order, register, trading, verdict
from support import eventually

pytestmark = pytest.mark.integration

ACKNOWLEDGED = "mts.v1.operations.halt.acknowledged.>"


@pytest.fixture
def firm(nats_server) -> Firm:
    return Firm(nats_server)


async def test_it_boots_closed_and_trades_once_it_has_read_the_stream_and_heard_a_worker(
    firm, tmp_path
):
    await register(firm)
    async with trading(firm, tmp_path) as (oms, floor):
        assert code(floor.trade(order("early"))) == "BOOTING"
        await oms.opened()
        assert code(floor.trade(order("alone"))) == "LEASE_LAPSED"
        async with firm.working():
            await leased(oms)
            assert await verdict(floor, order("good")) == "send"
            assert oms.report().mode is None


async def test_a_halt_blocks_is_acknowledged_in_phases_and_ends_by_a_signed_lift_only(
    firm, tmp_path
):
    async with opened(firm, tmp_path) as (oms, floor), firm.connected("operator") as person:
        await person.listen(ACKNOWLEDGED)
        await person.send(halt_order("h-1", "STRATEGY_HALT", strategy_id="mean-rev"), "operator")
        blocking = await acknowledged(person, "oms-1", "BLOCKING", halt_id="h-1")
        assert blocking["data"]["via"] == "core"
        assert blocking["data"]["to_block_us"] < 1_000_000
        denial = floor.trade(order("late"))
        assert (denial.code, denial.halt_id) == ("STRATEGY_HALTED", "h-1")
        await eventually(lambda: oms.gate.halts.stored("h-1"), message="it is stored")
        await person.send(resume_order("r-1", "h-1"), "operator")
        await eventually(lambda: code(floor.trade(order("again"))) == "send", message="lifted")
        assert floor.sent == ["again"]


async def test_what_worked_is_canceled_once_confirmed_and_said(firm, tmp_path):
    floor = Floor()
    floor.fails = 1
    async with opened(firm, tmp_path, floor), firm.connected("operator") as person:
        await person.listen(ACKNOWLEDGED)
        assert await verdict(floor, order("resting")) == "send"
        from halting import times
        from oms_cases import envelope

        from operations.events.commands import CancelAllCommanded, CancelAllOrder

        command = CancelAllCommanded(
            **envelope("cancel"), data=CancelAllOrder(**times(), reason="test")
        )
        await person.send(command, "operator")
        said = await acknowledged(
            person, "oms-1", "CANCEL_CONFIRMED", halt_id=command.data.command_id
        )
        assert said["data"]["canceled"] == 1
        assert floor.canceled == ["resting"]
