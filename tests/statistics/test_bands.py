"""Does a fund that follows its backtest stay inside the whole time, as often as said?"""

import math

import numpy as np
import pytest
from real_data import index_returns, needs_data
from scipy import stats

from operations.errors import Rejected
from operations.statistics.bands import distance, growth_envelope, moments_sample, rolling_limits

pytestmark = pytest.mark.unit
HORIZON, BACKTEST = 63, 504


def normal_returns(seed, rows, days):
    return 0.0004 + 0.01 * np.random.default_rng(seed).normal(size=(rows, days))


def left_envelope(backtests, lives, **arguments):
    """The share of funds that leave the envelope of their own backtest at some day."""
    left = 0
    for backtest, live in zip(backtests, lives, strict=True):
        envelope = growth_envelope(backtest, HORIZON, paths=400, mean_block=1, **arguments)
        growth = np.cumprod(1 + live)
        left += bool(np.any((growth < envelope.lower) | (growth > envelope.upper)))
    return left / len(lives)


def test_a_fund_like_its_backtest_leaves_the_envelope_as_seldom_as_said():
    backtests, lives = normal_returns(1, 200, BACKTEST), normal_returns(2, 200, HORIZON)
    # Two standard errors of 5 % of 200 are 3 %.
    assert left_envelope(backtests, lives, level=0.95) <= 0.05 + 0.03


def test_a_fund_that_is_not_what_it_was_leaves_it():
    backtests, lives = normal_returns(1, 60, BACKTEST), normal_returns(2, 60, HORIZON)
    assert left_envelope(backtests, lives - 0.006, level=0.95) > 0.9


def test_without_serial_dependence_the_multiplier_is_that_of_a_random_walk():
    """3.49 for 99 % over 252 days was simulated apart from this; the mean is uncertain besides."""
    envelope = growth_envelope(normal_returns(5, 1, 2000)[0], 252, mean_block=1)
    assert envelope.multiplier == pytest.approx(3.49, abs=0.15)
    assert envelope.lower.shape == envelope.upper.shape == (252,)
    assert np.all(envelope.lower < envelope.upper)


def test_a_short_backtest_makes_it_wider():
    """The variance after t days of B grows by t / B: twice as wide a year after one of 252 / 3."""
    draw = normal_returns(6, 1, 4032)[0]
    short = growth_envelope(np.tile(draw[:84], 1), 252, mean_block=1, level=0.95)
    same_but_known = growth_envelope(np.tile(draw[:84], 48), 252, mean_block=1, level=0.95)

    def width(envelope):
        return math.log(envelope.upper[-1] / envelope.lower[-1]) / envelope.multiplier

    assert width(short) / width(same_but_known) == pytest.approx(2, rel=0.1)


def test_the_same_arguments_give_the_same_bits_and_another_seed_does_not():
    returns = normal_returns(7, 1, 200)[0]
    first, second = (growth_envelope(returns, 21, paths=1000) for _ in range(2))
    np.testing.assert_array_equal(first.lower, second.lower)
    other = growth_envelope(returns, 21, paths=1000, seed=1)
    assert not np.array_equal(first.lower, other.lower)


@needs_data
def test_a_real_backtest_has_an_envelope_around_its_growth():
    returns = index_returns()[-756:]
    envelope = growth_envelope(returns, 63, mean_block=10)
    assert 0.6 < envelope.lower[-1] < 0.9
    assert 1.1 < envelope.upper[-1] < 1.5
    assert envelope.mean_block == 10


def test_rolling_sums_go_beyond_their_limits_as_often_as_said():
    backtest = normal_returns(8, 1, 5000)[0]
    limits = rolling_limits(backtest, 30, 252, 0.05, mean_block=1)
    lives = normal_returns(9, 3000, 252)
    sums = np.cumsum(np.pad(lives, ((0, 0), (1, 0))), axis=1)
    rolling = sums[:, 30:] - sums[:, :-30]
    assert np.mean(rolling.min(axis=1) < limits.lower) == pytest.approx(0.05, abs=0.025)
    assert np.mean(rolling.max(axis=1) > limits.upper) == pytest.approx(0.05, abs=0.025)


def test_one_look_has_the_limits_of_one_sum():
    half = 0.01 * np.random.default_rng(10).normal(size=4000)
    backtest = np.concatenate((half, -half))
    limits = rolling_limits(backtest, 30, 30, 0.025, mean_block=1)
    assert limits.upper == pytest.approx(1.96 * 0.01 * math.sqrt(30), rel=0.08)


@pytest.mark.parametrize(
    "returns",
    [
        [],
        np.linspace(-0.1, 0.1, 59),
        [*np.linspace(-0.1, 0.1, 99), math.nan],
        [*np.linspace(-0.1, 0.1, 99), -1.0],
        np.zeros(100),
    ],
)
def test_without_a_backtest_there_are_no_limits(returns):
    assert growth_envelope(returns, 21) is None
    assert rolling_limits(returns, 5, 21, 0.025) is None


def test_limits_that_hang_on_a_single_path_are_refused():
    with pytest.raises(Rejected, match="use 1000"):
        growth_envelope(np.zeros(100), 21, level=0.99, paths=999)
    with pytest.raises(Rejected, match="use 10000"):
        rolling_limits(np.zeros(100), 5, 21, 0.001)


def test_a_window_fits_into_its_horizon():
    with pytest.raises(Rejected, match="horizon"):
        rolling_limits(np.zeros(100), 22, 21, 0.025)


def test_a_sample_of_moments_has_these_moments_and_the_tails_of_a_students_t():
    sample = moments_sample(0.001, 0.02, 500)
    assert sample.size == 500
    assert sample.mean() == pytest.approx(0.001)
    assert sample.std(ddof=1) == pytest.approx(0.02)
    scores = (sample - 0.001) / sample.std(ddof=1)
    wanted = stats.t(4).ppf((np.arange(500) + 0.5) / 500)
    np.testing.assert_allclose(scores, wanted / wanted.std(ddof=1), rtol=1e-9)
    assert moments_sample(0.001, 0.02, 10**12).size == 10_000


@pytest.mark.parametrize(
    "moments", [(math.nan, 1, 99), (0, 0, 99), (0, -1, 99), (0, math.inf, 99), (0, 1, 59)]
)
def test_moments_that_are_no_sample_are_unknown(moments):
    assert moments_sample(*moments) is None


def test_a_limit_is_one_away_from_the_middle_on_both_sides():
    lower, upper = math.log(0.9), math.log(1.1)
    assert distance(lower, lower, upper) == distance(upper, lower, upper) == 1
    assert distance((lower + upper) / 2, lower, upper) == 0
