"""What went wrong elsewhere does not here: the pitfalls of order systems under a halt, by name."""

import asyncio
from decimal import Decimal
from functools import partial

import msgspec
import pytest
from halting import Firm, envelope, halt_order, resume_order, times
from oms_cases import (
    ACCOUNT,
    Floor,
    account,
    acknowledged,
    code,
    leased,
    opened,
    order,
    register,
    strategy,
    trading,
    verdict,
)
from support import eventually
from test_oms_trust import publish, requested

from operations.clock import NANOSECONDS, now_ns, parse_rfc3339, rfc3339
from operations.events.commands import FlattenCommanded, FlattenOrder
from operations.halt.book import Order

pytestmark = pytest.mark.integration

ACKNOWLEDGED = "mts.v1.operations.halt.acknowledged.>"


@pytest.fixture
def firm(nats_server) -> Firm:
    return Firm(nats_server)


def with_cancels(halt_id: str, which: str = "all", mode: str = "BLOCK_ALL"):
    event = requested(halt_id)
    data = msgspec.structs.replace(event.data, cancel_orders=which, mode=mode)
    return msgspec.structs.replace(event, data=data)


def flatten(halt_id: str, *accounts: str, fund_id: str = "alpha") -> FlattenCommanded:
    data = FlattenOrder(halt_id=halt_id, account_ids=accounts, reason="drill", **times())
    return FlattenCommanded(**envelope(halt_id, fund_id=fund_id, environment="paper"), data=data)


async def test_pitfall_1_a_cancel_path_that_raises_neither_opens_the_gate_nor_ends_the_cancels(
    firm, tmp_path
):
    floor = Floor()
    async with opened(firm, tmp_path, floor):
        assert await verdict(floor, order("a")) == "send"
        floor.fails = 1
        await publish(firm, with_cancels("h-1"), firm.signer("service-halt"))
        await eventually(lambda: floor.canceled == ["a"], "it is repeated until it works")
        assert await verdict(floor, order("b")) == "FIRM_HALTED"
        assert {halt_id for _, halt_id in floor.cancels_asked} == {"h-1"}


async def test_pitfall_2_what_cannot_be_folded_closes_the_gate(firm, tmp_path):
    async with opened(firm, tmp_path) as (oms, floor):
        oms.gate.halts.request = None  # a mistake of ours, in the middle of a halt
        await publish(firm, requested("h-1"), firm.signer("service-halt"))
        await eventually(lambda: "GATE_ERROR" in oms.gate.holds, message="it closes")
        assert await verdict(floor, order("a")) == "GATE_ERROR"


async def test_pitfall_3_a_restart_does_not_do_a_flatten_twice(firm, tmp_path):
    await register(firm)
    floor = Floor()
    command = flatten("h-1", ACCOUNT)
    async with firm.working(), firm.connected("operator") as person:
        await person.listen(ACKNOWLEDGED)
        async with trading(firm, tmp_path, floor) as (oms, _):
            oms.gate.position(ACCOUNT, "AAPL", Decimal(7))
            oms.gate.position(ACCOUNT, "MSFT", Decimal(-3))
            await leased(oms)
            assert await verdict(floor, order("resting", symbol="MSFT")) == "send"
            await person.send(halt_order("h-1", "FUND_HALT", fund_id="alpha"), "operator")
            await acknowledged(person, "oms-1", "BLOCKING", halt_id="h-1")
            await person.send(command, "operator")
            await acknowledged(person, "oms-1", "FLAT", halt_id="h-1")
            assert floor.canceled == ["resting"]
            assert len(floor.sent) == 3
            assert {line.position for line in oms.gate.lines([ACCOUNT])} == {Decimal(0)}
        async with trading(firm, tmp_path, floor) as (oms, _):
            oms.gate.position(ACCOUNT, "AAPL", Decimal(7))  # as if the books were wrong
            oms.gate.position(ACCOUNT, "KO", Decimal(5))
            oms.gate.position("acc-2", "KO", Decimal(5))
            await leased(oms)
            await person.send(halt_order("h-2", "FUND_HALT", fund_id="beta"), "operator")
            await acknowledged(person, "oms-1", "BLOCKING", halt_id="h-2")
            await person.send(flatten("h-2", "acc-2", fund_id="beta"), "operator")
            await acknowledged(person, "oms-1", "FLAT", halt_id="h-2")
            assert len(floor.sent) == 4, "what was flat before the restart is not begun again"
            assert await verdict(floor, order("more")) == "FUND_HALTED"


