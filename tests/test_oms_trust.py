"""Whom an order system believes, and what it does when nobody is left to believe."""

import asyncio
from contextlib import suppress

import msgspec
import pytest
from halting import Firm, envelope, halt_order, resume_order
from oms_cases import (
    Floor,
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

from operations.adapters.roster_files import read_private
from operations.clock import now_ns, rfc3339
from operations.errors import Rejected
from operations.events.base import encode
from operations.events.halts import Halt, HaltLifted, HaltRequested, Lift, SignedOrder
from operations.halt import signals
from operations.oms import Oms, configured
from operations.signing import keys, roster
from operations.signing.message import HEADER, Signer

pytestmark = pytest.mark.integration

ACKNOWLEDGED = "mts.v1.operations.halt.acknowledged.>"
REPORTS = "ops.v1.oms.lease.>"


@pytest.fixture
def firm(nats_server) -> Firm:
    return Firm(nats_server)


def requested(halt_id: str, **ids: str) -> HaltRequested:
    data = Halt(halt_id=halt_id, level="FIRM_HALT", reason_code="MANUAL", requested_by="x")
    return HaltRequested(**envelope(halt_id, **ids), data=data)


async def publish(firm: Firm, event, signer: Signer | None, user: str = "halt", **headers) -> None:
    payload = encode(event)
    signed = {HEADER: signer(event.subject, payload)} if signer else {}
    async with firm.connected(user) as person:
        await person.client.publish(event.subject, payload, headers={**signed, **headers})
        await person.client.flush()


async def read_past(firm: Firm, oms: Oms) -> None:
    """Wait until an order system has read everything that was published before."""
    marker = strategy("marker", "alpha", ("acc-1",))
    marker = msgspec.structs.replace(marker, subject_id=f"marker-{now_ns()}")
    await register(firm, marker)
    await eventually(lambda: oms.gate.registry.fund_of(marker.subject_id), message="read past")


async def test_halts_that_nobody_signed_or_a_stranger_signed_stop_nothing(firm, tmp_path):
    async with opened(firm, tmp_path) as (oms, floor):
        stranger = Signer(keys.new_key("service-halt"), "mts.local/audit", "development")
        elsewhere = msgspec.structs.replace(firm.signer("service-halt"), environment="live")
        for signer in (None, stranger, elsewhere, firm.signer("operator"), firm.signer("oms-1")):
            await publish(firm, requested("h-forged"), signer)
        await read_past(firm, oms)
        assert not oms.gate.halts.active
        assert oms.refused >= 5
        assert await verdict(floor, order("a")) == "send"


async def test_a_lift_counts_only_from_the_stream_and_only_with_the_people_in_it(firm, tmp_path):
    async with opened(firm, tmp_path) as (oms, floor), firm.connected("operator") as person:
        await person.send(halt_order("h-1", "STRATEGY_HALT", strategy_id="mean-rev"), "operator")
        await eventually(lambda: oms.gate.halts.stored("h-1"), message="it is stored")
        resume = resume_order("r-1", "h-1")
        payload = encode(resume)
        people = SignedOrder(
            subject=resume.subject,
            payload=payload.decode(),
            signature=firm.signer("operator")(resume.subject, payload),
        )

        def lifted(orders=()) -> HaltLifted:
            data = Lift(
                halt_ids=("h-1",),
                resume_id="r-1",
                treatment="CLEARED",
                remaining_halt_ids=(),
                signed_by=("operator",),
                orders=orders,
            )
            return HaltLifted(**envelope("r-1"), data=data)

        thief = firm.signer("service-halt")
        refused_by_stream = {"Nats-Expected-Stream": "another"}
        await publish(firm, lifted((people,)), thief, **refused_by_stream)
        await publish(firm, lifted(), thief)
        await read_past(firm, oms)
        assert "h-1" in oms.gate.halts.active
        assert await verdict(floor, order("a")) == "STRATEGY_HALTED"
        await publish(firm, lifted((people,)), thief)
        await eventually(lambda: code(floor.trade(order("b"))) == "send", message="lifted")


async def test_without_a_halt_worker_it_reduces_only_within_three_seconds_and_recovers(
    firm, tmp_path
):
    await register(firm)
    async with trading(firm, tmp_path) as (oms, floor):
        async with firm.working():
            await leased(oms)
            assert await verdict(floor, order("a")) == "send"
        await eventually(lambda: oms.gate.lapsed, "the lease lapses")
        denial = floor.trade(order("b"))
        assert denial.code == "LEASE_LAPSED"
        assert oms.report().mode == "REDUCE_ONLY"
        async with firm.working():
            await leased(oms)
            assert await verdict(floor, order("c")) == "send"


async def test_a_persons_halt_is_obeyed_directly_while_every_halt_worker_is_dead(firm, tmp_path):
    await register(firm)
    command = halt_order("h-9", "FUND_HALT", fund_id="alpha")
    async with trading(firm, tmp_path) as (oms, floor), firm.connected("operator") as person:
        await oms.opened()
        await person.listen(ACKNOWLEDGED)
        await person.send(halt_order("h-8", "FUND_HALT", fund_id="alpha"), "oms-2")
        await person.send(command, "operator")
        await acknowledged(person, "oms-1", "BLOCKING", halt_id="h-9")
        assert floor.trade(order("a")).halt_id == "h-9"
        assert "h-8" not in oms.gate.halts.active
        await eventually(lambda: oms._memory.now.heard, message="it is on the disk")
    async with trading(firm, tmp_path) as (again, _):
        assert "h-9" in again.gate.halts.active, "before a byte of the stream was read"
        async with firm.working():
            await eventually(lambda: again.gate.halts.stored("h-9"), "a halt worker stores it")


async def test_a_restart_forgets_no_halt_and_acknowledges_it_only_once(firm, tmp_path):
    await register(firm)
    async with firm.working(), firm.connected("operator") as person:
        await person.listen(ACKNOWLEDGED)
        async with trading(firm, tmp_path) as (oms, _):
            await leased(oms)
            await person.send(halt_order("h-1"), "operator")
            await acknowledged(person, "oms-1", "BLOCKING", halt_id="h-1")
            await eventually(lambda: oms._memory.now.blocking == ("h-1",), message="remembered")
        count = len(person.heard)
        async with trading(firm, tmp_path) as (oms, floor):
            assert code(floor.trade(order("a"))) == "BOOTING"
            await leased(oms)
            assert floor.trade(order("b")).halt_id == "h-1"
            await read_past(firm, oms)
        assert len(person.heard) == count


async def test_the_bus_may_go_and_come_back_and_no_halt_of_that_time_is_missed(firm, tmp_path):
    await register(firm)
    async with trading(firm, tmp_path) as (oms, floor):
        async with firm.working():
            await leased(oms)
        firm.nats.kill()
        await eventually(lambda: oms.problem, message="it notices")
        assert code(floor.trade(order("a"))) in ("send", "LEASE_LAPSED")
        await eventually(lambda: oms.gate.lapsed, "the lease lapses")
        assert code(floor.trade(order("b"))) == "LEASE_LAPSED"
        await asyncio.to_thread(firm.nats.start)
        await publish(firm, requested("h-1"), firm.signer("service-halt"))
        await eventually(lambda: "h-1" in oms.gate.halts.active, "the halt is read")


async def test_a_deaf_order_system_obeys_from_the_stream(firm, tmp_path):
    async with opened(firm, tmp_path, hear=False), firm.connected("operator") as person:
        await person.listen(ACKNOWLEDGED)
        await person.send(halt_order("h-1"), "operator")
        said = await acknowledged(person, "oms-1", "BLOCKING", halt_id="h-1")
        assert said["data"]["via"] == "stream"


async def test_it_reports_every_second_signed_by_its_own_key(firm, tmp_path):
    async with firm.connected("operator") as person:
        await person.listen(REPORTS)
        async with firm.working(), trading(firm, tmp_path) as (oms, _):
            await leased(oms)
            await person.send(halt_order("h-1"), "operator")

            def reports() -> bool:
                newest = person.heard[-1][1]
                return newest["held"] == [["h-1", "FIRM_HALT", "", "BLOCK_ALL"]]

            await eventually(reports, message="the report holds it")
            numbers = [report["count"] for _, report in person.heard]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert signals.report_subject("oms-1") == person.heard[0][0]


async def test_an_old_roster_and_one_for_development_are_refused_where_they_must_be(firm, tmp_path):
    settings = firm.settings("oms-1")
    live = msgspec.structs.replace(settings, environment="live")
    with pytest.raises(Rejected, match="environment"):
        Oms(configured(live, "oms-1", tmp_path / "live"), Floor())
    folder = tmp_path / "own"
    Oms(configured(settings, "oms-1", folder), Floor())
    root = read_private(firm.base.path("keys", "root.key"))
    body = roster.verify(settings.roster_path.read_bytes(), root.public, 1, "development").body
    newer = msgspec.structs.replace(body, version=body.version + 1, issued_at=rfc3339(now_ns()))
    old = settings.roster_path.read_bytes()
    settings.roster_path.write_bytes(roster.sign(newer, root))
    oms = Oms(configured(settings, "oms-1", folder), Floor())
    assert oms.report().roster_version == newer.version
    settings.roster_path.write_bytes(old)
    oms = Oms(configured(settings, "oms-1", folder), Floor())
    assert oms.report().roster_version == newer.version


async def test_another_stream_under_the_same_name_keeps_the_gate_closed(firm, tmp_path):
    await register(firm)
    async with trading(firm, tmp_path) as (oms, _):
        await oms.opened()
        oms._memory.change(stream_created_ns=1)
    async with trading(firm, tmp_path) as (oms, floor):
        await eventually(lambda: "find out what was lost" in oms.problem, message="it says why")
        with suppress(TimeoutError):
            await asyncio.wait_for(oms.opened(), 0.2)
        assert code(floor.trade(order("a"))) == "BOOTING"


async def test_a_busy_event_loop_keeps_neither_the_file_nor_the_clock_from_closing_the_gate(
    firm, tmp_path
):
    async with opened(firm, tmp_path) as (oms, floor):
        (tmp_path / "HALT").touch()
        asked = 0
        while code(floor.trade(order(f"a{asked}"))) != "FILE_HALT":  # the loop does nothing else
            asked += 1
            assert asked < 10_000_000
        (tmp_path / "HALT").unlink()
        while oms.gate.holds:
            asked += 1
        while not oms.gate.lapsed:
            asked += 1
        assert code(floor.trade(order("b"))) == "LEASE_LAPSED"
