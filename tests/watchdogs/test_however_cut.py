"""Do all watchdogs together say the same of any mixture of events, however it is cut?"""

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from watching import START_NS, engine, written

from operations import watchdogs
from operations.adapters.warehouse import read_state
from operations.checks import Stored
from operations.clock import NANOSECONDS
from operations.watchdogs import predictive_health, strategy_watchdog

pytestmark = pytest.mark.unit
SLOW = (predictive_health.WATCHDOG, strategy_watchdog.WATCHDOG)  # cut in tests of their own
ALL = tuple(each for each in watchdogs.ALL if each not in SLOW)
CASES = [
    [replace(each, environment="live") for each in one.canary(START_NS, f"{one.name}-{number}")]
    for one in ALL
    for number in range(2)
]
PAUSES = (0, 0, 0, 0, 1, 70, 3_700, 90_000, 7 * 86_400)  # seconds


def mixed(random):
    """Known cases, mixed: some events are stored twice, some never; then time passes."""
    left = [list(case) for case in random.sample(CASES, random.randint(2, 4))]
    events, at_ns = [], START_NS
    while any(left):
        case = random.choice([one for one in left if one])
        at_ns += random.choice(PAUSES) * NANOSECONDS
        for each in [case.pop(0) for _ in range(min(len(case), random.randint(1, 40)))]:
            for _ in range(random.choice([1] * 30 + [0, 2])):
                events.append(Stored(each, len(events) + 1, at_ns))
    last = events[-1]
    for days in (1, 9):
        later = last.at_ns + days * 86_400 * NANOSECONDS
        events.append(Stored(last.event, len(events) + 1, later))
    return events


def cuts(random, events):
    return sorted(random.choices(range(len(events) + 1), k=random.randint(0, 5)))


def watched(events, places, folder=None):
    """What each says, and what is held in the end; with a folder a restart from it at each cut."""
    said, one = [], engine(*ALL)
    for begin, end in zip([0, *places], [*places, len(events)], strict=True):
        said += one.take(events[begin:end])
        if folder is not None:
            one.warehouse.save(folder / "one", one.snapshot())
            one.warehouse.close()
            one = engine(*ALL)
            one.warehouse.load(folder / "one")
            one.restore(read_state(folder / "one"))
    held = {table.name: one.warehouse.measure(table) for table in one.warehouse.tables}
    assert one.problems == {}
    standings = one.standings
    one.warehouse.close()
    by_watchdog = {one.name: [each for each in said if about(each) == one.name] for one in ALL}
    return {name: written(its) for name, its in by_watchdog.items()}, held, standings


def about(event):
    """Which watchdog says it."""
    return event.data.check


@settings(max_examples=4, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
@given(seed=st.integers(0, 1 << 32))
def test_neither_batches_nor_restarts_change_a_byte_of_what_is_said_or_held(seed):
    random = Random(seed)
    events = mixed(random)
    whole = watched(events, [])
    assert watched(events, cuts(random, events)) == whole
    with TemporaryDirectory() as folder:
        assert watched(events, cuts(random, events), Path(folder)) == whole
