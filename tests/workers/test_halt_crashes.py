"""Is no halt lost and none doubled, whatever is killed, paused, lost or frozen at which step?"""

import json
import shutil
import signal

import msgspec
import pytest
from halting import (
    HALTS,
    REQUESTED,
    Firm,
    WorkerProcess,
    halt_order,
    loss,
    ready,
    resume_order,
)
from pipeline import fill, orders
from support import NatsHandle, eventually

from operations.clock import now_ns, rfc3339
from operations.halt.signals import HEARTBEAT, Held, Report, report_subject
from operations.signing.message import HEADER

pytestmark = pytest.mark.integration
STEPS = ("heard", "decided", "journaled", "said", "stored", "read", "synced")


@pytest.fixture
def firm(nats_server: NatsHandle) -> Firm:
    return Firm(nats_server)


@pytest.fixture
def worker(firm):
    process = WorkerProcess(firm)
    yield process
    process.end()


async def requested(firm: Firm) -> list[str]:
    """The halt ids of all stored requests, in order."""
    return [event.data.halt_id for event in await firm.stored(REQUESTED)]


async def one_is_stored(firm: Firm) -> bool:
    return len(await requested(firm)) == 1


@pytest.mark.parametrize("step", STEPS)
async def test_killed_at_any_step_the_next_one_decides_what_is_left_once(firm, worker, step):
    count = 20 if step == "synced" else 1
    worker.start(step, str(count), "KILL")
    async with firm.connected("limits") as limits, firm.connected("operator") as person:
        await person.listen(HEARTBEAT)
        if step not in ("read", "synced"):
            await eventually(lambda: person.heard, "it works")
        await limits.send(loss("alpha"), "service-limits")
        await worker.died()
        worker.start()
        await worker.ready()
        await eventually(lambda: one_is_stored(firm), "the halt is stored")
    assert len(await firm.active()) == 1


async def test_killed_before_a_lift_is_published_the_next_one_lifts_once(firm, worker):
    worker.start("lifting", "1", "KILL")
    async with firm.connected("operator") as person:
        await worker.ready()
        await person.send(halt_order("h1", "STRATEGY_HALT", strategy_id="s"), "operator")
        await eventually(lambda: holds(firm, {"h1"}))
        await person.send(resume_order("r1", "h1"), "operator")
        await worker.died()
        assert await firm.active() == {"h1"}
        worker.start()
        await eventually(lambda: holds(firm, set()), "it is lifted")
        assert len(await firm.stored("mts.v1.operations.halt.lifted")) == 1


@pytest.mark.parametrize("step", ["heard", "journaled", "said"])
async def test_while_one_is_paused_at_a_step_another_decides_and_nothing_is_doubled(
    firm, worker, step
):
    worker.start(step, "1", "STOP")
    async with (
        firm.working(2) as others,
        firm.connected("limits") as limits,
        firm.connected("operator") as person,
    ):
        await person.listen(HEARTBEAT)
        await eventually(
            lambda: {beat["worker"] for _, beat in person.heard} == {"halt-1", "halt-2"}
        )
        await ready(*others)
        await limits.send(loss("alpha"), "service-limits")
        await worker.paused()
        await eventually(lambda: one_is_stored(firm), "the halt is stored")
        person.heard.clear()
        worker.send(signal.SIGCONT)
        await eventually(
            lambda: any(
                beat["worker"] == "halt-1" and beat["active"] == 1 for _, beat in person.heard
            ),
            "it goes on",
        )
    assert len(await requested(firm)) == 1


async def test_two_halt_workers_agree_and_the_stream_holds_each_decision_once(firm):
    async with firm.working(1, 2) as workers, firm.connected("operator") as person:
        await ready(*workers)
        await person.listen(HEARTBEAT)
        for number in range(20):
            order = halt_order(f"h{number}", "STRATEGY_HALT", strategy_id=f"s{number}")
            await person.send(order, "operator")

        def agreed() -> bool:
            last = {beat["worker"]: beat for _, beat in person.heard if beat["active"] == 20}
            return len(last) == 2 and len({beat["state_hash"] for beat in last.values()}) == 1

        await eventually(agreed, "both hold the same")
    assert sorted(await requested(firm)) == sorted(f"h{number}" for number in range(20))
    activated = await firm.stored("mts.v1.operations.halt.activated")
    assert len(activated) == len({event.event_id for event in activated}) == 20


