"""All watchdogs over a day of a million events, after thirty days of history.

A process of its own folds the events as the worker does, raw messages of the stream: the history
in batches of 4,000, as at a start, the day in batches of 100, as when a burst comes live. The day
holds trades and quotes of forty instruments, orders, news, values every minute,
option sensitivities, polls and measurements; the thirty days before hold settled values, scores,
profit and loss, orders and news of each day. Timed: how many events are folded in a second, how
long all looks of one watchdog take that one batch makes due, how much memory the process had at
most, and how long the next process needs from a snapshot and from the beginning of the stream.
"""

import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from rig import Row, percentile

from operations.adapters import judge, watch_parts
from operations.adapters.consumers import WATCHDOG_SUBJECTS
from operations.adapters.watch import Watch
from operations.adapters.watch_engine import Timed
from operations.clock import NANOSECONDS, parse_rfc3339, rfc3339
from operations.config import Settings
from operations.events.base import Event, encode
from operations.events.marketdata import Quote, QuoteUpdated, Trade, TradePrinted
from operations.events.news import Beat, FeedBeat, Story, StoryPublished
from operations.events.operations import (
    ClockTicked,
    DatabaseMeasured,
    DatabaseMeasurement,
    Poll,
    ServicePolled,
    Tick,
)
from operations.events.orders import Order, OrderSubmitted
from operations.events.portfolio import (
    NavMarked,
    NetAssetValue,
    PortfolioBaseline,
    PortfolioBaselinePublished,
)
from operations.events.positions import (
    Exposure,
    ExposureMarked,
    Greeks,
    GreeksMarked,
    Holding,
    PositionSnapshotted,
    Snapshot,
)
from operations.events.registry import (
    Fund,
    FundRegistered,
    Instrument,
    InstrumentDefined,
    Service,
    ServiceRegistered,
    Strategy,
    StrategyRegistered,
)
from operations.events.strategies import (
    ForecastScore,
    ForecastScored,
    PnlMarked,
    ProfitAndLoss,
    StrategyBaseline,
    StrategyBaselinePublished,
)
from workers.watchdogs import AT_ONCE

EVENTS = 1_000_000
HISTORY_DAYS = 30
AT_START, LIVE = AT_ONCE, 100
FUNDS, STRATEGIES, NAMES, SERVICES = 4, 16, 40, 8
DAY = 86_400 * NANOSECONDS
DAY_NS = parse_rfc3339("2026-11-02T00:00:00Z")
LOOK_MS, MEMORY_MB = 100.0, 512.0
CREATED_NS = 1


