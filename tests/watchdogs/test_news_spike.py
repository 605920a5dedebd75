"""Is a held instrument that is in the news told from one that is not, and does it rest once?"""

from decimal import Decimal

import msgspec
import pytest
from labelled_news import Rule, score
from real_data import needs_data
from watching import (
    START_NS,
    assert_cut_into_batches,
    assert_resumed,
    engine,
    event,
    open_episode,
    run,
    spoken,
    stored,
)

from operations.checks import Look, Unit
from operations.clock import NANOSECONDS, rfc3339
from operations.errors import Rejected
from operations.events import subjects
from operations.events.news import Beat, FeedBeat, Story, StoryPublished
from operations.events.positions import Holding, PositionSnapshotted, Snapshot
from operations.watchdogs import feeds
from operations.watchdogs.news_spike import (
    HISTORY_HOURS,
    HOUR_NS,
    LATENESS_SECONDS,
    NAME,
    WATCHDOG,
    Hours,
    NewsLimits,
    canary,
    inspect,
)

pytestmark = pytest.mark.unit
LIMITS = NewsLimits()
HOUR = 3600
QUIET = LIMITS.minimum_hours
FIRST_HOUR = START_NS // HOUR_NS


def beat(second):
    return event(FeedBeat, "wire", Beat(feed="wire", stories=1, interval_seconds=600.0), second)


def hold(*symbols, second=0, complete=True):
    holdings = tuple(Holding(symbol=each, quantity=Decimal(5)) for each in symbols)
    data = Snapshot(as_of=rfc3339(START_NS), holdings=holdings, complete=complete)
    return event(PositionSnapshotted, "acc", data, second, account_id="acc")


def story(second, *symbols, name=None, headline=None, published=None):
    data = Story(
        story_id=name or f"s{second}", feed="wire", headline_hash=headline or f"h{second}",
        published_at=rfc3339(START_NS + (second if published is None else published) * NANOSECONDS),
        tickers=symbols,
    )  # fmt: skip
    return event(StoryPublished, data.story_id, data, second)


def quiet(hours=QUIET, first=0):
    """A feed that lives, and a story about AAPL in every second hour."""
    for hour in range(first, first + hours):
        yield beat(hour * HOUR + 1)
        if hour % 2:
            yield story(hour * HOUR + 2, "AAPL")


def day(spike=30, symbols=("AAPL",), held=("AAPL", "KO"), after=3, **fields):
    """Quiet days, an hour with a spike, and quiet hours after it."""
    yield hold(*held)
    yield from quiet()
    yield beat(QUIET * HOUR + 1)
    for number in range(spike):
        yield story(QUIET * HOUR + 10 + number, *symbols, **fields)
    yield from quiet(after, QUIET + 1)


def said_of(events, **options):
    return run(engine(WATCHDOG, **options), stored(events))


def test_a_spike_lets_orders_in_that_instrument_rest_once_and_is_cleared_when_it_is_over():
    said = said_of(day())
    assert spoken(said) == [
        (f"finding.{NAME}.raised", "AAPL"),
        ("action.requested", said[1].subject_id),
        (f"finding.{NAME}.cleared", "AAPL"),
    ]
    action = said[1].data
    assert (action.kind, action.scope, action.scope_id) == ("cooldown", "instrument", "AAPL")
    assert said[0].data.looked_at[:13] == rfc3339(START_NS + (QUIET + 1) * HOUR_NS)[:13]
    assert said[0].data.halt_level is None
    assert action.until is not None


def test_a_spike_that_goes_on_is_one_episode():
    events = [*day(after=0)]
    events += [beat((QUIET + 1) * HOUR + 1)]
    events += [story((QUIET + 1) * HOUR + 10 + number, "AAPL") for number in range(40)]
    said = said_of([*events, *quiet(3, QUIET + 2)])
    assert [each[0] for each in spoken(said)].count("action.requested") == 1


def test_while_observing_it_asks_for_nothing():
    said = said_of(day(), mode="observe")
    assert [each[0] for each in spoken(said)] == [
        f"finding.{NAME}.raised", f"finding.{NAME}.cleared",
    ]  # fmt: skip
    assert said[0].data.would_have == "let orders in AAPL rest for 30 minutes"


