"""How unusual is a value beside its history, when the history itself has outliers?

Modified z-score (Iglewicz & Hoaglin, How to Detect and Handle Outliers, 1993):

    z = 0.6745 (x - median) / MAD,   MAD the median of |x - median|,

0.6745 the upper quartile of the normal distribution, so that MAD / 0.6745 estimates a standard
deviation; unusual beyond 3.5. Sizes of orders are compared by their logarithms.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from operations.statistics.normal import quantile
from operations.statistics.samples import Floats, at_least, known_sample, positive

NORMAL_QUARTILE = quantile(0.75)
MINIMUM_VALUES = 10


def robust_sd(values: ArrayLike, minimum: int = MINIMUM_VALUES) -> float | None:
    """Return MAD / 0.6745 of values of shape (n,), in their unit, or None: unknown.

    0 when more than half of the values are equal, which is a fact about them and no precision.
    """
    sample = known_sample(values, at_least(minimum, 2, "minimum"))
    if sample is None:
        return None
    spread = float(np.median(np.abs(sample - np.median(sample)))) / NORMAL_QUARTILE
    return spread if math.isfinite(spread) else None


def robust_z(
    value: float,
    history: ArrayLike,
    minimum: int = MINIMUM_VALUES,
    least_sd: float | None = None,
) -> float | None:
    """Return the modified z-score of a value beside a history of shape (n,), or None: unknown.

    `least_sd`, in the unit of the values, is the smallest spread to divide by; without it a history
    of which more than half is equal gives None. None too for numbers that are not finite.
    """
    sample = known_sample(history, at_least(minimum, 2, "minimum"))
    spread = robust_sd(history, minimum)
    if sample is None or spread is None or not math.isfinite(value):
        return None
    if least_sd is not None:
        spread = max(spread, positive(least_sd, "least_sd"))
    score = (value - float(np.median(sample))) / spread if spread > 0 else math.nan
    return score if math.isfinite(score) else None


def log_size_sd(sizes: ArrayLike, minimum: int = MINIMUM_VALUES) -> float | None:
    """Return the robust standard deviation of log(size), sizes > 0 of shape (n,), or None."""
    logs = _logs(sizes, minimum)
    return None if logs is None else robust_sd(logs, minimum)


def log_size_z(
    size: float,
    sizes: ArrayLike,
    minimum: int = MINIMUM_VALUES,
    least_sd: float | None = None,
) -> float | None:
    """Return the modified z-score of log(size) beside log(sizes), or None: unknown.

    Sizes are absolute quantities above 0 in one unit; a size of 0 or less is no order and makes
    the result unknown. `least_sd` is in natural logarithms (0.1: about 10 %).
    """
    logs = _logs(sizes, minimum)
    if logs is None or not (math.isfinite(size) and size > 0):
        return None
    return robust_z(math.log(size), logs, minimum, least_sd)


def _logs(sizes: ArrayLike, minimum: int) -> Floats | None:
    sample = known_sample(sizes, minimum)
    if sample is None or float(sample.min()) <= 0:
        return None
    return np.log(sample)
