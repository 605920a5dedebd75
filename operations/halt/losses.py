"""Has a fund lost as much as it may, since its highest value or since its day began?

Every good mark of its value is one look at both losses; the final mark of a day is settled, so it
counts like three. A drawdown stops each strategy of the
fund, so that each is taken up again on its own; a daily loss stops the fund. At the limit is a
breach. What is no good is not looked at, but it is said, and after a time it is said critically.
"""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from operations.clock import NANOSECONDS, rfc3339
from operations.errors import Rejected
from operations.events.base import Event
from operations.events.findings import Finding, FindingUpdated, Parameter
from operations.events.halts import Treatment
from operations.events.portfolio import NetAssetValue
from operations.events.registry import Fund
from operations.halt.latch import Cause, Latch, Measure, Notice, Place, Streak, write
from operations.halt.nav import UTC_MIDNIGHT, Bad, Book, Good, day_end, loss_pct, scaled
from operations.halt.policy import RULES
from operations.halt.state import Scope
from operations.sessions import Sessions

DRAWDOWN, DAILY_LOSS = "drawdown", "daily_loss"
LIMITS = "limits"  # what the watch over limits says about what it watches with
STATISTICS = {
    DRAWDOWN: "drawdown in percent of the highest value",
    DAILY_LOSS: "loss in percent of the value at the start of the day",
}
WARNINGS_PCT = (50, 75, 90)  # of the limit of a daily loss
STALE_NS = 300 * NANOSECONDS  # without a good mark while bad ones come
MISSED_MARKS = 5  # a fund is silent when it misses so many of its own intervals
GOOD_AGAIN = 3  # good marks in a row that end a doubt


class Floor:
    """The value at which a loss is at its limit, kept while level and limit stay the same."""

    def __init__(self) -> None:
        self._of: tuple[Fraction, Decimal] | None = None
        self._floor = Fraction(0)

    def below(self, level: Fraction, limit_pct: Decimal) -> Fraction:
        """Return the highest value that is as far below a level as a limit in percent says."""
        if self._of is None or self._of[0] is not level or self._of[1] is not limit_pct:
            self._of = level, limit_pct
            self._floor = level * (1 - Fraction(limit_pct) / 100)
        return self._floor


class Tracker:
    """The drawdown of a fund as one strategy of it has to answer for it."""

    def __init__(self, place: Place, peak: Fraction | None) -> None:
        self.latch = Latch(place)
        self.peak = peak
        self._nav: Fraction | None = None
        self._floor = Floor()

    def mark(self, good: Good, limit_pct: Decimal | None, cause: Cause) -> list[Event]:
        """Look at a good mark; the peak is followed also while there is no limit."""
        self._nav = nav = good.nav
        peak = nav if self.peak is None else scaled(self.peak, good.scale)
        self.peak = peak = max(peak, nav)
        if limit_pct is None:
            return []
        if nav > self._floor.below(peak, limit_pct):
            return self.latch.miss()
        loss = loss_pct(peak, nav)
        title = (
            f"fund {self.latch.place.fund_id} is {_shown(loss)} % below its highest value, "
            f"limit {limit_pct} %"
        )
        measure = _measure(DRAWDOWN, loss, limit_pct, good, title)
        return self.latch.look(measure, cause)

    def lift(self, treatment: Treatment, muted_until: str | None, cause: Cause) -> list[Event]:
        """Let go of the episode; re-baselined, the value of now is the highest from here on."""
        if treatment == "REBASELINED" and self._nav is not None:
            self.peak = self._nav
        return self.latch.lift(treatment, muted_until, cause)


