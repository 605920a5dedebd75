"""Are the days of a fund the ones that it was valued on, whatever is late, double or missing?"""

import math
from types import SimpleNamespace

import msgspec
import pytest
from volatile_fund import at, fund, mark
from watching import DAY, START_NS, engine, event, stored

from operations.checks import Look, Unit, Verdict
from operations.events.operations import ClockTicked, Tick
from operations.events.registry import Calendar, CalendarPublished, Session
from operations.watchdogs import settled
from operations.watchdogs.portfolio_vol_dd import WATCHDOG

pytestmark = pytest.mark.unit
HERE = Unit("fund", "alpha", "alpha")


def days_of(*events, look_ns=None, sequence=None):
    """The days that a look at the end of these events sees; the first day is number 1."""
    one, batch = engine(WATCHDOG), stored(events)
    one.take(batch)
    look = Look(sequence or len(batch), look_ns or START_NS + 40 * DAY, 0, "e", HERE)
    found = one.warehouse.ask(WATCHDOG, [look])
    return [WATCHDOG.row(*row) for row in found[0].rows] if found else []


def calendar(number, days, first=0, last=60, zone="UTC"):
    """Sessions that close at the end of days counted from 2026-01-05, a Monday."""
    names = [at(day)[:10] for day in days]
    return event(
        CalendarPublished, "XNYS",
        Calendar(
            calendar_id="XNYS", zone=zone, first_day=at(first)[:10], last_day=at(last)[:10],
            sessions=tuple(Session(day=day, opens_at="00:00", closes_at="00:00") for day in names),
        ), number,
    )  # fmt: skip


def test_the_money_that_any_mark_of_a_day_names_is_taken_out_of_its_return():
    found = days_of(
        fund(), mark(1, 100, 1), mark(1.3, 150, 2, flow=50, final=False),
        mark(1.6, 170, 3, flow=20, final=False), mark(2, 172, 4, flow=1),
        mark(2.5, 999, 5, flow=7, final=False),
    )  # fmt: skip
    assert [(day.nav, day.flow) for day in found] == [(100, 0), (172, 71)]
    assert settled.daily_return(*found) == pytest.approx(0.01)


def test_a_later_mark_for_the_same_moment_holds_and_a_copy_of_the_first_changes_nothing():
    first, corrected = mark(2, 50, 2), mark(2, 101, 3)
    found = days_of(fund(), mark(1, 100, 1), first, corrected, mark(3, 102, 4), first)
    assert [day.nav for day in found] == [100, 101, 102]
    assert found[1].last_sequence == 4


def test_a_flow_that_is_stored_twice_came_once():
    paid = mark(1.5, 150, 2, flow=50, final=False)
    found = days_of(fund(), mark(1, 100, 1), paid, paid, mark(2, 150, 3))
    assert [day.flow for day in found] == [0, 50]


def test_a_mark_that_comes_late_takes_its_place_by_its_own_time():
    found = days_of(fund(), mark(1, 100, 1), mark(3, 110, 2), mark(2, 105, 3))
    assert [day.nav for day in found] == [100, 105, 110]


def test_what_comes_after_a_look_in_the_stream_does_not_exist_for_it():
    events = fund(), mark(1, 100, 1), mark(2, 101, 2), mark(2, 77, 3)
    assert [day.nav for day in days_of(*events, sequence=3)] == [100, 101]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (mark(1, 0, 1), mark(2, 100, 2)),
        (mark(1, 100, 1), mark(2, 0, 2)),
        (mark(1, -5, 1), mark(2, 100, 2)),
        (mark(1, 100, 1), mark(2, 100, 2, flow=100)),
        (mark(1, 100, 1, currency="EUR"), mark(2, 100, 2)),
        (mark(1, 100, 1), mark(7, 100, 2)),
    ],
)
def test_a_value_that_is_not_above_zero_another_currency_or_a_gap_make_a_return_unknown(
    before, after
):
    assert math.isnan(settled.daily_return(*days_of(fund(), before, after)))


