"""Is it said once who does not answer, what ended, and why a release ends nothing?"""

import asyncio
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from decimal import Decimal

import msgspec
import pytest
from halting import ROOT, Firm, envelope, in_this_loop, ready, times
from support import eventually

from operations.clock import NANOSECONDS, now_ns, rfc3339
from operations.config import subprocess_environment
from operations.events.actions import (
    ActionAnswer,
    ActionAnswered,
    ActionExpired,
    ActionReleased,
    ActionRequest,
    ActionRequested,
)
from operations.events.commands import ReleaseCommanded, ReleaseOrder
from workers import actions

pytestmark = pytest.mark.integration
OURS = ("mts.v1.operations.action.*", "mts.v1.operations.finding.actions.*")


def requested(name: str = "act-1", kind: str = "reduce_allocation", ack: float = 0, until=None):
    data = ActionRequest(
        action_id=name,
        episode=f"episode of {name}",
        kind=kind,
        scope="strategy",
        scope_id="mean-rev",
        ack_deadline=rfc3339(now_ns() + int(ack * NANOSECONDS)),
        until=None if until is None else rfc3339(now_ns() + int(until * NANOSECONDS)),
        allocation_factor=Decimal("0.5"),
    )
    return ActionRequested(**envelope(name, fund_id="alpha"), data=data)


def answered(oms_id: str, name: str = "act-1", phase: str = "ACKNOWLEDGED") -> ActionAnswered:
    data = ActionAnswer(oms_id=oms_id, action_id=name, phase=phase)
    return ActionAnswered(**envelope(name), data=data)


def release(name: str = "act-1", seconds: float = 600) -> ReleaseCommanded:
    data = ReleaseOrder(action_id=name, reason="checked", **times(seconds))
    return ReleaseCommanded(**envelope(name), data=data)


class House:
    """A firm with two order systems that have to answer."""

    def __init__(self, firm: Firm) -> None:
        self.firm = firm

    async def say(self, event, key: str = "service-watchdogs") -> None:
        async with self.firm.connected("admin") as person:
            await person.send(event, key)

    @asynccontextmanager
    async def worked(self):
        """Run the worker in this loop until it has read everything."""
        async with in_this_loop("actions", self.firm.settings("actions"), actions.run) as worker:
            await ready(worker)
            yield worker

    async def said(self) -> list[str]:
        """What the worker said, in the order of the stream: the kind and what it is about."""
        found = []
        for pattern in OURS:
            for event in await self.firm.stored(pattern):
                if isinstance(event, ActionExpired | ActionReleased):
                    found.append(f"{event.subject.split('.')[-1]} {event.data.action_id}")
                elif not isinstance(event, ActionRequested):
                    named = {each.name: each.value for each in event.data.parameters}
                    verb = event.subject.split(".")[-1]
                    found.append(f"{named['kind']} {named.get('oms_id', '')} {verb}")
        return sorted(found)

    async def hold(self, *expected: str) -> None:
        async def there() -> bool:
            return await self.said() == sorted(expected)

        await eventually(there, f"the stream holds {expected}")


@pytest.fixture
def house(nats_server) -> House:
    return House(Firm(nats_server, order_systems="oms-1,oms-2"))


async def test_who_does_not_answer_is_reported_until_he_does(house):
    async with house.worked():
        await house.say(requested(ack=3))
        await house.say(answered("oms-1"), "oms-1")
        await house.say(answered("oms-2"), "oms-1")  # in another's name
        await house.hold("unanswered oms-2 raised")
        await house.say(answered("oms-2"), "oms-2")
        await house.hold("unanswered oms-2 raised", "unanswered oms-2 cleared")


async def test_what_is_refused_is_reported_and_a_release_ends_it(house):
    async with house.worked():
        await house.say(requested(ack=600))
        await house.say(answered("oms-1", phase="REFUSED"), "oms-1")
        await house.hold("refused oms-1 raised")
        await house.say(release(), "operator")
        await house.hold("refused oms-1 raised", "refused oms-1 cleared", "released act-1")
        (over,) = await house.firm.stored("mts.v1.operations.action.released")
        (command,) = await house.firm.stored("mts.v1.operations.command.release_action")
        assert over.causation_id == command.event_id
        assert over.data.reason == "operator: checked"


