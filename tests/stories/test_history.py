"""Does the checker of histories find what it is there to find?"""

import pytest
from floor import Floor  # noqa: F401 (the harness imports without servers)
from halted import commanded
from history import History, Told

from operations.clock import rfc3339
from operations.events.halts import Acknowledgement, HaltAcknowledged, HaltLifted, Lift
from operations.events.positions import PositionChange, PositionChanged
from operations.halt.state import FIRM, Scope
from operations.simulation.venue import Ticket
from operations.simulation.writer import quantity
from workers.paper_tape import Sent, Wanted

pytestmark = pytest.mark.unit

SECOND = 1_000_000_000


def blocked(halt_id: str, at_s: int, oms_id: str = "oms-1") -> Told:
    said = Acknowledgement(oms_id=oms_id, halt_id=halt_id, phase="BLOCKING", via="core")
    event = HaltAcknowledged(
        event_id=f"{halt_id}-{oms_id}",
        timestamp=rfc3339(at_s * SECOND),
        actor=oms_id,
        subject_id=halt_id,
        data=said,
    )
    return Told(2, at_s * SECOND, event)


def halted(halt_id: str, scope: Scope = FIRM, mode: str = "BLOCK_ALL") -> Told:
    return Told(1, 0, commanded(halt_id, scope, mode).event)


def lift(halt_id: str, at_s: int, *people: str) -> Told:
    data = Lift(
        halt_ids=(halt_id,), resume_id="r-1", treatment="CLEARED", remaining_halt_ids=(),
        signed_by=people,
    )  # fmt: skip
    event = HaltLifted(
        event_id=f"lift-{halt_id}",
        timestamp=rfc3339(0),
        actor="service-halt",
        subject_id="r-1",
        data=data,
    )
    return Told(3, at_s * SECOND, event)


def order(order_id: str, at_s: int, **more) -> list:
    exit_of = more.pop("exit_of", "")
    ticket = Ticket(
        order_id=order_id, account_id="acc", symbol="AAPL", side="buy", quantity=10, **more
    )
    wanted = Wanted(
        at_ns=0, ticket=ticket, strategy_id="north-trend", fund_id="north", exit_of=exit_of
    )
    return [wanted, Sent(at_ns=at_s * SECOND, order_id=order_id)]


@pytest.mark.parametrize(
    "scope",
    [FIRM, Scope("FUND_HALT", "north"), Scope("STRATEGY_HALT", "north-trend"),
     Scope("STRATEGY_HALT", "oms.oms-1")],
    ids=str,
)  # fmt: skip
def test_an_order_after_blocking_is_found(scope):
    told = [halted("h", scope), blocked("h", 5)]
    assert History(told, {"oms-1": order("late", 6)}).sent_through_halts()
    assert not History(told, {"oms-1": order("early", 4)}).sent_through_halts()
    assert not History(told, {"oms-2": order("elsewhere", 6)}).sent_through_halts()


def test_an_order_outside_the_scope_or_after_the_lift_is_fine():
    other = [halted("h", Scope("FUND_HALT", "south")), blocked("h", 5)]
    assert not History(other, {"oms-1": order("one", 6)}).problems()
    over = [halted("h"), blocked("h", 5), lift("h", 8, "operator", "cosigner")]
    assert not History(over, {"oms-1": order("one", 9)}).sent_through_halts()
    assert History(over, {"oms-1": order("one", 7)}).sent_through_halts()


def test_an_order_or_an_exit_that_was_sent_twice_is_found():
    one = order("one", 1)
    assert History([], {"oms-1": [*one, one[1]]}).sent_twice()
    two_exits = [*order("a", 1, exit_of="h"), *order("b", 2, exit_of="h")]
    assert History([], {"oms-1": two_exits}).sent_twice()


def test_an_exit_that_opens_a_position_is_found():
    assert History([], {"oms-1": order("a", 1, exit_of="h")}).turned_over()


def test_a_firm_halt_that_one_person_lifted_is_found():
    assert History([halted("h"), lift("h", 3, "operator")], {}).lifted_alone()


def test_a_position_that_does_not_follow_from_the_one_before_is_found():
    def change(before: int, after: int) -> Told:
        data = PositionChange(
            symbol="AAPL", before_quantity=quantity(before), after_quantity=quantity(after),
            cause="order",
        )  # fmt: skip
        event = PositionChanged(
            event_id=f"{before}-{after}", timestamp=rfc3339(0), actor="oms-1", subject_id="AAPL",
            account_id="acc", data=data,
        )  # fmt: skip
        return Told(1, 0, event)

    assert not History([change(0, 5), change(5, 7), change(5, 7)], {}).broken_positions()
    assert History([change(0, 5), change(6, 7)], {}).broken_positions()
