"""Is what a watchdog finds in the stream once, signed, whatever is killed and when?"""

import asyncio
import shutil
import signal
import subprocess
import sys
from contextlib import asynccontextmanager

import msgspec
import pytest
from halting import ROOT, Firm, ready
from support import PATIENCE_SECONDS, eventually
from volatile_fund import CALM, WILD, history

from operations.adapters import consumers, judge, warehouse
from operations.adapters.judge import heard
from operations.adapters.watch_board import SUBJECT, Part
from operations.clock import new_event_id, now_ns, rfc3339
from operations.config import Watch, subprocess_environment
from operations.episodes import RULE
from operations.events.base import encode
from operations.events.findings import Finding, FindingRaised
from operations.events.operations import (
    ClockTicked,
    ConfigChange,
    ConfigChanged,
    Tick,
    WatchReached,
)
from operations.watchdogs.portfolio_vol_dd import NAME
from workers import runtime, watchdogs

pytestmark = pytest.mark.integration
FINDINGS = f"mts.v1.operations.finding.{NAME}.*"
ACTIONS = "mts.v1.operations.action.requested"
CALM_DAYS = [CALM] * 40
WILD_DAYS = [WILD] * 8


def setting(name: str, value: str) -> ConfigChanged:
    """The event that a setting of the watchdog has a value from now on."""
    change = ConfigChange(
        setting=f"{NAME}.{name}", old_value=None, new_value=value, reason="test", layer="file"
    )
    return ConfigChanged(
        event_id=new_event_id(), timestamp=rfc3339(now_ns()), actor="settings",
        subject_id=change.setting, data=change,
    )  # fmt: skip


class House:
    """A firm with one fund whose days are settled one after the other."""

    def __init__(self, nats_server, **settings):
        self.firm = Firm(nats_server)
        self.watched_as = Watch(**settings)
        self.events = list(history(CALM_DAYS + WILD_DAYS))
        self.published = 0

    async def publish(self, count: int) -> None:
        """Publish the next events of the fund."""
        client = await self.firm.nats.connect("publisher")
        try:
            for event in self.events[self.published : self.published + count]:
                headers = {"Nats-Msg-Id": f"{event.subject}:{event.event_id}"}
                await client.jetstream().publish(event.subject, encode(event), headers=headers)
        finally:
            await client.close()
        self.published += count

    async def set(self, name: str, value: str) -> None:
        """Let the settings service say that a setting has a value from now on."""
        async with self.firm.connected("settings") as person:
            await person.send(setting(name, value), "service-settings")

    def settings(self):
        return msgspec.structs.replace(self.firm.settings("watchdogs"), watch=self.watched_as)

    @asynccontextmanager
    async def watched(self, **settings):
        """Run the worker in this loop until it has read everything."""
        own = self.settings()
        watch = msgspec.structs.replace(own.watch, **settings)
        worker = runtime.Runtime("watchdogs", msgspec.structs.replace(own, watch=watch))
        task = asyncio.create_task(runtime._run_until_stopped(worker, watchdogs.run))
        try:
            await ready(worker)
            yield worker
        finally:
            worker.stopping.set()
            await asyncio.wait_for(task, PATIENCE_SECONDS)

    async def said(self):
        """What is in the stream, signed: findings and requests, by kind and id."""
        found = [*await self.firm.stored(FINDINGS), *await self.firm.stored(ACTIONS)]
        return [(type(each).__name__, each.event_id) for each in found]

    async def hold(self, *kinds) -> None:
        async def there() -> bool:
            return [kind for kind, _ in await self.said()] == [*kinds]

        await eventually(there, f"the stream holds {kinds}")


RAISED = ("FindingRaised", "ActionRequested")
EVERYTHING = 100


@pytest.fixture
async def house(nats_server):
    made = House(nats_server)
    await made.set("mode", "act")
    return made


async def test_a_fresh_installation_observes_and_asks_for_nothing(nats_server):
    house = House(nats_server)
    await house.publish(EVERYTHING)
    async with house.watched():
        await house.hold("FindingRaised")
    (finding,) = await house.firm.stored(FINDINGS)
    assert finding.data.mode == "observe"
    assert finding.data.would_have


async def test_a_limit_that_is_set_holds_from_its_place_in_the_stream_on(house):
    await house.publish(40)
    await house.set("enter_multiple", "100")
    await house.publish(EVERYTHING)
    async with house.watched():
        assert await house.said() == []


async def test_a_setting_that_the_settings_service_did_not_sign_is_none(house):
    async with house.firm.connected("settings") as person:
        await person.send(setting("mode", "off"), "service-limits")
    await house.publish(EVERYTHING)
    async with house.watched():
        await house.hold(*RAISED)


