"""VPIN: how one-sided was the last volume traded?

Trades fill buckets of one volume V; each bucket has an imbalance |bought - sold|, and

    VPIN = sum of the last n imbalances / (n V),   between 0 and 1,

a new value with each full bucket (Easley, Lopez de Prado & O'Hara, Review of Financial Studies
25(5), 2012). A trade that does not fit is split exactly, over any number of buckets.

Direction says what part of a trade was bought less what part was sold: 1 or -1 where the aggressor
is known (signed VPIN), anything between for bars (bulk VPIN). One class does both, one trade or a
whole history at a time, with the same bits: sums run in one order and are carried on, so neither
chunking nor a restart changes a value. They run from the start: exact for whole volumes, otherwise
within the number of trades times 1e-16 of the volume so far.
"""

import math
from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from operations.errors import Rejected
from operations.statistics.samples import (
    Floats,
    at_least,
    positive,
    same_length,
    vector,
)

BUCKETS = 50  # of the paper: n buckets, each a 50th of an average day's volume
MOST_BUCKETS = 10_000  # that one trade may fill: more is 200 average days at once


class VpinState(NamedTuple):
    """What is carried over. Volumes in the unit of the trades, signed volume bought less sold."""

    bucket_volume: float
    buckets: int
    volume: float = 0.0
    signed_volume: float = 0.0
    filled: int = 0  # buckets that are full
    signed_volume_at_bucket: float = 0.0  # when the last bucket was full
    imbalances: tuple[float, ...] = (0.0,)  # sums of the imbalances, the last n + 1


class Vpin:
    """VPIN over trades as they come.

    `bucket_volume` is V in the unit of the trades, `buckets` is n. `add` and `extend` return the
    values of the buckets that got full, from the n-th bucket on: before it there is none.
    """

    def __init__(self, bucket_volume: float, buckets: int = BUCKETS) -> None:
        bucket_volume = positive(bucket_volume, "bucket_volume")
        self._take(VpinState(bucket_volume, at_least(buckets, 1, "buckets")))

    @classmethod
    def restored(cls, state: VpinState) -> "Vpin":
        """Return one that goes on where `snapshot` was taken."""
        vpin = cls(state.bucket_volume, state.buckets)
        vpin._take(state)
        return vpin

    def _take(self, state: VpinState) -> None:
        self._bucket_volume, self._buckets = state.bucket_volume, state.buckets
        self._volume, self._signed = state.volume, state.signed_volume
        self._filled, self._at_bucket = state.filled, state.signed_volume_at_bucket
        self._sums = deque(state.imbalances, maxlen=state.buckets + 1)

    def snapshot(self) -> VpinState:
        """Return the state, plain numbers that survive JSON without loss."""
        return VpinState(
            self._bucket_volume,
            self._buckets,
            self._volume,
            self._signed,
            self._filled,
            self._at_bucket,
            tuple(self._sums),
        )

    def add(self, volume: float, direction: float) -> list[float]:
        """Take one trade: finite volume >= 0, direction from -1 (sold) to 1 (bought)."""
        if not (0 <= volume < math.inf and -1 <= direction <= 1):
            raise Rejected(f"a trade has volume {volume} and direction {direction}; leave it out")
        if volume > MOST_BUCKETS * self._bucket_volume:
            raise Rejected(_too_small(volume, self._bucket_volume))
        self._volume += volume
        self._signed += direction * volume
        values: list[float] = []
        while (self._filled + 1) * self._bucket_volume <= self._volume:
            self._filled += 1
            beyond = self._volume - self._filled * self._bucket_volume
            at_bucket = self._signed - direction * beyond
            self._sums.append(self._sums[-1] + abs(at_bucket - self._at_bucket))
            self._at_bucket = at_bucket
            if len(self._sums) > self._buckets:
                within = self._sums[-1] - self._sums[0]
                values.append(within / (self._buckets * self._bucket_volume))
        return values

    def extend(self, volumes: ArrayLike, directions: ArrayLike) -> Floats:
        """Take trades of shape (n,), as `add` does one by one; return shape (values,)."""
        return self.extend_at(volumes, directions)[0]

    def extend_at(
        self, volumes: ArrayLike, directions: ArrayLike
    ) -> tuple[Floats, NDArray[np.int64]]:
        """Take trades as `extend` does; return the values and the index of the trade of each."""
        sizes, sides = _trades(volumes, directions)
        nothing = np.zeros(0), np.zeros(0, np.int64)
        if sizes.size == 0:
            return nothing
        if float(sizes.max()) > MOST_BUCKETS * self._bucket_volume:
            raise Rejected(_too_small(float(sizes.max()), self._bucket_volume))
        volume = _carried(self._volume, sizes.copy())
        signed = _carried(self._signed, sizes * sides)
        self._volume, self._signed = float(volume[-1]), float(signed[-1])
        full = _whole_buckets(self._volume, self._bucket_volume)
        edges = np.arange(self._filled + 1, full + 1) * self._bucket_volume
        self._filled = full
        if edges.size == 0:
            return nothing
        # The trade that fills each bucket, and what of it belongs to the next one.
        filling = np.searchsorted(volume, edges)
        at_bucket = signed[filling] - sides[filling] * (volume[filling] - edges)
        imbalances = np.abs(np.diff(at_bucket, prepend=self._at_bucket))
        self._at_bucket = float(at_bucket[-1])
        earlier = np.array(self._sums)
        sums = np.concatenate((earlier, _carried(float(earlier[-1]), imbalances)))
        self._sums.extend(sums[earlier.size :].tolist())
        first = max(earlier.size, self._buckets)  # the first new bucket with n - 1 before it
        if sums.size <= first:
            return nothing
        within = sums[first:] - sums[first - self._buckets : sums.size - self._buckets]
        return within / (self._buckets * self._bucket_volume), filling[-within.size :]


