"""The gate: what passes under which halt, and what is unknown never does."""

import threading
from decimal import Decimal

import msgspec
import pytest
from gate_cases import Clock, halt, held, lift, open_gate, passes
from oms_cases import ACCOUNT, STRATEGY, account, code, order, strategy

from operations.errors import Rejected
from operations.halt.book import Order
from operations.halt.gate import Gate
from operations.halt.state import FIRM, Scope
from operations.halt.verdicts import HALTED, own_scope

pytestmark = pytest.mark.unit


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock) -> Gate:
    return open_gate(clock)


def test_an_order_is_counted_when_it_is_accepted_and_asked_about_again_before_it_is_sent(gate):
    assert code(gate.check(order("a"))) == "accept"
    assert code(gate.check(order("a"))) == "send"
    assert code(gate.check(order("a"))) == "send"  # sent again after a timeout


def test_a_gate_that_knows_nothing_yet_lets_nothing_pass_but_cancels(clock):
    gate = Gate("oms-1", clock)
    assert code(gate.check(order("a"))) == "BOOTING"
    assert code(gate.check(Order(order_id="a", kind="cancel"))) == "send"


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("STRATEGY_HALT", "STRATEGY_HALTED"),
        ("FUND_HALT", "FUND_HALTED"),
        ("FIRM_HALT", "FIRM_HALTED"),
    ],
)
def test_a_halt_denies_what_is_in_its_scope_and_says_which_halt(gate, level, expected):
    halt(gate, level=level)
    denial = gate.check(order("a"))
    assert (denial.code, denial.halt_id) == (expected, "h-1")
    assert "is halted (MANUAL)" in denial.words
    other = order("b", strategy_id="momentum", fund_id="beta", account_id="acc-2")
    assert code(gate.check(other)) == ("FIRM_HALTED" if level == "FIRM_HALT" else "accept")


def test_a_halt_of_the_order_system_stops_all_of_it(gate):
    halt(gate, strategy_id="oms.oms-1")
    assert code(gate.check(order("a"))) == "OMS_HALTED"
    halt(gate, "h-2", strategy_id="oms.oms-2")
    lift(gate, "h-1")
    assert code(gate.check(order("a"))) == "accept"


def test_lifting_one_of_two_halts_leaves_the_other(gate):
    halt(gate, "h-1")
    halt(gate, "h-2", level="FUND_HALT")
    lift(gate, "h-1")
    assert gate.check(order("a")).halt_id == "h-2"


def test_the_strictest_of_several_halts_counts(gate):
    held(gate, "10")
    halt(gate, "h-1", level="FIRM_HALT", mode="REDUCE_ONLY")
    assert passes(gate, order("a", "1", side="sell")) == "send"
    halt(gate, "h-2", level="FUND_HALT", mode="BLOCK_ALL")
    assert passes(gate, order("b", "1", side="sell")) == "FUND_HALTED"


def test_a_lease_that_lapses_lets_pass_only_what_reduces(gate, clock):
    held(gate, "10")
    clock.ns = 10**18
    assert gate.lapsed
    assert passes(gate, order("a")) == "LEASE_LAPSED"
    assert passes(gate, order("b", side="sell")) == "send"
    gate.renew(2 * 10**18)
    assert passes(gate, order("c")) == "send"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"strategy_id": "nobody"}, "UNKNOWN_STRATEGY"),
        ({"fund_id": "beta"}, "WRONG_FUND"),
        ({"account_id": "acc-2"}, "WRONG_ACCOUNT"),
        ({"account_id": "acc-9"}, "UNKNOWN_ACCOUNT"),
        ({"quantity": Decimal("NaN")}, "MALFORMED"),
        ({"quantity": Decimal("Infinity")}, "MALFORMED"),
        ({"quantity": Decimal(0)}, "MALFORMED"),
        ({"quantity": Decimal(-1)}, "MALFORMED"),
        ({"quantity": 10.0}, "MALFORMED"),
        ({"limit_price": Decimal("NaN")}, "MALFORMED"),
        ({"side": "hold"}, "MALFORMED"),
        ({"kind": "replace"}, "MALFORMED"),
    ],
)
def test_what_is_unknown_or_no_number_does_not_pass(gate, changes, expected):
    assert code(gate.check(msgspec.structs.replace(order("a"), **changes))) == expected


def test_an_exception_in_the_gate_denies(gate):
    gate.registry = None
    denial = gate.check(order("a"))
    assert denial.code == "GATE_ERROR"
    assert gate.errors == 1


