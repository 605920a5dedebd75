"""How each feed stands: folded message by message, and shown whenever it is another.

A feed is named by a path: `trades/SPY/XNAS`, `nav/alpha`, `greeks/alpha/acc-1`, `news/wire`. Who
depends on all of a kind or of an instrument names the beginning: `news`, `trades/SPY`.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct

from operations.checks import Batch, Row, Stored, Table
from operations.clock import MOST_NS, NANOSECONDS, near_ns
from operations.events.base import Event
from operations.events.marketdata import TradePrinted
from operations.events.news import FeedBeat, StoryPublished
from operations.events.operations import ClockTicked
from operations.events.portfolio import NavMarked
from operations.events.positions import GreeksMarked
from operations.events.trades import Trades
from operations.watchdogs.arrivals import (
    BEHIND_NS,
    MOST_MISSING,
    Fault,
    Screen,
    Seen,
    Unchanged,
    Values,
)

MINUTE_NS, HOUR_NS = 60 * NANOSECONDS, 3600 * NANOSECONDS
FOR_EVER_NS = 1 << 62
VECTORS_FROM = 16  # trades at once from which numpy is faster than counting one by one
FIRST_ROW, EACH_ROW = 10, 10_000  # messages after which a feed that is well is shown


class Kind(Struct, frozen=True):
    """What is particular to one kind of feed."""

    window: int  # messages in which wrong ones are counted
    shown_from: int  # a run of unchanged messages below this is nothing
    behind_ns: int = FOR_EVER_NS


KINDS = {
    "trades": Kind(window=100, shown_from=100, behind_ns=BEHIND_NS),
    "nav": Kind(window=1, shown_from=2),
    "greeks": Kind(window=20, shown_from=2),
    "news": Kind(window=20, shown_from=2),
}


class Message(NamedTuple):
    """A message of a feed; `identity` is "" where a message replaces the one before."""

    feed: str
    identity: str
    happened: str
    thing: str
    values: Values | None  # None: not compared


def trades_feed(symbol: str, venue: str) -> str:
    """Name the trades of an instrument at a venue."""
    return f"trades/{symbol}/{venue}"


def message(event: Event) -> Message | None:
    """Say to which feed an event belongs and what is compared; None for one of no feed."""
    if isinstance(event, NavMarked):
        mark = event.data
        settled = (str(mark.nav),) if mark.final else None
        return Message(f"nav/{event.fund_id or event.subject_id}", "", mark.as_of, "", settled)
    if isinstance(event, GreeksMarked):
        greeks = event.data
        marked = (
            str(greeks.theta_per_day), greeks.delta, greeks.gamma, greeks.vega,
            greeks.implied_volatility, str(greeks.spot_price),
        )  # fmt: skip
        feed = f"greeks/{event.fund_id}/{event.account_id}"
        return Message(feed, "", greeks.marked_at, greeks.symbol, marked)
    if isinstance(event, StoryPublished):
        story = event.data
        identity = f"{story.story_id} {story.headline_hash}"
        feed = f"news/{story.feed}"
        return Message(feed, identity, story.published_at, "", (story.headline_hash,))
    return None


class Feed:
    """One feed: what came last, and what was wrong with it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.kind = KINDS[name.partition("/")[0]]
        self.screen, self.unchanged = Screen(self.kind.behind_ns), Unchanged()
        self.messages = self.last_ns = self.silent_ns = self.beat_ns = self.stories = 0
        self.latency_ns: int | None = None
        self.wrong: deque[tuple[int, str, int]] = deque()  # message, what, how many
        self.shown = (0, 0, 0, 0)

    def take(self, one: Message, stored: Stored) -> Iterator[Row]:
        """Take a message; return how it stands if there is something to show."""
        happened_ns = near_ns(one.happened)
        said_ns = near_ns(stored.event.timestamp)
        fault = self.screen.take(one.identity, happened_ns, said_ns, stored.at_ns)
        if not fault and one.values is not None:
            self.unchanged.take(one.thing, one.values, happened_ns)
        late_ns = stored.at_ns - max(happened_ns, said_ns)
        if self._count(fault, self.screen.missing, late_ns, stored.at_ns):
            yield self.row(stored.sequence, stored.at_ns)

    def take_all(self, trades: Trades) -> Iterator[Row]:
        """Take trades of this feed, as `take` does one by one."""
        seen = self.screen.take_all(trades)
        begin = 0
        while begin < len(trades):
            end = min(begin + self._until_time(), len(trades))
            its, of_it = trades.cut(begin, end), seen.cut(begin, end)
            if self._pass_by(its, of_it):
                if self._is_time():
                    yield self.row(int(its.sequence[-1]), self.last_ns)
            else:
                yield from self._take_each(its, of_it)
            begin = end

    def _pass_by(self, trades: Trades, seen: Seen) -> bool:
        """Count trades of which nothing but the number is to be said; False when there is more."""
        is_calm = not (self.silent_ns or self.wrong or any(self.shown))
        if len(trades) < VECTORS_FROM or not is_calm or seen.wrong.any() or seen.missing.any():
            return False
        values = trades.price, trades.size
        if not self.unchanged.take_all("", values, trades.happened_ns, self.kind.shown_from):
            return False
        self.messages += len(trades)
        self.stories += len(trades)
        self.last_ns = int(trades.at_ns[-1])
        return True

    def _take_each(self, trades: Trades, seen: Seen) -> Iterator[Row]:
        late_ns = trades.at_ns - np.maximum(trades.happened_ns, trades.said_ns)
        columns = (
            *seen, late_ns, trades.sequence, trades.at_ns, trades.happened_ns, trades.price,
            trades.size,
        )  # fmt: skip
        for duplicate, clock, missing, late, sequence, at_ns, happened_ns, *values in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            fault: Fault = "duplicate" if duplicate else "clock" if clock else ""
            if not fault:
                self.unchanged.take("", tuple(values), happened_ns)
            if self._count(fault, missing, late, at_ns):
                yield self.row(sequence, at_ns)

    def _count(self, fault: Fault, missing: int, late_ns: int, at_ns: int) -> bool:
        """Count a message; return whether there is something to show."""
        self.messages += 1
        silent, self.last_ns, self.silent_ns = self.silent_ns, at_ns, 0
        if fault:
            self.wrong.append((self.messages, fault, 1))
            if fault == "clock":
                self.latency_ns = late_ns
        if missing:
            self._miss(missing)
        self.stories += fault != "duplicate"
        return silent > 0 or self._to_show()

    def beat(self, event: FeedBeat, at_ns: int) -> None:
        """Take a sign of life, which says how many stories should have come since the last one."""
        if self.beat_ns and event.data.stories > self.stories:
            self._miss(event.data.stories - self.stories)
        self.last_ns, self.silent_ns, self.stories = at_ns, 0, 0
        longest = MOST_NS / NANOSECONDS
        self.beat_ns = int(max(0.0, min(event.data.interval_seconds, longest)) * NANOSECONDS)

    def tick(self, now_ns: int) -> bool:
        """Take the time; in the first hour silence is shown each minute, then each hour."""
        silent, before = now_ns - self.last_ns, self.silent_ns
        if silent < MINUTE_NS or (silent > HOUR_NS and silent // HOUR_NS == before // HOUR_NS):
            return False
        self.silent_ns = silent
        return True

    def row(self, sequence: int, at_ns: int) -> Row:
        """Return how it stands at a place in the stream, as the columns of the table."""
        counts = self._counts()
        self.shown = (*counts, self._run())
        window = min(self.messages, self.kind.window)
        return (
            sequence, at_ns, self.name, self.messages, window, *counts,
            self.unchanged.run, self.unchanged.span_ns, self.silent_ns, self.beat_ns,
            self.latency_ns,
        )  # fmt: skip

    def _miss(self, missing: int) -> None:
        self.wrong.append((self.messages, "gap", min(missing, MOST_MISSING)))

    def _counts(self) -> tuple[int, int, int]:
        while self.wrong and self.wrong[0][0] <= self.messages - self.kind.window:
            self.wrong.popleft()
        counts = {"duplicate": 0, "clock": 0, "gap": 0}
        for _, what, many in self.wrong:
            counts[what] += many
        return counts["duplicate"], counts["clock"], counts["gap"]

    def _run(self) -> int:
        run = self.unchanged.run
        return run if run >= self.kind.shown_from else 0

    def _to_show(self) -> bool:
        """Whether something is worse than was shown, or well again, or it is time."""
        run = self._run()
        if self._is_time():
            return True
        if not self.wrong and not run and self.shown == (0, 0, 0, 0):
            return False
        now = (*self._counts(), run)
        return now == (0, 0, 0, 0) or any(
            new > old for new, old in zip(now, self.shown, strict=True)
        )

    def _is_time(self) -> bool:
        """Whether a feed that is well is shown at its newest message."""
        return self.messages == FIRST_ROW or self.messages % EACH_ROW == 0

    def _until_time(self) -> int:
        """Return in how many messages from now that is."""
        before_first = FIRST_ROW - self.messages
        return before_first if before_first > 0 else EACH_ROW - self.messages % EACH_ROW

    def snapshot(self) -> list[Any]:
        """Return all of it, in JSON's types."""
        return [
            self.screen.snapshot(), self.unchanged.snapshot(), self.messages, self.last_ns,
            self.silent_ns, self.beat_ns, self.stories, self.latency_ns, list(self.wrong),
            self.shown,
        ]  # fmt: skip

    def restore(self, state: list[Any]) -> None:
        """Go on from a snapshot."""
        screen, unchanged, *numbers, wrong, shown = state
        self.screen.restore(screen)
        self.unchanged = Unchanged.restored(unchanged)
        self.messages, self.last_ns, self.silent_ns, self.beat_ns, self.stories = numbers[:5]
        self.latency_ns = numbers[5]
        self.wrong = deque((place, what, many) for place, what, many in wrong)
        self.shown = tuple(shown)


class FeedFold:
    """Makes a row of a feed whenever its condition is another, and now and then when it is not."""

    def __init__(self) -> None:
        self._feeds: dict[str, Feed] = {}

    def take(self, batch: Batch) -> list[Row]:
        """Return the rows that a batch makes, in the order of the stream."""
        rows: list[Row] = []
        trades = batch.trades
        for stored in batch:
            event, place = stored.event, (stored.sequence, stored.at_ns)
            if isinstance(event, ClockTicked):
                before = int(np.searchsorted(trades.sequence, stored.sequence))
                rows += self._printed(trades.cut(0, before))
                trades = trades.cut(before, len(trades))
                rows += [feed.row(*place) for feed in self._feeds.values() if feed.tick(place[1])]
            elif isinstance(event, FeedBeat):
                feed = self._feed(f"news/{event.data.feed}")
                feed.beat(event, stored.at_ns)
                rows.append(feed.row(*place))
            elif (one := message(event)) is not None:
                rows += self._feed(one.feed).take(one, stored)
        rows += self._printed(trades)
        return sorted(rows, key=itemgetter(0, 2))

    def _printed(self, trades: Trades) -> Iterator[Row]:
        for (symbol, venue), its in trades.by("symbol", "venue").items():
            yield from self._feed(trades_feed(symbol, venue)).take_all(its.trades)

    def _feed(self, name: str) -> Feed:
        feed = self._feeds.get(name)
        if feed is None:
            feed = self._feeds[name] = Feed(name)
        return feed

    def snapshot(self) -> dict[str, Any]:
        """Return every feed."""
        return {name: feed.snapshot() for name, feed in self._feeds.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        for name, known in state.items():
            self._feed(name).restore(known)


CONDITIONS = Table(
    name="feed_condition",
    columns=(
        ("feed", "VARCHAR"), ("messages", "BIGINT"), ("window_messages", "BIGINT"),
        ("duplicates", "BIGINT"), ("clock", "BIGINT"), ("missing", "BIGINT"),
        ("unchanged", "BIGINT"), ("unchanged_ns", "BIGINT"), ("silent_ns", "BIGINT"),
        ("beat_ns", "BIGINT"), ("latency_ns", "BIGINT"),
    ),
    kinds=(TradePrinted, NavMarked, GreeksMarked, StoryPublished, FeedBeat, ClockTicked),
    fold=FeedFold,
    keep_days=8,
)  # fmt: skip
