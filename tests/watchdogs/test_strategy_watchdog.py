"""Is a strategy that earns other than it did told from one that is well?"""

import math
from decimal import Decimal
from hashlib import sha256
from itertools import count

import pytest
from earning import BAD, DEVIATION, MEAN, baseline, drawn, live, pnl
from recut import said_however_cut
from reduced import answered, asked, released
from watching import DAY, START_NS, engine, run, spoken, stored

from operations.checks import Look, Unit
from operations.statistics.bands import distance, moments_sample, rolling_limits
from operations.watchdogs.profits import Day
from operations.watchdogs.strategy_watchdog import (
    NAME,
    WATCHDOG,
    ProfitLimits,
    inspect,
    interval,
    returns_at_full_size,
)

pytestmark = pytest.mark.unit
RAISED, CLEARED = (f"finding.{NAME}.raised", "mom"), (f"finding.{NAME}.cleared", "mom")


def standing(*events, **options):
    one = engine(WATCHDOG, **options)
    run(one, stored(events))
    return one.standings[NAME, "mom"]


def test_a_strategy_that_is_well_is_never_spoken_of():
    assert run(engine(WATCHDOG), stored([baseline(), *live(drawn(250))])) == []


def test_a_strategy_that_loses_shall_trade_in_the_shadow_once_however_long_it_loses(tmp_path):
    events = [baseline(), *live([*BAD, *([-0.01] * 20)])]
    late = events.pop(20)
    events[24:24] = [late, events[5], late]
    said = said_however_cut(WATCHDOG, stored(events), tmp_path)
    assert spoken(said) == [RAISED, ("action.requested", said[1].subject_id)]
    finding, action = said[0].data, said[1].data
    assert finding.severity == "critical"
    assert finding.statistic < finding.threshold < 0
    assert (action.kind, action.scope, action.scope_id) == ("shadow", "strategy", "mom")
    assert action.until is None
    assert said[1].fund_id == "alpha"


def test_a_strategy_that_earns_too_much_is_to_be_investigated_and_nothing_is_done():
    events = [baseline(), *live([*drawn(40), *([0.02] * 15), *([0.0] * 30)])]
    said = run(engine(WATCHDOG), stored(events))
    assert spoken(said) == [RAISED, CLEARED]
    assert "investigate" in said[0].data.details
    assert said[0].data.severity == "warning"


def test_while_observing_the_finding_ends_when_the_sum_is_well_inside_again():
    events = [baseline(), *live([*BAD, *([0.01] * 20), *([0.0] * 5)])]
    said = run(engine(WATCHDOG, mode="observe"), stored(events))
    assert spoken(said) == [RAISED, CLEARED]
    assert "shadow until a person" in said[0].data.would_have


def test_a_shadow_that_was_asked_for_is_not_over_because_profits_come_back():
    events = [baseline(), *live([*BAD, *([0.01] * 20), *([0.0] * 5)])]
    said = run(engine(WATCHDOG), stored(events))
    assert [each for each, _ in spoken(said)] == [RAISED[0], "action.requested"]


def test_only_a_person_ends_the_shadow_and_then_only_new_days_count():
    one = engine(WATCHDOG)
    events = [baseline(), *live(BAD)]
    said = run(one, stored(events))
    action = said[1].data
    rest = [
        answered("ACKNOWLEDGED", 61, 801, action.action_id),
        *live([0.01] * 10, 61),
        released(70.5, 802, action.action_id),
        *live([-0.03] * 29, 71, count(900)),
    ]
    asked_for = stored([said[1], *rest], first=len(events) + 1)
    assert run(one, asked_for[:12]) == []
    assert "trades in the shadow since" in one.standings[NAME, "mom"].title
    assert spoken(run(one, asked_for[12:])) == [CLEARED]
    assert one.standings[NAME, "mom"].state == "unknown"
    assert "29 usable days of 30" in one.standings[NAME, "mom"].title
    again = run(one, stored([pnl(100, -0.03, 990)], first=200))
    assert [each for each, _ in spoken(again)] == [RAISED[0], "action.requested"]


