"""What tests of actions share: requests, orders to end them, and answers, at times in seconds."""

from decimal import Decimal
from typing import Any

from operations.clock import NANOSECONDS, rfc3339
from operations.events.actions import ActionAnswer, ActionRequest, ActionRequested
from operations.events.commands import ReleaseCommanded, ReleaseOrder

BEGAN_NS = 1_795_000_000 * NANOSECONDS


def at(seconds: float) -> int:
    """Return a time in ns since 1970."""
    return BEGAN_NS + int(seconds * NANOSECONDS)


def requested(
    action_id: str = "act-1", kind: str = "reduce_allocation", seconds: float = 0, **more: Any
) -> ActionRequested:
    """Return the request of an action that has ten seconds to be acknowledged."""
    fields: dict[str, Any] = {
        "episode": "epi-1",
        "scope": "strategy",
        "scope_id": "mean-rev",
        "ack_deadline": rfc3339(at(seconds + 10)),
    }
    if kind == "reduce_allocation":
        fields["allocation_factor"] = Decimal("0.5")
    if "until_seconds" in more:
        fields["until"] = rfc3339(at(more.pop("until_seconds")))
    data = ActionRequest(action_id=action_id, kind=kind, **(fields | more))
    return ActionRequested(
        event_id=f"requested.{action_id}",
        timestamp=rfc3339(at(seconds)),
        actor="watchdogs",
        subject_id=action_id,
        fund_id="alpha",
        data=data,
    )


def released(action_id: str = "act-1", seconds: float = 0, name: str = "") -> ReleaseCommanded:
    """Return a person's order to end an action, void ten minutes later."""
    name = name or f"release.{action_id}.{seconds}"
    data = ReleaseOrder(
        action_id=action_id,
        command_id=name,
        issued_at=rfc3339(at(seconds)),
        expires_at=rfc3339(at(seconds + 600)),
        reason="looked at it",
    )
    return ReleaseCommanded(
        event_id=name,
        timestamp=rfc3339(at(seconds)),
        actor="operator",
        subject_id=action_id,
        data=data,
    )


def answer(oms_id: str, phase: str = "ACKNOWLEDGED", action_id: str = "act-1") -> ActionAnswer:
    """Return what an order system says."""
    return ActionAnswer(oms_id=oms_id, action_id=action_id, phase=phase, reason=None)