def signed_vpin(
    volumes: ArrayLike, signs: ArrayLike, bucket_volume: float, buckets: int = BUCKETS
) -> Floats:
    """Return signed VPIN at each full bucket from the n-th on, shape (full buckets - n + 1,).

    Volumes (>= 0) and signs (1 bought, -1 sold) have shape (trades,). Rejected for a trade without
    a sign: leave out the trades that the tick rule could not classify, or use bars.
    """
    sides = vector(signs, "signs")
    if sides.size and not float(np.min(sides * sides)) >= 1:
        raise Rejected(_first(sides, np.abs(sides) >= 1, "signs", "1 or -1"))
    return Vpin(bucket_volume, buckets).extend(volumes, sides)


def _trades(volumes: ArrayLike, directions: ArrayLike) -> tuple[Floats, Floats]:
    sizes, sides = vector(volumes, "volumes"), vector(directions, "directions")
    same_length(sizes, sides, "volumes and directions")
    # A smallest and a largest value also show NaN: no comparison with it holds.
    if sizes.size and not (float(sizes.min()) >= 0 and float(sizes.max()) < math.inf):
        raise Rejected(_first(sizes, (sizes >= 0) & (sizes < math.inf), "volumes", "0 or more"))
    if sides.size and not (float(sides.min()) >= -1 and float(sides.max()) <= 1):
        raise Rejected(_first(sides, np.abs(sides) <= 1, "directions", "from -1 to 1"))
    return sizes, sides


def _first(values: Floats, good: NDArray[np.bool_], name: str, allowed: str) -> str:
    place = int(np.argmin(good))
    return f"{name}[{place}] is {values[place]}, which is not {allowed}; leave the trade out"


def _carried(before: float, values: Floats) -> Floats:
    """Replace values by their running sums after `before`, added one by one in their order."""
    values[0] += before
    np.add.accumulate(values, out=values)
    return values


def _too_small(volume: float, bucket_volume: float) -> str:
    return (
        f"a trade of {volume} fills more than {MOST_BUCKETS} buckets of {bucket_volume}; "
        "leave it out or choose larger buckets"
    )


def _whole_buckets(volume: float, bucket_volume: float) -> int:
    """Return the largest k with k * V <= volume, in the arithmetic that `add` compares with."""
    full = int(volume / bucket_volume)
    while full * bucket_volume > volume:
        full -= 1
    while (full + 1) * bucket_volume <= volume:
        full += 1
    return full
