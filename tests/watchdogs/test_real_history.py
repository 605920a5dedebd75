"""What do the watchdogs of money say about a strategy on real prices, and of the same gone bad?

Baselines are 2004 to 2007. What is asserted was measured: in 2008 the fund crashed with the market
and in 2009 momentum did.
"""

from decimal import Decimal
from itertools import count

import numpy as np
import pytest
from real_data import needs_data
from real_strategy import Past, momentum
from watching import engine, event, run, stored

from operations.events.portfolio import (
    NavMarked,
    NetAssetValue,
    PortfolioBaseline,
    PortfolioBaselinePublished,
)
from operations.events.positions import Exposure, ExposureMarked
from operations.events.registry import Fund, FundRegistered
from operations.events.strategies import (
    ForecastScore,
    ForecastScored,
    PnlMarked,
    ProfitAndLoss,
    StrategyBaseline,
    StrategyBaselinePublished,
)
from operations.watchdogs import (
    drift_monitor,
    portfolio_vol_dd,
    predictive_health,
    strategy_watchdog,
)

pytestmark = [pytest.mark.unit, needs_data]
KEYS = {"fund_id": "alpha", "strategy_id": "mom"}
WATCHED = (portfolio_vol_dd, predictive_health, strategy_watchdog, drift_monitor)
VOLATILITY, HEALTH, PROFITS, DRIFT = (each.NAME for each in WATCHED)
TARGET = 0.17  # what the fund varied by from 2004 to 2007 was 0.162


def published(past: Past, go_live: str):
    """What the backtest promised, of the fund and of its strategy."""
    fund = Fund(
        name="alpha", base_currency="USD", trading="live", day_end_time="16:00",
        day_end_zone="America/New_York", target_volatility=TARGET,
    )  # fmt: skip
    tested = PortfolioBaseline(
        baseline_id="b1", go_live=go_live, horizon_days=252, net_of_costs=True,
        daily_returns=tuple(past.fund_returns.tolist()),
    )  # fmt: skip
    earned = StrategyBaseline(
        baseline_id="b1", currency="USD", daily_returns=tuple(past.returns.tolist()),
        daily_information_coefficients=tuple(past.information_coefficients.tolist()),
    )  # fmt: skip
    yield event(FundRegistered, "alpha", fund, 1)
    yield event(PortfolioBaselinePublished, "alpha", tested, 2, fund_id="alpha")
    yield StrategyBaselinePublished(
        event_id="baseline-of-mom", timestamp=f"{go_live}T00:00:00Z", actor="test",
        subject_id="mom", data=earned, **KEYS,
    )  # fmt: skip


def lived(days, fund_returns, returns, ranked):
    """A mark of the fund before its first day and on each, with its exposure; the strategy too."""
    numbers, nav = count(10), 1e8
    yield value(before(days[0]), nav, next(numbers))
    for day, whole, own, coefficient in zip(days, fund_returns, returns, ranked, strict=True):
        nav *= 1 + whole
        at = f"{day}T21:00:00Z"
        exposure = Exposure(as_of=at, gross=Decimal(10**8), net=Decimal(0), currency="USD")
        yield event(ExposureMarked, "alpha", exposure, next(numbers), fund_id="alpha")
        yield value(day, nav, next(numbers))
        profit = ProfitAndLoss(
            as_of=at, realised=Decimal(f"{own * 1e6:.6f}"), unrealised=Decimal(0), fees=Decimal(0),
            allocated_capital=Decimal(10**6), currency="USD", final=True,
        )  # fmt: skip
        yield event(PnlMarked, "mom", profit, next(numbers), **KEYS)
        score = ForecastScore(
            day=day, horizon_days=1, method="spearman", names=20,
            information_coefficient=max(-1.0, float(coefficient)),
        )  # fmt: skip
        yield event(ForecastScored, "mom", score, next(numbers), **KEYS)


def before(day):
    return str(np.datetime64(day) - 1)


def value(day, nav, number):
    data = NetAssetValue(
        as_of=f"{day}T21:00:00Z", nav=Decimal(f"{nav:.2f}"), currency="USD",
        start_of_day_nav=Decimal(f"{nav:.2f}"), final=True,
    )  # fmt: skip
    return event(NavMarked, "alpha", data, number, fund_id="alpha")


def said(first, last, harm=0.0, harm_from=0, worse=0.0):
    """What is raised in the first 250 days of these years, by check: the days.

    From one of them on returns are lower by `harm` a day, and information coefficients by `worse`.
    """
    past, now = momentum(2004, 2007), momentum(first, last)
    days = slice(0, 250)
    harmed, worsened = (np.where(np.arange(250) >= harm_from, each, 0.0) for each in (harm, worse))
    one = engine(*(each.WATCHDOG for each in WATCHED))
    events = [
        *published(past, now.days[0]),
        *lived(
            now.days[days],
            now.fund_returns[days] - harmed,
            now.returns[days] - harmed,
            now.information_coefficients[days] - worsened,
        ),
    ]
    found = {name: [] for name in (VOLATILITY, HEALTH, PROFITS, DRIFT)}
    scored = {each.event_id: each.data.day for each in events if isinstance(each, ForecastScored)}
    for each in run(one, stored(events)):
        if each.subject.endswith(".raised"):
            day = scored.get(each.causation_id, each.data.looked_at[:10])
            found[each.data.check].append(day)
    assert {standing.state for standing in one.standings.values()} <= {"ok", "warning", "breached"}
    return found


def test_in_2008_the_fund_is_found_twice_for_what_it_varies_and_for_nothing_else():
    """It lost a quarter, and varied so much that this alone says nothing about its mean."""
    found = said(2008, 2008)
    assert found == {VOLATILITY: ["2008-01-30", "2008-09-29"], HEALTH: [], PROFITS: [], DRIFT: []}


def test_in_2011_only_the_wild_weeks_of_august_are_found():
    found = said(2011, 2012)
    assert found == {VOLATILITY: ["2011-08-10"], HEALTH: [], PROFITS: [], DRIFT: []}


def test_a_strategy_that_begins_to_lose_is_found_within_a_month_and_its_fund_within_half_a_year():
    """From its 101st day on, 2011-05-26, it loses 0.6 % a day more than it did."""
    found = said(2011, 2012, harm=0.006, harm_from=100)
    assert momentum(2011, 2012).days[100] == "2011-05-26"
    assert found[PROFITS] == ["2011-06-21"]
    assert found[HEALTH] == ["2011-11-23"]


def test_forecasts_that_no_longer_rank_are_found_in_a_year_and_those_of_real_years_are_not():
    """Its coefficients, 0.04 on average with a deviation of 0.3, fall by 0.2 after two months."""
    assert said(2009, 2009)[DRIFT] == []
    assert said(2011, 2012, worse=0.2, harm_from=40)[DRIFT] == ["2011-10-17"]
