"""Is VPIN the published number, split exactly, whatever the chunks and restarts?"""

import json
import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_data import golden, needs_data, signed_trades

from operations.errors import Rejected
from operations.statistics.vpin import Vpin, VpinState, signed_vpin

pytestmark = pytest.mark.unit
TRADES = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 40).map(float), st.floats(0, 40)),
        st.one_of(st.sampled_from([-1.0, 1.0]), st.floats(-1, 1)),
    ),
    max_size=60,
)


def by_definition(trades, bucket_volume, buckets):
    """Fill bucket after bucket in exact fractions, as the paper words it."""
    size, net, room = Fraction(bucket_volume), Fraction(0), Fraction(bucket_volume)
    imbalances, values = [], []
    for volume, direction in trades:
        left = Fraction(volume)
        while left >= room:
            imbalances.append(abs(net + room * Fraction(direction)))
            left -= room
            net, room = Fraction(0), size
            if len(imbalances) >= buckets:
                values.append(float(sum(imbalances[-buckets:]) / (buckets * size)))
        net += left * Fraction(direction)
        room -= left
    return values


def columns(trades):
    return [volume for volume, _ in trades], [direction for _, direction in trades]


@given(
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from([-1, 1])), max_size=60),
    st.integers(1, 25),
    st.integers(1, 4),
)
def test_whole_volumes_give_the_value_of_the_definition(trades, bucket_volume, buckets):
    found = signed_vpin(*columns(trades), bucket_volume, buckets)
    np.testing.assert_allclose(found, by_definition(trades, bucket_volume, buckets), atol=1e-12)


@given(TRADES, st.sampled_from([1.0, 7.3, 25.0]), st.integers(1, 4), st.lists(st.integers(0, 60)))
def test_any_chunking_and_any_restart_give_the_same_bits(trades, bucket_volume, buckets, cuts):
    whole = Vpin(bucket_volume, buckets)
    values = whole.extend(*columns(trades)).tolist()
    edges = [0, *sorted(min(cut, len(trades)) for cut in cuts), len(trades)]
    vpin, found = Vpin(bucket_volume, buckets), []
    for place, (begin, end) in enumerate(pairwise(edges)):
        chunk = trades[begin:end]
        if place % 2:
            found += [value for one in chunk for value in vpin.add(*one)]
        else:
            found += vpin.extend(*columns(chunk)).tolist()
        state = json.loads(json.dumps(vpin.snapshot()))
        vpin = Vpin.restored(VpinState(*state[:-1], tuple(state[-1])))
    assert found == values
    assert vpin.snapshot() == whole.snapshot()
    assert all(-1e-12 <= value <= 1 + 1e-12 for value in values)


def test_a_trade_over_three_buckets_is_split_exactly():
    # 4 bought; then 25 sold: 6 of them fill the first bucket, 10 the second, 9 wait.
    assert Vpin(10, 1).extend([4, 25], [1, -1]).tolist() == [0.2, 1.0]


def test_a_bucket_that_is_filled_exactly_counts_at_once():
    assert Vpin(10, 1).add(10, 1) == [1.0]
    assert Vpin(10, 1).add(9.999999, 1) == []


def test_before_n_buckets_are_full_there_is_no_value():
    vpin = Vpin(10, 3)
    assert vpin.add(29, 1) == []
    assert vpin.add(1, 1) == [1.0]


def test_no_trades_give_no_value():
    assert signed_vpin([], [], 10).tolist() == []
    assert Vpin(10, 1).extend([0.0], [1.0]).tolist() == []


def test_scaling_volumes_and_turning_sides_change_nothing():
    draw = np.random.default_rng(3)
    volumes, signs = draw.integers(1, 50, 2000), draw.choice([-1, 1], 2000)
    found = signed_vpin(volumes, signs, 100)
    np.testing.assert_array_equal(found, signed_vpin(volumes * 4, signs, 400))
    np.testing.assert_array_equal(found, signed_vpin(volumes, -signs, 100))
    assert found.size == volumes.sum() // 100 - 49


@pytest.mark.parametrize(
    ("volume", "direction"), [(math.nan, 1), (-1, 1), (math.inf, 1), (1, 1.5), (1, math.nan)]
)
def test_a_trade_that_cannot_be_is_refused_and_leaves_nothing_behind(volume, direction):
    vpin = Vpin(10, 1)
    before = vpin.snapshot()
    with pytest.raises(Rejected):
        vpin.add(volume, direction)
    with pytest.raises(Rejected):
        vpin.extend([1, volume], [1, direction])
    assert vpin.snapshot() == before


def test_a_trade_without_an_aggressor_is_no_balanced_trade():
    with pytest.raises(Rejected, match=r"signs\[1\]"):
        signed_vpin([1, 1], [1, 0], 10)


def test_buckets_that_one_trade_would_fill_by_the_thousand_are_refused():
    with pytest.raises(Rejected, match="larger buckets"):
        Vpin(1e-9).add(1, 1)
    with pytest.raises(Rejected, match="larger buckets"):
        Vpin(1e-9).extend([1], [1])


@pytest.mark.parametrize(("bucket_volume", "buckets"), [(0, 50), (math.nan, 50), (10, 0)])
def test_buckets_have_a_size_and_a_number(bucket_volume, buckets):
    with pytest.raises(Rejected):
        Vpin(bucket_volume, buckets)


@needs_data
@pytest.mark.parametrize(
    ("name", "files"),
    [
        (
            "binance_spot_btcusdt_2024-08-08_09",
            ["h_spot_btcusdt_20240808", "h_spot_btcusdt_20240809"],
        ),
        ("binance_usdm_btcusdt_2024-08-08", ["h_usdm_btcusdt_20240808"]),
    ],
)
def test_real_trades_with_known_sides_give_the_values_of_another_library(name, files):
    """It gives one value for each trade, so a trade over several buckets shows the last only."""
    expected = golden()["vpin_signed_wickra"][name]
    volumes, signs = signed_trades(*files)
    assert volumes.size == expected["trades"]
    found = signed_vpin(volumes, signs, expected["bucket_volume"], expected["n_buckets"])
    assert found[-1] == pytest.approx(expected["last"], abs=1e-9)
    remaining = iter(found)
    for value in expected["distinct_values"]:
        assert any(abs(value - ours) < 1e-9 for ours in remaining), value
    assert len(expected["distinct_values"]) >= found.size - 4
