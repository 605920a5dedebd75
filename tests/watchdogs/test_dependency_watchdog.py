"""Is a dead service told from a slow one, from one that nobody asks, and from a deaf asker?"""

import math
from bisect import bisect_right

import msgspec
import numpy as np
import pytest
from real_data import labelled_latency, needs_data
from watching import (
    SECOND,
    START_NS,
    assert_cut_into_batches,
    assert_resumed,
    engine,
    event,
    open_episode,
    run,
    spoken,
    stored,
)

from bench.calibrate_plant import down_episodes
from operations.checks import Look, Unit
from operations.clock import parse_rfc3339, rfc3339
from operations.events.news import Beat, FeedBeat
from operations.events.operations import Poll, ServicePolled
from operations.events.registry import (
    Service,
    ServiceDeregistered,
    ServiceLeaving,
    ServiceRegistered,
)
from operations.watchdogs.dependency_watchdog import (
    MEASURING,
    NAME,
    WATCHDOG,
    DependencyLimits,
    Health,
    inspect,
)

pytestmark = pytest.mark.unit
RAISED, CLEARED, UPDATED = (f"finding.{NAME}.{verb}" for verb in ("raised", "cleared", "updated"))
MINUTE = 60 * SECOND


class Firm:
    """Services whose polls are given one after the other; times in seconds since the start."""

    def __init__(self, *names, criticality="normal", poll_seconds=10.0):
        self.events = []
        for name in names:
            service = Service(
                name=name, healthz_url=f"http://127.0.0.1:1/{name}", criticality=criticality,
                poll_seconds=poll_seconds,
            )  # fmt: skip
            self._add(ServiceRegistered, name, service, 0)

    def _add(self, kind, name, data, at):
        made = event(kind, name, data, len(self.events))
        self.events.append(msgspec.structs.replace(made, timestamp=rfc3339(START_NS + at * SECOND)))

    def polls(self, name, answers, start=10, step=10, latency_ms=1.0):
        """`g` and `r` for good and red polls."""
        for number, answer in enumerate(answers):
            good = answer == "g"
            poll = Poll(service=name, healthy=good, latency_ms=latency_ms if good else None)
            self._add(ServicePolled, name, poll, start + number * step)
        return self

    def latencies(self, name, values, start=10, step=60):
        for number, value in enumerate(values):
            poll = Poll(service=name, healthy=True, latency_ms=float(value))
            self._add(ServicePolled, name, poll, start + number * step)
        return self

    def minute(self, at):
        """Something else happens on the bus, so that time goes on."""
        self._add(FeedBeat, "feed", Beat(feed="f", stories=0, interval_seconds=10.0), at)
        return self

    def leaves(self, name, at):
        self._add(ServiceDeregistered, name, ServiceLeaving(name=name, reason="retired"), at)
        return self

    def stored(self):
        ordered = sorted(self.events, key=lambda each: each.timestamp)
        return stored(ordered)


def said(firm, **limits):
    return run(engine(WATCHDOG, **limits), firm.stored())


def standing(firm, name):
    one = engine(WATCHDOG)
    run(one, firm.stored())
    return one.standings[NAME, name]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ("grr", []),
        ("grrr", [RAISED]),
        ("rrr", [RAISED]),
        ("rrgrrgrr", []),
        ("rrrrrrr", [RAISED]),
        ("rrrg", [RAISED]),
        ("rrrgg", [RAISED, CLEARED]),
        ("rrrgrg", [RAISED]),
        ("rrrgrrrgg", [RAISED, CLEARED]),
        ("rrrggrrr", [RAISED, CLEARED, RAISED]),
    ],
)
def test_three_red_polls_in_a_row_raise_and_two_good_ones_clear(answers, expected):
    firm = Firm("db", "cache").polls("db", answers).polls("cache", "g" * 12, start=11)
    assert [subject for subject, unit in spoken(said(firm))] == expected


def test_a_critical_service_pages_another_warns_and_an_unimportant_one_is_listed():
    for criticality, severity in (("critical", "critical"), ("normal", "warning"), ("low", "info")):
        firm = Firm("db", "cache", criticality=criticality)
        found = said(firm.polls("db", "rrr").polls("cache", "ggg", start=11))
        assert [each.data.severity for each in found] == [severity]
        assert found[0].data.statistic == found[0].data.threshold == 3.0


def test_all_red_at_once_is_one_finding_about_who_asks_and_none_about_who_is_asked():
    names = ("a", "b", "c")
    firm = Firm(*names, criticality="critical")
    for number, name in enumerate(names):
        firm.polls(name, "grrrrr", start=10 + number)
    assert spoken(said(firm)) == [(RAISED, MEASURING)]
    assert said(firm)[0].data.severity == "critical"
    assert standing(firm, "a").state == "unknown"
    firm.polls("a", "g", start=70).polls("b", "g", start=71).polls("c", "rr", start=72)
    assert spoken(said(firm)) == [(RAISED, MEASURING), (CLEARED, MEASURING), (RAISED, "c")]


