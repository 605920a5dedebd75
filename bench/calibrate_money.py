"""How often do the watchdogs of money cry wolf, and what do they miss?

A fund or strategy earns 0.05 % a day with a deviation of 1 % (a Sharpe ratio of 0.8 a year). It is
judged against a backtest of 504 days of its own kind, by its daily returns or by their moments
only. Where a backtest costs half a second, some units share one; the Monte-Carlo error says so.
"""

from typing import NamedTuple

import numpy as np

from bench import plot
from bench.nulls import ALPHA, BETA, NULLS, YEAR
from bench.plot import Panel
from operations.statistics.bands import growth_envelope, moments_sample, rolling_limits
from operations.statistics.volatility import TRADING_DAYS_PER_YEAR
from operations.watchdogs.portfolio_vol_dd import VolatilityLimits, multiples
from operations.watchdogs.predictive_health import LEVEL, HealthLimits
from operations.watchdogs.profits import EACH_SIDE, WINDOW_DAYS, YEAR_DAYS
from operations.watchdogs.strategy_watchdog import ProfitLimits, interval

TITLE = "Money"
MEAN, DEVIATION, BACKTEST_DAYS, SHARED = 0.0005, 0.01, 504, 200
NEWLINE = "\n"
LIMITS, HEALTH, PROFIT = VolatilityLimits(), HealthLimits(), ProfitLimits()
FALLS, BY_DAYS = (0.1, 0.25, 0.5, 0.75, 1.0), (20, 30, 60, 120, 180, YEAR)
TARGET = DEVIATION * np.sqrt(TRADING_DAYS_PER_YEAR)


class Sides(NamedTuple):
    """The first day on which each unit is found below and above; inf for never."""

    below: np.ndarray
    above: np.ndarray


def first_day(hits: np.ndarray) -> np.ndarray:
    """Return the number of the first day that hits, from 1; inf for none. Shape (units,)."""
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1.0, np.inf)


def volatility_days(returns: np.ndarray, limits: VolatilityLimits = LIMITS) -> np.ndarray:
    """Return the first day on which portfolio_vol_dd finds each fund; the first year is history."""
    plain, confirming = multiples(returns, TARGET, limits.capped_at)
    hits = (plain >= limits.enter_multiple) & (confirming >= limits.confirm_multiple)
    hits[:, : limits.minimum_returns - 1] = False
    return first_day(hits[:, YEAR:])


def rolling_days(
    live: np.ndarray, lower: np.ndarray, upper: np.ndarray, deviation: np.ndarray,
    multiple: float = PROFIT.enter_multiple,
) -> Sides:  # fmt: skip
    """Return the first day on which strategy_watchdog finds each strategy, from its 30th on.

    Limits have shape (units, 1).
    """
    return sides_at(rolling_distances(live, lower, upper, deviation), multiple)


def sides_at(distances: np.ndarray, multiple: float) -> Sides:
    """Return the first day on which the sum is so many times as far out as its limit."""
    below, above = first_day(distances < -multiple), first_day(distances > multiple)
    return Sides(below + WINDOW_DAYS - 1, above + WINDOW_DAYS - 1)


def rolling_distances(
    live: np.ndarray, lower: np.ndarray, upper: np.ndarray, deviation: np.ndarray
) -> np.ndarray:
    """Return at each look where the sum is: -1 at the lower limit, 0 in the middle, 1 above.

    A thousand units at a time, for the windows overlap.
    """
    parts = []
    for begin in range(0, len(live), 1000):
        some = slice(begin, begin + 1000)
        windows = np.lib.stride_tricks.sliding_window_view(live[some], WINDOW_DAYS, axis=1)
        low, high = interval(windows, lower[some], upper[some], deviation[some])
        parts.append((windows.sum(axis=-1) - (low + high) / 2) / ((high - low) / 2))
    return np.concatenate(parts)


def envelope_days(
    live: np.ndarray, lower: np.ndarray, upper: np.ndarray, deviation: float
) -> Sides:
    """Return the first day on which predictive_health finds each fund; all of logarithms."""
    logs = np.log1p(live)
    growth, n = np.cumsum(logs, axis=1), np.arange(1, live.shape[1] + 1)
    squares = np.cumsum(logs**2, axis=1) - growth**2 / n
    varies = np.sqrt(np.maximum(squares, 0) / np.maximum(n - 1, 1))
    reach = (upper - lower) / 2 * np.maximum(1, varies / deviation) * HEALTH.enter_multiple
    middle = (lower + upper) / 2
    return Sides(first_day(growth < middle - reach), first_day(growth > middle + reach))


