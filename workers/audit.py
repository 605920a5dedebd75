"""Records every event of the stream in the log: read, link, commit, acknowledge.

The order of the steps is the promise. Entries and head are committed together before anything is
acknowledged, and after any trouble everything starts over from the committed head; so whatever is
killed when, each message is in the log exactly once and in stream order.
"""

from contextlib import aclosing

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from operations.adapters import adoption_judge, continuity, keyfiles, ledger, stream, wire
from operations.adapters.continuity import StreamChanged
from operations.adapters.ledger import SealerLedger
from operations.adapters.sealer import Committed, Sealer
from operations.adapters.steps import Step, onward
from operations.adapters.stream import Reader
from operations.audit import chain
from operations.audit.chain import Head, Tail
from operations.clock import now_ns
from operations.config import Settings
from workers.runtime import Runtime

CONSUMER = "audit"


async def run(runtime: Runtime, at: Step = onward) -> None:
    """Seal the stream until the process is asked to stop."""
    settings, metrics = runtime.settings, runtime.once(Metrics)
    async with (
        ledger.connection(settings.postgres, CONSUMER) as connected,
        wire.connection(settings.nats, CONSUMER) as client,
    ):
        log = SealerLedger(connected, settings.audit.origin)
        head = await log.take_over() or await _create(log, client, settings)
        at("taken over")
        reader = Reader(client, settings.nats.stream, CONSUMER)
        head = await _resume(client, reader, connected, log, head, settings)
        runtime.condition("worker", ok=True, detail=f"sealing from entry {head.size} on")
        async with aclosing(Sealer(log, reader, head, at)) as sealer:
            while not runtime.stopping.is_set():
                metrics.note(await sealer.turn(), reader)
            metrics.note(await sealer.drain(), reader)


async def _resume(
    client: wire.WireClient,
    reader: Reader,
    connected: ledger.Connection,
    log: SealerLedger,
    head: Head,
    settings: Settings,
) -> Head:
    """Go on where the log ends; on another stream only if a person ordered it."""
    name = settings.nats.stream
    try:
        await continuity.resume(client, reader, name, await ledger.tail(connected, head))
    except StreamChanged:
        adopted = await adoption_judge.find(client, settings, head)
        if adopted is None:
            raise
        await log.append(head, adopted)
        head = adopted.head
        await continuity.resume(client, reader, name, Tail(head, None))
    return head


async def _create(log: SealerLedger, client: wire.WireClient, settings: Settings) -> Head:
    """Begin a log: its first entry says what it is and how to check it."""
    found = await stream.info(client, settings.nats.stream)
    public_key = str(keyfiles.read_public(settings.public_key_path)[0])
    genesis = chain.first_entry(
        settings.audit.origin, public_key, settings.nats.stream, found.created_ns
    )
    await log.create(genesis)
    return genesis.head


class Metrics:
    """What the sealer tells Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._entries = Counter("audit_entries", "Entries committed to the log", registry=registry)
        self._size = Gauge("audit_log_size", "Entries in the log", registry=registry)
        self._batch = Histogram(
            "audit_batch_entries",
            "Entries in one transaction",
            buckets=(1, 10, 100, 500, 1000, 2000, 4000, 8000),
            registry=registry,
        )
        self._commit = Histogram(
            "audit_commit_seconds", "Time of one transaction", registry=registry
        )
        self._lag = Gauge(
            "audit_lag_seconds", "Age of the newest event when it was committed", registry=registry
        )
        self._waiting = Gauge(
            "audit_waiting_messages", "Messages received and not yet linked", registry=registry
        )

    def note(self, batch: Committed | None, reader: Reader) -> None:
        """Record one committed batch."""
        self._waiting.set(reader.waiting)
        if batch is None:
            return
        self._entries.inc(batch.entries)
        self._size.set(batch.head.size)
        self._batch.observe(batch.entries)
        self._commit.observe(batch.seconds)
        self._lag.set((now_ns() - chain.position(batch.newest[1])[1]) / 1e9)
