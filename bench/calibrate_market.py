"""How often do vpin and position_anomaly cry wolf, and what do they miss?

An instrument-year is 252 days of 50 buckets after 50 days of history. Where the venue signs trades
the part of a bucket that was bought varies as that of 25 trades does, around a mean that varies
from bucket to bucket (a normal, t(4) or GARCH series of little weight); where bars sign them the
imbalance is the mean of two bars, each 2 Z(x) - 1 of a draw of that null. A strategy-month is 210
orders after 250, log sizes from the null.
"""

import math
from concurrent.futures import ProcessPoolExecutor
from statistics import NormalDist

import numpy as np
from scipy.special import ndtr

from bench.nulls import NULLS
from bench.plot import Panel, draw
from operations.watchdogs.position_anomaly import WINDOW, SizeLimits
from operations.watchdogs.vpin import HISTORY, VpinLimits

TITLE = "Flow and sizes of orders"
YEAR, DAY, VALUE = 252, 50, 50  # days, buckets of a day, buckets of a value
MONTH_ORDERS = 210
CHUNK, TOGETHER, TRADES = 100, 200, 25
POWER_UNITS, SHARES = 1_000, (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75)
FLOOR_SHARE = 0.5
FLOOR = """Floor: where half of the volume is on one side, at least .8 are found within a day. A
fifth and less is rarely told from chance; of bars, which say less than aggressors, a third."""
BARS = 2  # of a bucket: their values are then as high as those of bars of SPY, 0.33 on average
SKEW = 0.05  # how much a null moves the probability that a trade was bought
FACTORS = (1.5, 2.0, 3.0, 5.0, 10.0)  # by which one order is larger, for the power


def imbalances(
    random: np.random.Generator, units: int, null: str, signed: bool, days: int = YEAR * DAY,
    share: float = 0.0,
) -> np.ndarray:  # fmt: skip
    """Draw |bought - sold| / volume of buckets, shape (units, history and buckets after it).

    After the history `share` of the volume is bought by one side, and the rest as before.
    """
    buckets, after = days + HISTORY, np.arange(days + HISTORY) >= HISTORY
    if signed:
        drawn = NULLS[null](random, units, buckets)
        chance = np.clip(0.5 + SKEW * drawn, 0, 1)
        chance = np.where(after & (share > 0), share + (1 - share) * chance, chance)
        noise = np.sqrt(chance * (1 - chance) / TRADES) * random.standard_normal(chance.shape)
        return np.abs(2 * np.clip(chance + noise, 0, 1) - 1)
    drawn = NULLS[null](random, units, buckets * BARS)
    # A bar with so much drift is bought to this part on average: 2 Z(d / sqrt 2) - 1 = share.
    drift = np.sqrt(2) * NormalDist().inv_cdf((1 + share) / 2)
    drawn += np.repeat(np.where(after, drift, 0.0), BARS)
    found: np.ndarray = np.abs((2 * ndtr(drawn) - 1).reshape(units, buckets, BARS).mean(axis=2))
    return found


def vpin_of(found: np.ndarray) -> np.ndarray:
    """Return VPIN at each bucket from the 50th on, shape (units, values)."""
    sums = np.cumsum(np.pad(found, ((0, 0), (1, 0))), axis=1)
    return (sums[:, VALUE:] - sums[:, :-VALUE]) / VALUE


def suspects(values: np.ndarray, limits: VpinLimits) -> np.ndarray:
    """Return which values may be one-sided: all that are, and few others, shape (units, values).

    The values that the histories of two hundred neighbours have in common give bounds of what each
    history says: a level needs more of them below, and their order statistics lie on the safe side.
    """
    found = np.zeros(values.shape, bool)
    for begin in range(limits.minimum_buckets, values.shape[1], TOGETHER):
        last = min(begin + TOGETHER, values.shape[1]) - 1
        most = min(last, HISTORY)
        common, some = values[:, max(0, last - HISTORY) : begin], values[:, begin : last + 1]
        above = math.floor((1 - limits.own_level) * most + 1e-6)  # of a history, at most
        near = (common >= some.max(axis=1, keepdims=True)).sum(axis=1) <= above
        if not near.any():
            continue
        size, extreme = common.shape[1], math.floor(0.01 * most + 1e-6)
        places = [size - 1 - above, size - 1 - extreme, min(math.ceil(most / 2), size) - 1]
        ordered = np.partition(common[near], sorted(set(places)), axis=1)
        level, upper, median = (ordered[:, [place]] for place in places)
        least = limits.own_margin * upper - (limits.own_margin - 1) * median
        found[near, begin : last + 1] = (some[near] > level) & (some[near] >= least)
    return found


def level_of(row: np.ndarray, place: int) -> float:
    """Return the part of the history of a value that is below it, as vpin counts."""
    before = row[max(0, place - HISTORY) : place]
    return float(np.count_nonzero(before < row[place]) / before.size)


