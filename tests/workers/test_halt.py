"""Does a halt worker stop what it is asked to stop, at once, and lift only what people signed?"""

import signal
from hashlib import sha256

import pytest
from halting import (
    HALTS,
    REQUESTED,
    Firm,
    WorkerProcess,
    cosign_order,
    envelope,
    halt_order,
    loss,
    ready,
    resume_order,
)
from support import NatsHandle, eventually

from operations.events.base import encode
from operations.events.halts import Halt, HaltRequested
from operations.halt.signals import HEARTBEAT
from workers import halt

pytestmark = pytest.mark.integration
LIFTED = "mts.v1.operations.halt.lifted"


@pytest.fixture
def firm(nats_server: NatsHandle) -> Firm:
    return Firm(nats_server)


async def test_a_person_halts_the_firm_and_two_people_lift_it(firm):
    async with firm.working() as workers, firm.connected("operator") as person:
        await ready(*workers)
        await person.listen(HALTS)
        await person.send(halt_order("h1"), "operator")
        heard = await person.hears(REQUESTED, halt_id="h1")
        assert heard["data"]["requested_by"] == "operator"
        await eventually(lambda: holds(firm, {"h1"}), message="it is stored")

        resume = resume_order("r1", "h1")
        await person.send(resume, "operator")
        await person.hears("mts.v1.operations.halt.resume_requested", resume_id="r1")
        digest = sha256(encode(resume)).hexdigest()
        await person.send(cosign_order("r1", digest), "cosigner")
        lifted = await person.hears(LIFTED, resume_id="r1")
        assert lifted["data"]["signed_by"] == ["operator", "cosigner"]
        await eventually(lambda: holds(firm, set()), message="it is lifted")


async def test_a_finding_halts_a_fund_and_one_person_lifts_it(firm):
    async with (
        firm.working() as workers,
        firm.connected("limits") as limits,
        firm.connected("operator") as person,
    ):
        await ready(*workers)
        await person.listen(HALTS)
        await limits.send(loss("alpha"), "service-limits")
        heard = await person.hears(REQUESTED, reason_code="DAILY_LOSS")
        assert heard["fund_id"] == "alpha"
        halt_id = heard["data"]["halt_id"]
        await eventually(lambda: holds(firm, {halt_id}))
        await person.send(resume_order("r1", halt_id), "operator")
        await person.hears(LIFTED, resume_id="r1")
        await eventually(lambda: holds(firm, set()))


async def holds(firm: Firm, halt_ids: set[str]) -> bool:
    return await firm.active() == halt_ids


@pytest.mark.parametrize(("fund", "lifts"), [("alpha", False), ("beta", True)])
async def test_a_lift_loses_against_a_newer_request_in_its_scope_and_no_other(firm, fund, lifts):
    worker = WorkerProcess(firm).start("lifting", "1", "STOP")
    try:
        async with firm.connected("operator") as person, firm.connected("halt") as other:
            await person.listen(HALTS)
            await worker.ready()
            await person.send(halt_order("h1", "FUND_HALT", fund_id="alpha"), "operator")
            await eventually(lambda: holds(firm, {"h1"}))
            await person.send(resume_order("r1", "h1"), "operator")
            await worker.paused()
            newer = Halt(halt_id="h2", level="FUND_HALT", reason_code="MANUAL", requested_by="x")
            request = HaltRequested(**envelope("h2", fund_id=fund), data=newer)
            await other.send(request, "service-halt")
            await eventually(lambda: holds(firm, {"h1", "h2"}))
            worker.send(signal.SIGCONT)
            if lifts:
                await eventually(lambda: holds(firm, {"h2"}), "it is lifted after all")
            else:
                await person.hears("mts.v1.operations.halt.resume_denied", resume_id="r1")
                assert await firm.active() == {"h1", "h2"}
    finally:
        worker.end()


async def test_what_a_forgetful_stream_would_drop_is_published_again(firm, monkeypatch):
    monkeypatch.setattr(halt, "DAY_NS", 2_000_000_000)
    monkeypatch.setattr(halt, "RENEW_SECONDS", 0.2)
    firm.max_age_days = 1
    async with firm.working() as workers, firm.connected("operator") as person:
        await ready(*workers)
        await person.listen(REQUESTED)
        await person.send(halt_order("h1"), "operator")
        await eventually(lambda: len(person.heard) >= 2, "it is said again")
        assert {event["data"]["halt_id"] for _, event in person.heard} == {"h1"}


async def test_a_setting_says_which_automatic_halts_only_reduce(nats_server):
    firm = Firm(nats_server, reduce_only="strategy, fund:alpha")
    async with (
        firm.working() as workers,
        firm.connected("limits") as limits,
        firm.connected("operator") as person,
    ):
        await ready(*workers)
        await person.listen(HALTS)
        for fund, mode in (("alpha", "REDUCE_ONLY"), ("beta", None)):
            await limits.send(loss(fund), "service-limits")
            heard = await eventually(lambda fund=fund: found(person, fund), message=fund)
            assert heard["data"].get("mode") == mode  # null is the default, which blocks all


def found(person, fund):
    return next((event for _, event in person.heard if event.get("fund_id") == fund), None)


async def test_each_second_it_says_what_holds(firm):
    async with firm.working() as workers, firm.connected("operator") as person:
        await person.listen(HEARTBEAT)
        await ready(*workers)
        await eventually(lambda: len(person.heard) >= 2)
        first, second = (beat for _, beat in person.heard[:2])
        assert second["count"] == first["count"] + 1
        assert (second["worker"], second["active"]) == ("halt-1", 0)
        await person.listen(HALTS)
        await person.send(halt_order("h1"), "operator")
        await eventually(lambda: any(beat.get("active") == 1 for _, beat in person.heard))
