"""Is a market open, so that silence means that something is wrong?"""

from contextlib import suppress
from datetime import datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from operations.clock import NANOSECONDS
from operations.events.registry import Calendar, Session


class Span(NamedTuple):
    """One session, in ns since 1970."""

    opens_ns: int
    closes_ns: int


class Covered(NamedTuple):
    """The days that a calendar speaks of, in its zone."""

    first_day: str
    last_day: str
    zone: ZoneInfo

    def covers(self, at_ns: int) -> bool:
        """Whether a moment, in ns since 1970, is on one of the days."""
        day = datetime.fromtimestamp(at_ns // NANOSECONDS, self.zone).date().isoformat()
        return self.first_day <= day <= self.last_day


class Sessions:
    """The sessions of every calendar; a later one replaces the days that it covers."""

    def __init__(self) -> None:
        self._days: dict[str, dict[str, Span]] = {}
        self._covered: dict[str, list[Covered]] = {}

    def take(self, found: Calendar) -> None:
        """Take a calendar; one whose zone or times do not exist opens nothing."""
        known = self._days.get(found.calendar_id, {})
        kept = {
            day: span for day, span in known.items() if not found.first_day <= day <= found.last_day
        }
        its = spans(found)
        self._days[found.calendar_id] = kept | its
        if not its and found.sessions:
            return
        with suppress(ValueError, OSError, KeyError):
            covered = Covered(found.first_day, found.last_day, ZoneInfo(found.zone))
            self._covered.setdefault(found.calendar_id, []).append(covered)

    def opened_ns(self, calendar_id: str | None, at_ns: int) -> int | None:
        """Return when the session began that runs at a moment, None when there is none."""
        if calendar_id is None:
            return None
        for span in self._days.get(calendar_id, {}).values():
            if span.opens_ns <= at_ns < span.closes_ns:
                return span.opens_ns
        return None

    def is_closed(self, calendar_id: str | None, at_ns: int) -> bool:
        """Whether a calendar says that there is no session now; what no calendar covers is open."""
        if calendar_id is None or self.opened_ns(calendar_id, at_ns) is not None:
            return False
        return any(each.covers(at_ns) for each in self._covered.get(calendar_id, ()))


def spans(found: Calendar) -> dict[str, Span]:
    """Return the sessions of a calendar by day; none when its zone or a time does not exist."""
    try:
        zone = ZoneInfo(found.zone)
        return {each.day: _span(each, zone) for each in found.sessions}
    except (ValueError, OSError, KeyError):
        return {}


def _span(session: Session, zone: ZoneInfo) -> Span:
    """Return when a session opens and closes, also one that goes on through a midnight.

    What closes at 00:00 closes when its day ends; what else closes no later than it opens has
    opened on the evening before.
    """
    opens, closes = (
        datetime.fromisoformat(f"{session.day}T{clock}")
        for clock in (session.opens_at, session.closes_at)
    )
    if closes <= opens and closes.time() == time(0):
        closes += timedelta(days=1)
    elif closes <= opens:
        opens -= timedelta(days=1)
    return Span(_instant_ns(opens, zone), _instant_ns(closes, zone))


def _instant_ns(local: datetime, zone: ZoneInfo) -> int:
    return int(local.replace(tzinfo=zone).timestamp()) * NANOSECONDS
