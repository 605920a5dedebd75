"""Do the events of a canary's case carry the id of their run, and nothing of the real world?"""

import pytest
from watching import START_NS

from operations.events.operations import ClockTicked, Tick
from operations.watchdogs.cases import Case

pytestmark = pytest.mark.unit


def test_every_event_of_a_case_is_a_canary_with_the_id_of_its_run():
    case = Case("vpin", START_NS, "01J")
    data = Tick(minute="2026-01-05T00:00:00Z", offset_ms=0.0)
    first, second = (case.event(ClockTicked, data, fund_id=case.subject_id) for _ in range(2))
    assert (first.event_id, second.event_id) == ("01J.vpin.1", "01J.vpin.2")
    assert first.environment == "canary"
    assert first.subject_id == first.fund_id == "canary-01J"
    assert first.timestamp == "2026-01-05T00:00:00.000000000Z"
