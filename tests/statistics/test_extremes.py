"""Is every answer a number or unknown, whatever the data hold, and never with a warning?"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operations.statistics import (
    bands,
    bootstrap,
    counts,
    drawdown,
    information_coefficient,
    newey_west,
    robust,
    theta,
    volatility,
)

pytestmark = pytest.mark.unit
ANY = st.floats(allow_nan=True, allow_infinity=True)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
LENGTH = {"min_size": 60, "max_size": 64}
ROW = st.one_of(
    st.lists(ANY, **LENGTH),
    st.lists(FINITE, **LENGTH),
    st.lists(st.floats(-0.9, 1e9), **LENGTH),
    st.lists(st.sampled_from([0.0, 1.0, 5e-324, 1e-200, 1e99]), **LENGTH),
)
QUIET = settings(max_examples=100)


def known_or_unknown(found):
    """None, or finite in all its numbers."""
    for number in found if isinstance(found, tuple) else (found,):
        assert number is None or np.isfinite(number).all(), found


@QUIET
@given(ROW)
def test_of_a_row(row):
    for function in (
        volatility.ewma_volatility,
        volatility.realised_volatility,
        drawdown.deepest,
        newey_west.long_run_variance,
        newey_west.standard_error,
        robust.robust_sd,
        robust.log_size_sd,
        counts.fit,
        bootstrap.mean_block_length,
    ):
        known_or_unknown(function(row))
    assert not np.isinf(volatility.ewma_variances(row)).any()
    assert not np.isinf(newey_west.long_run_variances(row, 3))


@QUIET
@given(ROW, ROW, ANY)
def test_of_two_rows_and_a_value(row, other, value):
    other = (other * 2)[: len(row)]
    known_or_unknown(information_coefficient.pearson(row, other))
    known_or_unknown(information_coefficient.spearman(row, other))
    known_or_unknown(newey_west.shift_z(row, other))
    known_or_unknown(robust.robust_z(value, row))
    known_or_unknown(robust.robust_z(value, row, least_sd=1e-300))
    known_or_unknown(robust.log_size_z(value, row))
    known_or_unknown(drawdown.growth(row, other))


@QUIET
@given(ROW, st.floats(1e-12, 1e3))
def test_of_a_backtest(row, scale):
    finite = [each if abs(each) < 1e300 and each > -1 else 0.5 for each in row]
    for returns in (row, finite, np.array(finite) * scale):
        known_or_unknown(bands.growth_envelope(returns, 5, level=0.5, paths=20))
        known_or_unknown(bands.rolling_limits(returns, 2, 5, 0.5, paths=20))


@QUIET
@given(st.floats(-10, 1e4), st.floats(1e-300, 2e3), st.floats(0, 1e300))
def test_of_a_count(count, mean, variance):
    found = counts.log_upper_tail(count, counts.CountModel(mean, variance))
    known_or_unknown(found)
    assert found is None or found <= 0


@QUIET
@given(ANY, ANY, ANY, ANY, ANY)
def test_of_an_option(spot, strike, years, rate, volatility_):
    known_or_unknown(theta.black_scholes_theta("C", spot, strike, years, rate, volatility_))
    known_or_unknown(theta.black_scholes_theta("P", spot, strike, years, rate, volatility_))
    position = theta.OptionPosition(
        spot, strike, years, theta.ThetaUnit.YEAR, volatility_, 3.0, rate
    )
    found = theta.position_theta(position)
    assert found is None or math.isfinite(found)
