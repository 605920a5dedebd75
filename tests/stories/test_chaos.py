"""Halts, cancels, flattens and resumes at random, and injuries at random: does the checker agree?

The seed decides what is done and to whom; the moment at which it hits is the machine's own.
"""

import asyncio
from collections.abc import AsyncIterator
from random import Random
from types import NoneType

import pytest
from floor import Floor
from support import PATIENCE_SECONDS, NatsHandle, eventually

from operations.adapters import orders_of_people
from operations.errors import OperationsError
from operations.events.halts import HaltLifted, HaltRequested
from operations.halt.state import Scope, scope_of
from operations.simulation.order_flow import OMS_IDS, seats

pytestmark = pytest.mark.integration

ROUNDS = 10
LONGEST_PAUSE = 0.6
PAPER = tuple(seat.account_id for oms in OMS_IDS for seat in seats(oms) if seat.trading == "paper")
SCOPES = (
    Scope("FUND_HALT", "south"),
    Scope("FUND_HALT", "north"),
    Scope("STRATEGY_HALT", "north-value"),
    Scope("STRATEGY_HALT", "south-trend"),
)
PROCESSES = ("halt-1", "halt-2", *OMS_IDS)


@pytest.fixture
async def floor(nats_server: NatsHandle) -> AsyncIterator[Floor]:
    one = Floor(nats_server)
    try:
        await one.register()
        one.start_halt(1)
        one.start_halt(2)
        for oms_id in OMS_IDS:
            one.start_oms(oms_id)
        yield one
    finally:
        await asyncio.to_thread(one.end)


async def active(floor: Floor) -> dict[str, Scope]:
    requested = {each.data.halt_id: scope_of(each) for each in await floor.events(HaltRequested)}
    lifted = {one for each in await floor.events(HaltLifted) for one in each.data.halt_ids}
    return {halt_id: scope for halt_id, scope in requested.items() if halt_id not in lifted}


async def act(floor: Floor, chance: Random) -> None:
    """Let people order something."""
    halted = await active(floor)
    south = [halt_id for halt_id, scope in halted.items() if scope == SCOPES[0]]
    luck = chance.randrange(5)
    if luck < 2 or not halted:
        await floor.halt(chance.choice(SCOPES), chance.choice(("BLOCK_ALL", "REDUCE_ONLY")))
    elif luck == 2:
        await floor.order(orders_of_people.cancel_all("operator", chance.choice(SCOPES), "chaos"))
    elif luck == 3 and south:
        command = orders_of_people.flatten("operator", south[0], "south", PAPER, "chaos")
        await floor.order(command)
    else:
        await floor.ask_to_resume([chance.choice(sorted(halted))])


async def hurt(floor: Floor, chance: Random) -> None:
    """Let a machine fail in some way, for a moment."""
    name = chance.choice(PROCESSES)
    luck = chance.randrange(6)
    if luck < 2:
        floor.restart(name)
    elif luck < 4:
        floor.pause(name)
        await asyncio.sleep(chance.random() * LONGEST_PAUSE)  # the outage itself
        floor.resume(name)
    elif luck == 4:
        floor.nats.kill()
        await asyncio.to_thread(floor.nats.start)
    else:
        floor.nats.pause()
        await asyncio.sleep(chance.random() * LONGEST_PAUSE)  # the outage itself
        floor.nats.resume()


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_floor_that_is_hurt_at_random_keeps_its_word(floor, seed):
    chance = Random(seed)
    await floor.holds(PAPER)
    for _ in range(ROUNDS):
        acting = asyncio.create_task(act(floor, chance))
        await asyncio.sleep(chance.random() * LONGEST_PAUSE)  # any moment of what was ordered
        await hurt(floor, chance)
        await asyncio.wait([acting], timeout=PATIENCE_SECONDS)
        acting.cancel()
        (problem,) = await asyncio.gather(acting, return_exceptions=True)
        assert isinstance(problem, NoneType | OperationsError | asyncio.CancelledError), problem
    halted = await active(floor)
    for halt_id in halted:
        await floor.acknowledged(halt_id)
    if halted:
        await floor.ask_to_resume(sorted(halted))

    async def free() -> bool:
        return not await active(floor)

    await eventually(free, "every halt is lifted")
    for oms_id in OMS_IDS:
        await floor.opens(oms_id)
    assert (await floor.history()).problems() == []
