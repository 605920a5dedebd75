"""Does a paper order system obey in every mode, and find its orders again after kill -9?"""

import asyncio
from collections.abc import AsyncIterator

import pytest
from floor import Floor
from support import NatsHandle, eventually

from operations.clock import now_ns
from operations.events.halts import HaltAcknowledged
from operations.events.orders import (
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    OrderSubmitted,
)
from operations.halt.state import FIRM
from workers.paper_tape import CancelWanted, Sent, Wanted, read_tape

pytestmark = pytest.mark.integration
ONE = ("oms-1",)


@pytest.fixture
async def floor(nats_server: NatsHandle) -> AsyncIterator[Floor]:
    one = Floor(nats_server)
    try:
        await one.register()
        one.start_halt()
        yield one
    finally:
        await asyncio.to_thread(one.end)


async def test_a_deaf_order_system_obeys_what_the_stream_tells_it(floor):
    floor.start_oms("oms-1", MTS_PAPER_MODE="deaf")
    await floor.trading("oms-1")
    halt_id = await floor.halt(FIRM)
    await floor.acknowledged(halt_id, by=ONE)
    (blocking,) = [
        event.data
        for event in await floor.events(HaltAcknowledged)
        if event.data.phase == "BLOCKING"
    ]
    assert blocking.via == "stream"
    assert (await floor.history()).problems() == []


async def test_what_a_slow_venue_accepts_after_the_halt_is_canceled(floor):
    floor.start_oms("oms-1", MTS_PAPER_MODE="slow")
    await eventually(lambda: floor.sent("oms-1") > 20, "orders are on their way")
    halt_id = await floor.halt(FIRM)
    await floor.acknowledged(halt_id, by=ONE)

    async def late_ones_are_canceled() -> bool:
        accepted = {event.order_id for event in await floor.events(OrderAccepted)}
        wanted = [line for line in read_tape(floor.tape("oms-1")) if isinstance(line, CancelWanted)]
        late = {line.order_id for line in wanted if line.halt_id == halt_id}
        canceled = {
            event.order_id
            for event in await floor.events(OrderCanceled)
            if event.data.halt_id == halt_id
        }
        filled = {event.order_id for event in await floor.events(OrderFilled)}
        return bool(late & canceled) and late <= (canceled | filled) & accepted

    await eventually(late_ones_are_canceled)
    assert (await floor.history()).problems() == []


async def test_an_order_system_that_is_killed_finds_its_orders_again(floor):
    floor.start_oms("oms-1")
    await floor.trading("oms-1")
    for _ in range(3):
        floor.restart("oms-1")
        await floor.trading("oms-1")
    before = sent_by(floor)

    async def found_again() -> bool:
        kinds = (OrderAccepted, OrderRejected)
        answers = [each for kind in kinds for each in await floor.events(kind)]
        return before <= {each.order_id for each in answers}

    await eventually(found_again, "what the venue said to each is published")
    history = await floor.history()
    assert history.problems() == []
    submitted = {each.event.order_id for each in history.of(OrderSubmitted)}
    assert sent_by(floor) <= submitted


def sent_by(floor: Floor) -> set[str]:
    return {line.order_id for line in read_tape(floor.tape("oms-1")) if isinstance(line, Sent)}


async def test_what_the_stream_lacked_when_it_was_killed_is_published_once_it_is_back(floor):
    floor.start_oms("oms-1")
    await floor.trading("oms-1")
    floor.nats.kill()
    tape = read_tape(floor.tape("oms-1"))
    known = {line.ticket.order_id for line in tape if isinstance(line, Wanted)}
    await eventually(lambda: sent_by(floor) - known, "it goes on without the server")
    floor.kill("oms-1")
    await asyncio.to_thread(floor.nats.start)
    sent = sent_by(floor)
    before = {event.order_id for event in await floor.events(OrderSubmitted)}
    assert sent - before
    floor.restart("oms-1")
    await floor.trading("oms-1")
    history = await floor.history()
    assert history.problems() == []
    assert sent <= {each.event.order_id for each in history.of(OrderSubmitted)}


async def test_without_a_halt_worker_only_what_reduces_passes(floor):
    floor.start_oms("oms-1")
    await floor.trading("oms-1")
    floor.kill("halt-1")
    await floor.denied("oms-1", "LEASE_LAPSED")
    since_ns = now_ns()
    await asyncio.sleep(2)  # the time in which it must not open anything
    until_ns = now_ns()
    assert floor.opened("oms-1", since_ns, until_ns) == []
    floor.start_halt()
    await floor.opens("oms-1")
    assert (await floor.history()).problems() == []
