"""Does the same seed want the same, and does a runaway strategy run away?"""

import pytest

from operations.events.registry import AccountRegistered, StrategyRegistered
from operations.simulation.order_flow import OMS_IDS, OrderFlow, Wish, registrations, seats
from operations.simulation.writer import Writer

pytestmark = pytest.mark.unit


def wanted(flow: OrderFlow, steps: int) -> list[Wish]:
    held: dict[tuple[str, str], int] = {}
    working: dict[str, list[str]] = {}
    found = []
    for _ in range(steps):
        flow.quotes()
        for wish in flow.wishes(held, working):
            found.append(wish)
            account = wish.seat.account_id
            if wish.kind == "new":
                place = (account, wish.symbol)
                held[place] = held.get(place, 0) + (1 if wish.side == "buy" else -1) * wish.quantity
                working.setdefault(account, []).append(f"order-{len(found)}")
            elif wish.kind == "cancel":
                working[account].remove(wish.order_id)
    return found


def test_the_same_seed_wants_the_same_and_another_order_system_something_else():
    one = wanted(OrderFlow(7, "oms-1"), 200)
    assert one == wanted(OrderFlow(7, "oms-1"), 200)
    assert one != wanted(OrderFlow(7, "oms-2"), 200)


def test_an_ordinary_day_has_every_kind_of_wish():
    wishes = wanted(OrderFlow(7, "oms-1"), 400)
    assert {wish.kind for wish in wishes} == {"new", "cancel", "amend"}
    assert {wish.time_in_force for wish in wishes} == {"day", "gtc"}
    assert {(wish.stop_cents is not None, wish.at_venue) for wish in wishes} == {
        (False, False), (True, False), (True, True),
    }  # fmt: skip
    assert {wish.seat for wish in wishes} == set(seats("oms-1"))


def test_a_runaway_strategy_buys_without_end_and_ever_larger():
    flow = OrderFlow(7, "oms-1", runaway="north-trend", runaway_from=10)
    sizes = [
        wish.quantity for wish in wanted(flow, 50) if wish.symbol == "NVDA" and wish.quantity > 40
    ]
    assert len(sizes) > 100
    assert sizes == sorted(sizes)


def test_every_seat_is_registered():
    events = list(registrations(Writer("test"), 0))
    accounts = {event.subject_id for event in events if isinstance(event, AccountRegistered)}
    assert accounts == {seat.account_id for oms_id in OMS_IDS for seat in seats(oms_id)}
    strategies = [event for event in events if isinstance(event, StrategyRegistered)]
    assert {each for event in strategies for each in event.data.account_ids} == accounts
