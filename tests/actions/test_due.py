"""Is it said once that nobody answers, that somebody refuses, and that it is over?"""

from decimal import Decimal

import pytest
from action_cases import answer, at, released, requested

from operations.actions import due
from operations.actions.state import Actions
from operations.clock import rfc3339
from operations.events.actions import ActionExpired, ActionReleased
from operations.events.base import encode
from operations.events.findings import FindingRaised

pytestmark = pytest.mark.unit
SYSTEMS = frozenset(("oms-1", "oms-2"))


class Said:
    """The fold of a stream that holds whatever was due."""

    def __init__(self, *events) -> None:
        self.actions = Actions()
        self.ids: set[str] = set()
        self.raised: dict[str, FindingRaised] = {}
        for number, event in enumerate(events, 1):
            self.actions.request(event, "service-watchdogs", number, at(0))

    def look(self, seconds: float, systems=SYSTEMS) -> list:
        self.actions.pass_time(at(seconds))
        found = [
            event
            for action in self.actions.known.values()
            for event in due.of_action(action, systems, self.ids, at(seconds))
        ]
        found += due.cleared(self.actions.known, self.raised.values(), systems)
        for event in found:
            self.ids.add(event.event_id)
            if isinstance(event, FindingRaised):
                self.raised[event.data.episode] = event
            elif hasattr(event.data, "episode"):
                del self.raised[event.data.episode]
        return found


def test_who_has_not_answered_by_the_deadline_is_told_once_and_until_he_answers():
    said = Said(requested())
    said.actions.answer(answer("oms-1"), at(1))
    assert said.look(10 - 1e-9) == []
    (alarm,) = said.look(10)
    assert alarm.data.severity == "critical"
    assert alarm.data.title == (
        "oms-2 has not answered that it does reduce_allocation of strategy mean-rev"
    )
    assert (alarm.fund_id, alarm.strategy_id) == ("alpha", "mean-rev")
    assert said.look(11) == []
    said.actions.answer(answer("oms-2"), at(12))
    (cleared,) = said.look(13)
    assert cleared.data.episode == alarm.data.episode
    assert cleared.subject == "mts.v1.operations.finding.actions.cleared"
    assert said.look(14) == []


def test_without_a_known_order_system_one_answer_is_enough_and_none_is_an_alarm():
    said = Said(requested(kind="throttle"))
    (alarm,) = said.look(10, frozenset())
    assert alarm.data.severity == "warning"
    assert alarm.data.title.startswith("no order system has answered")
    said.actions.answer(answer("oms-9"), at(11))
    assert len(said.look(12, frozenset())) == 1
    assert said.raised == {}


def test_a_refusal_is_an_alarm_with_its_reason_until_the_action_is_over():
    said = Said(requested())
    for oms_id in SYSTEMS:
        said.actions.answer(answer(oms_id, "REFUSED"), at(1))
    assert {each.data.title for each in said.look(2)} == {
        f"{oms_id} refuses reduce_allocation of strategy mean-rev" for oms_id in SYSTEMS
    }
    assert said.look(20) == []
    said.actions.release(released(), "operator", 2, at(21))
    kinds = [type(each).__name__ for each in said.look(22)]
    assert sorted(kinds) == ["ActionReleased", "FindingCleared", "FindingCleared"]


def test_who_acknowledged_and_has_not_completed_by_its_deadline_is_told_until_he_has():
    said = Said(requested(done_deadline=rfc3339(at(100))), requested("act-2", episode="epi-2"))
    for oms_id in SYSTEMS:
        said.actions.answer(answer(oms_id, "ACKNOWLEDGED"), at(1))
        said.actions.answer(answer(oms_id, "ACKNOWLEDGED", "act-2"), at(1))
    said.actions.answer(answer("oms-1", "COMPLETED"), at(50))
    assert said.look(100 - 1e-9) == []
    (alarm,) = said.look(100)
    assert alarm.data.title == (
        "oms-2 has acknowledged and not completed reduce_allocation of strategy mean-rev"
    )
    assert (alarm.data.severity, alarm.data.looked_at) == ("critical", rfc3339(at(100)))
    assert said.look(101) == []
    said.actions.answer(answer("oms-2", "COMPLETED"), at(130))
    (cleared,) = said.look(140)
    assert cleared.data.episode == alarm.data.episode
    assert cleared.timestamp == rfc3339(at(130))
    assert said.look(10_000) == [], "a request without such a deadline is never late"


def test_who_acknowledges_after_the_deadline_is_told_when_he_does_and_an_end_clears_it():
    said = Said(requested(done_deadline=rfc3339(at(5))))
    said.actions.answer(answer("oms-1"), at(8))
    said.actions.answer(answer("oms-2", "REFUSED"), at(8))
    found = said.look(9)
    assert sorted(each.data.parameters[0].value for each in found) == ["refused", "undone"]
    assert {each.timestamp for each in found} == {rfc3339(at(8))}
    said.actions.release(released(), "operator", 2, at(21))
    kinds = [type(each).__name__ for each in said.look(22)]
    assert sorted(kinds) == ["ActionReleased", "FindingCleared", "FindingCleared"]


def test_an_end_is_said_once_with_its_cause_and_the_same_bytes_whoever_says_it():
    released_by = released(seconds=3)

    def folded() -> Said:
        said = Said(
            requested(),
            requested("act-2", "cooldown", until_seconds=5),
            requested("act-3", allocation_factor=Decimal("0.6")),
        )
        said.actions.release(released_by, "operator", 4, at(3))
        for oms_id in SYSTEMS:
            said.actions.answer(answer(oms_id), at(1))
            said.actions.answer(answer(oms_id, action_id="act-2"), at(1))
        return said

    first, second = folded().look(5), folded().look(500)
    assert [encode(each) for each in first] == [encode(each) for each in second]
    over, expired = first
    assert isinstance(over, ActionReleased)
    assert isinstance(expired, ActionExpired)
    assert over.causation_id == released_by.event_id
    assert over.data.reason == "operator: looked at it"


def test_a_release_that_ends_nothing_is_a_finding_with_the_reason():
    refused = Said().actions.release(released("other"), "operator", 7, at(1))
    finding = due.no_release(refused)
    assert "the release by operator ends nothing: no action 'other'" in finding.data.title
    assert finding.event_id == due.no_release(refused).event_id
    assert list(due.cleared({}, [finding], SYSTEMS)) == []
