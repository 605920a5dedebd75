"""An order system is killed right before and right after each kind of step that it takes.

It kills itself, so that no moment is missed: at each step that it never died at before. What it
was told meanwhile it must have done in the end, once. `bench/kill_oms.py` does it many times.
"""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from floor import Floor
from killing import (
    CRASHING,
    NORTH,
    OMS,
    ONCE,
    PAPER,
    SOUTH,
    acknowledged,
    is_told_and_does_it,
    it_died,
    it_dies_at,
    memory,
    none_is_missing,
    start,
)
from support import NatsHandle, eventually

from operations.adapters.orders_of_people import flatten
from operations.clock import NANOSECONDS, now_ns, rfc3339
from operations.events.halts import HaltRequested

pytestmark = pytest.mark.integration


@pytest.fixture
async def floor(nats_server: NatsHandle) -> AsyncIterator[Floor]:
    one = Floor(nats_server)
    try:
        await one.register()
        yield one
    finally:
        await asyncio.to_thread(one.end)


async def test_killed_at_each_step_it_does_once_what_it_was_told(floor):
    kills = start(floor, times=1, chance=1)
    async with floor.revived(OMS):
        halt_ids = await is_told_and_does_it(floor)
        await eventually(lambda: none_is_missing(kills), "it was killed at each step")
    history = await floor.history()
    assert history.problems() == []
    assert history.exits() >= 1
    assert {each.event.data.halt_id for each in history.of(HaltRequested)} == halt_ids


class Over:
    """Whether so many seconds have passed."""

    def __init__(self, seconds: int) -> None:
        self.at_ns = now_ns() + seconds * NANOSECONDS

    def __call__(self) -> bool:
        return now_ns() > self.at_ns


async def test_a_flatten_that_went_void_while_it_was_dead_is_refused_and_closes_nothing(floor):
    """Killed after it began, and before and after it remembers that it has said so."""
    floor.start_halt()
    await it_dies_at(floor, ONCE)
    program = (str(CRASHING), "after remember flatten", "1", "KILL", "paper_oms")
    floor.start_oms(OMS, *program, MTS_PAPER_STEP_MS="20")
    await eventually(lambda: floor.history_of(OMS).held(OMS, PAPER) > 2, "it holds")
    halt_id = await floor.halt(SOUTH)
    await acknowledged(floor, halt_id, "BLOCKING")
    process = floor.processes[OMS]
    while process.poll() is None:  # an order that comes late does nothing
        command, over = flatten("operator", halt_id, "south", PAPER, "a story"), Over(20)
        data = msgspec.structs.replace(command.data, expires_at=rfc3339(over.at_ns))
        await floor.order(msgspec.structs.replace(command, data=data))
        await eventually(lambda over=over: over() or process.poll() is not None)
    await it_died(floor)
    await eventually(over, "the order is void")
    await it_dies_at(floor, "before remember REFUSED", "after remember REFUSED")
    floor.start_oms(OMS, MTS_PAPER_STEP_MS="20")
    other_id = await floor.halt(NORTH)
    await acknowledged(floor, other_id, "BLOCKING")
    assert memory(floor).done[halt_id][-1] == "REFUSED"
    assert await floor.who(halt_id, "REFUSED") == {OMS}
    history = await floor.history()
    assert history.problems() == []
    assert (history.exits(), history.held(OMS, PAPER) > 0) == (0, True)
