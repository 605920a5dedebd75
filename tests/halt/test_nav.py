"""Is a value compared with the right level: through flows, at the limit, over the end of a day?"""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.clock import NANOSECONDS, parse_rfc3339, rfc3339
from operations.errors import Rejected
from operations.events.portfolio import NetAssetValue
from operations.events.registry import Fund
from operations.halt.nav import UTC_MIDNIGHT, Bad, Book, Good, day_end, loss_pct, scaled

pytestmark = pytest.mark.unit
HOUR_NS = 3600 * NANOSECONDS


def fund(clock, zone):
    return Fund(
        name="a", base_currency="USD", trading="live", day_end_time=clock, day_end_zone=zone
    )


def taken(book, number, nav, start="100", **changes):
    at = rfc3339(1_800_000_000 * NANOSECONDS + number * 60 * NANOSECONDS)
    data = NetAssetValue(
        as_of=at, nav=Decimal(nav), currency="USD", start_of_day_nav=Decimal(start), **changes
    )
    return book.take(data, parse_rfc3339(at), "USD", UTC_MIDNIGHT)


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-11-20T22:00:00Z", date(2026, 11, 20)),  # 17:00 in winter: the end itself
        ("2026-11-20T22:00:00.000000001Z", date(2026, 11, 21)),
        ("2026-07-01T21:00:00Z", date(2026, 7, 1)),  # 17:00 in summer
        ("2026-07-01T21:00:01Z", date(2026, 7, 2)),
        ("2026-03-08T21:00:00Z", date(2026, 3, 8)),  # the day of 23 hours
        ("2026-03-07T22:00:01Z", date(2026, 3, 8)),
        ("2026-11-01T22:00:00Z", date(2026, 11, 1)),  # the day of 25 hours
        ("2026-10-31T21:00:01Z", date(2026, 11, 1)),
    ],
)
def test_a_day_ends_at_its_local_time_in_summer_and_in_winter(moment, day):
    assert day_end(fund("17:00", "America/New_York")).day_of(parse_rfc3339(moment))[0] == day


@pytest.mark.parametrize("clock", ["01:30", "02:30", "00:00", "23:59"])
@pytest.mark.parametrize(
    "first", ["2026-03-07T00:00:00Z", "2026-10-31T00:00:00Z", "2026-03-28T00:00:00Z"]
)
@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Pacific/Apia"])
def test_days_follow_each_other_without_hole_or_overlap_when_clocks_change(clock, first, zone):
    """Also when the end of the day is an hour that is skipped, or that comes twice."""
    end = day_end(fund(clock, zone))
    start = parse_rfc3339(first)
    days = [end.day_of(start + step * HOUR_NS // 4)[0] for step in range(4 * 72)]
    assert all((after - before).days in (0, 1) for before, after in pairwise(days))
    lengths = [days.count(day) for day in sorted(set(days))[1:-1]]
    assert all(length in (23 * 4, 24 * 4, 25 * 4) for length in lengths)


@pytest.mark.parametrize(("clock", "zone"), [("25:00", "UTC"), ("x", "UTC"), ("17:00", "../x")])
def test_an_end_that_does_not_exist_is_refused_with_its_words(clock, zone):
    with pytest.raises(Rejected, match=clock):
        day_end(fund(clock, zone))


amounts = st.decimals("1", "1000000", places=2)


@given(nav=amounts, flows=st.lists(st.decimals("-0.9", "5", places=3), min_size=1, max_size=30))
def test_flows_alone_are_never_a_loss_or_a_gain(nav, flows):
    """A fund that only receives and pays out is at its highest value and at the start's value."""
    book = Book()
    assert isinstance(taken(book, 0, nav, nav), Good)
    value = Fraction(nav)
    for number, share in enumerate(flows, start=1):
        flow = Decimal(int(value * Fraction(share) * 100)) / 100
        value += Fraction(flow)
        found = taken(book, number, Decimal(str(float(value))).quantize(Decimal("0.01")), nav,
                      flow=flow)  # fmt: skip
        if isinstance(found, Bad):
            return
        assert abs(loss_pct(book.peak, book.nav)) < Fraction(1, 10**6)
        assert abs(loss_pct(found.start, book.nav)) < Fraction(1, 10**6)


@given(st.lists(amounts, min_size=1, max_size=30))
def test_without_flows_the_drawdown_is_that_from_the_running_maximum(values):
    book = Book()
    for number, nav in enumerate(values):
        taken(book, number, nav)
        worst = Fraction(max(values[: number + 1]))
        assert loss_pct(book.peak, book.nav) == 100 * (1 - Fraction(nav) / worst)


def test_the_flow_of_a_mark_that_is_no_good_is_kept_for_the_next_good_one():
    book = Book()
    taken(book, 0, "100")
    assert isinstance(taken(book, 1, "0", flow=Decimal(-50)), Bad)
    found = taken(book, 2, "50")
    assert (found.scale, book.peak) == (Fraction(1, 2), 50)


def test_a_flow_that_cannot_be_spoils_one_mark_and_no_more():
    book = Book()
    taken(book, 0, "100")
    assert isinstance(taken(book, 1, "0", flow=Decimal(10**9)), Bad)
    assert isinstance(taken(book, 2, "90"), Bad)
    assert isinstance(taken(book, 3, "90"), Good)


def test_levels_stay_short_after_thousands_of_flows():
    level = Fraction(100)
    for number in range(2000):
        level = scaled(level, Fraction(1000 + number % 7, 999 + number % 11))
    assert level.denominator <= 10**60


def test_a_fund_in_another_currency_begins_anew():
    book = Book()
    taken(book, 0, "100")
    at = 1_800_000_600 * NANOSECONDS
    data = NetAssetValue(
        as_of=rfc3339(at), nav=Decimal(50), currency="EUR", start_of_day_nav=Decimal(50)
    )
    found = book.take(data, at, "EUR", UTC_MIDNIGHT)
    assert (book.peak, found.start, found.scale) == (50, 50, 1)


@pytest.mark.parametrize("when", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_an_absurd_time_of_a_flow_breaks_nothing(when):
    end = day_end(fund("17:00", "Pacific/Apia"))
    at = 1_800_000_000 * NANOSECONDS
    data = NetAssetValue(
        as_of=rfc3339(at), nav=Decimal(100), currency="USD", start_of_day_nav=Decimal(100),
        flow=Decimal(10), flow_time=when,
    )  # fmt: skip
    assert isinstance(Book().take(data, at, "USD", end), Good)
