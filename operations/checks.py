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
from typing import Any, Literal, NamedTuple, Protocol

from msgspec import Struct

from operations.clock import NANOSECONDS
from operations.events.base import Environment, Event
from operations.events.findings import (
    Finding,
    Parameter,
)

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
    """

    def take(self, batch: Sequence[Stored]) -> list[Row]:
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

    Rows older than `keep_days` by `at_ns` may be gone, so no query asks for more than that.
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    kinds: tuple[type[Event], ...]
    fold: Callable[[], Fold]
    keep_days: int


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
    may end, which takes more than being just within the limit. `listed` findings are said and
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
Looks = Callable[[Sequence[Stored], Mapping[str, Sequence[Row]]], Iterable[Look]]
Inspect = Callable[[Sequence[Any], Look, Any, Episode | None], Verdict]


def no_looks(_batch: Sequence[Stored], _rows: Mapping[str, Sequence[Row]]) -> Iterator[Look]:
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
    watchdog: Watchdog, batch: Iterable[Stored], done_ns: int, most: int = 100
) -> Iterator[Look]:
    """Return the looks at fixed times that a batch has passed since `done_ns`, oldest first.

    After a long silence only the last `most` are made up for.
    """
    if not watchdog.every_seconds:
        return
    step, late = watchdog.every_seconds * NANOSECONDS, watchdog.lateness_seconds * NANOSECONDS
    for stored in batch:
        newest = (stored.at_ns - late) // step * step
        if not done_ns:
            done_ns = newest  # what was before the first event is not known
        first = max(done_ns + step, newest - (most - 1) * step)
        for at_ns in range(first, newest + 1, step):
            look = look_at(stored, None, at_ns)
            # Whichever event lets the time pass: only the case of a canary is not the real one.
            canary = stored.event.environment == "canary"
            yield look if canary else look._replace(environment="live")
        done_ns = max(done_ns, newest)


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
