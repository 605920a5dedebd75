"""Is there so much news about one held instrument that something must have happened?

Distinct stories that name it are counted for each hour of event time, and at the end of an hour
the count is compared with the 30 days before it (`operations.statistics.surprise`): counts of news
vary more than chance alone would let them, so normal or Poisson limits cry wolf every week. Beyond
five sigma orders in the instrument rest for half an hour and somebody reads the news. News about
most of what is held at once halts the firm through the worker `limits`.

Only hours in which a news feed gave a sign of life count, on either side: silence of a feed is no
absence of news. A story told again under its id or headline is one story.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

from operations.checks import (
    Batch,
    EachEvent,
    Episode,
    Limits,
    Look,
    Proposal,
    Row,
    Stored,
    Table,
    Verdict,
    Watchdog,
    look_at,
)
from operations.clock import NANOSECONDS, near_ns, rfc3339
from operations.events.base import Event, doc
from operations.events.findings import Parameter
from operations.events.news import Beat, FeedBeat, Story, StoryPublished
from operations.events.positions import Holding, PositionSnapshotted, Snapshot
from operations.settings.catalogue import LOOSER_HIGHER, LOOSER_LOWER
from operations.statistics.surprise import log_surprises, near_time_of_day
from operations.watchdogs.cases import Case

NAME = "news_spike"
BIN_SECONDS, LATENESS_SECONDS = 3600, 300
HOUR_NS = BIN_SECONDS * NANOSECONDS
HISTORY_HOURS = 30 * 24
REMEMBERED_HOURS = 24  # how long a story that is told again is known
LONGEST_HASH = 128
FEWEST_REMEMBERED = 10_000
TOLD = 10  # stories of a canary


class NewsLimits(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When there is too much news about an instrument."""

    tail_probability: Annotated[
        float,
        Meta(gt=0, lt=1),
        doc("Probability of an hour like this, below which it is a spike."),
        LOOSER_LOWER,
    ] = 2.9e-7
    calm_probability: Annotated[
        float,
        Meta(gt=0, lt=1),
        doc("Probability of an hour from which a spike is over."),
        LOOSER_LOWER,
    ] = 1e-3
    minimum_hours: Annotated[
        int,
        Meta(ge=24),
        doc("Hours with a living feed below which what is usual is unknown."),
        LOOSER_HIGHER,
    ] = 120
    cooldown_seconds: Annotated[int, Meta(ge=1), doc("How long orders rest."), LOOSER_LOWER] = 1800


class Hours(NamedTuple):
    """What is known of one held instrument: its stories in each hour with a living feed."""

    first_sequence: int | None
    last_sequence: int | None
    hours: list[int]  # hours since 1970, oldest first
    stories: list[int]


