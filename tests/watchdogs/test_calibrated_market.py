"""Do vpin and position_anomaly keep their budgets, and is what was measured what they do?"""

import numpy as np
import pytest

from bench import calibrate_market as market
from bench.nulls import NULLS
from operations.checks import Look, Unit
from operations.watchdogs.position_anomaly import WINDOW, Sent, SizeLimits, inspect
from operations.watchdogs.vpin import Bucket, VpinLimits
from operations.watchdogs.vpin import inspect as inspect_flow

pytestmark = pytest.mark.unit
SIZES, FLOW = SizeLimits(), VpinLimits()


@pytest.mark.parametrize("null", NULLS)
def test_three_hundred_strategy_months_have_less_than_a_page_each(null):
    drawn = NULLS[null](np.random.default_rng(5), 300, WINDOW + market.MONTH_ORDERS)
    score, largest = market.scores(np.exp(0.5 * drawn), SIZES)
    assert market.pages(score, largest, SIZES).mean() <= 1.0
    loose, any_order = SizeLimits(paged_score=2.5), np.ones_like(largest)
    assert market.pages(score, any_order, loose).mean() > 1.0


def test_the_vectorised_scores_are_those_of_the_watchdog():
    drawn = NULLS["t(4)"](np.random.default_rng(6), 1, WINDOW + 60)
    sizes = np.exp(0.5 * drawn)
    score, largest = market.scores(sizes, SIZES)
    row = sizes[0].tolist()
    sent = [Sent(n, n, f"o{n}", size, False, None) for n, size in enumerate(row, 1)]
    look = Look(1, 1, 1, "e", Unit("strategy", "s X", None, "s"))
    for place in range(60):
        end = WINDOW + place
        verdict = inspect(sent[end - WINDOW : end + 1], look, SIZES, None)
        assert verdict.statistic == pytest.approx(score[0, place], abs=1e-9)
        paged = bool(score[0, place] >= SIZES.paged_score and largest[0, place])
        assert (verdict.stage == 2) is paged


def test_six_instrument_years_of_signed_flow_have_about_an_episode_each_at_most():
    values = market.vpin_of(market.imbalances(np.random.default_rng(7), 6, "normal", signed=True))
    own = market.levels(values)
    assert market.episodes(values, own, True, FLOW).mean() <= 2.0
    bare = VpinLimits(own_margin=0.0)
    assert market.episodes(values, own, True, bare).mean() > 5.0


def test_the_vectorised_levels_are_those_of_the_watchdog():
    random = np.random.default_rng(8)
    values = market.vpin_of(market.imbalances(random, 1, "normal", signed=True))[:, :1500]
    (level,), (distance,) = market.levels(values)
    row = values[0]
    look = Look(1, 1, 1, "e", Unit("instrument", "SPY"))
    for place in range(FLOW.minimum_buckets, 1500, 7):
        before = np.sort(row[:place])
        median, upper = (before[int(np.ceil(q * place)) - 1] for q in (0.5, 0.99))
        now = Bucket(
            1, 1, 1, True, float(row[place]), place, int((before < row[place]).sum()),
            float(median), float(upper), 1.0, 0, 0.0,
        )  # fmt: skip
        found = inspect_flow([now], look, FLOW, None)
        out = level[place] >= FLOW.own_level and distance[place] >= FLOW.own_margin
        assert (found.state == "warning") is bool(out)
