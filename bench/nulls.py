"""Daily figures of strategies and funds that are well: what a watchdog has to leave alone."""

from collections.abc import Callable

import numpy as np

YEAR = 252
SPIN_UP = 250  # days until GARCH has forgotten where it began
ALPHA, BETA = 0.08, 0.9


def normal(random: np.random.Generator, units: int, days: int) -> np.ndarray:
    """Independent days; mean 0 and variance 1, like all of these, shape (units, days)."""
    return random.standard_normal((units, days))


def heavy(random: np.random.Generator, units: int, days: int) -> np.ndarray:
    """Student's t with 4 degrees of freedom, over its standard deviation."""
    return random.standard_t(4, (units, days)) / np.sqrt(2)


def garch(random: np.random.Generator, units: int, days: int) -> np.ndarray:
    """GARCH(1,1): calm and wild times follow each other."""
    variance = np.ones(units)
    found = np.empty((units, days))
    for day in range(-SPIN_UP, days):
        value = np.sqrt(variance) * random.standard_normal(units)
        variance = 1 - ALPHA - BETA + ALPHA * value**2 + BETA * variance
        if day >= 0:
            found[:, day] = value
    return found


NULLS: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    "normal": normal,
    "t(4)": heavy,
    "GARCH(1,1)": garch,
}
