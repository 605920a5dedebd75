"""How far below its highest value is a fund, and how far was it at worst?

drawdown(t) = value(t) / max(value(0..t)) - 1, at most 0, as a part of the peak (-0.1 = 10 % below).
Money that comes in or leaves would move the peak: take it out first, with `growth`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from operations.statistics.samples import (
    LARGEST,
    Floats,
    known_sample,
    paths,
    same_length,
    vector,
)


class Drawdown(NamedTuple):
    """The deepest fall: its depth (<= 0) and the places of its peak and of its lowest value."""

    depth: float
    peak: int
    trough: int


def drawdowns(values: ArrayLike) -> Floats:
    """Return the drawdown at each time, shape as given (..., t).

    Values are positive, in any one currency. From a value on that is not positive and finite a row
    is NaN, because its peak is then unknown.
    """
    rows = paths(values, "values")
    known = np.where(np.isfinite(rows) & (rows > 0), rows, np.nan)
    result: Floats = known / np.maximum.accumulate(known, axis=-1) - 1.0
    return result


def deepest(values: ArrayLike) -> Drawdown | None:
    """Return the deepest drawdown of values of shape (n,); None if one is unknown or n < 1.

    The first of several equal ones. A fund at its peak all the time has depth 0.
    """
    sample = known_sample(values, 1)
    if sample is None or float(sample.min()) <= 0:
        return None
    falls = drawdowns(sample)
    trough = int(np.argmin(falls))
    return Drawdown(float(falls[trough]), int(np.argmax(sample[: trough + 1])), trough)


def growth(values: ArrayLike, flows: ArrayLike) -> Floats | None:
    """Return the growth index of a fund without its cash flows, starting at 1, shape (n,).

    Time-weighted (Global Investment Performance Standards): the return of a period is
    (value(t) - flow(t)) / value(t-1) - 1. Values and flows have shape (n,), one currency; flow(t)
    is what came in (< 0: left) between t-1 and t and is in value(t); flow(0) is not used. None when
    a number is unknown, a value is not positive, or a period lost more than there was.
    """
    sample, moved = known_sample(values, 1), known_sample(flows, 1)
    same_length(vector(values, "values"), vector(flows, "flows"), "values and flows")
    if sample is None or moved is None or float(sample.min()) <= 0:
        return None
    factors = (sample[1:] - moved[1:]) / np.maximum(sample[:-1], 1 / LARGEST)
    if factors.size and not float(factors.min()) > 0:
        return None
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        index = np.concatenate(([1.0], np.cumprod(factors)))
    return index if bool(np.isfinite(index).all()) else None
