"""How many trades a second reach VPIN through the worker: messages of the stream in, values out?

Every trade of a real day of SPY (2013-10-07) as a message of the stream, written by our encoder and
signed by the tick rule, is read, judged and folded by the worker's own fold in its batches of
4,000: by vpin alone, and with data_fault before it, which the worker never runs without. A bucket
is 500,000 shares, a 50th of the registered volume. Messages are made before the clock starts; NATS
is not measured. The last value must be that of the whole day at once.
"""

from decimal import Decimal
from pathlib import Path

import numpy as np
import vpin as day
from rig import Row, now

from operations.adapters import judge
from operations.adapters.warehouse import Warehouse
from operations.adapters.watch import Watch
from operations.adapters.watch_engine import Engine
from operations.adapters.watch_parts import FromStream, Parts
from operations.audit.chain import Delivery
from operations.checks import Limits, Mode, Watchdog
from operations.clock import NANOSECONDS, parse_rfc3339, rfc3339
from operations.config import Settings
from operations.events.base import Event, encode
from operations.events.marketdata import Trade, TradePrinted
from operations.events.registry import Instrument, InstrumentDefined
from operations.statistics.trade_signs import tick_rule
from operations.statistics.vpin import signed_vpin
from operations.watchdogs import feeds, vpin
from workers.watchdogs import AT_ONCE

REPEATS = 5
TARGET = 100_000.0
OPENS_NS = parse_rfc3339("2013-10-07T08:00:00Z")
STEP_NS = NANOSECONDS // 5


def messages() -> tuple[list[Delivery], float]:
    """Return the stream of the day, and the last value of VPIN over it."""
    prices, sizes = day.trades()
    signs = tick_rule(prices)
    known = signs != 0
    prices, sizes, signs = prices[known], sizes[known], signs[known]
    volume = Decimal(int(day.BUCKET * day.BUCKETS))
    instrument = Instrument(
        symbol="SPY", kind="etf", currency="USD", multiplier=Decimal(1),
        average_daily_volume=volume,
    )  # fmt: skip
    made = [_delivery(InstrumentDefined, 1, instrument)]
    sides = np.where(signs > 0, "buy", "sell").tolist()
    for number, (price, size) in enumerate(zip(prices.tolist(), sizes.tolist(), strict=True), 2):
        trade = Trade(
            symbol="SPY", trade_id=str(number), venue="XNYS", price=Decimal(int(price)) / 10_000,
            size=Decimal(int(size)), currency="USD", aggressor=sides[number - 2],
            venue_time=rfc3339(OPENS_NS + number * STEP_NS - 1_000_000),
        )  # fmt: skip
        made.append(_delivery(TradePrinted, number, trade))
    return made, float(signed_vpin(sizes, signs, day.BUCKET, day.BUCKETS)[-1])


def _delivery(kind: type[Event], number: int, data: Instrument | Trade) -> Delivery:
    at_ns = OPENS_NS + number * STEP_NS
    event = kind(
        event_id=f"0199aa00-0000-7000-8000-{number:012d}", timestamp=rfc3339(at_ns),
        actor="feed-1", source="feed@host-1", subject_id="SPY", data=data,
    )  # fmt: skip
    reply = f"$JS.ACK.MTS.watchdogs-1.1.{number}.{number}.{at_ns}.0"
    return event.subject.encode(), reply.encode(), b"", encode(event)


class Bare:
    """Limits under which every value of VPIN is judged, however few there were before."""

    def of(self, name: str, _fund_id: str | None) -> tuple[Limits, Mode]:
        limits = vpin.VpinLimits(own_level=0.0) if name == vpin.NAME else feeds.FeedLimits()
        return limits, "observe"


def fold(
    judging: judge.Judge, own: tuple[Watchdog, ...], stream: list[Delivery], last: float
) -> float:
    """Fold the day with some watchdogs; return the seconds that it took."""

    def engine() -> Engine:
        tables = [table for watchdog in own for table in watchdog.tables]
        return Engine(own, Bare(), Warehouse(tables))

    watch = Watch(judging, lambda: Parts(FromStream(), engine(), engine()), 1)
    batches = [stream[at : at + AT_ONCE] for at in range(0, len(stream), AT_ONCE)]
    began = now()
    for batch in batches:
        watch.take(batch)
    took = now() - began
    if watch.unreadable or watch.engine.problems:
        raise RuntimeError(f"not all could be folded: {watch.engine.problems}")
    found = watch.engine.standings["vpin", "SPY"].statistic
    if found is None or abs(found - last) > 1e-12:
        raise RuntimeError(f"VPIN at the end of the day is {last}, and {found} by the watchdog")
    return took


async def measure(settings: Settings) -> list[Row]:
    """Return the table rows."""
    judging = judge.for_service(settings, Path(settings.home, "bench-roster.json"))
    return rows(judging)


def rows(judging: judge.Judge) -> list[Row]:
    """Fold the day several times in turn and take the medians."""
    stream, last = messages()
    ways = {
        "vpin": (vpin.WATCHDOG,),
        "data_fault and vpin": (feeds.WATCHDOG, vpin.WATCHDOG),
    }
    took = {
        how: [fold(judging, own, stream, last) for _ in range(REPEATS)] for how, own in ways.items()
    }
    return [
        Row(
            f"watchdogs, a day of SPY through the worker's fold: {how}",
            len(stream) / float(np.median(seconds)),
            "trades/s",
            f">= {TARGET:,.0f}",
            len(stream) / float(np.median(seconds)) >= TARGET,
            "one core of Python: place in the stream, reading, screening, adding up",
        )
        for how, seconds in took.items()
    ]
