"""Runs watchdogs over a warehouse: events in, in the order of the stream, findings out.

What it knows is its tables, its open episodes and the last fixed time of each watchdog; all of it
follows from the events so far, so a snapshot of it and the events after it give the same findings
as all events from the first. A watchdog that fails is unknown, and says why; it ends no other.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from operations.adapters.warehouse import DAY_NS, Found, Warehouse
from operations.checks import (
    Batch,
    Episode,
    Limits,
    Look,
    Mode,
    Row,
    Standing,
    Stored,
    Unit,
    Verdict,
    Watchdog,
    boundaries,
)
from operations.clock import monotonic_ns, rfc3339
from operations.episodes import Judgement, advance, evidence
from operations.errors import Rejected
from operations.events.base import Event

DATA_FAULT = "data_fault"
OFF = Verdict(state="unknown", title="it is switched off: nobody looks", recovered=True)


class Layers(Protocol):
    """What limits and which mode hold for a watchdog and a fund now."""

    def of(self, name: str, fund_id: str | None) -> tuple[Limits, Mode]:
        """Return both; a fund that has none of its own has the firm's."""


class Faults:
    """Which feeds are at fault from which place in the stream on."""

    def __init__(self) -> None:
        self._changes: dict[str, list[tuple[int, str]]] = {}

    def note(self, feed: str, sequence: int, title: str) -> None:
        """Take a change: a title when the feed is at fault from here on, empty when it is well."""
        self._changes.setdefault(feed, []).append((sequence, title))

    def at(self, feed: str, sequence: int) -> str:
        """Say what was wrong at a place in the stream with a feed, or with one below its path.

        Empty for nothing.
        """
        for name, changes in self._changes.items():
            if name == feed or name.startswith(f"{feed}/"):
                before = [title for place, title in changes if place <= sequence]
                if before and before[-1]:
                    return before[-1]
        return ""

    def settle(self) -> None:
        """Forget what is older than the newest change of each feed, and the feeds that are well."""
        newest = {feed: changes[-1] for feed, changes in self._changes.items()}
        self._changes = {feed: [last] for feed, last in newest.items() if last[1]}

    def snapshot(self) -> dict[str, list[tuple[int, str]]]:
        """Return all of it."""
        return self._changes

    def restore(self, state: Mapping[str, Iterable[Sequence[Any]]]) -> None:
        """Go on from a snapshot."""
        self._changes = {
            feed: [(int(place), str(title)) for place, title in changes]
            for feed, changes in state.items()
        }


Timed = Callable[[str, int], None]


