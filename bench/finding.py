"""How long after an event is a finding about it on the bus, above the bare bus?

A worker process of watchdogs, all of them, knows a thousand strategies that always send orders of
about one size. Then each sends one that is a hundred times as large. Timed from before its publish
until the finding is heard. In turn with them a bare message goes the same way: into the stream, to
a process that reads the stream, back into the stream and out. First with nothing else on the bus,
then while a feed prints a thousand trades a second.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

from nats.aio.client import Client
from rig import Row, Worker, admin, now, percentile

from operations.clock import now_ns, rfc3339
from operations.config import Nats, Settings
from operations.events.base import encode
from operations.events.marketdata import Trade, TradePrinted
from operations.events.orders import Order, OrderSubmitted
from operations.watchdogs import position_anomaly

SAMPLES = 400  # of each, idle and under load
USUAL = 12  # orders of a strategy before the large one
ABOVE_MS = 50.0
TRADES_A_SECOND = 1_000
FINDING = f"mts.v1.operations.finding.{position_anomaly.NAME}.raised"
PING, PONG = "mts.v1.bench.ping", "mts.v1.bench.pong"
APART_SECONDS = 0.05


def order(strategy: int, number: int, size: int) -> OrderSubmitted:
    order_id = f"{strategy}-{number}"
    return OrderSubmitted(
        event_id=f"bench-order-{order_id}", timestamp=rfc3339(now_ns()), actor="bench",
        subject_id=order_id, order_id=order_id, strategy_id=f"s{strategy}",
        data=Order(symbol="A", side="buy", quantity=Decimal(size)),
    )  # fmt: skip


async def publish_usual(client: Client, strategies: range) -> None:
    """Put what is usual into the stream."""
    stream = client.jetstream()
    for strategy in strategies:
        made = [order(strategy, number, 100 + number % 3) for number in range(USUAL)]
        await asyncio.gather(*(stream.publish(each.subject, encode(each)) for each in made))


class Course:
    """The way of a large order to its finding, and that of a bare message there and back."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._heard, self._back = asyncio.Event(), asyncio.Event()
        self._about = ""
        self.next = 0

    async def open(self) -> None:
        await self._client.subscribe(FINDING, cb=self._hear)
        await self._client.subscribe(PONG, cb=self._return)

    async def _hear(self, message) -> None:
        if self._about in message.data:
            self._heard.set()

    async def _return(self, _message) -> None:
        self._back.set()

    async def finding_ms(self, patience: float = 10.0) -> float:
        """Send one large order; return the time until its finding is heard."""
        event = order(self.next, USUAL, 10_000)
        self.next += 1
        self._about = event.event_id.encode()
        self._heard.clear()
        began = now()
        await self._client.publish(event.subject, encode(event))
        async with asyncio.timeout(patience):
            await self._heard.wait()
        return (now() - began) * 1000

    async def bare_ms(self) -> float:
        """Send one bare message there and back."""
        self._back.clear()
        began = now()
        await self._client.publish(PING, bytes(400))
        async with asyncio.timeout(10):
            await self._back.wait()
        return (now() - began) * 1000

    async def sample(self, count: int) -> tuple[list[float], list[float]]:
        """Measure both in turn."""
        bare, findings = [], []
        for _ in range(count):
            bare.append(await self.bare_ms())
            findings.append(await self.finding_ms())
            await asyncio.sleep(APART_SECONDS)
        return bare, findings


async def echo(client: Client) -> None:
    """Read bare messages from the stream and put each back."""
    subscription = await client.jetstream().pull_subscribe(PING, durable="bench-echo")
    print("ready", flush=True)
    while True:
        try:
            messages = await subscription.fetch(1, timeout=30)
        except TimeoutError:
            continue
        for message in messages:
            await client.jetstream().publish(PONG, message.data)
            await message.ack()


async def feed(client: Client) -> None:
    """Print trades of ten instruments, in bursts of ten milliseconds."""
    print("ready", flush=True)
    began, number = now(), 0
    while True:
        while number < (now() - began) * TRADES_A_SECOND:
            number += 1
            at = rfc3339(now_ns())
            trade = Trade(
                symbol=f"N{number % 10}", trade_id=str(number // 10), venue="X",
                price=Decimal(number % 97 + 1), size=Decimal(number % 89 + 1), currency="USD",
                venue_time=at, aggressor="buy",
            )  # fmt: skip
            event = TradePrinted(
                event_id=f"bench-trade-{number}", timestamp=at, actor="bench",
                subject_id=trade.symbol, data=trade,
            )  # fmt: skip
            await client.publish(event.subject, encode(event))
        await asyncio.sleep(0.01)


@asynccontextmanager
async def beside(settings: Settings, what: str) -> AsyncIterator[None]:
    """A part of this file in a process of its own."""
    code = [sys.executable, __file__, what, settings.home, str(settings.nats.port)]
    process = await asyncio.create_subprocess_exec(*code, stdout=subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def measure(settings: Settings) -> list[Row]:
    """Return the table rows."""
    worker = Worker(settings, "watchdogs")
    try:
        async with admin(settings) as client, beside(settings, "echo"):
            await publish_usual(client, range(2 * SAMPLES + 20))
            course = Course(client)
            await course.open()
            await course.finding_ms(120)  # from here on it is ready
            await course.sample(9)
            rows = _rows("idle", *await course.sample(SAMPLES))
            async with beside(settings, "feed"):
                await course.sample(10)
                rows += _rows(f"{TRADES_A_SECOND:,} trades/s", *await course.sample(SAMPLES))
    finally:
        worker.stop()
    return rows


def _rows(when: str, bare: list[float], findings: list[float]) -> list[Row]:
    above = percentile(findings, 0.99) - percentile(bare, 0.99)
    return [
        Row(f"bare message through the stream and back, p99, {when}", percentile(bare, 0.99), "ms"),
        Row(f"event to finding, p50, {when}", percentile(findings, 0.5), "ms"),
        Row(f"event to finding, p99, {when}", percentile(findings, 0.99), "ms"),
        Row(
            f"event to finding, p99 above the bare bus, {when}", above, "ms", f"<= {ABOVE_MS:g}",
            above <= ABOVE_MS, "5 ms of gathering, one query, one signature",
        ),
    ]  # fmt: skip


async def _beside(what: str, home: str, port: str) -> None:
    settings = Settings(home=home, nats=Nats(port=int(port)))
    async with admin(settings) as client:
        await {"echo": echo, "feed": feed}[what](client)


if __name__ == "__main__":
    asyncio.run(_beside(*sys.argv[1:]))
