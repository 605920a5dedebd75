"""Is the count of a bin as surprising as the bins before it say?"""

import math

import numpy as np
import pytest
from scipy import stats

from operations.errors import Rejected
from operations.statistics.surprise import log_surprises, near_time_of_day

pytestmark = pytest.mark.unit
ALL = np.ones(100, bool)


def test_where_counts_vary_like_chance_it_is_the_tail_of_poisson():
    history = [[4] * 100]
    found = log_surprises([12], history, ALL)[0]
    assert found == pytest.approx(stats.poisson.logsf(11, 4), rel=1e-9)


def test_where_they_vary_more_it_is_the_tail_of_a_negative_binomial():
    history = np.array([0, 1, 2, 13] * 25)
    mean, variance = history.mean(), history.var(ddof=1)
    size = mean**2 / (variance - mean)
    wanted = stats.nbinom.logsf(29, size, size / (size + mean))
    assert log_surprises([30], [history], ALL)[0] == pytest.approx(wanted, rel=1e-9)


def test_what_is_usual_is_taken_from_about_the_same_time_of_day():
    before = np.arange(240, 0, -1)
    near = near_time_of_day(before * 3600)
    assert near.sum() == 10 * 17 - 8
    days = near_time_of_day([24 * 3600, 32 * 3600, 16 * 3600, 16 * 3600 - 1, 8 * 3600])
    assert days.tolist() == [True, True, True, False, False]
    busy_now = np.where(near, 10, 0)
    busy, calm = (log_surprises([20], [each], near)[0] for each in (busy_now, 10 - busy_now))
    assert busy > calm


def test_one_spike_does_not_hide_the_next():
    calm = [2] * 1000
    spiked = [*calm[:-2], 500, 500]
    near = np.ones(1000, bool)
    found = log_surprises([30, 30], [calm, spiked], near)
    assert found[1] == pytest.approx(found[0], rel=1e-9)


def test_after_silence_one_story_is_none_and_three_are_a_surprise():
    nothing, near = np.zeros((3, 720)), np.ones(720, bool)
    one, two, three = np.exp(log_surprises([1, 2, 3], nothing, near))
    assert one > 1e-3 > two > 2.9e-7 > three


def test_nothing_is_no_surprise_and_what_is_not_a_number_is_unknown():
    found = log_surprises([0, math.nan], [[1, 2] * 50] * 2, ALL)
    assert found[0] == 0
    assert math.isnan(found[1])


@pytest.mark.parametrize(
    ("history", "near"), [([[1, 2]], ALL), ([[1] * 100], ~ALL), ([[1]], np.ones(1, bool))]
)
def test_shapes_that_do_not_fit_are_refused(history, near):
    with pytest.raises(Rejected, match="differ"):
        log_surprises([1], history, near)
