"""Does a bound hold at all looks together, and does it find what has changed?"""

import math

import numpy as np
import pytest

from operations.errors import Rejected
from operations.statistics.sequential import boundary, lower_crossings, mean_bounds

pytestmark = pytest.mark.unit


def heavy_tailed(seed, rows, days):
    """Student's t with 4 degrees of freedom, standard deviation 1."""
    return np.random.default_rng(seed).standard_t(4, size=(rows, days)) / math.sqrt(2)


def garch(seed, rows, days):
    """GARCH(1, 1) with weights .05 and .9, standard deviation 1."""
    noise = np.random.default_rng(seed).normal(size=(days, rows))
    variance, found = np.ones(rows), np.empty((rows, days))
    for day in range(days):
        found[:, day] = noise[day] * np.sqrt(variance)
        variance = 0.05 + 0.05 * found[:, day] ** 2 + 0.9 * variance
    return found


def normal(seed, rows, days):
    return np.random.default_rng(seed).normal(size=(rows, days))


@pytest.mark.parametrize("null", [normal, heavy_tailed, garch])
def test_over_three_years_of_daily_looks_it_fails_as_seldom_as_said(null):
    crossings = lower_crossings(null(1, 4000, 756), 0.0, 1.0, 0.05)
    rate = float(np.mean(np.isfinite(crossings)))
    assert rate <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 4000)
    assert rate > 0.01  # it is not bought with never crossing


def test_a_loss_of_edge_is_found_and_one_that_is_twice_as_large_sooner():
    paths = normal(2, 500, 756)
    slow = lower_crossings(paths - 0.2, 0.0, 1.0, 0.05)
    fast = lower_crossings(paths - 0.4, 0.0, 1.0, 0.05)
    assert np.isfinite(slow).mean() > 0.95
    assert np.nanmedian(fast) < 0.5 * np.nanmedian(slow) < 130


def test_the_boundary_is_the_published_one():
    alpha, n = 0.025, 100.0
    log_a = math.log(0.05)
    rho = (-2 * log_a + math.log(1 - 2 * log_a)) / 252
    expected = math.sqrt(
        2 * (n * rho + 1) / (n**2 * rho) * math.log(1 + math.sqrt(n * rho + 1) / (2 * alpha))
    )
    assert float(boundary(n, alpha)) == pytest.approx(expected, rel=1e-14)


def test_it_is_wider_than_that_of_one_look_and_narrows():
    n = np.arange(1, 2000)
    widths = boundary(n, 0.025)
    assert np.all(widths > 1.96 / np.sqrt(n))
    assert np.all(np.diff(widths) < 0)


@pytest.mark.parametrize("tuned_for", [30, 252])
def test_it_is_about_tightest_where_it_is_tuned(tuned_for):
    widths = {other: float(boundary(tuned_for, 0.025, other)) for other in (30, 252, 2000)}
    assert min(widths, key=widths.__getitem__) == tuned_for


def test_bounds_lie_around_the_mean():
    values = normal(3, 1, 200)[0] + 5
    bounds = mean_bounds(values, 0.025, standard_deviation=1.0)
    assert bounds.n == 200
    assert (bounds.lower + bounds.upper) / 2 == pytest.approx(values.mean())
    assert bounds.lower < 5 < bounds.upper
    estimated = mean_bounds(values, 0.025)
    width = bounds.upper - bounds.lower
    assert estimated.upper - estimated.lower == pytest.approx(width, rel=0.35)


def test_both_ways_of_looking_cross_at_the_same_value():
    values = normal(4, 1, 300)[0] - 0.5
    place = int(lower_crossings(values, 0.0, 1.0, 0.025))
    assert mean_bounds(values[:place], 0.025, standard_deviation=1.0).upper < 0
    assert mean_bounds(values[: place - 1], 0.025, standard_deviation=1.0).upper >= 0


@pytest.mark.parametrize(
    "values", [[], np.arange(29.0), np.ones(50), [*range(49), math.nan], [*range(49), math.inf]]
)
def test_without_a_sample_there_are_no_bounds(values):
    assert mean_bounds(values, 0.025) is None


def test_a_row_counts_until_its_first_gap():
    values = np.full(100, -5.0)
    assert lower_crossings(values, 0.0, 1.0, 0.05) == 30
    values[10] = math.nan
    assert np.isnan(lower_crossings(values, 0.0, 1.0, 0.05))


def test_what_bounds_nothing_is_refused():
    with pytest.raises(Rejected, match="half of the time"):
        boundary(10, 0.5)
    with pytest.raises(Rejected, match="begin with 1"):
        boundary(0, 0.05)
    with pytest.raises(Rejected, match="standard_deviation"):
        mean_bounds(np.arange(50.0), 0.05, standard_deviation=0.0)