async def test_who_acknowledges_and_does_not_complete_in_time_is_reported_until_he_does(house):
    event = requested(ack=600)
    soon = rfc3339(now_ns() + 2 * NANOSECONDS)
    data = msgspec.structs.replace(event.data, done_deadline=soon)
    async with house.worked():
        await house.say(msgspec.structs.replace(event, data=data))
        await house.say(answered("oms-1"), "oms-1")
        await house.say(answered("oms-2"), "oms-2")
        await house.say(answered("oms-2", phase="COMPLETED"), "oms-2")
        await house.hold("undone oms-1 raised")
    async with house.worked():
        await house.say(answered("oms-1", phase="COMPLETED"), "oms-1")
        await house.hold("undone oms-1 raised", "undone oms-1 cleared")


async def test_its_time_is_over(house):
    async with house.worked():
        await house.say(requested("act-1", "cooldown", ack=600, until=0.5))
        await house.say(requested("act-2", "shadow", ack=600, until=0.5))
        await house.hold("expired act-1")


async def test_a_release_that_ends_nothing_says_why_and_what_nobody_may_sign_ends_nothing(house):
    async with house.worked() as worker:
        await house.say(requested(ack=600))
        await house.say(release("unknown"), "operator")
        await house.say(release(seconds=-1), "operator")
        for key in ("service-watchdogs", "oms-1", "service-actions"):
            await house.say(release(), key)
        await house.hold(*["release_refused  raised"] * 2)
        found = await house.firm.stored("mts.v1.operations.finding.actions.raised")
        words = sorted(each.data.details for each in found)
        assert words[0].startswith("no action 'unknown' is known")
        assert words[1].startswith("the order was void at")
        metric = worker.registry.get_sample_value
        await eventually(lambda: metric("actions_messages_refused") == 3, message="counted")
        assert metric("actions_in_force") == 1


STEPS = [("rewound", 1), ("folded", 1), ("folded", 4), ("said", 1), ("said", 2), ("said", 3)]


@pytest.mark.parametrize(("step", "number"), STEPS)
async def test_killed_at_any_step_the_next_one_says_what_is_left_once(house, step, number):
    settings = house.firm.settings("actions")
    environment = {**subprocess_environment({}), "MTS_HOME": settings.home}
    environment["MTS_SERVICE_KEY_FILE"] = settings.service_key_file
    for section in ("nats", "http", "halt"):
        for name, value in msgspec.structs.asdict(getattr(settings, section)).items():
            environment[f"MTS_{section}_{name}".upper()] = str(value)
    await house.say(requested())
    await house.say(requested("act-2", "cooldown", ack=600, until=0))
    await house.say(requested("act-3", ack=600))
    await house.say(release("act-3"), "operator")
    program = [ROOT / "tests/workers/crash_at.py", step, str(number), "KILL", "actions"]
    process = await asyncio.to_thread(
        subprocess.Popen, [sys.executable, "-P", *program], env=environment
    )
    try:
        await eventually(lambda: process.poll() is not None, "it dies")
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    expected = ("expired act-2", "released act-3", *(f"unanswered oms-{n} raised" for n in (1, 2)))
    for _ in range(2):
        async with house.worked():
            await house.hold(*expected)


async def test_a_server_that_was_away_changes_nothing(house):
    async with house.worked() as worker:
        await house.say(requested())
        await house.hold("unanswered oms-1 raised", "unanswered oms-2 raised")
        await asyncio.to_thread(house.firm.nats.restart)
        for oms_id in ("oms-1", "oms-2"):
            await house.say(answered(oms_id), oms_id)
        await house.hold(
            *(f"unanswered oms-{n} {verb}" for n in (1, 2) for verb in ("raised", "cleared"))
        )
        await ready(worker)