class Engine:
    """Some watchdogs over one warehouse. `problems` says why a watchdog could not judge."""

    def __init__(
        self,
        watchdogs: Sequence[Watchdog],
        layers: Layers,
        warehouse: Warehouse,
        timed: Timed = lambda _name, _ns: None,
    ) -> None:
        """Begin with empty tables; `timed` is told how long all looks of a batch took, in ns."""
        self.watchdogs = tuple(watchdogs)
        self.warehouse = warehouse
        self.standings: dict[tuple[str, str], Standing] = {}
        self.problems = warehouse.problems  # by table, and by watchdog
        self.looks = 0
        self.reached = 0
        self._layers, self._timed = layers, timed
        self._folds = {
            table.name: (table, table.fold())
            for watchdog in self.watchdogs
            for table in watchdog.tables
        }
        self._episodes: dict[tuple[str, str], Episode] = {}
        self._done_ns: dict[str, int] = {}
        self._faults = Faults()
        self._trimmed_ns = 0

    def take(self, events: Sequence[Stored] | Batch) -> list[Event]:
        """Fold what comes next in the stream; return what has to be said about it."""
        batch = events if isinstance(events, Batch) else Batch.read(events)
        if not batch:
            return []
        self.reached, now_ns = max(batch.places)
        made = self._keep(batch)
        said: list[Event] = []
        for watchdog in self.watchdogs:
            try:
                looks = self._due(watchdog, batch, made)
                began_ns = monotonic_ns()
                said += self._look(watchdog, looks)
            except Exception as error:  # noqa: BLE001 (a mistake in one watchdog ends no other)
                self.problems[watchdog.name] = _words(error)
            else:
                if looks:
                    self._timed(watchdog.name, monotonic_ns() - began_ns)
        self._faults.settle()
        self._trim(now_ns)
        return said

    def snapshot(self) -> dict[str, Any]:
        """Return what is known beyond the tables, in JSON's types."""
        return {
            "folds": {name: fold.snapshot() for name, (_, fold) in self._folds.items()},
            "episodes": [
                [*key, msgspec.to_builtins(episode)] for key, episode in self._episodes.items()
            ],
            "standings": [msgspec.to_builtins(each) for each in self.standings.values()],
            "done_ns": self._done_ns,
            "faults": self._faults.snapshot(),
            "reached": self.reached,
            "trimmed_ns": self._trimmed_ns,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a snapshot. Raises msgspec.ValidationError, KeyError when it does not fit."""
        for name, known in state["folds"].items():
            self._folds[name][1].restore(known)
        for name, unit, episode in state["episodes"]:
            self._episodes[name, unit] = msgspec.convert(episode, Episode)
        for each in msgspec.convert(state["standings"], list[Standing]):
            self.standings[each.watchdog, each.unit_id] = each
        self._done_ns = {name: int(done) for name, done in state["done_ns"].items()}
        self._faults.restore(state["faults"])
        self.reached = int(state["reached"])
        self._trimmed_ns = int(state["trimmed_ns"])

    def raised(self) -> dict[tuple[str, str], str | None]:
        """Return of which watchdogs and units something is raised, with the fund of each."""
        return {
            key: standing.fund_id if (standing := self.standings.get(key)) else None
            for key in self._episodes
        }

    def adopt(self, key: tuple[str, str], episode: Episode | None) -> None:
        """Take what another release has raised about a unit in place of what was found here."""
        before = self._episodes.pop(key, None)
        if episode is not None:
            self._episodes[key] = episode
        if key[0] == DATA_FAULT and (before is None) != (episode is None):
            title = episode.finding.title if episode else ""
            self._faults.note(key[1], self.reached, title)

    def _keep(self, batch: Batch) -> dict[str, Sequence[Row]]:
        made: dict[str, Sequence[Row]] = {}
        for name, (table, fold) in self._folds.items():
            own = batch.of(table.kinds)
            made[name] = []
            try:
                made[name] = fold.take(own) if own else []
                self.warehouse.insert(table, made[name])
            except Exception as error:  # noqa: BLE001 (nor does a mistake in one of its tables)
                self.problems[name] = _words(error)
        return made

    def _due(
        self, watchdog: Watchdog, batch: Batch, made: Mapping[str, Sequence[Row]]
    ) -> list[Look]:
        """Return the looks that a batch makes due, in the order of the stream."""
        rows = {table.name: made[table.name] for table in watchdog.tables}
        own = batch.of(watchdog.kinds)
        looks = list(watchdog.looks(own, rows)) if own else []
        done_ns = self._done_ns.get(watchdog.name, 0)
        passed, self._done_ns[watchdog.name] = boundaries(watchdog, batch, done_ns)
        looks += passed
        looks.sort(key=lambda look: (look.sequence, look.at_ns))
        return looks

    def _look(self, watchdog: Watchdog, looks: Sequence[Look]) -> list[Event]:
        if not looks:
            return []
        self.looks += len(looks)
        said = []
        for look, found in self._each(watchdog, looks, self.warehouse.ask(watchdog, looks)):
            said += self._judge(watchdog, look, found)
        return said

    def _each(
        self, watchdog: Watchdog, looks: Sequence[Look], found: Iterable[Found]
    ) -> Iterator[tuple[Look, Found]]:
        """Pair looks with what they may see, in order; of a unit without rows they see nothing.

        A look at every unit is also one at what is raised and has no rows any more; what is not
        raised and has none is watched no more.
        """
        by_look: dict[int, dict[str, Found]] = {}
        for each in found:
            by_look.setdefault(each.look, {})[each.unit] = each
        for number, look in enumerate(looks):
            own, unit = by_look.get(number, {}), look.unit
            if unit is not None:
                nothing = Found(number, unit.id, unit.fund_id, unit.strategy_id, (), [])
                yield look, own.get(unit.id, nothing)
                continue
            for one in own.values():
                yield look, one
            gone = [key for key in self.standings if key[0] == watchdog.name and key[1] not in own]
            for key in sorted({*gone} - self._episodes.keys()):
                del self.standings[key]
            raised = self.raised()
            for key in sorted(raised):
                if key[0] == watchdog.name and key[1] not in own:
                    yield look, Found(number, key[1], raised[key], None, (), [])

    def _judge(self, watchdog: Watchdog, look: Look, found: Found) -> list[Event]:
        unit = look.unit or Unit(watchdog.unit, found.unit, found.fund_id, found.strategy_id)
        look = look._replace(unit=unit)
        key = watchdog.name, unit.id
        known = self._episodes.get(key)
        try:
            limits, mode = self._layers.of(watchdog.name, unit.fund_id)
        except Rejected as error:  # nobody knows the limit, and a default would be a surprise
            verdict = self._failed(watchdog, look, error)
            mode = "observe"
        else:
            verdict = OFF if mode == "off" else self._verdict(watchdog, look, found, limits, known)
        proof = evidence(found.names, found.rows, look)
        judged = Judgement(watchdog, unit, look, verdict, mode, proof)
        now, said = advance(known, judged)
        if now is None:
            self._episodes.pop(key, None)
        else:
            self._episodes[key] = now
        if watchdog.name == DATA_FAULT and (now is None) != (known is None):
            self._faults.note(unit.id, look.sequence, now.finding.title if now else "")
        self.standings[key] = _standing(judged, now)
        return said

    def _verdict(
        self, watchdog: Watchdog, look: Look, found: Found, limits: Limits, known: Episode | None
    ) -> Verdict:
        assert look.unit is not None
        for feed in watchdog.feeds(look.unit):
            if fault := self._faults.at(feed, look.sequence):
                return Verdict(state="unknown", title=f"its data is at fault: {fault}")
        try:
            rows = [watchdog.row(*row) for row in found.rows]
            return watchdog.inspect(rows, look, limits, known)
        except Exception as error:  # noqa: BLE001 (a mistake in one watchdog ends no other)
            return self._failed(watchdog, look, error)

    def _failed(self, watchdog: Watchdog, look: Look, error: Exception) -> Verdict:
        assert look.unit is not None
        self.problems[watchdog.name] = f"{look.unit.id} could not be judged: {error!r}"
        return Verdict(state="unknown", title=f"could not be judged: {error!r}")

    def _trim(self, now_ns: int) -> None:
        """Once for each day of the stream, so that a replay trims at the same places."""
        if now_ns // DAY_NS > self._trimmed_ns // DAY_NS:
            self._trimmed_ns = now_ns
            self.warehouse.trim(now_ns)


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, Rejected) else repr(error)


def _standing(judged: Judgement, now: Episode | None) -> Standing:
    verdict, unit = judged.verdict, judged.unit
    return Standing(
        watchdog=judged.watchdog.name,
        unit_kind=unit.kind,
        unit_id=unit.id,
        fund_id=unit.fund_id,
        mode=judged.mode,
        state=verdict.state,
        title=verdict.title,
        statistic=verdict.statistic,
        statistic_name=verdict.statistic_name,
        threshold=verdict.threshold,
        samples=verdict.samples,
        looked_at=rfc3339(judged.look.at_ns),
        episode=now.id if now else None,
    )
