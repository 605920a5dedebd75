"""Is what came of a command told from the answers of others, and never from hope?"""

import pytest
from halt_cases import (
    FIRM,
    FUND,
    NOON,
    ORDER_SYSTEMS,
    SECOND,
    acknowledged,
    ask,
    digest,
    fact,
    halt_command,
    lift_of,
    new_desk,
    requested,
    resume_command,
    signed,
)

from operations.clock import rfc3339
from operations.events.base import derived_id
from operations.events.halts import HaltLifted, Resume, ResumeDenial, ResumeDenied, ResumeRequested
from operations.halt import alarms, outcome
from operations.halt.outcome import Command

pytestmark = pytest.mark.unit
LATER = NOON + 60 * SECOND
MINE = Command("halt-h1", "0" * 64)


def halted(desk, *phases, halt_id="h1"):
    desk.take(fact(requested(halt_id, FIRM), 1))
    for oms_id, phase in zip(sorted(ORDER_SYSTEMS), phases, strict=False):
        desk.hear(ask(acknowledged(halt_id, oms_id, phase), oms_id, 2))
    return desk


def of_halt(desk, now_ns=LATER, findings=(), halt_id="h1"):
    return outcome.of_halt(desk, halt_id, MINE, now_ns, findings)


def test_sent_is_not_stopped():
    desk = new_desk()
    desk.hear(ask(halt_command("h1", FIRM), "alice", 1))
    assert of_halt(desk) is None
    assert outcome.of_silence(desk, "h1", LATER).result == "late"


def test_a_halt_is_done_only_when_everybody_blocks():
    assert of_halt(halted(new_desk()), NOON) is None
    assert of_halt(halted(new_desk(), "BLOCKING")).result == "partial"
    assert of_halt(halted(new_desk(), "BLOCKING", "RECEIVED")).result == "partial"
    assert of_halt(halted(new_desk(), "BLOCKING", "BLOCKING")).result == "done"


def test_a_halt_under_another_id_is_found_by_what_caused_it():
    from msgspec.structs import replace

    desk = new_desk()
    desk.take(fact(replace(requested("other", FIRM), causation_id=MINE.event_id), 1))
    assert of_halt(desk).halts[0].halt_id == "other"


def test_order_systems_that_obey_by_themselves_count():
    desk = new_desk()
    for oms_id in ORDER_SYSTEMS:
        desk.hear(ask(acknowledged("h1", oms_id), oms_id, 2))
    assert of_halt(desk) is None
    found = outcome.of_silence(desk, "h1", LATER)
    assert (found.result, found.words[:3]) == ("done", "2/2")


def test_a_refusal_is_known_by_its_cause_or_by_the_hash_of_the_payload():
    event = halt_command("h1", FIRM)
    said = alarms.refused(fact(event, 1), event.subject, "alice", "it expired")
    for command in (Command(event.event_id, "-"), Command("-", fact(event).payload_sha256)):
        found = outcome.refused(command, [said])
        assert (found.result, "it expired" in found.words) == ("refused", True)
        assert said.event_id in found.words
    assert outcome.refused(Command("another", "-"), [said]) is None


def of_resume(desk, findings=(), halt_ids=("h1",)):
    return outcome.of_resume(desk, "r1", halt_ids, Command("resume-r1", "-"), findings)


def lifted(*orders):
    return HaltLifted(
        event_id="lift",
        timestamp=rfc3339(NOON),
        actor="halt",
        subject_id="r1",
        data=lift_of(*orders),
    )


def test_a_lift_that_was_only_heard_lifts_nothing():
    desk = new_desk()
    desk.take(fact(requested("h1", FUND), 1))
    resume = ask(resume_command("h1"), "alice", 2)
    desk.hear(resume)
    desk.take(fact(lifted(resume.order)))
    assert of_resume(desk) is None
    desk.take(fact(lifted(resume.order), 3))
    assert of_resume(desk).result == "done"


def test_asked_is_not_lifted():
    desk = new_desk()
    desk.take(fact(requested("h1", FIRM), 1))
    desk.hear(ask(resume_command("h1"), "alice", 2))
    assert of_resume(desk) is None
    order = signed(resume_command("h1"), "alice")
    desk.take(fact(opened(order), 3))
    found = of_resume(desk)
    assert (found.result, found.next) == ("waits", "mts cmd cosign r1")


def opened(order):
    return ResumeRequested(
        event_id=derived_id("resume-r1", "resume_requested", "r1", 0),
        timestamp=rfc3339(NOON),
        actor="halt",
        subject_id="r1",
        data=Resume(
            resume_id="r1",
            halt_ids=("h1",),
            treatment="CLEARED",
            reason="checked",
            requested_by="alice",
            expires_at=rfc3339(NOON + 600 * SECOND),
            payload_sha256=digest(order),
        ),
    )


@pytest.mark.parametrize(("newer", "result"), [(False, "refused"), (True, "lost")])
def test_a_denied_lift_has_lost_only_against_a_newer_halt(newer, result):
    desk = new_desk()
    desk.take(fact(requested("h1", FIRM), 1))
    desk.hear(ask(resume_command("h1"), "alice", 2))
    if newer:
        desk.take(fact(requested("h2", FIRM), 3))
    denial = ResumeDenial(resume_id="r1", halt_ids=("h1",), reason="no")
    event = ResumeDenied(
        event_id="d", timestamp=rfc3339(NOON), actor="halt", subject_id="r1", data=denial
    )
    desk.take(fact(event, 4))
    assert of_resume(desk).result == result


def test_cancels_are_done_when_every_order_system_confirmed_them():
    desk = new_desk()
    assert outcome.behind(progress(desk), "CANCEL_CONFIRMED", "cancels").result == "late"
    desk.hear(ask(acknowledged("c1", "oms-1", "CANCEL_CONFIRMED"), "oms-1", 2))
    desk.hear(ask(acknowledged("c1", "oms-2", "CANCEL_SENT"), "oms-2", 3))
    assert outcome.of_progress(progress(desk), "CANCEL_CONFIRMED", "cancels") is None
    found = outcome.behind(progress(desk), "CANCEL_CONFIRMED", "cancels")
    assert (found.result, found.words) == ("partial", "cancels: 1/2 OMS; oms-2 is at CANCEL_SENT")
    desk.hear(ask(acknowledged("c1", "oms-2", "FLAT"), "oms-2", 4))
    assert outcome.of_progress(progress(desk), "CANCEL_CONFIRMED", "cancels").result == "done"


def test_one_refusal_is_partial_and_all_refusals_are_a_refusal():
    desk = new_desk()
    desk.hear(ask(acknowledged("c1", "oms-1", "FLAT"), "oms-1", 2))
    desk.hear(ask(acknowledged("c1", "oms-2", "REFUSED"), "oms-2", 3))
    assert outcome.of_progress(progress(desk), "FLAT", "flat").result == "partial"
    alone = new_desk()
    for place, oms_id in enumerate(sorted(ORDER_SYSTEMS), start=2):
        alone.hear(ask(acknowledged("c1", oms_id, "REFUSED"), oms_id, place))
    assert outcome.of_progress(progress(alone), "FLAT", "flat").result == "refused"


def progress(desk):
    return outcome.progress(desk, "c1", LATER)
