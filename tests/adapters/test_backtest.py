"""Does a backtest take the times of the recording, and count what is no event?"""

import json

import pytest
from watching import DAY, START_NS, event

from operations.adapters import backtest
from operations.clock import rfc3339
from operations.events.base import encode
from operations.events.news import Beat, FeedBeat
from operations.watchdogs import feeds, news_spike

pytestmark = pytest.mark.unit


def line(second):
    one = event(FeedBeat, "wire", Beat(feed="wire", stories=0, interval_seconds=60.0), second)
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
