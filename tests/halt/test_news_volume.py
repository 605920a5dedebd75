"""When is there so much news that the firm stops, and what is too little for it?"""

import csv
import math
from collections import Counter
from copy import deepcopy
from decimal import Decimal
from functools import cache
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from labelled_news import daily_counts
from limit_events import MINUTE_NS, Feed, halting, kinds
from real_data import needs_data

from operations.clock import rfc3339
from operations.events.news import Beat, FeedBeat, Story, StoryPublished
from operations.events.positions import Holding, PositionSnapshotted, Snapshot
from operations.halt.news_volume import (
    MINIMUM_HOURS,
    TAIL,
    TAIL_OF_A_NAME,
    TRAILING_HOURS,
    UNREACHABLE,
    critical_count,
)
from operations.statistics.counts import CountModel, least_alarming_count

pytestmark = pytest.mark.unit
HELD = ("AAPL", "MSFT", "KO", "XOM", "JPM")


class Newsfeed(Feed):
    """A firm that holds five names, and the stories of one feed."""

    stories = 0

    def hold(self, *symbols, complete=True, account="acc-1"):
        holdings = tuple(Holding(symbol=each, quantity=Decimal(5)) for each in symbols)
        data = Snapshot(as_of=rfc3339(self.at_ns), holdings=holdings, complete=complete)
        self.put(PositionSnapshotted, account, data, account_id=account)

    def beat(self):
        self.put(FeedBeat, "news", Beat(feed="news", stories=0, interval_seconds=60.0))

    def story(self, *tickers, headline=None, feed="news", at_ns=None):
        self.stories += 1
        data = Story(
            story_id=f"s-{self.stories}",
            feed=feed,
            headline_hash=headline or f"h-{self.stories}",
            published_at=rfc3339(at_ns or self.at_ns),
            tickers=tickers,
        )
        return self.put(StoryPublished, data.story_id, data)

    def quiet_hours(self, hours=MINIMUM_HOURS + 1, stories=2):
        for _ in range(hours):
            for number in range(stories):
                self.story(HELD[number])
            self.pass_minutes(60)
        self.beat()

    def storm(self, names=HELD, minutes=5, each_minute=10):
        said = []
        for _ in range(minutes):
            self.beat()
            for number in range(each_minute):
                said += self.story(names[number % len(names)])
            self.pass_minutes(1)
        return said


@pytest.fixture
def feed():
    made = Newsfeed()
    made.hold(*HELD)
    made.quiet_hours()
    return made


def test_a_storm_about_most_of_what_is_held_halts_the_firm(feed):
    (raised, *_) = halting(feed.storm())
    assert kinds([raised]) == [("news_aggregate", "raised")]
    found = raised.data
    assert (found.halt_level, raised.fund_id, raised.strategy_id) == ("firm", None, None)
    assert found.statistic >= found.threshold > 2
    assert raised.subject_id == "firm"
    assert found.evidence[0].rows == 3


def test_it_takes_three_different_minutes(feed):
    assert halting(feed.storm(minutes=2, each_minute=50)) == []
    assert halting(feed.storm(minutes=1))


def test_a_storm_about_one_name_or_too_few_of_them_halts_nothing(feed):
    assert halting(feed.storm(names=("AAPL",))) == []
    feed.hold(*HELD, "A", "B", "C")  # three of eight are less than two fifths
    assert halting(feed.storm(names=("AAPL", "MSFT", "KO"))) == []


def test_a_storm_about_one_name_is_no_broad_one_because_others_are_named_as_always(feed):
    said = []
    for _ in range(5):
        feed.beat()
        for number in range(40):
            said += feed.story("AAPL" if number else "MSFT")
        feed.pass_minutes(1)
    assert feed.triggers.news._names["MSFT"] == 5
    assert halting(said) == []


def test_two_of_five_held_names_are_enough(feed):
    assert halting(feed.storm(names=("AAPL", "MSFT")))


def test_stories_about_what_is_not_held_do_not_count(feed):
    assert halting(feed.storm(names=("TSLA", "GME", "AMC"))) == []


def test_the_same_headline_told_again_is_one_story(feed):
    for _ in range(5):
        feed.beat()
        for number in range(10):
            feed.story(HELD[number % 5], headline=f"same-{number % 2}")
        feed.pass_minutes(1)
    assert halting(feed.said) == []


