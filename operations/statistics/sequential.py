"""How far may a running mean stray, when it is looked at after every period, for ever?

Asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, Annals of
Statistics 52, 2024; Robbins' normal mixture, 1970): with probability of at least 1 - alpha, as the
first look gets late, the mean of the first n values is never further on one side of the truth than

    sd * sqrt( 2 (n rho^2 + 1) / (n^2 rho^2) * log(1 + sqrt(n rho^2 + 1) / (2 alpha)) ),

at all n together. rho^2 = (-2 log a + log(1 - 2 log a)) / tuned_for with a = 2 alpha makes it
about tightest after `tuned_for` periods; any choice holds, as long as it is made beforehand.
No look is wasted and none is counted: stopping at the first breach is allowed.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from operations.errors import Rejected
from operations.statistics.newey_west import automatic_lags, long_run_variance
from operations.statistics.samples import Floats, at_least, known_sample, paths, positive, share

MINIMUM_VALUES = 30
TUNED_FOR = 252


class Bounds(NamedTuple):
    """The truth is below `lower` at some look with alpha at most, and so above `upper`."""

    lower: float
    upper: float
    n: int


def boundary(n: ArrayLike, alpha: float, tuned_for: float = TUNED_FOR) -> Floats:
    """Return how many standard deviations of one value the mean of n may stray to one side.

    n > 0 in any shape; alpha below .5 for that one side over all looks.
    """
    counts = np.asarray(n, np.float64)
    if share(alpha, "alpha") >= 0.5:
        raise Rejected(f"alpha is {alpha}; a bound that fails half of the time is none")
    if counts.size and not float(counts.min()) > 0:
        raise Rejected(f"a mean of {counts.min()} values has no bound; begin with 1")
    log_a = math.log(2 * alpha)
    rho_squared = (-2 * log_a + math.log1p(-2 * log_a)) / positive(tuned_for, "tuned_for")
    scaled = counts * rho_squared + 1
    width: Floats = np.sqrt(
        2 * scaled / (counts * counts * rho_squared) * np.log1p(np.sqrt(scaled) / (2 * alpha))
    )
    return width


def mean_bounds(
    values: ArrayLike,
    alpha: float,
    tuned_for: float = TUNED_FOR,
    standard_deviation: float | None = None,
    minimum: int = MINIMUM_VALUES,
) -> Bounds | None:
    """Return bounds of the true mean from all values so far, shape (n,), in their unit, or None.

    `standard_deviation` is a long-run one that is known beforehand; None takes Newey and West's
    from the values (automatic lags). None when n < minimum, a value is not finite or nothing
    varies. The values begin where the watch began: a rolling window is not a sequence
    (`bands.rolling_limits` is for windows).
    """
    sample = known_sample(values, at_least(minimum, 2, "minimum"))
    if sample is None:
        return None
    if standard_deviation is None:
        variance = long_run_variance(sample, automatic_lags(sample.size), minimum)
        if variance is None:
            return None
        spread = math.sqrt(variance)
    else:
        spread = positive(standard_deviation, "standard_deviation")
    middle = float(sample.mean())
    width = spread * float(boundary(sample.size, alpha, tuned_for))
    return Bounds(middle - width, middle + width, sample.size)


def lower_crossings(
    values: ArrayLike,
    truth: float,
    standard_deviation: float,
    alpha: float,
    tuned_for: float = TUNED_FOR,
    minimum: int = MINIMUM_VALUES,
) -> Floats:
    """Return after how many values each row's mean is first too low, shape (...,), NaN: never.

    Rows (..., t) are judged against a mean and a long-run standard deviation known beforehand, from
    the minimum on; a row counts until its first value that is not finite.
    """
    rows = paths(values, "values")
    n = np.arange(1, rows.shape[-1] + 1)
    limit = truth - positive(standard_deviation, "standard_deviation") * boundary(
        n, alpha, tuned_for
    )
    with np.errstate(over="ignore", invalid="ignore"):
        means = np.cumsum(np.where(np.isfinite(rows), rows, np.nan), axis=-1) / n
        low = (means < limit) & (n >= minimum)
    found: Floats = np.where(low.any(axis=-1), np.argmax(low, axis=-1) + 1.0, np.nan)
    return found
