"""How often do vpin and position_anomaly cry wolf, and what do they miss?

An instrument-year is 252 days of 50 buckets after 50 days of history. Where the venue signs trades
the imbalance of a bucket is that of 25 trades of random side whose probability of being bought
varies from bucket to bucket (a normal, t(4) or GARCH series of little weight); where bars sign them
it is the mean of eight bars, each 2 Z(x) - 1 of a draw of that null. A strategy-month is 210 orders
after 250, log sizes from the null.
"""

import math
from bisect import bisect_left, insort

import numpy as np

from bench.nulls import NULLS
from operations.statistics.normal import cdf_of
from operations.watchdogs.position_anomaly import WINDOW, SizeLimits
from operations.watchdogs.vpin import HISTORY, VpinLimits

TITLE = "Flow and sizes of orders"
YEAR, DAY, VALUE = 252, 50, 50  # days, buckets of a day, buckets of a value
MONTH_ORDERS = 210
CHUNK = 100
SKEW = 0.05  # how much a null moves the probability that a trade was bought
FACTORS = (1.5, 2.0, 3.0, 5.0, 10.0)  # by which one order is larger, for the power


def imbalances(random: np.random.Generator, units: int, null: str, signed: bool) -> np.ndarray:
    """Draw |bought - sold| / volume of buckets, shape (units, buckets)."""
    buckets = YEAR * DAY + HISTORY
    if signed:
        drawn = NULLS[null](random, units, buckets)
        bought = random.binomial(25, np.clip(0.5 + SKEW * drawn, 0, 1))
        return np.abs(2 * bought / 25 - 1)
    drawn = NULLS[null](random, units, buckets * 8)
    found: np.ndarray = np.abs((2 * _normal(drawn) - 1).reshape(units, buckets, 8).mean(axis=2))
    return found


_GRID = np.linspace(-8, 8, 4001)
_VALUES = np.array([cdf_of(float(one)) for one in _GRID])


def _normal(values: np.ndarray) -> np.ndarray:
    return np.interp(values, _GRID, _VALUES)


def vpin_of(found: np.ndarray) -> np.ndarray:
    """Return VPIN at each bucket from the 50th on, shape (units, values)."""
    sums = np.cumsum(np.pad(found, ((0, 0), (1, 0))), axis=1)
    return (sums[:, VALUE:] - sums[:, :-VALUE]) / VALUE


