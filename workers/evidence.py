"""Documents each halt afterwards: what led to it in the log, and what was held at that moment.

A halt never waits for this. It reads the log like the projection, and publishes each record until
the stream has it; killed at any point it reads the log again and publishes what is missing.
"""

from prometheus_client import CollectorRegistry, Counter

from operations.adapters import ledger, service_bus
from operations.adapters.log_evidence import LogEvidence
from workers.runtime import WORKER, Runtime

NAME = "evidence"
IDLE_SECONDS = 0.2


async def run(runtime: Runtime) -> None:
    """Follow the log until the process is asked to stop."""
    settings, metrics = runtime.settings, runtime.once(Metrics)
    async with (
        ledger.connection(settings.postgres, NAME) as connected,
        service_bus.publisher(settings, NAME) as publisher,
    ):
        evidence = LogEvidence(connected, NAME)
        while not runtime.stopping.is_set():
            if not await evidence.advance():
                runtime.condition(
                    WORKER, ok=True, detail=f"reading the log, at entry {evidence.next_sequence}"
                )
                continue
            for record in list(evidence.ready.values()):
                await publisher.confirm(record)
                metrics.documented.inc()
                del evidence.ready[record.event_id]
            runtime.condition(WORKER, ok=True, detail="every halt in the log is documented")
            await runtime.pause(IDLE_SECONDS)


class Metrics:
    """What the evidence worker tells Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.documented = Counter("halts_documented", "Halts documented", registry=registry)
