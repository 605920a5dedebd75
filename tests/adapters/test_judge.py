"""Does only what somebody entitled signed count, by the newest roster that was ever seen?"""

import msgspec
import pytest

from operations.adapters import judge, roster_files
from operations.adapters.judge import Judge, Received, RosterWatch
from operations.clock import new_event_id, now_ns, rfc3339
from operations.config import Settings
from operations.errors import Denied, Rejected
from operations.events.base import encode
from operations.events.commands import HaltCommanded, HaltOrder, ResumeCommanded, ResumeOrder
from operations.events.operations import RosterPublication, RosterPublished
from operations.signing import roster
from operations.signing.message import HEADER, Signer

pytestmark = pytest.mark.unit


@pytest.fixture
def settings(tmp_path):
    made = Settings(home=str(tmp_path))
    roster_files.ensure_development(made)
    return made


@pytest.fixture
def judging(settings) -> Judge:
    return judge.for_service(settings, settings.path("memory", "roster.json"))


def halt(level="FIRM_HALT"):
    now = now_ns()
    order = HaltOrder(
        command_id="c1", issued_at=rfc3339(now), expires_at=rfc3339(now), halt_id="h1", level=level
    )
    return HaltCommanded(
        event_id=new_event_id(), timestamp=rfc3339(now), actor="x", subject_id="h1", data=order
    )


def sent(settings, event, key="operator", *, subject="", payload=b"") -> Received:
    subject, payload = subject or event.subject, payload or encode(event)
    private = roster_files.read_private(settings.path("keys", f"{key}.key"))
    value = Signer(private, settings.audit.origin, settings.environment)(subject, payload)
    return Received(
        subject, payload, f"NATS/1.0\r\n{HEADER}: {value}\r\n\r\n".encode(), 7, now_ns()
    )


def test_a_signed_command_of_somebody_entitled_counts(settings, judging):
    judged = judging.ask(sent(settings, halt()))
    assert judged.member.name == "operator"
    assert judged.fact.sequence == 7
    assert judged.key_label.startswith("operator+")
    assert judged.signature.startswith(judged.key_label)


def test_what_nobody_signed_or_somebody_else_signed_does_not_count(settings, judging):
    good = sent(settings, halt())
    for bad, reason in (
        (good._replace(headers=b""), "not signed"),
        (good._replace(headers=b"NATS/1.0\r\nMts-Signature: rubbish\r\n\r\n"), "does not read"),
        (good._replace(payload=good.payload.replace(b"c1", b"c2")), "bad signature"),
        (sent(settings, halt(), "oms-1"), "not entitled"),
        (sent(settings, halt(), "service-halt"), "not entitled"),
        (good._replace(headers=good.headers[:-2] + good.headers[10:]), "twice"),
    ):
        with pytest.raises(Denied, match=reason):
            judging.ask(bad)


def test_what_held_once_is_judged_again_by_all_but_its_signature(settings, judging):
    good = sent(settings, halt())
    judging.ask(good)
    assert judging.ask(good).member.name == "operator"
    with pytest.raises(Denied, match="not entitled"):
        judging.ask(good, "mts.v1.operations.halt.requested")
    with pytest.raises(Denied, match="not yet valid"):
        judging.ask(good._replace(at_ns=1))
    with pytest.raises(Denied, match="bad signature"):
        judging.ask(good._replace(payload=good.payload.replace(b"c1", b"c2")))


def test_a_message_counts_only_on_the_subject_that_it_was_signed_for(settings, judging):
    event = halt()
    elsewhere = sent(settings, event)._replace(subject="mts.v1.operations.command.resume")
    with pytest.raises(Rejected):
        judging.ask(elsewhere)
    other = Judge(judging.origin, "paper", judging.watch)
    with pytest.raises(Denied, match="wrong environment"):
        other.ask(sent(settings, event))


def test_a_resume_needs_the_right_for_some_level_and_the_caller_may_ask_for_one(settings, judging):
    now = rfc3339(now_ns())
    order = ResumeOrder(
        command_id="c", issued_at=now, expires_at=now, resume_id="r", halt_ids=("h",),
        treatment="CLEARED", reason="all is well",
    )  # fmt: skip
    event = ResumeCommanded(
        event_id=new_event_id(), timestamp=now, actor="x", subject_id="r", data=order
    )
    received = sent(settings, event)
    assert judging.ask(received).member.name == "operator"
    assert judging.ask(received, "mts.v1.operations.command.resume.firm").member.name == "operator"
    with pytest.raises(Denied, match="not entitled"):
        judging.ask(received, "mts.v1.operations.command.adopt_everything")


def next_roster(settings, version, **changes) -> bytes:
    folder = settings.path("keys")
    root = roster_files.read_private(folder / "root.key")
    found = roster_files.read_roster(settings.roster_path, root.public, 1, settings.environment)
    return roster.sign(msgspec.structs.replace(found.body, version=version, **changes), root)


def test_the_newest_roster_counts_and_nobody_takes_it_back(settings, judging):
    first = settings.roster_path.read_bytes()
    settings.roster_path.write_bytes(next_roster(settings, 5, members=()))
    assert judging.watch.refresh()
    with pytest.raises(Denied, match="unknown key"):
        judging.ask(sent(settings, halt()))
    settings.roster_path.write_bytes(first)
    assert not judging.watch.refresh()
    assert "older than 5" in judging.watch.problem
    again = judge.for_service(settings, settings.path("memory", "roster.json"))
    assert again.watch.roster.body.version == 5


def test_a_published_roster_counts_by_the_signature_of_the_root_key_alone(settings, judging):
    document = next_roster(settings, 9).decode()
    data = RosterPublication(version=9, roster=document, sha256="", purpose="development")
    event = RosterPublished(subject_id="roster", data=data)
    assert judging.take_roster(event)
    assert not judging.take_roster(event)
    forged = msgspec.structs.replace(data, roster=document.replace('"version":9', '"version":10'))
    assert not judging.take_roster(msgspec.structs.replace(event, data=forged))
    assert "not signed by the root key" in judging.watch.problem
    assert judging.watch.roster.body.version == 9


def test_two_rosters_of_one_version_leave_the_first(settings, judging):
    before = judging.watch.roster
    settings.roster_path.write_bytes(next_roster(settings, before.body.version, members=()))
    assert not judging.watch.refresh()
    assert "two different rosters" in judging.watch.problem
    assert judging.watch.roster is before


def test_without_any_roster_nothing_starts(settings, tmp_path):
    settings.roster_path.unlink()
    with pytest.raises(Rejected, match="cannot read the roster"):
        judge.for_service(settings, tmp_path / "memory.json")
    with pytest.raises(Rejected, match="give the path"):
        RosterWatch(
            roster_files.read_public(settings.root_key_path), "development", tmp_path / "m.json"
        )


def test_a_subject_that_is_not_ascii_is_refused():
    with pytest.raises(Rejected, match="not ASCII"):
        judge.heard(b"mts.v1.\xff", b"", b"")