@pytest.mark.parametrize(
    "events",
    [
        day(symbols=("TSLA",)),  # not held
        day(headline="the same"),
        day(name="the same"),
        day(published=-1),  # told late: it belongs to an hour that was judged before
    ],
)
def test_what_is_not_held_told_again_or_old_is_no_spike(events):
    assert said_of(events) == []


def test_a_story_from_the_future_counts_when_it_arrived():
    assert spoken(said_of(day(published=10**7)))[0] == (f"finding.{NAME}.raised", "AAPL")


def standing(events):
    one = engine(WATCHDOG)
    run(one, stored(events))
    return one.standings


def test_too_few_hours_or_a_dead_feed_are_unknown():
    few = standing([hold("AAPL"), *quiet(QUIET)])[NAME, "AAPL"]
    assert few.state == "unknown"
    assert "hours with a feed" in few.title
    alive = [*day(spike=0, after=2)]
    dead = [story((QUIET + 3 + number) * HOUR, "AAPL") for number in range(3)]
    found = standing([*alive, *dead])[NAME, "AAPL"]
    assert found.state == "unknown"
    assert "no feed" in found.title


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (FeedBeat, b'{"feed":"wire","stories":1,"interval_seconds":NaN}'),
        (FeedBeat, b'{"feed":"wire","stories":1e999,"interval_seconds":600}'),
        (
            PositionSnapshotted,
            b'{"as_of":"2026-01-05T00:00:00Z","holdings":[{"symbol":"AAPL","quantity":"NaN"}]}',
        ),
    ],
)
def test_what_holds_no_number_of_the_contract_is_neither_a_sign_of_life_nor_held(kind, data):
    payload = (
        b'{"event_id":"e","timestamp":"2026-01-05T00:00:00Z","actor":"t","subject_id":"s",'
        b'"account_id":"acc","data":%s}'
    )
    with pytest.raises(Rejected):
        subjects.decode(kind.pattern, payload % data)


def test_what_is_held_in_several_currencies_or_sold_short_is_looked_at_once():
    """What a position is worth plays no part here, so no currency does."""
    holdings = tuple(
        Holding(
            symbol="AAPL", quantity=Decimal(quantity), average_price=Decimal(1), currency=currency
        )
        for quantity, currency in (("5", "USD"), ("-7", "EUR"))
    )
    data = Snapshot(as_of=rfc3339(START_NS), holdings=holdings)
    both = event(PositionSnapshotted, "acc", data, 0, account_id="acc")
    other = event(PositionSnapshotted, "two", data, 0, account_id="two")
    said = said_of([both, other, *[*day()][1:]])
    assert spoken(said)[0] == (f"finding.{NAME}.raised", "AAPL")
    assert [each[0] for each in spoken(said)].count("action.requested") == 1


def test_an_instrument_that_is_held_no_more_is_looked_at_no_more_and_a_part_takes_none_away():
    events = [hold("AAPL"), *quiet(), hold("KO", second=QUIET * HOUR, complete=False)]
    assert {unit for _, unit in standing([*events, *quiet(3, QUIET)])} == {"AAPL", "KO"}
    gone = [hold("KO", second=QUIET * HOUR), *day()]
    spiked = [hold("AAPL"), *quiet(), hold("KO", second=QUIET * HOUR)]
    spiked += [beat(QUIET * HOUR + 1)]
    spiked += [story(QUIET * HOUR + 10 + number, "AAPL") for number in range(30)]
    assert said_of([*spiked, *quiet(3, QUIET + 1)]) == []
    assert gone


def test_a_spike_in_what_is_then_sold_is_over():
    sold = hold("KO", second=(QUIET + 2) * HOUR + 10)
    events = sorted([*day(), sold], key=lambda each: each.timestamp)
    said = said_of(events)
    assert [each for each, _ in spoken(said)] == [
        f"finding.{NAME}.raised", "action.requested", f"finding.{NAME}.cleared",
    ]  # fmt: skip
    assert said[-1].data.title == "AAPL is not held any more"


def test_what_is_held_no_more_stands_nowhere():
    events = [hold("AAPL"), *quiet()]
    assert {unit for _, unit in standing(events)} == {"AAPL"}
    events += [hold("KO", second=QUIET * HOUR), *quiet(3, QUIET)]
    assert {unit for _, unit in standing(events)} == {"KO"}


