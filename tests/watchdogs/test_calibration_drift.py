"""Do the watchdogs of forecasts keep their budgets, and is what is calibrated what they compute?"""

import msgspec
import numpy as np
import pytest

from bench.calibrate_drift import (
    BASELINE_DAYS,
    CASES,
    LIMITS,
    Strategies,
    halting_days,
    halving_days,
    halving_z,
    strategies,
)
from bench.nulls import YEAR
from operations.checks import Look, Unit
from operations.events.strategies import ForecastScore, StrategyBaseline
from operations.halt.drift import Drift
from operations.halt.latch import Cause
from operations.watchdogs.drift_monitor import Score, baseline, inspect, past_looks

pytestmark = pytest.mark.unit
UNITS = 300


@pytest.mark.parametrize(("null", "overlap"), CASES)
def test_few_strategies_that_are_well_are_halved_or_halted_within_a_year(null, overlap):
    """Budgets of 5 % and 1 %; the bounds are what 300 units of such a rule stay below."""
    found = strategies(np.random.default_rng(1), UNITS, null, overlap=overlap)
    assert np.isfinite(halving_days(found, overlap)).mean() <= 0.06
    assert np.isfinite(halting_days(found, overlap)).mean() <= 0.027


@pytest.mark.parametrize("healthy_days", [0, YEAR])
def test_most_strategies_that_forecast_nothing_any_more_are_found_within_a_year(healthy_days):
    found = strategies(np.random.default_rng(2), UNITS, "normal", healthy_days + YEAR)
    found.live[:, healthy_days:] -= 0.03
    for days in (halving_days(found), halting_days(found)):
        assert np.isfinite(days[days > healthy_days]).mean() >= 0.72


def test_looked_at_more_often_or_believed_at_once_the_budget_would_be_broken():
    found = strategies(np.random.default_rng(1), UNITS, "normal")
    hasty = msgspec.structs.replace(LIMITS, looks_in_a_row=3)
    assert np.isfinite(halving_days(found, limits=hasty)).mean() > 0.06
    assert np.isfinite(halting_days(found, alone=-2.2)).mean() > 0.027


def scores_of(found: Strategies, unit: int) -> list[Score]:
    data = StrategyBaseline(
        baseline_id="b", currency="USD",
        daily_information_coefficients=tuple(found.baseline[unit].tolist()),
    )  # fmt: skip
    base = baseline(data, 1)
    return [
        Score(
            number, 1, "spearman", number, f"{number:04}", value, 100, base.mean, base.error, None
        )
        for number, value in enumerate(found.live[unit].tolist(), 1)
    ]


def test_what_is_calibrated_is_what_the_watchdog_computes():
    found = strategies(np.random.default_rng(3), 6, "t(4)")
    found.live[:3] -= 0.05
    z = halving_z(found)
    days = halving_days(found)
    unit = Unit("strategy", "s", None, "s")
    for number in range(6):
        scores = scores_of(found, number)
        newest = [each for each, _ in past_looks(scores, LIMITS)]
        assert newest == pytest.approx(z[number, ::-1][: LIMITS.looks_in_a_row], rel=1e-9)
        first = np.inf
        for end in range(1, YEAR + 1):
            verdict = inspect(scores[:end], Look(end, end, end, "e", unit), LIMITS, None)
            if verdict.stage and np.isinf(first):
                first = end
        assert first == days[number]


@pytest.mark.parametrize("overlap", [1, 5])
def test_what_is_calibrated_is_what_the_halting_half_does(overlap):
    found = strategies(np.random.default_rng(4), 6, "t(4)", overlap=overlap)
    found.live[:3] -= 0.06 * overlap
    cause = Cause("b", 0, 2 * 10**18, "", "live")
    days = halting_days(found, overlap)
    assert np.isfinite(days[:3]).all()
    for number, wanted in enumerate(days):
        published = StrategyBaseline(
            baseline_id="b", currency="USD",
            daily_information_coefficients=tuple(found.baseline[number].tolist()),
        )  # fmt: skip
        one, first = Drift("s", None), np.inf
        one.rebase(published, cause)
        for day, value in enumerate(found.live[number].tolist(), 1):
            score = ForecastScore(
                day=f"2010-{1 + day // 28:02}-{1 + day % 28:02}", horizon_days=overlap,
                method="spearman", information_coefficient=value, names=100,
            )  # fmt: skip
            one.score(score, cause)
            if one.latch.episode is not None and np.isinf(first):
                first = day
        assert first == wanted
    assert found.baseline.shape[1] == BASELINE_DAYS