class Firm:
    """Makes the events of a firm, each with its time; the same seed makes the same firm."""

    def __init__(self, seed: int = 11) -> None:
        self._draw = random.Random(seed)
        self._number = 0
        self._prices = [50.0 + number for number in range(NAMES)]
        self._nav = [1_000_000.0] * FUNDS

    def _event(self, kind: type[Event], at_ns: int, subject_id: str, data, **envelope) -> Event:
        self._number += 1
        return kind(
            event_id=f"day-{self._number:09d}", timestamp=rfc3339(at_ns), actor="bench",
            subject_id=subject_id, data=data, **envelope,
        )  # fmt: skip

    def registered(self, at_ns: int) -> Iterator[Event]:
        """Who there is, and what was promised."""
        gauss = self._draw.gauss
        for fund in range(FUNDS):
            data = Fund(
                name=f"F{fund}", base_currency="USD", trading="live", day_end_time="21:00",
                day_end_zone="UTC", target_volatility=0.15,
            )  # fmt: skip
            yield self._event(FundRegistered, at_ns, f"f{fund}", data)
            promise = PortfolioBaseline(
                baseline_id=f"pb{fund}", go_live=rfc3339(at_ns)[:10], horizon_days=252,
                net_of_costs=True, daily_returns=tuple(gauss(0.0003, 0.008) for _ in range(500)),
            )  # fmt: skip
            envelope = {"fund_id": f"f{fund}"}
            yield self._event(PortfolioBaselinePublished, at_ns, f"f{fund}", promise, **envelope)
        for number in range(STRATEGIES):
            fund_id, name = f"f{number % FUNDS}", f"s{number}"
            data = Strategy(name=name, fund_id=fund_id, account_ids=(f"a{number}",))
            yield self._event(StrategyRegistered, at_ns, name, data, fund_id=fund_id)
            known = StrategyBaseline(
                baseline_id=f"sb{number}", currency="USD",
                daily_information_coefficients=tuple(gauss(0.03, 0.1) for _ in range(500)),
                return_mean=0.0005, return_standard_deviation=0.01, days=500,
            )  # fmt: skip
            yield self._event(
                StrategyBaselinePublished, at_ns, name, known, fund_id=fund_id, strategy_id=name
            )
        for number in range(NAMES):
            data = Instrument(
                symbol=f"N{number}", kind="equity", currency="USD", multiplier=Decimal(1),
                average_daily_volume=Decimal(1_000_000),
            )  # fmt: skip
            yield self._event(InstrumentDefined, at_ns, f"N{number}", data)
        for number in range(SERVICES):
            data = Service(name=f"svc{number}", healthz_url=f"http://127.0.0.1:{9000 + number}/")
            yield self._event(ServiceRegistered, at_ns, f"svc{number}", data)

    def settled(self, at_ns: int) -> Iterator[Event]:
        """The end of one day: values, exposures, scores, profit and loss, what is held."""
        gauss = self._draw.gauss
        at = rfc3339(at_ns)
        for fund in range(FUNDS):
            before = self._nav[fund]
            self._nav[fund] *= 1 + gauss(0.0003, 0.008)
            yield self._mark(fund, at_ns, before, final=True)
            data = Exposure(
                as_of=at, gross=Decimal(int(before * 1.5)), net=Decimal(0), currency="USD"
            )
            yield self._event(ExposureMarked, at_ns, f"f{fund}", data, fund_id=f"f{fund}")
        for number in range(STRATEGIES):
            name = f"s{number}"
            envelope = {"fund_id": f"f{number % FUNDS}", "strategy_id": name}
            score = ForecastScore(
                day=at[:10], horizon_days=1, method="spearman",
                information_coefficient=max(-1.0, min(1.0, gauss(0.03, 0.1))), names=100,
            )  # fmt: skip
            yield self._event(ForecastScored, at_ns, name, score, **envelope)
            profit = ProfitAndLoss(
                as_of=at, realised=Decimal(int(gauss(50, 1000))), unrealised=Decimal(0),
                fees=Decimal(10), allocated_capital=Decimal(100_000), currency="USD", final=True,
            )  # fmt: skip
            yield self._event(PnlMarked, at_ns, name, profit, **envelope)
            holdings = tuple(
                Holding(symbol=f"N{(number + step) % NAMES}", quantity=Decimal(100))
                for step in range(5)
            )
            held = Snapshot(as_of=at, holdings=holdings)
            envelope |= {"account_id": f"a{number}"}
            yield self._event(PositionSnapshotted, at_ns, f"a{number}", held, **envelope)

    def _mark(self, fund: int, at_ns: int, start: float, *, final: bool = False) -> Event:
        data = NetAssetValue(
            as_of=rfc3339(at_ns), nav=Decimal(f"{self._nav[fund]:.2f}"), currency="USD",
            start_of_day_nav=Decimal(f"{start:.2f}"), final=final,
        )  # fmt: skip
        return self._event(NavMarked, at_ns, f"f{fund}", data, fund_id=f"f{fund}")

    def minute(self, at_ns: int) -> Iterator[Event]:
        """What comes every minute."""
        at = rfc3339(at_ns)
        yield self._event(ClockTicked, at_ns, "clock", Tick(minute=at, offset_ms=0.1))
        beat = Beat(feed="wire", stories=0, interval_seconds=60.0)
        yield self._event(FeedBeat, at_ns, "wire", beat)
        for fund in range(FUNDS):
            yield self._mark(fund, at_ns, self._nav[fund])
        for number in range(SERVICES):
            data = Poll(service=f"svc{number}", healthy=True, latency_ms=45.0, status=200)
            yield self._event(ServicePolled, at_ns, f"svc{number}", data)
        data = DatabaseMeasurement(
            database="mts", table="audit.entry", live_rows=1000, dead_rows=1, total_bytes=10**6
        )
        yield self._event(DatabaseMeasured, at_ns, "mts", data)
        for number in range(4):
            data = Greeks(
                symbol=f"N{number}C", quantity=Decimal(10), currency="USD", marked_at=at,
                theta_per_day=Decimal("-0.05"), implied_volatility=self._draw.gauss(0.3, 0.01),
            )  # fmt: skip
            yield self._event(
                GreeksMarked, at_ns, f"N{number}C", data, fund_id="f0", account_id="a0"
            )

    def flow(self, at_ns: int) -> Event:
        """One trade, quote, order or story."""
        draw = self._draw
        name, kind = draw.randrange(NAMES), draw.random()
        at = rfc3339(at_ns)
        self._prices[name] *= 1 + draw.gauss(0, 0.0002)
        price = Decimal(f"{self._prices[name]:.4f}")
        if kind < 0.70:
            data = Trade(
                symbol=f"N{name}", trade_id=f"t{self._number}", venue="X", price=price,
                size=Decimal(draw.randrange(1, 500)), currency="USD", venue_time=at,
                aggressor=draw.choice(("buy", "sell")),
            )  # fmt: skip
            return self._event(TradePrinted, at_ns, f"N{name}", data)
        if kind < 0.90:
            data = Quote(
                symbol=f"N{name}", venue="X", currency="USD", venue_time=at, bid_price=price,
                bid_size=Decimal(100), ask_price=price, ask_size=Decimal(100),
            )  # fmt: skip
            return self._event(QuoteUpdated, at_ns, f"N{name}", data)
        if kind < 0.995:
            number = draw.randrange(STRATEGIES)
            data = Order(
                symbol=f"N{name}", side=draw.choice(("buy", "sell")),
                quantity=Decimal(int(draw.lognormvariate(4, 0.5)) + 1), type="limit",
                limit_price=price, currency="USD", time_in_force="day",
            )  # fmt: skip
            order_id = f"o{self._number}"
            return self._event(
                OrderSubmitted, at_ns, order_id, data, order_id=order_id,
                fund_id=f"f{number % FUNDS}", strategy_id=f"s{number}", account_id=f"a{number}",
            )  # fmt: skip
        story = Story(
            story_id=f"st{self._number}", feed="wire", headline_hash=f"{self._number:064x}",
            published_at=at, tickers=(f"N{name}",),
        )  # fmt: skip
        return self._event(StoryPublished, at_ns, story.story_id, story)


