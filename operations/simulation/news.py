"""The simulated news: stories, some of them told twice, and a beat that says the feed lives."""

import hashlib
from collections.abc import Iterator, Sequence
from random import Random

from operations.events.base import Event
from operations.events.news import Beat, FeedBeat, Story, StoryPublished
from operations.simulation.agenda import Agenda, Step
from operations.simulation.faults import Fault, NewsSpike
from operations.simulation.market import MILLISECOND, MINUTE
from operations.simulation.world import ASSETS
from operations.simulation.writer import Writer, timestamp

FEED = "news"
STORY_GAP_MS = 45_000
NAMES = tuple(asset.symbol for asset in ASSETS if asset.kind == "equity")


class Newsroom:
    """One feed of stories about the instruments of the simulated market."""

    def __init__(
        self, chance: Random, writer: Writer, agenda: Agenda, faults: Sequence[Fault]
    ) -> None:
        self._chance = chance
        self._writer = writer
        self._agenda = agenda
        self._spikes = [fault for fault in faults if isinstance(fault, NewsSpike)]
        self._stories = 0
        self._since_beat = 0
        self._closes_ns = 0

    def open(self, opens_ns: int, closes_ns: int) -> None:
        """Plan a day."""
        self._closes_ns = closes_ns
        self._plan(opens_ns)
        self._agenda.plan(opens_ns, self._beat)
        for fault in self._spikes:
            start = opens_ns + fault.minute * MINUTE
            gap = MINUTE // fault.stories_per_minute
            for number in range(fault.minutes * fault.stories_per_minute):
                symbols = fault.symbols or NAMES
                symbol = symbols[number % len(symbols)]
                self._agenda.plan(start + number * gap, self._about(symbol))
        self._spikes = []

    def _plan(self, at: int) -> None:
        later = at + MILLISECOND * (1 + self._chance.randrange(2 * STORY_GAP_MS))
        if later < self._closes_ns:
            self._agenda.plan(later, self._any)

    def _any(self, at: int) -> Iterator[Event]:
        self._plan(at)
        first = self._chance.randrange(len(NAMES))
        tickers = NAMES[first : first + 1 + self._chance.randrange(2)]
        yield self._story(at, tickers)

    def _about(self, symbol: str) -> Step:
        return lambda at: [self._story(at, (symbol,))]

    def _story(self, at: int, tickers: tuple[str, ...]) -> Event:
        self._stories += 1
        self._since_beat += 1
        told_before = self._stories > 1 and self._chance.randrange(10) == 0
        headline = f"{self._stories - told_before}"
        story = Story(
            story_id=f"sto-{self._stories}",
            feed=FEED,
            headline_hash=hashlib.sha256(headline.encode()).hexdigest(),
            published_at=timestamp(at - MILLISECOND * (20 + self._chance.randrange(2_000))),
            tickers=tickers,
        )
        return self._writer.write(StoryPublished, at, story.story_id, story, by=FEED)

    def _beat(self, at: int) -> Iterator[Event]:
        beat = Beat(feed=FEED, stories=self._since_beat, interval_seconds=60.0)
        self._since_beat = 0
        yield self._writer.write(FeedBeat, at, FEED, beat, by=FEED)
        if at + MINUTE <= self._closes_ns:
            self._agenda.plan(at + MINUTE, self._beat)