class Stories:
    """Counts each story once: by its id and by its headline, for a day."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}
        self._newest = 0
        self._full = FEWEST_REMEMBERED

    def take(self, batch: Batch) -> list[Row]:
        """Return a row for each instrument that a story names for the first time."""
        rows = []
        for stored in batch:
            story = stored.event.data
            assert isinstance(story, Story)
            hour = min(near_ns(story.published_at), stored.at_ns) // HOUR_NS
            if not self._tell(story, hour):
                rows += [
                    (stored.sequence, stored.at_ns, symbol, hour)
                    for symbol in sorted(set(story.tickers))
                ]
        return rows

    def _tell(self, story: Story, hour: int) -> bool:
        """Remember a story; return whether it was told already."""
        self._newest = max(self._newest, hour)
        oldest = self._newest - REMEMBERED_HOURS
        headline = f"headline {story.headline_hash[:LONGEST_HASH]}"
        again = False
        for name in (f"id {story.feed} {story.story_id}", headline):
            told = self._told.get(name, -1)
            again |= told >= oldest
            self._told[name] = max(told, hour)
        if len(self._told) > self._full:
            self._told = {name: told for name, told in self._told.items() if told >= oldest}
            self._full = 2 * len(self._told) + FEWEST_REMEMBERED
        return again

    def snapshot(self) -> Any:
        """Return what was told."""
        return [self._newest, self._told]

    def restore(self, state: Any) -> None:
        """Go on from a snapshot."""
        self._newest, self._told = state[0], dict(state[1])


class Held:
    """What each account and strategy holds, whenever that changes."""

    def __init__(self) -> None:
        self._held: dict[str, list[str]] = {}

    def take(self, batch: Batch) -> list[Row]:
        """Return a row for each change; an incomplete snapshot takes nothing away."""
        rows = []
        for stored in batch:
            event = stored.event
            assert isinstance(event, PositionSnapshotted)
            owner = f"{event.account_id} {event.strategy_id}"
            held = {each.symbol for each in event.data.holdings if each.quantity}
            if not event.data.complete:
                held |= set(self._held.get(owner, ()))
            if sorted(held) != self._held.get(owner):
                self._held[owner] = sorted(held)
                names = msgspec.json.encode(self._held[owner]).decode()
                rows.append((stored.sequence, stored.at_ns, owner, names))
        return rows

    def snapshot(self) -> Any:
        """Return what is held."""
        return self._held

    def restore(self, state: Any) -> None:
        """Go on from a snapshot."""
        self._held = {owner: list(names) for owner, names in state.items()}


def _beats(stored: Stored) -> Iterator[Row]:
    at_ns = min(near_ns(stored.event.timestamp), stored.at_ns)
    yield stored.sequence, stored.at_ns, at_ns // HOUR_NS


STORIES = Table(
    name="story",
    columns=(("symbol", "VARCHAR"), ("hour", "BIGINT")),
    kinds=(StoryPublished,),
    fold=Stories,
    keep_days=32,
)
BEATS = Table(
    name="news_beat",
    columns=(("hour", "BIGINT"),),
    kinds=(FeedBeat,),
    fold=lambda: EachEvent(_beats),
    keep_days=32,
)
HELD = Table(
    name="held",
    columns=(("owner", "VARCHAR"), ("names", "VARCHAR")),
    kinds=(PositionSnapshotted,),
    fold=Held,
    keep_days=36_500,
)

QUERY = f"""
WITH alive AS (
    SELECT look.look, look.sequence, b.hour, min(b.sequence) AS first, max(b.sequence) AS last
    FROM look JOIN news_beat b ON b.sequence <= look.sequence
        AND b.hour >= look.at_ns // {HOUR_NS} - 1 - {HISTORY_HOURS}
        AND b.hour < look.at_ns // {HOUR_NS}
    GROUP BY look.look, look.sequence, b.hour
), newest AS (
    SELECT look.look, arg_max(h.names, h.sequence) AS names
    FROM look JOIN held h ON h.sequence <= look.sequence
    GROUP BY look.look, h.owner
), symbols AS (
    SELECT DISTINCT look, unnest(from_json(names, '["VARCHAR"]')) AS symbol FROM newest
), counted AS (
    SELECT a.look, s.symbol, s.hour, count(*) AS stories,
           min(s.sequence) AS first, max(s.sequence) AS last
    FROM alive a JOIN story s ON s.hour = a.hour AND s.sequence <= a.sequence
    GROUP BY a.look, s.symbol, s.hour
)
SELECT y.look, y.symbol AS unit, NULL::VARCHAR AS fund_id, NULL::VARCHAR AS strategy_id,
       least(min(a.first), min(c.first)) AS first_sequence,
       greatest(max(a.last), max(c.last)) AS last_sequence,
       coalesce(list(a.hour ORDER BY a.hour) FILTER (a.hour IS NOT NULL), []) AS hours,
       coalesce(list(coalesce(c.stories, 0) ORDER BY a.hour) FILTER (a.hour IS NOT NULL), [])
           AS stories
