"""Who was the aggressor of a trade, when the venue does not say? The tick rule.

A trade above the last different price was bought, one below it was sold (Lee & Ready 1991, their
"tick test"). Without the last *different* price most trades of an instrument that trades often at
one price would stay unclassified. Before the first change of price nobody knows: 0, never a guess.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operations.errors import Rejected
from operations.statistics.samples import finite_vector

Signs = NDArray[np.int8]


class TickState(NamedTuple):
    """What the rule carries over: the last price (NaN before the first) and the last sign."""

    price: float = math.nan
    sign: int = 0


class TickRule:
    """The tick rule over trades as they come; any chunking gives the same signs."""

    def __init__(self, state: TickState | None = None) -> None:
        self._state = state or TickState()

    def snapshot(self) -> TickState:
        """Return the state to build the rule from again."""
        return self._state

    def add(self, price: float) -> int:
        """Return the sign of one trade: 1 bought, -1 sold, 0 unknown. A price is finite."""
        if not math.isfinite(price):
            raise Rejected(f"a trade has the price {price}; leave it out")
        before = self._state
        sign = (price > before.price) - (price < before.price) or before.sign
        self._state = TickState(price, sign)
        return sign

    def extend(self, prices: ArrayLike) -> Signs:
        """Return the signs of trades at prices of shape (n,), in the order of trading."""
        row = finite_vector(prices, "prices")
        if row.size == 0:
            return np.zeros(0, np.int8)
        before = self._state
        first = row[0] if math.isnan(before.price) else before.price
        # Exactly as comparing does: the difference of two finite prices may overflow.
        earlier = np.concatenate(([first], row[:-1]))
        signs = (row > earlier).astype(np.int8) - (row < earlier).astype(np.int8)
        if signs[0] == 0:
            signs[0] = before.sign
        changed = np.where(signs != 0, np.arange(row.size), 0)
        filled: Signs = signs[np.maximum.accumulate(changed)]
        self._state = TickState(float(row[-1]), int(filled[-1]))
        return filled


def tick_rule(prices: ArrayLike) -> Signs:
    """Return 1 (bought), -1 (sold) or 0 (before the first change) for prices of shape (n,).

    Rejected for a price that is not finite.
    """
    return TickRule().extend(prices)
