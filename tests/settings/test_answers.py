"""Does the same cause give the same event, and another one another?"""

import pytest
from msgspec.structs import replace
from setting_house import configure
from settings_of_tests import Stream

from operations.events.base import encode
from operations.settings import answers
from operations.settings.answers import Asked, change_of
from operations.settings.book import Place
from operations.settings.change import Change

pytestmark = pytest.mark.unit
ORDER = configure("vpin.threshold", "0.3", "alpha", reason="loud")
ASKED = Asked(ORDER, 7, 1_800_000_000_000_000_000, "ab" * 32)


def test_a_command_asks_for_a_value_at_a_place_of_nats_kv():
    assert change_of(ORDER) == Change(Place("kv", "vpin", "threshold", "alpha"), "0.3")
    assert change_of(configure("vpin.mode", "act")) == Change(
        Place("kv", "vpin", "mode", ""), "act"
    )


def test_a_copy_of_a_command_leads_to_the_same_change_and_to_a_refusal_of_its_own():
    copy = ASKED._replace(sequence=8)
    assert copy.change_id == ASKED.change_id
    assert copy.refusal_id != ASKED.refusal_id
    assert ASKED._replace(payload_sha256="cd" * 32).change_id != ASKED.change_id


def test_the_refusal_names_the_command_and_whoever_signed_it():
    found = answers.refused(ASKED, "tina", "not entitled")
    assert found.causation_id == ORDER.event_id
    assert found.data.title == "refused command.configure of tina: not entitled"
    assert answers.parameter(found.data, "stream_sequence") == "7"
    assert answers.parameter(found.data, "nothing") == ""
    assert encode(found) == encode(answers.refused(ASKED, "tina", "not entitled"))


def changed(stream, value, revision=None):
    change = Change(Place("vault", "vpin", "threshold", "alpha"), value)
    event = answers.changed_by_layer(
        stream.book,
        change,
        actor="alice",
        reason="",
        at="2026-11-20T15:00:00Z",
        revision=revision,
    )
    stream.book.take(event, 1)
    return event


def test_a_change_of_a_layer_has_an_id_for_each_time_that_it_is_made():
    stream, again = Stream(), Stream()
    events = [changed(stream, value) for value in ("0.1", "0.2", "0.1", None)]
    assert len({each.event_id for each in events}) == 4
    assert [each.data.old_value for each in events] == [None, "0.1", "0.2", "0.1"]
    assert [changed(again, value) for value in ("0.1", "0.2")] == events[:2]
    assert events[0].data.reason == answers.SAID_BY_NOBODY


def test_the_bucket_holds_the_same_bytes_before_and_after_the_revision_is_known():
    event = answers.changed(
        Stream().book,
        change_of(ORDER),
        event_id=ASKED.change_id,
        actor="operator",
        reason="loud",
        at="2026-11-20T15:00:00Z",
        cause=ASKED,
    )
    later = answers.with_revision(event, 4)
    assert later.data.revision == 4
    assert answers.kv_entry(later) == answers.kv_entry(event)
    other = replace(event, actor="somebody")
    assert answers.kv_entry(other) != answers.kv_entry(event)


def test_the_end_of_an_outage_is_that_of_its_episode():
    raised = answers.silent("no route", "", ASKED.at_ns)
    cleared = answers.over(raised, "Vault answers again", ASKED.at_ns + 1)
    assert cleared.data.episode == raised.data.episode
    assert (cleared.subject_id, cleared.data.severity) == ("vault", "info")
    assert "its settings of before that hold" in raised.data.title


@pytest.mark.parametrize("other", [("k", 2, 1), ("k", 1, 2), ("x", 1, 1)])
def test_an_edit_is_found_once_for_its_key_revision_and_bucket(other):
    assert answers.edited("k", 1, 1, 5).event_id == answers.edited("k", 1, 1, 6).event_id
    assert answers.edited(*other, 5).event_id != answers.edited("k", 1, 1, 5).event_id
