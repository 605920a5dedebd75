"""What funds were worth at the end of each day: rows that several watchdogs ask for.

A day is the final mark of a fund's value with the money that came since the one before, whichever
marks named it. Of two marks for one moment the later one in the stream holds; an event that is
stored twice counts once, at its first place. Which days are missing is known from the fund's
calendar; where none covers the time, no two days are further apart than a long weekend.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Protocol

from operations.checks import Batch, EachEvent, Look, Row, Stored, Table, Unit, look_at
from operations.clock import MOST_NS, NANOSECONDS, near_ns
from operations.events.portfolio import NavMarked
from operations.events.registry import CalendarPublished, FundRegistered
from operations.sessions import spans

DAY_NS = 86_400 * NANOSECONDS
LONGEST_GAP_DAYS = 5  # from the Thursday before Easter to the Tuesday after it
KEEP_DAYS = 1600  # a thousand trading days and what a calendar adds to them
FOREVER_DAYS = 36_500
EVERY_SECONDS, LATENESS_SECONDS = 86_400, 21_600  # silence is noticed once a day, at 06:00 UTC


def is_to_come(as_of_ns: int, stored: Stored) -> bool:
    """Whether a mark is for a moment that has not come: the newest one for ever, if it counted.

    One of tomorrow may be a zone that was forgotten; that is a fault of its feed, and no more.
    """
    return as_of_ns > stored.at_ns + DAY_NS


def _marks(stored: Stored) -> Iterator[Row]:
    event = stored.event
    assert isinstance(event, NavMarked)
    mark, as_of_ns = event.data, near_ns(event.data.as_of)
    if (mark.final or mark.flow) and not is_to_come(as_of_ns, stored):
        yield (
            stored.sequence, stored.at_ns, event.event_id, event.fund_id or event.subject_id,
            as_of_ns, float(mark.nav), float(mark.flow or 0), mark.currency,
            mark.final,
        )  # fmt: skip


def _funds(stored: Stored) -> Iterator[Row]:
    event = stored.event
    assert isinstance(event, FundRegistered)
    fund = event.data
    yield (
        stored.sequence, stored.at_ns, event.subject_id, fund.target_volatility,
        fund.day_end_zone, fund.calendar_id,
    )  # fmt: skip


class _Closes:
    """Folds calendars into rows: when the last session of each day known so far closes."""

    def __init__(self) -> None:
        self._closes_ns: dict[str, dict[str, int]] = {}  # by calendar and day

    def take(self, batch: Batch) -> list[Row]:
        """Return a row for each calendar, with what earlier ones said of other days."""
        return [row for stored in batch for row in self._row(stored)]

    def _row(self, stored: Stored) -> Iterator[Row]:
        event = stored.event
        assert isinstance(event, CalendarPublished)
        found = event.data
        its = {day: min(span.closes_ns, MOST_NS) for day, span in spans(found).items()}
        if found.sessions and not its:
            return  # a zone or time that does not exist says nothing about any day
        known = self._closes_ns.get(found.calendar_id, {})
        kept = {
            day: closes_ns
            for day, closes_ns in known.items()
            if not found.first_day <= day <= found.last_day
        }
        self._closes_ns[found.calendar_id] = kept | its
        closes_ns = sorted((kept | its).values())
        if not closes_ns:
            return
        yield stored.sequence, stored.at_ns, found.calendar_id, closes_ns[-1] + DAY_NS, closes_ns

    def snapshot(self) -> dict[str, dict[str, int]]:
        """Return the closes of every calendar."""
        return self._closes_ns

    def restore(self, state: dict[str, dict[str, int]]) -> None:
        """Go on from a snapshot."""
        self._closes_ns = state


MARKS = Table(
    name="fund_mark",
    columns=(
        ("event_id", "VARCHAR"), ("fund_id", "VARCHAR"), ("as_of_ns", "BIGINT"),
        ("nav", "DOUBLE"), ("flow", "DOUBLE"), ("currency", "VARCHAR"), ("final", "BOOLEAN"),
    ),
    kinds=(NavMarked,),
    fold=lambda: EachEvent(_marks),
    keep_days=KEEP_DAYS,
)  # fmt: skip
FUNDS = Table(
    name="fund_registered",
    columns=(
        ("fund_id", "VARCHAR"), ("target_volatility", "DOUBLE"), ("zone", "VARCHAR"),
        ("calendar_id", "VARCHAR"),
    ),
    kinds=(FundRegistered,),
    fold=lambda: EachEvent(_funds),
    keep_days=FOREVER_DAYS,
)  # fmt: skip
CLOSES = Table(
    name="calendar_closes",
    columns=(("calendar_id", "VARCHAR"), ("until_ns", "BIGINT"), ("closes_ns", "BIGINT[]")),
    kinds=(CalendarPublished,),
    fold=_Closes,
    keep_days=FOREVER_DAYS,
)
TABLES = (MARKS, FUNDS, CLOSES)


def days_of_funds(back_days: int) -> str:
    """Return the SQL of the tables `due`, `fund` and `day`, for a WITH, back from each look.

    `day`: look, fund_id, first_sequence, last_sequence, as_of_ns, nav, flow, currency (NULL: more
    than one), session and session_now: how many sessions had closed by then, and by the time of
    the look; NULL where no calendar covers it.
    """
    return f"""
