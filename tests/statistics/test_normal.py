"""Is the normal distribution right, also where its tail is tiny?"""

import math

import numpy as np
import pytest
from scipy import stats

from operations.errors import Rejected
from operations.statistics import normal

pytestmark = pytest.mark.unit


def test_the_distribution_function_is_that_of_scipy():
    z = np.linspace(-37, 8, 500)
    np.testing.assert_allclose(normal.cdf(z), stats.norm.cdf(z), rtol=1e-11)


def test_one_number_and_an_array_give_the_same_bits():
    z = np.random.default_rng(1).normal(size=(3, 50))
    assert normal.cdf(z).tolist() == [[normal.cdf_of(one) for one in row] for row in z.tolist()]


def test_five_sigmas_have_their_known_tail():
    assert normal.upper_tail_of(5) == pytest.approx(2.866515718791939e-7, rel=1e-12)


def test_what_is_not_a_number_stays_none():
    assert math.isnan(normal.cdf_of(math.nan))


@pytest.mark.parametrize("probability", [1e-12, 0.01, 0.5, 0.975, 1 - 1e-9])
def test_quantiles_are_those_of_scipy(probability):
    assert normal.quantile(probability) == pytest.approx(stats.norm.ppf(probability), abs=1e-9)


def test_nothing_is_beyond_certainty():
    with pytest.raises(Rejected, match="between 0 and 1"):
        normal.quantile(1.0)
