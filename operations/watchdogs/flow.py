"""The flow of trades of each instrument, folded into VPIN: one row for each bucket that got full.

Where the venue says who took liquidity, trades are signed with that; otherwise bars of one minute
are split by their change of price. What must not be added up, a duplicate or a trade with a wrong
clock, is left out and counted; so is a trade without an aggressor where others have one. Changes of
price do not bridge a pause of half an hour.

A bucket is a 50th of the registered average daily volume. It stays while a newly registered volume
is within a factor of two, so that daily updates do not begin the history anew, and a split does.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from operations.checks import Row, Stored, Table
from operations.clock import NANOSECONDS, parse_rfc3339
from operations.events.marketdata import TradePrinted
from operations.events.registry import InstrumentDefined
from operations.statistics.bulk import BarDirections, BarState
from operations.statistics.vpin import BUCKETS, MOST_BUCKETS, Vpin, VpinState
from operations.watchdogs.arrivals import Screen

MINUTE_NS = 60 * NANOSECONDS
PAUSE_MINUTES = 30  # without a trade, after which another session begins
SMALLEST_CHANGE = 2.0  # factor of the average daily volume that begins a new history
LARGEST = 1e30
VECTORS_FROM = 16  # trades at once from which numpy is faster than adding one by one

Print = tuple[int, int, float, float, int, float]  # sequence, stored at, size, direction, left out


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

    def take(self, prints: Sequence[Stored]) -> list[Row]:
        """Take trades of one batch in their order; return a row for each bucket."""
        if not self.bucket_volume:
            return self._say_that_nothing_is_known(prints)
        made: list[Row] = []
        waiting: list[Print] = []
        for stored in prints:
            event = stored.event
            assert isinstance(event, TradePrinted)
            if event.data.aggressor and not self.signed:
                made += self._fill(waiting)
                waiting, self.signed = [], True
                self._begin()
            counted = self._counted(event, stored)
            if counted:
                left_out = self.left_out, self.left_out_volume
                waiting.append((stored.sequence, stored.at_ns, *counted, *left_out))
        return made + self._fill(waiting)

    def _counted(self, event: TradePrinted, stored: Stored) -> tuple[float, float] | None:
        """Return what to add up now, size and direction: of a trade, or of a bar that it ends."""
        trade = event.data
        screen = self.screens.get(trade.venue)
        if screen is None:
            screen = self.screens[trade.venue] = Screen()
        happened_ns, said_ns = parse_rfc3339(trade.venue_time), parse_rfc3339(event.timestamp)
        fault = screen.take(trade.trade_id, happened_ns, said_ns, stored.at_ns)
        price, size = float(trade.price), float(trade.size)
        if fault or not (price > 0 and 0 < size <= self.most):
            return self._leave_out(size)
        if trade.aggressor:
            return size, 1.0 if trade.aggressor == "buy" else -1.0
        if self.signed:
            return self._leave_out(size)
        ended = self.bars.take(happened_ns // MINUTE_NS, price, size)
        if ended is None:
            return None
        volume, direction = ended
        if direction is None or volume > self.most:
            return self._leave_out(volume)
        return volume, direction

    def _say_that_nothing_is_known(self, prints: Sequence[Stored]) -> list[Row]:
        if self.rows or not prints:
            return []
        return [self._row((prints[0].sequence, prints[0].at_ns, 0.0, 0.0, 0, 0.0), None)]

    def _fill(self, prints: list[Print]) -> list[Row]:
        if len(prints) < VECTORS_FROM:
            return [
                self._row(one, value) for one in prints for value in self.vpin.add(one[2], one[3])
            ]
        sizes = np.array([one[2] for one in prints])
        sides = np.array([one[3] for one in prints])
        values, places = self.vpin.extend_at(sizes, sides)
        return [
            self._row(prints[place], value)
            for value, place in zip(values.tolist(), places.tolist(), strict=True)
        ]

    def _row(self, last: Print, value: float | None) -> Row:
        """Return the row of a value that a print completes."""
        self.rows += 1
        sequence, at_ns, _, _, left_out, left_out_volume = last
        return (
            sequence, at_ns, self.symbol, self.series, self.rows, self.signed, value,
            self.bucket_volume or None, left_out, left_out_volume,
        )  # fmt: skip

    def _begin(self) -> None:
        self.vpin, self.bars = Vpin(self.bucket_volume), Bars()
        self.series += 1
        self.left_out, self.left_out_volume = 0, 0.0

    def _leave_out(self, size: float) -> tuple[float, float] | None:
        """Count what is not added up, which is nothing to add up."""
        self.left_out += 1
        if 0 < size < LARGEST:
            self.left_out_volume += size
        return None

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

    def take(self, batch: Sequence[Stored]) -> list[Row]:
        """Return the rows that a batch makes, in the order of the stream."""
        rows: list[Row] = []
        waiting: dict[str, list[Stored]] = {}
        for stored in batch:
            event = stored.event
            if isinstance(event, TradePrinted):
                waiting.setdefault(event.data.symbol, []).append(stored)
            elif isinstance(event, InstrumentDefined):
                symbol, volume = event.data.symbol, event.data.average_daily_volume
                flow = self._flow(symbol)
                rows += flow.take(waiting.pop(symbol, []))
                flow.size_buckets(None if volume is None else float(volume))
        for symbol, prints in waiting.items():
            rows += self._flow(symbol).take(prints)
        return sorted(rows, key=lambda row: row[0])

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
