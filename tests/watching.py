"""Watchdogs over a warehouse of their own, fed with events in batches of any size."""

from collections.abc import Iterable, Sequence

from operations.adapters.warehouse import Warehouse
from operations.adapters.watch_engine import Engine
from operations.checks import Limits, Stored, Watchdog
from operations.clock import NANOSECONDS, parse_rfc3339, rfc3339
from operations.events.base import Event

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
    """Events with their places in the stream; `at_ns` gives the time of each, else its own."""
    return [
        Stored(each, number, parse_rfc3339(each.timestamp) if at_ns is None else at_ns(number))
        for number, each in enumerate(events, start=first)
    ]


def run(one: Engine, events: Sequence[Stored], size: int = 10_000) -> list[Event]:
    """Feed events in batches of a size; return what was said."""
    said = []
    for begin in range(0, len(events), size):
        said += one.take(events[begin : begin + size])
    return said


def spoken(events: Iterable[Event]) -> list[tuple[str, str]]:
    """What was said, short: the last words of the subject and what it is about."""
    return [(".".join(each.subject.split(".")[3:]), each.subject_id) for each in events]