def one_sided(row: np.ndarray, place: int, signed: bool, limits: VpinLimits) -> bool:
    """Whether vpin calls a value one-sided."""
    value = row[place]
    if not (signed or value > limits.high) or level_of(row, place) < limits.own_level:
        return False
    before = row[max(0, place - HISTORY) : place]
    places = [math.ceil(part * before.size) - 1 for part in (0.5, 0.99)]
    median, upper = np.partition(before, places)[places]
    return bool(value - median >= limits.own_margin * (upper - median))


def episodes(values: np.ndarray, signed: bool, limits: VpinLimits) -> np.ndarray:
    """Count what vpin raises in the last year of each unit, with its hysteresis."""
    counts, first = np.zeros(len(values), int), values.shape[1] - YEAR * DAY
    if not signed and not (values > limits.high).any():
        return counts
    for unit, places in enumerate(map(np.flatnonzero, suspects(values, limits))):
        row, free = values[unit], 0
        for place in places.tolist():
            if place < free or not one_sided(row, place, signed, limits):
                continue
            counts[unit] += place >= first
            free = place + 1
            while free < row.size and level_of(row, free) >= limits.exit_level:
                free += 1
    return counts


def false_year(task: tuple[int, str, bool]) -> tuple[np.ndarray, float]:
    """Return episodes of some instrument-years, and the part of buckets above the bare limit."""
    seed, null, signed = task
    random = np.random.default_rng([20261129, seed])
    values = vpin_of(imbalances(random, CHUNK, null, signed))
    limits = VpinLimits()
    return episodes(values, signed, limits), float((values > limits.high).mean())


def delays(task: tuple[float, str, bool], units: int = POWER_UNITS) -> np.ndarray:
    """Return after how many buckets one-sided flow is found, inf for not within two days.

    `share` of the volume is on one side, the rest is as before; the history is a null.
    """
    share, null, signed = task
    random, limits = np.random.default_rng(7), VpinLimits()
    values = vpin_of(imbalances(random, units, null, signed, 2 * DAY, share))
    found = np.full(units, np.inf)
    for unit, row in enumerate(values):
        begin = row.size - 2 * DAY
        places = (p for p in range(begin, row.size) if one_sided(row, p, signed, limits))
        found[unit] = next(places, np.inf) - begin + 1
    return found


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
    with ProcessPoolExecutor() as pool:
        lines = [*_vpin_lines(pool, units), "", *_power_lines(pool)]
    return "\n".join([*lines, "", *_size_lines(random, units)])


def _vpin_lines(pool: ProcessPoolExecutor, units: int) -> list[str]:
    lines = [
        (
            f"`vpin`, episodes per instrument-year while nothing is wrong; {units:,} "
            f"instrument-years each, {HISTORY:,} buckets of history, budget 1:"
        ),
        "",
        "| signed by | null | episodes a year (Monte-Carlo error) | bare rule, buckets above |",
        "|---|---|---|---|",
    ]
    for signed in (True, False):
        for null in NULLS:
            tasks = [(seed, null, signed) for seed in range(-(-units // CHUNK))]
            counts, above = zip(*pool.map(false_year, tasks), strict=True)
            one = np.concatenate(counts)
            error = one.std(ddof=1) / np.sqrt(one.size)
            how = "aggressors" if signed else "bars"
            lines.append(
                f"| {how} | {null} | {one.mean():.3f} ({error:.3f}) | {np.mean(above):.2%} |"
            )
    return lines


def _power_lines(pool: ProcessPoolExecutor) -> list[str]:
    tasks = [(share, "normal", signed) for signed in (True, False) for share in SHARES]
    lines = [
        (
            f"From one bucket on a share of the volume is on one side; {POWER_UNITS:,} "
            "instruments each, normal null before and beside it. A day is 50 buckets:"
        ),
        "",
        "| signed by | one-sided | in half a day | in a day | in two days | delay, buckets |",
        "|---|---|---|---|---|---|",
    ]
    curves: dict[str, list[tuple[float, float]]] = {}
    late: dict[str, list[tuple[float, float]]] = {}
    for (share, _, signed), found in zip(tasks, pool.map(delays, tasks), strict=True):
        how = "aggressors" if signed else "bars"
        parts = [float(np.mean(found <= buckets)) for buckets in (DAY // 2, DAY, 2 * DAY)]
        middle = float(np.median(found))
        words = f"{middle:.0f}" if np.isfinite(middle) else "more than two days"
        cells = " | ".join(f"{part:.1%}" for part in parts)
        lines.append(f"| {how} | {share:.0%} | {cells} | {words} |")
        curves.setdefault(f"{how}, within a day", []).append((share, parts[1]))
        curves.setdefault(f"{how}, within two days", []).append((share, parts[2]))
        late.setdefault(how, []).append((share, middle))
    across, chosen = "part of the volume on one side", ("floor here", FLOOR_SHARE)
    picture = draw("vpin", "VPIN: one-sided flow that is found", [
        Panel("found", across, curves, 1.0, chosen, ("floor .8", 0.8)),
        Panel("median delay, buckets of 50 a day", across, late, 100, chosen, percent=False),
    ])  # fmt: skip
    return [*lines, "", FLOOR, "", picture]


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
