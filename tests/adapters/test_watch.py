"""Does a warehouse say under a name of its own what it holds, and of which funds?"""

import pytest
from feeding import Tape

from operations.adapters import judge, roster_files, watch_parts
from operations.adapters.watch import Watch
from operations.config import Settings
from operations.events.base import encode

pytestmark = pytest.mark.unit


def measured(tmp_path, funds=(), name="watchdogs-1"):
    """What is said of the table of fund marks at a minute, as table, warehouse and id."""
    settings, tape = Settings(home=str(tmp_path)), Tape()
    roster_files.ensure_development(settings)
    judging = judge.for_service(settings, tmp_path / "roster.json")
    build = watch_parts.parts
    watch = Watch(judging, lambda: build(settings), 1, frozenset(funds), name)
    tape.nav("100")
    tape.tick()
    for event, sequence, at_ns in tape.events:
        place = f"$JS.ACK.MTS.watchdogs-1.1.{sequence}.{sequence}.{at_ns}.0".encode()
        watch.take([(event.subject.encode(), place, b"", encode(event))], live=True)
    (found,) = [each for each in watch.measures if each.subject_id == "fund_mark"]
    return found.data.table, found.data.warehouse, found.data.rows, found.event_id


def test_two_processes_say_the_same_under_two_ids_and_two_names(tmp_path):
    first, second = (measured(tmp_path, name=f"watchdogs-{n}") for n in (1, 2))
    assert first[:3] == ("fund_mark", "watchdogs-1", 1)
    assert second[:3] == ("fund_mark", "watchdogs-2", 1)
    assert first[3] != second[3]
    assert measured(tmp_path)[3] == first[3]


def test_who_watches_some_funds_is_not_compared_with_who_watches_others(tmp_path):
    assert measured(tmp_path, ["beta", "alpha"])[:3] == (
        "fund_mark of alpha, beta",
        "watchdogs-1",
        1,
    )
    assert measured(tmp_path, ["beta"])[:3] == ("fund_mark of beta", "watchdogs-1", 0)
