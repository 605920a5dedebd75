"""Is a size unusual beside what is typical, even when the history has outliers?"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from operations.errors import Rejected
from operations.statistics.robust import log_size_sd, log_size_z, robust_sd, robust_z

pytestmark = pytest.mark.unit


@given(st.lists(st.floats(-1e6, 1e6), min_size=10, max_size=50))
def test_the_spread_is_that_of_scipy(values):
    expected = stats.median_abs_deviation(values, scale="normal")
    assert robust_sd(values) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_for_normal_values_it_is_their_standard_deviation():
    values = np.random.default_rng(1).normal(3, 2, 100_000)
    assert robust_sd(values) == pytest.approx(2, rel=0.02)


def test_outliers_do_not_hide_an_outlier():
    history = [*range(1, 20), 1e9, 1e9]
    assert robust_z(60, history) > 3.5


def test_the_score_is_the_published_one():
    history = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert robust_z(10, history) == pytest.approx(0.6744897501960817 * 4.5 / 2.5)
    assert robust_z(5.5, history) == 0


def test_ten_values_are_enough_and_nine_are_not():
    assert robust_z(1, range(10)) is not None
    assert robust_z(1, range(9)) is None
    assert robust_sd(range(9)) is None


def test_a_history_that_mostly_repeats_has_no_score_without_a_floor():
    history = [100.0] * 9 + [101.0, 102.0]
    assert robust_sd(history) == 0
    assert robust_z(150, history) is None
    assert robust_z(150, history, least_sd=10) == 5


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_unknown_has_no_score(bad):
    assert robust_z(bad, range(20)) is None
    assert robust_z(1, [*range(20), bad]) is None
    assert log_size_z(bad, range(1, 20)) is None


@pytest.mark.parametrize("size", [0, -5])
def test_no_size_has_no_score(size):
    assert log_size_z(size, range(1, 20)) is None
    assert log_size_z(5, [*range(1, 20), size]) is None
    assert log_size_sd([*range(1, 20), size]) is None


@given(st.lists(st.floats(0.1, 1000), min_size=10, max_size=30), st.floats(0.01, 100))
def test_sizes_have_no_unit(sizes, unit):
    scaled = [size * unit for size in sizes]
    # An absolute tolerance: logarithms of near-equal sizes differ by rounding only.
    assert log_size_sd(scaled) == pytest.approx(log_size_sd(sizes), rel=1e-6, abs=1e-9)
    found, other = (log_size_z(each[0], each, least_sd=0.1) for each in (sizes, scaled))
    assert found == pytest.approx(other, rel=1e-6, abs=1e-6)


def test_a_floor_is_above_nothing():
    with pytest.raises(Rejected, match="least_sd"):
        robust_z(1, range(20), least_sd=0)
