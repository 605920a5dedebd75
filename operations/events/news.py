"""What news feeds say: stories, and that the feed is alive when there are none."""

from typing import Annotated

from operations.events.base import Data, Event, Id, Timestamp, Token, doc


class Story(Data, frozen=True, kw_only=True):
    """One story, by hash and not by text: headlines are licensed."""

    story_id: Annotated[Id, doc("Id at the feed.")]
    feed: Annotated[Token, doc("Feed that delivered it.")]
    headline_hash: Annotated[str, doc("SHA-256 of the normalised headline, hexadecimal.")]
    published_at: Annotated[Timestamp, doc("When the feed says it was published.")]
    tickers: Annotated[tuple[Id, ...], doc("Instruments that it names.")]


class StoryPublished(Event, frozen=True, kw_only=True):
    """A feed delivered a story."""

    pattern = "mts.v1.news.story.published"
    data: Story


class Beat(Data, frozen=True, kw_only=True):
    """A sign of life."""

    feed: Annotated[Token, doc("Feed that is alive.")]
    stories: Annotated[int, doc("Stories delivered since the last beat.")]
    interval_seconds: Annotated[float, doc("Time until the next beat, in seconds.")]


class FeedBeat(Event, frozen=True, kw_only=True):
    """A feed is alive, so silence means that there is no news."""

    pattern = "mts.v1.news.feed.beat"
    data: Beat
