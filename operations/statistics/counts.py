"""How improbable is a count, when counts vary more than chance alone would let them?

Negative binomial with mean m and variance s^2 > m (moments of a trailing history without the count
that is judged): size k = m^2 / (s^2 - m), and its upper tail is an incomplete beta function,

    P(X >= x) = I_q(x, k),   q = m / (m + k)

(Johnson, Kemp & Kotz, Univariate Discrete Distributions, 2005, chapter 5). Above the mean by its
continued fraction (DLMF 8.17.22, modified Lentz) in logarithms, so p = 1e-400 is as good as
p = .1; below the mean from the sum of what is left. Where the history varies no more than a
Poisson's, it is Poisson: the limit of a very large k. A history of zeros only has no model:
nothing is said about how rare a story is.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from operations.errors import Rejected
from operations.statistics.normal import upper_tail_of
from operations.statistics.samples import Floats, at_least, known_sample

MINIMUM_BINS = 10
LEAST_MEAN, LARGEST_MEAN = 1e-9, 1e6
POISSON_SIZE = 1e12  # times the mean: the negative binomial with this size is the Poisson
_TINY, _PRECISION, _MOST_TERMS = 1e-300, 1e-15, 100_000
_LARGE = 1000.0  # from here on Stirling's series is exact to 1e-12


class CountModel(NamedTuple):
    """Mean and variance of counts in one bin; both above 0."""

    mean: float
    variance: float


def fit(history: ArrayLike, minimum: int = MINIMUM_BINS) -> CountModel | None:
    """Return mean and sample variance (divisor n - 1) of counts of shape (bins,), or None.

    None when bins are fewer than the minimum, a count is negative or not finite, or all are 0.
    """
    counts = known_sample(history, at_least(minimum, 2, "minimum"))
    if counts is None or float(counts.min()) < 0 or float(counts.max()) == 0:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        model = CountModel(float(counts.mean()), float(counts.var(ddof=1)))
    if not all(map(math.isfinite, model)):
        return None
    # Equal counts have no variance and are under-dispersed: Poisson, as all that vary too little.
    return CountModel(model.mean, max(model.variance, model.mean))


def log_upper_tail(count: float, model: CountModel) -> float | None:
    """Return log P(X >= count), at most 0; None for what `log_upper_tails` does not know."""
    found = float(log_upper_tails([count], [model.mean], [model.variance])[0])
    return found if math.isfinite(found) else None


def log_upper_tails(counts: ArrayLike, means: ArrayLike, variances: ArrayLike) -> Floats:
    """Return log P(X >= count) for each of the rows of shape (n,).

    A count between two whole numbers is rounded up. NaN where a number is not finite or a mean is
    outside of 1e-9 .. 1e6; a variance below the mean counts as the mean (Poisson).
    """
    rows = [np.asarray(row, np.float64) for row in (counts, means, variances)]
    x, mean, variance = (np.array(row) for row in np.broadcast_arrays(*rows))
    if x.ndim != 1:
        raise Rejected(f"counts, means and variances have shape {x.shape}; give rows of one length")
    found = np.full(x.shape, np.nan)
    known = (
        np.isfinite(x)
        & np.isfinite(mean)
        & np.isfinite(variance)
        & (mean >= LEAST_MEAN)
        & (mean <= LARGEST_MEAN)
    )
    found[known & (x <= 0)] = 0.0
    open_ = known & (x > 0)
    if open_.any():
        found[open_] = _tails(np.ceil(x[open_]), mean[open_], variance[open_])
    return found


def least_alarming_count(model: CountModel, log_probability: float) -> int:
    """Return the smallest count whose upper tail is below exp(log_probability) < 1."""
    if not -math.inf < log_probability < 0:
        raise Rejected(f"log_probability is {log_probability}; it is the log of a share below 1")

    def tail(count: int) -> float:
        return float(log_upper_tails([count], [model.mean], [model.variance])[0])

    low, high = 0, 1  # the tail at low is never below, the tail at high will be
    while tail(high) >= log_probability:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if tail(middle) < log_probability else (middle, high)
    return high


def log_tail_of_sigmas(sigmas: float) -> float:
    """Return log P(Z > sigmas) of a normal Z, so 5 gives log(2.87e-7); sigmas up to 38."""
    probability = upper_tail_of(sigmas)
    if not probability > 0:
        raise Rejected(f"{sigmas} sigmas have no probability that a number can hold; use up to 38")
    return math.log(probability)


def _tails(x: Floats, mean: Floats, variance: Floats) -> Floats:
    excess = variance - mean
    with np.errstate(divide="ignore", over="ignore"):
        size = np.where(excess > 0, mean * (mean / excess), np.inf)
    size = np.minimum(np.maximum(size, _TINY), POISSON_SIZE * np.maximum(mean, 1.0))
    q = mean / (mean + size)
    log_q, log_p = -np.log1p(size / mean), -np.log1p(mean / size)
    front = x * log_q + size * log_p + _log_rising(size, x)
    above = q < (x + 1) / (x + size + 2)  # where the fraction converges fast
    found = np.empty_like(x)
    found[above] = front[above] - np.log(x[above])
    found[above] += np.log(_fraction(x[above], size[above], q[above]))
    rest = ~above
    last = front[rest] - np.log(x[rest] - 1 + size[rest]) - log_q[rest]  # log P(X = x - 1)
    below = np.exp(last + np.log(_descending(x[rest], size[rest], q[rest])))
    found[rest] = np.log1p(-np.minimum(below, 1 - 1e-16))
    return np.minimum(found, 0.0)


def _descending(x: Floats, size: Floats, q: Floats) -> Floats:
    """Return P(X < x) / P(X = x - 1), from x - 1 down to 0; x is about the mean at most."""
    term, total = np.ones_like(x), np.ones_like(x)
    count = x - 1
    while bool(np.any((count > 0) & (term > total * _PRECISION * np.minimum(size, 1.0)))):
        term = np.where(count > 0, term * count / (np.maximum(count - 1 + size, _TINY) * q), 0.0)
        total = total + term
        count = count - 1
    return total


def _log_rising(size: Floats, x: Floats) -> Floats:
    """Return -log B(x, size) = log gamma(size + x) - log gamma(size) - log gamma(x)."""
    large = size > _LARGE
    found = np.empty_like(x)
    k, n = size[large], x[large]
    # Stirling's series, differences taken before they can cancel.
    found[large] = (k - 0.5) * np.log1p(n / k) + n * (np.log(k + n) - 1)
    found[large] += 1 / (12 * (k + n)) - 1 / (12 * k) - _log_gamma(n)
    k, n = size[~large], x[~large]
    found[~large] = _log_gamma(k + n) - _log_gamma(k) - _log_gamma(n)
    return found


def _log_gamma(values: Floats) -> Floats:
    return np.fromiter(map(math.lgamma, values.tolist()), np.float64, values.size)


def _fraction(a: Floats, b: Floats, x: Floats) -> Floats:
    """Return the continued fraction of I_x(a, b) without its front factor, for all rows at once."""
    numerator = np.ones_like(x)
    denominator = 1 / _not_zero(1 - (a + b) * x / (a + 1))
    value = denominator.copy()
    for m in range(1, _MOST_TERMS):
        twice = 2 * m
        for term in (
            m * (b - m) * x / ((a + twice - 1) * (a + twice)),
            -(a + m) * (a + b + m) * x / ((a + twice) * (a + twice + 1)),
        ):
            denominator = 1 / _not_zero(1 + term * denominator)
            numerator = _not_zero(1 + term / numerator)
            step = denominator * numerator
            value = value * step
        if bool(np.all(np.abs(step - 1) < _PRECISION * 10)):
            return value
    return np.where(np.abs(step - 1) < _PRECISION * 10, value, np.nan)


def _not_zero(values: Floats) -> Floats:
    return np.where(np.abs(values) < _TINY, _TINY, values)
