"""Runs watchdogs: reads what they need from the stream, and says what they find, signed and once.

It goes on from its newest snapshot, or from the beginning of the stream; what its findings of that
history lack in the stream is said before it is ready. It decides about no halt. The first process
also writes the minutes into the stream by which silence is judged.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from operations.adapters import accounts, judge, service_bus, stream, watch_board, watch_parts, wire
from operations.adapters.publisher import Publisher
from operations.adapters.steps import Step, onward
from operations.adapters.stream import Reader
from operations.adapters.watch import Watch
from operations.adapters.watch_board import Board
from operations.audit.chain import Delivery
from operations.clock import NANOSECONDS, monotonic_ns, now_ns
from operations.config import Settings
from operations.errors import Rejected
from workers.runtime import WORKER, Runtime

NAME = accounts.WATCHDOGS
AT_ONCE = 4000  # messages folded before anything else gets its turn
GATHER_SECONDS = 0.005
LEADER = 1  # the process that writes the minutes


async def run(runtime: Runtime, at: Step = onward) -> None:
    """Follow the stream until the process is asked to stop."""
    settings, kept = runtime.settings, runtime.once(Kept)
    instance = settings.watch.instance
    async with (
        wire.connection(settings.nats, NAME) as client,
        service_bus.publisher(settings, NAME) as publisher,
    ):
        found = await stream.info(client, settings.nats.stream)
        watch = kept.watch_of(settings, found.created_ns)
        reader = Reader(client, settings.nats.stream, f"{NAME}-{instance}", filtered=True)
        await reader.rewind(max(watch.reached + 1, found.state.first_seq, 1))
        at("rewound")
        said, board = service_bus.Said(publisher, at), Board(settings, client, watch)
        minutes = Minutes(publisher, now_ns() - found.at_ns) if instance == LEADER else None
        ready = False
        try:
            while not runtime.stopping.is_set():
                kept.take(watch, await together(reader, live=ready), live=ready)
                at("folded")
                watch.refresh()
                ready = ready or not (reader.waiting or await reader.has_more())
                if ready:
                    await said.say(watch.waiting)
                    await publish_measures(publisher, watch)
                    kept.save(settings, watch)
                    at("saved")
                if ready and minutes is not None:
                    await minutes.tick(watch.minute)
                await board.show(ready=ready)
                good = ready and not (watch.engine.problems or kept.problem)
                detail = kept.problem or _detail(watch, ready=ready)
                runtime.condition(WORKER, ok=good, detail=detail)
        finally:
            kept.save_now(settings, watch)


async def together(reader: Reader, *, live: bool) -> Sequence[Delivery]:
    """Return what has come; when live, with what comes within some ms after the first.

    Each look is a question to a database, which costs more than the messages of that time.
    """
    first = await reader.read(AT_ONCE, 0.5)
    if live and first and len(first) < AT_ONCE:
        await asyncio.sleep(GATHER_SECONDS)
        if reader.waiting:
            first += await reader.read(AT_ONCE - len(first))
    return first


async def publish_measures(publisher: Publisher, watch: Watch) -> None:
    """Say what the tables held at the last minute at which they were measured."""
    while watch.measures:
        await publisher.publish(watch.measures.pop(0))


class Minutes:
    """Writes each minute of the bus into the stream."""

    def __init__(self, publisher: Publisher, ahead_ns: int) -> None:
        self._publisher, self._ahead_ns = publisher, ahead_ns
        self._said = 0

    async def tick(self, newest: int) -> None:
        """Say the minute that has begun unless the stream holds it; `newest` is what it holds."""
        minute = (now_ns() - self._ahead_ns) // (60 * NANOSECONDS)
        self._said = max(self._said, newest)
        if minute > self._said:
            self._said = minute
            await self._publisher.publish(watch_board.minute_event(minute, self._ahead_ns))


def _detail(watch: Watch, *, ready: bool) -> str:
    if not ready:
        return f"reading the stream, at {watch.reached}"
    if watch.engine.problems:
        name, problem = next(iter(watch.engine.problems.items()))
        return f"{name}: {problem}"
    standings = watch.engine.standings.values()
    open_now = sum(standing.episode is not None for standing in standings)
    unknown = sum(one.state == "unknown" and one.mode != "off" for one in standings)
    return f"{len(standings)} units watched, {open_now} findings open, {unknown} unknown"


class Kept:
    """What outlives a connection: the fold of the stream, and what is told to Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._watch: Watch | None = None
        self._stream_created_ns = 0
        self._saved_ns = monotonic_ns()
        self.problem = ""  # of the last snapshot
        self._threads = ThreadPoolExecutor(1, "snapshot")
        self._saving: Future[None] | None = None
        self._seconds = Histogram(
            "watchdog_look_seconds",
            "Time for all looks of one watchdog that one batch of events made due",
            ["watchdog"],
            buckets=(0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
            registry=registry,
        )
        self._looks = Counter("watchdog_looks", "Looks taken", registry=registry)
        self._sequence = Gauge(
            "watchdog_stream_sequence", "Last event of the stream folded", registry=registry
        )
        self._standing = Gauge(
            "watchdog_standing", "Units by state", ["watchdog", "state"], registry=registry
        )
        self._waiting = Gauge(
            "watchdog_findings_waiting", "Findings that the stream lacks", registry=registry
        )

    def watch_of(self, settings: Settings, stream_created_ns: int) -> Watch:
        """Return the fold so far; at a start from the newest snapshot, for another stream anew."""
        if self._watch is None or self._stream_created_ns != stream_created_ns:
            folder = settings.watch_path
            judging = judge.for_service(settings, folder / "roster.json")
            funds = watch_parts.named(settings.watch.funds)
            build = partial(watch_parts.parts, settings, self._note_look)
            name = f"{NAME}-{settings.watch.instance}"
            watch = Watch(judging, build, stream_created_ns, funds, name)
            watch.load(folder)
            self._watch, self._stream_created_ns = watch, stream_created_ns
        return self._watch

    def _note_look(self, name: str, took_ns: int) -> None:
        self._seconds.labels(name).observe(took_ns / NANOSECONDS)

    def take(self, watch: Watch, deliveries: Sequence[Delivery], *, live: bool) -> None:
        """Fold a batch, and tell Prometheus where everything stands."""
        before = watch.engine.looks
        watch.take(deliveries, live=live)
        self._looks.inc(watch.engine.looks - before)
        self._sequence.set(watch.reached)
        self._waiting.set(len(watch.waiting))
        counts: dict[tuple[str, str], int] = {}
        for each in watch.engine.standings.values():
            if each.mode == "off":
                continue  # nobody looks because somebody said so
            key = each.watchdog, each.state
            counts[key] = counts.get(key, 0) + 1
        for watchdog in watch.engine.watchdogs:
            for state in watch_board.STATES:
                self._standing.labels(watchdog.name, state).set(
                    counts.get((watchdog.name, state), 0)
                )

    def save(self, settings: Settings, watch: Watch) -> None:
        """Begin a snapshot when its time has come and nothing waits to be said.

        A thread writes it: that takes about a second, and events do not wait.
        """
        if self._saving is not None and self._saving.done():
            self._end(self._saving)
        wait_ns = settings.watch.snapshot_seconds * NANOSECONDS
        if self._saving is not None or monotonic_ns() - self._saved_ns < wait_ns:
            return
        if (write := watch.freeze(settings.watch_path)) is not None:
            self._saving = self._threads.submit(write)
            self._saved_ns = monotonic_ns()

    def save_now(self, settings: Settings, watch: Watch) -> None:
        """Save a snapshot before the process ends, unless something waits to be said."""
        if self._saving is not None:
            self._end(self._saving)
        if (write := watch.freeze(settings.watch_path)) is not None:
            self._end(self._threads.submit(write))

    def _end(self, saving: Future[None]) -> None:
        """Wait until a snapshot is written; what went wrong costs only a longer start."""
        try:
            saving.result()
            self.problem = ""
        except Rejected as error:
            self.problem = str(error)
        self._saving = None
