"""Is it noticed when an order system says nothing, and is it said why something was refused?"""

import pytest
from halt_cases import (
    NOON,
    ORDER_SYSTEMS,
    SECOND,
    acknowledged,
    halt_command,
    new_desk,
)
from halt_floor import MINUTE, Floor, only

from operations.events.findings import FindingCleared, FindingRaised
from operations.events.halts import (
    HaltActivated,
)
from operations.halt import alarms

pytestmark = pytest.mark.unit


@pytest.fixture
def floor():
    return Floor()


def test_a_halt_that_is_stored_is_activated_with_its_hash_and_who_has_to_obey(floor):
    floor.tell(halt_command("h1"))
    event = only(floor.wait(), HaltActivated)
    assert event.data.expected_oms_ids == tuple(sorted(ORDER_SYSTEMS))
    assert event.data.state_hash == floor.desk.halts.state_hash
    assert floor.wait() == []


def test_a_missing_acknowledgement_is_an_alarm_after_the_deadline_and_ends_with_the_word(floor):
    """Pitfall 19: monitoring that is wired to nothing."""
    floor.tell(halt_command("h1"))
    floor.wait()
    floor.tell(acknowledged("h1", "oms-1"), "oms-1")
    event = only(floor.wait(SECOND), FindingRaised)
    assert (event.subject_id, event.data.severity) == ("oms-2", "critical")
    assert floor.wait(SECOND) == []
    floor.tell(acknowledged("h1", "oms-2"), "oms-1")
    assert floor.wait() == []
    floor.tell(acknowledged("h1", "oms-2"), "oms-2")
    cleared = only(floor.wait(), FindingCleared)
    assert cleared.data.episode == event.data.episode
    assert floor.wait(MINUTE) == []


def test_an_alarm_about_a_silent_order_system_ends_with_the_halt(floor):
    floor.tell(halt_command("h1"))
    floor.wait()
    assert len(floor.wait(SECOND)) == 2
    floor.resume("h1")
    assert [type(each) for each in floor.wait()] == [FindingCleared, FindingCleared]


def test_a_halt_that_nobody_is_known_to_obey_is_an_alarm():
    floor = Floor(new_desk(frozenset()))
    floor.tell(halt_command("h1"))
    assert "no order system" in only(floor.wait(MINUTE), FindingRaised).data.title
    assert floor.wait(MINUTE) == []


def test_an_order_system_that_refuses_after_blocking_is_an_alarm_again(floor):
    floor.tell(halt_command("h1"))
    for oms_id in sorted(ORDER_SYSTEMS):
        floor.tell(acknowledged("h1", oms_id), oms_id)
    floor.wait()
    assert floor.wait(MINUTE) == []
    floor.tell(acknowledged("h1", "oms-1", "REFUSED"), "oms-1")
    assert only(floor.wait(MINUTE), FindingRaised).subject_id == "oms-1"


def test_a_message_that_is_no_event_is_refused_under_its_hash():
    made = alarms.refused_message(
        subject="mts.v1.operations.command.halt",
        name="ab" * 32,
        signer="",
        words="not signed",
        at_ns=NOON,
        payload_sha256="ab" * 32,
    )
    assert made.subject_id == "ab" * 32
    assert "command.halt of nobody: not signed" in made.data.title