FROM symbols y
LEFT JOIN alive a ON a.look = y.look
LEFT JOIN counted c ON c.look = y.look AND c.symbol = y.symbol AND c.hour = a.hour
GROUP BY y.look, y.symbol
ORDER BY y.look, y.symbol
"""  # noqa: S608


def looks(batch: Batch, _rows: Mapping[str, Sequence[Row]]) -> Iterator[Look]:
    """Look at what a canary held: its hours end when its last event is there, not by the clock."""
    for stored in batch:
        event = stored.event
        if event.environment == "canary" and isinstance(event, FeedBeat) and event.data.stories:
            at_ns = (near_ns(event.timestamp) // HOUR_NS + 1) * HOUR_NS
            yield look_at(stored, None, at_ns)


def inspect(
    found: Sequence[Hours], look: Look, limits: NewsLimits, known: Episode | None
) -> Verdict:
    """Judge the hour that ended at the look against the hours before it."""
    assert look.unit is not None
    symbol, ended = look.unit.id, look.at_ns // HOUR_NS - 1
    if not found:
        return Verdict(state="ok", title=f"{symbol} is not held any more", recovered=True)
    hours, stories = found[0].hours, found[0].stories
    if not hours or hours[-1] != ended:
        return _unknown(symbol, "no feed gave a sign of life in the hour that ended")
    if len(hours) - 1 < limits.minimum_hours:
        return _unknown(symbol, f"{len(hours) - 1} of {limits.minimum_hours} hours with a feed")
    count, history = stories[-1], stories[:-1]
    near = near_time_of_day((ended - np.array(hours[:-1])) * BIN_SECONDS)
    if not near.any():
        return _unknown(symbol, "no hour at about this time of day is known")
    chance = float(log_surprises([count], [history], near)[0])
    spike = chance < math.log(limits.tail_probability)
    return Verdict(
        state="breached" if spike else "ok",
        title=f"{count} stories about {symbol} in one hour, usually "
        f"{float(np.mean(np.array(history)[near])):.2f}",
        stage=int(spike),
        recovered=known is not None and chance > math.log(limits.calm_probability),
        statistic=chance / math.log(10),
        statistic_name="log10 of the probability of so many stories in one hour",
        threshold=math.log10(limits.tail_probability),
        samples=len(history),
        parameters=(
            Parameter(name="stories", value=str(count)),
            Parameter(name="bin_seconds", value=str(BIN_SECONDS)),
            Parameter(name="tail_probability", value=repr(limits.tail_probability)),
        ),
        proposal=_cooldown(symbol, limits.cooldown_seconds) if spike else None,
    )


def _cooldown(symbol: str, seconds: int) -> Proposal:
    return Proposal(
        kind="cooldown",
        scope="instrument",
        scope_id=symbol,
        seconds=seconds,
        words=f"let orders in {symbol} rest for {seconds / 60:g} minutes",
    )


def _unknown(symbol: str, problem: str) -> Verdict:
    return Verdict(state="unknown", title=f"whether {symbol} is in the news is unknown: {problem}")


def canary(now_ns: int, run_id: str) -> Iterator[Event]:
    """Six quiet days of a feed, then ten stories about what is held within one hour."""
    case = Case(NAME, now_ns, run_id)
    symbol, last = case.subject_id, now_ns // HOUR_NS - 1
    first = last - NewsLimits().minimum_hours

    def event(kind: type[Event], hour: int, data: Any) -> Event:
        return case.event(kind, data, timestamp=rfc3339(hour * HOUR_NS), account_id=symbol)

    held = Snapshot(as_of=rfc3339(now_ns), holdings=(Holding(symbol=symbol, quantity=Decimal(1)),))
    yield event(PositionSnapshotted, first, held)
    for hour in range(first, last):
        alive = Beat(feed="canary", stories=0, interval_seconds=3600.0)
        yield event(FeedBeat, hour, alive)
    for number in range(TOLD):
        story = Story(
            story_id=f"{run_id}.{number}", feed="canary", headline_hash=f"{run_id}.{number}",
            published_at=rfc3339(last * HOUR_NS), tickers=(symbol,),
        )  # fmt: skip
        yield event(StoryPublished, last, story)
    ends = Beat(feed="canary", stories=TOLD, interval_seconds=3600.0)
    yield event(FeedBeat, last, ends)


WATCHDOG = Watchdog(
    name=NAME,
    why="Who trades on before reading the news trades against those who have read it.",
    action="let orders in the instrument rest for 30 minutes",
    budget=".03 per ticker-day",
    unit="instrument",
    limits=NewsLimits,
    tables=(STORIES, BEATS, HELD),
    row=Hours,
    query=QUERY,
    inspect=inspect,
    looks=looks,
    every_seconds=BIN_SECONDS,
    lateness_seconds=LATENESS_SECONDS,
    feeds=lambda _unit: ("news",),
    canary=canary,
)
