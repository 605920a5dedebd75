"""Are tails of counts right where they are tiny, and silent where there is no model?"""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from operations.errors import Rejected
from operations.statistics.counts import (
    CountModel,
    fit,
    least_alarming_count,
    log_tail_of_sigmas,
    log_upper_tail,
    log_upper_tails,
)

pytestmark = pytest.mark.unit


def scipy_tail(count, mean, variance):
    if variance <= mean:
        return stats.poisson.logsf(count - 1, mean)
    return stats.nbinom.logsf(count - 1, mean**2 / (variance - mean), mean / variance)


@given(st.integers(0, 3000), st.floats(0.01, 500), st.floats(1.0001, 200))
@example(1, 0.01, 1.0001)
@example(3000, 500.0, 200.0)
@example(500, 500.0, 1.5)
def test_the_tail_is_that_of_scipy_wherever_scipy_has_one(count, mean, ratio):
    found = log_upper_tail(count, CountModel(mean, mean * ratio))
    expected = scipy_tail(count, mean, mean * ratio)
    assert found <= 0
    if expected > -650:
        assert found == pytest.approx(expected, rel=1e-8, abs=1e-11)
    else:
        assert found < -600


@given(st.integers(0, 400), st.floats(0.01, 100))
def test_counts_that_vary_as_little_as_chance_are_poisson(count, mean):
    expected = scipy_tail(count, mean, mean)
    found = log_upper_tail(count, CountModel(mean, mean))
    if expected > -650:
        assert found == pytest.approx(expected, rel=1e-7, abs=1e-10)


def test_far_beyond_what_a_float_holds_the_tail_is_still_the_sum_of_its_terms():
    mean, variance, count = 2.0, 3.0, 1500
    size, p = mean**2 / (variance - mean), mean / variance
    x = np.arange(count, count + 400)
    terms = [math.lgamma(n + size) - math.lgamma(n + 1) for n in x] + x * math.log(1 - p)
    terms += size * math.log(p) - math.lgamma(size)
    expected = terms.max() + math.log(np.exp(terms - terms.max()).sum())
    assert expected < -1500
    assert log_upper_tail(count, CountModel(mean, variance)) == pytest.approx(expected, rel=1e-11)


@given(st.floats(0.05, 50), st.floats(1, 30))
def test_more_is_never_less_surprising(mean, ratio):
    tails = log_upper_tails(np.arange(300), [mean], [mean * ratio])
    assert tails[0] == 0
    assert np.all(np.diff(tails) <= 1e-12)


def test_the_moments_are_those_of_the_history():
    history = [0, 0, 1, 9, 3, 0, 2, 1, 0, 4]
    assert fit(history) == CountModel(2.0, pytest.approx(np.var(history, ddof=1)))


def test_a_history_that_varies_too_little_is_poisson():
    assert fit([3] * 10) == CountModel(3.0, 3.0)


@pytest.mark.parametrize(
    "history", [[], [1] * 9, [0] * 30, [1] * 9 + [-1], [1] * 9 + [math.nan], [1e308] * 10]
)
def test_without_a_model_nothing_is_said(history):
    assert fit(history) is None


@pytest.mark.parametrize("count", [math.nan, math.inf])
def test_an_unknown_count_has_no_tail(count):
    assert log_upper_tail(count, CountModel(1.0, 2.0)) is None


def test_rows_that_are_unknown_stay_so():
    found = log_upper_tails([1, math.nan, 1, 1], [1, 1, 0, math.nan], [2, 2, 2, 2])
    assert np.isfinite(found).tolist() == [True, False, False, False]
    with pytest.raises(Rejected, match="one length"):
        log_upper_tails(np.zeros((2, 2)), [1.0], [2.0])


@pytest.mark.parametrize("sigmas", [1.0, 5.0, 20.0])
def test_the_least_alarming_count_is_the_first_below(sigmas):
    model, limit = CountModel(4.0, 11.0), log_tail_of_sigmas(sigmas)
    count = least_alarming_count(model, limit)
    assert log_upper_tail(count, model) < limit <= log_upper_tail(count - 1, model)


def test_five_sigmas_are_three_in_ten_million():
    assert math.exp(log_tail_of_sigmas(5)) == pytest.approx(2.866515718791939e-7)


def test_limits_that_nothing_meets_are_refused():
    with pytest.raises(Rejected, match="use up to 38"):
        log_tail_of_sigmas(39)
    with pytest.raises(Rejected, match="share below 1"):
        least_alarming_count(CountModel(1.0, 2.0), 0.0)


def test_counts_drawn_from_a_model_are_alarming_as_often_as_it_says():
    draws = stats.nbinom.rvs(2, 0.2, size=200_000, random_state=np.random.default_rng(5))
    tails = log_upper_tails(draws, [8.0], [40.0])
    for probability in (0.1, 0.01, 0.001):
        rate = np.mean(tails < math.log(probability))
        assert rate <= probability + 4 * math.sqrt(probability / draws.size)
        assert rate > probability * 0.5
