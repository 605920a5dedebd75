"""Is everybody told once of what is the matter, at the right time, and is every answer named?"""

from typing import get_args

import pytest
from alert_cases import (
    MINUTE,
    PHONE,
    SECOND,
    START_NS,
    Office,
    acknowledgement,
    blocking,
    cleared,
    closing,
    finding,
    first,
    halt,
    lifted,
    registered,
    silence,
    updated,
    with_rules,
)

from operations.clock import rfc3339
from operations.notifications.decision import STAGES, Reason
from operations.notifications.episode import OWN, Episode
from operations.notifications.rules import routes_of
from operations.notifications.silences import windows_of

pytestmark = pytest.mark.unit


def over(channel):
    return (channel, "end", "over")


def test_each_channel_gets_one_message_for_an_episode_and_one_when_it_is_over():
    office = Office()
    everywhere = ["pagerduty", "telegram", "slack", "email"]
    assert office.hear(finding()) == [first(name) for name in everywhere]
    for _ in range(5):
        assert office.hear(updated()) == []
        assert office.pass_(MINUTE) == []
    assert office.hear(cleared()) == [over(name) for name in everywhere[:3]]  # mail wants no ends
    assert office.pass_(MINUTE) == []
    assert not office.episodes.by_id


def test_an_update_is_told_only_when_it_is_worse():
    office = Office()
    assert office.hear(finding(severity="warning")) == [
        first("telegram"),
        first("slack"),
        first("email"),
    ]
    assert office.why("e-1", "pagerduty") == "below_severity"
    assert office.hear(updated(severity="warning")) == []
    assert office.hear(updated(severity="critical")) == [
        first("pagerduty"),
        *((name, "update", "severity_rose") for name in ("telegram", "slack", "email")),
    ]
    assert office.hear(updated(severity="warning")) == []


def test_what_begins_again_after_its_end_is_told_again():
    office = Office()
    office.hear(finding())
    office.hear(cleared())
    assert first("slack") in office.hear(finding())


def test_a_halt_is_told_everywhere_with_who_obeys_and_its_lift_ends_it():
    office = Office()
    assert len(office.hear(halt())) == 4
    office.hear(blocking("h-1", "oms-1"), blocking("h-1", "oms-2", "REFUSED"))
    assert office.episodes.by_id["h-1"].answers == (("oms-1", "BLOCKING"), ("oms-2", "REFUSED"))
    assert office.hear(halt()) == []
    assert [each[:2] for each in office.hear(lifted("h-1"))] == [
        ("pagerduty", "end"),
        ("telegram", "end"),
        ("slack", "end"),
    ]


def test_pagers_ring_again_until_somebody_acknowledges():
    office = Office()
    office.hear(finding())
    assert office.pass_(15 * MINUTE - 1) == []
    again = [(name, "page_again", "unacknowledged") for name in ("pagerduty", "telegram")]
    assert office.pass_(1) == again
    assert office.pass_(15 * MINUTE) == again
    assert office.hear(acknowledgement()) == [("pagerduty", "acknowledge", "acknowledged")]
    assert office.episodes.by_id["e-1"].acknowledged_by == "ann"
    assert office.pass_(60 * MINUTE) == []


@pytest.mark.parametrize("minutes", [15, -15, -600])
def test_a_clock_that_is_set_back_keeps_no_pager_quiet(minutes):
    office = Office(with_rules(channels=(PHONE,)))
    office.hear(finding())
    assert office.pass_(-14 * MINUTE) == []
    office.now_ns = START_NS
    assert office.pass_(minutes * MINUTE) == [("telegram", "page_again", "unacknowledged")]
    assert office.pass_(14 * MINUTE) == []


def test_nobody_is_paged_again_while_the_last_page_is_not_sent():
    office = Office()
    office.hear(finding())
    office.told.unsent = frozenset(office.told.threads)
    assert office.pass_(60 * MINUTE) == []


def test_an_acknowledgement_of_a_warning_does_not_cover_what_is_critical():
    office = Office()
    office.hear(finding(severity="warning"))
    office.hear(acknowledgement())
    office.hear(updated(severity="critical"))
    assert ("telegram", "page_again", "unacknowledged") in office.pass_(15 * MINUTE)


def test_a_person_ends_what_nobody_clears_and_it_is_told_again_when_it_is_found_again():
    office = Office()
    office.hear(finding())
    assert office.hear(closing()) == [over(name) for name in ("pagerduty", "telegram", "slack")]
    ended = office.sent[-1].episodes[0]
    assert (ended.closed_by, ended.closed_because, ended.open) == ("ann", "known", False)
    assert office.hear(cleared()) == []
    assert not office.episodes.by_id
    assert len(office.hear(updated())) == 4
    assert office.episodes.by_id["e-1"].closed_by == ""