class Unfilled(Floor):
    """An order system whose exits stay at the venue unfilled."""

    async def send_exit(self, order):
        self.sent.append(order.order_id)


async def test_a_flatten_that_was_void_before_it_was_finished_is_said_once_after_a_restart(
    firm, tmp_path
):
    await register(firm)
    floor, command, memory = Unfilled(), flatten("h-1", ACCOUNT), tmp_path / "oms.json"
    soon = rfc3339(now_ns() + 4 * NANOSECONDS)
    command = msgspec.structs.replace(
        command, data=msgspec.structs.replace(command.data, expires_at=soon)
    )
    async with firm.working(), firm.connected("operator") as person:
        await person.listen(ACKNOWLEDGED)
        async with trading(firm, tmp_path, floor) as (oms, _):
            oms.gate.position(ACCOUNT, "AAPL", Decimal(7))
            await leased(oms)
            await person.send(halt_order("h-1", "FUND_HALT", fund_id="alpha"), "operator")
            await acknowledged(person, "oms-1", "BLOCKING", halt_id="h-1")
            await person.send(command, "operator")
            await eventually(lambda: floor.sent, message="its exit went out")
        await eventually(lambda: now_ns() > parse_rfc3339(soon), "the order is void")
        for again in ("h-2", "h-3"):
            async with trading(firm, tmp_path, floor) as (oms, _):
                oms.gate.position(ACCOUNT, "AAPL", Decimal(7))
                await leased(oms)
                said = await acknowledged(person, "oms-1", "REFUSED", halt_id="h-1")
                await eventually(lambda: "REFUSED" in memory.read_text(), "it is remembered")
                await person.send(halt_order(again, "FUND_HALT", fund_id="beta"), "operator")
                await acknowledged(person, "oms-1", "BLOCKING", halt_id=again)
        words = said["data"]["reason"]
        assert words == f"the order was void at {soon} before all was closed: 7 AAPL"
        found = await firm.stored(ACKNOWLEDGED)
        assert [each.data.phase for each in found].count("REFUSED") == 1
        assert len(floor.sent) == 1


async def test_a_flatten_of_an_account_that_is_not_paper_is_refused_and_does_nothing(
    firm, tmp_path
):
    await register(firm)
    await register(
        firm, account("acc-live", "alpha", "live"), strategy("s-live", "alpha", ("acc-live",))
    )
    async with (
        firm.working(),
        trading(firm, tmp_path) as (oms, floor),
        firm.connected("operator") as person,
    ):
        oms.gate.position("acc-live", "AAPL", Decimal(7))
        await leased(oms)
        await person.listen(ACKNOWLEDGED)
        await person.send(halt_order("h-1", "FUND_HALT", fund_id="alpha"), "operator")
        await acknowledged(person, "oms-1", "BLOCKING", halt_id="h-1")
        await person.send(flatten("h-1", ACCOUNT, "acc-live"), "operator")
        said = await acknowledged(person, "oms-1", "REFUSED", halt_id="h-1")
        assert "not paper" in said["data"]["reason"]
        assert floor.sent == []


async def test_pitfall_6_an_exit_and_a_trailing_stop_pass_where_only_reducing_passes(
    firm, tmp_path
):
    await register(firm)
    async with firm.working(), trading(firm, tmp_path) as (oms, floor):
        oms.gate.position(ACCOUNT, "AAPL", Decimal(10))
        await leased(oms)
        stop = order("stop", side="sell", stop_price=Decimal(90))
        assert code(floor.trade(stop)) == "send"
        await publish(
            firm, with_cancels("h-1", "increasing", "REDUCE_ONLY"), firm.signer("service-halt")
        )
        await eventually(lambda: "h-1" in oms.gate.halts.active, message="halted")
        trailing = msgspec.structs.replace(stop, kind="amend", stop_price=Decimal(95))
        assert code(oms.gate.check(trailing)) == "accept"
        assert code(oms.gate.check(trailing)) == "send"
        assert floor.canceled == []


