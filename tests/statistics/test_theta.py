"""Is the theta of a fund in one unit, and unknown when a position of it is?"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_data import golden, needs_data, rows

from operations.statistics.theta import (
    NetTheta,
    OptionPosition,
    ThetaUnit,
    black_scholes_theta,
    net_theta,
    position_theta,
)

pytestmark = pytest.mark.unit
SOLD = OptionPosition(
    quantity=-10,
    multiplier=100,
    theta=-0.05,
    unit=ThetaUnit.CALENDAR_DAY,
    implied_volatility=0.2,
    days_to_expiry=30,
    currency_rate=1.0,
)
BOUGHT = SOLD._replace(quantity=4)


@needs_data
def test_the_formula_gives_the_values_of_another_library():
    for case in golden()["py_vollib_black_scholes_theta_per_calendar_day"]:
        found = black_scholes_theta(
            case["flag"].upper(), case["S"], case["K"], case["t"], case["r"], case["sigma"]
        )
        assert found == pytest.approx(case["theta"], rel=1e-8)


def test_options_that_were_sold_earn_what_those_bought_lose():
    assert position_theta(SOLD) == pytest.approx(50)
    assert position_theta(BOUGHT) == pytest.approx(-20)


@pytest.mark.parametrize(
    ("unit", "theta"),
    [
        (ThetaUnit.CALENDAR_DAY, -0.05),
        (ThetaUnit.TRADING_DAY, -0.05 * 365 / 252),
        (ThetaUnit.YEAR, -0.05 * 365),
    ],
)
def test_a_theta_in_any_unit_is_the_same_money(unit, theta):
    assert position_theta(SOLD._replace(unit=unit, theta=theta)) == pytest.approx(50)


def test_multiplier_and_currency_scale_it():
    assert position_theta(SOLD._replace(multiplier=10)) == pytest.approx(5)
    assert position_theta(SOLD._replace(currency_rate=1.25)) == pytest.approx(62.5)


def test_decay_and_income_stand_apart_and_so_does_the_last_day():
    found = net_theta(
        [SOLD, BOUGHT, SOLD._replace(days_to_expiry=1), BOUGHT._replace(days_to_expiry=0)]
    )
    assert found == NetTheta(-20.0, 50.0, -20.0, 50.0, known=4, unknown=0)
    assert found.net == pytest.approx(60)
    assert net_theta([BOUGHT._replace(days_to_expiry=1.01)]).decay == -20


@pytest.mark.parametrize(
    "missing",
    [
        {"implied_volatility": 0.0},
        {"implied_volatility": None},
        {"implied_volatility": math.nan},
        {"implied_volatility": math.inf},
        {"theta": None},
        {"theta": math.nan},
        {"currency_rate": None},
        {"currency_rate": 0.0},
        {"days_to_expiry": None},
        {"days_to_expiry": -1},
        {"multiplier": 0},
        {"quantity": math.nan},
    ],
)
def test_one_unknown_position_makes_the_sum_unknown(missing):
    found = net_theta([SOLD, BOUGHT._replace(**missing)])
    assert found.net is None
    assert (found.income, found.known, found.unknown) == (50.0, 1, 1)


def test_a_position_that_is_closed_is_known():
    assert net_theta([SOLD._replace(quantity=0, theta=None)]).net == 0


def test_a_fund_without_options_has_no_theta():
    assert net_theta([]) == NetTheta(0.0, 0.0, 0.0, 0.0, known=0, unknown=0)


@given(st.permutations([SOLD._replace(theta=theta) for theta in (-0.1, 0.3, -1e9, 1e-7, 1e9)]))
def test_the_order_of_positions_changes_nothing(positions):
    ordered = sorted(positions, key=lambda position: position.theta)
    assert net_theta(positions) == net_theta(ordered)


@pytest.mark.parametrize(
    "change", [{"spot": 0.0}, {"strike": -1.0}, {"years": 0.0}, {"volatility": 0.0}]
)
def test_an_option_that_cannot_be_has_no_theta(change):
    option = {"spot": 100.0, "strike": 100.0, "years": 0.1, "rate": 0.01, "volatility": 0.2}
    assert black_scholes_theta("C", **{**option, **change}) is None
    assert black_scholes_theta("C", **{**option, "rate": math.nan}) is None


@needs_data
def test_real_chains_quote_thetas_without_a_volatility_and_they_stay_unknown():
    table = [row for row in rows("options/option_usa_universes_aapl_20140609.csv") if row["strike"]]
    positions = [
        SOLD._replace(
            theta=float(row["theta"]), implied_volatility=float(row["implied_volatility"])
        )
        for row in table
    ]
    without = [one for one in positions if one.implied_volatility == 0 and one.theta != 0]
    assert len(without) > 100
    found = net_theta(positions)
    assert found.net is None
    assert found.unknown == sum(one.implied_volatility == 0 for one in positions)