class Warnings:
    """Half, three quarters and nine tenths of a daily loss, each said once a day."""

    def __init__(self, fund_id: str) -> None:
        self._place = Place(check=DAILY_LOSS, scope=Scope("FUND_HALT", fund_id), fund_id=fund_id)
        self._notice = Notice(self._place, ordinal=1)
        self._streaks = tuple(Streak(RULES[DAILY_LOSS].confirmations) for _ in WARNINGS_PCT)
        self._said = 0

    def new_day(self, cause: Cause) -> list[Event]:
        """Begin a day: yesterday's warning is over. Its halt, if there was one, is not."""
        self._said = 0
        self.miss()
        return self._notice.say(None, cause)

    def miss(self) -> None:
        """Take note of a value that reaches no stage."""
        for streak in self._streaks:
            streak.rows.clear()

    def look(self, loss: Fraction, limit_pct: Decimal, cause: Cause, as_of: str) -> list[Event]:
        """Judge one good loss, in percent; say the highest stage that it has confirmed."""
        confirmed = 0
        for stage, streak in zip(WARNINGS_PCT, self._streaks, strict=True):
            if streak.add(cause, hit=loss * 100 >= stage * Fraction(limit_pct)):
                confirmed = stage
        if confirmed <= self._said:
            return []
        self._said = confirmed
        problem = (
            f"fund {self._place.fund_id} has used {confirmed} % of its daily loss limit "
            f"of {limit_pct} %"
        )
        threshold = Fraction(limit_pct) * confirmed / 100
        return self._notice.say(problem, cause, as_of, (float(loss), float(threshold)))


