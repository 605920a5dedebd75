"""How surprising is the count of a bin, beside the bins before it?

The probability of at least this count, under a negative binomial whose mean is that of the bins at
about the same time of earlier days (within 8 hours) and whose dispersion is that of all
bins before it (`operations.statistics.counts`). The largest 0.2 % of those bins count as the
largest of the others, so that one spike does not hide the next. Where there was nothing at all, one
story in all bins is taken as usual.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operations.errors import Rejected
from operations.statistics.counts import log_upper_tails
from operations.statistics.samples import Floats

KEPT = 0.998  # part of the bins that counts as it is
DAY_SECONDS, NEAR_SECONDS = 86_400, 8 * 3600


def near_time_of_day(
    seconds_before: ArrayLike, within_seconds: int = NEAR_SECONDS
) -> NDArray[np.bool_]:
    """Return which bins lie at about the same time of an earlier day, given how long before.

    The hours just before are left out: what is under way is not what is usual.
    """
    before = np.asarray(seconds_before, np.int64)
    apart = before % DAY_SECONDS
    near = np.minimum(apart, DAY_SECONDS - apart) <= within_seconds
    return np.asarray(near & (before > within_seconds))


def log_surprises(
    counts: ArrayLike, histories: ArrayLike, near: NDArray[np.bool_], kept: float = KEPT
) -> Floats:
    """Return log P(X >= count), at most 0, for counts (n,) after histories (n, bins) without them.

    `near` (bins,) says which bins lie at about the same time of day, `kept` which part of all bins
    counts as it is. NaN where a number is not finite. Rejected where shapes do not fit or fewer
    than two bins, or no near one, are given.
    """
    now, before = np.asarray(counts, np.float64), np.asarray(histories, np.float64)
    if before.shape != (now.size, near.size) or near.size < 2 or not near.any():
        raise Rejected(f"counts {now.shape}, histories {before.shape} and near {near.shape} differ")
    place = min(near.size - 1, math.ceil(kept * near.size) - 1)
    capped = np.minimum(before, np.partition(before, place, axis=1)[:, place, None])
    mean, variance = capped.mean(axis=1), capped.var(axis=1, ddof=1)
    usual = np.maximum(capped[:, near].mean(axis=1), 1 / near.size)
    with np.errstate(divide="ignore", invalid="ignore"):
        dispersion = np.where(mean > 0, np.maximum(variance - mean, 0) / mean**2, 0.0)
    return log_upper_tails(now, usual, usual + dispersion * usual**2)
