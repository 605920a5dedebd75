"""What is a fund worth compared with before, when money that came or went is no gain and no loss?

Each level (the highest value, the value at the start of the day) is kept in today's capital: a
flow of f into a fund that was worth b scales it by (b + f) / b. That is the time-weighted return
of performance standards (GIPS: value before each flow over the value after the one before), and
it keeps the loss in percent where it was. Exact fractions: at the limit means at the limit.

A mark that cannot be right (nothing or less, another currency, from the future, a flow larger than
the fund) is not used and not repaired; its flow is kept for the next mark that is good.
"""

from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from typing import NamedTuple
from zoneinfo import ZoneInfo

from operations.clock import NANOSECONDS, parse_rfc3339
from operations.errors import Rejected
from operations.events.portfolio import NetAssetValue
from operations.events.registry import Fund

FUTURE_NS = 300 * NANOSECONDS  # a mark may be dated this much after its arrival
DAYS_NS = 3 * 86_400 * NANOSECONDS  # longer than any day of a fund
ONE = Fraction(1)
LONGEST_DENOMINATOR = 10**60


class Bad(NamedTuple):
    """A mark that is no evidence of anything. `late`: it was overtaken, or is there twice."""

    reason: str
    late: bool = False


class Good(NamedTuple):
    """A mark to be judged, in the currency of the fund.

    `final`: it is the last of its day. `scale` is what its flow makes of older levels. `start` is
    the value at the start of its day, scaled by the flows since, None with a `problem` when it is
    unknown.
    """

    as_of_ns: int
    nav: Fraction
    final: bool
    scale: Fraction
    day: date
    new_day: bool
    start: Fraction | None
    problem: str | None


