"""Is it known when a market is open, through clock changes and calendars that are replaced?"""

import pytest
from limit_events import Feed, halting, kinds

from operations.clock import parse_rfc3339, rfc3339
from operations.events.operations import ClockTicked, Tick
from operations.events.registry import Calendar, CalendarPublished, Session
from operations.sessions import Sessions

pytestmark = pytest.mark.unit


def calendar(*days, zone="America/New_York", first=None, last=None):
    sessions = tuple(Session(day=day, opens_at="09:30", closes_at="16:00") for day in days)
    return Calendar(
        calendar_id="XNYS",
        zone=zone,
        first_day=first or days[0],
        last_day=last or days[-1],
        sessions=sessions,
    )


@pytest.mark.parametrize(
    ("moment", "opened"),
    [
        ("2026-11-20T14:29:59Z", None),
        ("2026-11-20T14:30:00Z", "2026-11-20T14:30:00Z"),  # winter
        ("2026-11-20T20:59:59.999Z", "2026-11-20T14:30:00Z"),
        ("2026-11-20T21:00:00Z", None),
        ("2026-07-01T13:30:00Z", "2026-07-01T13:30:00Z"),  # summer
        ("2026-11-21T15:00:00Z", None),  # no session
    ],
)
def test_a_session_begins_with_its_opening_and_ends_before_its_close(moment, opened):
    sessions = Sessions()
    sessions.take(calendar("2026-07-01", "2026-11-20"))
    wanted = opened and parse_rfc3339(opened)
    assert sessions.opened_ns("XNYS", parse_rfc3339(moment)) == wanted
    assert sessions.opened_ns("OTHER", parse_rfc3339(moment)) is None
    assert sessions.opened_ns(None, parse_rfc3339(moment)) is None


@pytest.mark.parametrize(
    ("opens_at", "closes_at", "first", "last"),
    [
        ("17:00", "16:00", "2026-11-19T23:00:00Z", "2026-11-20T21:59:59Z"),
        ("17:00", "17:00", "2026-11-19T23:00:00Z", "2026-11-20T22:59:59Z"),
        ("00:00", "00:00", "2026-11-20T06:00:00Z", "2026-11-21T05:59:59Z"),
        ("09:00", "00:00", "2026-11-20T15:00:00Z", "2026-11-21T05:59:59Z"),
    ],
)
def test_a_session_through_the_night_opens_on_the_evening_before_its_day(
    opens_at, closes_at, first, last
):
    night = Session(day="2026-11-20", opens_at=opens_at, closes_at=closes_at)
    sessions, day = Sessions(), "2026-11-20"
    sessions.take(
        Calendar(
            calendar_id="CME", zone="America/Chicago", first_day=day, last_day=day,
            sessions=(night,),
        )
    )  # fmt: skip
    first_ns, last_ns = parse_rfc3339(first), parse_rfc3339(last)
    assert sessions.opened_ns("CME", first_ns - 1) is None
    assert sessions.opened_ns("CME", first_ns) == sessions.opened_ns("CME", last_ns) == first_ns
    assert sessions.opened_ns("CME", last_ns + 1_000_000_000) is None
    assert not sessions.is_closed("CME", parse_rfc3339("2026-11-20T18:00:00Z"))


def test_a_later_calendar_replaces_the_days_that_it_covers_and_no_others():
    sessions = Sessions()
    sessions.take(calendar("2026-11-19", "2026-11-20"))
    sessions.take(calendar(first="2026-11-20", last="2026-11-20"))
    assert sessions.opened_ns("XNYS", parse_rfc3339("2026-11-20T15:00:00Z")) is None
    assert sessions.opened_ns("XNYS", parse_rfc3339("2026-11-19T15:00:00Z"))


def test_a_calendar_of_nowhere_opens_nothing():
    sessions = Sessions()
    sessions.take(calendar("2026-11-20", zone="Mars/Olympus"))
    assert sessions.opened_ns("XNYS", parse_rfc3339("2026-11-20T15:00:00Z")) is None


@pytest.fixture
def feed():
    """A fund with a calendar, in the middle of its session."""
    made = Feed()
    made.fund(calendar_id="XNYS", trading="paper")
    made.put(CalendarPublished, "XNYS", calendar("2026-11-20", "2026-11-21"))
    made.nav("100")
    return made


def tick(feed, minutes):
    feed.pass_minutes(minutes)
    return feed.put(ClockTicked, "clock", Tick(minute=rfc3339(feed.at_ns), offset_ms=0.0))


def test_a_fund_that_falls_silent_while_its_market_is_open_is_said_and_then_reduced(feed):
    assert tick(feed, 4.9) == []
    (first,) = tick(feed, 0.1)
    assert kinds([first]) == [("limits", "raised")]
    assert "not valued while its market is open" in first.data.title
    assert (first.data.halt_level, first.environment) == (None, "paper")
    assert tick(feed, 4.9) == []
    (then,) = tick(feed, 0.1)
    assert (then.data.halt_level, then.environment) == ("fund", "paper")


def test_silence_after_the_last_mark_of_a_day_and_while_the_market_is_closed_is_right(feed):
    feed.nav("100", final=True)
    assert tick(feed, 60) == []
    feed.nav("100")
    feed.at_ns = parse_rfc3339("2026-11-20T21:00:00Z")
    assert tick(feed, 600) == []


def test_at_the_opening_a_fund_has_its_time(feed):
    feed.at_ns = parse_rfc3339("2026-11-21T14:30:00Z")
    assert tick(feed, 4.9) == []
    assert kinds(tick(feed, 0.1)) == [("limits", "raised")]


def test_a_fund_that_is_valued_every_hour_is_not_silent_after_five_minutes(feed):
    feed.pass_minutes(59)
    feed.nav("100")
    assert tick(feed, 240) == []


def test_without_a_calendar_silence_means_nothing():
    feed = Feed()
    feed.fund()
    feed.nav("100")
    assert tick(feed, 600) == []


def test_a_fund_that_is_valued_again_is_watched_again(feed):
    tick(feed, 5)
    said = [event for _ in range(3) for event in feed.nav("95")]
    assert ("limits", "cleared") in kinds(said)
    assert halting(said)


@pytest.mark.parametrize(
    ("moment", "closed"),
    [
        ("2026-11-20T14:29:59Z", True),
        ("2026-11-20T14:30:00Z", False),
        ("2026-11-20T21:00:00Z", True),
        ("2026-11-21T15:00:00Z", True),  # a covered day without a session
        ("2026-11-25T15:00:00Z", False),  # beyond what the calendar covers nobody knows
        ("2026-11-19T15:00:00Z", False),
    ],
)
def test_a_market_is_closed_only_where_a_calendar_says_so(moment, closed):
    sessions = Sessions()
    sessions.take(calendar("2026-11-20", "2026-11-23"))
    assert sessions.is_closed("XNYS", parse_rfc3339(moment)) is closed
    assert not sessions.is_closed(None, parse_rfc3339(moment))
    assert not sessions.is_closed("unknown", parse_rfc3339(moment))