@pytest.mark.parametrize(("later", "expected"), [(120, [MEASURING]), (121, ["a", "b"])])
def test_services_that_turn_red_at_different_times_are_each_spoken_of(later, expected):
    firm = Firm("a", "b").polls("a", "g", start=1).polls("b", "g", start=2)
    firm.polls("a", "rr", start=100, step=5).polls("b", "r" * 3, start=100 + later)
    firm.polls("a", "r", start=100 + later + 1).polls("b", "r", start=100 + later + 30)
    assert sorted({unit for _, unit in spoken(said(firm))}) == expected


def test_a_single_service_is_never_a_reason_to_suspect_who_asks():
    assert spoken(said(Firm("a").polls("a", "rrr"))) == [(RAISED, "a")]


def test_a_repeated_or_late_poll_counts_once_and_changes_nothing():
    firm = Firm("a", "b").polls("a", "rr").polls("b", "g", start=11)
    twice = stored([*firm.events, firm.events[2], firm.events[3], firm.events[3]])
    assert run(engine(WATCHDOG), twice) == []
    late = Firm("a", "b").polls("b", "g", start=11).polls("a", "rr", start=50)
    late.polls("a", "g", start=40)  # arrives last, happened before
    assert run(engine(WATCHDOG), stored(late.events)) == []
    late.polls("a", "r", start=70)
    assert spoken(run(engine(WATCHDOG), stored(late.events))) == [(RAISED, "a")]


def lively():
    firm = Firm("a", "b", "c").latencies("b", [20.0] * 40 + [90.0] * 6 + [20.0] * 9)
    return firm.polls("a", "grrrrgggrrrgg", start=1800, step=45).polls("c", "g" * 9, start=13)


@pytest.mark.parametrize("size", [1, 7])
def test_the_size_of_a_batch_changes_no_byte(size):
    assert_cut_into_batches(lambda: engine(WATCHDOG), lively().stored(), size, 7)


def test_from_any_snapshot_the_rest_is_said_byte_for_byte(tmp_path):
    assert_resumed(lambda: engine(WATCHDOG), lively().stored(), (0, 30, 45, 46, 60, 75), tmp_path)


def test_a_service_that_nobody_polls_is_unknown_and_that_is_a_finding_about_who_should():
    firm = Firm("a", "b").polls("a", "g" * 40)
    assert standing(firm, "b").state == "unknown"
    assert "never polled" in standing(firm, "b").title
    found = said(firm)
    assert spoken(found) == [(RAISED, MEASURING)]
    assert found[0].data.title.endswith("1 of 2 services; not polled: b")


def test_of_services_that_nobody_ever_polled_none_counts_as_red():
    firm = Firm("a", "b")
    for at in (60, 120, 240):
        firm.minute(at)
    found = said(firm)
    assert spoken(found) == [(RAISED, MEASURING)]
    assert found[0].data.title.endswith("2 of 2 services; nothing is polled")
    assert standing(firm, "a").state == standing(firm, "b").state == "unknown"


@pytest.mark.parametrize(("silent", "expected"), [(180, []), (240, [(RAISED, MEASURING)])])
def test_silence_is_judged_from_the_time_of_the_stream(silent, expected):
    firm = Firm("a").polls("a", "g", start=60)
    for at in range(70, 60 + silent + 1, 10):
        firm.minute(at)
    assert spoken(said(firm)) == expected
    state = standing(firm, "a").state
    assert state == ("unknown" if expected else "ok")


def test_unknown_ends_no_episode_and_a_service_that_leaves_ends_its_own():
    firm = Firm("a", "b").polls("a", "rrr").polls("b", "g" * 90, start=11)
    assert spoken(said(firm))[:1] == [(RAISED, "a")]
    assert (CLEARED, "a") not in spoken(said(firm))  # silent since long, but not known to be well
    assert (CLEARED, "a") in spoken(said(firm.leaves("a", 920)))


def test_slow_answers_degrade_warn_and_recover_half_way_back():
    usual = [20.0, 21.0, 19.0] * 20
    for slow, expected in ((29.9, []), (30.1, [RAISED])):
        firm = Firm("a").latencies("a", usual + [slow] * 6)
        assert [subject for subject, _ in spoken(said(firm))] == expected
    firm.latencies("a", [24.9] * 8, start=10 + 66 * 60)
    found = said(firm)
    assert [subject for subject, _ in spoken(found)] == [RAISED, CLEARED]
    assert found[0].data.severity == "warning"
    assert "degraded" in found[0].data.title


def test_exactly_as_slow_as_the_limit_is_degraded_and_just_below_it_is_not():
    def judged(recent_ms, known=None):
        row = Health(
            first_sequence=1, last_sequence=9, criticality="critical", poll_seconds=10.0,
            registered_ns=START_NS,
            polled_ns=START_NS, reds=0, goods=9, recent_ms=recent_ms, usual_ms=100.0,
            spread_ms=1.0, samples=60, reason=None, services=2, red_services=0, most_reds=0,
            first_red_ns=None, last_red_ns=None, newest_poll_ns=START_NS, critical_services=0,
            heard=None,
        )  # fmt: skip
        look = Look(9, START_NS, START_NS, "e", Unit("service", "a"))
        return inspect([row], look, DependencyLimits(), known)

    most = judged(1.0).threshold
    assert (judged(most).stage, judged(math.nextafter(most, 0)).stage) == (1, 0)
    known = open_episode(NAME)
    half_way = 100.0 + (most - 100.0) * DependencyLimits().recovered_part
    assert not judged(half_way, known).recovered
    assert judged(math.nextafter(half_way, 0), known).recovered


