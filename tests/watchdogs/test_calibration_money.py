"""Do the watchdogs of money keep their budgets, and is what is calibrated what they do?"""

import numpy as np
import pytest
from tested_fund import backtest, live
from volatile_fund import fund
from watching import DAY, START_NS, engine, run, stored

from bench.calibrate_money import (
    MEAN,
    Sides,
    draw,
    envelope_days,
    funds,
    rolling_days,
    strategies,
    volatility_days,
)
from bench.nulls import NULLS, YEAR
from operations.checks import Look, Unit
from operations.watchdogs import predictive_health
from operations.watchdogs.portfolio_vol_dd import Day as FundDay
from operations.watchdogs.portfolio_vol_dd import VolatilityLimits
from operations.watchdogs.portfolio_vol_dd import inspect as inspect_volatility
from operations.watchdogs.profits import Day as StrategyDay
from operations.watchdogs.strategy_watchdog import ABOVE, BELOW, ProfitLimits
from operations.watchdogs.strategy_watchdog import inspect as inspect_profits

pytestmark = pytest.mark.unit
UNITS = 300


def either(sides: Sides) -> float:
    return float(np.mean(np.isfinite(sides.below) | np.isfinite(sides.above)))


@pytest.mark.parametrize("null", NULLS)
def test_well_strategies_are_found_as_seldom_as_the_budget_says(null):
    # Three standard errors of 5 % of 300 are 3.8 %.
    assert either(strategies(UNITS, null, "moments")) <= 0.05 + 0.038


def test_a_strategy_that_loses_half_a_deviation_a_day_is_found_within_a_year():
    assert np.isfinite(strategies(UNITS, "normal", "moments", 0.5).below).mean() > 0.9


@pytest.mark.parametrize("null", NULLS)
def test_well_funds_are_found_as_seldom_as_the_budget_says(null):
    # Three standard errors of 1 % of 300 are 1.7 %; they share two backtests.
    assert either(funds(UNITS, null, "moments")) <= 0.01 + 0.03


def test_a_fund_that_loses_half_a_deviation_a_day_is_found_within_a_year():
    assert np.isfinite(funds(UNITS, "normal", "moments", 0.5).below).mean() > 0.9


@pytest.mark.parametrize("null", ["normal", "t(4)"])
def test_funds_on_target_are_found_as_seldom_as_the_budget_says(null):
    returns = draw(np.random.default_rng(4), null, UNITS, 2 * YEAR) - MEAN
    assert np.isfinite(volatility_days(returns)).mean() <= 0.01 + 0.017


def test_what_is_calibrated_of_volatility_is_what_the_watchdog_says():
    returns = draw(np.random.default_rng(5), "t(4)", 6, 2 * YEAR)
    returns[:, YEAR + 20 :] *= 1.8
    days = volatility_days(returns)
    assert np.isfinite(days).sum() >= 3
    for unit, wanted in zip(returns, days, strict=True):
        navs = np.cumprod(np.concatenate(([100.0], 1 + unit)))
        rows = [
            FundDay(
                place, place, START_NS + place * DAY, nav, 0.0, "USD", None, None,
                0.01 * 252**0.5, None, None,
            )
            for place, nav in enumerate(navs)
        ]  # fmt: skip
        found = np.inf
        for end in range(YEAR + 2, len(rows) + 1):
            at_ns = rows[end - 1].as_of_ns
            look = Look(1, at_ns, at_ns, "e", Unit("fund", "a", "a"))
            if inspect_volatility(rows[:end], look, VolatilityLimits(), None).stage:
                found = end - 1 - YEAR
                break
        assert found == wanted


def test_what_is_calibrated_of_profits_is_what_the_watchdog_says():
    live = draw(np.random.default_rng(6), "GARCH(1,1)", 8, YEAR)
    live[:, 60:] -= np.linspace(-0.02, 0.02, 8)[:, None]
    edges = [np.full((8, 1), value) for value in (-0.12, 0.15, 0.011)]
    sides = rolling_days(live, *edges)
    assert np.isfinite(sides.below).any()
    assert np.isfinite(sides.above).any()
    for place, unit in enumerate(live):
        rows = [
            StrategyDay(
                number, START_NS + number * DAY, each, 1.0, "USD", None, None, None, "b", 0, 1,
                None, -0.12, 0.15, 0.011,
            )
            for number, each in enumerate(unit, start=1)
        ]  # fmt: skip
        first = {}
        for end in range(30, len(rows) + 1):
            at_ns = rows[end - 1].as_of_ns
            look = Look(1, at_ns, at_ns, "e", Unit("strategy", "s", "a", "s"))
            stage = inspect_profits(rows[:end], look, ProfitLimits(), None).stage
            first.setdefault(stage, end)
        assert first.get(BELOW, np.inf) == sides.below[place]
        assert first.get(ABOVE, np.inf) == sides.above[place]


def test_what_is_calibrated_of_growth_is_what_the_watchdog_says():
    returns = draw(np.random.default_rng(7), "normal", 1, 60)
    returns[0, 30:] -= 0.02
    one = engine(predictive_health.WATCHDOG)
    events = [fund(), backtest(1), *live([round(each, 6) for each in returns[0]])]
    raised = [
        each for each in run(one, stored(events)) if each.data.check == predictive_health.NAME
    ]
    query = "SELECT lower, upper, deviation FROM growth_envelope"
    ((lower, upper, deviation),) = one.warehouse._database.execute(query).fetchall()
    sides = envelope_days(returns, np.array(lower), np.array(upper), deviation)
    assert raised[0].data.samples == sides.below[0] < np.inf