async def test_a_breach_is_found_once_and_asks_for_its_action_once(house):
    async with house.watched() as worker:
        await house.publish(EVERYTHING)
        await house.hold(*RAISED)
        await eventually(lambda: "1 findings open" in worker.conditions.get("worker").detail)
    before = await house.said()
    async with house.watched():
        assert await house.said() == before


async def test_what_happened_while_nobody_watched_is_said_at_the_start(house):
    await house.publish(EVERYTHING)
    async with house.watched():
        await house.hold(*RAISED)


async def test_restarts_between_any_two_events_change_no_id(house):
    whole = House(house.firm.nats)
    for count in (20, 25, 1, 1, 1, EVERYTHING):
        async with house.watched():
            await house.publish(count)
    async with house.watched():
        await house.hold(*RAISED)
    before = await house.said()
    # Without any snapshot everything is found again, under the same ids.
    whole.watched_as = Watch(dir=str(house.firm.base.path("elsewhere")))
    async with whole.watched() as worker:
        assert worker.conditions.ready
    assert await house.said() == before


async def test_two_processes_that_find_the_same_say_it_once_between_them(house):
    async with house.watched(instance=1), house.watched(instance=2):
        await house.publish(EVERYTHING)
        await house.hold(*RAISED)
    async with house.watched(instance=3):
        pass
    assert [kind for kind, _ in await house.said()] == [*RAISED]


async def test_processes_that_share_the_work_find_what_belongs_to_each(house):
    async with (
        house.watched(instance=1, only="drift_monitor"),
        house.watched(instance=2, only=NAME, funds="beta"),
        house.watched(instance=3, only=NAME, funds="alpha"),
    ):
        await house.publish(EVERYTHING)
        await house.hold(*RAISED)


STEPS = [("rewound", 1), ("folded", 1), ("folded", 3), ("said", 1), ("said", 2), ("saved", 1)]


@pytest.mark.parametrize(("step", "number"), STEPS)
async def test_killed_at_any_step_the_next_one_says_what_is_left_once(house, step, number):
    house.watched_as = Watch(snapshot_seconds=0.0)
    settings = house.settings()
    environment = {**subprocess_environment({}), "MTS_HOME": settings.home}
    environment["MTS_SERVICE_KEY_FILE"] = settings.service_key_file
    for section in ("nats", "http", "watch"):
        for name, value in msgspec.structs.asdict(getattr(settings, section)).items():
            environment[f"MTS_{section}_{name}".upper()] = str(value)
    program = [ROOT / "tests/workers/crash_at.py", step, str(number), "KILL", "watchdogs"]
    await house.publish(EVERYTHING)
    process = await asyncio.to_thread(
        subprocess.Popen, [sys.executable, "-P", *program], env=environment
    )
    try:
        await eventually(lambda: process.poll() is not None, "it dies")
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    async with house.watched():
        await house.hold(*RAISED)


async def test_a_damaged_snapshot_is_not_believed(house):
    await house.publish(EVERYTHING)
    async with house.watched():
        await house.hold(*RAISED)
    before = await house.said()
    folder = house.settings().watch_path / "newest"
    assert warehouse.read_state(folder / "real")["position"] > 0
    (folder / "real" / "fund_mark.parquet").write_bytes(b"no parquet")
    async with house.watched() as worker:
        assert "1 findings open" in worker.conditions.get("worker").detail
    assert await house.said() == before


async def test_a_snapshot_that_cannot_be_written_is_said_and_costs_no_finding(house):
    folder = house.settings().watch_path
    async with house.watched(snapshot_seconds=0.0) as worker:

        def obstructed() -> bool:
            """Put a file where the next snapshot goes, until it is in the way."""
            newest = (folder / "newest").resolve().name
            place = folder / ("second" if newest == "first" else "first")
            shutil.rmtree(place, ignore_errors=True)
            place.write_text("in the way")
            return "cannot be written" in worker.conditions.get("worker").detail

        await eventually(obstructed, "a snapshot cannot be written")
        await house.publish(EVERYTHING)
        await house.hold(*RAISED)
        for place in folder.iterdir():
            if place.is_file() and place.name in {"first", "second"}:
                place.unlink()
        await ready(worker)
    assert warehouse.read_state(folder / "newest" / "real")["position"] > 0


async def test_a_server_that_was_away_changes_nothing(house):
    async with house.watched() as worker:
        await house.publish(44)
        await asyncio.to_thread(house.firm.nats.restart)
        await house.publish(EVERYTHING)
        await house.hold(*RAISED)
        await ready(worker)


