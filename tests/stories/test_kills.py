"""An order system is killed right before and right after each kind of step that it takes.

It kills itself, so that no moment is missed: at each step that it never died at before. What it
was told meanwhile it must have done in the end, once. `bench/kill_oms.py` does it many times.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
from floor import Floor
from killing import OMS, is_told_and_does_it, none_is_missing, start
from support import NatsHandle, eventually

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
