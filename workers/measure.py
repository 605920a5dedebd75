"""Measures what the stream does not say by itself, and says it there: services and the database.

It judges nothing. Whatever it finds becomes an event first, and the watchdogs judge the event. It
fetches only addresses that are allowed, and vacuums only named tables, when a watchdog that may act
asks for it.
"""

import asyncio

from prometheus_client import CollectorRegistry, Gauge

from operations.adapters import accounts, judge, service_bus, wire
from operations.adapters.database_watch import DatabaseWatch
from operations.adapters.follower import Follower
from operations.adapters.measure_orders import MeasureOrders
from operations.adapters.polling import Polling
from operations.adapters.steps import Step, onward
from operations.clock import now_ns
from operations.measuring import Allowed
from workers.runtime import WORKER, Runtime, first_of

NAME = accounts.MEASURE
SHOW_SECONDS = 0.5


async def run(runtime: Runtime, at: Step = onward) -> None:
    """Measure until the process is asked to stop."""
    settings = runtime.settings
    allowed = Allowed(settings.measure.allowed)
    judging = judge.for_service(settings, settings.path("measure", "roster.json"))
    async with (
        wire.connection(settings.nats, NAME) as client,
        service_bus.publisher(settings, NAME) as publisher,
    ):
        heard = MeasureOrders(judging)
        follower = Follower(client, settings.nats.stream, NAME)
        polling = Polling(allowed, publisher.confirm, at)
        database = DatabaseWatch(settings, publisher.confirm, at)
        while not (runtime.stopping.is_set() or await follower.at_end()):
            await _read(follower, heard)
            detail = f"reading what the stream orders; {follower.problem}"
            runtime.condition(WORKER, ok=False, detail=detail)
        await first_of(
            _follow(follower, heard),
            polling.run(heard.orders.services),
            database.measure(),
            database.maintain(heard.orders.wanted),
            _show(runtime, heard, polling, database),
            runtime.stopping.wait(),
        )


async def _read(follower: Follower, heard: MeasureOrders) -> None:
    for delivery in await follower.read():
        heard.take(delivery)
    heard.refresh()


async def _follow(follower: Follower, heard: MeasureOrders) -> None:
    while True:
        await _read(follower, heard)
        if follower.problem:
            await asyncio.sleep(SHOW_SECONDS)


async def _show(
    runtime: Runtime, heard: MeasureOrders, polling: Polling, database: DatabaseWatch
) -> None:
    """Say how it is: the database apart, because services are polled without it."""
    metrics = runtime.once(Metrics)
    while True:
        services = heard.orders.services
        detail = f"{len(services)} services polled, {len(polling.red)} of them red"
        if polling.refused:
            detail += "; not polled: " + ", ".join(sorted(polling.refused.values()))
        if heard.refused:
            detail += f"; {heard.refused} messages refused"
        runtime.condition(WORKER, ok=not polling.refused, detail=detail)
        lacking = f"measured, except: {'; '.join(database.lacking)}" * bool(database.lacking)
        runtime.condition(
            "database", ok=not database.problem, detail=database.problem or lacking or "measured"
        )
        metrics.note(len(services), polling, database)
        await asyncio.sleep(SHOW_SECONDS)


class Metrics:
    """What the measuring process tells Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, words: str) -> Gauge:
            return Gauge(f"measure_{name}", words, registry=registry)

        self._services = gauge("services", "Services that are registered")
        self._red = gauge("red_services", "Services whose last poll failed")
        self._unpolled = gauge("unpolled_services", "Services whose address is not allowed")
        self._polls = gauge("polls", "Polls since the start")
        self._measurements = gauge("database_measurements", "Measurements since the start")
        self._database = gauge("database_ok", "1 when the database answers")
        self._vacuums = gauge("vacuums", "Tables vacuumed since the start")
        self._time = gauge("timestamp_seconds", "When this was written")

    def note(self, services: int, polling: Polling, database: DatabaseWatch) -> None:
        """Record how it is now."""
        self._services.set(services)
        self._red.set(len(polling.red))
        self._unpolled.set(len(polling.refused))
        self._polls.set(polling.polls)
        self._measurements.set(database.measured)
        self._database.set(not database.problem)
        self._vacuums.set(database.vacuums)
        self._time.set(now_ns() / 1e9)
