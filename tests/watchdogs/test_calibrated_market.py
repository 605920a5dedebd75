"""Do vpin and position_anomaly keep their budgets, and is what was measured what they do?"""

import numpy as np
import pytest

from bench import calibrate_market as market
from bench.nulls import NULLS
from operations.checks import Look, Unit
from operations.watchdogs.position_anomaly import WINDOW, Sent, SizeLimits, inspect
from operations.watchdogs.vpin import HISTORY, Bucket, VpinLimits
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


def flow_of(null, units, seed=7, signed=True):
    return market.vpin_of(market.imbalances(np.random.default_rng(seed), units, null, signed))


@pytest.mark.parametrize("null", NULLS)
def test_three_hundred_instrument_years_have_less_than_an_episode_each(null):
    values = np.concatenate([flow_of(null, 100, seed) for seed in range(3)])
    assert market.episodes(values, True, FLOW).mean() <= 1.0
    if null == "normal":
        bare = VpinLimits(own_margin=1.2)
        assert market.episodes(values, True, bare).mean() > 1.0


@pytest.mark.parametrize("signed", [True, False])
def test_flow_of_which_half_is_on_one_side_is_found_within_a_day(signed):
    found = market.delays((0.5, "normal", signed), 300)
    assert np.mean(found <= market.DAY) >= 0.9


def test_what_is_suspected_is_all_that_is_one_sided_and_little_more():
    values = flow_of("GARCH(1,1)", 2)[:, :3500]
    values[:, 3000:3050] += np.linspace(0, 0.2, 50)
    suspected = market.suspects(values, FLOW)
    for row, own in zip(values, suspected, strict=True):
        places = range(FLOW.minimum_buckets, row.size)
        truly = [place for place in places if market.one_sided(row, place, True, FLOW)]
        assert len(truly) > 5
        assert own[truly].all()
    assert suspected.sum() < 0.02 * suspected.size


def test_the_vectorised_values_are_judged_as_the_watchdog_does():
    (row,) = flow_of("GARCH(1,1)", 1, seed=3)[:, :3200]
    row[2900:2950] += np.linspace(0, 0.2, 50)
    look = Look(1, 1, 1, "e", Unit("instrument", "SPY"))
    agreed = 0
    for place in [*range(FLOW.minimum_buckets, 2890, 97), *range(2890, 2960)]:
        before = np.sort(row[max(0, place - HISTORY) : place])
        median, upper = (before[int(np.ceil(q * before.size)) - 1] for q in (0.5, 0.99))
        now = Bucket(
            1, 1, 1, True, float(row[place]), before.size, int((before < row[place]).sum()),
            float(median), float(upper), 1.0, 0, 0.0,
        )  # fmt: skip
        found = inspect_flow([now], look, FLOW, None)
        assert (found.state == "warning") is market.one_sided(row, place, True, FLOW)
        level = float(next(each.value for each in found.parameters if each.name == "level"))
        assert level == market.level_of(row, place)
        agreed += found.state == "warning"
    assert agreed > 5
