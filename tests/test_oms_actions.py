"""Actions from the stream reach the gate, and only whoever may ask for them and end them does."""

import msgspec
import pytest
from halting import Firm, envelope
from oms_cases import Floor, code, leased, order, register, trading
from support import eventually
from test_oms_trust import publish, read_past

from operations.adapters.roster_files import read_private
from operations.clock import NANOSECONDS, now_ns, rfc3339
from operations.events.actions import (
    ActionOutcome,
    ActionReleased,
    ActionRequest,
    ActionRequested,
)
from operations.signing import roster

pytestmark = pytest.mark.integration

ACTIONS = "mts.v1.operations.action.>"


@pytest.fixture
def firm(nats_server) -> Firm:
    """A firm in whose roster the halt worker may also ask for actions."""
    made = Firm(nats_server)
    file = made.base.roster_path
    root = read_private(made.base.path("keys", "root.key"))
    body = roster.verify(file.read_bytes(), root.public, 1, "development").body
    roles = body.roles | {"halt_worker": (*body.roles["halt_worker"], ACTIONS)}
    body = msgspec.structs.replace(body, version=body.version + 1, roles=roles)
    file.write_bytes(roster.sign(body, root))
    return made


def action(kind: str, seconds: float | None, **more) -> ActionRequested:
    until = None if seconds is None else rfc3339(now_ns() + int(seconds * NANOSECONDS))
    data = ActionRequest(
        action_id="act-1",
        episode="e",
        kind=kind,
        scope="strategy",
        scope_id="mean-rev",
        ack_deadline=rfc3339(now_ns()),
        until=until,
        **more,
    )
    return ActionRequested(**envelope("act-1"), data=data)


async def test_an_action_is_enforced_acknowledged_and_ends_at_its_time(firm, tmp_path):
    await register(firm)
    async with (
        firm.working(),
        trading(firm, tmp_path) as (oms, floor),
        firm.connected("operator") as person,
    ):
        await leased(oms)
        await person.listen(ACTIONS)
        await publish(firm, action("cooldown", 2), firm.signer("service-halt"), "admin")
        await person.hears("mts.v1.operations.action.acknowledged", action_id="act-1")
        assert code(floor.trade(order("a"))) == "COOLDOWN"
        await eventually(lambda: code(floor.trade(order("b"))) == "send", 5, "it is over")


async def test_an_action_ends_when_somebody_who_may_releases_it(firm, tmp_path):
    await register(firm)
    released = ActionReleased(**envelope("act-1"), data=ActionOutcome(action_id="act-1"))
    async with firm.working(), trading(firm, tmp_path) as (oms, floor):
        await leased(oms)
        await publish(firm, action("shadow", None), firm.signer("service-halt"), "admin")
        await eventually(lambda: code(floor.trade(order("a"))) == "SHADOW", message="it holds")
        await publish(firm, released, firm.signer("oms-2"), "admin")
        await publish(firm, released, None, "admin")
        await read_past(firm, oms)
        assert code(floor.trade(order("b"))) == "SHADOW"
        await publish(firm, released, firm.signer("service-halt"), "admin")
        await eventually(lambda: code(floor.trade(order("c"))) == "send", message="released")


async def test_an_action_survives_a_restart_and_one_that_is_over_does_not(firm, tmp_path):
    await register(firm)
    floor = Floor()
    await publish(firm, action("shadow", 3600), firm.signer("service-halt"), "admin")
    over = action("throttle", -10, orders_per_minute_at_most=0)
    data = msgspec.structs.replace(over.data, action_id="act-2")
    over = msgspec.structs.replace(over, data=data)
    await publish(firm, over, firm.signer("service-halt"), "admin")
    async with firm.working(), trading(firm, tmp_path, floor) as (oms, _):
        await leased(oms)
        assert code(floor.trade(order("a"))) == "SHADOW"
        assert [one.action_id for one in oms.gate._restrictions] == ["act-1"]
