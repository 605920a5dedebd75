"""The form of a watchdog: what it keeps, when it looks, what it asks, and what it makes of it.

A watchdog is data and pure functions. Its tables say which rows it keeps of which events; `looks`
says which units a batch of events makes due; `query` collects, in one statement for all looks that
are due, the rows that each may see, which are those up to its place in the stream and no later
ones; `inspect` judges the rows of one unit. So the size of a batch changes nothing, and whoever
reads the same stream finds the same.

What becomes of a verdict is in `operations.episodes`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from heapq import merge
from typing import Any, Literal, NamedTuple, Protocol, overload

import numpy as np
from msgspec import Struct

from operations.clock import NANOSECONDS
from operations.events import trades as columns
from operations.events.base import Environment, Event
from operations.events.findings import Finding, Parameter
from operations.events.marketdata import TradePrinted
from operations.events.trades import Trades

Kind = Literal["instrument", "strategy", "fund", "firm", "service", "database", "feed"]
Mode = Literal["off", "observe", "act"]
State = Literal["ok", "warning", "breached", "unknown"]
ActionKind = Literal["reduce_allocation", "shadow", "hedge", "reduce_gross", "throttle", "cooldown"]
HaltLevel = Literal["strategy", "fund", "firm"]


class Stored(NamedTuple):
    """An event and its place in the stream. `at_ns` is the time that JetStream gave it."""

    event: Event
    sequence: int
    at_ns: int


class Batch(Sequence[Stored]):
    """What comes next in the stream: events one by one, and the trades of the market as columns.

    As a sequence it holds the events that are no trades, in their order.
    """

    def __init__(self, events: Sequence[Stored], trades: Trades = columns.NONE) -> None:
        """Take events that are no trades, and the trades; both in their order."""
        self.trades = trades
        self._events = events
        self._by_pattern: dict[str, list[Stored]] | None = None
        self._by_sequence: dict[int, Stored] | None = None
        self._newest_ns: int | None = None

    @classmethod
    def read(cls, events: Sequence[Stored]) -> "Batch":
        """Return events of which some may be trades."""
        printed: list[Stored] = []
        others: list[Stored] = []
        for stored in events:
            (printed if isinstance(stored.event, TradePrinted) else others).append(stored)
        if not printed:
            return cls(others)
        made, sequences, times_ns = zip(*printed, strict=True)
        return cls(others, columns.of(sequences, times_ns, made))

    @overload
    def __getitem__(self, index: int) -> Stored: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Stored]: ...

    def __getitem__(self, index: int | slice) -> Stored | Sequence[Stored]:
        """Return an event that is no trade."""
        return self._events[index]

    def __len__(self) -> int:
        """Return how many events are no trades."""
        return len(self._events)

    def __bool__(self) -> bool:
        """Whether there is anything: events or trades."""
        return bool(self._events) or len(self.trades) > 0

    def of(self, kinds: Sequence[type[Event]]) -> "Batch":
        """Return what is of some kinds: the pattern of a subject tells the kind of its event."""
        if self._by_pattern is None:
            self._by_pattern = {}
            for stored in self._events:
                self._by_pattern.setdefault(stored.event.pattern, []).append(stored)
        own = [self._by_pattern[kind.pattern] for kind in kinds if kind.pattern in self._by_pattern]
        events = own[0] if len(own) == 1 else list(merge(*own, key=lambda one: one.sequence))
        return Batch(events, self.trades if TradePrinted in kinds else columns.NONE)

    def at(self, sequence: int) -> Stored:
        """Return the event at a place in the stream, also one of the trades."""
        if self._by_sequence is None:
            self._by_sequence = {stored.sequence: stored for stored in self._events}
        found = self._by_sequence.get(sequence)
        return found or self._trade(int(np.searchsorted(self.trades.sequence, sequence)))

    def passing(self, at_ns: int) -> Stored | None:
        """Return the first event, or trade, by which a time has come; None when it has not.

        The clock of the bus may run back, so that is not the order of their times.
        """
        if self._newest_ns is None:
            newest = [int(self.trades.at_ns.max())] if len(self.trades) else []
            self._newest_ns = max(newest + [stored.at_ns for stored in self._events], default=at_ns)
        if at_ns > self._newest_ns:
            return None
        event = next((stored for stored in self._events if stored.at_ns >= at_ns), None)
        come = np.flatnonzero(self.trades.at_ns >= at_ns)
        if come.size and (event is None or self.trades.sequence[come[0]] < event.sequence):
            return self._trade(int(come[0]))
        return event

    @property
    def places(self) -> list[tuple[int, int]]:
        """Sequence and time of the first and of the last, of events and of trades; not in order."""
        its = self.trades
        return [
            *((one.sequence, one.at_ns) for one in (*self._events[:1], *self._events[-1:])),
            *((int(its.sequence[end]), int(its.at_ns[end])) for end in (0, -1) if len(its)),
        ]

    def _trade(self, place: int) -> Stored:
        its = self.trades
        return Stored(its.event(place), int(its.sequence[place]), int(its.at_ns[place]))


class Unit(NamedTuple):
    """What a look is about, and to whom it belongs where that is known."""

    kind: Kind
    id: str
    fund_id: str | None = None
    strategy_id: str | None = None


class Look(NamedTuple):
    """A moment at which a watchdog judges: rows after `sequence` do not exist for it.

    `at_ns` is the event time that is judged, `bus_ns` the time of the bus at which it is, both in
    ns since 1970. `unit` None means every unit that the query finds.
    """

    sequence: int
    at_ns: int
    bus_ns: int
    cause_id: str
    unit: Unit | None
    environment: Environment = "live"


def look_at(stored: Stored, unit: Unit | None, at_ns: int | None = None) -> Look:
    """Return the look that an event makes due, at its own time unless another is given."""
    event = stored.event
    moment = stored.at_ns if at_ns is None else at_ns
    return Look(stored.sequence, moment, stored.at_ns, event.event_id, unit, event.environment)


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of a watchdog, each with a default; a fund may have its own."""