class FundLosses:
    """Everything that is known about the losses of one fund."""

    def __init__(self, fund_id: str) -> None:
        self.fund_id = fund_id
        self.daily = Latch(self._place(DAILY_LOSS))
        self.trackers: dict[str, Tracker] = {}
        self.doubt = Doubt(self._place(LIMITS))
        self._book = Book()
        self._fund: Fund | None = None
        self._usable: dict[str, Decimal | None] = {DRAWDOWN: None, DAILY_LOSS: None}
        self._first_pct = Decimal(0)  # the loss at which the first warning is due, in percent
        self._floor = Floor()
        self._end = UTC_MIDNIGHT
        self._warnings = Warnings(fund_id)
        self._limits = {check: Notice(self._place(check)) for check in (DRAWDOWN, DAILY_LOSS)}
        self._registered = Notice(self._place(LIMITS), ordinal=1)
        self._day_ends = Notice(self._place(DAILY_LOSS), ordinal=2)
        self._start_known = Notice(self._place(DAILY_LOSS), ordinal=3)

    def _place(self, check: str) -> Place:
        return Place(check=check, scope=Scope("FUND_HALT", self.fund_id), fund_id=self.fund_id)

    def register(self, fund: Fund, cause: Cause) -> list[Event]:
        """Take the fund's limits; say once which of them cannot stop anything."""
        self._fund = fund
        said = self._registered.say(None, cause)
        limits = {DRAWDOWN: fund.drawdown_halt_pct, DAILY_LOSS: fund.daily_loss_halt_pct}
        for check, limit_pct in limits.items():
            problem = _unusable(self.fund_id, check, limit_pct)
            self._usable[check] = None if problem else limit_pct
            said += self._limits[check].say(problem, cause)
        self._first_pct = (self._usable[DAILY_LOSS] or Decimal(0)) * WARNINGS_PCT[0] / 100
        try:
            self._end, problem = day_end(fund), None
        except Rejected as error:
            self._end, problem = UTC_MIDNIGHT, f"fund {self.fund_id}: {error}"
        return said + self._day_ends.say(problem, cause)

    def join(self, strategy_id: str) -> Tracker:
        """Let a strategy answer for the fund's drawdown from now on."""
        if strategy_id not in self.trackers:
            place = Place(
                check=DRAWDOWN, scope=Scope("STRATEGY_HALT", strategy_id), fund_id=self.fund_id
            )
            self.trackers[strategy_id] = Tracker(place, self._book.peak)
        return self.trackers[strategy_id]

    def leave(self, strategy_id: str) -> None:
        """Let a strategy that moved to another fund answer no more, unless it is raised."""
        tracker = self.trackers.get(strategy_id)
        if tracker is not None and tracker.latch.episode is None:
            del self.trackers[strategy_id]

    def raised(self) -> Iterator[Finding]:
        """Every finding of this fund that is raised now and asks for a halt."""
        latches = [self.daily, *(tracker.latch for tracker in self.trackers.values())]
        yield from (latch.episode for latch in latches if latch.episode)
        yield from self.doubt.raised()

    def mark(self, data: NetAssetValue, cause: Cause) -> list[Event]:
        """Look at one mark of the fund's value."""
        currency = self._fund.base_currency if self._fund else None
        found = self._book.take(data, cause.at_ns, currency, self._end)
        if isinstance(found, Bad):
            return self.bad(found, cause)
        said = self._not_registered(cause) + self.doubt.good(cause)
        limit_pct = self._usable[DRAWDOWN]
        for strategy_id in sorted(self.trackers):
            said += self.trackers[strategy_id].mark(found, limit_pct, cause)
        return said + self._judge_day(found, cause)

    def passed(self, cause: Cause, sessions: Sessions) -> list[Event]:
        """Look at the time: a doubt that lasts, and silence while its market is open, are said."""
        fund = self._fund
        if fund is None:
            return self.doubt.passed(cause)
        if self.doubt.open:
            return self.doubt.passed(cause._replace(environment=fund.trading))
        if cause.at_ns - self.doubt.good_ns < STALE_NS or self._book.final:
            return []
        longest = max(STALE_NS, MISSED_MARKS * self._book.interval_ns)
        if cause.at_ns - self.doubt.good_ns < longest:
            return []
        opened_ns = sessions.opened_ns(fund.calendar_id, cause.at_ns)
        if not self.doubt.good_ns or opened_ns is None or cause.at_ns - opened_ns < longest:
            return []
        cause = cause._replace(environment=fund.trading)
        return self.doubt.bad(f"fund {self.fund_id} is not valued while its market is open", cause)

    def bad(self, found: Bad, cause: Cause) -> list[Event]:
        """Take note of a mark that is no good: it is neither evidence of a loss nor against it."""
        if found.late and (self._book.final or not self.doubt.is_stale(cause)):
            return []
        return self.doubt.bad(f"the value of fund {self.fund_id} is unknown: {found.reason}", cause)

    def _not_registered(self, cause: Cause) -> list[Event]:
        if self._fund is not None:
            return []
        problem = f"fund {self.fund_id} is valued but not registered, so no limit stops it"
        return self._registered.say(problem, cause)

    def _judge_day(self, good: Good, cause: Cause) -> list[Event]:
        said = []
        if good.new_day:
            self.daily.miss()
            said += self._warnings.new_day(cause)
        problem = f"the daily loss of fund {self.fund_id} is unknown: {good.problem}"
        said += self._start_known.say(problem if good.problem else None, cause)
        limit_pct = self._usable[DAILY_LOSS]
        if good.start is None or limit_pct is None:
            return said
        first_pct = self._first_pct
        if good.nav > self._floor.below(good.start, first_pct):
            self._warnings.miss()
            self.daily.miss()
            return said
        loss = loss_pct(good.start, good.nav)
        title = (
            f"fund {self.fund_id} has lost {_shown(loss)} % since its day {good.day} began, "
            f"limit {limit_pct} %"
        )
        measure = _measure(DAILY_LOSS, loss, limit_pct, good, title)
        said += self._warnings.look(loss, limit_pct, cause, measure.looked_at)
        return said + self.daily.look(measure, cause)


