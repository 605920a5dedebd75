"""Do the same events give the same findings, whoever folds them, and is a breach never lost?"""

from decimal import Decimal
from itertools import count, islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limit_events import Feed, fact_of, halting, kinds

from operations.clock import parse_rfc3339, rfc3339
from operations.events import subjects
from operations.events.base import encode
from operations.events.operations import ClockTicked, Tick
from operations.halt.policy import judge, rule_of, stated
from operations.halt.triggers import CHECKS, JUDGED, MOST_UNREGISTERED, Triggers
from operations.signing.roles import LIMIT_CHECKS
from operations.simulation.faults import BadTicks, Drawdown
from operations.simulation.simulator import simulate

pytestmark = pytest.mark.unit
NAVS = ["100", "97", "96", "95.9", "92", "90", "89", "80", "79", "110", "0", "-3"]
STEPS = st.one_of(
    st.tuples(st.just("nav"), st.sampled_from(NAVS)),
    st.tuples(st.just("nav"), st.sampled_from(NAVS)),
    st.tuples(st.just("other currency"), st.sampled_from(NAVS)),
    st.tuples(st.just("flow"), st.sampled_from(["50", "-30"])),
    st.tuples(st.just("late"), st.sampled_from(NAVS)),
    st.tuples(st.just("day"), st.just("")),
    st.tuples(st.just("score"), st.sampled_from(["0.5", "0.25", "-0.5"])),
    st.tuples(st.just("scores"), st.sampled_from(["0.5", "0.2", "-0.5"])),
    st.tuples(st.just("strategy"), st.sampled_from(["momentum", "theta"])),
    st.tuples(st.just("limit"), st.sampled_from(["10", "5", "0", ""])),
    st.tuples(st.just("lift"), st.sampled_from(["CLEARED", "REBASELINED", "MUTED"])),
)


class Story:
    """A random history of one fund, with a person who lifts whatever is raised."""

    def __init__(self, steps):
        self.feed = Feed()
        self.feed.fund()
        self.feed.strategy()
        self.feed.baseline()
        self._start = "100"
        self._days, self._halts = count(), count()
        for verb, value in steps:
            getattr(self, verb.replace(" ", "_"))(value)

    def nav(self, value):
        self.feed.nav(value, start=self._start)

    def other_currency(self, value):
        self.feed.nav(value, start=self._start, currency="EUR")

    def flow(self, value):
        self.feed.nav("120", start=self._start, flow=Decimal(value))

    def late(self, value):
        self.feed.nav(value, start=self._start, as_of=self.feed.at_ns - 10**12)

    def day(self, _):
        self.feed.pass_minutes(24 * 60)
        self._start = "98"

    def score(self, value):
        self.feed.score(float(value), next(self._days))

    def scores(self, value):
        for _ in range(25):
            self.score(value)

    def strategy(self, value):
        self.feed.strategy(value)

    def limit(self, value):
        self.feed.fund(drawdown=value or None)

    def lift(self, treatment):
        for finding in list(self.feed.triggers.raised()):
            name = {"strategy": "mean-rev", "fund": "alpha", "firm": ""}[finding.halt_level]
            halt_id = f"h-{next(self._halts)}"
            self.feed.halted(finding.check, name, halt_id)
            until = rfc3339(self.feed.at_ns + 5 * 60 * 10**9)
            self.feed.lifted(treatment, halt_id, until)


histories = st.lists(STEPS, max_size=25)


@settings(max_examples=60)
@given(histories, st.data())
def test_whoever_folds_the_same_stream_says_the_same(steps, data):
    """Also who hears events again, and who starts over at any event and folds from the first."""
    story = Story(steps)
    facts, again = story.feed.facts, Triggers()
    stop = data.draw(st.integers(0, len(facts)))
    first = [event for fact in facts[:stop] for event in Triggers.take(again, fact)]
    repeated = [event for fact in facts[:stop] for event in again.take(fact)]
    rest = [event for fact in facts[stop:] for event in again.take(fact)]
    assert repeated == []
    assert [encode(each) for each in first + rest] == [encode(each) for each in story.feed.said]
    fresh = Triggers()
    said = [encode(event) for fact in facts for event in fresh.take(fact)]
    assert said == [encode(each) for each in story.feed.said]


@settings(max_examples=60)
@given(histories)
def test_every_episode_is_raised_once_and_ends_once_and_each_finding_keeps_the_contract(steps):
    state = {}
    said = Story(steps).feed.said
    for event in said:
        payload = encode(event)
        assert subjects.decode(event.subject, payload) == event
        verb, episode = event.subject.rpartition(".")[2], event.data.episode
        before = {"raised": None, "updated": "open", "cleared": "open"}[verb]
        assert state.get(episode) == before
        state[episode] = "over" if verb == "cleared" else "open"
    assert len({event.event_id for event in said}) == len(said)


