"""How watchdogs show where everything stands, outside the stream, and what they write about time.

Every two seconds a process says all its standings in parts, signed, on `ops.v1.watchdogs.board`.
"""

import socket
from typing import get_args

import msgspec
from msgspec import Struct

from operations.adapters import service_bus
from operations.adapters.watch import Watch
from operations.adapters.wire import WireClient
from operations.checks import Standing, State
from operations.clock import NANOSECONDS, monotonic_ns, now_ns, rfc3339
from operations.config import Settings
from operations.episodes import ACTOR
from operations.events.base import derived_id
from operations.events.operations import ClockTicked, Tick
from operations.signing.message import HEADER

SUBJECT = "ops.v1.watchdogs.board"
STATES: tuple[State, ...] = get_args(State)
EVERY_SECONDS = 2.0
ROWS = 300  # in one part; a message stays far below the size that NATS takes
MILLION = 1_000_000


class Part(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One part of what a process says: `number` of `parts`, counted from 1."""

    process: str
    sent_at: str
    number: int
    parts: int
    ready: bool
    reached: int
    waiting: int
    watchdogs: tuple[str, ...]
    problems: dict[str, str]
    standings: tuple[Standing, ...]


def parts(watch: Watch, process: str, sent_at: str, *, ready: bool) -> list[Part]:
    """Return everything that a process has to show, the worst first."""
    rows = sorted(watch.engine.standings.values(), key=_worst_first)
    count = max(1, -(-len(rows) // ROWS))
    return [
        Part(
            process=process,
            sent_at=sent_at,
            number=number + 1,
            parts=count,
            ready=ready,
            reached=watch.reached,
            waiting=len(watch.waiting),
            watchdogs=tuple(one.name for one in watch.engine.watchdogs),
            problems=watch.engine.problems,
            standings=tuple(rows[number * ROWS : (number + 1) * ROWS]),
        )
        for number in range(count)
    ]


def _worst_first(standing: Standing) -> tuple[int, str, str]:
    order = {"breached": 0, "warning": 1, "unknown": 2, "ok": 3}
    return order[standing.state], standing.watchdog, standing.unit_id


def minute_event(minute: int, ahead_ns: int) -> ClockTicked:
    """Return the event of a minute, counted since 1970; its id follows from the minute alone."""
    at = rfc3339(minute * 60 * NANOSECONDS)
    return ClockTicked(
        event_id=derived_id("minute", "clock/v1", at, 0),
        timestamp=at,
        actor=ACTOR,
        subject_id="clock",
        data=Tick(minute=at, offset_ms=ahead_ns / MILLION),
    )


class Board:
    """Says the standings of one process again and again."""

    def __init__(self, settings: Settings, client: WireClient, watch: Watch) -> None:
        self._client, self._watch = client, watch
        self._signer = service_bus.signer(settings)
        self._process = f"{ACTOR}-{settings.watch.instance}@{socket.gethostname()}"
        self._next_ns = 0

    async def show(self, *, ready: bool) -> None:
        """Say everything, if it is time."""
        if monotonic_ns() < self._next_ns:
            return
        self._next_ns = monotonic_ns() + int(EVERY_SECONDS * NANOSECONDS)
        for part in parts(self._watch, self._process, rfc3339(now_ns()), ready=ready):
            payload = msgspec.json.encode(part)
            headers = {HEADER: self._signer(SUBJECT, payload)}
            await self._client.publish(SUBJECT, payload, headers=headers)
