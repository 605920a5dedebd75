"""The normal distribution: its function, its tails and its quantiles, safe far out.

From the error function of the C library, element by element: numpy has none, and loading scipy
costs every process 120 MB.
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from operations.statistics.samples import Floats, share

_ROOT_TWO = math.sqrt(2.0)


def cdf_of(z: float) -> float:
    """Return P(Z <= z) = erfc(-z / sqrt 2) / 2 of a standard normal Z; NaN stays NaN."""
    return 0.5 * math.erfc(-z / _ROOT_TWO)


def cdf(z: ArrayLike) -> Floats:
    """Return P(Z <= z) for each element; the same bits as `cdf_of`, in the shape of z."""
    array = np.asarray(z, dtype=np.float64)
    return np.fromiter(map(cdf_of, array.ravel().tolist()), np.float64, array.size).reshape(
        array.shape
    )


def upper_tail_of(z: float) -> float:
    """Return P(Z > z), without the cancellation of 1 - P(Z <= z)."""
    return cdf_of(-z)


def quantile(probability: float) -> float:
    """Return z with P(Z <= z) = probability (algorithm AS 241 of Python's own library)."""
    return NormalDist().inv_cdf(share(probability, "probability"))
