"""How often do drift_monitor and the halting look at drift cry wolf, and what do they miss?

A strategy-year is 252 daily coefficients around 0.03 with the deviation that so many independent
names have, judged against a baseline of 500 days of its own kind. It is the first year of a count,
or the second: then all windows are full. Drifted, the mean is another from the first day of it.
"""

from typing import NamedTuple

import numpy as np

from bench.nulls import NULLS, YEAR
from bench.plot import Panel, draw
from operations.halt import drift
from operations.halt.policy import RULES
from operations.statistics.newey_west import overlapping_variances
from operations.watchdogs.drift_monitor import DriftLimits

TITLE = "Forecasts: drift_monitor, and the halt by the worker `limits`"
MEAN, NAMES, BASELINE_DAYS, HORIZON = 0.03, 100, 500, 5
CHUNK = 2_000
NEWLINE = "\n"
LIMITS = DriftLimits()
RULE = RULES[drift.DRIFT]
ALONE = (RULE.hard_multiple or 0.0) * drift.THRESHOLD  # one look below is enough
CASES = [(null, overlap) for overlap in (1, HORIZON) for null in NULLS]
FALLS = ((20, 0.03), (50, 0.03), (100, 0.03), (200, 0.03), (100, 0.015), (100, 0.06))
HALVED, HALTED = "halved (drift_monitor)", "halted (limits)"


class Strategies(NamedTuple):
    """Daily coefficients before and since, shapes (units, days)."""

    baseline: np.ndarray
    live: np.ndarray


class Years(NamedTuple):
    """For each unit the day on which it is found, counted from the first day of a year.

    `first` of the year in which the count begins, `second` of the year after one that was well, of
    those units only that were not found in it; inf for never.
    """

    first: np.ndarray
    second: np.ndarray


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


def halving_z(found: Strategies, overlap: int = 1, limits: DriftLimits = LIMITS) -> np.ndarray:
    """Return drift_zscore at each look, shape (units, looks), as drift_monitor computes it."""
    error = overlapping_variances(found.baseline, overlap)
    columns = []
    every, days = limits.look_every_days, found.live.shape[1]
    for end in range(every, days + 1, every):
        window = found.live[:, max(0, end - limits.window_days) : end]
        n = window.shape[1]
        own = overlapping_variances(window, overlap)
        shift = window.mean(axis=1) - found.baseline.mean(axis=1)
        columns.append(shift / np.sqrt(own / n + error / BASELINE_DAYS))
    return np.column_stack(columns)


def halting_z(
    found: Strategies, overlap: int = 1, window: int = drift.WINDOW_DAYS,
    every: int = drift.LOOK_EVERY_DAYS,
) -> np.ndarray:  # fmt: skip
    """Return drift_zscore at each look of the worker `limits`, +inf below its minimum sample."""
    base = overlapping_variances(found.baseline, overlap)
    columns = []
    for end in range(every, found.live.shape[1] + 1, every):
        days = found.live[:, max(0, end - window) : end]
        n = days.shape[1]
        if n < drift.MINIMUM_DAYS:
            columns.append(np.full(len(days), np.inf))
            continue
        variance = np.maximum(overlapping_variances(days, overlap), base) / n + base / BASELINE_DAYS
        columns.append((days.mean(axis=1) - found.baseline.mean(axis=1)) / np.sqrt(variance))
    return np.column_stack(columns)


def day_of_finding(z: np.ndarray, threshold: float, in_a_row: int, every: int) -> np.ndarray:
    """Return the first day on which so many looks in a row are below a threshold; inf for none."""
    below = steady(z, in_a_row) < threshold
    return np.where(below.any(axis=1), (below.argmax(axis=1) + 1.0) * every, np.inf)


def steady(z: np.ndarray, in_a_row: int) -> np.ndarray:
    """Return at each look the highest of the last so many, +inf before there are as many."""
    padded = np.pad(z, ((0, 0), (in_a_row - 1, 0)), constant_values=np.inf)
    found: np.ndarray = np.lib.stride_tricks.sliding_window_view(padded, in_a_row, axis=1).max(-1)
    return found


def halving_days(found: Strategies, overlap: int = 1, limits: DriftLimits = LIMITS) -> np.ndarray:
    """Return the day on which drift_monitor halves each strategy; inf for never."""
    z = halving_z(found, overlap, limits)
    return day_of_finding(z, limits.halve_below, limits.looks_in_a_row, limits.look_every_days)


def halting_days(
    found: Strategies, overlap: int = 1, alone: float = ALONE, every: int = drift.LOOK_EVERY_DAYS
) -> np.ndarray:
    """Return the day on which the worker `limits` halts each strategy; inf for never."""
    z = halting_z(found, overlap, every=every)
    return np.minimum(
        day_of_finding(z, drift.THRESHOLD, RULE.confirmations, every),
        day_of_finding(z, alone, 1, every),
    )


DAYS = {HALVED: halving_days, HALTED: halting_days}


def years(days: np.ndarray) -> Years:
    """Divide days of two years."""
    return Years(np.where(days <= YEAR, days, np.inf), days[days > YEAR] - YEAR)


def chunks(units: int, null: str, *, names: int = NAMES, overlap: int = 1, days: int = 2 * YEAR):
    """Draw many strategies, a few at a time to save memory; each call draws the same."""
    random = np.random.default_rng(2026)
    for begin in range(0, units, CHUNK):
        yield strategies(random, min(CHUNK, units - begin), null, days, names, overlap)