async def test_pitfall_7_what_the_venue_takes_late_in_a_halted_scope_is_canceled_too(
    firm, tmp_path
):
    async with opened(firm, tmp_path) as (oms, floor):
        await publish(firm, with_cancels("h-1"), firm.signer("service-halt"))
        await eventually(lambda: "h-1" in oms.gate.halts.active, message="halted")
        late = order("late")
        floor.at_venue["late"] = late
        oms.gate.restore(late, late.quantity)
        await eventually(lambda: floor.canceled == ["late"], message="canceled")


async def test_pitfall_7_cancels_go_on_after_the_lift_until_the_venue_has_confirmed(firm, tmp_path):
    async with opened(firm, tmp_path) as (oms, floor), firm.connected("operator") as person:
        await person.listen(ACKNOWLEDGED)
        assert await verdict(floor, order("a")) == "send"
        floor.refuses_cancels = True
        event = with_cancels("h-1")
        data = msgspec.structs.replace(event.data, level="FUND_HALT")
        event = msgspec.structs.replace(event, fund_id="alpha", data=data)
        await publish(firm, event, firm.signer("service-halt"))
        await acknowledged(person, "oms-1", "CANCEL_SENT", halt_id="h-1")
        await eventually(lambda: oms.gate.halts.stored("h-1"), message="stored")
        await person.send(resume_order("r-1", "h-1"), "operator")
        await eventually(lambda: code(floor.trade(order("b"))) == "send", message="lifted")
        floor.refuses_cancels = False  # pitfall 20: a closed market has opened
        await acknowledged(person, "oms-1", "CANCEL_CONFIRMED", halt_id="h-1")
        assert floor.canceled == ["a"], "what was opened after the lift stays"


async def test_pitfall_9_an_emulated_stop_that_waited_meets_the_gate_when_it_triggers(
    firm, tmp_path
):
    async with opened(firm, tmp_path) as (oms, floor):
        stop = order("stop", stop_price=Decimal(110))
        assert code(oms.gate.check(stop)) == "accept"
        await publish(firm, requested("h-1"), firm.signer("service-halt"))
        await eventually(lambda: "h-1" in oms.gate.halts.active, message="halted")
        assert code(oms.gate.check_and_send(stop, lambda: floor._send(stop))) == "FIRM_HALTED"
        assert floor.sent == []


async def test_pitfall_10_nothing_public_turns_the_gate_off(firm, tmp_path):
    fields = {name for name in Order.__struct_fields__ if "bypass" in name or "force" in name}
    assert not fields
    async with trading(firm, tmp_path) as (oms, _):
        public = {name for name in dir(oms) if not name.startswith("_")}
        assert public == {"gate", "opened", "problem", "refused", "report"}


async def test_pitfall_15_nothing_is_flattened_without_a_halt_and_nothing_is_bought_back(
    firm, tmp_path
):
    await register(firm)
    async with (
        firm.working(),
        trading(firm, tmp_path) as (oms, floor),
        firm.connected("operator") as person,
    ):
        oms.gate.position(ACCOUNT, "AAPL", Decimal(7))
        await leased(oms)
        await person.listen(ACKNOWLEDGED)
        await person.send(flatten("h-1", ACCOUNT), "operator")
        said = await acknowledged(person, "oms-1", "REFUSED", halt_id="h-1")
        assert "halt first, then flatten" in said["data"]["reason"]
        assert floor.sent == []
        await person.send(halt_order("h-2", "FUND_HALT", fund_id="alpha"), "operator")
        await acknowledged(person, "oms-1", "BLOCKING", halt_id="h-2")
        await person.send(flatten("h-2", ACCOUNT), "operator")
        await acknowledged(person, "oms-1", "FLAT", halt_id="h-2")
        assert len(floor.sent) == 1
        for side in ("buy", "sell"):
            assert await verdict(floor, order(f"again-{side}", side=side)) == "FUND_HALTED"
        assert await firm.active() == {"h-2"}, "it stays until people lift it"