def test_reduce_only_is_net_of_everything_that_is_open(gate):
    held(gate, "10")
    halt(gate, mode="REDUCE_ONLY")
    assert passes(gate, order("a", "6", side="sell")) == "send"
    assert passes(gate, order("b", "5", side="sell")) == "STRATEGY_HALTED"
    assert passes(gate, order("b2", "4", side="sell")) == "send"
    gate.ended("a")
    assert passes(gate, order("c", "6", side="sell")) == "send"


def test_reduce_only_closes_a_short_position_too(gate):
    held(gate, "-10")
    halt(gate, mode="REDUCE_ONLY")
    assert passes(gate, order("a", "11")) == "STRATEGY_HALTED"
    assert passes(gate, order("b", "10")) == "send"
    gate.filled("b", Decimal(10))
    assert not gate.is_open("b")
    assert passes(gate, order("c", "1")) == "STRATEGY_HALTED"


def test_an_order_that_was_accepted_before_a_halt_does_not_leave_after_it(gate):
    assert code(gate.check(order("a"))) == "accept"
    halt(gate)
    assert code(gate.check(order("a"))) == "STRATEGY_HALTED"
    assert not gate.is_open("a")
    lift(gate, "h-1")
    assert code(gate.check(order("a"))) == "ORDER_ENDED"


def test_an_order_that_may_be_at_the_venue_stays_counted_when_sending_again_is_denied(gate):
    assert passes(gate, order("a")) == "send"
    halt(gate)
    assert code(gate.check(order("a"))) == "STRATEGY_HALTED"
    assert gate.is_open("a")


def test_nothing_is_sent_with_a_halt_between_the_last_check_and_the_venue(gate):
    gate.check(order("a"))
    entered, halted = threading.Event(), threading.Event()

    def send() -> str:
        entered.set()
        assert not halted.wait(0.05)
        return "sent"

    def stop() -> None:
        entered.wait()
        halt(gate)
        halted.set()

    thread = threading.Thread(target=stop)
    thread.start()
    assert gate.check_and_send(order("a"), send) == "sent"
    thread.join()
    assert code(gate.check_and_send(order("b"), send)) == "STRATEGY_HALTED"


def test_an_order_under_a_known_id_that_is_another_one_is_denied(gate):
    gate.check(order("a"))
    assert code(gate.check(order("a", "11"))) == "ORDER_CHANGED"


def test_an_amend_that_is_denied_leaves_the_resting_order_as_it_was(gate):
    assert passes(gate, order("a")) == "send"
    gate.working("a")
    halt(gate, mode="REDUCE_ONLY")
    assert passes(gate, order("a", "20", kind="amend")) == "STRATEGY_HALTED"
    entry = gate.book.open["a"]
    assert (entry.leaves, entry.amend, entry.stage) == (Decimal(10), None, "working")


def test_an_amend_goes_only_downwards_and_moves_only_the_price_of_what_reduces(gate):
    held(gate, "10")
    assert passes(gate, order("open")) == "send"
    assert passes(gate, order("close", side="sell", stop_price=Decimal(90))) == "send"
    halt(gate, mode="REDUCE_ONLY")
    dearer = order("open", kind="amend", limit_price=Decimal(200))
    assert passes(gate, dearer) == "STRATEGY_HALTED"
    assert passes(gate, order("open", "5", kind="amend")) == "send"
    trailing = order("close", kind="amend", side="sell", stop_price=Decimal(95))
    assert passes(gate, trailing) == "send"


def test_an_amend_counts_with_what_it_may_become_until_the_venue_has_answered(gate):
    held(gate, "10")
    assert passes(gate, order("a", "4", side="sell")) == "send"
    assert passes(gate, order("a", "8", side="sell", kind="amend")) == "send"
    halt(gate, mode="REDUCE_ONLY")
    assert passes(gate, order("b", "3", side="sell")) == "STRATEGY_HALTED"
    gate.amended("a", taken=False)
    assert passes(gate, order("c", "6", side="sell")) == "send"


def test_an_amend_of_an_order_that_nobody_knows_is_denied(gate):
    assert passes(gate, order("a", kind="amend")) == "UNKNOWN_ORDER"


def test_a_cancel_passes_under_every_halt_hold_and_action(gate):
    halt(gate, level="FIRM_HALT")
    gate.hold("FILE_HALT", "BLOCK_ALL", "stop")
    assert code(gate.check(Order(order_id="whatever", kind="cancel"))) == "send"


