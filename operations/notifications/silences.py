"""What is not told for a time: silences that people signed, and windows of maintenance.

A silence never silences a halt. What is still open when it ends is told then.
"""

import re
from datetime import UTC, datetime

from msgspec import Struct

from operations.clock import NANOSECONDS, near_ns
from operations.errors import Rejected
from operations.events.commands import SilenceCommanded
from operations.notifications.episode import HALT, Episode

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(r"(daily|mon|tue|wed|thu|fri|sat|sun) (\d\d):(\d\d)-(\d\d):(\d\d)")
MINUTES_A_DAY = 24 * 60


class Silence(Struct, frozen=True, kw_only=True):
    """Findings of a check, fund or strategy that are not told; an empty field means every one.

    Times in ns since 1970.
    """

    id: str
    by: str
    reason: str
    from_ns: int
    until_ns: int
    check: str = ""
    fund_id: str = ""
    strategy_id: str = ""

    def covers(self, episode: Episode, at_ns: int) -> bool:
        """Whether it holds for a finding now; never for a halt."""
        return (
            episode.kind != HALT
            and self.from_ns <= at_ns < self.until_ns
            and self.check in ("", episode.check)
            and self.fund_id in ("", episode.fund_id)
            and self.strategy_id in ("", episode.strategy_id)
        )


def silence_of(event: SilenceCommanded, signer: str) -> Silence:
    """Return the silence that a person ordered."""
    order = event.data
    return Silence(
        id=order.silence_id,
        by=signer,
        reason=order.reason,
        from_ns=near_ns(order.starts_at or order.issued_at),
        until_ns=near_ns(order.until),
        check=order.check or "",
        fund_id=event.fund_id or "",
        strategy_id=event.strategy_id or "",
    )


class Window(Struct, frozen=True):
    """A time that comes again every day (`weekday` -1) or week, in minutes of the day in UTC."""

    weekday: int
    first_minute: int
    end_minute: int

    def holds(self, at_ns: int) -> bool:
        """Whether a moment, in ns since 1970, is in it; it may run past midnight."""
        moment = datetime.fromtimestamp(at_ns // NANOSECONDS, UTC)
        minute, day = moment.hour * 60 + moment.minute, moment.weekday()
        if self.first_minute < self.end_minute:
            return self._on(day) and self.first_minute <= minute < self.end_minute
        yesterday = (day - 1) % len(DAYS)
        return (self._on(day) and minute >= self.first_minute) or (
            self._on(yesterday) and minute < self.end_minute
        )

    def _on(self, day: int) -> bool:
        return self.weekday in (-1, day)


def windows_of(text: str) -> tuple[Window, ...]:
    """Read `sat 02:00-04:00, daily 23:50-00:10`, in UTC. Raises Rejected."""
    return tuple(_window(each.strip()) for each in text.split(",") if each.strip())


def _window(text: str) -> Window:
    found = _WINDOW.fullmatch(text.lower())
    if not found:
        raise Rejected(f"{text!r} is no window of maintenance; write: sat 02:00-04:00")
    day, *parts = found.groups()
    first_hour, first, end_hour, end = map(int, parts)
    begins, ends = first_hour * 60 + first, end_hour * 60 + end
    if max(begins, ends) >= MINUTES_A_DAY or max(first, end) >= 60 or begins == ends:
        raise Rejected(f"{text!r} names no time of the day; write: sat 02:00-04:00")
    return Window(-1 if day == "daily" else DAYS.index(day), begins, ends)
