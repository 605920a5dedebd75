"""What went wrong elsewhere does not here: the pitfalls that deciding and the gate must avoid."""

from decimal import Decimal
from itertools import combinations_with_replacement

import msgspec
import pytest
from gate_cases import Clock, held, lift, open_gate, passes
from gate_cases import halt as halted
from halt_cases import (
    NOON,
    SECOND,
    cosign_command,
    fact,
    finding,
    halt_command,
    resume_command,
    signed,
)
from halt_floor import MINUTE, Floor, only, refusal
from oms_cases import ACCOUNT, FUND, STRATEGY, code, order

from operations.events.findings import FindingCleared
from operations.events.halts import HaltLifted, HaltRequested
from operations.halt import policy
from operations.halt.book import Order
from operations.halt.state import FIRM, Fact, Scope
from operations.halt.verdicts import Denial

pytestmark = pytest.mark.unit
DAYS = 24 * 60 * MINUTE
SCOPES = {
    "STRATEGY_HALT": Scope("STRATEGY_HALT", STRATEGY),
    "FUND_HALT": Scope("FUND_HALT", FUND),
    "FIRM_HALT": FIRM,
}
CHECKS = sorted(policy.RULES)


@pytest.fixture
def floor():
    return Floor()


@pytest.fixture
def gate():
    return open_gate(Clock())


def enough(check, kind=None, name="f1"):
    """Return a finding of a check that is enough to stop the most that it may stop."""
    rule = policy.RULES[check]
    figures = {"at_least": (30.0, 10.0), "below": (-9.0, -2.0), None: (None, None)}
    statistic, threshold = figures[rule.comparator]
    wanted = {"scope": SCOPES[rule.highest], "statistic": statistic, "threshold": threshold}
    return finding(check, name, **wanted, **({"kind": kind} if kind else {}))


@pytest.mark.parametrize("check", CHECKS)
def test_pitfall_4_only_people_end_a_halt_and_they_can_end_every_one(floor, check):
    halt_id = only(floor.tell(enough(check)), HaltRequested).data.halt_id
    floor.tell(enough(check, FindingCleared, "f2"))
    floor.wait(400 * DAYS)
    assert floor.active == {halt_id}, "neither a good value nor time ends it"
    resume = resume_command(halt_id)
    floor.tell(resume)
    if policy.RULES[check].highest == "FIRM_HALT":
        assert floor.active == {halt_id}, "one person does not lift the firm"
        floor.tell(cosign_command(signed(resume, "alice")), "bob")
    assert floor.active == set()


def test_pitfall_8_what_only_reduces_opens_nothing_from_flat_and_turns_nothing_over(gate):
    halted(gate, mode="REDUCE_ONLY")
    for side in ("buy", "sell"):
        assert passes(gate, order(f"flat-{side}", "1", side=side)) == "STRATEGY_HALTED"
    held(gate, "10")
    assert passes(gate, order("over", "11", side="sell")) == "STRATEGY_HALTED"
    assert passes(gate, order("more", "1")) == "STRATEGY_HALTED"
    assert code(gate.check(order("waits", "10", side="sell"))) == "accept"
    held(gate, "4")  # something else closed most of it while the order waited
    assert code(gate.check(order("waits", "10", side="sell"))) == "STRATEGY_HALTED"
    assert passes(gate, order("first", "3", side="sell")) == "send"
    assert passes(gate, order("second", "3", side="sell")) == "STRATEGY_HALTED", "together too much"
    gate.filled("first", Decimal(3))
    assert passes(gate, order("third", "1", side="sell")) == "send"


def test_pitfall_12_a_figure_that_is_missing_halts_by_its_absence_and_never_counts_as_fine(floor):
    blind = finding("daily_loss", statistic=None, halt_level="fund")
    event = only(floor.tell(blind), HaltRequested)
    assert (event.data.mode, event.data.reason_code) == ("REDUCE_ONLY", "STALE_DATA")
    assert policy.seen(blind) == "unknown"
    assert policy.streak(["breach", "unknown", "breach", "unknown", "breach"]) == 3