def test_a_shadow_that_was_refused_stays_raised_until_a_person_releases_it():
    """Nobody shadows it, so it is no better than before, and the next sum says so."""
    one = engine(WATCHDOG)
    events = [baseline(), *live(BAD)]
    said = run(one, stored(events))
    action_id = said[1].data.action_id
    refused = answered("REFUSED", 60.5, 801, action_id)
    rest = stored([said[1], refused, *live([-0.01], 61)], first=100)
    assert run(one, rest) == []
    assert one.standings[NAME, "mom"].state == "breached"
    over = stored([released(61.5, 802, action_id), *live([0.0], 62, count(900))], first=200)
    assert spoken(run(one, over)) == [CLEARED]


def test_one_order_system_that_refuses_does_not_end_what_another_does():
    one = engine(WATCHDOG)
    events = [baseline(), *live(BAD)]
    said = run(one, stored(events))
    action_id = said[1].data.action_id
    answers = [
        answered("ACKNOWLEDGED", 60.5, 801, action_id),
        answered("COMPLETED", 60.6, 802, action_id),
        answered("REFUSED", 60.7, 803, action_id, "oms-2"),
    ]
    rest = stored([said[1], *answers, *live([-0.01], 61)], first=100)
    assert run(one, rest) == []
    assert "trades in the shadow since" in one.standings[NAME, "mom"].title


def test_the_canary_is_found():
    said = run(engine(WATCHDOG), stored(WATCHDOG.canary(START_NS, "01JDR")))
    assert spoken(said)[0] == (f"finding.{NAME}.raised", "canary-01JDR")
    assert {each.environment for each in said} == {"canary"}


def test_the_limits_are_those_of_the_baseline_at_full_size():
    returns = tuple(drawn(100))
    for fields, sample, block in (
        ({}, moments_sample(MEAN, DEVIATION, 1000), 1),
        ({"daily_returns": returns}, returns, None),
        ({"allocation_factor": Decimal("0.5")}, moments_sample(MEAN, DEVIATION, 1000) * 2, 1),
    ):
        one = engine(WATCHDOG)
        one.take(stored([baseline(**fields)]))
        query = "SELECT lower, upper FROM strategy_profit_limits"
        ((lower, upper),) = one.warehouse._database.execute(query).fetchall()
        seed = int.from_bytes(sha256(b"b1").digest()[:8])
        wanted = rolling_limits(sample, 30, 252, 0.025, mean_block=block, seed=seed)
        assert (lower, upper) == (wanted.lower, wanted.upper)


WELL = live(drawn(35))


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (WELL, "limit not set"),
        ([baseline(return_mean=None), *WELL], "no usable profits"),
        ([baseline(days=59), *WELL], "no usable profits"),
        ([baseline(return_standard_deviation=0.0), *WELL], "no usable profits"),
        ([baseline(daily_returns=(math.nan,) * 70), *WELL], "no usable profits"),
        ([baseline(allocation_factor=Decimal(0)), *WELL], "allocation_factor is 0"),
        ([baseline(), baseline(1, days=500), *WELL], "two contents"),
        ([baseline(), *WELL[:29]], "29 usable days of 30"),
        ([baseline(), *WELL, pnl(36, 0, 500, capital=0)], "0 usable days"),
        ([baseline(), *WELL, pnl(36, 0, 500, capital=-5)], "0 usable days"),
        ([baseline(), *WELL, pnl(36, 0, 500, currency="EUR")], "1 usable days"),
        ([baseline(), *WELL, pnl(41, 0, 500)], "1 usable days"),
        ([baseline(86_400 * 10), *WELL], "25 usable days"),
    ],
)
def test_what_is_missing_is_unknown_and_says_what(events, words):
    found = standing(*events)
    assert found.state == "unknown"
    assert words in found.title


