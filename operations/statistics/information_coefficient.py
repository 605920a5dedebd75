"""Do scores order the names as their returns then did?

The information coefficient of a day is the correlation, over the names, between the score and the
return that followed (Grinold & Kahn, Active Portfolio Management, 1999). By ranks (Spearman, equal
values share the mean of their ranks), because scores and returns have heavy tails; Pearson beside.

A name whose score or return is unknown is left out of its day. A day with fewer names than the
minimum, or on which all scores or all returns are equal, has no coefficient.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from operations.errors import Rejected
from operations.statistics.samples import Floats, at_least, same_length, vector

MINIMUM_NAMES = 10


def ranks(values: ArrayLike) -> Floats:
    """Return the ranks 1 .. n of finite values of shape (n,); equal ones share their mean rank."""
    _, places, counts = np.unique(vector(values, "values"), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank: Floats = last - (counts - 1) / 2.0
    return mean_rank[places]


def pearson(
    scores: ArrayLike, returns: ArrayLike, minimum_names: int = MINIMUM_NAMES
) -> float | None:
    """Return the correlation of scores and returns, both of shape (names,), -1 .. 1, or None."""
    known = _known_pairs(scores, returns, minimum_names)
    return None if known is None else _correlation(*known)


def spearman(
    scores: ArrayLike, returns: ArrayLike, minimum_names: int = MINIMUM_NAMES
) -> float | None:
    """Return the rank correlation of scores and returns, both of shape (names,), or None."""
    known = _known_pairs(scores, returns, minimum_names)
    return None if known is None else _correlation(ranks(known[0]), ranks(known[1]))


def daily_spearman(
    scores: ArrayLike, returns: ArrayLike, minimum_names: int = MINIMUM_NAMES
) -> Floats:
    """Return the rank correlation of each day, shape (days,), NaN where it is unknown.

    Scores and the returns that followed them have shape (days, names), NaN where unknown.
    """
    first, second = np.asarray(scores, np.float64), np.asarray(returns, np.float64)
    if first.ndim != 2 or first.shape != second.shape:
        raise Rejected(
            f"scores and returns have shapes {first.shape} and {second.shape}; "
            "give both as days by names"
        )
    found = (spearman(day, after, minimum_names) for day, after in zip(first, second, strict=True))
    return np.array([math.nan if one is None else one for one in found], dtype=np.float64)


def _known_pairs(
    scores: ArrayLike, returns: ArrayLike, minimum_names: int
) -> tuple[Floats, Floats] | None:
    first, second = vector(scores, "scores"), vector(returns, "returns")
    same_length(first, second, "scores and returns")
    known = np.isfinite(first) & np.isfinite(second)
    if int(known.sum()) < at_least(minimum_names, 3, "minimum_names"):
        return None
    return first[known], second[known]


def _correlation(first: Floats, second: Floats) -> float | None:
    """Return the correlation, or None when one side does not vary."""
    if first.min() == first.max() or second.min() == second.max():
        return None
    # Scaled first: the square of a number that is allowed may be none.
    left, right = first / np.abs(first).max(), second / np.abs(second).max()
    left, right = left - left.mean(), right - right.mean()
    size = math.sqrt(float(left @ left)) * math.sqrt(float(right @ right))
    if size == 0:
        return None
    return min(max(float(left @ right) / size, -1.0), 1.0)
