"""Is a drawdown measured from the peak, without the money that came and went?"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_data import golden, index_prices, needs_data

from operations.errors import Rejected
from operations.statistics.drawdown import Drawdown, deepest, drawdowns, growth

pytestmark = pytest.mark.unit


@needs_data
def test_the_deepest_fall_of_the_index_is_that_of_another_library():
    expected = golden()["sp500_1999_2018_adjclose_simple_returns"]["empyrical_max_drawdown"]
    assert deepest(index_prices()).depth == pytest.approx(expected, rel=1e-8)


def test_it_says_where_the_fall_began_and_ended():
    assert deepest([1, 4, 2, 5, 3, 4]) == Drawdown(-0.5, 1, 2)


def test_a_fund_at_its_peak_has_none():
    assert deepest([1, 2, 3]) == Drawdown(0.0, 0, 0)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=30), st.floats(0.1, 10))
def test_it_lies_between_minus_one_and_zero_and_knows_no_currency(values, rate):
    falls = drawdowns(values)
    assert np.all((falls <= 0) & (falls > -1))
    assert deepest(values).depth == falls.min()
    np.testing.assert_allclose(drawdowns(np.array(values) * rate), falls, atol=1e-12)


@pytest.mark.parametrize("values", [[], [1, math.nan], [1, 0], [1, -1], [1, math.inf]])
def test_an_unknown_value_makes_it_unknown(values):
    assert deepest(values) is None


def test_after_a_gap_the_peak_is_unknown():
    assert np.isnan(drawdowns([[3, math.nan, 2], [3, 0, 2]])[:, 1:]).all()


def test_a_withdrawal_is_no_loss_and_a_deposit_no_gain():
    np.testing.assert_allclose(growth([100, 50, 55], [0, -50, 0]), [1, 1, 1.1])
    np.testing.assert_allclose(growth([100, 200, 180], [0, 100, 0]), [1, 1, 0.9])


@pytest.mark.parametrize(
    ("values", "flows"), [([100, math.nan], [0, 0]), ([100, 0], [0, 0]), ([100, 90], [0, math.nan])]
)
def test_growth_of_something_unknown_is_unknown(values, flows):
    assert growth(values, flows) is None


def test_every_value_has_a_flow():
    with pytest.raises(Rejected, match="values and flows"):
        growth([1, 2], [0])
