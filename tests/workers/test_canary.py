"""Is a watchdog that does not find its canary spoken of, once, until it does?"""

from functools import partial

import pytest
from halting import Firm
from support import eventually
from watched_firm import watched, working

from operations import watchdogs
from operations.adapters.canary_run import Outcome
from operations.clock import NANOSECONDS
from workers import canary

pytestmark = pytest.mark.integration
SAID = "mts.v1.operations.finding.canary.*"
PASSED = "mts.v1.operations.canary.passed"
DAY, HOUR = canary.DAY_NS, canary.HOUR_NS


async def test_the_daily_run_passes_and_a_restart_repeats_nothing(nats_server):
    firm = Firm(nats_server)
    cases = {each.name for each in watchdogs.ALL if each.canary}
    quick = partial(canary.run, first_seconds=0.0)
    async with watched(firm), working("canary", firm.settings("canary"), quick):

        async def passed():
            return {each.data.check for each in await firm.stored(PASSED)} == cases

        await eventually(passed, 60, "every watchdog found its canary")
    before = len(await firm.stored(PASSED))
    async with working("canary", firm.settings("canary"), quick) as worker:
        await eventually(lambda: "last passed 20" in worker.conditions.get("worker").detail)
    assert len(await firm.stored(PASSED)) == before


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
    known.passed_ns, known.silent = passed, silent
    assert known.due(now, tried) is due