def deliveries(events: int) -> Iterator[tuple[bytes, bytes, bytes, bytes]]:
    """Give the messages of the stream: thirty days of history, then the day."""
    for sequence, (event, at_ns) in enumerate(_timed(Firm(), events), start=1):
        reply = f"$JS.ACK.MTS.watchdogs-1.1.{sequence}.{sequence}.{at_ns}.0".encode()
        yield event.subject.encode(), reply, b"", encode(event)


def _timed(firm: Firm, events: int) -> Iterator[tuple[Event, int]]:
    began_ns = DAY_NS - HISTORY_DAYS * DAY
    for event in firm.registered(began_ns):
        yield event, began_ns
    for day in range(HISTORY_DAYS):
        midnight_ns = began_ns + day * DAY
        for number in range(2000):
            at_ns = midnight_ns + number * DAY // 2400
            yield firm.flow(at_ns), at_ns
        for event in firm.settled(midnight_ns + DAY * 7 // 8):
            yield event, midnight_ns + DAY * 7 // 8
    minutes = 1440
    each = events // minutes
    for minute in range(minutes):
        minute_ns = DAY_NS + minute * 60 * NANOSECONDS
        for event in firm.minute(minute_ns):
            yield event, minute_ns
        for number in range(each):
            at_ns = minute_ns + (number + 1) * 60 * NANOSECONDS // (each + 1)
            yield firm.flow(at_ns), at_ns


def fold(home: str, file: str) -> dict[str, Any]:
    """Fold a file of messages as the worker does and save a snapshot, in a process of its own."""
    took: dict[str, list[float]] = {}

    def note(name: str, took_ns: int) -> None:
        took.setdefault(name, []).append(took_ns / 1e6)

    watch, folder = _watch(home, note)
    seconds, events = {AT_START: 0.0, LIVE: 0.0}, {AT_START: 0, LIVE: 0}
    for size, batch in _batches(file):
        if size == LIVE and not events[LIVE]:
            took.clear()
        at = time.perf_counter()
        watch.take(batch)
        seconds[size] += time.perf_counter() - at
        events[size] += len(batch)
    watch.waiting.clear()  # in a fleet they have come back by now
    write = watch.freeze(folder)
    assert write is not None
    write()
    return {
        "events": sum(events.values()), "looks": watch.engine.looks,
        "start_rate": events[AT_START] / seconds[AT_START],
        "live_rate": events[LIVE] / seconds[LIVE], "seconds": sum(seconds.values()),
        "p99_ms": {name: percentile(each, 0.99) for name, each in sorted(took.items())},
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "problems": len(watch.engine.problems),
    }  # fmt: skip


def load(home: str) -> dict[str, Any]:
    """Start from the snapshot, in a process of its own."""
    watch, folder = _watch(home, lambda _name, _ns: None)
    began = time.perf_counter()
    assert watch.load(folder), "the snapshot was not believed"
    return {"seconds": time.perf_counter() - began}


def _watch(home: str, timed: Timed) -> tuple[Watch, Path]:
    settings = Settings(home=home)
    judging = judge.for_service(settings, Path(home, "watch-roster.json"))
    return Watch(judging, lambda: watch_parts.parts(settings, timed), CREATED_NS), Path(
        home, "watch"
    )


def _batches(file: str) -> Iterator[tuple[int, list[tuple[bytes, bytes, bytes, bytes]]]]:
    """Give batches and their size: large ones of the history, small ones of the day.

    They hold what the consumer of the worker passes on: no watchdog asks for quotes.
    """
    batch = []
    with Path(file).open("rb") as lines:
        for line in lines:
            subject, reply, payload = line.rstrip(b"\n").split(b"\t", 2)
            if subject.decode() not in WATCHDOG_SUBJECTS:
                continue
            at_ns = int(reply.rsplit(b".", 2)[1])
            size = LIVE if at_ns >= DAY_NS else AT_START
            batch.append((subject, reply, b"", payload))
            if len(batch) >= size:
                yield size, batch
                batch = []
    if batch:
        yield size, batch


async def measure(settings: Settings) -> list[Row]:
    """Return the table rows."""
    file = Path(settings.home, "day.tsv")
    with file.open("wb") as lines:
        for subject, reply, _, payload in deliveries(EVENTS):
            lines.write(subject + b"\t" + reply + b"\t" + payload + b"\n")
    first = _in_a_process("fold", settings.home, str(file))
    again = _in_a_process("load", settings.home)
    file.unlink()
    bound = "one Python process: decoding, columns for DuckDB and one query a batch and watchdog"
    memory = first["memory_mb"]
    return [
        Row("watchdogs: events of the day", EVENTS, "events"),
        Row("watchdogs: of them and the history, those that a watchdog needs", first["events"],
            "events"),
        Row("watchdogs: looks", first["looks"], "looks"),
        Row("watchdogs: folded at a start, batches of 4,000", first["start_rate"], "events/s", "",
            None, bound),
        Row("watchdogs: folded live, batches of 100", first["live_rate"], "events/s", "",
            None, bound),
        *(
            Row(
                f"watchdogs: all looks of 100 events, p99, {name}", value, "ms",
                f"<= {LOOK_MS:g}", value <= LOOK_MS,
            )
            for name, value in first["p99_ms"].items()
        ),
        Row(
            "watchdogs: memory at most", memory, "MB", f"<= {MEMORY_MB:g}", memory <= MEMORY_MB,
        ),
        Row("watchdogs: all of it, folded from the beginning", first["seconds"], "s"),
        Row("watchdogs: start from a snapshot", again["seconds"], "s"),
        Row("watchdogs: that could not judge", first["problems"], "watchdogs", "0",
            not first["problems"]),
    ]  # fmt: skip


def _in_a_process(*words: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    print(json.dumps({"fold": fold, "load": load}[what](*arguments)))