Row = tuple[Any, ...]  # sequence, at_ns, then one value for each column of the table


class Fold(Protocol):
    """Makes rows of events where one event is not enough, as buckets or bars are made of trades.

    What it knows beyond its rows survives in `snapshot`, which is made of JSON's types.
    How it makes them (the size of a bucket, the bounds of a clock) is no setting: funds share the
    rows, and rows of one history that were made in two ways cannot be compared. What a fund sets is
    how they are judged, by the limits.
    """

    def take(self, batch: Batch) -> list[Row]:
        """Return the rows that a batch completes; the sequence of each is that of its last event.

        However the same events are cut into batches, the rows are the same.
        """

    def snapshot(self) -> Any:
        """Return what is known beyond the rows."""

    def restore(self, state: Any) -> None:
        """Go on from a snapshot."""


class EachEvent:
    """The fold of a table whose rows are made of one event each."""

    def __init__(self, rows: Callable[[Stored], Iterable[Row]]) -> None:
        self._rows = rows

    def take(self, batch: Sequence[Stored]) -> list[Row]:
        """Return the rows of each event."""
        return [row for stored in batch for row in self._rows(stored)]

    def snapshot(self) -> Any:
        """Return nothing: there is nothing beyond the rows."""
        return None

    def restore(self, state: Any) -> None:
        """Do nothing."""


