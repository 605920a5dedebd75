"""How often do drift_monitor, its halting half and news_spike cry wolf, and what do they miss?

A strategy-year is 252 daily coefficients around 0.03 with the deviation that so many independent
names have, judged against a baseline of 500 days; drifted, the mean is another from the first day
(of a count that is new) or from the first day of the second year (all windows full).
"""

from typing import NamedTuple

import labelled_news
import numpy as np
from real_data import DATA
from scipy.stats import chi2

from bench.nulls import NULLS, YEAR
from operations.halt import drift
from operations.statistics.newey_west import automatic_lags, long_run_variances
from operations.statistics.surprise import log_surprises, near_time_of_day
from operations.watchdogs.drift_monitor import DriftLimits
from operations.watchdogs.news_spike import HISTORY_HOURS, NewsLimits

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


def ticker_days(units: int, busy: float) -> tuple[int, float]:
    """Return spikes of news_spike among over-dispersed hours, and the number of ticker-days.

    A unit is a ticker-month; hours vary over the day and 2.2 times as much as chance, as measured
    on real counts. Only the highest hours are judged: the others cannot be spikes.
    """
    random = np.random.default_rng(7)
    before = HISTORY_HOURS
    near = near_time_of_day(np.arange(before, 0, -1) * 3600)
    profile = 1 + 0.8 * np.sin(np.arange(2 * before) * 2 * np.pi / 24)
    spikes = 0
    for _ in range(units):
        mean = busy * profile
        counts = random.poisson(random.gamma(mean / 1.2, 1.2))
        judged = before + np.flatnonzero(counts[before:] > 3 * busy + 3)
        if len(judged):
            histories = np.stack([counts[at - before : at] for at in judged])
            chances = log_surprises(counts[judged], histories, near)
            spikes += int((chances < np.log(NewsLimits().tail_probability)).sum())
    return spikes, units * before / 24


def news_section(units: int) -> str:
    """Return what news_spike does without news, and on labelled news where that is at hand."""
    months = units // 10
    quiet = []
    for busy in (0.1, 1.0, 10.0):
        spikes, days = ticker_days(months, busy)
        quiet.append(f"| {busy:g} | {spikes} | {days:,.0f} | {spikes / days:.6f} |")
    return f"""### news_spike

Nothing is wrong: {months:,} ticker-months each of over-dispersed hours (negative binomial, variance
2.2 times the mean, busy and quiet times of the day), tail 2.9e-7. Budget: .03 per ticker-day.

| stories an hour | spikes | ticker-days | per ticker-day |
|---|---|---|---|
{NEWLINE.join(quiet)}

{labelled_section()}"""


def labelled_section() -> str:
    """Return recall and false positives on the labelled mentions of five tickers."""
    if not DATA.exists():
        return "Labelled news was not measured: its data are not beside the checkout."
    lines = []
    for width, tail in ((300, 1e-4), (3600, 1e-4), (300, 2.9e-7), (3600, 2.9e-7)):
        found = labelled_news.score(width, tail)
        low, high = wilson(found.found, found.windows)
        least, most = exact_rate(found.false, found.days)
        share_found = f"{found.found}/{found.windows} ({low:.2f} to {high:.2f})"
        rate = f"{found.false / found.days:.3f} ({least:.3f} to {most:.3f})"
        chance = f"{found.by_chance:.2f}"
        lines.append(f"| {width // 60} min | {tail:g} | {share_found} | {rate} | {chance} |")
    return f"""Labelled news: mentions of five tickers in 2015 (Numenta Anomaly Benchmark),
14 trailing days, current bin excluded, alerts within 6 hours merged, 11 usable windows in 205
ticker-days. Intervals of 95 % (Wilson; exact Poisson). By chance: as many alerts at random times.
The rule (within 8 hours of the time of day, the top 0.2 % capped) was chosen on these same windows,
as there are no others: read the intervals, not the shares.

| bin | tail | windows found | false per ticker-day | found by chance |
|---|---|---|---|---|
{NEWLINE.join(lines)}"""


def wilson(found: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % interval of a share after Wilson (1927)."""
    centre = (found + z * z / 2) / (of + z * z)
    half = z * np.sqrt(found * (of - found) / of + z * z / 4) / (of + z * z)
    return float(centre - half), float(centre + half)


def exact_rate(events: int, units: float) -> tuple[float, float]:
    """Return the exact 95 % interval of a Poisson rate (Garwood 1936)."""
    low = chi2.ppf(0.025, 2 * events) / 2 if events else 0.0
    return float(low / units), float(chi2.ppf(0.975, 2 * events + 2) / 2 / units)


def section(units: int) -> str:
    """Return this group's part of docs/calibration.md."""
    return f"{drift_section(units)}\n\n{news_section(units)}"