class DayEnd(NamedTuple):
    """When a fund's day ends, on a clock on the wall."""

    clock: time
    zone: ZoneInfo

    def day_of(self, at_ns: int) -> tuple[date, int]:
        """Return the day that a moment belongs to and its end, in ns since 1970.

        A day begins after the end of the day before.

        Ends are compared as instants, so a day with 23 or 25 hours has no hole and no overlap.
        """
        moment = datetime.fromtimestamp(at_ns // NANOSECONDS, UTC)
        near = moment.astimezone(self.zone).date()
        days = (near + timedelta(days=step) for step in (-1, 0, 1, 2))
        ends = ((day, self._end_ns(day)) for day in days)
        return next((day, end_ns) for day, end_ns in ends if at_ns <= end_ns)

    def _end_ns(self, day: date) -> int:
        end = datetime.combine(day, self.clock, self.zone)
        return int(end.timestamp()) * NANOSECONDS


UTC_MIDNIGHT = DayEnd(time(0, 0), ZoneInfo("UTC"))


def day_end(fund: Fund) -> DayEnd:
    """Return when the fund's day ends. Raises Rejected for a time or zone that does not exist."""
    try:
        return DayEnd(time.fromisoformat(fund.day_end_time), ZoneInfo(fund.day_end_zone))
    except (ValueError, OSError, KeyError) as error:
        raise Rejected(
            f"the end of day {fund.day_end_time!r} in zone {fund.day_end_zone!r} does not exist; "
            "register the fund with HH:MM and an IANA zone; until then its day ends at 00:00 UTC"
        ) from error


class Book:
    """The levels of one fund that its own marks give: its value, its peak, the start of its day."""

    def __init__(self) -> None:
        self.nav: Fraction | None = None
        self.peak: Fraction | None = None
        self.as_of_ns = -1
        self.interval_ns = 0  # between the two newest good marks, when they are of one day
        self.final = False
        self._currency = ""
        self._waiting_flow = Fraction(0)
        self._day: date | None = None
        self._day_end_ns = 0
        self._end = UTC_MIDNIGHT
        self._first_start: Fraction | None = None  # what the first mark of the day said
        self._start: Fraction | None = None

    def take(
        self, data: NetAssetValue, at_ns: int, currency: str | None, end: DayEnd
    ) -> Good | Bad:
        """Judge whether a mark can be right, and fold it if so.

        `at_ns` is when it arrived, `currency` that of the fund, None when it is not registered.
        """
        as_of_ns = parse_rfc3339(data.as_of)
        bad = self._problem(data, as_of_ns, at_ns, currency)
        if bad:
            if not bad.late and data.flow and data.currency == self._currency:
                self._waiting_flow += Fraction(data.flow)
            return bad
        if self._currency != data.currency:
            self._start_over(data.currency)
        nav, flow = Fraction(data.nav), Fraction(data.flow or 0) + self._waiting_flow
        before = nav - flow
        if self.nav is not None and before <= 0:
            self._waiting_flow = Fraction(0)  # not credible, and it must not spoil the next mark
            return Bad(f"its flow {flow} would leave a value of {before} before it")
        scale = nav / before if flow and self.nav is not None else ONE
        before_ns, self.as_of_ns = self.as_of_ns, as_of_ns
        self.nav, self.final = nav, data.final
        self._waiting_flow = Fraction(0)
        self.peak = nav if self.peak is None else max(scaled(self.peak, scale), nav)
        day = self._day_of(as_of_ns, end)
        new_day = day != self._day
        self.interval_ns = self.interval_ns if new_day else as_of_ns - before_ns
        problem = self._open(day, data, scale, end) if new_day else self._go_on(data, scale)
        start = self._strictest_start(data)
        if start is not None:
            problem = None
        return Good(as_of_ns, nav, data.final, scale, day, new_day, start, problem)

    def _day_of(self, as_of_ns: int, end: DayEnd) -> date:
        """Return the day of a mark; marks come in order, so mostly that of the one before."""
        if self._day is None or end is not self._end or as_of_ns > self._day_end_ns:
            self._end = end
            day, self._day_end_ns = end.day_of(as_of_ns)
            return day
        return self._day

    def _problem(
        self, data: NetAssetValue, as_of_ns: int, at_ns: int, currency: str | None
    ) -> Bad | None:
        if currency is not None and data.currency != currency:
            return Bad(f"it is in {data.currency} and the fund in {currency}")
        if as_of_ns > at_ns + FUTURE_NS:
            seconds = (as_of_ns - at_ns) // NANOSECONDS
            return Bad(f"it is dated {seconds} s after it arrived")
        if as_of_ns <= self.as_of_ns:
            return Bad(f"it is for {data.as_of}, which is not after the one before", late=True)
        if data.nav <= 0:
            return Bad(f"the value is {data.nav}")
        return None

    def _start_over(self, currency: str) -> None:
        """Forget levels in another currency: nothing says what they are worth in this one."""
        self._currency = currency
        self.nav = self.peak = self._day = self._first_start = self._start = None
        self._waiting_flow = Fraction(0)

    def _open(self, day: date, data: NetAssetValue, scale: Fraction, end: DayEnd) -> str | None:
        self._day = day
        self._first_start = self._start = None
        if data.start_of_day_nav <= 0:
            return f"the value at the start of the day is {data.start_of_day_nav}"
        came_before = data.flow_time and self._is_before(data.flow_time, day, end)
        self._first_start = Fraction(data.start_of_day_nav)
        self._start = scaled(self._first_start, ONE if came_before else scale)
        return None

    def _is_before(self, flow_time: str, day: date, end: DayEnd) -> bool:
        """Whether a flow came before the fund's day; absurd times must not break the calendar."""
        at_ns = parse_rfc3339(flow_time)
        if at_ns >= self.as_of_ns:
            return False
        return at_ns < self.as_of_ns - DAYS_NS or end.day_of(at_ns)[0] < day

    def _go_on(self, data: NetAssetValue, scale: Fraction) -> str | None:
        if self._start is not None:
            self._start = scaled(self._start, scale)
            return None
        if data.start_of_day_nav <= 0:
            return f"the value at the start of the day is {data.start_of_day_nav}"
        self._first_start = self._start = Fraction(data.start_of_day_nav)
        return None

    def _strictest_start(self, data: NetAssetValue) -> Fraction | None:
        """Return the start of the day; of two that are said within one day, the higher.

        A start that is lowered while the day runs would make its loss go away.
        """
        said = Fraction(data.start_of_day_nav)
        if self._start is None or said == self._first_start:
            return self._start
        return max(self._start, said)


def scaled(level: Fraction, scale: Fraction) -> Fraction:
    """Return a level after a flow; beyond 60 digits, after hundreds of flows, it is rounded."""
    if scale == 1:
        return level
    level *= scale
    if level.denominator > LONGEST_DENOMINATOR:
        level = level.limit_denominator(LONGEST_DENOMINATOR)
    return level


def loss_pct(level: Fraction, nav: Fraction) -> Fraction:
    """Return how far a value is below a level, in percent of the level; negative when above."""
    return (1 - nav / level) * 100
