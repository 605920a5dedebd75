"""Actions that the gate enforces: throttle, cooldown, shadow."""

import pytest
from gate_cases import AT, Clock, held, open_gate, passes
from oms_cases import FUND, STRATEGY, order

from operations.events.actions import ActionRequest
from operations.halt.gate import Gate
from operations.halt.restrictions import MINUTE_NS, restriction

pytestmark = pytest.mark.unit


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock) -> Gate:
    return open_gate(clock)


def action(kind: str, scope: str = "strategy", scope_id: str = STRATEGY, **more) -> ActionRequest:
    return ActionRequest(
        action_id="act-1",
        episode="e",
        kind=kind,
        scope=scope,
        scope_id=scope_id,
        ack_deadline=AT,
        **more,
    )


@pytest.mark.parametrize("kind", ["cooldown", "shadow"])
def test_a_cooldown_and_a_shadow_let_only_what_reduces_pass_until_their_end(gate, clock, kind):
    held(gate, "10")
    gate.restrict(restriction(action(kind), 1000))
    assert passes(gate, order("a")) == kind.upper()
    assert passes(gate, order("b", "10", side="sell")) == "send"
    clock.ns = 1000
    assert passes(gate, order("c")) == "send"


def test_a_throttle_counts_orders_of_any_minute_and_never_refuses_what_reduces(gate, clock):
    held(gate, "10")
    asked = action("throttle", "fund", FUND, orders_per_minute_at_most=2)
    gate.restrict(restriction(asked, None))
    assert [passes(gate, order(f"a{n}")) for n in range(3)] == ["send", "send", "THROTTLED"]
    assert passes(gate, order("b", "1", side="sell")) == "send"
    gate.restrict(restriction(asked, None))  # asked for twice: what was counted stays
    clock.ns += MINUTE_NS - 1
    assert passes(gate, order("c")) == "THROTTLED"
    clock.ns += 1
    assert passes(gate, order("d")) == "send"
    assert gate.unrestrict("act-1")
    assert passes(gate, order("e")) == "send"


def test_an_action_that_is_not_the_gates_is_none_of_its_business():
    assert restriction(action("hedge"), None) is None
