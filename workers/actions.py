"""Says what becomes of actions: that their time is over, who ended them, and who does not answer.

It asks for nothing and ends nothing: order systems believe the orders of people themselves. It
reads the stream from its beginning, and says only then what the stream lacks.
"""

import asyncio
from contextlib import suppress

from prometheus_client import CollectorRegistry, Gauge

from operations.actions.due import KIND, KINDS
from operations.adapters import accounts, judge, service_bus, stream, wire
from operations.adapters.action_watch import ActionWatch, known_names
from operations.adapters.publisher import Acknowledgement, Publisher
from operations.adapters.steps import Step, onward
from operations.adapters.stream import Reader
from operations.clock import now_ns
from operations.config import Settings
from operations.errors import Rejected, Retryable
from workers.runtime import WORKER, Runtime

NAME = accounts.ACTIONS
Said = dict[str, asyncio.Future[Acknowledgement]]


async def run(runtime: Runtime, at: Step = onward) -> None:
    """Follow the stream until the process is asked to stop."""
    settings, kept = runtime.settings, runtime.once(Kept)
    async with (
        wire.connection(settings.nats, NAME) as client,
        service_bus.publisher(settings, NAME) as publisher,
    ):
        found = await stream.info(client, settings.nats.stream)
        watch = kept.watch_of(settings, found.created_ns)
        reader = Reader(client, settings.nats.stream, NAME, filtered=True, modest=True)
        await reader.rewind(max(watch.reached + 1, found.state.first_seq, 1))
        at("rewound")
        said: Said = {}
        ready = False
        while not runtime.stopping.is_set():
            for delivery in await reader.read():
                with suppress(Rejected):  # no subject of ours is not ASCII
                    watch.take(judge.stored(delivery))
                at("folded")
            watch.refresh()
            ready = ready or not (reader.waiting or await reader.has_more())
            if ready:
                await _say(watch, publisher, said, at)
            kept.note(watch)
            runtime.condition(WORKER, ok=ready, detail=_detail(watch, ready=ready))


async def _say(watch: ActionWatch, publisher: Publisher, said: Said, at: Step) -> None:
    """Publish what is due, once in the life of this publisher.

    Raises Retryable when the server refuses one: nothing that is due may be lost quietly.
    """
    due = {event.event_id: event for event in watch.due(now_ns())}
    for event_id, event in due.items():
        if event_id not in said:
            said[event_id] = await publisher.publish(event, wait=True)
            at("said")
    for event_id, stored in list(said.items()):
        if stored.done() and (error := stored.exception()) is not None:
            raise Retryable(f"what became of an action was refused: {error}")
        if stored.done() and event_id not in due:
            del said[event_id]


def _detail(watch: ActionWatch, *, ready: bool) -> str:
    if not ready:
        return f"reading the stream, at {watch.reached}"
    active = sum(1 for _ in watch.actions.active())
    denied = f", {watch.denied} messages refused" if watch.denied else ""
    return f"{active} actions in force, {len(watch.raised)} findings{denied}"


class Kept:
    """What outlives a connection: the fold of the stream, and what is told to Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._watch: ActionWatch | None = None
        self._stream_created_ns = 0
        self._active = Gauge("actions_in_force", "Actions that are not over", registry=registry)
        self._raised = Gauge(
            "actions_findings", "Findings not cleared, by their kind", [KIND], registry=registry
        )
        self._denied = Gauge(
            "actions_messages_refused", "Messages without a valid signature", registry=registry
        )
        self._sequence = Gauge("actions_stream_sequence", "Last event folded", registry=registry)
        self._time = Gauge(
            "actions_look_timestamp_seconds", "When events were last looked for", registry=registry
        )

    def watch_of(self, settings: Settings, stream_created_ns: int) -> ActionWatch:
        """Return the fold so far; another stream is folded from its beginning."""
        if self._watch is None or self._stream_created_ns != stream_created_ns:
            memory = settings.path("actions", "roster.json")
            systems = known_names(settings.halt.order_systems)
            self._watch = ActionWatch(judge.for_service(settings, memory), systems)
            self._stream_created_ns = stream_created_ns
        return self._watch

    def note(self, watch: ActionWatch) -> None:
        """Record how things are after a look."""
        kinds = [
            each.value
            for finding in watch.raised.values()
            for each in finding.data.parameters
            if each.name == KIND
        ]
        for kind in KINDS:
            self._raised.labels(kind).set(kinds.count(kind))
        self._active.set(sum(1 for _ in watch.actions.active()))
        self._denied.set(watch.denied)
        self._sequence.set(watch.reached)
        self._time.set(now_ns() / 1e9)
