"""Where does a fund stay over a whole horizon, looked at every day, if its backtest is right?

A band for one day is left far too often when every day is looked at. So the whole path is judged:
paths of the backtest's returns are drawn (stationary bootstrap), each with a mean of its own, for
the backtest knows its mean only so well (parameter uncertainty: the mean of one more resample of
the backtest replaces its own), and limits are set on the extreme of each path.

- `growth_envelope`: sup-t band (Montiel Olea & Plagborg-Moller, J. Applied Econometrics 34, 2019)
  on log growth x(t): mean(t) +- c sd(t), c the level-quantile of max over t of |x - mean| / sd.
- `rolling_limits`: quantiles of the lowest and of the highest sum over a rolling window.

Returns are simple, per period, net of cash flows; periods of the backtest and of the horizon are
the same. The same arguments and seed give the same limits on every machine.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from operations.errors import Rejected
from operations.statistics.bootstrap import (
    MINIMUM_RETURNS,
    Draws,
    mean_block_length,
    stationary_places,
)
from operations.statistics.samples import Floats, at_least, known_sample, share

PATHS = 4000
_AT_ONCE = 250  # paths in memory
_LONGEST = 10_000
_BEYOND = 10  # paths that shall lie beyond a limit, so that it is not one path's accident


class Envelope(NamedTuple):
    """Growth since the start (1.0: unchanged) that the level's share of paths never leaves."""

    lower: Floats  # shape (horizon,): after 1, 2 ... periods
    upper: Floats
    multiplier: float  # c
    mean_block: float


class RollingLimits(NamedTuple):
    """Sums of returns over the window that a path goes beyond at some look with `each_side`."""

    lower: float
    upper: float
    mean_block: float


def growth_envelope(
    returns: ArrayLike,
    horizon: int,
    level: float = 0.99,
    paths: int = PATHS,
    mean_block: float | None = None,
    seed: int = 0,
) -> Envelope | None:
    """Return the simultaneous envelope of growth over 1 .. horizon periods, or None: unknown.

    Backtest returns have shape (n,). None when n < 60, a return is not finite or <= -1, or nothing
    varies. `mean_block` None takes `mean_block_length`. Rejected for too few paths for the level.
    """
    at_least(horizon, 1, "horizon")
    _enough_paths(paths, 1 - share(level, "level"))
    known = _backtest(returns, mean_block)
    if known is None:
        return None
    logs, block = np.log1p(known[0]), known[1]
    drawn = np.concatenate(list(_paths(logs, horizon, block, paths, seed)))
    growth = np.cumsum(drawn, axis=1)
    middle = np.arange(1, horizon + 1) * float(logs.mean())
    spread = np.sqrt(np.mean((growth - middle) ** 2, axis=0))
    if not float(spread.min()) > 0:
        return None
    furthest = np.max(np.abs(growth - middle) / spread, axis=1)
    multiplier = _upper_quantile(furthest, level)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        lower, upper = np.exp(middle - multiplier * spread), np.exp(middle + multiplier * spread)
    if not (math.isfinite(multiplier) and bool(np.isfinite(upper).all())):
        return None
    return Envelope(lower, upper, multiplier, block)


def rolling_limits(
    returns: ArrayLike,
    window: int,
    horizon: int,
    each_side: float,
    paths: int = PATHS,
    mean_block: float | None = None,
    seed: int = 0,
) -> RollingLimits | None:
    """Return limits for the sum of the last `window` returns, looked at every period, or None.

    Over `horizon` periods (horizon - window + 1 looks) a path that follows the backtest goes below
    the lower limit with probability `each_side`, and above the upper one with the same. Unknown as
    in `growth_envelope`; the sum is not compounded.
    """
    at_least(horizon, at_least(window, 1, "window"), "horizon")
    _enough_paths(paths, share(each_side, "each_side"))
    known = _backtest(returns, mean_block)
    if known is None:
        return None
    sample, block = known
    lowest, highest = [], []
    for drawn in _paths(sample, horizon, block, paths, seed):
        sums = np.cumsum(np.pad(drawn, ((0, 0), (1, 0))), axis=1)
        rolling = sums[:, window:] - sums[:, :-window]
        lowest.append(rolling.min(axis=1))
        highest.append(rolling.max(axis=1))
    lower = -_upper_quantile(-np.concatenate(lowest), 1 - each_side)
    return RollingLimits(lower, _upper_quantile(np.concatenate(highest), 1 - each_side), block)


def moments_sample(mean: float, standard_deviation: float, n: int) -> Floats | None:
    """Return n values with exactly these moments and heavy tails, or None: unknown.

    For a backtest of which only its moments are published: what it does not say of its tails is
    taken to be Student's t with 4 degrees of freedom, whose quantiles have a closed form. They come
    in order, so they are drawn one by one (`mean_block` 1). None when n < 60, a moment is not
    finite or the deviation not above 0. More than 10,000 days say nothing new about a mean.
    """
    moments = known_sample([mean, standard_deviation], 2)
    if moments is None or not standard_deviation > 0 or n < MINIMUM_RETURNS:
        return None
    count = min(n, _LONGEST)
    shares = (np.arange(count) + 0.5) / count
    root = np.sqrt(4 * shares * (1 - shares))
    scores = np.sign(shares - 0.5) * 2 * np.sqrt(np.cos(np.arccos(root) / 3) / root - 1)
    found: Floats = mean + standard_deviation * scores / float(scores.std(ddof=1))
    return found


def distance(value: float, lower: float, upper: float) -> float:
    """Return how far a value is from the middle of two limits: 0 there, 1 at either limit."""
    middle = (lower + upper) / 2
    if value < middle:
        return (middle - value) / (middle - lower)
    return (value - middle) / (upper - middle)


def _enough_paths(paths: int, beyond: float) -> None:
    if paths * beyond < _BEYOND * (1 - 1e-9):
        needed = math.ceil(_BEYOND / beyond)
        raise Rejected(f"{paths} paths leave fewer than {_BEYOND} beyond the limit; use {needed}")


def _backtest(returns: ArrayLike, mean_block: float | None) -> tuple[Floats, float] | None:
    sample = known_sample(returns, MINIMUM_RETURNS)
    if sample is None or float(sample.min()) <= -1 or sample.min() == sample.max():
        return None
    block = mean_block_length(sample) if mean_block is None else mean_block
    return None if block is None else (sample, block)


def _paths(sample: Floats, horizon: int, block: float, paths: int, seed: int) -> Iterator[Floats]:
    """Yield drawn returns (some paths, horizon), each path with a resampled mean."""
    draws, mean = Draws(seed), float(sample.mean())
    for begin in range(0, paths, _AT_ONCE):
        count = min(_AT_ONCE, paths - begin)
        again = sample[stationary_places(sample.size, sample.size, block, count, draws)]
        drawn = sample[stationary_places(sample.size, horizon, block, count, draws)]
        yield drawn + (again.mean(axis=1, keepdims=True) - mean)


def _upper_quantile(values: Floats, level: float) -> float:
    """Return the order statistic that a new value exceeds with at most 1 - level."""
    place = min(math.ceil(level * (values.size + 1) - 1e-9), values.size)
    return float(np.sort(values)[place - 1])
