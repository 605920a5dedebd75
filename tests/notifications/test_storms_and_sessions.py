"""What is told at once, what together, and what waits: storms, and markets that are closed."""

import pytest
from alert_cases import (
    CHAT,
    MINUTE,
    PAGER,
    SECOND,
    Office,
    cleared,
    finding,
    first,
    halt,
    registered,
    updated,
    with_rules,
)

from operations.clock import parse_rfc3339

pytestmark = pytest.mark.unit
NIGHT_NS = parse_rfc3339("2026-11-20T22:00:00Z")
MONDAY_NS = parse_rfc3339("2026-11-23T14:30:00Z")


def test_a_storm_is_a_few_messages_and_digests_and_nothing_is_lost():
    office = Office(with_rules(channels=(PAGER, CHAT)))
    office.hear(*(finding(episode=f"e-{number}") for number in range(30)))
    assert [each.reason for each in office.sent].count("first_message") == 10
    office.hear(*(finding(episode=f"f-{number}", severity="warning") for number in range(30)))
    assert office.why("f-3", "slack") == "too_many"
    office.pass_(MINUTE)
    for channel in ("pagerduty", "slack"):
        digests = [
            each
            for each in office.sent
            if each.thread.channel == channel and each.reason == "digest"
        ]
        assert [len(each.episodes) for each in digests] == (
            [25] if channel == PAGER.name else [25, 30]
        )
    office.hear(*(cleared(episode=f"e-{number}") for number in range(29)))
    ended = [each for each in office.sent if each.action == "end"]
    assert len(ended) == 10  # those told alone; the digest goes on with one of its own
    office.hear(cleared(episode="e-29"))
    assert len([each for each in office.sent if each.action == "end"]) == 12


def test_what_is_critical_waits_for_no_digest_only_for_a_channel_that_takes_nothing():
    office = Office(with_rules(channels=(CHAT,)))
    office.hear(*(finding(episode=f"e-{number}") for number in range(20)))
    assert [len(each.episodes) for each in office.sent] == [1, 1, 1, 1, 1, 15]
    office.now_ns += SECOND
    warning = finding(episode="f-1", severity="warning")
    assert office.hear(warning, finding(episode="f-2")) == [("slack", "raise", "digest")]
    assert [each.id for each in office.sent[-1].episodes] == ["f-2"]
    assert office.hear(halt()) == [("slack", "raise", "digest")]
    office.told.unsent = frozenset([office.sent[-1].thread.key])
    assert office.hear(finding(episode="f-3"), finding(episode="f-4")) == []
    office.told.unsent = frozenset()
    assert office.pass_(SECOND) == [("slack", "raise", "digest")]
    assert [each.id for each in office.sent[-1].episodes] == ["f-3", "f-4"]
    assert office.pass_(MINUTE - 1) == []
    assert office.why("f-1", "slack") == "too_many"
    assert office.pass_(1) == [("slack", "raise", "digest")]


def test_what_is_critical_waits_for_a_channel_that_takes_nothing_no_longer_than_a_digest():
    office = Office(with_rules(channels=(CHAT,)))
    office.hear(*(finding(episode=f"e-{number}") for number in range(20)))
    office.told.unsent = frozenset(office.told.threads)
    assert office.hear(finding(episode="f-1")) == []
    assert office.pass_(MINUTE) == [("slack", "raise", "digest")]


@pytest.mark.parametrize("back", [MINUTE, 60 * MINUTE])
def test_a_clock_that_is_set_back_holds_no_digest_back_for_longer_than_its_distance(back):
    office = Office(with_rules(channels=(CHAT,)))
    office.hear(*(finding(episode=f"e-{number}") for number in range(20)))
    office.hear(finding(episode="f-1", severity="warning"))
    assert office.why("f-1", "slack") == "too_many"
    assert office.pass_(-back) == [
        ("slack", "raise", "digest" if back == MINUTE else "first_message")
    ]


def test_halts_are_told_alone_before_findings_in_a_storm():
    office = Office(with_rules(channels=(PAGER,)))
    office.hear(*(finding(episode=f"e-{number}") for number in range(30)), halt())
    assert office.sent[0].episodes[0].id == "h-1"


def test_what_is_not_critical_wakes_nobody_while_the_market_is_closed():
    office = Office()
    office.now_ns = NIGHT_NS
    office.hear(*registered())
    assert office.hear(finding(severity="warning", strategy_id="momentum")) == [
        first("slack"),
        first("email"),
    ]
    assert office.why("e-1", "telegram") == "outside_session"
    assert first("pagerduty") in office.hear(finding(episode="e-2", fund_id="alpha"))
    assert office.pass_(MONDAY_NS - 1 - office.now_ns) == [
        (name, "page_again", "unacknowledged") for name in ("pagerduty", "telegram")
    ]
    assert office.pass_(1) == [("telegram", "raise", "opening")]


def test_the_opening_tells_all_that_came_while_the_market_was_closed_at_once_and_once():
    office = Office()
    office.now_ns = NIGHT_NS
    office.hear(*registered())
    for number in range(9):
        office.hear(finding(episode=f"e-{number}", severity="warning", fund_id="alpha"))
        office.pass_(MINUTE)
    office.hear(cleared("e-0"), cleared("e-1"))
    assert office.pass_(MONDAY_NS - office.now_ns) == [("telegram", "raise", "opening")]
    assert [each.id for each in office.sent[-1].episodes] == [f"e-{each}" for each in range(9)]
    assert "e-0" not in office.episodes.by_id  # it is over and everybody was told
    office.hear(finding(episode="f-1", severity="warning", fund_id="alpha"))
    assert office.sent[-3].reason == "first_message"  # the opening was no burst
    assert office.pass_(MINUTE) == []
    office.hear(*(cleared(f"e-{each}") for each in range(2, 9)))
    assert [each.reason for each in office.sent if each.thread.channel == "telegram"] == [
        "opening",
        "first_message",
        "over",
    ]


def test_what_gets_critical_while_the_market_is_closed_does_not_wait_for_the_opening():
    office = Office()
    office.now_ns = NIGHT_NS
    office.hear(*registered())
    office.hear(finding(severity="warning", fund_id="alpha"))
    assert first("telegram") in office.hear(updated(severity="critical", fund_id="alpha"))
    assert "opening" not in {each[2] for each in office.pass_(MONDAY_NS - office.now_ns)}


@pytest.mark.parametrize("calendar_id", [None, "unknown"])
def test_where_no_calendar_is_known_nothing_waits_for_a_session(calendar_id):
    office = Office()
    office.now_ns = NIGHT_NS
    office.hear(*registered(calendar_id))
    assert first("telegram") in office.hear(finding(severity="warning", fund_id="alpha"))
