"""How often do drift_monitor, its halting half and news_spike cry wolf, and what do they miss?

A strategy-year is 252 daily coefficients around 0.03 with the deviation that so many independent
names have, judged against a baseline of 500 days; drifted, the mean is another from the first day
(of a count that is new) or from the first day of the second year (all windows full).
"""

from typing import NamedTuple

import numpy as np

from bench.nulls import NULLS, YEAR
from operations.halt import drift
from operations.statistics.newey_west import automatic_lags, long_run_variances
from operations.watchdogs.drift_monitor import DriftLimits

TITLE = "Forecasts and news"
MEAN, NAMES, BASELINE_DAYS, HORIZON = 0.03, 100, 500, 5
CHUNK = 2_000
NEWLINE = "\n"
LIMITS = DriftLimits()
HALT_LOOKS = 3
FALLS = ((20, 0.03), (50, 0.03), (100, 0.03), (200, 0.03), (100, 0.015), (100, 0.06))


class Strategies(NamedTuple):
    """Daily coefficients before and since, shapes (units, days)."""

    baseline: np.ndarray
    live: np.ndarray


def strategies(
    random: np.random.Generator, units: int, null: str, days: int = YEAR, names: int = NAMES,
    overlap: int = 1,
) -> Strategies:  # fmt: skip
    """Draw strategies that are well; with an overlap a day's coefficient is a mean over so many."""
    drawn = NULLS[null](random, units, BASELINE_DAYS + days + overlap - 1)
    if overlap > 1:
        sums = np.cumsum(np.pad(drawn, ((0, 0), (1, 0))), axis=1)
        drawn = (sums[:, overlap:] - sums[:, :-overlap]) / np.sqrt(overlap)
    drawn = MEAN + drawn / np.sqrt(names - 1)
    return Strategies(drawn[:, :BASELINE_DAYS], drawn[:, BASELINE_DAYS:])


def zscores(found: Strategies, limits: DriftLimits, overlap: int = 1) -> np.ndarray:
    """Return drift_zscore at each look, shape (units, looks), as drift_monitor computes it."""
    error = long_run_variances(found.baseline, automatic_lags(BASELINE_DAYS, overlap))
    columns = []
    every, days = limits.look_every_days, found.live.shape[1]
    for end in range(every, days + 1, every):
        window = found.live[:, max(0, end - limits.window_days) : end]
        n = window.shape[1]
        own = long_run_variances(window, automatic_lags(n, overlap))
        shift = window.mean(axis=1) - found.baseline.mean(axis=1)
        columns.append(shift / np.sqrt(own / n + error / BASELINE_DAYS))
    return np.column_stack(columns)


def day_of_finding(z: np.ndarray, threshold: float, in_a_row: int, every: int) -> np.ndarray:
    """Return the first day on which so many looks in a row are below a threshold; inf for none."""
    streak, day = np.zeros(len(z), int), np.full(len(z), np.inf)
    for look in range(z.shape[1]):
        streak = np.where(z[:, look] < threshold, streak + 1, 0)
        day = np.where(np.isinf(day) & (streak >= in_a_row), (look + 1) * every, day)
    return day


def halving_days(found: Strategies, overlap: int = 1, limits: DriftLimits = LIMITS) -> np.ndarray:
    """Return the day on which drift_monitor halves each strategy; inf for never."""
    z = zscores(found, limits, overlap)
    return day_of_finding(z, limits.halve_below, limits.looks_in_a_row, limits.look_every_days)


def halting_days(
    found: Strategies, overlap: int = 1, window: int = drift.WINDOW_DAYS,
    every: int = drift.LOOK_EVERY_DAYS,
) -> np.ndarray:  # fmt: skip
    """Return the day on which the worker `limits` halts each strategy; inf for never."""
    deviation = np.sqrt(long_run_variances(found.baseline, automatic_lags(BASELINE_DAYS, overlap)))
    sums = np.cumsum(np.pad(found.live, ((0, 0), (1, 0))), axis=1)
    ends = np.arange(1, found.live.shape[1] + 1)
    n = np.minimum(ends, window)
    shift = (sums[:, ends] - sums[:, ends - n]) / n - found.baseline.mean(axis=1)[:, None]
    z = shift / (deviation[:, None] / np.sqrt(n))
    looks = day_of_finding(z[:, every - 1 :: every], drift.THRESHOLD, HALT_LOOKS, every)
    hard = (z < 2 * drift.THRESHOLD) & (ends >= drift.MINIMUM_DAYS)
    alone = np.where(hard.any(axis=1), hard.argmax(axis=1) + 1, np.inf)
    return np.minimum(looks, alone)


