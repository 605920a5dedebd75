"""Is it noticed when an order system says nothing, and is it said why something was refused?"""

import pytest
from halt_cases import (
    NOON,
    ORDER_SYSTEMS,
    SECOND,
    acknowledged,
    ask,
    cosign_command,
    drill_command,
    finding,
    halt_command,
    new_desk,
    resume_command,
    signed,
)
from halt_floor import MINUTE, Floor, kinds, only

from operations.clock import rfc3339
from operations.events.base import encode
from operations.events.findings import FindingCleared, FindingRaised
from operations.events.halts import HaltActivated
from operations.halt import alarms, manager
from operations.halt.records import Ask
from operations.halt.state import FIRM

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
        at=rfc3339(NOON),
        payload_sha256="ab" * 32,
    )
    assert made.subject_id == "ab" * 32
    assert "command.halt of nobody: not signed" in made.data.title


@pytest.mark.parametrize("signer", ["alice", "erin"])
def test_a_halt_worker_that_starts_again_says_nothing_new(floor, signer):
    """All asks are decided once more: what was refused, drilled, cosigned or lifted stays so."""
    floor.tell(drill_command())
    floor.tell(drill_command("d2", expires_at=rfc3339(NOON)))
    floor.tell(drill_command())
    floor.tell(finding())
    floor.tell(finding("vpin", "f9"))
    for resume_id, by in (("r1", "alice"), ("r2", signer)):
        floor.tell(halt_command(f"h{resume_id}", FIRM))
        floor.resume(f"h{resume_id}", resume_id=resume_id)
        order = signed(resume_command(f"h{resume_id}", resume_id=resume_id), "alice")
        floor.tell(cosign_command(order, resume_id, event_id=f"self-{resume_id}"), by)
        floor.tell(cosign_command(order, resume_id), "bob")
    floor.wait()
    again = new_desk()
    for each in floor.log:
        (again.hear if isinstance(each, Ask) else again.take)(each)
    later = floor.now + 60 * MINUTE
    for each in floor.log:
        if isinstance(each, Ask):
            assert manager.decide(again, each, later) == ()
    assert kinds(manager.due(again, later)) <= {FindingRaised}  # the order systems are silent


def test_heard_or_stored_a_refusal_is_the_same_finding(floor):
    heard = ask(finding("vpin"), "service-vpin")
    floor.desk.hear(heard)
    (early,) = manager.decide(floor.desk, heard, NOON)
    (late,) = floor.tell(finding("vpin"), "service-vpin")
    assert encode(early) == encode(late)