@settings(max_examples=60)
@given(histories)
def test_what_asks_for_a_halt_is_enough_for_the_policy_and_nothing_else_is(steps):
    for event in Story(steps).feed.said:
        ruling = judge(event, 1)
        assert ruling.halts == bool(event in halting([event]))
        assert not ruling.refusal
        if ruling.halts and event.data.statistic is not None:
            hard = rule_of(event.data.check).hard_multiple * event.data.threshold
            assert stated(event.data) >= 3 or abs(event.data.statistic) >= abs(hard)


@settings(max_examples=100)
@given(st.lists(st.sampled_from(NAVS), max_size=25))
def test_pitfall_11_whatever_bad_marks_come_between_three_breaches_halt(values):
    """A crash of three good marks at or below the limit is raised, with any bad marks beside it."""
    feed = Feed()
    feed.fund(drawdown="100")
    feed.nav("100")
    row, expected = 0, False
    for value in values:
        feed.nav(value)
        number = Decimal(value)
        if number <= 0:
            continue
        row = row + 1 if number <= 96 else 0
        expected = expected or row >= 3 or number <= 92
    found = any(each.check == "daily_loss" for each in feed.triggers.raised())
    assert found == expected


def test_pitfall_2_time_alone_makes_unknown_values_stale():
    """Any stored event says what time it is, so silence after a bad value is noticed too."""
    feed = Feed()
    feed.fund()
    feed.nav("100")
    feed.nav("0")
    feed.pass_minutes(4.9)
    tick = Tick(minute=rfc3339(feed.at_ns), offset_ms=0.0)
    assert feed.put(ClockTicked, "clock", tick) == []
    feed.pass_minutes(0.1)
    said = feed.put(ClockTicked, "clock", tick)
    assert [(each.data.check, each.data.halt_level) for each in said] == [("limits", "fund")]


def test_lifting_a_stale_value_makes_the_next_unknown_value_a_new_episode():
    feed = Feed()
    feed.fund()
    for value in ("100", *["0"] * 6):
        feed.nav(value)
    (stale,) = halting(feed.said)
    feed.halted("limits", "alpha")
    assert kinds(feed.lifted("CLEARED")) == [("limits", "cleared")]
    (again,) = feed.nav("0")
    assert again.data.episode != stale.data.episode
    assert again.data.halt_level is None


def test_a_strategy_that_moves_answers_for_its_new_fund_only():
    feed = Feed()
    for fund_id in ("alpha", "beta"):
        feed.fund(fund_id, daily="100")
        feed.nav("100", fund_id=fund_id)
    feed.strategy("mean-rev", "alpha")
    feed.strategy("mean-rev", "beta")
    for _ in range(3):
        assert halting(feed.nav("85", fund_id="alpha")) == []
    said = [event for _ in range(3) for event in feed.nav("85", fund_id="beta")]
    assert [(each.strategy_id, each.fund_id) for each in halting(said)] == [("mean-rev", "beta")]


def test_what_was_only_heard_is_no_evidence():
    feed = Feed()
    feed.fund()
    fact = feed.facts[0]._replace(sequence=None)
    with pytest.raises(TypeError, match="stored"):
        Triggers().take(fact)


def test_names_that_somebody_makes_up_fill_neither_memory_nor_stream():
    feed = Feed()
    for number in range(MOST_UNREGISTERED + 50):
        feed.nav("100", fund_id=f"made-up-{number}")
    assert len(feed.triggers.funds) == MOST_UNREGISTERED
    assert feed.nav("100", fund_id="x" * 257) == []
    assert kinds(feed.fund("real")) == []
    feed.nav("100", fund_id="real")
    assert halting([event for _ in range(3) for event in feed.nav("95", fund_id="real")])


def test_a_whole_simulated_crash_is_found_and_a_calm_day_is_not():
    def said_on(*faults):
        triggers, said = Triggers(), []
        for sequence, event in enumerate(islice(simulate(7, faults=faults), 13_000), start=1):
            if isinstance(event, JUDGED):
                at_ns = parse_rfc3339(event.timestamp)
                said += triggers.take(fact_of(event, sequence, at_ns))
        return halting(said)

    assert said_on() == said_on(BadTicks()) == []
    crash = said_on(Drawdown(loss_pct=6))
    assert {(each.fund_id, each.data.check) for each in crash} >= {("alpha", "daily_loss")}


def test_the_checks_are_those_that_the_role_may_sign():
    assert set(CHECKS) == set(LIMIT_CHECKS)
    assert all(rule_of(check) for check in CHECKS)
