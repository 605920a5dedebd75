"""Actions from the stream reach the gate, and only whoever may ask for them and end them does."""

from decimal import Decimal
from itertools import count

import pytest
from halting import Firm, Person, envelope, times
from oms_cases import Floor, code, leased, opened, order, register, trading, verdict
from support import eventually
from test_oms_trust import publish, read_past

from operations.adapters.oms_cancels import Progress
from operations.clock import NANOSECONDS, now_ns, parse_rfc3339, rfc3339
from operations.events.actions import (
    ActionAnswered,
    ActionOutcome,
    ActionReleased,
    ActionRequest,
    ActionRequested,
)
from operations.events.base import derived_id
from operations.events.commands import ReleaseCommanded, ReleaseOrder

pytestmark = pytest.mark.integration

ACTIONS = "mts.v1.operations.action.>"
ANSWERED = "mts.v1.operations.action.answered.oms-1"


@pytest.fixture
def firm(nats_server) -> Firm:
    return Firm(nats_server)


def action(kind: str, seconds: float | None = None, name: str = "act-1", **more):
    until = None if seconds is None else rfc3339(now_ns() + int(seconds * NANOSECONDS))
    fields = {"episode": "e", "scope": "strategy", "scope_id": "mean-rev"}
    data = ActionRequest(
        action_id=name, kind=kind, ack_deadline=rfc3339(now_ns()), until=until, **(fields | more)
    )
    return ActionRequested(**envelope(name), data=data)


def release(name: str = "act-1") -> ReleaseCommanded:
    data = ReleaseOrder(action_id=name, reason="checked", **times())
    return ReleaseCommanded(**envelope(name), data=data)


async def ask(firm: Firm, event: ActionRequested, key: str = "service-watchdogs") -> None:
    await publish(firm, event, firm.signer(key), "admin")


async def answers(firm: Firm, name: str = "act-1") -> list[str]:
    found = await firm.stored("mts.v1.operations.action.answered.*")
    return [each.data.phase for each in found if each.data.action_id == name]


async def answered(person: Person, phase: str, name: str = "act-1") -> dict:
    return (await person.hears(ANSWERED, action_id=name, phase=phase))["data"]


async def test_an_action_is_enforced_acknowledged_and_ends_at_its_time(firm, tmp_path):
    async with opened(firm, tmp_path) as (_, floor), firm.connected("operator") as person:
        await person.listen(ACTIONS)
        for seconds in (2, 20, 200):  # a longer one where the machine missed the shorter
            name, held = f"for-{seconds}", action("cooldown", seconds, f"for-{seconds}")
            await ask(firm, held)
            await answered(person, "COMPLETED", name)
            found = await verdict(floor, order(f"in-{name}"))
            if now_ns() < parse_rfc3339(held.data.until):
                break
        assert found == "COOLDOWN"
        await eventually(lambda: code(floor.trade(order("b"))) == "send", "it is over")
        assert await answers(firm, name) == ["ACKNOWLEDGED", "COMPLETED"]


async def test_an_action_ends_when_a_person_who_may_releases_it_and_by_nothing_else(firm, tmp_path):
    said = ActionReleased(**envelope("act-1"), data=ActionOutcome(action_id="act-1"))
    async with opened(firm, tmp_path) as (oms, floor):
        await ask(firm, action("shadow", 0.1))  # its end is passed over: a person ends it
        fresh = (order(f"order-{number}") for number in count())
        await eventually(lambda: code(floor.trade(next(fresh))) == "SHADOW", message="it holds")
        await publish(firm, said, firm.signer("service-actions"), "admin")
        await publish(firm, release(), firm.signer("service-watchdogs"), "admin")
        await publish(firm, release(), firm.signer("oms-1"), "admin")
        await publish(firm, release(), None, "admin")
        await read_past(firm, oms)
        assert await verdict(floor, order("b")) == "SHADOW"
        await publish(firm, release(), firm.signer("operator"), "admin")
        await eventually(lambda: code(floor.trade(order("c"))) == "send", message="released")
        again = action("shadow")
        await ask(firm, again)
        await read_past(firm, oms)
        assert await verdict(floor, order("d")) == "send"  # it was over already


async def test_nobody_but_the_watchdogs_may_ask(firm, tmp_path):
    async with opened(firm, tmp_path) as (oms, floor):
        for key in ("service-limits", "service-halt", "oms-1", "operator"):
            await ask(firm, action("shadow", name=f"by-{key}"), key)
        await publish(firm, action("shadow"), None, "admin")
        await read_past(firm, oms)
        assert await verdict(floor, order("a")) == "send"
        assert not list(oms.gate.restrictions)


