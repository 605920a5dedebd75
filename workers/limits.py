"""Watches the limits of funds and strategies, and says at once and signed when one is broken.

It reads the stream from its beginning, whatever happened before, and says what its findings of
that history lack in the stream; only then it is ready. Halting is the halt workers' decision.
"""

from prometheus_client import CollectorRegistry, Gauge

from operations.adapters import accounts, judge, service_bus, stream, wire
from operations.adapters.limit_watch import LimitWatch
from operations.adapters.steps import Step, onward
from operations.adapters.stream import Reader
from operations.clock import now_ns
from operations.config import Settings
from operations.halt.triggers import CHECKS
from workers.runtime import WORKER, Runtime

NAME = accounts.LIMITS
FIRST_SEQUENCE = 1


async def run(runtime: Runtime, at: Step = onward) -> None:
    """Follow the stream until the process is asked to stop."""
    settings, kept = runtime.settings, runtime.once(Kept)
    async with (
        wire.connection(settings.nats, NAME) as client,
        service_bus.publisher(settings, NAME) as publisher,
    ):
        found = await stream.info(client, settings.nats.stream)
        watch = kept.watch_of(settings, found.created_ns)
        reader = Reader(client, settings.nats.stream, NAME, filtered=True)
        await reader.rewind(max(watch.reached + 1, found.state.first_seq, FIRST_SEQUENCE))
        at("rewound")
        said = service_bus.Said(publisher, at)
        ready = False
        while not runtime.stopping.is_set():
            for delivery in await reader.read():
                watch.take(delivery)
                at("folded")
            watch.refresh()
            ready = ready or not (reader.waiting or await reader.has_more())
            if ready:
                await said.say(watch.waiting)
            kept.note(watch)
            good = ready and not watch.failed
            runtime.condition(WORKER, ok=good, detail=_detail(watch, ready=ready))


def _detail(watch: LimitWatch, *, ready: bool) -> str:
    if not ready:
        return f"reading the stream, at {watch.reached}"
    if watch.failed:
        return watch.failed
    raised = sum(1 for _ in watch.triggers.raised())
    refused = f", {refused} messages refused" if (refused := watch.refused) else ""
    return f"{len(watch.triggers.funds)} funds watched, {raised} limits broken{refused}"


class Kept:
    """What outlives a connection: the fold of the stream, and what is told to Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._watch: LimitWatch | None = None
        self._stream_created_ns = 0
        self._raised = Gauge(
            "limits_broken", "Findings raised that ask for a halt", ["check"], registry=registry
        )
        self._waiting = Gauge(
            "limits_findings_waiting", "Findings that the stream does not hold", registry=registry
        )
        self._sequence = Gauge("limits_stream_sequence", "Last event judged", registry=registry)
        self._time = Gauge(
            "limits_look_timestamp_seconds", "When events were last looked for", registry=registry
        )
        self._refused = Gauge(
            "limits_messages_refused",
            "Halts and lifts without a valid signature",
            registry=registry,
        )

    def watch_of(self, settings: Settings, stream_created_ns: int) -> LimitWatch:
        """Return the fold so far; another stream is folded from its beginning."""
        if self._watch is None or self._stream_created_ns != stream_created_ns:
            memory = settings.path("limits", "roster.json")
            self._watch = LimitWatch(judge.for_service(settings, memory))
            self._stream_created_ns = stream_created_ns
        return self._watch

    def note(self, watch: LimitWatch) -> None:
        """Record how things are after a look."""
        raised = [finding.check for finding in watch.triggers.raised()]
        for check in CHECKS:
            self._raised.labels(check).set(raised.count(check))
        self._waiting.set(len(watch.waiting))
        self._sequence.set(watch.reached)
        self._time.set(now_ns() / 1e9)
        self._refused.set(watch.refused)
