"""What an order system says reaches the stream, whatever happens to connections on the way."""

import asyncio

import pytest
from halting import Firm
from support import eventually

from operations.adapters import wire
from operations.adapters.oms_link import BusClock, Outbox, is_drained, stream_state
from operations.adapters.tasks import end_tasks
from operations.clock import NANOSECONDS, now_ns
from operations.events.halts import Acknowledgement, HaltAcknowledged

ACKNOWLEDGED = "mts.v1.operations.halt.acknowledged.oms-1"
HOUR_NS = 3600 * NANOSECONDS


def said(halt_id: str, oms_id: str = "oms-1") -> HaltAcknowledged:
    data = Acknowledgement(oms_id=oms_id, halt_id=halt_id, phase="RECEIVED", via="core")
    return HaltAcknowledged(subject_id=halt_id, data=data)


@pytest.mark.unit
def test_the_time_of_the_bus_counts_and_not_the_clock_of_this_machine():
    clock = BusClock()
    clock.set(now_ns() + HOUR_NS)
    assert clock.now_ns() - now_ns() > HOUR_NS - 5 * NANOSECONDS
    clock.saw(now_ns())  # a message of an hour ago says nothing about now
    assert clock.now_ns() - now_ns() > HOUR_NS - 5 * NANOSECONDS
    clock.saw(now_ns() + 2 * HOUR_NS)
    assert clock.now_ns() - now_ns() > 2 * HOUR_NS - 5 * NANOSECONDS


@pytest.mark.integration
async def test_what_was_put_before_there_was_a_connection_is_stored_once_and_in_order(nats_server):
    firm = Firm(nats_server)
    outbox = Outbox("oms-1", firm.signer("oms-1"))
    for number in range(20):
        outbox.put(said(f"h-{number}"))
    async with wire.connection(firm.settings("oms-1").nats, "oms-1") as client:
        serving = asyncio.create_task(outbox.serve(client))
        await eventually(lambda: not outbox.waiting, message="all stored")
        await end_tasks(serving)
    stored = await firm.stored(ACKNOWLEDGED)
    assert [event.data.halt_id for event in stored] == [f"h-{number}" for number in range(20)]


@pytest.mark.integration
async def test_what_has_no_answer_is_sent_again_on_the_next_connection(nats_server):
    firm = Firm(nats_server)
    outbox = Outbox("oms-1", firm.signer("oms-1"))
    for lost in (True, False):
        async with wire.connection(firm.settings("oms-1").nats, "oms-1") as client:
            if lost:
                nats_server.pause()
            serving = asyncio.create_task(outbox.serve(client))
            outbox.put(said(f"h-{lost}"))
            if lost:
                await asyncio.sleep(0)
                nats_server.kill()
            else:
                await eventually(lambda: not outbox.waiting, message="stored")
            await end_tasks(serving)
        if lost:
            await asyncio.to_thread(nats_server.start)
    stored = await firm.stored(ACKNOWLEDGED)
    assert sorted(event.data.halt_id for event in stored) == ["h-False", "h-True"]


@pytest.mark.integration
async def test_speaking_for_another_order_system_is_refused_and_said(nats_server):
    firm = Firm(nats_server)
    outbox = Outbox("oms-1", firm.signer("oms-1"))
    async with wire.connection(firm.settings("oms-1").nats, "oms-1") as client:
        serving = asyncio.create_task(outbox.serve(client))
        outbox.put(said("h-1", "oms-2"))
        await eventually(lambda: any("ermission" in each for each in client.problems))
        assert outbox.waiting == 1
        await end_tasks(serving)
    assert await firm.stored("mts.v1.operations.halt.acknowledged.oms-2") == []


@pytest.mark.integration
async def test_the_stream_tells_its_identity_its_end_and_the_time(nats_server):
    firm = Firm(nats_server)
    clock = BusClock()
    async with wire.connection(firm.settings("oms-1").nats, "oms-1") as client:
        state = await stream_state(client, "MTS", clock)
        assert state.created_ns > 0
        assert state.last_sequence == 0
        assert abs(clock.now_ns() - now_ns()) < 60 * NANOSECONDS
        assert await is_drained(client, "MTS", "oms-1")
