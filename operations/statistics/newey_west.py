"""How uncertain is a mean, when neighbours in time resemble each other?

The long-run variance with Bartlett weights (Newey & West, Econometrica 55, 1987), mean removed,
autocovariances divided by n and no correction for small samples (as statsmodels' HAC by default):

    long-run variance = g(0) + 2 sum over j = 1..L of (1 - j / (L + 1)) g(j)
    standard error of the mean = sqrt(long-run variance / n)

Lags L: floor(4 (n / 100)^(2/9)), the rule of thumb after Newey & West (1994), at most n - 1. What
overlaps over h periods needs at least h - 1. Even then the weights taper what a full overlap adds:
of independent changes, each counted in h values, the long-run variance is h g(0), of which they
leave two thirds for h = 5. `overlapping_variances` takes at least that.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from operations.statistics.samples import Floats, at_least, known_sample, paths

MINIMUM_VALUES = 20


def automatic_lags(n: int, overlap: int = 1) -> int:
    """Return L for n values, each of which overlaps over `overlap` periods (1: not at all)."""
    at_least(overlap, 1, "overlap")
    rule = math.floor(4.0 * math.pow(at_least(n, 1, "n") / 100, 2 / 9))
    return min(max(rule, overlap - 1), n - 1)


def long_run_variances(values: ArrayLike, lags: int) -> Floats:
    """Return the long-run variance of each row, shape (...,), values (..., t), 0 <= lags < t.

    In the unit of the values squared. NaN for a row that is not finite.
    """
    rows = paths(values, "values")
    n = at_least(rows.shape[-1], at_least(lags, 0, "lags") + 1, "the number of values")
    with np.errstate(over="ignore", invalid="ignore"):
        centred = rows - rows.mean(axis=-1, keepdims=True)
        total = np.sum(centred * centred, axis=-1)
        for lag in range(1, lags + 1):
            products = np.sum(centred[..., lag:] * centred[..., :-lag], axis=-1)
            total = total + 2 * (1 - lag / (lags + 1)) * products
        found: Floats = np.asarray(total / n, dtype=np.float64)
        return np.where(np.isfinite(found), found, np.nan)


def overlapping_variances(values: ArrayLike, overlap: int) -> Floats:
    """Return the long-run variance of each row, shape (...,), with `automatic_lags`.

    Of values that each overlap over so many periods it is at least that of a full overlap. NaN for
    a row that is not finite; `overlap` 1 is none.
    """
    rows = paths(values, "values")
    n = rows.shape[-1]
    found = long_run_variances(rows, automatic_lags(n, overlap))
    if overlap == 1:
        return found
    least = min(overlap, n) * long_run_variances(rows, 0)
    return np.asarray(np.maximum(found, least), dtype=np.float64)


def long_run_variance(
    values: ArrayLike, lags: int | None = None, minimum: int = MINIMUM_VALUES
) -> float | None:
    """Return the long-run variance of values of shape (n,), or None: unknown.

    `lags` None takes `automatic_lags(n)`. None when n < minimum (or n <= lags), a value is not
    finite, or nothing varies: a mean without any noise is not a measurement.
    """
    sample = known_sample(values, at_least(minimum, 2, "minimum"))
    if sample is None or (lags is not None and sample.size <= lags):
        return None
    if sample.min() == sample.max():
        return None
    used = automatic_lags(sample.size) if lags is None else lags
    found = float(long_run_variances(sample, used))
    return found if found > 0 else None


def standard_error(
    values: ArrayLike, lags: int | None = None, minimum: int = MINIMUM_VALUES
) -> float | None:
    """Return the standard error of the mean of values of shape (n,), or None: unknown."""
    variance = long_run_variance(values, lags, minimum)
    return None if variance is None else math.sqrt(variance / np.size(values))


def shift_z(
    live: ArrayLike,
    baseline: ArrayLike,
    lags: int | None = None,
    minimum: int = MINIMUM_VALUES,
) -> float | None:
    """Return how many standard errors the mean of live is above that of the baseline, or None.

    (mean live - mean baseline) / sqrt(se_live^2 + se_baseline^2), rows of shapes (n,) and (m,),
    taken as independent of each other. `lags` holds for both.
    """
    live_error = standard_error(live, lags, minimum)
    baseline_error = standard_error(baseline, lags, minimum)
    if live_error is None or baseline_error is None:
        return None
    shift = float(np.mean(np.asarray(live, np.float64)) - np.mean(np.asarray(baseline, np.float64)))
    score = shift / math.hypot(live_error, baseline_error)
    return score if math.isfinite(score) else None
