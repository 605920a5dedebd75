"""Actions on a floor of real processes: order systems at their targets, whatever is killed."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from floor import Floor
from support import NatsHandle, eventually

from operations.adapters import credentials, roster_files
from operations.adapters.link import Access
from operations.adapters.ports import free_port
from operations.adapters.publisher import Publisher
from operations.clock import NANOSECONDS, new_event_id, now_ns, rfc3339
from operations.events.actions import (
    ActionAnswered,
    ActionReleased,
    ActionRequest,
    ActionRequested,
)
from operations.events.commands import ReleaseCommanded, ReleaseOrder
from operations.events.findings import FindingCleared, FindingRaised
from operations.halt.state import FIRM
from operations.signing.message import Signer
from operations.simulation.order_flow import OMS_IDS, account_id
from workers.paper_state import PaperState
from workers.paper_tape import Capped, Uncapped, Wanted, read_tape

pytestmark = pytest.mark.integration
STRATEGY = "north-trend"


class Acting(Floor):
    """A floor with the worker of the actions, and watchdogs that ask."""

    def start_actions(self) -> None:
        environment = credentials.worker_environment(self.settings, "actions", free_port())
        self._start("actions", ["-m", "workers", "actions"], environment)

    async def ask(self, name: str, kind: str, seconds: float = 600, **more) -> ActionRequested:
        """Ask for an action as the watchdogs do."""
        fields = {"episode": "epi-1", "scope": "strategy", "scope_id": STRATEGY}
        data = ActionRequest(
            action_id=name,
            kind=kind,
            ack_deadline=rfc3339(now_ns() + int(seconds * NANOSECONDS)),
            **(fields | more),
        )
        event = ActionRequested(event_id=new_event_id(), subject_id=name, data=data)
        await self.say(event)
        return event

    async def say(self, event: ActionRequested) -> None:
        key = roster_files.read_private(self.settings.path("keys", "service-watchdogs.key"))
        signer = Signer(key, self.settings.audit.origin, self.settings.environment)
        access = Access(url=self.nats.url, user="admin", password=self.nats.password("admin"))
        async with Publisher(access, actor="watchdogs", signer=signer) as publisher:
            await publisher.confirm(event)

    async def answered(self, name: str, phase: str, by=OMS_IDS) -> None:
        async def there() -> bool:
            said = [each.data for each in await self.events(ActionAnswered)]
            return {
                each.oms_id for each in said if (each.action_id, each.phase) == (name, phase)
            } >= {*by}

        await eventually(there, f"{phase} of {name} by {', '.join(by)}")

    async def release(self, name: str) -> None:
        data = ReleaseOrder(
            action_id=name,
            command_id=new_event_id(),
            issued_at=rfc3339(now_ns()),
            expires_at=rfc3339(now_ns() + 600 * NANOSECONDS),
            reason="looked at it",
        )
        await self.order(ReleaseCommanded(subject_id=name, data=data))

    def beyond(self, oms_id: str, action_id: str) -> list[str]:
        """Return every moment of a tape at which a position that was at its cap went beyond it.

        Until a position is at its cap for the first time it may only become smaller.
        """
        state, wrong = PaperState(oms_id), []
        reached: set[tuple[str, str]] = set()
        for line in read_tape(self.tape(oms_id)):
            state.answers(line.at_ns)
            state.apply(line)
            cap = state.capped.get(action_id)
            if cap is None:
                reached.clear()
                continue
            most = {(each.owner, each.symbol): each.most for each in cap.caps}
            for place, size in state.positions.items():
                if place[0] not in cap.account_ids:
                    continue
                if abs(size) <= most.get(place, 0):
                    reached.add(place)
                elif place in reached:
                    wrong.append(f"{oms_id} {place}: {size}, at most {most.get(place, 0)}")
        return wrong

    def sizes(self, oms_id: str) -> dict[str, tuple[int, int]]:
        """Return by symbol what the tape notes as the target and what is held now."""
        state = PaperState(oms_id)
        last = None
        for line in read_tape(self.tape(oms_id)):
            state.answers(line.at_ns)
            state.apply(line)
            last = line if isinstance(line, Capped) else last
        assert last is not None
        account = account_id(STRATEGY, oms_id)
        return {
            each.symbol: (each.most, abs(state.positions.get((account, each.symbol), 0)))
            for each in last.caps
            if each.owner == account
        }

    def lines(self, oms_id: str, kind: type) -> list:
        return [line for line in read_tape(self.tape(oms_id)) if isinstance(line, kind)]


@pytest.fixture
async def floor(nats_server: NatsHandle) -> AsyncIterator[Acting]:
    one = Acting(nats_server)
    try:
        await one.register()
        one.start_actions()
        one.start_all()
        await one.trading()
        await one.holds([account_id(STRATEGY, oms_id) for oms_id in OMS_IDS])
        yield one
    finally:
        await asyncio.to_thread(one.end)


async def test_three_order_systems_halve_a_strategy_once_and_trade_at_full_size_after_a_release(
    floor,
):
    event = await floor.ask("act-1", "reduce_allocation", allocation_factor=Decimal("0.5"))
    await floor.answered("act-1", "ACKNOWLEDGED")
    await floor.say(event)  # delivered twice
    floor.restart("oms-2")  # killed in the middle
    await floor.answered("act-1", "COMPLETED")
    await floor.trading()
    for oms_id in OMS_IDS:
        assert floor.beyond(oms_id, "act-1") == []
        assert all(held <= most for most, held in floor.sizes(oms_id).values())
        assert len(floor.lines(oms_id, Capped)) == 1
    said = [(each.data.oms_id, each.data.phase) for each in await floor.events(ActionAnswered)]
    assert len(said) == len(set(said)) == 6
    await floor.release("act-1")

    def over() -> bool:
        return all(floor.lines(oms_id, Uncapped) for oms_id in OMS_IDS)

    await eventually(over, "every order system knows that it is over")

    async def recorded() -> bool:
        return [each.data.action_id for each in await floor.events(ActionReleased)] == ["act-1"]

    await eventually(recorded, "it is recorded")
    for oms_id in OMS_IDS:
        since_ns = floor.lines(oms_id, Uncapped)[0].at_ns

        def large(oms_id: str = oms_id, since_ns: int = since_ns) -> bool:
            return any(
                line.ticket.quantity > 20 and line.at_ns > since_ns
                for line in floor.lines(oms_id, Wanted)
                if line.strategy_id == STRATEGY and not line.action_id
            )  # half of the largest ordinary order, of 40

        await eventually(large, f"{oms_id} trades at full size again")
    assert (await floor.history()).problems() == []


async def test_gross_goes_down_everywhere_under_a_shadow_too_and_a_hedge_is_refused(floor):
    await floor.ask("act-1", "shadow")
    await floor.answered("act-1", "COMPLETED")
    since_ns = now_ns()
    await floor.ask(
        "act-2", "reduce_gross", scope="fund", scope_id="north",
        gross_at_most=Decimal(6000), currency="USD",
    )  # fmt: skip
    await floor.ask(
        "act-3", "hedge", theta_per_day_at_most=Decimal(1), currency="USD", episode="epi-2"
    )
    await floor.answered("act-2", "COMPLETED")
    await floor.answered("act-3", "REFUSED")
    answers = [each.data for each in await floor.events(ActionAnswered)]
    gross = [
        each.measured for each in answers if (each.action_id, each.phase) == ("act-2", "COMPLETED")
    ]
    assert len(gross) == 3
    assert sum(gross) <= 6000
    assert all("no options" in each.reason for each in answers if each.phase == "REFUSED")
    await floor.trading()
    history = await floor.history()
    assert history.problems() == []
    for oms_id in OMS_IDS:
        opened = history.opened(oms_id, since_ns, 1 << 63)
        assert not [each for each in opened if account_id(STRATEGY, oms_id) in each]


async def test_nobody_answers_and_people_hear_of_it_until_somebody_does(floor):
    floor.pause("oms-3")
    await floor.ask("act-1", "reduce_allocation", 2, allocation_factor=Decimal("0.5"))
    await floor.answered("act-1", "ACKNOWLEDGED", OMS_IDS[:2])

    async def raised(kind: type) -> list[str]:
        found = [each for each in await floor.events(kind) if each.data.check == "actions"]
        return [f"{each.data.severity}: {each.data.title}" for each in found]

    async def escalated() -> bool:
        words = f"oms-3 has not answered that it does reduce_allocation of strategy {STRATEGY}"
        return await raised(FindingRaised) == [f"critical: {words}"]

    await eventually(escalated, "it is escalated")
    floor.restart("actions")
    floor.resume("oms-3")
    await floor.answered("act-1", "COMPLETED")

    async def cleared() -> bool:
        return len(await raised(FindingCleared)) == 1

    await eventually(cleared, "it is over")
    assert len(await raised(FindingRaised)) == 1


async def test_a_halt_stands_above_it(floor):
    halt_id = await floor.halt(FIRM)
    await floor.acknowledged(halt_id)
    await floor.ask("act-1", "reduce_allocation", allocation_factor=Decimal(0))
    await floor.answered("act-1", "ACKNOWLEDGED")
    history = await floor.history()
    assert history.problems() == []  # nothing went out through the halt