def test_nobody_closes_a_halt_nor_what_the_worker_finds_itself():
    office = Office()
    office.episodes.raise_own(own())
    office.hear(halt())
    assert office.hear(closing("h-1"), closing("n-1"), closing("unknown")) == []
    assert all(each.open for each in office.episodes.by_id.values())


@pytest.mark.parametrize("environment", ["drill", "canary"])
def test_exercises_and_observations_ring_no_pager_and_stand_in_info_channels(environment):
    office = Office()
    assert office.hear(finding(environment=environment)) == [first("slack"), first("email")]
    assert office.why("e-1", "pagerduty") == "exercise"
    assert office.hear(finding(episode="e-2", mode="observe")) == [first("slack"), first("email")]
    assert office.why("e-2", "telegram") == "observing"
    assert office.hear(halt("h-drill", reason_code="DRILL")) == [first("slack"), first("email")]
    assert office.pass_(60 * MINUTE) == []


def test_a_silence_holds_findings_until_its_end_and_says_so():
    office = Office()
    office.hear(silence(600))
    assert office.hear(finding()) == []
    assert office.why("e-1", "pagerduty") == "silenced"
    assert office.pass_(600 * SECOND - 1) == []
    assert len(office.pass_(1)) == 4


def test_a_silence_keeps_pagers_quiet_about_what_they_rang_for_and_lets_the_end_through():
    office = Office()
    office.hear(finding())
    office.hear(silence(3600))
    assert office.pass_(30 * MINUTE) == []
    assert over("pagerduty") in office.hear(cleared())


@pytest.mark.parametrize("narrow", [{}, {"fund_id": "alpha"}])
def test_a_silence_never_silences_a_halt(narrow):
    office = Office(with_rules(maintenance=windows_of("daily 00:00-23:59")))
    office.hear(silence(7200, **narrow))
    assert len(office.hear(halt())) == 4
    assert ("pagerduty", "page_again", "unacknowledged") in office.pass_(15 * MINUTE)


@pytest.mark.parametrize("silenced", ["nats", "vpin"])
def test_a_silence_of_what_stands_beside_a_halt_in_a_digest_never_silences_the_halt(silenced):
    office = Office(with_rules(channels=(PHONE,), burst=0))
    office.hear(finding(check=silenced), halt())
    assert [each.reason for each in office.sent] == ["digest"]
    office.hear(silence(7200, check=silenced))
    assert office.pass_(15 * MINUTE) == [("telegram", "page_again", "unacknowledged")]


@pytest.mark.parametrize(
    ("narrow", "silent"),
    [
        ({"check": "vpin"}, True),
        ({"check": "drawdown"}, False),
        ({"fund_id": "alpha"}, True),
        ({"fund_id": "beta"}, False),
        ({"strategy_id": "momentum", "check": "vpin"}, True),
        ({"strategy_id": "other"}, False),
    ],
)
def test_a_silence_covers_what_it_names(narrow, silent):
    office = Office()
    office.hear(silence(600, **narrow))
    sent = office.hear(finding(fund_id="alpha", strategy_id="momentum"))
    assert (sent == []) is silent


def test_a_planned_silence_begins_when_it_says_and_a_later_order_replaces_it():
    office = Office()
    office.hear(silence(3600, starts_at=rfc3339(START_NS + 60 * SECOND)))
    assert office.hear(finding()) != []
    office.pass_(MINUTE)
    assert office.hear(finding(episode="e-2")) == []
    assert len(office.hear(silence(60))) == 4  # ended early: what was held is told


def test_in_a_window_of_maintenance_only_what_is_critical_is_told():
    office = Office(with_rules(maintenance=windows_of("fri 15:50-16:10")))
    assert office.hear(finding(severity="warning")) == []
    assert office.why("e-1", "slack") == "maintenance"
    assert office.hear(finding(episode="e-2")) != []
    assert len(office.pass_(10 * MINUTE)) == 3


def own(name="n-1", check="nats", subject_id="nats"):
    return Episode(
        id=name,
        kind=OWN,
        check=check,
        severity="critical",
        title="NATS is out of reach",
        subject_id=subject_id,
        raised_ns=START_NS,
        raised_sequence=0,
    )