def test_one_slow_answer_among_many_and_a_short_history_degrade_nothing():
    assert said(Firm("a").latencies("a", [20.0] * 60 + [60.0] + [20.0] * 20)) == []
    assert said(Firm("a").latencies("a", [20.0] * 20 + [900.0] * 9)) == []


def test_what_is_degraded_and_then_down_is_one_episode_that_got_worse():
    firm = Firm("a", "b").latencies("a", [20.0] * 60 + [90.0] * 6)
    firm.latencies("b", [1.0] * 80, start=12).polls("a", "rrr", start=10 + 66 * 60)
    found = [each for each in spoken(said(firm)) if each[1] == "a"]
    assert found == [(RAISED, "a"), (UPDATED, "a")]


def test_while_observing_nothing_else_is_said():
    firm = Firm("a", "b").polls("a", "rrr").polls("b", "g", start=11)
    found = run(engine(WATCHDOG, mode="observe"), firm.stored())
    assert spoken(found) == [(RAISED, "a")]


def test_who_is_asked_seldom_is_not_silent_between_two_polls_and_is_after_three():
    firm = Firm("a", poll_seconds=600.0).polls("a", "gggg", step=600)
    for minute in range(1, 61):
        firm.minute(minute * 60)
    one = engine(WATCHDOG)
    assert run(one, [each for each in firm.stored() if each.at_ns <= START_NS + 60 * MINUTE]) == []
    assert one.standings[NAME, "a"].state == "ok"
    firm.minute(3700)
    last = firm.stored()[-1]
    assert spoken(run(one, [last])) == [(RAISED, MEASURING)]
    assert one.standings[NAME, "a"].state == "unknown"


def test_a_poll_from_the_future_hides_none_that_follows_it():
    firm = Firm("a", "b").polls("a", "ggrrr").polls("b", "ggggg", start=11)
    events = firm.stored()
    ahead = msgspec.structs.replace(events[2].event, timestamp="2031-01-01T00:00:00Z")
    events[2] = events[2]._replace(event=ahead)
    assert spoken(run(engine(WATCHDOG), events)) == [(RAISED, "a")]


def test_its_canary_is_found_each_time_and_cleans_up_after_itself():
    one = engine(WATCHDOG)
    for run_id in ("one", "two"):
        found = run(one, stored(WATCHDOG.canary(START_NS, run_id), at_ns=lambda _: START_NS))
        assert spoken(found) == [(RAISED, f"canary-{run_id}"), (CLEARED, f"canary-{run_id}")]
        assert {each.environment for each in found} == {"canary"}


@needs_data
def test_two_of_three_labelled_windows_are_found_and_nothing_beside_them():
    times, values, windows = labelled_latency()
    firm = Firm("ec2", poll_seconds=300.0)
    for at, value in zip(times, values, strict=True):
        firm.latencies("ec2", [value], start=at + 10)
    said = run(engine(WATCHDOG), stored(firm.events))
    found = [each for each in said if each.subject == f"mts.v1.operations.{RAISED}"]
    seconds = [(parse_rfc3339(each.timestamp) - START_NS) // SECOND for each in found]
    inside = [windows[bisect_right(times, second) - 1] for second in seconds]
    assert set(inside) == {1, 2}  # in window 0 no answer takes longer than many outside of all
    assert len(inside) == 4


def test_limits_are_settings_with_words_and_none_is_unused():
    assert DependencyLimits().red_polls == 3
    firm = Firm("a", "b").polls("a", "rr").polls("b", "g", start=11)
    tight = said(firm, **{NAME: DependencyLimits(red_polls=2)})
    assert spoken(tight) == [(RAISED, "a")]


def test_the_calibrated_count_of_episodes_is_that_of_the_watchdog():
    random = np.random.default_rng(3)
    rows = random.random((6, 40)) < 0.45
    counted = down_episodes(rows)
    for row, count in zip(rows, counted, strict=True):
        firm = Firm("a", "b").polls("a", ["gr"[int(failed)] for failed in row])
        firm.polls("b", "g" * 42, start=11)
        assert spoken(said(firm)).count((RAISED, "a")) == count
    assert counted.sum() >= 5


def test_the_budget_is_the_third_power_of_how_often_a_poll_fails():
    failed = np.random.default_rng(7).random((300, 2000)) < 0.05
    rate = down_episodes(failed).sum() / failed.size
    assert 0.8 * 0.05**3 * 0.95 < rate < 1.2 * 0.05**3 * 0.95
    assert down_episodes(failed, red_polls=2).sum() / failed.size > 10 * 0.05**3