WORDS = ("", STRATEGY, FUND, ACCOUNT, "AAPL", "resting", "h-1", "oms.oms-1")
VALUES = {
    **dict.fromkeys(("strategy_id", "fund_id", "account_id", "symbol", "exit_of"), WORDS),
    **dict.fromkeys(("limit_price", "stop_price"), (None, Decimal("0.01"), Decimal(10) ** 6)),
    "side": ("buy", "sell"),
    "quantity": (Decimal("0.000001"), Decimal(1), Decimal(10)),
}
CHANGES = [{name: value} for name in VALUES for value in VALUES[name]]
TRADED = {
    "entry": order("entry", "1"),
    "amend": order("resting", "4", side="sell", kind="amend"),
    "exit": order("exit", "1", side="sell", exit_of="h-1", strategy_id=""),
}


@pytest.mark.parametrize("kind", TRADED)
def test_pitfall_10_no_field_of_an_order_takes_it_past_a_halt(kind):
    assert {"order_id", "kind", *VALUES} == set(Order.__struct_fields__)
    for first, second in combinations_with_replacement(CHANGES, 2):
        gate = open_gate(Clock())
        held(gate, "10")
        assert passes(gate, order("resting", "5", side="sell")) == "send"
        halted(gate, level="FIRM_HALT")
        wanted = msgspec.structs.replace(TRADED[kind], **(first | second))
        assert isinstance(gate.check(wanted), Denial), wanted
        assert isinstance(gate.check_and_send(wanted, lambda: "sent"), Denial), wanted


@pytest.mark.parametrize("check", CHECKS)
def test_pitfall_13_a_figure_of_one_strategy_stops_that_strategy_whatever_it_asks_for(floor, check):
    asked = enough(check)
    small = finding(
        check,
        scope=SCOPES["STRATEGY_HALT"],
        halt_level="firm",
        statistic=asked.data.statistic,
        threshold=asked.data.threshold,
    )
    event = only(floor.tell(small), HaltRequested)
    assert (event.data.level, event.strategy_id) == ("STRATEGY_HALT", STRATEGY)


def test_pitfall_15_a_position_is_closed_under_a_halt_only_and_not_bought_back(gate):
    held(gate, "10")
    gate.permit_exit("h-1", ACCOUNT, "AAPL")
    out = order("exit", side="sell", exit_of="h-1", strategy_id="")
    assert passes(gate, out) == "NO_EXIT", "nothing is closed without a halt that stays"
    halted(gate, level="FUND_HALT")
    assert passes(gate, out) == "send"
    gate.filled("exit", Decimal(10))
    for number, side in enumerate(("buy", "sell")):
        assert passes(gate, order(f"again-{number}", side=side)) == "FUND_HALTED"
    lift(gate, "h-1")
    assert passes(gate, order("allowed-by-people")) == "send"


@pytest.mark.parametrize(("minutes", "frees"), [(9, True), (10, False), (60, False)])
def test_pitfall_16_a_lift_that_is_stored_after_its_approval_expired_frees_nothing(
    floor, minutes, frees
):
    floor.tell(halt_command("h1", FIRM))
    resume = resume_command("h1")
    floor.tell(resume)
    before = dict(floor.desk.halts.active)
    lifting = only(_asked(floor, cosign_command(signed(resume, "alice")), "bob"), HaltLifted)
    late = fact(lifting, floor.sequence + 1, NOON + minutes * MINUTE + SECOND)
    assert dict(floor.desk.halts.active) == before
    floor.desk.take(late)
    assert (floor.active == set()) == frees


def _asked(floor, event, signer):
    """Return what is decided about an ask, and store none of it."""
    stored, floor.publish = floor.publish, list
    try:
        return floor.tell(event, signer)
    finally:
        floor.publish = stored


def test_pitfall_18_a_check_that_no_rule_names_is_refused_aloud(floor):
    words = refusal(floor.tell(finding("volatility_of_a_new_model")))
    assert "may stop nothing" in words
    assert floor.active == set()


@pytest.mark.parametrize("check", CHECKS)
def test_pitfall_19_what_any_check_finds_is_refused_at_the_gate(floor, gate, check):
    held(gate, "10")
    assert passes(gate, order("before", "1")) == "send"
    event = only(floor.tell(enough(check)), HaltRequested)
    gate.request(Fact(event, None, 0, ""))
    denial = gate.check(order("after", "1"))
    assert denial.halt_id == event.data.halt_id
    only_reduces = event.data.mode == "REDUCE_ONLY"
    assert (passes(gate, order("smaller", "1", side="sell")) == "send") == only_reduces
