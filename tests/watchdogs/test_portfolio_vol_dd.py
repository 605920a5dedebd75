"""Is a fund that varies too much told from one that does not, and what it shall come down to?"""

from decimal import Decimal

import pytest
from volatile_fund import CALM, WILD, history
from watching import START_NS, engine, run, spoken, stored

from operations.checks import Look, Unit
from operations.watchdogs.portfolio_vol_dd import NAME, WATCHDOG, Day, VolatilityLimits, inspect

pytestmark = pytest.mark.unit


def test_a_fund_that_varies_far_beyond_its_target_shall_reduce_once_and_is_cleared_when_calm():
    events = stored(history([CALM] * 60 + [WILD] * 20 + [CALM] * 120))
    said = run(engine(WATCHDOG), events)
    assert spoken(said) == [
        (f"finding.{NAME}.raised", "alpha"),
        ("action.requested", said[1].subject_id),
        (f"finding.{NAME}.cleared", "alpha"),
    ]
    finding, action = said[0].data, said[1].data
    assert finding.statistic >= finding.threshold == pytest.approx(0.225)
    assert action.kind == "reduce_gross"
    assert action.gross_at_most == pytest.approx(
        Decimal(1000) * Decimal(0.15 / finding.statistic), abs=1
    )
    assert action.until is None


def test_a_calm_fund_is_never_spoken_of():
    assert run(engine(WATCHDOG), stored(history([CALM] * 250))) == []


def test_while_observing_it_says_what_it_would_have_done_and_asks_for_nothing():
    said = run(engine(WATCHDOG, mode="observe"), stored(history([CALM] * 60 + [WILD] * 20)))
    assert spoken(said) == [(f"finding.{NAME}.raised", "alpha")]
    assert said[0].data.mode == "observe"
    assert said[0].data.would_have.startswith("reduce gross exposure of fund alpha to ")


def days(*navs, target=0.15, flows=None):
    flows = flows or [0.0] * len(navs)
    return [
        Day(number, number, nav, flow, target, Decimal(1000), "USD")
        for number, (nav, flow) in enumerate(zip(navs, flows, strict=True))
    ]


def look():
    return Look(1, START_NS, START_NS, "e1", Unit("fund", "alpha", "alpha"))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "limit not set"),
        (days(*[100.0] * 30, target=None), "limit not set"),
        (days(*[100.0] * 30, target=0.0), "limit not set"),
        (days(*[100.0] * 20), "19 usable daily returns of 20"),
        (days(*[100.0] * 29, 0.0), "29 usable daily returns of 20"),
    ],
)
def test_what_is_missing_is_unknown_and_says_what(rows, words):
    verdict = inspect(rows, look(), VolatilityLimits(), None)
    assert verdict.state == "unknown"
    assert words in verdict.title


def test_at_the_limit_is_a_breach_and_just_below_it_is_none():
    rows = days(*(100.0 * (1.01 if number % 2 else 1) for number in range(60)))
    at = inspect(rows, look(), VolatilityLimits(), None).statistic / 0.15
    on = inspect(rows, look(), VolatilityLimits(enter_multiple=at), None)
    above = inspect(rows, look(), VolatilityLimits(enter_multiple=at * 1.000001), None)
    assert (on.state, on.stage) == ("breached", 1)
    assert (above.state, above.stage) == ("ok", 0)


def test_money_that_comes_and_goes_is_no_return():
    steady = days(*[100.0] * 30, 200.0, flows=[0.0] * 30 + [100.0])
    assert inspect(steady, look(), VolatilityLimits(), None).statistic == 0
