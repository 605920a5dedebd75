"""Actions that made something smaller, and what became of them."""

from decimal import Decimal

from watching import DAY, START_NS, event

from operations.clock import rfc3339
from operations.events.actions import ActionOutcome, ActionRequest, ActionRequested


def asked(number, kind, scope, scope_id, factor=None, action_id="a1", episode="ep"):
    """A request of an action, as a watchdog makes it."""
    request = ActionRequest(
        action_id=action_id, episode=episode, kind=kind, scope=scope, scope_id=scope_id,
        ack_deadline=rfc3339(START_NS), allocation_factor=factor and Decimal(str(factor)),
    )  # fmt: skip
    return event(ActionRequested, action_id, request, number)


def outcome(kind, day, number, action_id="a1"):
    """What became of an action at the end of a day."""
    made = event(kind, action_id, ActionOutcome(action_id=action_id), number)
    return kind(
        event_id=made.event_id, timestamp=rfc3339(START_NS + round(day * DAY)), actor="test",
        subject_id=action_id, data=made.data,
    )  # fmt: skip
