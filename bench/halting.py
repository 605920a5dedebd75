"""How long after a finding was published does every order system block?

A finding that is enough to stop a fund goes out; a halt worker decides; three order systems, each
a process of its own with the real library, block and ask their own gate. Timed is until the last of
the three has been denied its probe, by the one clock of the machine. In turn with it, on the same
servers, goes a bare message over two hops: to a process and back. First with nothing else running,
then while the audit worker drains a full stream.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from rig import Row, Worker, admin, database, now, percentile, prefill

from operations import config
from operations.adapters import accounts, credentials, roster_files, wire
from operations.adapters.oms_cancels import OrderSystem
from operations.adapters.ports import free_port
from operations.clock import new_event_id, now_ns, parse_rfc3339, rfc3339
from operations.config import Nats, Settings
from operations.events.base import encode
from operations.events.findings import Finding, FindingRaised, Parameter
from operations.oms import Oms, configured
from operations.signing.message import HEADER, Signer

EVENTS = 300_000
SAMPLES = 1000
APART_SECONDS = 0.02  # what follows a halt, as its storing, is over before the next one
PING, PONG = "ops.v1.bench.ping", "ops.v1.bench.pong"
ACKNOWLEDGED = "mts.v1.operations.halt.acknowledged.*"
RATIO, LONGEST_MS = 5.0, 50.0


class NoOrders(OrderSystem):
    """An order system without orders."""

    async def cancel_orders(self, orders, halt_id) -> None:
        """Cancel nothing."""

    async def send_exit(self, order) -> None:
        """Send nothing."""


async def order_system(oms_id: str) -> None:
    """Run one order system until the process is ended."""
    settings = config.load()
    folder = Path(settings.home) / f"bench-{oms_id}"
    async with Oms(configured(settings, oms_id, folder), NoOrders()):
        await asyncio.Event().wait()


async def relay(home: str, port: int) -> None:
    """Send every bare message back."""
    async with admin(Settings(home=home, nats=Nats(port=port))) as client:

        async def back(message) -> None:
            await client.publish(PONG, message.data)

        await client.subscribe(PING, cb=back)
        await asyncio.Event().wait()


class Bench:
    """The two connections that measure: one speaks as the limits worker, one listens."""

    def __init__(self, settings: Settings, speaker, listener) -> None:
        self._speaker, self._listener = speaker, listener
        key = roster_files.read_private(credentials.service_key_file(settings, "limits"))
        self._signer = Signer(key, settings.audit.origin, settings.environment)
        self._blocking: dict[str, dict[str, int]] = {}
        self._blocked_ns = self._funds = 0
        self._done = asyncio.Event()
        self._back = asyncio.Event()
        self.bare_ms: list[float] = []
        self.halt_ms: list[float] = []

    async def listen(self) -> None:
        await self._listener.subscribe_raw(ACKNOWLEDGED, self._take)
        await self._speaker.subscribe_raw(PONG, lambda *_: self._back.set())
        await self._listener.flush()

    def _take(self, _subject, _reply, _headers, payload) -> None:
        event = msgspec.json.decode(payload)
        data = event["data"]
        if data["phase"] == "BLOCKING":
            blocking = self._blocking.setdefault(data["halt_id"], {})
            blocking.setdefault(data["oms_id"], parse_rfc3339(event["timestamp"]))
            if len(blocking) == len(accounts.OMS):
                self._blocked_ns = max(blocking.values())
                self._done.set()

    async def bare(self) -> None:
        """Time one message there and back."""
        self._back.clear()
        began = now()
        await self._speaker.publish(PING, bytes(300))
        await asyncio.wait_for(self._back.wait(), 10)
        self.bare_ms.append((now() - began) * 1000)

    async def halt(self) -> None:
        """Time one finding until every order system blocks."""
        self._funds += 1
        self._done.clear()
        event = finding(f"fund-{self._funds}")
        payload = encode(event)
        headers = {HEADER: self._signer(event.subject, payload)}
        began_ns = now_ns()
        await self._speaker.publish(event.subject, payload, headers=headers)
        await asyncio.wait_for(self._done.wait(), 10)
        self.halt_ms.append((self._blocked_ns - began_ns) / 1e6)

    async def sample(self, count: int, more) -> tuple[list[float], list[float]]:
        """Measure both in turn, up to a count and as long as `more` says."""
        self.bare_ms, self.halt_ms = [], []
        while len(self.halt_ms) < count and more():
            await self.bare()
            await self.halt()
            await asyncio.sleep(APART_SECONDS)
        return self.bare_ms, self.halt_ms


def finding(fund_id: str) -> FindingRaised:
    data = Finding(
        check="drawdown",
        episode=new_event_id(),
        severity="critical",
        title=f"{fund_id} fell too far",
        looked_at=rfc3339(now_ns()),
        rule_version="1",
        statistic=0.2,
        threshold=0.05,
        parameters=(Parameter(name="confirmations", value="3"),),
        mode="act",
        halt_level="fund",
    )
    return FindingRaised(
        event_id=new_event_id(),
        timestamp=rfc3339(now_ns()),
        actor="bench",
        subject_id=fund_id,
        fund_id=fund_id,
        data=data,
    )


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[None]:
    """Run a halt worker, three order systems and the relay."""
    processes = [Worker(settings, "halt").process]
    for oms_id in accounts.OMS:
        environment = credentials.order_system_environment(settings, oms_id, free_port())
        processes.append(
            subprocess.Popen(
                [sys.executable, __file__, "oms", oms_id],
                env=config.subprocess_environment(environment),
            )
        )
    code = [sys.executable, __file__, "relay", settings.home, str(settings.nats.port)]
    processes.append(subprocess.Popen(code))
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def user(settings: Settings, name: str) -> Nats:
    password = credentials.ensure_secret(credentials.nats_secret_file(settings, name))
    return Nats(port=settings.nats.port, user=name, password=password)


async def open_for_trade(client) -> None:
    """Wait until every order system reports that nothing holds it."""
    ready: set[str] = set()

    def take(_subject, _reply, _headers, payload) -> None:
        report = json.loads(payload)
        if report["mode"] is None:
            ready.add(report["oms_id"])

    heard = await client.subscribe_raw("ops.v1.oms.lease.*", take)
    while len(ready) < len(accounts.OMS):
        await asyncio.sleep(0.1)
    await client.unsubscribe_raw(heard)


async def measure(settings: Settings) -> list[Row]:
    """Return the table rows."""
    await prefill(settings, EVENTS)
    async with (
        running(settings),
        wire.connection(user(settings, accounts.ADMIN), "bench") as speaker,
        wire.connection(user(settings, "operator"), "bench") as listener,
        database(settings) as connected,
    ):
        bench = Bench(settings, speaker, listener)
        await bench.listen()
        await open_for_trade(listener)
        await bench.sample(50, lambda: True)
        rows = _rows("idle", *await bench.sample(SAMPLES, lambda: True))
        worker = Worker(settings, "audit")
        try:
            while not await connected.fetchval("SELECT count(*) FROM audit.head"):
                await asyncio.sleep(0.05)
            before, began = await _sealed(connected), now()
            busy = await bench.sample(SAMPLES, lambda: worker.process.poll() is None)
            rate = (await _sealed(connected) - before) / (now() - began)
        finally:
            worker.stop()
        rows += _rows("while the audit worker drains", *busy)
        return [*rows, Row("sealed meanwhile", rate, "events/s")]


async def _sealed(connected) -> int:
    return await connected.fetchval("SELECT max(size) FROM audit.head")


def _rows(when: str, bare: list[float], halts: list[float]) -> list[Row]:
    ratio = percentile(halts, 0.99) / percentile(bare, 0.99)
    longest = percentile(halts, 0.999)
    bound = "signatures: one made and four checked in Python, by five processes on these cores"
    return [
        Row(f"two bare hops, p99, {when}", percentile(bare, 0.99), "ms"),
        Row(f"two bare hops, p99.9, {when}", percentile(bare, 0.999), "ms"),
        Row(f"finding to 3/3 blocking, p50, {when}", percentile(halts, 0.5), "ms"),
        Row(
            f"finding to 3/3 blocking, p99, {when}", percentile(halts, 0.99), "ms", "", None, bound
        ),
        Row(f"that against two bare hops, {when}", ratio, "times", f"<= {RATIO:g}", ratio <= RATIO),
        Row(
            f"finding to 3/3 blocking, p99.9, {when}",
            longest,
            "ms",
            f"< {LONGEST_MS:g}",
            longest < LONGEST_MS,
            "one in a thousand waits for a core: see the bare hops beside it",
        ),
    ]


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "oms":
        asyncio.run(order_system(words[0]))
    else:
        asyncio.run(relay(words[0], int(words[1])))
