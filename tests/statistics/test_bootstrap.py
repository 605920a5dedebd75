"""Do resampled series keep their neighbours, and is every draw the same everywhere?"""

import math

import numpy as np
import pytest
from real_data import index_returns, needs_data

from operations.errors import Rejected
from operations.statistics.bootstrap import Draws, mean_block_length, stationary_places

pytestmark = pytest.mark.unit


@needs_data
def test_the_block_length_of_real_returns_is_that_of_another_library():
    from arch.bootstrap import optimal_block_length

    for series in (index_returns(), np.abs(index_returns()), index_returns()[-756:]):
        expected = max(optimal_block_length(series).stationary.iloc[0], 1.0)
        assert mean_block_length(series) == pytest.approx(expected, rel=1e-9)


def test_independent_values_have_short_blocks_and_dependent_ones_long():
    noise = np.random.default_rng(2).normal(size=3000)
    smooth = np.convolve(noise, np.ones(20) / 20, "valid")
    assert mean_block_length(noise) < 8
    assert mean_block_length(smooth) > 30


@pytest.mark.parametrize(
    "returns", [[], np.arange(59.0), np.ones(100), [*range(99), math.nan], [*range(99), math.inf]]
)
def test_without_a_sample_there_is_no_block_length(returns):
    assert mean_block_length(returns) is None


def test_the_draws_are_written_down():
    """A change of these numbers changes every limit that was ever published."""
    found = Draws(7).uniform(1, 3)[0]
    expected = np.random.Generator(np.random.PCG64(7)).random(3)
    np.testing.assert_array_equal(found, expected)
    assert stationary_places(10, 8, 3.0, 1, Draws(7)).tolist() == [[7, 8, 9, 2, 2, 3, 5, 6]]


def test_places_follow_each_other_but_where_a_block_begins():
    places = stationary_places(500, 4000, 20.0, 30, Draws(1))
    assert places.shape == (30, 4000)
    assert places.min() == 0
    assert places.max() == 499
    follows = np.mean((places[:, 1:] - places[:, :-1]) % 500 == 1)
    assert follows == pytest.approx(1 - 1 / 20 + 1 / 20 / 500, abs=0.002)
    assert np.bincount(places.ravel(), minlength=500).min() > 100


def test_blocks_of_one_are_independent_draws():
    places = stationary_places(500, 4000, 1.0, 10, Draws(1))
    assert np.mean((places[:, 1:] - places[:, :-1]) % 500 == 1) < 0.005


@needs_data
def test_the_spread_of_a_mean_is_that_of_another_library():
    from arch.bootstrap import StationaryBootstrap

    returns = np.abs(index_returns()[:1000])
    ours = returns[stationary_places(1000, 1000, 25.0, 2000, Draws(3))].mean(axis=1)
    theirs = StationaryBootstrap(25, returns, seed=3).apply(np.mean, 2000)
    assert ours.std() == pytest.approx(theirs.std(), rel=0.08)
    assert ours.mean() == pytest.approx(returns.mean(), rel=0.01)


@pytest.mark.parametrize("mean_block", [0.5, math.nan, math.inf])
def test_a_block_has_a_length(mean_block):
    with pytest.raises(Rejected, match="mean_block"):
        stationary_places(10, 10, mean_block, 1, Draws(0))
