"""Does a backtest take the times of the recording, and count what is no event?"""

import json

import msgspec
import pytest
from watching import DAY, START_NS, event

from operations.adapters import backtest
from operations.clock import rfc3339
from operations.errors import Rejected
from operations.events.base import encode
from operations.events.news import Beat, FeedBeat
from operations.watchdogs import dependency_watchdog, feeds, news_spike
from operations.watchdogs.dependency_watchdog import canary

pytestmark = pytest.mark.unit


def line(second, **envelope):
    data = Beat(feed="wire", stories=0, interval_seconds=60.0)
    one = event(FeedBeat, "wire", data, second, **envelope)
    return json.dumps({"subject": one.subject, "payload": json.loads(encode(one))})


def test_lines_that_are_no_events_are_counted_and_a_time_never_runs_back(tmp_path):
    file = tmp_path / "beats.jsonl"
    lines = [line(86_400), "wrong", line(5), '{"subject": "mts.v1.a.b", "payload": {}}']
    file.write_text("\n".join(lines) + "\n")
    seen = []
    found = backtest.run(news_spike.WATCHDOG, feeds.WATCHDOG, file, seen.append)
    assert (found.events, found.skipped) == (2, 2)
    assert rfc3339(found.first_ns) == rfc3339(found.last_ns) == rfc3339(START_NS + DAY)
    assert found.said == []


def test_two_runs_share_nothing(tmp_path):
    file = tmp_path / "beats.jsonl"
    file.write_text(line(1) + "\n")
    first = backtest.run(news_spike.WATCHDOG, feeds.WATCHDOG, file, print)
    first.judged.append(backtest.Judged(1, "x", "ok", None, None))
    second = backtest.run(news_spike.WATCHDOG, feeds.WATCHDOG, file, print)
    assert second.judged == []


def test_what_canaries_and_drills_published_is_no_part_of_what_was_watched(tmp_path):
    """A log of the firm holds a case of each canary for every day."""
    file = tmp_path / "services.jsonl"
    events = [msgspec.structs.replace(each, environment="canary") for each in canary(START_NS, "r")]
    texts = [
        json.dumps({"subject": each.subject, "payload": json.loads(encode(each))})
        for each in events
    ]
    file.write_text("\n".join([*texts, line(1), line(2, environment="drill")]) + "\n")
    found = backtest.run(dependency_watchdog.WATCHDOG, feeds.WATCHDOG, file, print)
    assert (found.events, found.apart, found.skipped) == (1, len(texts) + 1, 0)
    assert (found.said, found.judged) == ([], [])
    file.write_text("\n".join(texts) + "\n")
    with pytest.raises(Rejected, match=f"{len(texts)} of drills and canaries"):
        backtest.run(dependency_watchdog.WATCHDOG, feeds.WATCHDOG, file, print)
