"""Is too little always unknown, and nonsense always refused?"""

import math

import numpy as np
import pytest

from operations.errors import Rejected
from operations.statistics import samples

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [1.0, math.inf], [1.0, -math.inf]])
def test_too_few_or_not_finite_is_no_sample(values):
    assert samples.known_sample(values, 2) is None


def test_enough_finite_values_are_a_sample():
    assert samples.known_sample([1, 2], 2).tolist() == [1.0, 2.0]


def test_nothing_is_no_sample_even_if_nothing_is_asked_for():
    assert samples.known_sample([], 0) is None


def test_a_table_is_not_a_row():
    with pytest.raises(Rejected, match=r"shape \(2, 2\)"):
        samples.vector(np.zeros((2, 2)), "returns")


def test_a_number_is_not_a_path():
    with pytest.raises(Rejected, match="one number"):
        samples.paths(1.0, "returns")


def test_what_is_not_finite_is_refused_with_its_place():
    with pytest.raises(Rejected, match=r"prices\[1\] is nan"):
        samples.finite_vector([1.0, math.nan], "prices")


def test_rows_of_two_lengths_do_not_pair():
    with pytest.raises(Rejected, match="2 and 1 values"):
        samples.same_length(np.zeros(2), np.zeros(1), "volumes and signs")


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_what_must_be_positive_is(value):
    with pytest.raises(Rejected, match="above 0"):
        samples.positive(value, "volume")


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, math.nan])
def test_a_share_lies_between_its_ends(value):
    with pytest.raises(Rejected, match="between 0 and 1"):
        samples.share(value, "level")


def test_a_count_has_a_least_value():
    assert samples.at_least(2, 2, "n") == 2
    with pytest.raises(Rejected, match="at least 2"):
        samples.at_least(1, 2, "n")
