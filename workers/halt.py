"""Decides halts: hears every ask, answers at once, and keeps everybody's right to trade alive.

Several may run: each decides everything by itself, and deciding twice is deciding once. It hears
on core subscriptions, so a halt waits for no disk; it reads the stream for what lifts and for what
it missed. Each second it says what it holds to be halted and what the stream is good for.
"""

import asyncio
import gc
from contextlib import suppress

from prometheus_client import CollectorRegistry, Gauge, Histogram

from operations.adapters import judge, service_bus, wire
from operations.adapters.follower import Follower
from operations.adapters.halt_bus import HaltBus
from operations.adapters.halt_decider import HaltDecider
from operations.adapters.halt_journal import HaltJournal
from operations.adapters.halt_pulse import Pulse
from operations.adapters.judge import Received
from operations.adapters.steps import Step, onward
from operations.adapters.wire import WireClient
from operations.clock import NANOSECONDS, monotonic_ns
from operations.errors import Rejected, Retryable
from operations.halt.signals import BEAT_SECONDS
from workers.runtime import WORKER, Runtime, first_of

NAME = "halt"
TICK_SECONDS = 0.2
CONNECT_AGAIN_SECONDS = 0.25
RENEW_SECONDS = 60.0
IN_A_ROW = 16  # stored messages that are folded before what was heard gets its turn
# What order systems answer and what the stream repeats waits so long, so that the order systems
# that still have to block get the cores first.
PATIENCE_SECONDS = 0.01
BACKLOG = 50  # messages not looked at from which on this worker counts as busy
DAY_NS = 86_400 * NANOSECONDS
ANSWERS = "mts.v1.operations.halt.acknowledged."
SUBJECTS = (
    "mts.v1.operations.finding.*.*",
    "mts.v1.operations.command.*",
    "mts.v1.operations.halt.>",
    "mts.v1.operations.roster.published",
    "ops.v1.oms.lease.*",
)


async def run(runtime: Runtime, at: Step = onward) -> None:
    """Decide halts until the process is asked to stop."""
    settings = runtime.settings
    name = f"{NAME}-{settings.halt.instance}"
    folder = settings.halt_journal_path
    with HaltJournal(folder, name) as journal:
        judging = judge.for_service(settings, folder / f"{name}-roster.json")
        client = await _connect(runtime, name)
        try:
            bus = HaltBus(client, settings.nats.stream, service_bus.signer(settings), judging)
            decider = HaltDecider(settings, judging, bus, journal, at)
            follower = Follower(client, settings.nats.stream, name)
            pulse = Pulse(settings, client, bus)
            await Loop(runtime, bus, decider, follower, pulse).run()
        finally:
            await wire.close(client)


async def _connect(runtime: Runtime, name: str) -> WireClient:
    """Connect as soon as the server is there: every order system waits for a heartbeat."""
    while True:
        try:
            return await wire.connect(runtime.settings.nats, name)
        except Retryable as error:
            runtime.condition(WORKER, ok=False, detail=str(error))
            await runtime.pause(CONNECT_AGAIN_SECONDS)
            if runtime.stopping.is_set():
                raise