def test_stories_before_anybody_said_what_is_held_are_noted_once():
    feed = Newsfeed()
    said = feed.story("AAPL") + feed.story("KO")
    assert kinds(said) == [("news_aggregate", "raised")]
    assert said[0].data.halt_level is None
    feed.hold()
    assert kinds(feed.story("KO")) == [("news_aggregate", "cleared")]


def test_a_feed_that_gives_no_sign_of_life_stops_nobody(feed):
    feed.pass_minutes(10)
    said = []
    for _ in range(5):
        for number in range(10):
            said += feed.story(HELD[number % 5])
        feed.pass_minutes(1)
    assert halting(said) == []


def test_without_enough_hours_to_compare_with_nothing_is_judged():
    feed = Newsfeed()
    feed.hold(*HELD)
    feed.quiet_hours(MINIMUM_HOURS - 2)
    assert halting(feed.storm()) == []


def test_stories_dated_ahead_are_counted_where_they_arrived(feed):
    said = []
    for _ in range(5):
        feed.beat()
        for number in range(10):
            said += feed.story(HELD[number % 5], at_ns=feed.at_ns + 100_000 * MINUTE_NS)
        feed.pass_minutes(1)
    assert halting(said)


def test_the_firm_is_halted_for_news_once_a_day(feed):
    feed.storm()
    feed.halted("news_aggregate", "")
    assert kinds(feed.lifted("CLEARED")) == [("news_aggregate", "cleared")]
    said = feed.storm(minutes=8)
    assert halting(said) == []
    assert kinds(said) == [("news_aggregate", "raised")]
    assert "already" in said[0].data.title
    feed.pass_minutes(24 * 60)
    assert kinds(feed.story("KO"))[0] == ("news_aggregate", "cleared")
    assert halting(feed.storm(minutes=8))


def test_after_a_lift_the_stories_before_it_do_not_count(feed):
    feed.storm(minutes=4)
    feed.halted("news_aggregate", "")
    feed.lifted("CLEARED")
    assert feed.triggers.news._count == 0


def test_an_incomplete_snapshot_takes_no_name_away(feed):
    feed.hold("AAPL", complete=False)
    assert halting(feed.storm(names=("MSFT", "KO")))
    feed.hold()
    assert feed.triggers.news._held_names() == set()


def tail_of_poisson(mean, count):
    below = sum(math.exp(-mean + x * math.log(mean) - math.lgamma(x + 1)) for x in range(count))
    return 1 - below


def test_where_counts_vary_like_chance_the_limit_is_that_of_poisson():
    count = critical_count([4] * 100)
    assert tail_of_poisson(4, count) < TAIL <= tail_of_poisson(4, count - 1)


def tail_of_negative_binomial(mean, variance, count):
    size = mean**2 / (variance - mean)
    chance = size / (size + mean)
    below = sum(
        math.exp(
            math.lgamma(size + x) - math.lgamma(size) - math.lgamma(x + 1)
            + size * math.log(chance) + x * math.log(1 - chance)
        )
        for x in range(count)
    )  # fmt: skip
    return 1 - below


@given(st.lists(st.integers(0, 50), min_size=30, max_size=200))
def test_the_limit_has_the_tail_that_it_promises(hours):
    mean = max(sum(hours), 1) / len(hours)
    variance = sum((each - mean) ** 2 for each in hours) / len(hours)
    count = critical_count(hours)
    if variance > mean * 1.0001:
        near = 1e-11  # what is lost by taking a tail as one less the rest
        assert tail_of_negative_binomial(mean, variance, count) < TAIL + near
        assert tail_of_negative_binomial(mean, variance, count - 1) >= TAIL - near


@pytest.mark.parametrize("tail", [TAIL, TAIL_OF_A_NAME])
@pytest.mark.parametrize("seed", range(10))
def test_the_limit_is_that_of_the_statistics_for_watchdogs(seed, tail):
    chance = Random(seed)
    usual = 10 ** chance.uniform(-1, 2)
    hours = [int(chance.gammavariate(1.5, usual / 1.5)) for _ in range(300)]
    mean = max(sum(hours), 1) / len(hours)
    variance = sum((each - mean) ** 2 for each in hours) / len(hours)
    model = CountModel(mean, max(variance, mean))
    assert critical_count(hours, tail) == least_alarming_count(model, math.log(tail))


