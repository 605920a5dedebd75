"""Does news_spike keep its budget, and is what is calibrated what it computes?"""

import math

import numpy as np
import pytest
from real_data import needs_data

from bench.calibrate_news import BUSY, DEFAULT, DISPERSED, hours, left_out, surprises
from bench.nulls import NULLS
from operations.checks import Look, Unit
from operations.watchdogs.news_spike import HISTORY_HOURS, HOUR_NS, Hours, NewsLimits, inspect

pytestmark = pytest.mark.unit
UNITS = 300


@pytest.mark.parametrize("null", [DISPERSED, *NULLS])
def test_three_hundred_ticker_months_have_few_spikes(null):
    counts = hours(np.random.default_rng(1), UNITS, 1.0, null)
    logs = np.concatenate(surprises(counts, 6.0))
    days = UNITS * HISTORY_HOURS / 24
    assert (logs < math.log(DEFAULT)).sum() / days <= 0.03
    assert (logs < math.log(1e-2)).sum() / days > 0.03


@pytest.mark.parametrize("busy", BUSY)
def test_what_is_calibrated_is_what_the_watchdog_computes(busy):
    (counts,) = hours(np.random.default_rng(2), 1, busy, DISPERSED)
    counts[-1] += 40
    (logs,) = surprises(counts[None, :], 3 * busy)
    places = HISTORY_HOURS + np.flatnonzero(counts[HISTORY_HOURS:] > 3 * busy)
    spikes = 0
    for place, wanted in zip(places.tolist(), logs.tolist(), strict=True):
        known = range(place - HISTORY_HOURS, place + 1)
        ended_ns = (place + 1) * HOUR_NS
        look = Look(1, ended_ns, ended_ns, "e", Unit("instrument", "SPY"))
        found = inspect([Hours(1, 1, [*known], counts[known].tolist())], look, NewsLimits(), None)
        assert found.statistic == pytest.approx(wanted / math.log(10), rel=1e-12)
        assert bool(found.stage) is (wanted < math.log(DEFAULT))
        spikes += found.stage
    assert spikes >= (busy < 10)


@needs_data
def test_labelled_news_is_found_by_rules_that_were_chosen_on_other_tickers():
    """Hours only, for the time that it takes; five tickers, each left out once."""
    found, by_chance = left_out(3600)
    assert found.windows == 11
    assert found.found / found.windows > 2 * by_chance
    assert found.found >= 6
    assert found.false / found.unit_days <= 0.05