def levels(values: np.ndarray, history: int = HISTORY) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of the `history` values before each that is below it, as vpin counts.

    And its distance from their median, in distances from there to their 99 % level.
    """
    found, distance = np.full((2, *values.shape), np.nan)
    for unit, row in enumerate(values):
        ordered: list[float] = []
        for place, value in enumerate(row.tolist()):
            before = min(place, history)
            if before:
                below = bisect_left(ordered, value)
                found[unit, place] = below / before
                median, upper = (ordered[math.ceil(q * before) - 1] for q in (0.5, 0.99))
                distance[unit, place] = (value - median) / max(upper - median, 1e-12)
            if place >= history:
                del ordered[bisect_left(ordered, float(row[place - history]))]
            insort(ordered, value)
    return found, distance


def episodes(
    values: np.ndarray, own: tuple[np.ndarray, np.ndarray], signed: bool, limits: VpinLimits
) -> np.ndarray:
    """Count what vpin raises in the last year of each unit, with its hysteresis."""
    level, distance = own
    counts = np.zeros(values.shape[0], int)
    raised = np.zeros(values.shape[0], bool)
    first = values.shape[1] - YEAR * DAY
    for place in range(values.shape[1]):
        if place < limits.minimum_buckets:
            continue
        high = signed | (values[:, place] > limits.high)
        out = (level[:, place] >= limits.own_level) & (distance[:, place] >= limits.own_margin)
        begins = ~raised & high & out
        counts += begins & (place >= first)
        raised = (raised | begins) & ~(level[:, place] < limits.exit_level)
    return counts


def scores(sizes: np.ndarray, limits: SizeLimits) -> tuple[np.ndarray, np.ndarray]:
    """Return the score of each order after the first WINDOW, and whether it is the largest."""
    logs = np.log(sizes)
    orders = sizes.shape[1]
    score, largest = [], []
    for place in range(WINDOW, orders):
        before = logs[:, place - WINDOW : place]
        middle = np.median(before, axis=1)
        spread = np.median(np.abs(before - middle[:, None]), axis=1) / 0.6744897501960817
        spread = np.maximum(spread, limits.smallest_deviation)
        score.append((logs[:, place] - middle) / spread)
        largest.append(logs[:, place] > before.max(axis=1))
    return np.column_stack(score), np.column_stack(largest)


def pages(score: np.ndarray, largest: np.ndarray, limits: SizeLimits) -> np.ndarray:
    """Count pages of each unit: every order that would be paged, episodes not joined."""
    found: np.ndarray = ((score >= limits.paged_score) & largest).sum(axis=1)
    return found


def section(units: int) -> str:
    """Measure everything; return the text of the section."""
    random = np.random.default_rng(20261129)
    lines = _vpin_lines(random, max(20, units // 50))
    return "\n".join([*lines, "", *_size_lines(random, units)])


def _vpin_lines(random: np.random.Generator, units: int) -> list[str]:
    limits = VpinLimits()
    lines = [
        (
            f"`vpin`, episodes per instrument-year while nothing is wrong; {units} "
            f"instrument-years each, {HISTORY:,} buckets of history, budget 1:"
        ),
        "",
        "| signed by | null | episodes a year (Monte-Carlo error) | bare rule, buckets above |",
        "|---|---|---|---|",
    ]
    for signed in (True, False):
        for null in NULLS:
            counts, above = [], []
            for _ in range(0, units, CHUNK):
                values = vpin_of(imbalances(random, min(units, CHUNK), null, signed))
                counts.append(episodes(values, levels(values), signed, limits))
                above.append(float((values > limits.high).mean()))
            one = np.concatenate(counts)
            error = one.std(ddof=1) / np.sqrt(one.size)
            how = "aggressors" if signed else "bars"
            lines.append(
                f"| {how} | {null} | {one.mean():.2f} ({error:.2f}) | {np.mean(above):.2%} |"
            )
    return lines


def _size_lines(random: np.random.Generator, units: int) -> list[str]:
    limits = SizeLimits()
    lines = [
        (
            f"`position_anomaly`, pages per strategy-month of {MONTH_ORDERS} orders; {units:,} "
            "strategy-months each, budget 1, and the part of single orders that is found when "
            "they are larger by a factor (deviation of log size 0.5):"
        ),
        "",
        "| null | pages a month (Monte-Carlo error) | listed | "
        + " | ".join(f"x {factor:g}" for factor in FACTORS) + " |",
        "|---|---|---|" + "---|" * len(FACTORS),
    ]  # fmt: skip
    for null in NULLS:
        counts, listed = [], []
        found = dict.fromkeys(FACTORS, 0.0)
        chunks = max(1, units // 1000)
        for _ in range(chunks):
            drawn = NULLS[null](random, min(units, 1000), WINDOW + MONTH_ORDERS)
            score, largest = scores(np.exp(0.5 * drawn), limits)
            counts.append(pages(score, largest, limits))
            listed.append(float((np.abs(score) >= limits.listed_deviations).mean()))
            for factor in FACTORS:
                more = drawn[:, : WINDOW + 1].copy()
                more[:, -1] += np.log(factor) / 0.5
                one = scores(np.exp(0.5 * more), limits)
                found[factor] += float(pages(*one, limits).mean()) / chunks
        one = np.concatenate(counts)
        error = one.std(ddof=1) / np.sqrt(one.size)
        power = " | ".join(f"{found[factor]:.2f}" for factor in FACTORS)
        lines.append(
            f"| {null} | {one.mean():.2f} ({error:.2f}) | {np.mean(listed):.1%} | {power} |"
        )
    return lines
