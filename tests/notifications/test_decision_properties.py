"""Whatever happens in whatever order: nobody is told twice, and no halt is kept from anybody."""

import pytest
from alert_cases import (
    CHAT,
    MAIL,
    MINUTE,
    PAGER,
    PHONE,
    Office,
    acknowledgement,
    cleared,
    finding,
    halt,
    lifted,
    silence,
    updated,
    with_rules,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from operations.notifications.episode import HALT

pytestmark = pytest.mark.unit


def test_an_alarm_of_halt_workers_rings_the_pager_though_no_action_follows_from_it():
    office = Office()
    office.hear(finding(check="halt", mode="observe"))
    office.hear(finding(episode="e-2", check="oms_oms-1", mode="observe"))
    assert len(office.pages()) == 4


def test_a_digest_rings_again_only_while_something_critical_in_it_has_nobody():
    office = Office(with_rules(channels=(PHONE,), burst=0))
    office.hear(finding(severity="warning"), finding(episode="e-2"))
    office.hear(acknowledgement("e-2"))
    assert office.pass_(60 * MINUTE) == []
    office.hear(updated(severity="critical"))
    assert [each[:2] for each in office.pass_(15 * MINUTE)] == [("telegram", "page_again")]


def test_what_was_acknowledged_while_it_was_silenced_rings_no_pager_afterwards():
    office = Office(with_rules(channels=(PAGER, CHAT)))
    office.hear(silence(60, check="vpin"), finding(severity="warning"), acknowledgement())
    assert [each[0] for each in office.pass_(MINUTE)] == ["slack"]
    office.hear(updated(severity="critical"))
    assert "pagerduty" in [each.thread.channel for each in office.sent]


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["raise", "update", "clear", "ack", "halt", "lift", "pass", "silence"]),
        st.integers(0, 3),
        st.sampled_from(["info", "warning", "critical"]),
    ),
    max_size=40,
)


def happened(office, kind, number, severity):
    name = f"e-{number}"
    events = {
        "raise": lambda: finding(episode=name, severity=severity),
        "update": lambda: updated(episode=name, severity=severity),
        "clear": lambda: cleared(episode=name),
        "ack": lambda: acknowledgement(name),
        "halt": lambda: halt(f"h-{number}"),
        "lift": lambda: lifted(f"h-{number}"),
        "silence": lambda: silence(60 * number, check="vpin"),
    }
    return office.pass_(number * MINUTE) if kind == "pass" else office.hear(events[kind]())


@settings(max_examples=60)
@given(EVENTS)
def test_asking_again_says_nothing_new_and_each_beginning_is_raised_once_a_channel(events):
    office = Office(with_rules(channels=(PAGER, CHAT, MAIL)))
    for each in events:
        happened(office, *each)
        assert office.look() == []
    begun = [
        (each.thread.channel, name)
        for each in office.sent
        if each.action == "raise"
        for name in each.thread.episodes
    ]
    assert len(begun) == len(set(begun))


@settings(max_examples=60)
@given(EVENTS)
def test_every_open_halt_was_told_to_the_pager_whatever_happened(events):
    office = Office(with_rules(channels=(PAGER,)))
    for each in events:
        happened(office, *each)
    office.pass_(MINUTE)
    told = {name for each in office.sent for name in each.thread.episodes}
    for episode in office.episodes.by_id.values():
        if episode.kind == HALT and episode.open:
            assert episode.name in told
