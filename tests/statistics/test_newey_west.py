"""Is the long-run variance that of others, and unknown where there is nothing to measure?"""

import math

import numpy as np
import pytest

from operations.errors import Rejected
from operations.statistics.newey_west import (
    automatic_lags,
    long_run_variance,
    long_run_variances,
    overlapping_variances,
    shift_z,
    standard_error,
)

pytestmark = pytest.mark.unit


def autoregressive(n, weight, seed):
    noise = np.random.default_rng(seed).normal(size=n)
    for place in range(1, n):
        noise[place] += weight * noise[place - 1]
    return noise


@pytest.mark.parametrize("lags", [0, 1, 5, 20])
def test_the_standard_error_is_that_of_statsmodels(lags):
    from statsmodels.api import OLS

    values = autoregressive(400, 0.6, 7)
    fitted = OLS(values, np.ones(400)).fit(cov_type="HAC", cov_kwds={"maxlags": lags})
    assert standard_error(values, lags) == pytest.approx(fitted.bse[0], rel=1e-10)


def test_without_lags_it_is_the_variance():
    values = autoregressive(100, 0.0, 1)
    assert long_run_variance(values, 0) == pytest.approx(values.var())


def test_neighbours_that_resemble_each_other_make_a_mean_less_certain():
    values = autoregressive(20_000, 0.5, 2)
    assert long_run_variance(values, 60) == pytest.approx(4.0, rel=0.1)  # 1 / (1 - .5)^2


@pytest.mark.parametrize(
    ("n", "overlap", "lags"), [(100, 1, 4), (20, 1, 2), (1500, 1, 7), (100, 20, 19), (5, 20, 4)]
)
def test_lags_grow_with_the_sample_and_cover_the_overlap(n, overlap, lags):
    assert automatic_lags(n, overlap) == lags


@pytest.mark.parametrize("overlap", [5, 20])
def test_the_variance_of_days_that_overlap_is_that_of_full_overlap_and_never_less(overlap):
    changes = np.random.default_rng(3).normal(size=50_000)
    days = np.convolve(changes, np.ones(overlap) / np.sqrt(overlap), "valid")
    assert overlapping_variances(days, overlap) == pytest.approx(overlap, rel=0.05)
    assert long_run_variances(days, automatic_lags(days.size, overlap)) < 0.9 * overlap
    alone = autoregressive(100, 0.0, 1)
    assert overlapping_variances(alone, 1) == long_run_variances(alone, 4)
    assert overlapping_variances(alone, 5) == 5 * alone.var()
    assert np.isnan(overlapping_variances([1.0, np.nan, 2.0], 2))


def test_rows_are_what_each_of_them_is_alone():
    rows = np.stack([autoregressive(50, 0.3, seed) for seed in range(4)]).reshape(2, 2, 50)
    found = long_run_variances(rows, 3)
    assert found.shape == (2, 2)
    assert found[1, 0] == pytest.approx(long_run_variance(rows[1, 0], 3), rel=1e-13)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_unknown_makes_it_unknown(bad):
    values = autoregressive(50, 0.0, 1)
    values[7] = bad
    assert long_run_variance(values) is None
    assert np.isnan(long_run_variances(values, 2))


@pytest.mark.parametrize("values", [[], [1.0], np.arange(19.0), np.ones(50)])
def test_too_few_or_equal_values_have_no_error(values):
    assert standard_error(values) is None


def test_twenty_values_are_enough_but_not_for_twenty_lags():
    assert standard_error(np.arange(20.0)) is not None
    assert standard_error(np.arange(20.0), lags=20) is None


def test_a_shift_is_counted_in_errors_of_both_rows():
    live, baseline = autoregressive(100, 0.2, 1), autoregressive(300, 0.2, 2) + 1
    expected = (live.mean() - baseline.mean()) / math.hypot(
        standard_error(live), standard_error(baseline)
    )
    assert shift_z(live, baseline) == pytest.approx(expected)
    assert shift_z(live[:10], baseline) is None
    assert shift_z(live, np.ones(300)) is None


def test_lags_fit_into_the_row():
    with pytest.raises(Rejected, match="number of values"):
        long_run_variances(np.zeros(5), 5)
