"""What the stream says about what is watched, folded, and what has to be said that it lacks.

A finding or a request of an action waits from the moment in which its cause is folded until our own
message with these very bytes comes back out of the stream. So after a crash at any point the fold
of the same stream knows what was said already, and says the rest under the same ids. Cases that
canaries publish are folded apart, in tables of their own; drills are not watched.

What a release with another rule has said, and that it has judged everything up to a place, counts
instead of what is found there now: nothing of history is said a second time (decision 25).
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import msgspec

from operations.adapters import judge
from operations.adapters.judge import Judge, Received
from operations.adapters.warehouse import point, read_state
from operations.adapters.watch_parts import Parts
from operations.audit.chain import Delivery, positions
from operations.checks import Batch, Stored
from operations.clock import NANOSECONDS, parse_rfc3339
from operations.episodes import RULE
from operations.errors import Denied, Rejected
from operations.events import subjects, trades
from operations.events.base import Event, derived_id, encode, read
from operations.events.operations import (
    ClockTicked,
    ConfigChanged,
    Reach,
    RosterPublished,
    WarehouseMeasured,
    WarehouseMeasurement,
    WatchReached,
)
from operations.events.trades import Trades
from operations.told import SAID, SPOKEN, Raised, Subject, Told
from operations.watchdogs.reductions import OUTCOMES

FORMAT = 2
MEASURE_MINUTES = 10
NEWEST = "newest"  # snapshot: a link to one of two places, of which the other is written next
REAL, CANARIES = frozenset(("live", "paper")), frozenset(("canary",))
# What comes before a change of settings is judged by what held before, and a finding comes back
# after its cause was judged. A minute ends what is measured at it.
ALONE = tuple(kind.pattern.partition("{")[0].encode() for kind in (ConfigChanged, *SPOKEN))
SIGNED: tuple[type[Event], ...] = (*SPOKEN, *OUTCOMES.kinds)  # and what became of actions
HEEDED = (ConfigChanged, *SAID, WatchReached)  # in no table; that an action was requested is
MINUTE = ClockTicked.pattern.encode()


class Watch:
    """The fold of the stream for watchdogs.

    `refused` counts what came in our name without a valid signature, `unreadable` what was no
    event of its subject. `engine` holds what is real, `canaries` the cases that canaries publish.
    `measures` say what the tables held at every tenth minute since the stream was read to its end,
    so that two processes can be compared, and that everything up to there was judged.
    """

    def __init__(
        self,
        judging: Judge,
        build: Callable[[], Parts],
        stream_created_ns: int,
        funds: frozenset[str] = frozenset(),
        name: str = "watchdogs-1",
    ) -> None:
        """Begin with nothing folded; with `funds`, what belongs to another fund is passed over.

        `name` is what others know this warehouse by, so that two of them can be told apart.
        """
        self.measures: list[WarehouseMeasured | WatchReached] = []
        self.refused = self.unreadable = self.reached = 0
        self.minute = 0  # the newest that the stream holds, counted since 1970
        self._judge, self._build, self._funds = judging, build, funds
        self._stream_created_ns, self._name = stream_created_ns, name
        self._begin()

    def _begin(self) -> None:
        self._layers, self.engine, self.canaries = self._build()
        self._settings: list[tuple[int, str]] = []  # signed changes, by their place in the stream
        self._told = Told(RULE)

    @property
    def waiting(self) -> dict[str, Event]:
        """What the stream lacks, by event id, in the order of their causes."""
        return self._told.waiting

    def take(self, deliveries: Sequence[Delivery], *, live: bool = False) -> None:
        """Fold messages in the order of the stream; what can never be read is counted."""
        parting = (*ALONE, MINUTE) if live else ALONE
        alone = {
            each for each in {subject for subject, *_ in deliveries} if each.startswith(parting)
        }
        begin = 0
        for place in [place for place, each in enumerate(deliveries) if each[0] in alone]:
            self._take(deliveries[begin:place], live=live)
            self._take(deliveries[place : place + 1], live=live)
            begin = place + 1
        self._take(deliveries[begin:], live=live)

    def _take(self, deliveries: Sequence[Delivery], *, live: bool) -> None:
        """Fold messages between which nothing changes how they are judged."""
        if not deliveries:
            return
        subjects_, replies, _, payloads = zip(*deliveries, strict=True)
        sequences, times_ns = positions(replies)
        fresh = self._fresh(sequences)
        prints = [
            new and each == trades.SUBJECT for new, each in zip(fresh, subjects_, strict=True)
        ]
        printed, odd = trades.read(
            *(list(compress(column, prints)) for column in (sequences, times_ns, payloads))
        )
        self.unreadable += odd
        events: list[Stored] = []
        for place in [place for place, new in enumerate(fresh) if new and not prints[place]]:
            where = sequences[place], times_ns[place]
            event = self._read(deliveries[place], *where)
            if event is not None:
                events.append(Stored(event, *where))
        real, canaries = (self._of(each, events, printed) for each in (REAL, CANARIES))
        for said in (*self.engine.take(real), *self.canaries.take(canaries)):
            self.waiting[said.event_id] = said
        if events:
            self._heed(events[-1], live=live)

    def _fresh(self, sequences: Sequence[int]) -> list[bool]:
        """Say of each message whether it was not folded before."""
        fresh: list[bool] = []
        for sequence in sequences:
            new = sequence > self.reached
            if new:
                self.reached = sequence
            fresh.append(new)
        return fresh

    def _of(self, wanted: frozenset[str], events: Sequence[Stored], printed: Trades) -> Batch:
        """Return what is of some environments, and of no fund that others watch."""
        about = set(printed.environment), set(printed.fund_id)
        if not (about[0] <= wanted and all(map(self._is_ours, about[1]))):
            each = zip(printed.environment, printed.fund_id, strict=True)
            printed = printed.where(
                [
                    place
                    for place, (environment, fund_id) in enumerate(each)
                    if environment in wanted and self._is_ours(fund_id)
                ]
            )
        own = [
            stored
            for stored in events
            if stored.event.environment in wanted and not isinstance(stored.event, HEEDED)
        ]
        return Batch(own, printed)

    def _heed(self, stored: Stored, *, live: bool) -> None:
        """Do what an event asks for that stands alone."""
        if isinstance(stored.event, ConfigChanged):
            self._set(stored.event, stored.sequence)
        elif isinstance(stored.event, SPOKEN):
            self._hear(stored.event)
        elif live and stored.event.environment in REAL and _is_time_to_measure(stored.event):
            self.measures += (*self._measure(stored), self._reach(stored))

    def _set(self, event: ConfigChanged, sequence: int) -> None:
        self._layers.take(event, sequence)
        self._settings.append((sequence, encode(event).decode()))

    def _measure(self, at: Stored) -> Iterator[WarehouseMeasured]:
        of_funds = f" of {', '.join(sorted(self._funds))}" * bool(self._funds)
        for table in self.engine.warehouse.tables:
            rows, digest = self.engine.warehouse.measure(table)
            name = table.name + of_funds  # only those who hold the same funds are compared
            about = f"{self._name} {name}"
            yield WarehouseMeasured(
                event_id=derived_id(at.event.event_id, RULE, about, at.sequence),
                timestamp=at.event.timestamp,
                subject_id=table.name,
                causation_id=at.event.event_id,
                data=WarehouseMeasurement(
                    warehouse=self._name,
                    table=name,
                    high_water_stream_sequence=at.sequence,
                    rows=rows,
                    sha256=digest,
                ),
            )

    def _reach(self, at: Stored) -> WatchReached:
        reach = Reach(
            rule_version=RULE,
            watchdogs=tuple(watchdog.name for watchdog in self.engine.watchdogs),
            funds=tuple(sorted(self._funds)),
            stream_sequence=at.sequence,
        )
        words = " ".join((*reach.watchdogs, "of", *reach.funds))
        return WatchReached(
            event_id=derived_id(at.event.event_id, RULE, words, at.sequence),
            timestamp=at.event.timestamp,
            subject_id="watchdogs",
            causation_id=at.event.event_id,
            data=reach,
        )

    def refresh(self) -> None:
        """Look whether there is a newer roster."""
        self._judge.watch.refresh()

    def freeze(self, folder: Path) -> Callable[[], None] | None:
        """Return what saves all that was folded so far, in another thread while this goes on.

        None while something waits to be said.
        """
        if self.waiting:
            return None
        known = {
            "format": FORMAT,
            "stream_created_ns": self._stream_created_ns,
            "position": self.reached,
            "minute": self.minute,
            "settings": self._settings,
            "told": msgspec.to_builtins(self._told.snapshot()),
            "watchdogs": [watchdog.name for watchdog in self.engine.watchdogs],
        }
        newest = folder / NEWEST
        place = folder / ("second" if newest.resolve().name == "first" else "first")
        frozen = {
            place / name: engine.warehouse.freeze(engine.snapshot() | known)
            for name, engine in (("real", self.engine), ("canary", self.canaries))
        }

        def write() -> None:
            for part, warehouse in frozen.items():
                warehouse.write(part)
            point(newest, place)  # from here on it is this one, whole

        return write

    def load(self, folder: Path) -> bool:
        """Go on from what was saved, if both parts fit this stream and each other."""
        newest = folder / NEWEST
        states = [read_state(newest / name) for name in ("real", "canary")]
        if not all(state and self._fits(state) for state in states):
            return False
        real, canary = states
        assert real is not None
        assert canary is not None
        if real["position"] != canary["position"]:
            return False
        try:
            for name, engine, state in (
                ("real", self.engine, real), ("canary", self.canaries, canary),
            ):  # fmt: skip
                engine.warehouse.load(newest / name)
                engine.restore(state)
            for sequence, payload in real["settings"]:
                self._set(read(ConfigChanged, payload.encode()), sequence)
            self._told.restore(msgspec.convert(real["told"], list[tuple[Subject, Raised]]))
            self.reached, self.minute = int(real["position"]), int(real["minute"])
        except (Rejected, msgspec.ValidationError, KeyError, TypeError, ValueError):
            self._begin()
            return False
        return True

    def _fits(self, state: dict[str, Any]) -> bool:
        names = [watchdog.name for watchdog in self.engine.watchdogs]
        wanted = FORMAT, self._stream_created_ns, names
        return (
            state.get("format"),
            state.get("stream_created_ns"),
            state.get("watchdogs"),
        ) == wanted

    def _read(self, delivery: Delivery, sequence: int, at_ns: int) -> Event | None:
        """Return an event to be folded; what moves nothing here is dealt with and is None."""
        try:
            received = judge.received(delivery, sequence, at_ns)
            event = subjects.decode(received.subject, received.payload)
        except Rejected:
            self.unreadable += 1
            return None
        return event if self._is_watched(event, received) else None

    def _is_watched(self, event: Event, received: Received) -> bool:
        """Whether an event is for the watchdogs; what is for this process itself is taken."""
        match event:
            case RosterPublished():
                self._judge.take_roster(event)
                return False
            case ConfigChanged() | WatchReached():
                return self._counts(received)
            case ClockTicked():
                self.minute = max(self.minute, _minute(event))
        if not self._is_ours(event.fund_id):
            return False
        return not isinstance(event, SIGNED) or self._counts(received)

    def _is_ours(self, fund_id: str | None) -> bool:
        return not (self._funds and fund_id and fund_id not in self._funds)

    def _hear(self, event: Event) -> None:
        """Take what watchdogs said; where another rule has spoken, go on from there."""
        found = {
            Subject(engine is self.canaries, *key): fund_id
            for engine in (self.engine, self.canaries)
            for key, fund_id in engine.raised().items()
        }
        for subject in self._told.take(event, found):
            engine = self.canaries if subject.canary else self.engine
            engine.adopt((subject.watchdog, subject.unit), self._told.of(subject))

    def _counts(self, received: Received) -> bool:
        """Whether a message is signed by somebody who may say it."""
        try:
            self._judge.ask(received)
        except Denied:
            self.refused += 1
            return False
        return True


def _minute(tick: ClockTicked) -> int:
    return parse_rfc3339(tick.data.minute) // (60 * NANOSECONDS)


def _is_time_to_measure(event: Event) -> bool:
    return isinstance(event, ClockTicked) and _minute(event) % MEASURE_MINUTES == 0
