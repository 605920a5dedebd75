"""What a halt worker says every second, and what it does when the stream takes nothing.

A heartbeat gives every order system the right to trade for three more seconds, so it is sent only
by a worker that has read the whole stream. Where core messages still pass but nothing is stored,
trading would go on with every watchdog blind: then, after some seconds, the firm may only reduce.
A server that nobody reaches at all needs no such halt: no heartbeat passes either.
"""

import uuid

import msgspec

from operations.adapters import stream_probe
from operations.adapters.halt_bus import HaltBus
from operations.adapters.halt_decider import HaltDecider
from operations.adapters.wire import WireClient
from operations.clock import NANOSECONDS, monotonic_ns, now_ns, rfc3339
from operations.config import Settings
from operations.halt.signals import HEARTBEAT, Heartbeat, Stream

WORDS: dict[Stream, str] = {
    "frozen": "the stream stores nothing, so no watchdog sees anything",
    "full": "the stream is full, so no watchdog sees anything new",
}


class Pulse:
    """The heartbeat of one run of one halt worker, and its view of the stream."""

    def __init__(self, settings: Settings, client: WireClient, bus: HaltBus) -> None:
        self.stream: Stream = "unreachable"
        self.busy = False  # whether this worker is behind with its own work
        self._settings, self._client, self._bus = settings, client, bus
        self._worker = f"halt-{settings.halt.instance}"
        self._run = uuid.uuid4().hex
        self._count = 0
        self._last_sequence: int | None = None
        self._since_ns = now_ns()
        self._since = monotonic_ns()

    async def probe(self, decider: HaltDecider) -> None:
        """Try the stream once, and reduce the firm when it has taken nothing for too long."""
        found = await stream_probe.probe(self._client, self._settings.nats.stream, self._worker)
        if found.server_ns is not None:
            decider.server_ahead_ns = found.server_ns - now_ns()
        before, self._last_sequence = self._last_sequence, found.last_sequence
        state = found.stream
        if found.silent and self.busy:
            return  # the answers wait behind what this worker has not looked at yet
        if found.silent and before is not None and (found.last_sequence or 0) > before:
            state = "ok"  # slow because it has much to store, and stores it
        if state != self.stream:
            self.stream = state
            self._since_ns, self._since = decider.now_ns, monotonic_ns()
        halt = self._settings.halt
        lasts = (monotonic_ns() - self._since) / NANOSECONDS
        if halt.freeze_halts and self.stream in WORDS and lasts >= halt.frozen_seconds:
            await decider.blind(WORDS[self.stream], self._since_ns)

    async def beat(self, decider: HaltDecider) -> None:
        """Say what holds, if the whole stream was read."""
        if not decider.folded:
            return
        self._count += 1
        halts = decider.desk.halts
        heartbeat = Heartbeat(
            worker=self._worker,
            run=self._run,
            count=self._count,
            issued_at=rfc3339(now_ns()),
            sequence=halts.sequence,
            state_hash=halts.state_hash,
            active=len(halts.active),
            stream=self.stream,
            stream_since=rfc3339(self._since_ns),
        )
        await self._bus.tell(HEARTBEAT, msgspec.json.encode(heartbeat))