def test_a_fill_that_is_no_number_makes_the_position_unknown_and_nothing_reduces_it(gate):
    held(gate, "10")
    passes(gate, order("a"))
    with pytest.raises(Rejected, match="unknown now"):
        gate.filled("a", Decimal("NaN"))
    halt(gate, mode="REDUCE_ONLY")
    assert passes(gate, order("b", "1", side="sell")) == "STRATEGY_HALTED"
    held(gate, "10")
    assert passes(gate, order("c", "1", side="sell")) == "send"


def test_a_fill_of_an_unknown_order_says_what_to_do(gate):
    with pytest.raises(Rejected, match="state the position"):
        gate.filled("never", Decimal(1))


def test_a_late_fill_after_the_end_of_an_order_still_moves_the_position(gate):
    passes(gate, order("a"))
    gate.ended("a")
    gate.filled("a", Decimal(3))
    assert gate.lines([ACCOUNT])[0].position == Decimal(3)


def test_a_strategy_that_is_registered_into_another_fund_takes_the_halts_along(gate):
    halt(gate, level="FUND_HALT")
    gate.register(account("acc-3", "beta"))
    gate.register(strategy(STRATEGY, "beta", ("acc-3",)))
    assert code(gate.check(order("a", fund_id="beta", account_id="acc-3"))) == "FUND_HALTED"
    lift(gate, "h-1")
    assert code(gate.check(order("b", fund_id="beta", account_id="acc-3"))) == "accept"


def test_naming_another_fund_does_not_escape_the_halt_of_the_registered_one(gate):
    halt(gate, level="FUND_HALT")
    assert code(gate.check(order("a", fund_id="beta"))) == "FUND_HALTED"


def test_a_probe_is_denied_by_a_halt_of_any_scope_known_or_not_and_counts_nothing(gate):
    for number, (level, ids) in enumerate(
        [
            ("STRATEGY_HALT", {"strategy_id": "drill"}),
            ("FUND_HALT", {"fund_id": "gamma"}),
            ("STRATEGY_HALT", {"strategy_id": "oms.oms-1"}),
            ("FIRM_HALT", {}),
        ]
    ):
        episode = halt(gate, f"h-{number}", level=level, mode="REDUCE_ONLY", **ids)
        assert gate.probe(episode.scope).code in HALTED
        lift(gate, f"h-{number}")
        assert code(gate.probe(episode.scope)) not in HALTED
    assert not gate.book.open


def test_one_exit_of_a_signed_flatten_passes_a_block_and_only_once(gate):
    held(gate, "10")
    halt(gate, level="FIRM_HALT")
    exit_order = order("exit", side="sell", exit_of="h-1", strategy_id="")
    assert passes(gate, exit_order) == "NO_EXIT"
    gate.permit_exit("h-1", ACCOUNT, "AAPL")
    too_much = order("big", "11", side="sell", exit_of="h-1", strategy_id="")
    assert passes(gate, too_much) == "NO_EXIT"
    assert passes(gate, exit_order) == "send"
    again = order("exit-2", "1", side="sell", exit_of="h-1", strategy_id="")
    assert passes(gate, again) == "NO_EXIT"


def test_an_exit_is_bound_to_its_halt_and_void_after_it(gate):
    held(gate, "10")
    halt(gate, level="FIRM_HALT")
    gate.permit_exit("h-1", ACCOUNT, "AAPL")
    lift(gate, "h-1")
    denial = gate.check(order("exit", side="sell", exit_of="h-1", strategy_id=""))
    assert (denial.code, "is over" in denial.words) == ("NO_EXIT", True)


def test_an_exit_does_not_pass_a_gate_that_does_not_know_the_halts(gate):
    held(gate, "10")
    halt(gate, level="FIRM_HALT")
    gate.permit_exit("h-1", ACCOUNT, "AAPL")
    gate.hold("BOOTING", "BLOCK_ALL", "another stream")
    assert passes(gate, order("exit", side="sell", exit_of="h-1")) == "BOOTING"


def test_open_orders_of_a_scope_are_told_apart_by_whether_they_may_increase(gate):
    held(gate, "10")
    for wanted in (
        order("open"),
        order("close", "7", side="sell"),
        order("over", "7", side="sell"),
    ):
        assert passes(gate, wanted) == "send"
    other = order("b", strategy_id="momentum", fund_id="beta", account_id="acc-2")
    assert passes(gate, other) == "send"
    own = Scope("STRATEGY_HALT", STRATEGY)
    names = [entry.order.order_id for entry in gate.open_orders(own, "increasing")]
    assert names == ["open", "over"]
    assert len(gate.open_orders(FIRM, "all")) == 4
    assert len(gate.open_orders(own_scope("oms-1"), "all")) == 4
    assert len(gate.open_orders(Scope("FUND_HALT", "beta"), "all")) == 1
