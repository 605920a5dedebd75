"""A trading floor of real processes is halted and hurt: does everybody obey, and nobody resume?

Each story ends with the checker of the whole history.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
from floor import Floor
from support import NatsHandle, eventually

from operations.adapters import orders_of_people
from operations.events.halts import HaltLifted, ResumeRequested
from operations.events.orders import GateRejected, OrderCanceled
from operations.halt.state import FIRM, Scope
from operations.simulation.order_flow import OMS_IDS, seats

pytestmark = pytest.mark.integration

RUNAWAY = "north-trend"
SOUTH = Scope("FUND_HALT", "south")
PAPER = tuple(seat.account_id for oms in OMS_IDS for seat in seats(oms) if seat.trading == "paper")


@pytest.fixture
async def floor(nats_server: NatsHandle) -> AsyncIterator[Floor]:
    one = Floor(nats_server)
    try:
        await one.register()
        yield one
    finally:
        await asyncio.to_thread(one.end)


async def test_a_runaway_strategy_is_halted_in_three_order_systems_and_trades_again(floor):
    floor.start_all(MTS_PAPER_RUNAWAY=RUNAWAY, MTS_PAPER_RUNAWAY_STEP="20")
    await floor.trading()
    halt_id = await floor.halt(Scope("STRATEGY_HALT", RUNAWAY))
    await floor.acknowledged(halt_id)

    async def denied() -> bool:
        found = [
            event
            for event in await floor.events(GateRejected)
            if event.strategy_id == RUNAWAY and event.data.halt_id == halt_id
        ]
        return {event.actor for event in found} == set(OMS_IDS)

    await eventually(denied, "every order system denies the runaway")
    await floor.trading()  # the other strategies go on
    assert {event.data.halt_id for event in await floor.events(OrderCanceled)} <= {None, halt_id}
    await floor.ask_to_resume([halt_id])
    await floor.lifted(halt_id)
    assert (await floor.history()).problems() == []


async def test_a_firm_halt_is_lifted_by_two_people_and_not_by_one(floor):
    floor.start_all()
    await floor.trading()
    halt_id = await floor.halt(FIRM)
    await floor.acknowledged(halt_id)
    before = {oms_id: floor.sent(oms_id) for oms_id in OMS_IDS}
    resume = await floor.ask_to_resume([halt_id])
    await eventually(lambda: floor.events(ResumeRequested), "the co-sign request is open")
    assert await floor.events(HaltLifted) == []
    assert {oms_id: floor.sent(oms_id) for oms_id in OMS_IDS} == before
    await floor.cosign(resume)
    await floor.lifted(halt_id)
    await floor.trading()
    assert (await floor.history()).problems() == []


async def kill_halt_worker(floor: Floor) -> None:
    floor.restart("halt-1")


async def pause_halt_worker(floor: Floor) -> None:
    floor.pause("halt-1")
    await asyncio.sleep(1)  # the outage itself
    floor.resume("halt-1")


async def kill_nats(floor: Floor) -> None:
    floor.nats.kill()
    await asyncio.to_thread(floor.nats.start)


async def pause_nats(floor: Floor) -> None:
    floor.nats.pause()
    await asyncio.sleep(1)  # the outage itself
    floor.nats.resume()


async def kill_order_system(floor: Floor) -> None:
    floor.restart("oms-1")


async def pause_order_system(floor: Floor) -> None:
    floor.pause("oms-1")
    await asyncio.sleep(1)  # the outage itself
    floor.resume("oms-1")


INJURIES = (
    kill_halt_worker, pause_halt_worker, kill_nats, pause_nats, kill_order_system,
    pause_order_system,
)  # fmt: skip


@pytest.mark.parametrize("injure", INJURIES, ids=lambda injure: injure.__name__)
async def test_a_halt_a_cancel_a_flatten_and_a_resume_survive_an_injury_at_each_step(floor, injure):
    floor.start_all()
    await floor.holds(PAPER)
    # A halt.
    halt_id = await floor.halt(SOUTH)
    await injure(floor)
    await floor.acknowledged(halt_id)
    # A cancel.
    command = orders_of_people.cancel_all("operator", SOUTH, "a story")
    await floor.order(command)
    await injure(floor)
    await floor.acknowledged(command.data.command_id, "CANCEL_CONFIRMED")
    # A flatten.
    await floor.order(orders_of_people.flatten("operator", halt_id, "south", PAPER, "a story"))
    await injure(floor)
    await floor.acknowledged(halt_id, "FLAT")
    # A resume.
    await floor.ask_to_resume([halt_id])
    await injure(floor)
    await floor.lifted(halt_id)
    await floor.trading()
    history = await floor.history()
    assert history.problems() == []
    assert history.exits() >= len(OMS_IDS)
    assert len(history.of(HaltLifted)) == 1