def test_its_evidence_names_the_hours_and_the_stories_that_it_counted():
    events = stored(day())
    used = [
        each.sequence
        for each in events
        if each.event.timestamp < rfc3339(START_NS + (QUIET + 1) * HOUR_NS)
        and not isinstance(each.event, PositionSnapshotted)
    ]
    (proof,) = run(engine(WATCHDOG), events)[0].data.evidence
    assert (proof.first_stream_sequence, proof.last_stream_sequence) == (used[0], used[-1])


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_size_of_a_batch_changes_no_byte(size):
    assert_cut_into_batches(lambda: engine(WATCHDOG), stored(day()), size, 3)


def test_from_any_snapshot_the_rest_is_said_byte_for_byte(tmp_path):
    events = stored(day())
    places = (0, 1, 150, len(events) - 20, len(events) - 3)
    assert_resumed(lambda: engine(WATCHDOG), events, places, tmp_path)


def one_look(count, known=None, **limits):
    hours = list(range(FIRST_HOUR - QUIET, FIRST_HOUR + 1))
    found = Hours(1, 1, hours, [*([0, 1] * (QUIET // 2)), count])
    look = Look(1, START_NS + HOUR_NS, START_NS, "e", Unit("instrument", "AAPL"))
    return inspect([found], look, NewsLimits(**limits), known)


def test_exactly_at_the_tail_is_no_spike_and_just_below_it_is():
    chance = 10 ** one_look(6).statistic
    assert one_look(6, tail_probability=chance * (1 - 1e-9)).stage == 0
    assert one_look(6, tail_probability=chance * (1 + 1e-9)).stage == 1
    assert one_look(0).state == "ok"


def test_exactly_at_the_calm_a_spike_goes_on_and_just_above_it_is_over():
    known = open_episode(NAME)
    chance = 10 ** one_look(3).statistic
    assert not one_look(3, known, calm_probability=chance * (1 + 1e-9)).recovered
    assert one_look(3, known, calm_probability=chance * (1 - 1e-9)).recovered


@pytest.mark.parametrize(("after", "counted"), [(LATENESS_SECONDS - 1, 30), (LATENESS_SECONDS, 1)])
def test_a_story_counts_to_its_hour_when_it_comes_within_the_lateness_and_not_later(after, counted):
    """The first event stored so long after the hour lets it be judged, and is the last to count."""
    one = engine(WATCHDOG)
    inside, end = QUIET * HOUR + 10, (QUIET + 1) * HOUR
    late = [
        story(end + after, "AAPL", name=f"l{number}", headline=f"l{number}", published=inside)
        for number in range(30)
    ]
    events = [*day(spike=0, after=0), *late]
    run(one, stored([*events, beat(end + LATENESS_SECONDS)]))
    title = one.standings[NAME, "AAPL"].title
    assert title.startswith(f"{counted} stories about AAPL in one hour")


def test_thirty_days_slide_with_the_hour_that_is_judged():
    """The hour that is 30 days before the one that ended is the oldest that counts."""
    hours = HISTORY_HOURS + 5
    one = engine(WATCHDOG)
    run(one, stored([hold("AAPL"), *quiet(hours)]))
    assert one.standings[NAME, "AAPL"].samples == HISTORY_HOURS


def test_a_canary_is_found_when_its_events_are_read_in_order():
    events = [*canary(START_NS, "run-7")]
    said = run(engine(WATCHDOG), stored(events, at_ns=lambda _: START_NS))
    assert spoken(said)[0] == (f"finding.{NAME}.raised", "canary-run-7")
    assert all(each.environment == "canary" for each in said)
    both = run(engine(feeds.WATCHDOG, WATCHDOG), stored(events, at_ns=lambda _: START_NS))
    assert (f"finding.{NAME}.raised", "canary-run-7") in spoken(both)


def test_while_a_news_feed_is_at_fault_every_instrument_is_unknown():
    assert WATCHDOG.feeds(Unit("instrument", "AAPL")) == ("news",)
    assert msgspec.json.encode(LIMITS)


@needs_data
@pytest.mark.parametrize(("width", "found", "false_a_day"), [(300, 10, 0.20), (3600, 8, 0.03)])
def test_labelled_news_is_found_with_few_false_alarms(width, found, false_a_day):
    """11 windows of five tickers, 14 trailing days, the current bin excluded; NAB, 2015."""
    result, by_chance = score(width, Rule(1e-4))
    assert result.windows == 11
    assert result.found >= found
    assert result.false / result.unit_days <= false_a_day
    assert result.found / result.windows > 2 * by_chance
