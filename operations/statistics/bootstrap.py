"""Resampling a series so that neighbours stay neighbours, with the same draw on every machine.

Stationary bootstrap (Politis & Romano, JASA 89, 1994): blocks that begin anywhere, of geometric
length with a given mean, around the end of the series to its beginning. Mean block length by
Politis & White (Econometric Reviews 23, 2004) as corrected by Patton, Politis & White (2009).

Draws come from the raw words of PCG64, which numpy promises never to change; its own
distributions may change between versions.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from operations.errors import Rejected
from operations.statistics.samples import Floats, Integers, at_least, known_sample

MINIMUM_RETURNS = 60


class Draws:
    """Uniform numbers from a seed, in an order that is part of every result."""

    def __init__(self, seed: int) -> None:
        self._words = np.random.PCG64(at_least(seed, 0, "seed"))

    def uniform(self, rows: int, columns: int) -> Floats:
        """Return numbers in [0, 1) of shape (rows, columns), 53 bits each."""
        words = self._words.random_raw(rows * columns).reshape(rows, columns)
        found: Floats = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return found


def stationary_places(n: int, length: int, mean_block: float, paths: int, draws: Draws) -> Integers:
    """Return places 0 .. n - 1 of shape (paths, length): which value follows which."""
    at_least(n, 1, "n")
    if not 1 <= mean_block < math.inf:
        raise Rejected(f"mean_block is {mean_block}; it is a length of 1 or more")
    begins = draws.uniform(paths, length) < 1 / mean_block
    begins[:, 0] = True
    starts = (draws.uniform(paths, length) * n).astype(np.int64)
    steps = np.arange(length)
    since = np.maximum.accumulate(np.where(begins, steps, 0), axis=1)
    places: Integers = (np.take_along_axis(starts, since, axis=1) + steps - since) % n
    return places


def mean_block_length(returns: ArrayLike, minimum: int = MINIMUM_RETURNS) -> float | None:
    """Return the mean block length for the mean of returns of shape (n,), in periods, >= 1.

    None when n < minimum, a return is not finite, or nothing varies.
    """
    sample = known_sample(returns, at_least(minimum, 20, "minimum"))
    if sample is None or sample.min() == sample.max():
        return None
    n = sample.size
    centred = (sample - sample.mean()) / float(np.max(np.abs(sample)))
    run = max(5, int(math.log10(n)))
    furthest = math.ceil(math.sqrt(n)) + run
    # Autocorrelations are taken within what both ends share, autocovariances over all of n.
    products = np.array([float(centred[lag:] @ centred[: n - lag]) for lag in range(furthest + 1)])
    covariances = products / n
    small = np.abs(_overlap_correlations(centred, products)) < 2 * math.sqrt(math.log10(n) / n)
    quiet = (lag for lag in range(furthest - run + 1) if bool(small[lag : lag + run].all()))
    first = next(quiet, None)
    window = min(2 * max(first, 1), furthest) if first is not None else furthest
    lags = np.arange(1, window + 1)
    taper = np.where(lags / window <= 0.5, 1.0, 2 * (1 - lags / window))
    slope = float(np.sum(2 * taper * lags * covariances[1 : window + 1]))
    spectrum = covariances[0] + float(np.sum(2 * taper * covariances[1 : window + 1]))
    if spectrum == 0:
        return None
    block = math.pow(slope**2 / spectrum**2 * n, 1 / 3)
    return min(max(block, 1.0), float(math.ceil(min(3 * math.sqrt(n), n / 3))))


def _overlap_correlations(centred: Floats, products: Floats) -> Floats:
    """Return the correlation at each lag, one value fewer at both ends than the lag leaves."""
    squares = centred * centred
    total = float(squares.sum())
    lags = np.arange(products.size)
    head = total - np.concatenate(([0.0], np.cumsum(squares)))[lags + 1]
    tail = total - np.concatenate(([0.0], np.cumsum(squares[::-1])))[lags + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.nan_to_num(products / np.sqrt(head * tail), nan=0.0)
    return found
