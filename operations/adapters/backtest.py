"""One watchdog over a recording: what it would have said, with no server and nothing asked.

The places of the events are their lines, their times those of the recording; a time that lies
before the one above it counts as that one, as in a stream. The same file says the same. Drills and
the cases of canaries are left out, as the watchdogs keep them apart.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from operations import recordings
from operations.adapters.recordings import lines
from operations.adapters.warehouse import Warehouse
from operations.adapters.watch_engine import DATA_FAULT, Engine
from operations.checks import Episode, Limits, Look, Mode, Stored, Verdict, Watchdog
from operations.clock import NANOSECONDS, parse_rfc3339
from operations.errors import Rejected
from operations.events import subjects
from operations.events.actions import ActionRequested
from operations.events.base import Environment, Event
from operations.events.findings import FindingCleared, FindingRaised, FindingUpdated
from operations.recordings import Reader

BATCH = 5_000
REAL = ("live", "paper")
DAY_SECONDS = 86_400


class Judged(NamedTuple):
    """What one look made of one unit."""

    at_ns: int
    unit: str
    state: str
    statistic: float | None
    threshold: float | None


class Backtest(msgspec.Struct):
    """What a watchdog made of a recording; times in ns since 1970."""

    check: str
    events: int = 0
    skipped: int = 0
    apart: int = 0  # events of drills and canaries
    first_ns: int = 0
    last_ns: int = 0
    judged: list[Judged] = []
    said: list[Event] = []
    problems: dict[str, str] = {}

    def episodes(self) -> dict[str, list[tuple[int, int]]]:
        """Return from when to when each unit was raised; one that is open ends with the file."""
        found: dict[str, list[tuple[int, int]]] = {}
        for event in self.said:
            if isinstance(event, ActionRequested):
                continue
            assert isinstance(event, FindingRaised | FindingUpdated | FindingCleared)
            at_ns = parse_rfc3339(event.data.looked_at)
            own = found.setdefault(event.subject_id, [])
            if isinstance(event, FindingRaised):
                own.append((at_ns, self.last_ns))
            elif isinstance(event, FindingCleared):
                own[-1] = (own[-1][0], at_ns)
        return found

    def begun(self) -> dict[str, int]:
        """Return when each unit was judged first, not counting looks that were unknown."""
        found: dict[str, int] = {}
        for each in self.judged:
            if each.state != "unknown":
                found.setdefault(each.unit, each.at_ns)
        return found

    def unit_days(self) -> float:
        """Return how long units were judged, from the first look that was not unknown."""
        total = sum(self.last_ns - at_ns for at_ns in self.begun().values())
        return total / (DAY_SECONDS * NANOSECONDS)


class Defaults:
    """The limits of the release for everything, acting."""

    def __init__(self, watchdogs: tuple[Watchdog, ...]) -> None:
        self._limits = {one.name: one.limits() for one in watchdogs}

    def of(self, name: str, _fund_id: str | None) -> tuple[Limits, Mode]:
        """Return both."""
        return self._limits[name], "act"


def run(
    watchdog: Watchdog, feeds: Watchdog, file: Path, on_progress: Callable[[int], None]
) -> Backtest:
    """Read a recording to its end; `feeds` says which of them are at fault meanwhile.

    Raises Rejected for a file that cannot be read and for one without any event.
    """
    found = Backtest(watchdog.name)

    def note(rows: list[object], look: Look, limits: Limits, known: Episode | None) -> Verdict:
        verdict = watchdog.inspect(rows, look, limits, known)
        assert look.unit is not None
        found.judged.append(
            Judged(look.at_ns, look.unit.id, verdict.state, verdict.statistic, verdict.threshold)
        )
        return verdict

    noted = msgspec.structs.replace(watchdog, inspect=note)
    both = (noted,) if watchdog.name == DATA_FAULT else (feeds, noted)
    tables = {table.name: table for one in both for table in one.tables}
    engine = Engine(both, Defaults(both), Warehouse(tables.values()))
    batch: list[Stored] = []
    for stored in _events(file, found):
        batch.append(stored)
        if len(batch) == BATCH:
            _take(engine, batch, found)
            on_progress(stored.sequence)
            batch = []
    _take(engine, batch, found)
    engine.warehouse.close()
    if not found.events:
        apart = f", but {found.apart} of drills and canaries, which nobody watches" * bool(
            found.apart
        )
        raise Rejected(f"{file} holds no event that is known{apart}; see docs/recordings.md")
    found.problems = engine.problems
    return found


def _take(engine: Engine, batch: list[Stored], found: Backtest) -> None:
    check = found.check
    found.said += [
        event
        for event in engine.take(batch)
        if isinstance(event, ActionRequested) or getattr(event.data, "check", "") == check
    ]


def _events(file: Path, found: Backtest) -> Iterator[Stored]:
    environment: Environment = "live"
    reader: Reader | None = None
    for number, line in enumerate(lines(file), 1):
        if reader is None:
            reader = recordings.reader(line, environment=environment)
        try:
            recorded = reader.read(line)
            if recorded is None:
                continue
            event = subjects.decode(recorded.subject, recorded.payload)
        except Rejected:
            found.skipped += 1
            continue
        if event.environment not in REAL:
            found.apart += 1
            continue
        at_ns = max(found.last_ns, recorded.timestamp_ns)
        found.first_ns = found.first_ns or at_ns
        found.last_ns = at_ns
        found.events += 1
        yield Stored(event, number, at_ns)
