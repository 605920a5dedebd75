"""Halts and gates for tests of what obeys them, without any server."""

from collections.abc import Callable

from operations.events.base import Event
from operations.events.halts import Halt, HaltLifted, HaltRequested, Lift
from operations.halt.gate import Gate
from operations.halt.state import Fact, Halts, Scope
from operations.simulation.order_flow import registrations
from operations.simulation.writer import Writer

AT = "2026-11-20T15:00:00Z"


def opened_gate(oms_id: str, clock: Callable[[], int], halts: Halts | None = None) -> Gate:
    """Return an open gate that knows the paper firm, and the halts of one that was there before."""
    gate = Gate(oms_id, clock)
    for event in registrations(Writer("test"), 0):
        gate.register(event)
    for episode in (halts or Halts()).active.values():
        gate.request(commanded(episode.halt_id, episode.scope, episode.mode))
    gate.unhold("BOOTING")
    gate.renew(1 << 62)
    return gate


def commanded(halt_id: str, scope: Scope, mode: str = "BLOCK_ALL", sequence: int = 1) -> Fact:
    """Return a stored request of a halt."""
    event = HaltRequested(
        event_id=f"event-{halt_id}",
        timestamp=AT,
        actor="service-halt",
        subject_id=halt_id,
        fund_id=scope.id if scope.level == "FUND_HALT" else None,
        strategy_id=scope.id if scope.level == "STRATEGY_HALT" else None,
        data=Halt(
            halt_id=halt_id,
            level=scope.level,
            mode=mode,
            reason_code="MANUAL",
            requested_by="operator",
        ),
    )
    return _fact(event, sequence)


def lifted(*halt_ids: str, sequence: int = 2) -> Fact:
    """Return a stored lift."""
    event = HaltLifted(
        event_id="event-lift",
        timestamp=AT,
        actor="service-halt",
        subject_id=halt_ids[0],
        data=Lift(
            halt_ids=halt_ids, resume_id="r-1", treatment="CLEARED", remaining_halt_ids=(),
            signed_by=("operator",),
        ),
    )  # fmt: skip
    return _fact(event, sequence)


def _fact(event: Event, sequence: int) -> Fact:
    return Fact(event, sequence, 0, "")
