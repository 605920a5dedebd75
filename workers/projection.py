"""Fills the read model from the log, so that people can search without touching the log.

It reads entries, never the stream: whatever it shows is in the log. It may be stopped, emptied and
filled again at any time.
"""

from prometheus_client import CollectorRegistry, Gauge

from operations.adapters import ledger, read_model
from workers.runtime import Runtime

NAME = "projection"
BATCH = 2000
IDLE_SECONDS = 0.2


async def run(runtime: Runtime) -> None:
    """Follow the log until the process is asked to stop."""
    settings, metrics = runtime.settings, runtime.once(Metrics)
    async with ledger.connection(settings.postgres, NAME) as connected:
        runtime.condition("worker", ok=True, detail="following the log")
        while not runtime.stopping.is_set():
            projected = await read_model.advance(connected, BATCH)
            if projected < BATCH:
                await metrics.note(connected, settings.audit.origin)
            if not projected:
                await runtime.pause(IDLE_SECONDS)


class Metrics:
    """What the projection tells Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._size = Gauge("projection_size", "Entries in the read model", registry=registry)
        self._lag = Gauge(
            "projection_lag_entries", "Entries of the log not in it yet", registry=registry
        )

    async def note(self, connected: ledger.Connection, origin: str) -> None:
        """Compare with the head of the log."""
        size = await read_model.position(connected)
        head = await ledger.head(connected, origin)
        self._size.set(size)
        self._lag.set(head.size - size if head else 0)