@pytest.mark.parametrize("hours", [[0] * 200, [5000] * 200, [0, 20_000] * 100])
def test_silence_and_floods_have_a_limit_too(hours):
    assert max(hours) * 0.5 <= critical_count(hours) <= 1_000_000
    assert critical_count(hours) >= 2


TICKERS = ("AAPL", "AMZN", "CRM", "FB", "GOOG")
REAL = Path(__file__).resolve().parents[2] / "../shared/data/news"


def mentions(ticker):
    """Mentions for each hour of two months, oldest first."""
    hours = Counter()
    with (REAL / f"Twitter_volume_{ticker}.csv").open() as file:
        for row in csv.DictReader(file):
            hours[row["timestamp"][:13]] += int(float(row["value"]))
    return hours


@needs_data
def test_two_months_of_real_mentions_would_have_halted_nobody():
    """In 4 of 1,206 hours the sum is beyond its limit, and each time it was one name alone."""
    counts = {ticker: mentions(ticker) for ticker in TICKERS}
    hours = sorted(set().union(*counts.values()))
    history, beyond = [], []
    for number, hour in enumerate(hours):
        total = sum(counts[ticker][hour] for ticker in TICKERS)
        past = hours[max(0, number - TRAILING_HOURS) : number]
        limit = UNREACHABLE
        usual = sum(history[-TRAILING_HOURS:]) / max(1, len(past))
        if len(past) >= MINIMUM_HOURS and total > 2 * usual:  # below that no limit is near
            limit = critical_count(history[-TRAILING_HOURS:])
            if total >= limit:
                own = {
                    ticker: critical_count([counts[ticker][each] for each in past], TAIL_OF_A_NAME)
                    for ticker in TICKERS
                }
                beyond.append([each for each in TICKERS if counts[each][hour] >= own[each]])
        history.append(min(total, limit))
    assert beyond == [["AAPL"]] * 4


QUIET_DAYS = ("2014-05-21", "2014-09-09", "2014-09-19", "2014-10-20")


def tell(feed, counts, hours, injected=()):
    """The stories of one real day, spread evenly over so many hours, and more in the last one."""
    said = []
    names = [name for name, number in sorted(counts.items()) for _ in range(number)]
    Random(1).shuffle(names)
    for hour in range(hours):
        begin_ns = feed.at_ns
        feed.put(FeedBeat, "news", Beat(feed="news", stories=0, interval_seconds=3600.0))
        told = names[hour * len(names) // hours : (hour + 1) * len(names) // hours]
        if hour == hours - 1:
            told = [*told, *injected]
        for number, name in enumerate(told):
            feed.at_ns = begin_ns + 60 * number // len(told) * MINUTE_NS
            said += feed.story(name)
        feed.at_ns = begin_ns + 60 * MINUTE_NS
    return said


def again(feed):
    """A feed that goes on from where another stands."""
    made = Newsfeed(deepcopy(feed.triggers), feed.sequence, feed.at_ns)
    made.stories = feed.stories
    return made


@cache
def year_of_real_days(hours):
    """Days on which the firm was halted, and how the fold stood before each of the four."""
    counts = daily_counts()
    feed, halted, before = Newsfeed(), [], {}
    feed.hold(*{name for each in counts.values() for name in each})
    for day in sorted(counts):
        if day > QUIET_DAYS[-1]:
            break
        if day in QUIET_DAYS:
            before[day] = again(feed)
        if halting(tell(feed, counts[day], hours)):
            halted.append(day)
    return halted, before


@needs_data
@pytest.mark.parametrize("hours", [1, 24])
@pytest.mark.parametrize("day", QUIET_DAYS)
def test_real_days_of_one_feed_or_few_names_halt_no_firm_and_a_story_about_many_does(day, hours):
    """An artefact of collection, a launch, an offering and earnings; then stories are injected.

    Real counts of each day are told as events in one hour, as if hours were days, or over 24. As
    many stories about a tenth of what is held, five times as many of each, halt nothing.
    """
    halted, before = year_of_real_days(hours)
    assert halted == []
    counts = daily_counts()
    held = sorted({name for each in counts.values() for name in each})
    for names, each, halts in ((held[::2], 30, True), (held[::10], 150, False)):
        said = tell(again(before[day]), counts[day], hours, list(names) * each)
        assert bool(halting(said)) is halts