class Loop:
    """What a halt worker does at the same time; the first trouble of one ends all."""

    def __init__(
        self,
        runtime: Runtime,
        bus: HaltBus,
        decider: HaltDecider,
        follower: Follower,
        pulse: Pulse,
    ) -> None:
        self._runtime, self._metrics = runtime, runtime.once(Metrics)
        self._bus, self._decider, self._follower, self._pulse = bus, decider, follower, pulse
        self._unread = 0
        self._asks: asyncio.Queue[tuple[Received, int]] = asyncio.Queue()
        self._answers: asyncio.Queue[Received] = asyncio.Queue()

    async def run(self) -> None:
        """Work until the process is asked to stop; raises Retryable when the connection is lost."""
        await self._bus.listen(SUBJECTS, self._receive)
        # What was heard meanwhile waits for the server's time, by which signatures are judged.
        await self._pulse.probe(self._decider)
        listening = (self._answer_asks(), self._take_answers(), self._read(), self._settle())
        timed = (self._tick(), self._probe(), self._beat(), self._renew(), self._stopped())
        # A sixth of the time of a start: nothing of what is folded then is garbage.
        gc.disable()
        try:
            await first_of(*listening, *timed)
        finally:
            gc.enable()

    def _receive(self, received: Received) -> None:
        if received.subject.startswith(ANSWERS):
            self._answers.put_nowait(received)
        else:
            self._asks.put_nowait((received, monotonic_ns()))

    async def _take_answers(self) -> None:
        while True:
            received = await self._answers.get()
            await asyncio.sleep(PATIENCE_SECONDS)
            await self._decider.handle(received)
            while not self._answers.empty():
                await self._decider.handle(self._answers.get_nowait())
                await asyncio.sleep(0)

    async def _answer_asks(self) -> None:
        decider = self._decider
        while True:
            received, arrived_ns = await self._asks.get()
            before = decider.requests
            await decider.handle(received)
            if decider.requests > before:
                self._metrics.decision.observe((monotonic_ns() - arrived_ns) / NANOSECONDS)

    async def _read(self) -> None:
        decider = self._decider
        while True:
            found = await self._follower.read()
            if decider.folded:
                await asyncio.sleep(PATIENCE_SECONDS)
            for number, delivery in enumerate(found):
                with suppress(Rejected):  # a subject that is no text is no event
                    await decider.handle(judge.stored(delivery))
                self._unread = len(found) - number
                if number % IN_A_ROW == 0:
                    await asyncio.sleep(0)  # what is heard does not wait for what is read
            if found and decider.folded:
                await decider.due()
            if not found and not decider.folded and await self._follower.at_end():
                await decider.read_everything()
                # What was folded stays, so no later pause of the collector looks at it again.
                gc.collect()
                gc.freeze()
                gc.enable()
            if self._follower.problem:
                await asyncio.sleep(TICK_SECONDS)

    async def _settle(self) -> None:
        while True:
            await self._decider.settled(await self._bus.settle())

    async def _tick(self) -> None:
        while True:
            began_ns = monotonic_ns()
            await asyncio.sleep(TICK_SECONDS)
            late = (monotonic_ns() - began_ns) / NANOSECONDS - TICK_SECONDS
            heard = self._asks.qsize() + self._answers.qsize()
            backlog = heard + self._unread + self._follower.waiting
            self._pulse.busy = late > TICK_SECONDS or backlog > BACKLOG
            self._decider.refresh_roster()
            await self._decider.due()
            self._metrics.note(self._decider, self._bus, self._pulse)
            self._say_how_it_is()

    async def _probe(self) -> None:
        while True:
            await self._pulse.probe(self._decider)
            await asyncio.sleep(BEAT_SECONDS)

    async def _renew(self) -> None:
        """Keep active halts in a stream that forgets."""
        max_age_ns = self._runtime.settings.nats.max_age_days * DAY_NS
        while True:
            if max_age_ns and self._decider.folded:
                await self._decider.publish_again_before(max_age_ns)
            await asyncio.sleep(RENEW_SECONDS)

    async def _beat(self) -> None:
        await self._decider.answered.wait()  # the first one at once: everybody waits for it
        while True:
            await self._pulse.beat(self._decider)
            await asyncio.sleep(BEAT_SECONDS)

    async def _stopped(self) -> None:
        await self._runtime.stopping.wait()

    def _say_how_it_is(self) -> None:
        desk, stream = self._decider.desk, self._pulse.stream
        if not self._decider.folded:
            detail = f"halts are decided, nothing is lifted: {self._follower.problem or 'reading'}"
        else:
            detail = f"{len(desk.halts.active)} halts are active; the stream is {stream}"
        ok = self._decider.folded and stream == "ok" and not self._follower.problem
        self._runtime.condition(WORKER, ok=ok, detail=detail)


class Metrics:
    """What the halt worker tells Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.decision = Histogram(
            "halt_decision_seconds",
            "From the arrival of an ask until its halt was published",
            buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0),
            registry=registry,
        )
        self._blocking = Gauge(
            "halt_blocking_seconds",
            "From the newest request until an order system said that it blocks",
            ["oms"],
            registry=registry,
        )
        self._active = Gauge("halts_active", "Halts that are not over", registry=registry)
        self._unstored = Gauge(
            "halt_unstored_events", "Decisions that the stream has not taken yet", registry=registry
        )
        self._stream = Gauge("halt_stream_ok", "1 when the stream stores", registry=registry)

    def note(self, decider: HaltDecider, bus: HaltBus, pulse: Pulse) -> None:
        """Record how it is now."""
        desk = decider.desk
        self._active.set(len(desk.halts.active))
        self._unstored.set(len(bus.unstored))
        self._stream.set(pulse.stream == "ok")
        newest = next(reversed(desk.halts.active), None)
        if newest is None:
            return
        for row in desk.coverage.of(newest, desk.expected_by(newest), decider.now_ns).rows:
            if row.round_trip_ms is not None:
                self._blocking.labels(row.oms_id).set(row.round_trip_ms / 1000)
