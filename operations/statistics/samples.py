"""What counts as a sample, and when is it too little to say anything?

One rule for every module here. Data that are not finite, empty or too few make a result unknown:
None where one number is returned, NaN for that row where many are. Arguments that no data could
repair (a negative volume, a share above 1, arrays of two lengths) are Rejected.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operations.errors import Rejected

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LARGEST = 1e100  # no figure of a market is larger, and squares of larger ones overflow


def known_sample(values: ArrayLike, at_least: int) -> Floats | None:
    """Return values (shape (n,)) as floats; None when n < at_least or one is not within 1e100."""
    sample = vector(values, "sample")
    if sample.size < max(at_least, 1) or not bool((np.abs(sample) <= LARGEST).all()):
        return None
    return sample


def vector(values: ArrayLike, name: str) -> Floats:
    """Return values as floats of shape (n,); Rejected for any other shape."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise Rejected(f"{name} has shape {array.shape}; give one row of numbers")
    return array


def paths(values: ArrayLike, name: str) -> Floats:
    """Return values as floats of shape (..., t), time last; Rejected for a single number."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0:
        raise Rejected(f"{name} is one number; give a row of numbers, time along the last axis")
    return array


def finite_vector(values: ArrayLike, name: str) -> Floats:
    """Return values as finite floats of shape (n,); Rejected with the first place that is not."""
    array = vector(values, name)
    finite = np.isfinite(array)
    if not finite.all():
        place = int(np.argmin(finite))
        raise Rejected(f"{name}[{place}] is {array[place]}; leave unknown values out")
    return array


def same_length(left: Floats, right: Floats, names: str) -> None:
    """Rejected unless two rows have one length."""
    if left.shape != right.shape:
        raise Rejected(f"{names} have {left.size} and {right.size} values; they belong in pairs")


def positive(value: float, name: str) -> float:
    """Return a finite number above zero, else Rejected."""
    if not (math.isfinite(value) and value > 0):
        raise Rejected(f"{name} is {value}; it is a number above 0")
    return float(value)


def share(value: float, name: str) -> float:
    """Return a number strictly between 0 and 1, else Rejected."""
    if not 0 < value < 1:
        raise Rejected(f"{name} is {value}; it is a number between 0 and 1, both excluded")
    return float(value)


def at_least(value: int, least: int, name: str) -> int:
    """Return a count that is not below a limit, else Rejected."""
    if value < least:
        raise Rejected(f"{name} is {value}; it is at least {least}")
    return value
