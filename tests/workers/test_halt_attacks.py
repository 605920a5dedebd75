"""Can anybody who may not halt or lift make a halt worker do it, or silence it?"""

import json
from hashlib import sha256

import msgspec
import pytest
from halting import (
    HALTS,
    REQUESTED,
    Firm,
    cosign_order,
    envelope,
    halt_order,
    loss,
    ready,
    resume_order,
)
from pipeline import RawPublisher
from support import NatsHandle, eventually

from operations.adapters import accounts, roster_files
from operations.events.base import derived_id, encode
from operations.events.halts import HaltLifted, Lift
from operations.halt import policy
from operations.halt.state import Scope
from operations.signing import roster

pytestmark = pytest.mark.integration
FINDINGS = "mts.v1.operations.finding.halt.raised"


@pytest.fixture
def firm(nats_server: NatsHandle) -> Firm:
    return Firm(nats_server)


async def holds(firm: Firm, halt_ids: set[str]) -> bool:
    return await firm.active() == halt_ids


async def test_a_halt_is_stored_although_somebody_has_burned_its_id_and_he_is_looked_for(firm):
    finding = loss("alpha")
    halt_id = policy.halt_id_of("daily_loss", Scope("FUND_HALT", "alpha"))
    event_id = derived_id(finding.event_id, "halt", halt_id, 0)
    async with firm.connected("publisher") as attacker:
        burned = {"Nats-Msg-Id": f"{REQUESTED}:{event_id}"}
        await attacker.client.publish("mts.v1.trading.x", b"{}", headers=burned)
        await attacker.client.flush()
    async with (
        firm.working() as workers,
        firm.connected("limits") as limits,
        firm.connected("operator") as person,
    ):
        await ready(*workers)
        await person.listen(FINDINGS)
        await limits.send(finding, "service-limits")
        heard = await eventually(
            lambda: next((event for _, event in person.heard if "taken" in title(event)), None)
        )
        assert event_id in title(heard)
        await eventually(lambda: holds(firm, {halt_id}), message="it is stored all the same")


def title(event) -> str:
    return event["data"]["title"]


@pytest.mark.parametrize("key", ["", "oms-1", "service-limits", "service-halt"])
async def test_a_command_that_no_entitled_person_signed_moves_nothing_and_is_told(firm, key):
    event = halt_order("h1")
    async with firm.working() as workers, firm.connected("operator") as person:
        await ready(*workers)
        await person.listen(HALTS)
        await person.listen(FINDINGS)
        if not key:
            await person.client.publish(event.subject, encode(event))
        else:
            await person.send(event, key)
        await eventually(lambda: any(name == FINDINGS for name, _ in person.heard))
        assert not any(name == REQUESTED for name, _ in person.heard)
    assert await firm.active() == set()


async def test_a_flood_of_forgeries_is_told_so_often_and_no_more_and_delays_no_halt(firm):
    async with firm.working() as workers, firm.connected("operator") as person:
        await ready(*workers)
        await person.listen(REQUESTED)
        await person.listen(FINDINGS)
        for number in range(200):
            event = halt_order(f"forged-{number}")
            await person.client.publish(event.subject, encode(event))
        await person.send(halt_order("h1"), "operator")
        await person.hears(REQUESTED, halt_id="h1")
        await eventually(lambda: holds(firm, {"h1"}))
        await eventually(lambda: refused(firm, 60), "they are told")
        await person.send(halt_order("h2"), "operator")
        await eventually(lambda: holds(firm, {"h1", "h2"}))
        assert await refused(firm, 60)


async def refused(firm: Firm, count: int) -> bool:
    """Whether so many refusals are stored."""
    told = [event for event in await firm.stored(FINDINGS) if "not signed" in str(event.data)]
    return len(told) == count


