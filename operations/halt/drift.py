"""Do a strategy's forecasts still rank what happens as well as they did in its baseline?

    drift_zscore = (mean of the last n daily coefficients - mean of the baseline)
                   / sqrt(s^2 / n + b^2 / B)

with b the long-run standard deviation of the daily information coefficient in the B days of the
baseline, and s the larger one of b and that of the n days: in wild times, when names move together,
a coefficient tells less than in the baseline. Long-run (Newey and West 1987, Econometrica 55,
703-708), for days overlap when a forecast is scored over several of them; the variance is at least
that of h days where a forecast is scored over h, since a tapered sum of covariances says too little
of a full overlap. Where a baseline does not say how many days it has, its mean is taken as exact.

Looking every day at a moving mean would find a drift in a quarter of all well strategies within a
year. So a look is made every 25 scored days over the last 200; below -2.0 eight of them in a row
make a drift, which is when the window was wholly renewed, and below -2.9 one is enough. How often
that is wrong and how often it finds what is: docs/calibration.md; why these: decision 24.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from operations.clock import NANOSECONDS, rfc3339
from operations.events.base import Event
from operations.events.findings import Parameter
from operations.events.halts import Treatment
from operations.events.strategies import ForecastScore, StrategyBaseline
from operations.halt.latch import Cause, Latch, Measure, Notice, Place
from operations.halt.policy import RULES
from operations.halt.state import Scope

DRIFT = "drift_zscore"
THRESHOLD = -2.0
WINDOW_DAYS = 200
LOOK_EVERY_DAYS = 25
MINIMUM_DAYS = 50
MINIMUM_BASELINE_DAYS, MOST_BASELINE_DAYS = 60, 1_000_000
SMALLEST_DEVIATION, LARGEST_DEVIATION = 1e-6, 10.0
DAY_NS = 86_400 * NANOSECONDS


class Baseline(NamedTuple):
    """What the coefficient was while the strategy was well; `deviation` is the long-run one."""

    mean: float
    deviation: float
    days: int | None = None  # None: the mean is taken as exact


class Drift:
    """The forecasts of one strategy against its baseline."""

    def __init__(self, strategy_id: str, fund_id: str | None) -> None:
        place = Place(check=DRIFT, scope=Scope("STRATEGY_HALT", strategy_id), fund_id=fund_id)
        self.latch = Latch(place)
        self._strategy_id = strategy_id
        self._unknown = Notice(place)
        self._published: StrategyBaseline | None = None
        self._series: dict[tuple[int, str], Series] = {}

    def rebase(self, published: StrategyBaseline, cause: Cause) -> list[Event]:
        """Judge against this baseline from now on; what was counted against another is void."""
        if published != self._published:
            self._published = published
            self._restart()
        return self._unknown.say(self._problem(1), cause)

    def score(self, found: ForecastScore, cause: Cause) -> list[Event]:
        """Take the coefficient of one day; looks when enough days have come."""
        problem = self._problem(found.horizon_days)
        said = self._unknown.say(problem, cause)
        if found.day > rfc3339(cause.at_ns + DAY_NS)[:10]:
            return said  # a day that has not come would make all that come after it old
        key = (found.horizon_days, found.method)
        series = self._series.setdefault(key, Series())
        base = baseline(self._published, found.horizon_days) if self._published else None
        if series.add(found) and base is not None and series.due:
            said += self.latch.look(self._measure(series, base, found), cause)
        return said

    def unreadable(self, reason: str, cause: Cause) -> list[Event]:
        """Take note of a score that is none: it counts neither for nor against a drift."""
        problem = f"a forecast score of {self._strategy_id} is unknown: {reason}"
        return self._unknown.say(problem, cause)

    def lift(self, treatment: Treatment, muted_until: str | None, cause: Cause) -> list[Event]:
        """Let go of the episode; only days that are scored from here on count."""
        self._restart()
        return self.latch.lift(treatment, muted_until, cause)

    def _restart(self) -> None:
        self.latch.miss()
        for series in self._series.values():
            series.restart()

    def _problem(self, horizon_days: int) -> str | None:
        if self._published is None:
            return f"strategy {self._strategy_id} has no baseline, so its drift is unknown"
        if baseline(self._published, horizon_days) is None:
            return (
                f"the baseline of strategy {self._strategy_id} has neither a possible ic_mean and "
                f"ic_standard_deviation nor {MINIMUM_BASELINE_DAYS} daily coefficients that "
                "differ, so its drift is unknown"
            )
        return None

    def _measure(self, series: "Series", base: Baseline, found: ForecastScore) -> Measure:
        live, deviation = series.mean, series.deviation(found.horizon_days)
        z = zscore(live, series.days, deviation, base)
        multiple = RULES[DRIFT].hard_multiple
        title = (
            f"forecasts of strategy {self._strategy_id} rank worse than in its baseline: mean "
            f"coefficient {live:.4f} against {base.mean:.4f}, drift_zscore {z:.2f}"
        )
        return Measure(
            hit=z < THRESHOLD,
            hard=multiple is not None and z < multiple * THRESHOLD,
            times=z / THRESHOLD,
            statistic=z,
            threshold=THRESHOLD,
            statistic_name="drift_zscore",
            title=title,
            looked_at=f"{found.day}T00:00:00Z",
            samples=series.days,
            parameters=(
                Parameter(name="window_days", value=str(WINDOW_DAYS)),
                Parameter(name="horizon_days", value=str(found.horizon_days)),
                Parameter(name="baseline_mean", value=repr(base.mean)),
                Parameter(name="baseline_deviation", value=repr(base.deviation)),
                Parameter(name="baseline_days", value=str(base.days)),
                Parameter(name="deviation", value=repr(deviation)),
            ),
        )


class Series:
    """The newest daily coefficients of one horizon and method, in the order of their days."""

    def __init__(self) -> None:
        self._last_day = ""
        self._values: deque[float] = deque(maxlen=WINDOW_DAYS)
        self._taken = 0

    @property
    def days(self) -> int:
        """Number of days in the window."""
        return len(self._values)

    @property
    def mean(self) -> float:
        """Mean coefficient of the window; the exact sum, rounded once."""
        return math.fsum(self._values) / len(self._values)

    @property
    def due(self) -> bool:
        """Whether the newest day is one on which a look is made."""
        return self.days >= MINIMUM_DAYS and self._taken % LOOK_EVERY_DAYS == 0

    def deviation(self, horizon_days: int) -> float:
        """Long-run standard deviation of the days in the window."""
        return long_run_deviation(list(self._values), horizon_days)

    def add(self, found: ForecastScore) -> bool:
        """Take a day; returns False for one that is not after the one before."""
        if found.day <= self._last_day:
            return False
        self._last_day = found.day
        self._values.append(found.information_coefficient)
        self._taken += 1
        return True

    def restart(self) -> None:
        """Count from the next day on."""
        self._values.clear()
        self._taken = 0


def baseline(published: StrategyBaseline, horizon_days: int) -> Baseline | None:
    """Return mean and deviation of a baseline: as it states them, else from its daily values.

    None when it holds neither, or figures that no coefficient can have, which lies between -1 and
    1: then a drift is unknown.
    """
    mean, deviation = published.ic_mean, published.ic_standard_deviation
    daily, days = published.daily_information_coefficients or (), published.days
    if mean is None or deviation is None:
        if len(daily) < MINIMUM_BASELINE_DAYS:
            return None
        mean, days = math.fsum(daily) / len(daily), len(daily)
        deviation = long_run_deviation(daily, horizon_days)
    possible = -1 <= mean <= 1 and SMALLEST_DEVIATION <= deviation <= LARGEST_DEVIATION
    counted = days is None or 0 < days <= MOST_BASELINE_DAYS
    return Baseline(mean, deviation, days) if possible and counted else None


def zscore(mean: float, days: int, deviation: float, base: Baseline) -> float:
    """Return how many standard errors the mean of some days is above that of the baseline."""
    variance = max(deviation, base.deviation) ** 2 / days
    if base.days is not None:
        variance += base.deviation**2 / base.days
    return (mean - base.mean) / math.sqrt(variance)


def long_run_deviation(values: Sequence[float], horizon_days: int) -> float:
    """Return the standard deviation that counts for a mean: Newey and West's, or of full overlap.

    The larger of the two where forecasts are scored over more than a day: of n days each of which
    shares all but one with the next, a value varies as much as `horizon_days` independent ones.
    """
    found = newey_west(values, horizon_days)
    if horizon_days <= 1:
        return found
    mean = math.fsum(values) / len(values)
    daily = math.fsum((value - mean) ** 2 for value in values) / len(values)
    return max(found, math.sqrt(min(horizon_days, len(values)) * daily))


def newey_west(values: Sequence[float], horizon_days: int) -> float:
    """Return the long-run standard deviation of one value of a series, after Newey and West.

    variance = c0 + 2 * sum over lags j of (1 - j / (lags + 1)) * cj, with cj the autocovariance
    over n; lags = floor(4 (n / 100)^(2/9)) as in Newey and West 1994 (Review of Economic Studies
    61, 631-653), at least horizon_days - 1, fewer than n.
    """
    count = len(values)
    lags = min(max(horizon_days - 1, math.floor(4 * (count / 100) ** (2 / 9))), count - 1)
    mean = math.fsum(values) / count
    centred = [value - mean for value in values]

    def covariance(lag: int) -> float:
        return math.fsum(a * b for a, b in zip(centred[lag:], centred, strict=False)) / count

    weighted = (2 * (1 - lag / (lags + 1)) * covariance(lag) for lag in range(1, lags + 1))
    return math.sqrt(max(0.0, covariance(0) + math.fsum(weighted)))
