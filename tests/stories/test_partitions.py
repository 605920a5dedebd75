"""An order system is cut off, in both directions or in one, and clocks are wrong: who trades on?"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fault_proxy import FaultProxy
from floor import Floor
from support import NatsHandle, eventually

from operations.adapters import orders_of_people
from operations.adapters.oms_memory import MemoryFile
from operations.clock import now_ns
from operations.events.findings import FindingRaised
from operations.events.halts import HaltLifted, HaltRequested, ResumeRequested
from operations.halt.state import FIRM, Scope
from operations.simulation.order_flow import OMS_IDS, seats
from workers.paper_tape import Sent, Wanted, read_tape

pytestmark = pytest.mark.integration

OTHERS = ("oms-2", "oms-3")
SOUTH = Scope("FUND_HALT", "south")
PAPER = tuple(seat.account_id for oms in OMS_IDS for seat in seats(oms) if seat.trading == "paper")
MINUTES_NS = 10 * 60 * 1_000_000_000


@pytest.fixture
async def floor(nats_server: NatsHandle) -> AsyncIterator[Floor]:
    one = Floor(nats_server)
    try:
        await one.register()
        yield one
    finally:
        await asyncio.to_thread(one.end)


@pytest.fixture
async def proxy(floor: Floor) -> AsyncIterator[FaultProxy]:
    """What stands between oms-1 and the server."""
    async with FaultProxy(floor.settings.nats.port) as one:
        floor.start_halt()
        floor.start_oms("oms-1", MTS_NATS_URL=one.url)
        for oms_id in OTHERS:
            floor.start_oms(oms_id)
        await floor.trading()
        yield one


@pytest.mark.parametrize(
    ("to_server", "to_client"), [(True, True), (False, True)], ids=["both ways", "it cannot hear"]
)
async def test_who_cannot_hear_opens_nothing_after_three_seconds_and_obeys_when_it_hears_again(
    floor, proxy, to_server, to_client
):
    proxy.hold(to_server=to_server, to_client=to_client)
    halt_id = await floor.halt(FIRM)
    await floor.acknowledged(halt_id, by=OTHERS)
    await asyncio.sleep(3.5)  # the lease of three seconds lapses
    since_ns = now_ns()
    await asyncio.sleep(1.5)  # the time in which it must not open anything
    assert floor.opened("oms-1", since_ns, now_ns()) == []
    proxy.heal()
    await floor.acknowledged(halt_id)
    assert await floor.events(HaltLifted) == []
    assert (await floor.history()).problems() == []


async def test_who_cannot_be_heard_blocks_and_is_missed_within_seconds(floor, proxy):
    proxy.hold(to_server=True, to_client=False)
    halt_id = await floor.halt(FIRM)
    await floor.acknowledged(halt_id, by=OTHERS)

    async def missed() -> bool:
        found = [each.data for each in await floor.events(FindingRaised)]
        return any("oms-1" in each.title + str(each.details) for each in found)

    await eventually(missed, "somebody says that oms-1 is missing")
    sent = floor.sent("oms-1")
    await asyncio.sleep(1)  # the time in which it must not send anything
    assert floor.sent("oms-1") == sent
    proxy.heal()
    await floor.acknowledged(halt_id)
    assert (await floor.history()).problems() == []


async def test_a_lift_that_an_order_system_cannot_hear_does_not_reach_it_before_it_can(
    floor, proxy
):
    halt_id = await floor.halt(SOUTH)
    await floor.acknowledged(halt_id)
    proxy.hold()
    await floor.ask_to_resume([halt_id])
    await floor.lifted(halt_id)
    assert _sent_of(floor, "oms-1", "south", now_ns()) == []
    since_ns = now_ns()
    await asyncio.sleep(1)  # the time in which it must not trade for the halted fund
    assert _sent_of(floor, "oms-1", "south", since_ns) == []
    proxy.heal()
    await eventually(lambda: _sent_of(floor, "oms-1", "south", since_ns), "it trades again")
    assert (await floor.history()).problems() == []


def _sent_of(floor: Floor, oms_id: str, fund_id: str, since_ns: int) -> list[str]:
    wanted, sent = {}, []
    for line in read_tape(floor.tape(oms_id)):
        if isinstance(line, Wanted):
            wanted[line.ticket.order_id] = line.fund_id
        elif isinstance(line, Sent) and line.at_ns > since_ns and wanted[line.order_id] == fund_id:
            sent.append(line.order_id)
    return sent


@pytest.mark.parametrize("minutes_ns", [MINUTES_NS, -MINUTES_NS], ids=["ahead", "behind"])
async def test_clocks_that_are_wrong_by_minutes_change_nothing(floor, tmp_path, minutes_ns):
    skewed = skewed_clock(tmp_path, minutes_ns)
    floor.start_halt()
    floor.start_oms("oms-1", PYTHONPATH=skewed)
    for oms_id in OTHERS:
        floor.start_oms(oms_id)
    await floor.holds(PAPER)
    halt_id = await floor.halt(SOUTH)
    await floor.acknowledged(halt_id)
    await floor.order(orders_of_people.flatten("operator", halt_id, "south", PAPER, "a story"))
    await floor.acknowledged(halt_id, "FLAT")
    await floor.ask_to_resume([halt_id])
    await floor.lifted(halt_id)
    await floor.trading()
    assert (await floor.history({"oms-1": minutes_ns})).problems() == []


async def test_a_halt_worker_whose_clock_is_wrong_by_minutes_halts_and_lifts(floor, tmp_path):
    floor.start_halt(PYTHONPATH=skewed_clock(tmp_path, -MINUTES_NS))
    for oms_id in OMS_IDS:
        floor.start_oms(oms_id)
    await floor.trading()
    halt_id = await floor.halt(SOUTH)
    await floor.acknowledged(halt_id)
    await floor.ask_to_resume([halt_id])
    await floor.lifted(halt_id)
    await floor.trading()
    assert (await floor.history()).problems() == []


def skewed_clock(folder: Path, offset_ns: int) -> str:
    """Return a folder for PYTHONPATH that shifts the wall clock of a process."""
    (folder / "sitecustomize.py").write_text(
        f"import time\nreal = time.time_ns\ntime.time_ns = lambda: real() + {offset_ns}\n"
    )
    return str(folder)


async def test_a_signed_command_is_obeyed_while_every_halt_worker_is_dead(floor):
    floor.start_all()
    await floor.trading()
    floor.kill("halt-1")
    halt_id = await floor.halt(FIRM)
    await floor.acknowledged(halt_id)
    assert await floor.events(HaltRequested) == []
    sent = {oms_id: floor.sent(oms_id) for oms_id in OMS_IDS}
    await asyncio.sleep(1)  # the time in which they must not send anything
    assert {oms_id: floor.sent(oms_id) for oms_id in OMS_IDS} == sent
    floor.start_halt()
    await eventually(lambda: floor.events(HaltRequested), "the halt worker decides it too")
    resume = await floor.ask_to_resume([halt_id])
    await eventually(lambda: floor.events(ResumeRequested), "the co-sign request is open")
    await floor.cosign(resume)
    await floor.lifted(halt_id)
    await floor.trading()
    assert (await floor.history()).problems() == []


async def test_the_file_halt_stops_an_order_system_without_nats_and_its_removal_lifts_nothing(
    floor,
):
    floor.start_all()
    await floor.trading()
    floor.nats.kill()
    file = floor.home / "paper" / "oms-1" / "HALT"
    file.write_text("smoke in the room")
    memory = file.with_name("oms.json")
    await eventually(lambda: MemoryFile(memory).now.file, "it saw the file and blocks")
    sent = floor.sent("oms-1")
    await asyncio.sleep(1)  # the time in which it must not send anything
    assert floor.sent("oms-1") == sent
    file.unlink()
    await asyncio.to_thread(floor.nats.start)
    request = (
        await eventually(
            lambda: floor.events(HaltRequested), "the file becomes a halt of this order system"
        )
    )[0]
    assert request.strategy_id == "oms.oms-1"
    sent = floor.sent("oms-1")
    await floor.trading(*OTHERS)
    assert floor.sent("oms-1") == sent
    await floor.ask_to_resume([request.data.halt_id])
    await floor.lifted(request.data.halt_id)
    await floor.trading("oms-1")
    assert (await floor.history()).problems() == []


async def test_a_halt_during_a_flatten_waits_for_nothing_and_frees_nothing(floor):
    floor.start_all()
    await floor.holds(PAPER)
    halt_id = await floor.halt(SOUTH)
    await floor.order(orders_of_people.flatten("operator", halt_id, "south", PAPER, "a story"))
    firm_id = await floor.halt(FIRM)
    floor.restart("oms-1")
    await floor.acknowledged(firm_id)
    await floor.acknowledged(halt_id, "FLAT")
    await floor.ask_to_resume([halt_id])
    await floor.lifted(halt_id)
    sent = {oms_id: floor.sent(oms_id) for oms_id in OMS_IDS}
    await asyncio.sleep(1)  # the time in which they must not send anything
    assert {oms_id: floor.sent(oms_id) for oms_id in OMS_IDS} == sent
    assert (await floor.history()).problems() == []