async def test_nobody_cosigns_himself_and_a_replayed_command_moves_nothing(firm):
    async with firm.working() as workers, firm.connected("operator") as person:
        await ready(*workers)
        await person.listen("mts.v1.operations.>")
        await person.send(halt_order("h1"), "operator")
        await eventually(lambda: holds(firm, {"h1"}))
        resume = resume_order("r1", "h1")
        await person.send(resume, "operator")
        digest = sha256(encode(resume)).hexdigest()
        await person.send(cosign_order("r1", digest), "operator")
        await person.send(resume, "operator")
        await person.hears("mts.v1.operations.halt.resume_requested", resume_id="r1")
        await eventually(lambda: refusals(person) >= 1, message="it is told")
        await person.send(halt_order("h2"), "operator")
        await person.hears(REQUESTED, halt_id="h2")
    assert await firm.active() == {"h1", "h2"}


def refusals(person) -> int:
    wanted = (FINDINGS, "mts.v1.operations.halt.resume_denied")
    return sum(name in wanted for name, _ in person.heard)


async def test_a_stolen_halt_worker_lifts_nothing(firm):
    async with firm.working() as workers, firm.connected("halt") as thief:
        await ready(*workers)
        async with firm.connected("operator") as person:
            await person.send(halt_order("h1"), "operator")
            await eventually(lambda: holds(firm, {"h1"}))
        lift = Lift(
            halt_ids=("h1",), resume_id="r", treatment="CLEARED", remaining_halt_ids=(),
            signed_by=("operator", "cosigner"),
        )  # fmt: skip
        await thief.send(HaltLifted(**envelope("h1"), data=lift), "service-halt")
        await thief.listen(HALTS)
        beats: list[int] = []

        def still() -> bool:
            beats.append(1)
            return workers[0].registry.get_sample_value("halts_active") == 1 and len(beats) > 50

        await eventually(still, "the halt holds")


async def test_no_reply_subject_of_any_user_moves_or_silences_a_halt_worker(firm):
    """The server answers where a publisher says: on subjects that a halt worker hears, too."""
    replies = [
        REQUESTED,
        "mts.v1.operations.halt.lifted",
        "mts.v1.operations.command.halt",
        "mts.v1.operations.command.resume",
        "mts.v1.operations.finding.daily_loss.raised",
        "mts.v1.operations.roster.published",
        "ops.v1.oms.lease.oms-1",
        "ops.v1.halt.heartbeat",
        "$JS.API.CONSUMER.RESET.MTS.halt-1",
        "$JS.API.CONSUMER.MSG.NEXT.MTS.halt-1",
        f"{accounts.inbox('halt')}.x.1",
        f"{accounts.inbox('halt')}.>",
    ]
    async with firm.working() as workers, firm.connected("operator") as person:
        await ready(*workers)
        for user in accounts.USERS:
            for right in user.publish:
                subject = right.replace(">", "x").replace("*", "x")
                if right == ">" or subject.startswith("$JS.API.CONSUMER.RESET"):
                    continue
                async with RawPublisher(firm.nats, user.name) as attacker:
                    for reply in replies:
                        attacker.publish(subject.encode(), b"", b"{}", reply.encode())
                    await attacker.flush()
        await person.listen(HALTS)
        await person.send(halt_order("h1"), "operator")
        await person.hears(REQUESTED, halt_id="h1")
        await eventually(lambda: holds(firm, {"h1"}))
        # What the server answered there is heard too, and is no event.
        events = [event["data"] for _, event in person.heard if "data" in event]
        assert {data["halt_id"] for data in events if "halt_id" in data} == {"h1"}
        await ready(*workers)


async def test_a_roster_that_is_taken_back_brings_nobody_back(firm):
    root = roster_files.read_private(firm.base.path("keys", "root.key"))
    old = firm.base.roster_path.read_bytes()
    body = roster_files.read_roster(firm.base.roster_path, root.public, 1, "development").body
    fired = tuple(member for member in body.members if member.name != "operator")
    async with firm.working() as workers, firm.connected("operator") as person:
        await ready(*workers)
        newer = msgspec.structs.replace(body, version=body.version + 1, members=fired)
        firm.base.roster_path.write_bytes(roster.sign(newer, root))
        await person.listen(FINDINGS)

        async def refused() -> bool:
            await person.send(halt_order("h1"), "operator")
            return any("unknown key" in json.dumps(event) for _, event in person.heard)

        await eventually(refused, "the newer roster counts")
        firm.base.roster_path.write_bytes(old)
        person.heard.clear()
        await eventually(refused, "it still counts")
