"""The flow of trades of each instrument, folded into VPIN: one row for each bucket that got full.

Where the venue says who took liquidity, trades are signed with that; otherwise bars of one minute
are split by their change of price. What must not be added up, a duplicate or a trade with a wrong
clock, is left out and counted; so is a trade without an aggressor where others have one. Changes of
price do not bridge a pause of half an hour.

A bucket is a 50th of the registered average daily volume. It stays while a newly registered volume
is within a factor of two, so that daily updates do not begin the history anew, and a split does.
"""

from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from operations.checks import Batch, Row, Table
from operations.clock import NANOSECONDS
from operations.events.marketdata import TradePrinted
from operations.events.registry import InstrumentDefined
from operations.events.trades import NONE, Floats, Trades
from operations.statistics.bulk import BarDirections, BarState
from operations.statistics.vpin import BUCKETS, MOST_BUCKETS, Vpin, VpinState
from operations.watchdogs.arrivals import Screen

MINUTE_NS = 60 * NANOSECONDS
PAUSE_MINUTES = 30  # without a trade, after which another session begins
SMALLEST_CHANGE = 2.0  # factor of the average daily volume that begins a new history
LARGEST = 1e30
VECTORS_FROM = 16  # trades at once from which numpy is faster than adding one by one


class Portions(NamedTuple):
    """What trades amount to, each column of the shape (n,): counted, left out, or nothing yet."""

    volume: Floats
    direction: Floats
    counted: NDArray[np.bool_]
    left_out: NDArray[np.bool_]


class Bars:
    """The bar of the running minute of one instrument, and the direction of those before it."""

    def __init__(self) -> None:
        self.minute = self.session = 0
        self.close = self.volume = 0.0
        self.directions = BarDirections()

    def take(self, minute: int, price: float, size: float) -> tuple[float, float | None] | None:
        """Take a trade; return volume and direction of the bar that it ends, None while it runs.

        A trade that comes late counts to the running bar, with its size and not with its price.
        """
        if minute <= self.minute:
            self.volume += size
            if minute == self.minute:
                self.close = price
            return None
        ended = None
        if self.minute:
            ended = self.volume, self.directions.add(self.close, self.session)
            self.session += minute - self.minute > PAUSE_MINUTES
        self.minute, self.close, self.volume = minute, price, size
        return ended

    def snapshot(self) -> list[Any]:
        """Return all of it, in JSON's types."""
        state = self.directions.snapshot()
        return [self.minute, self.session, self.close, self.volume, list(state)]

    @classmethod
    def restored(cls, state: list[Any]) -> "Bars":
        """Return what `snapshot` was taken of."""
        bars = cls()
        bars.minute, bars.session, bars.close, bars.volume, known = state
        bars.directions = BarDirections(state=BarState(*known))
        return bars