@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_a_nats_server_that_comes_back_finds_the_halts_and_takes_new_ones(firm, how):
    async with firm.working() as workers:
        await ready(*workers)
        async with firm.connected("operator") as person:
            await person.send(halt_order("h1"), "operator")
            await eventually(lambda: holds(firm, {"h1"}))
        if how == "kill":
            firm.nats.kill()
            firm.nats.start()
        else:
            firm.nats.restart()
        await eventually(lambda: not workers[0].conditions.ready, "it noticed")
        await ready(*workers)
        async with firm.connected("operator") as person:
            await person.send(halt_order("h2"), "operator")
            await eventually(lambda: holds(firm, {"h1", "h2"}))


@pytest.mark.parametrize("instance", [1, 2])  # the second one has no journal of it
async def test_a_worker_that_starts_later_says_nothing_that_was_said_before(firm, instance):
    async with firm.connected("operator") as person, firm.connected("limits") as limits:
        async with firm.working() as workers:
            await ready(*workers)
            await limits.send(loss("alpha"), "service-limits")
            await person.send(halt_order("h1"), "operator")
            await eventually(lambda: two_are_stored(firm))
            activated = "mts.v1.operations.halt.activated"
            await eventually(lambda: counts(firm, activated, 2))
        await person.listen(HALTS)
        await person.listen(HEARTBEAT)
        async with firm.working(instance):
            await eventually(lambda: any("active" in beat for _, beat in person.heard))
            await eventually(lambda: len(person.heard) >= 2)
        assert {name for name, _ in person.heard} == {HEARTBEAT}


async def counts(firm: Firm, subject: str, wanted: int) -> bool:
    return len(await firm.stored(subject)) == wanted


async def two_are_stored(firm: Firm) -> bool:
    return len(await requested(firm)) == 2


async def holds(firm: Firm, halt_ids: set[str]) -> bool:
    return await firm.active() == halt_ids


async def test_a_server_that_says_nothing_for_a_while_halts_nobody_and_is_used_again(nats_server):
    firm = Firm(nats_server, frozen_seconds=0.1)
    async with firm.working() as workers:
        await ready(*workers)
        firm.nats.pause()
        try:
            await eventually(lambda: not workers[0].conditions.ready, "it noticed")
        finally:
            firm.nats.resume()
        await ready(*workers)
        async with firm.connected("operator") as person:
            await person.send(halt_order("h1"), "operator")
            await eventually(lambda: holds(firm, {"h1"}))


async def test_halts_that_the_stream_lost_come_back_from_the_journal(firm):
    async with firm.working() as workers:
        await ready(*workers)
        async with firm.connected("operator") as person:
            await person.send(halt_order("h1"), "operator")
            await person.send(halt_order("h2", "FUND_HALT", fund_id="alpha"), "operator")
            await eventually(lambda: holds(firm, {"h1", "h2"}))
        firm.nats.stop()
        await eventually(lambda: not workers[0].conditions.ready, "it noticed")
        shutil.rmtree(firm.nats._folder / "jetstream", ignore_errors=False)
        firm.nats.start()
        await eventually(lambda: holds(firm, {"h1", "h2"}), "the stream has them again")


async def test_halts_that_only_an_order_system_remembers_come_back(firm):
    async with firm.working() as workers, firm.connected("oms-1") as system:
        await ready(*workers)
        report = Report(
            oms_id="oms-1", run="r", count=1, issued_at=rfc3339(now_ns()), build="1", sequence=0,
            state_hash="0", mode=None, why=(), held_count=1,
            held=(Held(halt_id="lost", level="FUND_HALT", scope_id="alpha", mode="BLOCK_ALL"),),
            roster_version=1,
        )  # fmt: skip

        async def recovered() -> bool:
            await tell(system, report, "oms-1")
            return await firm.active() == {"lost"}

        await tell(system, report, "operator")  # signed by somebody else: it counts for nothing
        await eventually(recovered, "it is requested again")