def test_what_a_raised_cause_explains_is_held_and_listed_with_it():
    office = Office()
    office.episodes.raise_own(own())
    office.hear(*(finding(episode=f"e-{number}") for number in range(12)))
    assert [each.episodes[0].id for each in office.pages()] == ["n-1", "n-1"]
    assert len(office.sent[0].explained) == 12
    assert office.why("e-3", "pagerduty") == "explained"
    assert len(office.hear(halt())) == 4  # never a halt
    office.hear(*(cleared(episode=f"e-{number}") for number in range(11)))
    office.episodes.end(("n-1",), office.now_ns, 0)
    ends = [each for each in office.sent if each.action == "end"]
    assert ends == []
    office.look()
    ends = [each for each in office.sent if each.action == "end"]
    assert {each.thread.channel for each in ends} == {"pagerduty", "telegram", "slack"}
    assert all(len(each.explained) == 12 for each in ends)
    assert office.pass_(2 * MINUTE) == []
    assert [each[:2] for each in office.pass_(1)] == [
        (name, "raise") for name in ("pagerduty", "telegram", "slack", "email")
    ]  # what goes on after the grace was no effect
    assert set(office.episodes.by_id) == {"h-1", "e-11"}


def test_a_channel_that_was_not_told_of_the_cause_is_told_of_its_effects():
    office = Office(with_rules(routes=routes_of("firm=slack, *=slack+email", CHANNELS)))
    office.episodes.raise_own(own())
    sent = office.hear(finding(fund_id="alpha"))
    assert sorted(sent) == [first("email"), first("slack")]
    assert [each.thread.channel for each in office.sent if each.episodes[0].id == "e-1"] == [
        "email"
    ]


CHANNELS = frozenset(("pagerduty", "telegram", "slack", "email"))


def test_a_finding_that_asks_for_a_halt_is_told_with_that_halt():
    office = Office()
    assert office.hear(finding(halt_level="fund", event_id="f-1")) == []
    assert office.why("e-1", "slack") == "awaits_halt"
    office.hear(halt(causation_id="f-1"))
    assert [each.episodes[0].id for each in office.sent] == ["h-1"] * 4
    assert [each.id for each in office.sent[0].explained] == ["e-1"]
    assert office.pass_(10 * SECOND) == []


def test_a_finding_whose_halt_does_not_come_is_told_alone():
    office = Office()
    office.hear(finding(halt_level="fund"))
    assert len(office.pass_(2 * SECOND)) == 4


def test_routes_decide_by_fund_and_severity_and_the_first_that_fits():
    routes = routes_of("alpha:critical=pagerduty+email, alpha=email, firm=slack", CHANNELS)
    office = Office(with_rules(routes=routes))
    assert office.hear(finding(fund_id="alpha")) == [first("pagerduty"), first("email")]
    assert office.hear(finding(episode="e-2", severity="warning", fund_id="alpha")) == [
        first("email")
    ]
    assert office.hear(finding(episode="e-3")) == [first("slack")]
    assert office.why("e-3", "email") == "not_routed"
    assert len(office.hear(finding(episode="e-4", fund_id="beta"))) == 4


def test_who_names_only_a_strategy_is_routed_and_silenced_with_its_fund():
    office = Office(with_rules(routes=routes_of("alpha=email, firm=slack", CHANNELS)))
    office.hear(*registered())
    assert office.hear(finding(strategy_id="momentum")) == [first("email")]
    assert office.hear(halt(fund_id=None, strategy_id="momentum")) == [first("email")]
    assert office.hear(finding(episode="e-2", strategy_id="unknown")) == [first("slack")]
    office.hear(silence(600, fund_id="alpha"))
    assert office.hear(finding(episode="e-3", strategy_id="momentum")) == []


def test_what_was_over_before_it_could_be_told_rings_no_pager_and_is_told_once():
    office = Office()
    office.hear(finding(), cleared())
    assert {(each.thread.channel, each.reason) for each in office.sent} == {
        ("slack", "over_before_told"),
        ("email", "over_before_told"),
    }
    assert office.pass_(MINUTE) == []
    assert not office.episodes.by_id


def test_what_is_older_than_the_first_start_is_told_only_if_it_is_critical():
    office = Office(with_rules(first_sequence=2))
    sent = office.hear(finding(severity="warning"), finding(episode="e-2"))
    assert {each.episodes[0].id for each in office.sent} == {"e-2"}
    assert len(sent) == 4
    assert office.why("e-1", "slack") == "before_first_start"
    assert office.hear(finding(episode="e-3", severity="info")) == [first("slack"), first("email")]


def test_a_channel_that_takes_nothing_is_not_told_so_by_itself():
    office = Office()
    office.episodes.raise_own(own("n-2", "notifications", "slack"))
    assert first("slack") not in office.look()
    assert office.why("n-2", "slack") == "about_itself"
    assert first("pagerduty")[0] in {each.thread.channel for each in office.sent}


def test_every_stage_answers_with_a_reason_that_has_a_name():
    reasons = get_args(Reason)
    assert len(set(reasons)) == len(reasons)
    assert len(STAGES) == 11