def test_a_flow_in_another_currency_makes_its_day_unknown():
    foreign = mark(1.5, 150, 2, flow=50, final=False, currency="EUR")
    found = days_of(fund(), mark(1, 100, 1), foreign, mark(2, 150, 3))
    assert found[1].currency is None
    assert math.isnan(settled.daily_return(*found))


def test_returns_count_from_the_last_one_that_is_unknown():
    found = days_of(fund(), *(mark(day, nav, day) for day, nav in enumerate((1, 2, 0, 4, 4, 5), 1)))
    assert settled.usable_returns(found) == [0, 0.25]
    assert settled.usable_returns(found[:3]) == []


def test_without_a_calendar_five_days_are_a_long_weekend_and_more_are_a_gap():
    for apart, gap in ((5, False), (5.01, True)):
        assert settled.is_gap(*days_of(fund(), mark(1, 100, 1), mark(1 + apart, 100, 2))) is gap


def test_a_calendar_knows_which_days_are_missing_and_which_are_holidays():
    holidays = calendar(1, [1, 2, 10, 11, 12])
    has = fund(calendar_id="XNYS")
    assert not settled.is_gap(*days_of(has, holidays, mark(2, 100, 2), mark(10, 100, 3)))
    assert settled.is_gap(*days_of(has, holidays, mark(10, 100, 2), mark(12, 100, 3)))


def test_a_later_calendar_replaces_the_days_that_it_covers():
    first, later = calendar(1, range(1, 20)), calendar(2, [1, 2, 4, 5], first=1, last=5)
    has = fund(calendar_id="XNYS")
    assert not settled.is_gap(*days_of(has, first, later, mark(2, 100, 3), mark(4, 100, 4)))
    assert settled.is_gap(*days_of(has, first, later, mark(5, 100, 3), mark(7, 100, 4)))


@pytest.mark.parametrize("useless", [calendar(1, [1, 2, 3], zone="Nowhere/X"), calendar(1, [30])])
def test_where_no_calendar_covers_the_time_the_longest_weekend_decides(useless):
    for apart, gap in ((5, False), (6, True)):
        found = days_of(fund(calendar_id="XNYS"), useless, mark(1, 100, 2), mark(1 + apart, 100, 3))
        assert settled.is_gap(*found) is gap


def test_a_fund_is_overdue_when_two_sessions_have_closed_since_its_last_day():
    events = fund(calendar_id="XNYS"), calendar(1, [1, 2, 3, 4]), mark(2, 100, 2)
    for now, overdue in ((3.9, False), (4, True)):
        look_ns = START_NS + round(now * DAY)
        (last,) = days_of(*events, look_ns=look_ns)
        assert settled.is_overdue(last, SimpleNamespace(at_ns=look_ns)) is overdue


def test_a_fund_is_looked_at_when_a_day_is_settled_and_once_a_day_when_none_is():
    looked = []

    def note(rows, look, _limits, _known):
        looked.append((look.unit.id, (look.at_ns - START_NS) / DAY, len(rows)))
        return Verdict(state="ok", title="")

    one = engine(msgspec.structs.replace(WATCHDOG, inspect=note))
    marks = [fund(), mark(1, 100, 1), mark(1.5, 100, 2, final=False), mark(2, 100, 3)]
    tick = Tick(minute="2026-01-05T00:00:00Z", offset_ms=0.0)
    ticks = [event(ClockTicked, "clock", tick, number) for number in (10, 11, 12)]
    one.take(stored(marks, at_ns=lambda _: START_NS + 2 * DAY))
    one.take(stored(ticks, at_ns=lambda n: START_NS + 2 * DAY + (n - 4) * DAY // 4, first=5))
    assert looked == [("alpha", 1, 1), ("alpha", 2, 2), ("alpha", 2, 2)]