def test_marks_while_the_day_runs_are_no_days_and_fees_are_taken_off():
    running = [pnl(day + 0.5, 0.5, 600 + day, final=False) for day in range(1, 31)]
    found = standing(baseline(), *live([0.001] * 30), *running)
    assert found.statistic == pytest.approx(0.03)
    assert found.samples == 30


def test_the_window_slides_by_a_day():
    events = [baseline(), *live([0.003, *([0.001] * 30)])]
    assert standing(*events[:-1]).statistic == pytest.approx(0.032)
    assert standing(*events).statistic == pytest.approx(0.03)


def test_a_profit_that_is_corrected_counts_once_with_its_newest_value():
    events = [baseline(), *live([0.001] * 30), pnl(30, 0.011, 700), live([0.001] * 30)[-1]]
    assert standing(*events).statistic == pytest.approx(0.04)


@pytest.mark.parametrize(("capital", "factor"), [(1000, 2), (525, 1000 / 525), (526, 2000 / 526)])
def test_what_we_halved_counts_at_full_size_unless_the_capital_came_down_as_well(capital, factor):
    """The profit halves. Allocated capital that came down says so; else we have to."""
    events = [
        baseline(), *live([0.001] * 10), asked(200, "reduce_allocation", "strategy", "mom", 0.5),
        answered("ACKNOWLEDGED", 10, 201),
        *(pnl(day, 0.0005, 300 + day, capital=capital) for day in range(11, 41)),
    ]  # fmt: skip
    assert standing(*events).statistic == pytest.approx(30 * 0.0005 * factor)


def day(number, profit=1.0, **fields):
    known = Day(
        number, START_NS + number * DAY, profit, 1000.0, "USD", None, None, None, "b1", 0, 1, None,
        -0.1, 0.2, 1.0,
    )  # fmt: skip
    return known._replace(**fields)


LOOK = Look(1, START_NS + 30 * DAY, 0, "e", Unit("strategy", "mom", "alpha", "mom"))


@pytest.mark.parametrize("profit", [-8.0, 13.0])
def test_at_the_limit_is_inside_and_beyond_it_is_outside(profit):
    days = [day(number, profit) for number in range(1, 31)]
    way = distance(sum(returns_at_full_size(days)), -0.1, 0.2)
    for limit, outside in ((way, False), (math.nextafter(way, 0), True), (2 * way, False)):
        verdict = inspect(days, LOOK, ProfitLimits(enter_multiple=limit), None)
        assert (verdict.stage > 0) is outside
        assert (verdict.proposal is not None) is (outside and profit < 0)


def test_a_finding_while_observing_is_over_within_half_of_the_way_and_not_at_it():
    one = engine(WATCHDOG, mode="observe")
    run(one, stored([baseline(), *live(BAD)]))
    (known,) = one._episodes.values()
    days = [day(number, -2.0) for number in range(1, 31)]
    way = distance(sum(returns_at_full_size(days)), -0.1, 0.2)
    for exit_at, over in ((way, False), (math.nextafter(way, 9), True)):
        limits = ProfitLimits(exit_multiple=exit_at)
        assert inspect(days, LOOK, limits, known).recovered is over


def test_the_interval_is_wider_by_as_much_as_the_days_vary_more_than_the_baseline():
    """A window of +1 and -1 varies by its root of 30 / 29; its sum is 0."""
    window = [1.0, -1.0] * 15
    deviation = math.sqrt(30 / 29)
    calm, wild = interval(window, -3.0, 5.0, 2 * deviation), interval(window, -3.0, 5.0, 0.5)
    assert calm == (-3, 5)
    assert wild == (pytest.approx(1 - 8 * deviation), pytest.approx(1 + 8 * deviation))


def test_a_profit_of_a_day_to_come_is_none_and_leaves_the_strategy_judged():
    events = stored([baseline(), *live(BAD)])
    wrong = events[5]._replace(event=pnl(4000, 1.0, 900))
    said = run(engine(WATCHDOG), [*events[:5], wrong, *events[5:]])
    assert RAISED in spoken(said)