async def test_pitfall_18_what_was_lifted_and_what_was_halted_while_it_was_off_is_so_at_its_start(
    firm, tmp_path
):
    await register(firm)
    async with firm.working(), firm.connected("operator") as person:
        await person.listen(ACKNOWLEDGED)
        async with trading(firm, tmp_path) as (oms, _):
            await leased(oms)
            await person.send(halt_order("h-1", "FUND_HALT", fund_id="alpha"), "operator")
            await acknowledged(person, "oms-1", "BLOCKING", halt_id="h-1")
            await eventually(lambda: oms._memory.now.blocking == ("h-1",), message="remembered")
            await eventually(lambda: oms.gate.halts.stored("h-1"), message="stored")
        await person.send(resume_order("r-1", "h-1"), "operator")
        await person.send(halt_order("h-2", "FUND_HALT", fund_id="beta"), "operator")
        await eventually(partial(holds, firm, {"h-2"}), "one lifted, one halted")
        async with trading(firm, tmp_path) as (oms, floor):
            await leased(oms)
            assert await verdict(floor, order("a")) == "send"
            momentum = {"strategy_id": "momentum", "fund_id": "beta", "account_id": "acc-2"}
            assert await verdict(floor, order("b", **momentum)) == "FUND_HALTED"


async def holds(firm: Firm, halt_ids: set[str]) -> bool:
    return await firm.active() == halt_ids


async def test_pitfall_17_a_cancel_waits_for_nobody(firm, tmp_path):
    async with trading(firm, tmp_path) as (oms, _):
        assert code(oms.gate.check(Order(order_id="x", kind="cancel"))) == "send"


async def test_pitfall_18_a_strategy_that_nobody_registered_does_not_trade(firm, tmp_path):
    async with firm.working(), trading(firm, tmp_path) as (oms, floor):
        await leased(oms)
        assert await verdict(floor, order("a")) == "UNKNOWN_STRATEGY"
        await register(firm)
        await eventually(lambda: code(floor.trade(order("b"))) == "send", message="registered")


async def test_the_file_halt_blocks_without_a_bus_and_is_lifted_by_people_only(firm, tmp_path):
    await register(firm)
    (tmp_path / "HALT").write_text("the feed handler writes nonsense")
    firm.nats.kill()
    async with trading(firm, tmp_path) as (oms, floor):
        assert code(floor.trade(order("a"))) in ("BOOTING", "FILE_HALT")
        await eventually(lambda: oms._memory.now.file, message="remembered")
        halt_id = oms._memory.now.file.halt_id
    await asyncio.to_thread(firm.nats.start)
    async with firm.working(), firm.connected("operator") as person:
        await person.listen(ACKNOWLEDGED)
        async with trading(firm, tmp_path) as (oms, floor):
            await eventually(lambda: oms.gate.halts.stored(halt_id), "the stream has it")
            assert halt_id in oms.gate.halts.active
            assert code(floor.trade(order("b"))) == "FILE_HALT"
            (tmp_path / "HALT").unlink()
            await eventually(lambda: not oms.gate.holds, message="the file is gone")
            denial = floor.trade(order("c"))
            assert (denial.code, denial.halt_id) == ("OMS_HALTED", halt_id)
            await person.send(resume_order("r-1", halt_id), "operator")
            await eventually(lambda: code(floor.trade(order("d"))) == "send", "lifted")
            await eventually(lambda: oms._memory.now.file is None, message="forgotten")
        async with trading(firm, tmp_path) as (oms, floor):
            await leased(oms)
            assert await verdict(floor, order("e")) == "send"


async def test_a_file_that_appears_while_it_trades_blocks_within_a_moment_and_is_said(
    firm, tmp_path
):
    async with opened(firm, tmp_path) as (_, floor), firm.connected("operator") as person:
        await person.listen(ACKNOWLEDGED)
        (tmp_path / "HALT").touch()
        await eventually(lambda: code(floor.trade(order("a"))) == "FILE_HALT", "it blocks")
        said = await acknowledged(person, "oms-1", "BLOCKING", via="file")
        assert said["strategy_id"] == "oms.oms-1"


async def test_after_a_minute_without_a_halt_worker_it_asks_to_cancel_what_is_not_protective(
    firm, tmp_path, monkeypatch
):
    monkeypatch.setattr("operations.oms.UNPROTECTED_NS", 0)  # the minute is over at once
    await register(firm)
    async with trading(firm, tmp_path) as (oms, floor):
        oms.gate.position(ACCOUNT, "AAPL", Decimal(10))
        async with firm.working():
            await leased(oms)
            assert await verdict(floor, order("opens")) == "send"
            assert await verdict(floor, order("closes", side="sell")) == "send"
            assert floor.canceled == []
        await eventually(lambda: floor.canceled == ["opens"], "canceled")
        assert floor.cancels_asked == [("opens", "")]
