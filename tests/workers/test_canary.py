"""Is a watchdog that does not find its canary spoken of, once, until it does?"""

import asyncio
from functools import partial
from pathlib import Path

import msgspec
import pytest
from halting import Firm, envelope
from support import eventually
from watched_firm import watched, working
from watched_floor import WatchedFloor

from operations import watchdogs
from operations.adapters import judge
from operations.adapters.canary_run import Outcome
from operations.clock import NANOSECONDS, now_ns
from operations.config import Watch
from operations.events.findings import FindingRaised
from operations.events.operations import Canary, CanaryPassed
from operations.watchdogs import vpin
from workers import canary
from workers import watchdogs as watchdogs_worker

pytestmark = pytest.mark.integration
SAID = "mts.v1.operations.finding.canary.*"
PASSED = "mts.v1.operations.canary.passed"
QUICK = Path(__file__).with_name("crash_canary.py")
DAY, HOUR = canary.DAY_NS, canary.HOUR_NS


async def test_the_daily_run_passes_and_a_restart_repeats_nothing(nats_server):
    firm = Firm(nats_server)
    cases = {each.name for each in watchdogs.ALL if each.canary}
    quick = partial(canary.run, first_seconds=0.0)
    async with watched(firm), working("canary", firm.settings("canary"), quick):

        async def passed():
            return {each.data.check for each in await firm.stored(PASSED)} == cases

        await eventually(passed, "every watchdog found its canary")
    before = len(await firm.stored(PASSED))
    async with working("canary", firm.settings("canary"), quick) as worker:
        await eventually(lambda: "last passed 20" in worker.conditions.get("worker").detail)
    assert len(await firm.stored(PASSED)) == before


@pytest.mark.parametrize(("step", "number"), [("ran", 1), ("said", 4), ("said", 99)])
async def test_killed_in_its_run_the_next_one_tries_those_alone_that_nothing_was_said_of(
    nats_server, step, number
):
    floor = WatchedFloor(nats_server)
    cases = {each.name for each in watchdogs.ALL if each.canary}
    before = {"ran": 0, "said": min(number, len(cases))}[step]
    try:
        async with watched(floor.firm):
            floor.start("canary", 100, step, min(number, len(cases)), "KILL", file=QUICK)
            await floor.died("canary")
            assert len(await floor.of(CanaryPassed)) == before
            floor.start("canary", 100, "never", 1, "KILL", file=QUICK)
            said = await floor.said(CanaryPassed, len(cases))
            await floor.is_ready("canary")
        assert sorted(each.data.check for each in said) == sorted(cases)
        assert len({each.data.canary_id for each in said}) == 1 + (0 < before < len(cases))
        assert await floor.of(FindingRaised, check="canary") == []
    finally:
        await asyncio.to_thread(floor.end)


async def test_killed_before_it_could_say_who_is_silent_it_says_so_once_when_it_is_back(
    nats_server,
):
    floor = WatchedFloor(nats_server)
    others = len([each for each in watchdogs.ALL if each.canary]) - 1
    try:
        async with working("watchdogs", silent_about("vpin", floor.firm), watchdogs_worker.run):
            floor.start("canary", 15, "said", others, "KILL", file=QUICK)
            await floor.died("canary")
            assert await floor.of(FindingRaised, check="canary") == []
            floor.start("canary", 1, "never", 1, "KILL", file=QUICK)
            (raised,) = await floor.said(FindingRaised, check="canary")
        assert raised.data.title.startswith("vpin did not find its canary")
        assert len(await floor.of(CanaryPassed)) == others
    finally:
        await asyncio.to_thread(floor.end)


async def test_that_a_canary_passed_or_was_silent_is_believed_of_the_canary_alone(nats_server):
    firm = Firm(nats_server)
    settings = firm.settings("canary")
    data = Canary(check="vpin", canary_id="canary-1", delay_ms=1.0)
    passed = CanaryPassed(data=data, **envelope("vpin", timestamp="2031-01-01T00:00:00Z"))
    (raised,) = canary.Known().after([Outcome("news_spike", "silent", words="x")], DAY)
    raised = msgspec.structs.replace(raised, **envelope("news_spike"))
    for key, known in (("service-watchdogs", {}), ("service-canary", {"vpin"})):
        async with firm.connected("canary") as person:
            for event in (passed, raised):
                await person.send(event, key)
            judging = judge.for_service(settings, settings.path("canary", "roster.json"))
            read = await canary.Known.read(person.client, settings, judging)
        assert read.passed_ns.keys() == set(known)
        assert read.silent.keys() == ({"news_spike"} if known else set())
    assert read.passed_ns["vpin"] <= now_ns()  # when it was stored, whatever it says itself


def silent_about(name, firm):
    """Settings of a process with all watchdogs but one."""
    others = ",".join(each.name for each in watchdogs.ALL if each.name != name)
    return msgspec.structs.replace(firm.settings("watchdogs"), watch=Watch(only=others))


@pytest.mark.unit
def test_a_silent_watchdog_is_raised_once_and_cleared_when_it_finds_its_case_again():
    known = canary.Known()
    silent, found = Outcome("vpin", "silent", words="x"), Outcome("vpin", "passed", 3.0)
    raised = known.after([silent], DAY)
    assert [each.subject for each in raised] == ["mts.v1.operations.finding.canary.raised"]
    assert known.after([silent], 2 * DAY) == []
    cleared = known.after([found], 3 * DAY)
    assert [each.subject for each in cleared] == ["mts.v1.operations.finding.canary.cleared"]
    assert cleared[0].data.episode == raised[0].data.episode
    assert known.after([found], 4 * DAY) == []


@pytest.mark.unit
@pytest.mark.parametrize(
    ("passed", "tried", "now", "silent", "due"),
    [
        (0, 0, DAY, {}, True),
        (DAY, 0, 2 * DAY - 1, {}, False),
        (DAY, 0, 2 * DAY, {}, True),
        (DAY, DAY, DAY + HOUR - 1, {"vpin": "e"}, False),
        (DAY, DAY, DAY + HOUR, {"vpin": "e"}, True),
        (0, 2 * DAY - HOUR + NANOSECONDS, 2 * DAY, {}, False),
    ],
)
def test_it_runs_a_day_after_the_last_and_an_hour_after_a_silence(passed, tried, now, silent, due):
    known = canary.Known()
    known.passed_ns, known.silent = {"vpin": passed}, silent
    assert (vpin.WATCHDOG in known.due([vpin.WATCHDOG], now, tried)) is due


@pytest.mark.unit
def test_only_those_are_tried_whose_time_has_come():
    known = canary.Known()
    known.passed_ns = {each.name: 2 * DAY for each in watchdogs.ALL} | {"vpin": DAY}
    known.silent = {"news_spike": "e"}
    due = known.due(watchdogs.ALL, 3 * DAY - 1, 0)
    assert [each.name for each in due] == ["news_spike", "vpin"]
