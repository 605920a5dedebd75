"""Is a fund that varies too much told from one that does not, and what it shall come down to?"""

import math
import random
from decimal import Decimal

import pytest
from recut import said_however_cut
from volatile_fund import CALM, WILD, exposure, fund, history, mark
from watching import DAY, START_NS, engine, run, spoken, stored

from operations.checks import Look, Unit
from operations.watchdogs import feeds
from operations.watchdogs.portfolio_vol_dd import NAME, WATCHDOG, Day, VolatilityLimits, inspect

pytestmark = pytest.mark.unit
RAISED, CLEARED = (f"finding.{NAME}.raised", "alpha"), (f"finding.{NAME}.cleared", "alpha")


def test_a_fund_that_varies_far_beyond_its_target_shall_reduce_once_and_is_cleared_when_calm():
    events = stored(history([CALM] * 60 + [WILD] * 20 + [CALM] * 120))
    said = run(engine(WATCHDOG), events)
    assert spoken(said) == [RAISED, ("action.requested", said[1].subject_id), CLEARED]
    finding, action = said[0].data, said[1].data
    assert finding.statistic >= finding.threshold == pytest.approx(0.225)
    assert action.kind == "reduce_gross"
    assert float(action.allocation_factor) == pytest.approx(0.15 / finding.statistic, abs=1e-4)
    assert action.gross_at_most == 1000 * action.allocation_factor
    assert action.until is None


def test_a_calm_fund_is_never_spoken_of():
    assert run(engine(WATCHDOG), stored(history([CALM] * 250))) == []


def test_while_observing_it_says_what_it_would_have_done_and_asks_for_nothing():
    said = run(engine(WATCHDOG, mode="observe"), stored(history([CALM] * 60 + [WILD] * 20)))
    assert spoken(said) == [RAISED]
    assert said[0].data.mode == "observe"
    assert said[0].data.would_have.startswith("reduce gross exposure of fund alpha to ")


def test_batches_restarts_late_days_and_copies_change_no_byte(tmp_path):
    events = list(history([CALM] * 22 + [WILD] * 12 + [CALM] * 36))
    late = events.pop(20)
    events[24:24] = [late, events[10], late]
    said = said_however_cut(WATCHDOG, stored(events), tmp_path)
    assert [each for each, _ in spoken(said)] == [RAISED[0], "action.requested", CLEARED[0]]


def test_the_canary_is_found():
    case = stored(WATCHDOG.canary(START_NS, "01JDR"))
    said = run(engine(WATCHDOG), case)
    assert spoken(said)[0] == (f"finding.{NAME}.raised", "canary-01JDR")
    assert {each.environment for each in said} == {"canary"}


def alternating(days, deviation=0.01):
    return [100.0 * (1 + deviation if number % 2 else 1) for number in range(days)]


def days(*navs, target=0.15, flows=None, gross="1000", currency="USD"):
    flows = flows or [0.0] * len(navs)
    return [
        Day(
            number, number, START_NS + number * DAY, nav, flow, currency, None, None, target,
            gross and Decimal(gross), "USD",
        )
        for number, (nav, flow) in enumerate(zip(navs, flows, strict=True))
    ]  # fmt: skip


def judged(rows, known=None, at_day=None, **limits):
    at_ns = START_NS + (len(rows) if at_day is None else at_day) * DAY
    look = Look(1, at_ns, at_ns, "e1", Unit("fund", "alpha", "alpha"))
    return inspect(rows, look, VolatilityLimits(**limits), known)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "limit not set"),
        (days(*[100.0] * 30, target=None), "limit not set"),
        (days(*[100.0] * 30, target=0.0), "limit not set"),
        (days(*[100.0] * 30, target=math.nan), "limit not set"),
        (days(*[100.0] * 30, target=-0.1), "limit not set"),
        (days(*[100.0] * 20), "19 usable daily returns of 20"),
        (days(*[100.0] * 29, 0.0), "0 usable daily returns of 20"),
        (days(*[100.0] * 29, -1.0, 100.0), "0 usable daily returns of 20"),
        (days(*[100.0] * 30, currency=None), "0 usable daily returns of 20"),
    ],
)
def test_what_is_missing_is_unknown_and_says_what(rows, words):
    verdict = judged(rows)
    assert verdict.state == "unknown"
    assert words in verdict.title


def test_twenty_returns_are_enough_and_a_fund_that_is_not_valued_any_more_is_unknown():
    rows = days(*alternating(21))
    assert judged(rows).samples == 20
    assert judged(rows, at_day=25).state == "ok"
    silent = judged(rows, at_day=26)
    assert (silent.state, silent.title[:37]) == ("unknown", "fund alpha has no settled value since")