async def test_an_action_survives_a_restart_and_is_answered_once_over_both_lives(firm, tmp_path):
    await register(firm)
    floor = Floor()
    await ask(firm, action("shadow"))
    await ask(firm, action("throttle", -10, "act-2", orders_per_minute_at_most=0))
    for life in range(2):
        async with firm.working(), trading(firm, tmp_path, floor) as (oms, _):
            await leased(oms)
            assert await verdict(floor, order(f"order-{life}")) == "SHADOW"
            assert [one.action_id for one in oms.gate.restrictions] == ["act-1"]
            await eventually(lambda: answers(firm), message="answered")
    assert sorted(await answers(firm)) == ["ACKNOWLEDGED", "COMPLETED"]
    assert await answers(firm, "act-2") == []


async def test_an_answer_is_heard_although_somebody_used_its_id_before(firm, tmp_path):
    async with opened(firm, tmp_path):
        async with firm.connected("admin") as stranger:
            for place in range(2):
                event_id = derived_id("act-1", "oms.action", "oms-1", place)
                burned = {"Nats-Msg-Id": f"{ANSWERED}:{event_id}"}
                await stranger.client.publish("mts.v1.news.feed.beat", b"{}", headers=burned)
            await stranger.client.flush()
        await ask(firm, action("cooldown", 600))

        async def said() -> bool:
            return await answers(firm) == ["ACKNOWLEDGED", "COMPLETED"]

        await eventually(said, "both answers are in the stream")


async def test_a_shadow_cancels_what_still_increases_before_it_says_that_it_is_complete(
    firm, tmp_path
):
    async with opened(firm, tmp_path) as (_, floor), firm.connected("operator") as person:
        await person.listen(ACTIONS)
        floor.refuses_cancels = True
        floor.trade(order("resting"))
        await ask(firm, action("shadow"))
        await answered(person, "ACKNOWLEDGED")
        await eventually(lambda: floor.cancels_asked, message="it asks for the cancel")
        assert await answers(firm) == ["ACKNOWLEDGED"]
        floor.refuses_cancels = False
        await answered(person, "COMPLETED")
        assert floor.canceled == ["resting"]


async def test_what_an_order_system_has_no_means_for_is_refused_with_the_reason(firm, tmp_path):
    async with opened(firm, tmp_path), firm.connected("operator") as person:
        await person.listen(ACTIONS)
        await ask(firm, action("reduce_allocation", allocation_factor=Decimal("0.5")))
        assert "no means" in (await answered(person, "REFUSED"))["reason"]
        await ask(firm, action("reduce_allocation", name="act-2", allocation_factor=Decimal(2)))
        assert "from 0 to 1" in (await answered(person, "REFUSED", "act-2"))["reason"]


class Slow(Floor):
    """An order system that fails once, and reaches the target when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = 1
        self.reached = False
        self.asked: list[tuple[str, ...]] = []

    async def carry_out(self, actions):
        self.asked.append(tuple(each.action_id for each in actions))
        if self.failures:
            self.failures -= 1
            raise RuntimeError("not now")
        phase = "COMPLETED" if self.reached else "ACKNOWLEDGED"
        return {each.action_id: Progress(phase, each.allocation_factor) for each in actions}


async def test_it_is_complete_only_when_the_order_system_says_so_and_a_failure_is_tried_again(
    firm, tmp_path
):
    floor = Slow()
    async with opened(firm, tmp_path, floor), firm.connected("operator") as person:
        await person.listen(ACTIONS)
        await ask(firm, action("reduce_allocation", allocation_factor=Decimal("0.5")))
        await ask(firm, action("reduce_allocation", allocation_factor=Decimal("0.5")))
        await answered(person, "ACKNOWLEDGED")
        assert await answers(firm) == ["ACKNOWLEDGED"]
        floor.reached = True
        assert (await answered(person, "COMPLETED"))["measured"] == "0.5"
        stricter = action("reduce_allocation", name="act-2", allocation_factor=Decimal("0.25"))
        await ask(firm, stricter)
        await answered(person, "COMPLETED", "act-2")
        assert floor.asked[-1] == ("act-2",)
        await eventually(lambda: len(floor.asked) > 25, "it is looked at again and again")
        said = [name for name, _ in person.heard if name == ANSWERED]
        assert len(said) < 12  # four, and again where the stream had not confirmed in time
        await publish(firm, release("act-2"), firm.signer("operator"), "admin")
        await eventually(lambda: floor.asked[-1] == (), message="told that it is over")
        assert isinstance((await firm.stored(ANSWERED))[0], ActionAnswered)
