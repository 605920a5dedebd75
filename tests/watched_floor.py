"""A trading floor that is watched: real processes that measure, judge, halt and tell people."""

import asyncio
import http.client
import re
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from floor import Floor
from halting import Firm
from support import NatsHandle, eventually
from watched_firm import put

from operations import config
from operations.adapters import judge, stored, watch_parts, wire
from operations.adapters.judge import Received
from operations.adapters.publisher import Publisher
from operations.adapters.watch import Watch
from operations.audit.chain import Delivery
from operations.config import Settings
from operations.errors import Rejected
from operations.events import subjects
from operations.events.actions import ActionRequested
from operations.events.base import Event
from operations.events.findings import FindingCleared, FindingRaised, FindingUpdated

CRASHING = Path(__file__).parent / "workers" / "crash_at.py"
SPOKEN = ("mts.v1.operations.finding.", ActionRequested.pattern)
WORKERS = ("-m", "workers")


class WatchedFloor(Floor):
    """A floor whose other workers are started one by one, each with the settings that it is given.

    Only `oms-1` has to answer.
    """

    def __init__(self, nats: NatsHandle) -> None:
        super().__init__(nats)
        self.firm = Firm(nats, order_systems="oms-1")

    def start(
        self, worker: str, *crash: object, called: str = "", file: Path | None = None,
        **sections: Any,
    ) -> None:  # fmt: skip
        """Start a worker; `crash` are the arguments by which it kills itself (`crash_at.py`).

        `file` is another program that runs it; `sections` replace settings.
        """
        settings = msgspec.structs.replace(self.firm.settings(worker), **sections)
        program: Sequence[str] = (*WORKERS, worker)
        if crash:
            program = (str(file or CRASHING), *map(str, crash), worker)
        self._start(called or worker, program, variables(settings))

    async def is_ready(self, *names: str) -> None:
        """Wait until workers say that they have read everything and work."""
        for name in names:
            await eventually(
                lambda name=name: asyncio.to_thread(self._is_ready, name), f"{name} is ready",
            )  # fmt: skip

    def _is_ready(self, name: str) -> bool:
        return _get(self._port(name), "/readyz")[0] == 200

    def _metrics(self, name: str) -> dict[str, float]:
        lines = _get(self._port(name), "/metrics")[1].splitlines()
        pairs = (each.rpartition(" ") for each in lines if not each.startswith("#"))
        return {key: float(value) for key, _, value in pairs}

    def standings(self, watchdog: str) -> dict[str, float]:
        """Return how many units of a watchdog stand where."""
        name = re.compile(rf'watchdog_standing{{state="(\w+)",watchdog="{watchdog}"}}')
        found = ((name.fullmatch(key), count) for key, count in self._metrics("watchdogs").items())
        return {match[1]: count for match, count in found if match and count}

    def _port(self, name: str) -> int:
        return int(self._started[name][1]["MTS_HTTP_PORT"])

    async def died(self, name: str) -> None:
        """Wait until a worker has killed itself."""
        process = self.processes[name]
        await eventually(lambda: process.poll() is not None, f"{name} dies")
        assert process.returncode == -signal.SIGKILL, self.log(name)[-2000:]

    async def publish(self, *events: Event) -> int:
        """Publish what trading services say; returns the place of the last event."""
        async with Publisher(self.access("publisher"), actor="test") as publisher:
            for event in events:
                last = await publisher.publish(event, wait=True)
            return (await last).sequence

    async def act(self, *checks: str) -> None:
        """Let watchdogs act that only observe by default."""
        for check in checks:
            await put(self.firm, f"{check}.mode", "act")

    async def of(self, kind: type[Event], **data: Any) -> list[Any]:
        """Return the events of a kind that say this, in the order of the stream."""
        return [
            each
            for each in await self.events(kind)
            if all(getattr(each.data, name) == value for name, value in data.items())
        ]

    async def said(self, kind: type[Event], count: int = 1, **data: Any) -> list[Any]:
        """Wait until the stream holds so many events of a kind that say this; returns them."""

        async def there() -> list[Any]:
            found = await self.of(kind, **data)
            return found if len(found) >= count else []

        return await eventually(there, f"{count} {kind.__name__} with {data}")

    async def judged(self, sequence: int) -> None:
        """Wait until watchdogs and limits have judged an event, and said what they had to say."""

        def done() -> bool:
            watched, limited = (self._metrics(name) for name in ("watchdogs", "limits"))
            return (
                watched["watchdog_stream_sequence"] >= sequence
                and limited["limits_stream_sequence"] >= sequence
                and not watched["watchdog_findings_waiting"] + limited["limits_findings_waiting"]
            )

        await eventually(lambda: asyncio.to_thread(done), f"{sequence} is judged")

    async def unlike_one_that_never_died(self, check: str) -> dict[str, list[str]]:
        """Compare what a watchdog said with what a fold of the same stream in one go says.

        Returns the ids that are missing, that are there more than once, and that nothing causes.
        """
        settings = msgspec.structs.replace(
            self.firm.settings("watchdogs"), watch=config.Watch(only=check)
        )
        judging = judge.for_service(settings, self.home / "whole" / "roster.json")
        watch = Watch(judging, lambda: watch_parts.parts(settings), 1)
        due: set[str] = set()
        async with wire.connection(self.admin, "whole") as client:
            messages = [each async for each in stored.following(client, "MTS", "mts.v1.>", 1)]
        for batch in _until_each_spoken(messages):
            watch.take([_delivery(each) for each in batch])
            due |= watch.waiting.keys()
        found = Counter(_said_by(check, messages))
        return {
            "missing": sorted(due - found.keys()),
            "repeated": sorted(each for each, count in found.items() if count > 1),
            "causeless": sorted(found.keys() - due),
        }


ALL_ALIKE: dict[str, list[str]] = {"missing": [], "repeated": [], "causeless": []}


def variables(settings: Settings) -> dict[str, str]:
    """Return settings as the environment of a process."""
    found = {}
    for setting in config.catalogue():
        section = getattr(settings, setting.section) if setting.section else settings
        found[setting.variable] = str(getattr(section, setting.name))
    return found


def _delivery(message: Received) -> Delivery:
    """Return a stored message as a consumer delivers it."""
    place = f"$JS.ACK.MTS.whole.1.{message.sequence}.{message.sequence}.{message.at_ns}.0"
    return message.subject.encode(), place.encode(), message.headers, message.payload


def _until_each_spoken(messages: Sequence[Received]) -> Iterator[list[Received]]:
    """Cut messages before each that watchdogs may have said, so that all they owe is seen."""
    batch: list[Received] = []
    for message in messages:
        if message.subject.startswith(SPOKEN):
            yield batch
            batch = []
        batch.append(message)
    yield batch


def _said_by(check: str, messages: Iterable[Received]) -> Iterator[str]:
    """Give the id of each finding and request of a watchdog; all name their episode."""
    episodes: set[str] = set()
    for message in messages:
        try:
            event = subjects.decode(message.subject, message.payload)
        except Rejected:
            continue
        if isinstance(event, FindingRaised | FindingUpdated | FindingCleared):
            if event.data.check == check:
                episodes.add(event.data.episode)
                yield event.event_id
        elif isinstance(event, ActionRequested) and event.data.episode in episodes:
            yield event.event_id


def _get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