RULES = {"halved (drift_monitor)": halving_days, "halted (limits)": halting_days}


def false_alarms(units: int) -> list[tuple[str, str, float]]:
    """Return null, rule and the part of well strategies that it finds within a year."""
    cases = [(null, 1) for null in NULLS] + [("normal", HORIZON)]
    found = []
    for null, overlap in cases:
        label = null if overlap == 1 else f"{null}, horizon of {overlap} days"
        days = _in_chunks(units, null, overlap=overlap)
        found += [(label, rule, float(np.isfinite(days[rule]).mean())) for rule in RULES]
    return found


def _in_chunks(
    units: int, null: str, *, fall: float = 0.0, names: int = NAMES, overlap: int = 1,
    healthy_days: int = 0,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Return the days of each rule for many units, a few at a time to save memory."""
    random = np.random.default_rng(2026)
    found: dict[str, list[np.ndarray]] = {rule: [] for rule in RULES}
    for begin in range(0, units, CHUNK):
        days = healthy_days + YEAR
        some = strategies(random, min(CHUNK, units - begin), null, days, names, overlap)
        some.live[:, healthy_days:] -= fall
        for rule, of in RULES.items():
            found[rule].append(of(some, overlap))
    return {rule: np.concatenate(parts) for rule, parts in found.items()}


def power(units: int) -> list[tuple[str, int, str, float, float, float]]:
    """Return rule, names, mean afterwards, share found anew and with full windows, median delay."""
    found = []
    for names, fall in (
        (20, 0.03),
        (50, 0.03),
        (100, 0.03),
        (200, 0.03),
        (100, 0.015),
        (100, 0.06),
    ):
        fresh = _in_chunks(units, "normal", fall=fall, names=names)
        full = _in_chunks(units, "normal", fall=fall, names=names, healthy_days=YEAR)
        for rule in RULES:
            late = full[rule][full[rule] > YEAR] - YEAR
            found.append((
                rule, names, f"{MEAN - fall:+.3f}", float(np.isfinite(fresh[rule]).mean()),
                float(np.isfinite(late).mean()), float(np.median(late)),
            ))  # fmt: skip
    return found


def share(part: float, units: int) -> str:
    """Write a share with its Monte-Carlo error, both in per cent."""
    return f"{part:.2%} ± {np.sqrt(part * (1 - part) / units):.2%}"


def drift_section(units: int) -> str:
    """Return what drift_monitor and the halting half do."""
    wrong = [
        f"| {null} | {rule} | {share(part, units)} |" for null, rule, part in false_alarms(units)
    ]
    right = [
        f"| {rule} | {names} | {to} | {fresh:.1%} | {full:.1%} | {_days(delay)} |"
        for rule, names, to, fresh, full, delay in power(units // 2)
    ]
    return f"""### drift_monitor, and the halt by the worker `limits`

{units:,} strategy-years each, {NAMES} names, baseline of {BASELINE_DAYS} days, IC {MEAN}; ± is the
Monte-Carlo error. Budgets: halved 5 %, halted 1 %.

| nothing is wrong | rule | found within a year |
|---|---|---|
{NEWLINE.join(wrong)}

Beyond its budget is the halt where coefficients come in calm and wild times, or overlap: it
compares with the deviation of the baseline alone, and one look beyond -4 is enough.

Power within a year, {units // 2:,} strategies each: of a new count that drifts from its first
scored day, and with full windows, after a year that was well.

| rule | names | IC 0.030 falls to | new count | full | median delay, full, scored days |
|---|---|---|---|---|---|
{NEWLINE.join(right)}"""


def _days(delay: float) -> str:
    return f"{delay:.0f}" if np.isfinite(delay) else "more than a year"


def section(units: int) -> str:
    """Return this group's part of docs/calibration.md."""
    return drift_section(units)
