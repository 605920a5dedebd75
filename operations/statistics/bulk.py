"""Bulk VPIN: how one-sided was the volume, when only bars are known?

Of the volume of a bar the part

    bought = Z(price change / sigma),   Z the standard normal distribution function,

counts as bought and the rest as sold (Easley, Lopez de Prado & O'Hara 2012, section 1.3), with
time bars, here of one minute. sigma is trailing, so nothing looks ahead: the square root of the
exponentially weighted mean of squared changes up to and with this bar,

    s2(t) = decay s2(t-1) + (1 - decay) change(t)^2,   s2 of the first change: its square.

The first bar of a session has no change (overnight is not a minute). It, the bars of the warm-up
and bars while no price ever moved have an unknown direction: their volume is left out and counted.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from operations.errors import Rejected
from operations.statistics.normal import cdf_of
from operations.statistics.samples import (
    Floats,
    at_least,
    finite_vector,
    same_length,
    share,
)
from operations.statistics.vpin import BUCKETS, Vpin, VpinState

DECAY = 0.8
WARM_UP_CHANGES = 30


class BarState(NamedTuple):
    """What is carried from bar to bar: last close, session, sigma squared, changes seen."""

    close: float | None = None
    session: int = 0
    variance: float = 0.0
    changes: int = 0


class BulkVpinState(NamedTuple):
    """What a stream of bars carries over; plain numbers."""

    bars: BarState
    vpin: VpinState
    left_out_bars: int
    left_out_volume: float


class BarDirections:
    """Direction of each bar, -1 (sold) to 1 (bought), or None while it is unknown."""

    def __init__(
        self,
        decay: float = DECAY,
        warm_up_changes: int = WARM_UP_CHANGES,
        state: BarState | None = None,
    ) -> None:
        self._decay = share(decay, "decay")
        self._warm_up = at_least(warm_up_changes, 1, "warm_up_changes")
        self._state = state or BarState()

    def snapshot(self) -> BarState:
        """Return the state to build it from again."""
        return self._state

    def add(self, close: float, session: int = 0) -> float | None:
        """Take the close of the next bar; session is any number that is constant in one."""
        if not math.isfinite(close):
            raise Rejected(f"a bar closes at {close}; leave out bars without a trade")
        before = self._state
        if before.close is None or session != before.session:
            self._state = before._replace(close=close, session=session)
            return None
        change = close - before.close
        square = change * change
        variance = (
            self._decay * before.variance + (1 - self._decay) * square if before.changes else square
        )
        self._state = BarState(close, session, variance, before.changes + 1)
        if self._state.changes < self._warm_up or variance == 0:
            return None
        return 2 * cdf_of(change / math.sqrt(variance)) - 1


class BulkVpin:
    """Bulk VPIN over bars as they come; any chunking and any restart give the same values."""

    def __init__(
        self,
        bucket_volume: float,
        buckets: int = BUCKETS,
        decay: float = DECAY,
        warm_up_changes: int = WARM_UP_CHANGES,
    ) -> None:
        self._directions = BarDirections(decay, warm_up_changes)
        self._vpin = Vpin(bucket_volume, buckets)
        self._decay, self._warm_up = decay, warm_up_changes
        self.left_out_bars = 0
        self.left_out_volume = 0.0

    def snapshot(self) -> BulkVpinState:
        """Return the state."""
        return BulkVpinState(
            self._directions.snapshot(),
            self._vpin.snapshot(),
            self.left_out_bars,
            self.left_out_volume,
        )

    def restore(self, state: BulkVpinState) -> None:
        """Go on where a snapshot of the same parameters was taken."""
        self._directions = BarDirections(self._decay, self._warm_up, state.bars)
        self._vpin = Vpin.restored(state.vpin)
        self.left_out_bars, self.left_out_volume = state.left_out_bars, state.left_out_volume

    def add(self, close: float, volume: float, session: int = 0) -> list[float]:
        """Take one bar; return the values of the buckets that got full."""
        if not 0 <= volume < math.inf:
            raise Rejected(f"a bar has the volume {volume}; a volume is 0 or more")
        direction = self._directions.add(close, session)
        if direction is None:
            self.left_out_bars += 1
            self.left_out_volume += volume
            return []
        return self._vpin.add(volume, direction)


def bar_directions(
    closes: ArrayLike,
    sessions: ArrayLike | None = None,
    decay: float = DECAY,
    warm_up_changes: int = WARM_UP_CHANGES,
) -> Floats:
    """Return 2 Z(change / sigma) - 1 for closes of shape (bars,); NaN where it is unknown."""
    row = finite_vector(closes, "closes")
    marks = np.zeros(row.size) if sessions is None else finite_vector(sessions, "sessions")
    same_length(row, marks, "closes and sessions")
    directions = BarDirections(decay, warm_up_changes)
    found = map(directions.add, row.tolist(), marks.astype(np.int64).tolist())
    return np.array([math.nan if one is None else one for one in found], dtype=np.float64)


def bulk_vpin(
    closes: ArrayLike,
    volumes: ArrayLike,
    bucket_volume: float,
    buckets: int = BUCKETS,
    sessions: ArrayLike | None = None,
    decay: float = DECAY,
    warm_up_changes: int = WARM_UP_CHANGES,
) -> Floats:
    """Return bulk VPIN at each full bucket from the n-th on, shape (values,).

    Closes, volumes (>= 0) and session numbers have shape (bars,). Empty when the volume with a
    known direction does not fill n buckets. Rejected for numbers that are not finite.
    """
    directions = bar_directions(closes, sessions, decay, warm_up_changes)
    sizes = finite_vector(volumes, "volumes")
    same_length(directions, sizes, "closes and volumes")
    known = np.isfinite(directions)
    return Vpin(bucket_volume, buckets).extend(sizes[known], directions[known])