@pytest.mark.parametrize("name", ["enter_multiple", "confirm_multiple"])
def test_at_the_limit_is_a_breach_and_just_below_it_is_none(name):
    rows = days(*alternating(60))
    at = judged(rows).statistic / 0.15
    others = {"enter_multiple": 0.1, "confirm_multiple": 0.1}
    on, below = (judged(rows, **others | {name: at * times}) for times in (1, 1 + 1e-9))
    assert (on.state, on.stage) == ("breached", 2)
    assert below.stage == 0
    assert below.state == ("warning" if name == "confirm_multiple" else "ok")


def test_an_episode_is_over_below_the_exit_and_not_at_it():
    (opened,) = (each for each in engine_of(history([CALM] * 30 + [WILD] * 15))._episodes.values())
    rows = days(*alternating(60))
    at = judged(rows).statistic / 0.15
    assert judged(rows, known=opened, exit_multiple=at * (1 + 1e-9)).recovered
    assert not judged(rows, known=opened, exit_multiple=at).recovered
    assert not judged(rows, exit_multiple=9.0).recovered


def engine_of(events):
    one = engine(WATCHDOG)
    run(one, stored(events))
    return one


def test_one_day_that_crashed_is_shown_and_is_no_breach():
    calm = alternating(60, 0.009)
    crashed = judged(days(*calm, calm[-1] * 0.85))
    assert crashed.statistic > 0.225
    assert (crashed.state, crashed.stage) == ("warning", 0)


def test_without_its_exposure_nothing_is_asked_for_and_it_is_once_that_is_known():
    wild = days(*alternating(60, 0.05), gross=None)
    assert (judged(wild).stage, judged(wild).proposal) == (1, None)
    assert "no action" in judged(wild).details
    events = [each for each in history([CALM] * 25 + [WILD] * 20) if each.subject_id == "alpha"]
    unknown = [each for each in events if "exposure" not in each.subject]
    said = run(engine(WATCHDOG), stored([*unknown, exposure(43, 900), mark(45, 80, 901)]))
    assert [each for each, _ in spoken(said)] == [
        RAISED[0], f"finding.{NAME}.updated", "action.requested",
    ]  # fmt: skip


@pytest.mark.parametrize("useless", [{"day": 20}, {"day": 44, "strategy_id": "s"}])
def test_an_old_exposure_or_that_of_a_part_is_not_the_one_of_the_fund(useless):
    marks = [each for each in history([CALM] * 25 + [WILD] * 20) if "exposure" not in each.subject]
    said = run(engine(WATCHDOG), stored([fund(), exposure(number=0, **useless), *marks]))
    assert spoken(said) == [RAISED]


def test_money_that_comes_and_goes_is_no_return():
    steady = days(*[100.0] * 30, 200.0, flows=[0.0] * 30 + [100.0])
    assert judged(steady).statistic == 0


def test_the_estimate_slides_so_it_does_not_depend_on_where_a_history_was_begun():
    draw = random.Random(3)
    navs = [100.0]
    for _ in range(300):
        navs.append(navs[-1] * (1 + draw.gauss(0, CALM)))
    whole, recent = judged(days(*navs)), judged(days(*navs[50:]), at_day=251)
    assert whole.statistic == pytest.approx(recent.statistic, rel=1e-5)


def test_an_exposure_from_the_future_is_not_what_the_fund_holds():
    events = stored(history([CALM] * 60 + [WILD] * 20))
    events[1] = events[1]._replace(event=exposure(4000, 900, gross="1"))
    (action,) = [each for each in run(engine(WATCHDOG), events) if "action" in each.subject]
    assert action.data.gross_at_most == 1000 * action.data.allocation_factor


def test_a_value_that_stands_still_is_no_calm_and_ends_nothing():
    """The feed repeats one value: that is a fault of it, and no fund that has become calm."""
    still = [mark(50 + day, 80, 700 + day) for day in range(90)]
    for watchdogs, ends in (((WATCHDOG,), 1), ((feeds.WATCHDOG, WATCHDOG), 0)):
        one = engine(*watchdogs)
        said = run(one, stored([*history([CALM] * 30 + [WILD] * 20), *still]))
        assert spoken(said).count(RAISED) == 1
        assert spoken(said).count(CLEARED) == ends
    assert "data is at fault" in one.standings[NAME, "alpha"].title


def test_a_value_of_a_day_to_come_is_none_and_leaves_the_fund_judged():
    events = stored(history([CALM] * 60 + [WILD] * 20))
    wrong = events[20]._replace(event=mark(4000, 100, 900))
    said = run(engine(WATCHDOG), [*events[:20], wrong, *events[21:]])
    assert [each for each in spoken(said) if each == RAISED] == [RAISED]