class Doubt:
    """How long the value of a fund has been unknown, while values came that are no good."""

    def __init__(self, place: Place) -> None:
        self._notice = Notice(place)
        self._place = place
        self._since_ns: int | None = None
        self.good_ns = 0  # when the newest good value came
        self._good_in_a_row = 0
        self._told = False  # that it lasts

    @property
    def open(self) -> bool:
        """Whether the value is in doubt now."""
        return self._notice.episode is not None

    def raised(self) -> Iterator[Finding]:
        """Return the finding, once it asks for a halt."""
        if self._told and self._notice.episode is not None:
            yield self._notice.episode

    def is_stale(self, cause: Cause) -> bool:
        """Whether there has been no good value for longer than is right."""
        since = max(self.good_ns, self._since_ns or 0)
        return bool(since) and cause.at_ns - since >= STALE_NS

    def good(self, cause: Cause) -> list[Event]:
        """Take note of a good value; several in a row end the doubt."""
        self.good_ns = cause.at_ns
        self._good_in_a_row += 1
        if not self.open or self._good_in_a_row < GOOD_AGAIN:
            return []
        return self._end(cause)

    def bad(self, problem: str, cause: Cause) -> list[Event]:
        """Take note of a value that is no good."""
        self._good_in_a_row = 0
        if self._since_ns is None:
            self._since_ns = cause.at_ns
        said = [] if self.open else self._notice.say(problem, cause)
        return said + self.passed(cause)

    def passed(self, cause: Cause) -> list[Event]:
        """Look at the time; a doubt that lasts becomes critical, once."""
        known = self._notice.episode
        if known is None or self._told or not self.is_stale(cause):
            return []
        self._told = True
        seconds = (cause.at_ns - max(self.good_ns, self._since_ns or 0)) // NANOSECONDS
        title = f"no good value for fund {self._place.fund_id} for {seconds} s"
        self._notice.episode = stale = _lasting(known, title, cause)
        return [write(FindingUpdated, cause, self._place, stale)]

    def lift(self, treatment: Treatment, muted_until: str | None, cause: Cause) -> list[Event]:
        """Let go of the episode: only values that come later count, whatever the treatment."""
        del treatment, muted_until
        return self._end(cause)

    def _end(self, cause: Cause) -> list[Event]:
        self._since_ns = None
        self._told = False
        self.good_ns = cause.at_ns
        return self._notice.say(None, cause)


def _lasting(known: Finding, title: str, cause: Cause) -> Finding:
    """Return a doubt that asks for a halt: no statistic, because there is nothing to judge."""
    return Finding(
        check=known.check,
        episode=known.episode,
        severity="critical",
        title=title,
        looked_at=rfc3339(cause.at_ns),
        rule_version=known.rule_version,
        details=f"it began with: {known.title}",
        mode="act",
        halt_level="fund",
    )


def _measure(check: str, loss: Fraction, limit_pct: Decimal, good: Good, title: str) -> Measure:
    limit = Fraction(limit_pct)
    multiple = RULES[check].hard_multiple
    return Measure(
        hit=loss >= limit,
        hard=multiple is not None and loss >= limit * Fraction(multiple),
        final=good.final,
        times=float(loss / limit),
        statistic=float(loss),
        threshold=float(limit),
        statistic_name=STATISTICS[check],
        title=title,
        looked_at=rfc3339(good.as_of_ns),
        samples=1,
        parameters=(
            Parameter(name="limit_pct", value=str(limit_pct)),
            Parameter(name="final_mark", value=str(good.final).lower()),
        ),
    )


def _unusable(fund_id: str, check: str, limit_pct: Decimal | None) -> str | None:
    """Say why a limit stops nothing, None when it can."""
    name = f"{check}_halt_pct"
    if limit_pct is None:
        return f"fund {fund_id} has no limit: {name} is not set, so nothing stops it"
    if not 0 < limit_pct <= 100:
        return f"fund {fund_id} has no limit: {name} is {limit_pct} and must be above 0, up to 100"
    return None


def _shown(percent: Fraction) -> str:
    """Write a percentage for people."""
    return f"{float(percent):.2f}"
