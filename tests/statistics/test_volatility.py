"""Are volatilities those of the named conventions, and unknown where nothing is known?"""

import math

import numpy as np
import pytest
from real_data import golden, index_returns, needs_data

from operations.errors import Rejected
from operations.statistics.volatility import (
    annualised,
    ewma_variances,
    ewma_volatility,
    realised_volatility,
)

pytestmark = pytest.mark.unit
GOLDEN = "sp500_1999_2018_adjclose_simple_returns"


@needs_data
def test_realised_volatility_is_that_of_another_library():
    found = annualised(realised_volatility(index_returns()))
    assert found == pytest.approx(golden()[GOLDEN]["empyrical_annual_volatility"], rel=1e-8)


@needs_data
def test_ewma_volatility_is_that_of_another_library_for_the_last_day_and_the_next():
    per_cent = index_returns() * 100
    last = golden()[GOLDEN]["arch_EWMA094_zero_mean_cond_vol_pct_last"]
    following = golden()[GOLDEN]["arch_EWMA094_forecast_next_pct"]
    assert ewma_volatility(per_cent[:-1]) == pytest.approx(last, rel=1e-8)
    assert ewma_volatility(per_cent) == pytest.approx(following, rel=1e-8)


def test_weights_decay_and_add_up_to_one():
    assert ewma_variances([2.0, 1.0], 0.5).tolist() == [4.0, (0.5 * 4 + 1) / 1.5]


def test_rows_are_what_each_of_them_is_alone():
    rows = np.random.default_rng(1).normal(size=(4, 3, 60))
    found = ewma_variances(rows)
    np.testing.assert_array_equal(found[2, 1], ewma_variances(rows[2, 1]))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gap_makes_what_follows_unknown(bad):
    returns = np.full(40, 0.01)
    returns[30] = bad
    assert np.isfinite(ewma_variances(returns)[:30]).all()
    assert np.isnan(ewma_variances(returns)[30:]).all()
    assert ewma_volatility(returns) is None
    assert realised_volatility(returns) is None


@pytest.mark.parametrize("count", [0, 1, 19])
def test_a_small_sample_has_no_volatility(count):
    assert ewma_volatility([0.01] * count) is None
    assert realised_volatility([0.01] * count) is None


def test_the_smallest_sample_has_one():
    assert ewma_volatility([0.01] * 20) == pytest.approx(0.01)
    assert realised_volatility([0.01, -0.01] * 10) == pytest.approx(0.01 * math.sqrt(20 / 19))


def test_numbers_too_large_to_square_are_unknown():
    assert ewma_volatility([1e200] * 20) is None
    assert realised_volatility([1e200, -1e200] * 10) is None


def test_a_year_has_252_trading_days():
    assert annualised(0.01) == pytest.approx(0.01 * math.sqrt(252))


def test_a_decay_is_a_share():
    with pytest.raises(Rejected, match="decay"):
        ewma_variances([0.01], 1.0)