class Table(Struct, frozen=True, kw_only=True):
    """Rows that a watchdog keeps. `columns` are names and SQL types beyond sequence and at_ns.

    Rows older than `keep_days` by `at_ns` may be gone, so no query asks for more than that. With
    `keep_of_each`, columns and a number, older rows than the last so many of each may be gone too.
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    kinds: tuple[type[Event], ...]
    fold: Callable[[], Fold]
    keep_days: int
    keep_of_each: tuple[str, int] | None = None


class Proposal(Struct, frozen=True, kw_only=True):
    """What a verdict would have done: an action with an absolute target.

    `seconds` is how long it holds; None means until a person ends it.
    """

    kind: ActionKind
    scope: Literal["instrument", "strategy", "fund", "firm"]
    scope_id: str
    seconds: int | None = None
    allocation_factor: Decimal | None = None
    gross_at_most: Decimal | None = None
    theta_per_day_at_most: Decimal | None = None
    orders_per_minute_at_most: int | None = None
    currency: str | None = None
    words: str


class Verdict(Struct, frozen=True, kw_only=True):
    """What one look found.

    `stage` is 0 while nothing is wrong and grows with what is; `recovered` says that an episode
    may end, which takes more than being just within the limit, and never happens at a stage above
    0. What is unknown has recovered only when a person switched it off. `listed` are said and
    wake nobody. `maintenance` says in words what the finding itself asks for that touches no risk;
    who does it reads the parameters of the finding.
    """

    state: State
    title: str
    stage: int = 0
    recovered: bool = False
    listed: bool = False
    statistic: float | None = None
    statistic_name: str | None = None
    threshold: float | None = None
    samples: int | None = None
    details: str | None = None
    parameters: tuple[Parameter, ...] = ()
    proposal: Proposal | None = None
    maintenance: str | None = None
    halt_level: HaltLevel | None = None


class Episode(Struct, frozen=True):
    """What is raised now for one unit: its id, how bad it has been, and what was said last."""

    id: str
    stage: int
    since_ns: int
    finding: Finding


Canary = Callable[[int, str], Iterable[Event]]
Looks = Callable[[Batch, Mapping[str, Sequence[Row]]], Iterable[Look]]
Inspect = Callable[[Sequence[Any], Look, Any, Episode | None], Verdict]


def no_looks(_batch: Batch, _rows: Mapping[str, Sequence[Row]]) -> Iterator[Look]:
    """Return no looks: for a watchdog that looks at fixed times only."""
    return iter(())


def no_feeds(_unit: Unit) -> tuple[str, ...]:
    """Return no feeds: for a watchdog whose input is no feed."""
    return ()


class Watchdog(Struct, frozen=True, kw_only=True):
    """One watchdog.

    `query` is one SELECT over its tables and the table `look(look, sequence, at_ns, unit)`, in
    which `unit` is NULL for a look at every unit. Its first columns are look, unit, fund_id and
    strategy_id; the others are the fields of `row`, in order; it is ordered by look, unit and
    whatever gives the rows one order. Its parameters are none: limits are applied by `inspect`.
    With `every_seconds` there is also a look at each multiple of that time since 1970, as soon as
    the stream has passed it by `lateness_seconds`. `feeds` names the feeds that a unit depends on,
    each by its name or the beginning of a path: while one of them is at fault, the unit is unknown.
    `canary` makes, for a time and the id of a run, a small case that must be found: events of the
    environment "canary" whose ids hold that id.
    """

    name: str
    why: str
    action: str
    budget: str
    unit: Kind
    limits: type[Limits]
    tables: tuple[Table, ...]
    row: type[Any]
    query: str
    inspect: Inspect
    looks: Looks = no_looks
    every_seconds: int = 0
    lateness_seconds: int = 0
    feeds: Callable[[Unit], tuple[str, ...]] = no_feeds
    canary: Canary | None = None

    @property
    def kinds(self) -> tuple[type[Event], ...]:
        """The kinds of event that it reads."""
        return tuple(dict.fromkeys(kind for table in self.tables for kind in table.kinds))


def boundaries(
    watchdog: Watchdog, batch: Batch, done_ns: int, most: int = 100
) -> tuple[list[Look], int]:
    """Return the looks at fixed times that a batch has passed since `done_ns`, oldest first.

    And the newest of these times. After a long silence only the last `most` are made up for.
    """
    step, late = watchdog.every_seconds * NANOSECONDS, watchdog.lateness_seconds * NANOSECONDS
    if not step:
        return [], 0
    if not done_ns:  # what was before the first event is not known
        done_ns = (min(batch.places)[1] - late) // step * step
    looks: list[Look] = []
    while by := batch.passing(done_ns + step + late):
        newest = (by.at_ns - late) // step * step
        times_ns = range(max(done_ns + step, newest - (most - 1) * step), newest + 1, step)
        # Whichever event lets the time pass: only the case of a canary is not the real one.
        canary = by.event.environment == "canary"
        found = (look_at(by, None, at_ns) for at_ns in times_ns)
        looks += found if canary else (look._replace(environment="live") for look in found)
        done_ns = newest
    return looks, done_ns


class Standing(Struct, frozen=True, kw_only=True):
    """Where one unit of one watchdog stands, for people to see."""

    watchdog: str
    unit_kind: Kind
    unit_id: str
    fund_id: str | None
    mode: Mode
    state: State
    title: str
    statistic: float | None = None
    statistic_name: str | None = None
    threshold: float | None = None
    samples: int | None = None
    looked_at: str
    episode: str | None = None