class Flow:
    """The trades of one instrument. `bucket_volume` is 0 while none is known."""

    def __init__(self, symbol: str) -> None:
        self.symbol, self.series, self.rows = symbol, 0, 0
        self.bucket_volume, self.signed = 0.0, False
        self.left_out, self.left_out_volume = 0, 0.0
        self.screens: dict[str, Screen] = {}  # by venue
        self.bars, self.vpin = Bars(), Vpin(1.0)

    @property
    def most(self) -> float:
        """The largest trade that may be one, in units."""
        return MOST_BUCKETS * self.bucket_volume

    def size_buckets(self, average_daily_volume: float | None) -> None:
        """Take the registered volume; a very different one begins a new series."""
        volume = (average_daily_volume or 0.0) / BUCKETS
        known = self.bucket_volume
        if not 0 < volume < LARGEST:
            return
        if not known or not 1 / SMALLEST_CHANGE < volume / known < SMALLEST_CHANGE:
            self.bucket_volume = volume
            self._begin()

    def take(self, trades: Trades) -> list[Row]:
        """Take trades of this instrument in their order; return a row for each bucket."""
        if not self.bucket_volume:
            return self._say_that_nothing_is_known(trades)
        told = np.flatnonzero(trades.side)
        if self.signed or not told.size:
            return self._add_up(trades)
        made = self._add_up(trades.cut(0, told[0]))
        self.signed = True
        self._begin()
        return made + self._add_up(trades.cut(told[0], len(trades)))

    def _add_up(self, trades: Trades) -> list[Row]:
        """Add up trades, or the bars that they end; return a row for each bucket."""
        if not len(trades):
            return []
        volume, direction, counted, left_out = self._portions(trades, self._usable(trades))
        known = left_out & (volume > 0) & (volume < LARGEST)
        number = self.left_out + np.cumsum(left_out)
        volumes = np.concatenate(([self.left_out_volume], np.where(known, volume, 0.0)))
        total = np.cumsum(volumes)[1:]
        self.left_out, self.left_out_volume = int(number[-1]), float(total[-1])
        places = np.flatnonzero(counted)
        rows = []
        for value, index in self._fill(volume[places], direction[places]):
            place = places[index]
            where = int(trades.sequence[place]), int(trades.at_ns[place])
            rows.append(self._row(where, value, int(number[place]), float(total[place])))
        return rows

    def _usable(self, trades: Trades) -> NDArray[np.bool_]:
        """Return which trades are not wrong in themselves or beside those before them."""
        usable = (trades.price > 0) & (trades.size > 0) & (trades.size <= self.most)
        for (venue,), its in trades.by("venue").items():
            screen = self.screens.get(venue)
            if screen is None:
                screen = self.screens[venue] = Screen()
            usable[its.places] &= ~screen.take_all(its.trades).wrong
        return usable

    def _portions(self, trades: Trades, usable: NDArray[np.bool_]) -> Portions:
        if self.signed:
            counted = usable & (trades.side != 0)
            return Portions(trades.size, trades.side.astype(float), counted, ~counted)
        volume, direction = trades.size.copy(), np.zeros(len(trades))
        counted, left_out = np.zeros(len(trades), np.bool_), ~usable
        minutes = trades.happened_ns // MINUTE_NS
        for place in np.flatnonzero(usable).tolist():
            ended = self.bars.take(int(minutes[place]), float(trades.price[place]), volume[place])
            if ended is not None:
                volume[place], side = ended
                counted[place] = side is not None and volume[place] <= self.most
                left_out[place], direction[place] = not counted[place], side or 0.0
        return Portions(volume, direction, counted, left_out)

    def _say_that_nothing_is_known(self, trades: Trades) -> list[Row]:
        if self.rows or not len(trades):
            return []
        return [self._row((int(trades.sequence[0]), int(trades.at_ns[0])), None, 0, 0.0)]

    def _fill(self, volumes: Floats, directions: Floats) -> Iterator[tuple[float, int]]:
        """Yield each value of VPIN, and which of the volumes completes its bucket."""
        if len(volumes) >= VECTORS_FROM:
            values, places = self.vpin.extend_at(volumes, directions)
            yield from zip(values.tolist(), places.tolist(), strict=True)
            return
        for place, (volume, side) in enumerate(
            zip(volumes.tolist(), directions.tolist(), strict=True)
        ):
            for value in self.vpin.add(volume, side):
                yield value, place

    def _row(
        self, where: tuple[int, int], value: float | None, left_out: int, left_out_volume: float
    ) -> Row:
        """Return the row of a value that a trade completes, which is `where` in the stream."""
        self.rows += 1
        return (
            *where, self.symbol, self.series, self.rows, self.signed, value,
            self.bucket_volume or None, left_out, left_out_volume,
        )  # fmt: skip

    def _begin(self) -> None:
        self.vpin, self.bars = Vpin(self.bucket_volume), Bars()
        self.series += 1
        self.left_out, self.left_out_volume = 0, 0.0

    def snapshot(self) -> list[Any]:
        """Return all of it, in JSON's types."""
        return [
            [self.series, self.rows, self.bucket_volume, self.signed],
            [self.left_out, self.left_out_volume],
            {venue: screen.snapshot() for venue, screen in self.screens.items()},
            self.bars.snapshot(), list(self.vpin.snapshot()),
        ]  # fmt: skip

    def restore(self, state: list[Any]) -> None:
        """Go on from a snapshot."""
        known, left_out, screens, bars, vpin = state
        self.series, self.rows, self.bucket_volume, self.signed = known
        self.left_out, self.left_out_volume = left_out
        for venue, screen in screens.items():
            self.screens[venue] = Screen()
            self.screens[venue].restore(screen)
        self.bars = Bars.restored(bars)
        self.vpin = Vpin.restored(VpinState(*vpin)._replace(imbalances=tuple(vpin[-1])))


class FlowFold:
    """Makes rows of buckets, instrument by instrument."""

    def __init__(self) -> None:
        self._flows: dict[str, Flow] = {}

    def take(self, batch: Batch) -> list[Row]:
        """Return the rows that a batch makes, in the order of the stream."""
        rows: list[Row] = []
        waiting = {symbol: its.trades for (symbol,), its in batch.trades.by("symbol").items()}
        for stored in batch:
            event = stored.event
            assert isinstance(event, InstrumentDefined)
            symbol, volume = event.data.symbol, event.data.average_daily_volume
            flow, trades = self._flow(symbol), waiting.get(symbol, NONE)
            before = int(np.searchsorted(trades.sequence, stored.sequence))
            rows += flow.take(trades.cut(0, before))
            flow.size_buckets(None if volume is None else float(volume))
            waiting[symbol] = trades.cut(before, len(trades))
        for symbol, trades in waiting.items():
            rows += self._flow(symbol).take(trades)
        return sorted(rows, key=itemgetter(0))

    def _flow(self, symbol: str) -> Flow:
        flow = self._flows.get(symbol)
        if flow is None:
            flow = self._flows[symbol] = Flow(symbol)
        return flow

    def snapshot(self) -> dict[str, Any]:
        """Return the flow of every instrument."""
        return {symbol: flow.snapshot() for symbol, flow in self._flows.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        for symbol, known in state.items():
            self._flow(symbol).restore(known)


FLOW = Table(
    name="vpin_bucket",
    columns=(
        ("symbol", "VARCHAR"), ("series", "BIGINT"), ("place", "BIGINT"), ("signed", "BOOLEAN"),
        ("vpin", "DOUBLE"), ("bucket_volume", "DOUBLE"), ("left_out", "BIGINT"),
        ("left_out_volume", "DOUBLE"),
    ),
    kinds=(TradePrinted, InstrumentDefined),
    fold=FlowFold,
    keep_days=100,
)  # fmt: skip
