"""Does the information coefficient agree with others, and keep quiet about too few names?"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_data import golden, needs_data, stock_prices
from scipy import stats

from operations.errors import Rejected
from operations.statistics import newey_west
from operations.statistics.information_coefficient import daily_spearman, pearson, ranks, spearman

pytestmark = pytest.mark.unit


@needs_data
@pytest.mark.parametrize("days", [1, 5])
def test_a_reversal_on_real_stocks_has_the_coefficients_of_other_libraries(days):
    """The score is the 5-day return turned; what has 5 days before and after it counts."""
    prices = stock_prices("2010", "2015")
    scores = -(prices[5:] / prices[:-5] - 1)[:-5]
    returns = (prices[5 + days :] / prices[5:-days] - 1)[: len(scores)]
    expected = golden()["alphalens_ic_5d_reversal_skfolio20_2010_2015"][f"{days}D"]
    found = daily_spearman(scores, returns)
    assert found.size == expected["n_days"]
    np.testing.assert_allclose(found[:5], expected["first5"], atol=1e-10)
    assert found.mean() == pytest.approx(expected["mean_ic"], rel=1e-8)
    assert found.std(ddof=1) == pytest.approx(expected["sd_ic"], rel=1e-8)
    t = found.mean() / newey_west.standard_error(found, lags=5)
    assert t == pytest.approx(expected["t_newey_west_5"], rel=1e-8)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30))
def test_equal_values_share_their_mean_rank(values):
    np.testing.assert_array_equal(ranks(values), stats.rankdata(values))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=10, max_size=40))
def test_it_is_the_correlation_of_scipy(pairs):
    scores, returns = (np.array(side, float) for side in zip(*pairs, strict=True))
    if np.ptp(scores) == 0 or np.ptp(returns) == 0:
        assert spearman(scores, returns) is None
        return
    assert spearman(scores, returns) == pytest.approx(
        stats.spearmanr(scores, returns).statistic, abs=1e-12
    )
    assert pearson(scores, returns) == pytest.approx(
        stats.pearsonr(scores, returns).statistic, abs=1e-12
    )


def test_ten_names_are_enough_and_nine_are_not():
    names = np.arange(10.0)
    assert spearman(names, names**3) == pytest.approx(1.0)
    assert spearman(names[:9], names[:9]) is None


def test_a_name_without_a_return_is_left_out_of_its_day():
    scores, returns = np.arange(12.0), np.arange(12.0)
    returns[3], scores[5] = math.nan, math.inf
    assert spearman(scores, returns) == pytest.approx(1.0)
    returns[4] = math.nan
    assert spearman(scores, returns) is None


def test_days_without_a_coefficient_are_unknown_and_never_zero():
    scores = np.tile(np.arange(10.0), (3, 1))
    returns = scores.copy()
    returns[1] = 0.0
    returns[2, 0] = math.nan
    found = daily_spearman(scores, returns)
    assert found[0] == pytest.approx(1.0)
    assert np.isnan(found[1:]).all()


def test_numbers_of_any_size_have_a_correlation():
    names = np.arange(10.0)
    assert pearson(names * 1e300, names * 1e-300) == pytest.approx(1.0)


def test_days_and_names_pair():
    with pytest.raises(Rejected, match="days by names"):
        daily_spearman(np.zeros((2, 10)), np.zeros((2, 9)))
    with pytest.raises(Rejected, match="belong in pairs"):
        spearman(np.zeros(10), np.zeros(9))
