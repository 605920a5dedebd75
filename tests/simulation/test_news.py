"""The feed beats every minute and counts its stories; some are told twice."""

from collections import Counter

import pytest

from operations.events.news import FeedBeat, StoryPublished
from operations.simulation.simulator import simulate

pytestmark = pytest.mark.unit


def test_a_beat_counts_the_stories_since_the_last_one():
    stories = beats = 0
    for event in simulate(5, events=40_000):
        if isinstance(event, StoryPublished):
            stories += 1
        if isinstance(event, FeedBeat):
            assert event.data.stories == stories
            stories, beats = 0, beats + 1
    assert beats > 100


def test_some_stories_are_told_twice_under_a_new_id():
    told = [event.data for event in simulate(5) if isinstance(event, StoryPublished)]
    assert len({story.story_id for story in told}) == len(told)
    again = [
        count for count in Counter(story.headline_hash for story in told).values() if count > 1
    ]
    assert 0.02 < len(again) / len(told) < 0.2