def fallen(found: Strategies, fall: float, healthy_days: int) -> Strategies:
    """Return them with so much less from a day on, for a year."""
    live = found.live[:, : healthy_days + YEAR].copy()
    live[:, healthy_days:] -= fall
    return found._replace(live=live)


def false_alarms(units: int) -> list[str]:
    """Return the rows of null, rule, and the parts of well strategies found in a year."""
    rows = []
    for null, overlap in CASES:
        label = null if overlap == 1 else f"{null}, horizon of {overlap} days"
        for rule, of in DAYS.items():
            days = np.concatenate(
                [of(some, overlap) for some in chunks(units, null, overlap=overlap)]
            )
            first, second = (share(np.isfinite(each)) for each in years(days))
            rows.append(f"| {label} | {rule} | {first} | {second} |")
    return rows


def power(units: int) -> list[str]:
    """Return the rows of what is found of strategies whose coefficient fell."""
    rows = []
    for names, fall in FALLS:
        for rule, of in DAYS.items():
            new, full = [], []
            for some in chunks(units, "normal", names=names):
                new.append(of(fallen(some, fall, 0)))
                full.append(of(fallen(some, fall, YEAR)))
            first, second = years(np.concatenate(new)).first, years(np.concatenate(full)).second
            rows.append(
                f"| {rule} | {names} | {MEAN - fall:+.3f} | {np.isfinite(first).mean():.1%} | "
                f"{np.isfinite(second).mean():.1%} | {median(first)} | {median(second)} |"
            )
    return rows


def share(found: np.ndarray) -> str:
    """Write the share of what was found with its Monte-Carlo error, both in per cent."""
    part = found.mean()
    return f"{part:.2%} ± {np.sqrt(part * (1 - part) / found.size):.2%}"


def median(days: np.ndarray) -> str:
    """Write the median delay in scored days."""
    middle = np.median(days)
    return f"{middle:.0f}" if np.isfinite(middle) else "more than a year"


def picture(units: int) -> str:
    """Draw what the halt costs and finds at each threshold of a single look; return its line."""
    places = np.round(np.arange(-4.0, -1.99, 0.1), 2)
    chosen = ("chosen", ALONE)

    def found_at(days_of, year: int) -> list[tuple[float, float]]:
        return [(at, float(np.isfinite(years(days_of[at])[year]).mean())) for at in places]

    wrong, right, late = {}, {}, {}
    for null, overlap in CASES[: len(NULLS) + 1]:
        label = null if overlap == 1 else f"{null}, horizon of {overlap} days"
        wrong[label] = found_at(_at_each(chunks(units, null, overlap=overlap), overlap, places), 0)
    for names in (50, 100, 200):
        some = (fallen(each, MEAN, YEAR) for each in chunks(units, "normal", names=names))
        days = _at_each(some, 1, places)
        right[f"{names} names, full windows"] = found_at(days, 1)
        late[f"{names} names, full windows"] = [
            (at, float(np.median(years(days[at]).second))) for at in places
        ]
    across = "drift_zscore below which one look halts"
    return draw("drift", "Drift that halts: well strategies, and an IC that fell from 0.03 to 0", [
        Panel("well, halted in a year", across, wrong, 0.04, chosen, ("budget 1 %", 0.01)),
        Panel("drifted, halted in a year", across, right, 1.0, chosen, ("floor .8", 0.8)),
        Panel("median delay, scored days", across, late, 280, chosen, percent=False),
    ])  # fmt: skip


def _at_each(some, overlap: int, places: np.ndarray) -> dict[float, np.ndarray]:
    """Return the days of the halt at each threshold of a single look."""
    z = np.concatenate([halting_z(each, overlap) for each in some])
    every = drift.LOOK_EVERY_DAYS
    steadily = day_of_finding(z, drift.THRESHOLD, RULE.confirmations, every)
    return {at: np.minimum(steadily, day_of_finding(z, at, 1, every)) for at in places.tolist()}


def section(units: int) -> str:
    """Return this group's part of docs/calibration.md."""
    return f"""{units:,} strategy-years each, {NAMES} names, baseline of {BASELINE_DAYS} days,
IC {MEAN}; ± is the Monte-Carlo error. Budgets: halved 5 %, halted 1 %, in the first year of a count
and in the second.

What a null means for a series of coefficients: the mean stays at that of the baseline, and the
deviation of a day is what so many independent names have. With GARCH(1,1) that deviation comes in
calm and wild times, as when names move together; the mean still stays. The parameters are those
of daily returns (0.08, 0.9). That is harsher than real: fitted to 7,807 daily coefficients of
20 stocks (momentum, 1992 to 2022) they are 0.03 and 0.96, with a kurtosis of 2.6. "Horizon of 5
days": each coefficient is a mean over five days, of which the next one shares four.

| nothing is wrong | rule | first year | second year |
|---|---|---|---|
{NEWLINE.join(false_alarms(units))}

Power within a year, {units // 2:,} strategies each: of a new count that drifts from its first
scored day, and with full windows, after a year that was well. Floor: .8 where the IC of 100 names
falls from 0.03 to 0. Delays are medians, in scored days.

| rule | names | IC 0.030 falls to | new count | full windows | delay, new | delay, full |
|---|---|---|---|---|---|---|
{NEWLINE.join(power(units // 2))}

{picture(units // 2)}

The settings are those of decision [24](decisions/0024-how-drift-halts-within-its-budget.md)."""