due AS (
    SELECT look.look, look.sequence, look.at_ns, known.fund_id
    FROM look
    JOIN (SELECT fund_id, min(sequence) AS first FROM fund_mark GROUP BY fund_id) known
      ON look.unit = known.fund_id OR (look.unit IS NULL AND known.first <= look.sequence)
), fund AS (
    SELECT due.*, f.target_volatility, f.zone, c.closes_ns, c.until_ns
    FROM due
    LEFT JOIN fund_registered f ON f.fund_id = due.fund_id AND f.sequence <= due.sequence
    LEFT JOIN calendar_closes c ON c.calendar_id = f.calendar_id AND c.sequence <= due.sequence
    QUALIFY row_number() OVER (PARTITION BY due.look, due.fund_id
                               ORDER BY f.sequence DESC, c.sequence DESC) = 1
), once AS (
    SELECT due.look, m.* FROM due JOIN fund_mark m
      ON m.fund_id = due.fund_id AND m.sequence <= due.sequence
     AND m.as_of_ns > due.at_ns - {back_days * DAY_NS}
    QUALIFY row_number() OVER (PARTITION BY due.look, m.event_id ORDER BY m.sequence) = 1
), newest AS (
    SELECT * FROM once
    QUALIFY row_number() OVER (
        PARTITION BY look, fund_id, as_of_ns, final ORDER BY sequence DESC) = 1
), numbered AS (
    SELECT *, count(*) FILTER (final) OVER (PARTITION BY look, fund_id ORDER BY as_of_ns, final
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS number
    FROM newest
), settled AS (
    SELECT look, fund_id, min(sequence) AS first_sequence, max(sequence) AS last_sequence,
           max(as_of_ns) AS as_of_ns, any_value(nav) FILTER (final) AS nav,
           sum(flow ORDER BY as_of_ns, final) AS flow,
           CASE WHEN count(DISTINCT currency) = 1 THEN min(currency) END AS currency
    FROM numbered GROUP BY look, fund_id, number HAVING bool_or(final)
), day AS (
    SELECT s.*, {_sessions("s.as_of_ns")} AS session, {_sessions("f.at_ns")} AS session_now
    FROM settled s JOIN fund f ON f.look = s.look AND f.fund_id = s.fund_id
)"""  # noqa: S608


def _sessions(moment: str) -> str:
    """Return the SQL of how many sessions had closed at a moment; NULL where none is known."""
    closed = f"len(list_filter(f.closes_ns, lambda each: each <= {moment}))"
    return f"CASE WHEN {moment} <= f.until_ns THEN nullif({closed}, 0) END"


class Day(Protocol):
    """One day of a fund, as a row of any watchdog has it."""

    @property
    def as_of_ns(self) -> int: ...  # noqa: D102
    @property
    def nav(self) -> float: ...  # noqa: D102
    @property
    def flow(self) -> float: ...  # noqa: D102
    @property
    def currency(self) -> str | None: ...  # noqa: D102
    @property
    def session(self) -> int | None: ...  # noqa: D102
    @property
    def session_now(self) -> int | None: ...  # noqa: D102


def looks(batch: Batch, _rows: Mapping[str, Sequence[Row]]) -> Iterator[Look]:
    """Look at a fund whenever a day of it is settled."""
    for stored in batch:
        event = stored.event
        if isinstance(event, NavMarked) and event.data.final:
            fund_id = event.fund_id or event.subject_id
            yield look_at(stored, Unit("fund", fund_id, fund_id), near_ns(event.data.as_of))


def feeds(unit: Unit) -> tuple[str, ...]:
    """Return the feed of a fund's values: what stands still or has a wrong clock looks calm."""
    return (f"nav/{unit.id}",)


def daily_return(before: Day, after: Day) -> float:
    """Return the simple return from a day to the next, without what was paid in; NaN: unknown.

    Unknown where a value is not above zero, more was paid in than there is, the currency is not
    one and the same, or a day between them is missing.
    """
    one_currency = before.currency is not None and before.currency == after.currency
    if not (one_currency and before.nav > 0 and after.nav > 0) or is_gap(before, after):
        return math.nan
    found = (after.nav - after.flow) / before.nav - 1
    return found if found > -1 else math.nan


def usable_returns(days: Sequence[Day]) -> list[float]:
    """Return the daily returns since the last one that is unknown: a gap is not filled in."""
    found: list[float] = []
    for before, after in pairwise(days):
        each = daily_return(before, after)
        if math.isnan(each):
            found.clear()
        else:
            found.append(each)
    return found


def is_gap(before: Day, after: Day) -> bool:
    """Whether a day between two is missing."""
    return _lacks(before, after.session, after.as_of_ns)


def is_overdue(last: Day, look: Look) -> bool:
    """Whether a day after the last one should be there by now; one session may be under way."""
    return _lacks(last, last.session_now, look.at_ns)


def _lacks(before: Day, session: int | None, at_ns: int) -> bool:
    if before.session is not None and session is not None:
        return session - before.session > 1
    return at_ns - before.as_of_ns > LONGEST_GAP_DAYS * DAY_NS