async def test_another_fund_is_passed_over_where_a_process_watches_some(nats_server):
    house = House(nats_server, funds="beta")
    await house.publish(EVERYTHING)
    async with house.watched() as worker:
        assert worker.conditions.get("worker").detail.startswith("0 units watched")
    assert await house.said() == []


async def test_a_watchdog_that_does_not_exist_is_refused_by_name(nats_server):
    house = House(nats_server, only="vipn")
    worker = runtime.Runtime("watchdogs", house.settings())
    task = asyncio.create_task(runtime._run_until_stopped(worker, watchdogs.run))
    try:
        await eventually(
            lambda: "there is no watchdog vipn" in worker.conditions.get("worker").detail
        )
    finally:
        worker.stopping.set()
        await asyncio.wait_for(task, PATIENCE_SECONDS)


async def test_a_message_that_cannot_be_read_stops_nothing(house):
    async with house.watched() as worker:
        client = await house.firm.nats.connect("publisher")
        try:
            for payload in (b"\xff", b"{}", b'{"fund_id":"alpha","data":{"nav":NaN}}'):
                await client.jetstream().publish("mts.v1.portfolio.nav.marked", payload)
        finally:
            await client.close()
        await house.publish(EVERYTHING)
        await house.hold(*RAISED)
        assert worker.conditions.ready


async def test_the_minute_is_in_the_stream_once_however_often_the_process_starts(house):
    for _ in range(3):
        async with house.watched():
            pass

    async def minutes():
        return await house.firm.stored(ClockTicked.pattern)

    found = [each.data.minute for each in await minutes()]
    assert found
    assert len(found) == len(set(found))


async def test_what_a_release_with_another_rule_raised_is_not_raised_again_and_goes_on(house):
    await house.publish(len(house.events))
    data = Finding(
        check=NAME, episode="old", severity="critical", title="said before", rule_version="old/v0",
        looked_at=rfc3339(now_ns()), mode="act", stage=1,
    )  # fmt: skip
    told = FindingRaised(
        event_id="old", timestamp=rfc3339(now_ns()), actor="watchdogs", subject_id="alpha",
        fund_id="alpha", correlation_id="old", data=data,
    )  # fmt: skip
    async with house.firm.connected("admin") as person:
        await person.send(told, "service-watchdogs")
    async with house.watched() as worker:
        await eventually(lambda: "1 findings open" in worker.conditions.get("worker").detail)
        assert await house.said() == [("FindingRaised", "old")]
        house.events += list(history(CALM_DAYS + WILD_DAYS + CALM_DAYS * 2))[len(house.events) :]
        await house.publish(2 * EVERYTHING)
        await house.hold("FindingRaised", "FindingCleared")
    _, cleared = await house.firm.stored(FINDINGS)
    assert cleared.data.episode == "old"


async def test_how_far_it_has_judged_is_said_at_every_tenth_minute_and_read_by_the_next(house):
    async with house.watched():
        minute = ClockTicked(
            event_id=new_event_id(), timestamp=rfc3339(now_ns()), actor="watchdogs",
            subject_id="leader", data=Tick(minute="2026-11-20T15:20:00Z", offset_ms=0.0),
        )  # fmt: skip
        async with house.firm.connected("admin") as person:
            await person.send(minute, "service-watchdogs")

        async def reached():
            return await house.firm.stored(WatchReached.pattern)

        (said,) = await eventually(reached, "how far it has judged is said")
    assert said.data.rule_version == RULE
    assert NAME in said.data.watchdogs
    assert "mts.v1.operations.watch.reached" in consumers.WATCHDOG_SUBJECTS


async def test_the_board_shows_where_everything_stands_and_is_signed(house):
    await house.publish(EVERYTHING)
    heard_parts = []
    async with house.watched(), house.firm.connected("operator") as person:

        def take(subject, _reply, headers, payload):
            heard_parts.append(heard(subject, headers, payload))

        await person.client.subscribe_raw(SUBJECT, take)
        await eventually(lambda: bool(heard_parts), "a part of the board came")
    base = house.firm.base
    judging = judge.for_service(base, base.path("halts", "test-roster.json"))
    member, _, _ = judging.signer(heard_parts[-1], (SUBJECT,))
    assert member.name == "service-watchdogs"
    part = msgspec.json.decode(heard_parts[-1].payload, type=Part)
    (row,) = [row for row in part.standings if row.watchdog == NAME]
    assert (row.unit_id, row.episode is not None) == ("alpha", True)
