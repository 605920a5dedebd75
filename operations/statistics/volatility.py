"""How much do returns vary, per period and per year?

Two estimates. EWMA (RiskMetrics Technical Document, 4th edition, 1996): the weighted mean of
squared returns about zero, weights decay^k for the return k periods ago, divided by their sum.
So there is no seed to choose; where the history is long it equals the usual recursion
v(t+1) = decay v(t) + (1 - decay) r(t)^2 with any seed. And realised: the sample standard deviation
(divisor n - 1, mean removed).

Returns are simple and per period, volatilities in the same unit (0.01 = 1 %). A volatility per
year is the one per period times the root of the periods in a year; days are trading days, 252.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from operations.statistics.samples import Floats, at_least, known_sample, paths, positive, share

RISKMETRICS_DAILY_DECAY = 0.94
TRADING_DAYS_PER_YEAR = 252
MINIMUM_RETURNS = 20


def ewma_variances(returns: ArrayLike, decay: float = RISKMETRICS_DAILY_DECAY) -> Floats:
    """Return for each time the EWMA variance that its return ends, shape as given (..., t).

    The element at t is what is expected for t + 1. From a return that is not finite on, a row is
    NaN: a gap is not filled in.
    """
    rows, decay = paths(returns, "returns"), share(decay, "decay")
    variances = np.empty_like(rows)
    total, weight = np.zeros(rows.shape[:-1]), 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.square(rows)
        squares[~np.isfinite(squares)] = np.nan
        for time in range(rows.shape[-1]):
            total = decay * total + squares[..., time]
            weight = decay * weight + 1.0
            variances[..., time] = total / weight
    return variances


def ewma_volatility(
    returns: ArrayLike, decay: float = RISKMETRICS_DAILY_DECAY, minimum: int = MINIMUM_RETURNS
) -> float | None:
    """Return the EWMA volatility expected for the next period, or None: unknown.

    Returns have shape (n,). None when n < minimum or a return is not finite.
    """
    sample = known_sample(returns, at_least(minimum, 1, "minimum"))
    if sample is None:
        return None
    variance = float(ewma_variances(sample, decay)[-1])
    return math.sqrt(variance) if math.isfinite(variance) else None


def realised_volatility(returns: ArrayLike, minimum: int = MINIMUM_RETURNS) -> float | None:
    """Return the sample standard deviation of returns (shape (n,)) per period, or None."""
    sample = known_sample(returns, at_least(minimum, 2, "minimum"))
    if sample is None:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        found = float(np.std(sample, ddof=1))
    return found if math.isfinite(found) else None


def annualised(volatility: float, periods_per_year: float = TRADING_DAYS_PER_YEAR) -> float:
    """Return volatility * sqrt(periods_per_year); true for returns that are not correlated."""
    return volatility * math.sqrt(positive(periods_per_year, "periods_per_year"))
