"""Does the tick rule say what is known, and nothing before it is known?"""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_data import needs_data, ticks

from operations.errors import Rejected
from operations.statistics.trade_signs import TickRule, tick_rule

pytestmark = pytest.mark.unit
PRICES = st.lists(st.integers(1, 4).map(float), max_size=40)


def test_a_trade_above_the_last_price_was_bought_and_below_it_sold():
    assert tick_rule([10, 11, 9]).tolist() == [0, 1, -1]


def test_at_the_same_price_the_last_change_decides():
    assert tick_rule([10, 11, 11, 11, 9, 9]).tolist() == [0, 1, 1, 1, -1, -1]


def test_before_the_first_change_nobody_knows():
    assert tick_rule([10, 10, 10, 11]).tolist() == [0, 0, 0, 1]
    assert tick_rule([]).tolist() == []


@given(PRICES, st.lists(st.integers(0, 40), max_size=5))
def test_any_chunking_and_any_restart_give_the_same_signs(prices, cuts):
    edges = [0, *sorted(min(cut, len(prices)) for cut in cuts), len(prices)]
    rule, found = TickRule(), []
    for begin, end in pairwise(edges):
        found += rule.extend(prices[begin:end]).tolist()
        rule = TickRule(rule.snapshot())
    one_by_one = TickRule()
    assert found == tick_rule(prices).tolist() == [one_by_one.add(price) for price in prices]


@pytest.mark.parametrize("price", [math.nan, math.inf])
def test_a_trade_without_a_price_is_refused(price):
    with pytest.raises(Rejected, match="leave"):
        tick_rule([1.0, price])
    with pytest.raises(Rejected, match="leave"):
        TickRule().add(price)


@needs_data
def test_of_a_real_day_only_the_beginning_stays_unknown():
    prices, _ = ticks("spy_20131007_trade")
    signs = tick_rule(prices)
    assert prices.size == 250_601
    unknown = int((signs == 0).sum())
    assert unknown < 10
    assert np.all(signs[:unknown] == 0)
