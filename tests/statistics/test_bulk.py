"""Is bulk VPIN the published number, from bars, looking back only?"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_data import column, golden, needs_data, rows

from operations.errors import Rejected
from operations.statistics.bulk import BarDirections, BulkVpin, bar_directions, bulk_vpin
from operations.statistics.normal import cdf_of
from operations.statistics.vpin import Vpin

pytestmark = pytest.mark.unit
START = 50  # bars with which the other library begins
BARS = st.lists(
    st.tuples(st.integers(90, 110).map(float), st.integers(0, 30).map(float), st.integers(1, 3)),
    max_size=50,
)


def bars(name):
    table = rows(f"bars/{name}_2018_11_22.csv")
    return column(table, "4. close"), column(table, "5. volume")


def library_directions(closes):
    """Our directions; for its first bars the library takes one sigma, and their mean as a price."""
    found = bar_directions(closes, warm_up_changes=1)
    beginning = BarDirections(warm_up_changes=1)
    for close in closes[:START].tolist():
        beginning.add(close)
    sigma = math.sqrt(beginning.snapshot().variance)
    before = np.concatenate(([closes[:START].mean()], closes[: START - 1]))
    for place, change in enumerate(closes[:START] - before):
        found[place] = 2 * cdf_of(change / sigma) - 1
    return found


def library_values(volumes, directions, bucket_volume, buckets=50):
    """Return its value for each bar: whole shares bought, and the bucket that is not full yet."""
    filled, bought, place, values = np.zeros(buckets), np.zeros(buckets), 0, []
    for volume, direction in zip(volumes.tolist(), directions.tolist(), strict=True):
        left = volume
        while left > 0:
            part = min(left, bucket_volume - filled[place])
            filled[place] += part
            bought[place] += math.floor((1 + direction) / 2 * part)
            left -= part
            if filled[place] == bucket_volume:
                place = (place + 1) % buckets
                filled[place] = bought[place] = 0
        values.append(np.abs(2 * bought - filled).sum() / filled.sum() if filled.any() else 0.0)
    return np.array(values)


@needs_data
@pytest.mark.parametrize("name", ["AAPL", "INTC", "GS", "CBIO"])
def test_real_bars_give_the_values_of_another_library(name):
    expected = golden("flowrisk_vpin")["series"][name]
    closes, volumes = bars(name)
    assert closes.size == expected["bars"]
    found = library_values(volumes, library_directions(closes), expected["bucket"])
    assert found[-1] == pytest.approx(expected["last"], abs=1e-5)
    np.testing.assert_allclose(found[START + 10 :: 100], expected["every_100th"], atol=1e-5)


@needs_data
def test_without_its_rounding_and_open_bucket_the_library_has_our_values():
    closes, volumes = bars("AAPL")
    bucket = golden("flowrisk_vpin")["series"]["AAPL"]["bucket"]
    directions = library_directions(closes)
    last = Vpin(bucket).extend(volumes, directions)[-1]
    full = math.floor(volumes.sum() / bucket) * bucket
    running = np.cumsum(volumes)
    place = int(np.searchsorted(running, full))
    cut = volumes[: place + 1].copy()
    cut[-1] -= running[place] - full
    # A hair below full, so that the last bucket still counts as its open one.
    cut[-1] -= 1e-6
    assert library_values(cut, directions[: place + 1], bucket)[-1] == pytest.approx(last, abs=1e-5)


@needs_data
def test_a_handful_of_bars_has_no_value():
    closes, volumes = bars("QES")
    assert bulk_vpin(closes, volumes, volumes.sum() / 40).tolist() == []


@given(BARS, st.integers(1, 5))
def test_bar_by_bar_and_any_restart_give_the_same_bits(table, warm_up):
    closes, volumes, sessions = ([row[place] for row in table] for place in range(3))
    sessions = sorted(sessions)
    stream, found = BulkVpin(25, 2, warm_up_changes=warm_up), []
    for close, volume, session in zip(closes, volumes, sessions, strict=True):
        found += stream.add(close, volume, session)
        state = stream.snapshot()
        stream = BulkVpin(25, 2, warm_up_changes=warm_up)
        stream.restore(state)
    expected = bulk_vpin(closes, volumes, 25, 2, sessions, warm_up_changes=warm_up)
    assert found == expected.tolist()
    unknown = np.isnan(bar_directions(closes, sessions, warm_up_changes=warm_up))
    assert stream.left_out_bars == unknown.sum()
    assert stream.left_out_volume == sum(np.array(volumes)[unknown])


@given(st.lists(st.integers(90, 110), min_size=5, max_size=30), st.integers(1, 20))
def test_nothing_looks_ahead(closes, cut):
    whole = bar_directions(closes, warm_up_changes=2)
    np.testing.assert_array_equal(bar_directions(closes[:cut], warm_up_changes=2), whole[:cut])


def test_a_rise_was_bought_and_a_fall_sold_as_far_as_it_is_unusual():
    # The first change is its own sigma: Z(1); then a fall of the same size.
    found = bar_directions([10, 11, 10], warm_up_changes=1)
    assert math.isnan(found[0])
    np.testing.assert_allclose(found[1:], [2 * 0.8413447460685429 - 1, 1 - 2 * 0.8413447460685429])


def test_overnight_is_no_change():
    found = bar_directions([10, 11, 20, 21], sessions=[1, 1, 2, 2], warm_up_changes=1)
    assert np.isnan(found).tolist() == [True, False, True, False]
    assert found[3] == pytest.approx(found[1])


def test_while_no_price_moved_nothing_is_known():
    assert np.isnan(bar_directions([10.0] * 60)).all()
    assert bulk_vpin([10.0] * 60, [100.0] * 60, 10).tolist() == []


def test_the_warm_up_is_left_out():
    closes = 100 + np.sin(np.arange(40))
    assert np.isnan(bar_directions(closes)).sum() == 30


@pytest.mark.parametrize(("close", "volume"), [(math.nan, 1), (10, math.nan), (10, -1)])
def test_a_bar_without_a_trade_is_refused_and_leaves_nothing_behind(close, volume):
    stream = BulkVpin(10)
    before = stream.snapshot()
    with pytest.raises(Rejected):
        stream.add(close, volume)
    with pytest.raises(Rejected):
        bulk_vpin([10, 11, close], [1, 1, volume], 10, warm_up_changes=1)
    assert stream.snapshot() == before
