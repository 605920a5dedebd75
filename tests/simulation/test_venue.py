"""Does the venue match by price and then by time, and give the same answers however it is asked?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.errors import Rejected
from operations.simulation.venue import CLOSED, Answer, Quote, Ticket, Venue

pytestmark = pytest.mark.unit


def ticket(order_id: str, side: str = "buy", quantity: int = 10, **more) -> Ticket:
    account = more.pop("account_id", f"account-{order_id}")
    return Ticket(
        order_id=order_id, account_id=account, symbol="AAPL", side=side, quantity=quantity, **more
    )


def quoted(bid: int = 99_00, ask: int = 101_00, size: int = 1_000) -> Quote:
    return Quote(symbol="AAPL", bid_cents=bid, bid_size=size, ask_cents=ask, ask_size=size)


def kinds(answers: list[Answer], order_id: str = "") -> list[tuple[str, str]]:
    return [(each.order_id, each.kind) for each in answers if order_id in ("", each.order_id)]


def test_an_order_at_the_market_takes_what_is_quoted_and_the_rest_of_it_ends():
    venue = Venue()
    venue.quote(quoted(size=7), 0)
    venue.submit(ticket("one"), 1)
    accepted, filled, canceled = venue.advance(1)
    assert (accepted.kind, filled.kind, canceled.kind) == ("accepted", "filled", "canceled")
    assert (filled.quantity, filled.price_cents, filled.leaves) == (7, 101_00, 3)
    assert venue.positions == {("account-one", "AAPL"): 7}
    assert venue.working() == []


def test_the_better_price_trades_first_and_at_one_price_the_earlier_order():
    venue = Venue()
    for order_id, limit in (("late", 100_00), ("better", 99_50), ("later", 100_00)):
        venue.submit(ticket(order_id, "sell", limit_cents=limit), 1)
    venue.submit(ticket("buyer", "buy", 25, limit_cents=100_00), 2)
    fills = [
        (each.order_id, each.price_cents) for each in venue.advance(2) if each.kind == "filled"
    ]
    assert fills == [
        ("better", 99_50), ("buyer", 99_50), ("late", 100_00), ("buyer", 100_00),
        ("later", 100_00), ("buyer", 100_00),
    ]  # fmt: skip


def test_who_amends_to_another_price_stands_at_the_end_of_the_line_again():
    venue = Venue()
    venue.submit(ticket("first", "sell", limit_cents=100_00), 1)
    venue.submit(ticket("second", "sell", limit_cents=100_00), 2)
    venue.amend("first", 10, 101_00, 3)
    venue.amend("first", 10, 100_00, 4)
    venue.amend("second", 4, 100_00, 5)
    venue.submit(ticket("buyer", quantity=5, limit_cents=100_00), 6)
    fills = {each.order_id: each.quantity for each in venue.advance(6) if each.kind == "filled"}
    assert fills == {"second": 4, "first": 1, "buyer": 1}


def test_an_order_on_its_way_is_not_at_the_venue_yet():
    venue = Venue(request_ns=10, answer_ns=5)
    venue.submit(ticket("one", limit_cents=90_00), 0)
    assert venue.advance(9) == []
    assert venue.working() == []
    venue.cancel("other", 0)
    assert kinds(venue.advance(15)) == [("one", "accepted"), ("other", "cancel_rejected")]
    assert [each.order_id for each in venue.working()] == ["one"]


def test_a_fill_that_is_earlier_than_its_cancel_wins():
    venue = Venue(request_ns=10)
    venue.submit(ticket("one", limit_cents=100_00), 0)
    venue.cancel("one", 5)
    venue.quote(quoted(ask=100_00, bid=99_00), 14)
    said = kinds(venue.advance(20))
    assert said == [("one", "accepted"), ("one", "filled"), ("one", "cancel_rejected")]


def test_an_amend_that_is_refused_leaves_the_order_as_it_was():
    venue = Venue()
    venue.quote(quoted(size=4), 0)
    venue.submit(ticket("one", limit_cents=101_00), 1)
    venue.amend("one", 4, 101_00, 2)
    assert venue.advance(2)[-1].kind == "amend_rejected"
    assert [each.quantity for each in venue.working()] == [10]


def test_a_stop_sleeps_until_the_quote_reaches_it():
    venue = Venue()
    venue.quote(quoted(), 0)
    venue.submit(ticket("stop", "sell", stop_cents=95_00), 1)
    assert kinds(venue.advance(1)) == [("stop", "accepted")]
    venue.quote(quoted(bid=95_01, ask=96_00), 2)
    assert venue.advance(2) == []
    venue.quote(quoted(bid=94_90, ask=95_50), 3)
    (filled,) = venue.advance(3)
    assert (filled.kind, filled.price_cents) == ("filled", 94_90)


def test_a_closed_market_leaves_good_till_canceled_orders_and_takes_no_cancel():
    venue = Venue()
    venue.submit(ticket("day", limit_cents=90_00), 1)
    venue.submit(ticket("gtc", limit_cents=90_00, time_in_force="gtc"), 1)
    venue.close(2)
    venue.cancel("gtc", 3)
    venue.submit(ticket("new", limit_cents=90_00), 3)
    answers = venue.advance(4)[2:]
    assert kinds(answers) == [("day", "expired"), ("gtc", "cancel_rejected"), ("new", "rejected")]
    assert {each.reason for each in answers[1:]} == {CLOSED}
    venue.open(5)
    venue.cancel("gtc", 6)
    assert kinds(venue.advance(6)) == [("gtc", "canceled")]


def test_an_account_does_not_trade_with_itself():
    venue = Venue()
    venue.submit(ticket("sell", "sell", limit_cents=100_00, account_id="one"), 1)
    venue.submit(ticket("buy", "buy", limit_cents=100_00, account_id="one"), 2)
    assert kinds(venue.advance(2), "buy") == [("buy", "accepted"), ("buy", "canceled")]


def test_an_id_is_taken_once():
    venue = Venue()
    venue.submit(ticket("one", limit_cents=90_00), 1)
    venue.cancel("one", 2)
    venue.submit(ticket("one", limit_cents=90_00), 3)
    assert venue.advance(3)[-1].kind == "rejected"


def test_an_order_without_quantity_is_no_order():
    with pytest.raises(Rejected, match="below 1"):
        Venue().submit(ticket("one", quantity=0), 1)


request = st.tuples(
    st.sampled_from(("buy", "sell", "cancel", "amend", "quote", "stop")),
    st.integers(1, 8),  # which order it is about
    st.integers(1, 20),  # quantity
    st.integers(95, 105),  # price
    st.integers(0, 7),  # time since the one before
)


def played(requests, steps) -> tuple[list[Answer], dict]:
    """Put requests in at their times, looking every `steps` nanoseconds as well."""
    venue = Venue(request_ns=3, answer_ns=2)
    answers, at = [], 0
    for number, (what, which, size, price, later) in enumerate(requests):
        for now in range(at, at + later, steps):
            answers += venue.advance(now)
        at += later
        if what == "quote":
            venue.quote(quoted(price, price + 1, size), at)
        elif what == "cancel":
            venue.cancel(f"order-{which}", at)
        elif what == "amend":
            venue.amend(f"order-{which}", size, price, at)
        else:
            more = {"stop_cents": price} if what == "stop" else {"limit_cents": price}
            side = "sell" if what == "sell" else "buy"
            venue.submit(ticket(f"order-{number}", side, size, **more), at)
    return answers + venue.advance(at + 100), venue.positions


@given(st.lists(request, max_size=40))
def test_the_answers_do_not_depend_on_how_often_somebody_looks(requests):
    assert played(requests, 1) == played(requests, 3) == played(requests, 1000)


@given(st.lists(request, max_size=40))
def test_no_order_is_filled_beyond_its_quantity_or_after_its_end(requests):
    answers, _ = played(requests, 5)
    left: dict[str, int] = {}
    for answer in answers:
        if answer.kind in ("accepted", "amended"):
            left[answer.order_id] = answer.leaves
        elif answer.kind == "filled":
            left[answer.order_id] -= answer.quantity
            assert left[answer.order_id] == answer.leaves >= 0
        elif answer.kind in ("canceled", "expired"):
            assert left.pop(answer.order_id) > 0
