"""Is a breach said once, with ids that follow from its cause, and let go only by a person?"""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.halt.latch import Cause, Latch, Measure, Notice, Place, Streak
from operations.halt.state import Scope

pytestmark = pytest.mark.unit
PLACE = Place(check="daily_loss", scope=Scope("FUND_HALT", "alpha"), fund_id="alpha")


def cause(number):
    return Cause(f"e-{number}", number, number * 10**9, f"{number:064x}", "paper")


def measure(times, limit=4.0):
    return Measure(
        hit=times >= 1,
        hard=times >= 2,
        times=times,
        statistic=times * limit,
        threshold=limit,
        statistic_name="loss",
        title="lost",
        looked_at="2026-11-20T20:00:00Z",
    )


def looks(latch, *times, first=1):
    return [
        event
        for number, each in enumerate(times, start=first)
        for event in latch.look(measure(each), cause(number))
    ]


def test_the_evidence_is_the_hash_of_the_rows_that_confirmed():
    (raised,) = looks(Latch(PLACE), 1, 1, 1)
    (evidence,) = raised.data.evidence
    lines = "".join(f"{number} {number:064x}\n" for number in (1, 2, 3))
    assert evidence.sha256 == sha256(lines.encode()).hexdigest()
    assert (evidence.first_stream_sequence, evidence.last_stream_sequence) == (1, 3)
    stated = {each.name: each.value for each in raised.data.parameters}
    assert stated["confirmations"] == "3"


def test_what_is_said_names_its_cause_and_where_it_happened():
    (raised,) = looks(Latch(PLACE), 1, 1, 1)
    assert (raised.causation_id, raised.correlation_id) == ("e-3", raised.data.episode)
    assert (raised.environment, raised.fund_id, raised.subject_id) == ("paper", "alpha", "alpha")


def test_the_same_causes_give_the_same_findings_and_others_give_others():
    assert looks(Latch(PLACE), 1, 1, 1) == looks(Latch(PLACE), 1, 1, 1)
    other = Place(check="daily_loss", scope=Scope("FUND_HALT", "beta"), fund_id="beta")
    ids = {
        looks(latch, 1, 1, 1, first=first)[0].event_id
        for latch, first in ((Latch(PLACE), 1), (Latch(PLACE), 2), (Latch(other), 1))
    }
    assert len(ids) == 3


@given(st.lists(st.sampled_from([0.0, 0.99, 1.0, 1.5, 2.0, 3.0]), max_size=30))
def test_a_latch_raises_exactly_when_three_in_a_row_or_one_hard_breach_came(times):
    said = looks(Latch(PLACE), *times)
    due = any(
        each >= 2 or (number >= 2 and min(times[number - 2 : number + 1]) >= 1)
        for number, each in enumerate(times)
    )
    assert bool(said) == due
    assert [event.subject.rpartition(".")[2] for event in said[:1]] == ["raised"] * due
    assert all(event.subject.endswith("updated") for event in said[1:])
    assert len({event.data.episode for event in said}) <= 1


@given(st.lists(st.booleans(), max_size=40))
def test_a_streak_is_as_long_as_the_breaches_in_a_row(hits):
    streak, row = Streak(3), 0
    for number, hit in enumerate(hits):
        row = row + 1 if hit else 0
        assert streak.add(cause(number), hit=hit) == (row >= 3)
        assert len(streak.rows) == min(row, 3)


def test_a_latch_does_not_let_go_when_the_value_is_good_again():
    latch = Latch(PLACE)
    looks(latch, 1, 1, 1, 0, 0, 0, 0)
    assert latch.episode


def test_a_notice_is_raised_once_updated_when_it_changes_and_cleared():
    notice = Notice(PLACE)
    verbs = []
    for number, problem in enumerate(("a", "a", "b", None, None, "a")):
        verbs += [each.subject.rpartition(".")[2] for each in notice.say(problem, cause(number))]
    assert verbs == ["raised", "updated", "cleared", "raised"]
