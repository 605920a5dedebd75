"""Watchdogs over a warehouse of their own, fed with events in batches of any size."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from operations.adapters.warehouse import Warehouse, read_state
from operations.adapters.watch_engine import Engine
from operations.checks import Episode, Limits, Stored, Watchdog
from operations.clock import NANOSECONDS, parse_rfc3339, rfc3339
from operations.events.base import Event, encode
from operations.events.findings import Finding

START_NS = parse_rfc3339("2026-01-05T00:00:00Z")
SECOND = NANOSECONDS
DAY = 86_400 * NANOSECONDS


class FixedLayers:
    """The same limits and mode for every fund, as given by the name of the watchdog."""

    def __init__(self, watchdogs: Iterable[Watchdog], mode="act", **limits: Limits) -> None:
        self.mode = mode
        self.limits = {one.name: one.limits() for one in watchdogs} | limits

    def of(self, name, _fund_id):
        return self.limits[name], self.mode


def engine(*watchdogs: Watchdog, mode="act", **limits: Limits) -> Engine:
    """An engine of some watchdogs; `limits` by the name of the watchdog."""
    tables = {table.name: table for one in watchdogs for table in one.tables}
    return Engine(watchdogs, FixedLayers(watchdogs, mode, **limits), Warehouse(tables.values()))


def open_episode(check: str, mode="act") -> Episode:
    """An episode that was raised at its first stage."""
    finding = Finding(
        check=check, episode="e", severity="warning", title="t", looked_at=rfc3339(START_NS),
        rule_version="1", mode=mode,
    )  # fmt: skip
    return Episode("e", 1, START_NS, finding)


def event(kind, subject_id, data, number=0, **envelope) -> Event:
    """An event with an id and a time that follow from its number."""
    return kind(
        event_id=f"e{number:06d}",
        timestamp=rfc3339(START_NS + number * SECOND),
        actor="test",
        subject_id=subject_id,
        data=data,
        **envelope,
    )


def stored(events: Iterable[Event], at_ns=None, first=1) -> list[Stored]:
    """Events with their places in the stream, each stored when what it says was so.

    `at_ns` gives the time of each by its place instead.
    """
    return [
        Stored(each, number, _came_ns(each) if at_ns is None else at_ns(number))
        for number, each in enumerate(events, start=first)
    ]


def _came_ns(one: Event) -> int:
    said_ns = parse_rfc3339(one.timestamp)
    return max(said_ns, parse_rfc3339(getattr(one.data, "as_of", one.timestamp)))


def run(one: Engine, events: Sequence[Stored], size: int = 10_000) -> list[Event]:
    """Feed events in batches of a size; return what was said."""
    said = []
    for begin in range(0, len(events), size):
        said += one.take(events[begin : begin + size])
    return said


def spoken(events: Iterable[Event]) -> list[tuple[str, str]]:
    """What was said, short: the last words of the subject and what it is about."""
    return [(".".join(each.subject.split(".")[3:]), each.subject_id) for each in events]


def written(said: Iterable[Event]) -> list[bytes]:
    """What was said, byte for byte."""
    return [encode(each) for each in said]


def assert_cut_into_batches(
    made: Callable[[], Engine], events: Sequence[Stored], size: int, least: int
) -> tuple[Engine, Engine]:
    """Batches of a size say the same as all at once, which is something; returns both engines."""
    whole, cut = made(), made()
    said = written(run(whole, events))
    assert len(said) >= least
    assert written(run(cut, events, size)) == said
    return whole, cut


def assert_resumed(
    made: Callable[[], Engine], events: Sequence[Stored], places: Iterable[int], folder: Path
) -> None:
    """From a snapshot at any of the places the rest is said, and the same tables are held."""
    whole = made()
    said = written(run(whole, events))
    for place in places:
        first, second = made(), made()
        before = run(first, events[:place], 90)
        first.warehouse.save(folder / "one", first.snapshot())
        second.warehouse.load(folder / "one")
        second.restore(read_state(folder / "one"))
        assert written([*before, *run(second, events[place:], 110)]) == said
        for table in whole.warehouse.tables:
            assert second.warehouse.measure(table) == whole.warehouse.measure(table)