def draw(random: np.random.Generator, null: str, units: int, days: int) -> np.ndarray:
    """Return daily returns of what is well."""
    return MEAN + DEVIATION * NULLS[null](random, units, days)


def strategies(units: int, null: str, published: str, fall: float = 0.0) -> Sides:
    """Judge strategies for a year; `fall` is what each day earns less, in deviations."""
    return sides_at(strategy_distances(units, null, published, fall), PROFIT.enter_multiple)


def strategy_distances(units: int, null: str, published: str, fall: float = 0.0) -> np.ndarray:
    """Return where each strategy is at each look of a year."""
    random = np.random.default_rng(2026)
    if published == "moments":
        past = draw(random, null, units, BACKTEST_DAYS)
        means, deviations = past.mean(axis=1)[:, None], past.std(axis=1, ddof=1)[:, None]
        unit = moments_sample(0.0, 1.0, BACKTEST_DAYS) * 0.01  # the limits are linear in both
        limits = rolling_limits(unit, WINDOW_DAYS, YEAR_DAYS, EACH_SIDE, mean_block=1.0)
        lower, upper = (
            WINDOW_DAYS * means + deviations * edge / 0.01 for edge in (limits.lower, limits.upper)
        )
    else:
        edges = []
        for seed in range(-(-units // SHARED)):
            past = draw(random, null, 1, BACKTEST_DAYS)[0]
            one = rolling_limits(past, WINDOW_DAYS, YEAR_DAYS, EACH_SIDE, seed=seed)
            edges += [(one.lower, one.upper, past.std(ddof=1))] * SHARED
        lower, upper, deviations = (column[:units, None] for column in np.array(edges).T)
    live = draw(random, null, units, YEAR) - fall * DEVIATION
    return rolling_distances(live, lower, upper, deviations)


def funds(units: int, null: str, published: str, fall: float = 0.0) -> Sides:
    """Judge funds for a year against envelopes of their backtests."""
    random = np.random.default_rng(2027)
    parts = []
    for seed in range(-(-units // SHARED)):
        past = draw(random, null, 1, BACKTEST_DAYS)[0]
        block = None
        if published == "moments":
            past = moments_sample(float(past.mean()), float(past.std(ddof=1)), BACKTEST_DAYS)
            block = 1.0
        envelope = growth_envelope(past, YEAR, LEVEL, mean_block=block, seed=seed)
        live = draw(random, null, min(SHARED, units - seed * SHARED), YEAR) - fall * DEVIATION
        edges = np.log(envelope.lower), np.log(envelope.upper)
        parts.append(envelope_days(live, *edges, np.log1p(past).std(ddof=1)))
    return Sides(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def share(found: np.ndarray, shared: int = 1) -> str:
    """Write the share of what was found, with its Monte-Carlo error by groups that share one."""
    groups = found[: found.size // shared * shared].reshape(-1, shared).mean(axis=1)
    return f"{found.mean():.2%} ± {groups.std(ddof=1) / np.sqrt(groups.size):.2%}"


def volatility_section(units: int) -> str:
    """Return what portfolio_vol_dd does."""
    random = np.random.default_rng(2028)
    rows = []
    for null in NULLS:
        returns = DEVIATION * NULLS[null](random, units, 2 * YEAR)
        days = volatility_days(returns)
        plain = volatility_days(returns, VolatilityLimits(confirm_multiple=0.0))
        true = crossed(returns) if null.startswith("GARCH") else np.zeros(units, bool)
        rows.append(
            f"| {null} | {share(np.isfinite(plain))} | {share(np.isfinite(days))} | "
            f"{share(np.isfinite(days) & ~true)} |"
        )
    power = []
    for times in (1.6, 2.0, 3.0):
        for null in ("normal", "t(4)"):
            returns = DEVIATION * NULLS[null](random, units // 2, 2 * YEAR)
            returns[:, YEAR:] *= times
            power.append(_power_row(f"{times} x, {null}", volatility_days(returns)))
    return f"""### portfolio_vol_dd

{units:,} fund-years, a year of history before each, exactly on target. Budget: 1 % beyond true
crossings (GARCH(1,1): its own volatility passes 1.5 times the target within the year).

| on target | 1.5 x alone | found within a year | without a true crossing |
|---|---|---|---|
{NEWLINE.join(rows)}

{_power_table("volatility rises to", power)}

Floor: twice the target is found within 60 days in at least .8 of the cases."""


def crossed(returns: np.ndarray) -> np.ndarray:
    """Whether the volatility of GARCH(1,1) itself passed the limit in the second year."""
    scaled = (returns / DEVIATION) ** 2
    variance, found = np.ones(len(returns)), np.zeros(len(returns), bool)
    for day in range(returns.shape[1]):
        variance = 1 - ALPHA - BETA + ALPHA * scaled[:, day] + BETA * variance
        if day >= YEAR:
            found |= variance >= LIMITS.enter_multiple**2
    return found


def _power_row(what: str, days: np.ndarray) -> str:
    middle = np.median(days)
    delay = f"{middle:.0f}" if np.isfinite(middle) else "more than a year"
    parts = " | ".join(f"{np.mean(days <= by):.1%}" for by in BY_DAYS)
    return f"| {what} | {parts} | {delay} |"


def _power_table(what: str, rows: list[str]) -> str:
    head = " | ".join(f"{by} days" for by in BY_DAYS)
    return f"""| {what} | {head} | median delay, days |
|---|{"---|" * (len(BY_DAYS) + 1)}
{NEWLINE.join(rows)}"""


def _sides_section(units: int, of) -> str:
    wrong = []
    for null in NULLS:
        for published in ("daily returns", "moments"):
            sides = of(units, null, published)
            shared = 1 if of is strategies and published == "moments" else SHARED
            either = np.isfinite(sides.below) | np.isfinite(sides.above)
            wrong.append(
                f"| {null} | {published} | {share(np.isfinite(sides.below), shared)} | "
                f"{share(np.isfinite(sides.above), shared)} | {share(either, shared)} |"
            )
    right = [
        _power_row(f"{fall} deviations", of(units // 4, "normal", "moments", fall).below)
        for fall in FALLS
    ]
    return f"""| nothing is wrong | baseline | below | above | either |
|---|---|---|---|---|
{NEWLINE.join(wrong)}

Found by then, of {units // 4:,} each (baseline of moments):

{_power_table("each day earns less by", right)}"""


def picture(units: int) -> str:
    """Draw what strategy_watchdog costs and finds for each width of its interval."""
    places = np.round(np.arange(0.6, 1.41, 0.05), 2).tolist()
    wrong, right, by_day = {}, {}, {}
    for null in NULLS:
        distances = strategy_distances(units, null, "daily returns")
        either = np.abs(distances).max(axis=1)
        wrong[null] = [(at, float(np.mean(either > at))) for at in places]
    for fall in FALLS:
        distances = strategy_distances(units // 4, "normal", "moments", fall)
        name = f"{fall} deviations a day less"
        right[name] = [(at, float(np.mean(distances.min(axis=1) < -at))) for at in places]
        days = sides_at(distances, PROFIT.enter_multiple).below
        by_day[name] = [(by, float(np.mean(days <= by))) for by in range(0, YEAR + 1, 12)]
    at, across = ("default", PROFIT.enter_multiple), "width of the interval (enter_multiple)"
    return plot.draw("strategy", "Profits of a strategy: well, and earning less each day", [
        Panel("well strategies found in a year", across, wrong, 0.4, at, ("budget 5 %", 0.05)),
        Panel("eroded strategies found in a year", across, right, 1.0, at, ("floor .8", 0.8)),
        Panel("found by day", "days since it earns less", by_day, 1.0, ("window", WINDOW_DAYS)),
    ])  # fmt: skip


def section(units: int) -> str:
    """Return this group's part of docs/calibration.md."""
    return f"""{volatility_section(units)}

### predictive_health

{units:,} fund-years against backtests of {BACKTEST_DAYS} days, {SHARED} funds to a backtest;
horizon {YEAR} days. Budget: 1 % per fund-year.

{_sides_section(units, funds)}

Floor: a fund that earns half a deviation a day less is found within a year in at least .8 of the
cases. An erosion of 0.25 is three standard errors of a whole year against such a backtest: a test
that looked once, at the end of the year, would find three quarters of them at this budget. The
envelope is looked at daily and holds for all days together, which costs two thirds of that.

### strategy_watchdog

{units:,} strategy-years against baselines of {BACKTEST_DAYS} days. Budget: 5 % per
strategy-year, both sides together.

{_sides_section(units, strategies)}

Floor: a strategy that earns half a deviation a day less is found within a year in at least .8 of
the cases, and within 60 days in half of them. Of 30 days an erosion of 0.25 is 1.4 standard errors:
windows of 30 days see fast failures, not slow ones. By the same formula one look at a whole year
would find nine in ten of those; drift of forecasts and the envelope of the fund look farther back.

{picture(units)}"""