async def tell(system, report: Report, key: str) -> None:
    subject = report_subject(report.oms_id)
    payload = msgspec.json.encode(report)
    headers = {HEADER: system.firm.signer(key)(subject, payload)}
    await system.client.publish(subject, payload, headers=headers)


async def freeze(nats: NatsHandle, **changes) -> None:
    admin = await nats.connect()
    found = json.loads((await admin.request("$JS.API.STREAM.INFO.MTS", b"")).data)
    config = found["config"] | {
        name: value(found) if callable(value) else value for name, value in changes.items()
    }
    answer = await admin.request("$JS.API.STREAM.UPDATE.MTS", json.dumps(config).encode())
    await admin.close()
    assert "error" not in json.loads(answer.data)


async def test_a_full_stream_delays_no_halt_and_gets_it_when_there_is_room(firm):
    async with firm.working() as workers, firm.connected("operator") as person:
        await ready(*workers)
        await person.listen(HALTS)
        await person.send(halt_order("h0", "STRATEGY_HALT", strategy_id="s"), "operator")
        await eventually(lambda: holds(firm, {"h0"}))
        await freeze(firm.nats, max_msgs=lambda found: found["state"]["messages"])
        await person.send(halt_order("h1"), "operator")
        await person.hears(REQUESTED, halt_id="h1")
        assert await firm.active() == {"h0"}
        await freeze(firm.nats, max_msgs=-1)
        await eventually(lambda: holds(firm, {"h0", "h1"}), "it is stored later")


async def test_a_stream_that_takes_nothing_for_too_long_reduces_the_firm(nats_server):
    firm = Firm(nats_server, frozen_seconds=1.0)
    async with firm.working() as workers, firm.connected("operator") as person:
        await ready(*workers)
        await person.listen(HALTS)
        await person.listen(HEARTBEAT)
        await person.send(halt_order("h0", "STRATEGY_HALT", strategy_id="s"), "operator")
        await person.hears(REQUESTED, halt_id="h0")
        await freeze(firm.nats, max_bytes=1)
        await person.hears(REQUESTED, mode="REDUCE_ONLY", level="FIRM_HALT")
        await eventually(lambda: any(beat.get("stream") == "full" for _, beat in person.heard))
        assert not workers[0].conditions.ready


async def test_a_stream_that_has_much_to_store_is_slow_and_not_frozen(nats_server):
    firm = Firm(nats_server, frozen_seconds=0.1)
    async with firm.working() as workers, firm.connected("operator") as person:
        await ready(*workers)
        await person.listen(HALTS)
        await fill(firm.nats, orders(8000))
        await person.send(halt_order("h1"), "operator")
        await person.hears(REQUESTED, halt_id="h1")
        assert {event["data"]["halt_id"] for name, event in person.heard if name == REQUESTED} == {
            "h1"
        }


async def test_with_the_setting_off_a_full_stream_reduces_nobody(nats_server):
    firm = Firm(nats_server, frozen_seconds=0.0, freeze_halts=False)
    async with firm.working() as workers, firm.connected("operator") as person:
        await ready(*workers)
        await person.listen(HALTS)
        await person.listen(HEARTBEAT)
        await person.send(halt_order("h0", "STRATEGY_HALT", strategy_id="s"), "operator")
        await person.hears(REQUESTED, halt_id="h0")
        await freeze(firm.nats, max_bytes=1)
        await eventually(lambda: sum(beat.get("stream") == "full" for _, beat in person.heard) > 1)
        found = [event["data"] for name, event in person.heard if name == REQUESTED]
        assert [each["halt_id"] for each in found] == ["h0"]


async def test_a_worker_that_starts_on_a_stream_that_says_nothing_halts_all_the_same(firm):
    admin = await firm.nats.connect()
    answer = await admin.request("$JS.API.STREAM.DELETE.MTS", b"")
    await admin.close()
    assert "error" not in json.loads(answer.data)
    async with firm.working() as workers, firm.connected("operator") as person:
        await person.listen(HALTS)
        await eventually(lambda: "nothing is lifted" in workers[0].conditions.get("worker").detail)
        await person.send(halt_order("h1"), "operator")
        await person.hears(REQUESTED, halt_id="h1")
