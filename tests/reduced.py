"""Actions that made something smaller, and what became of them."""

from decimal import Decimal

from msgspec.structs import replace
from watching import DAY, START_NS, event

from operations.clock import rfc3339
from operations.events.actions import (
    ActionAnswer,
    ActionAnswered,
    ActionOutcome,
    ActionReleased,
    ActionRequest,
    ActionRequested,
)


def asked(number, kind, scope, scope_id, factor=None, action_id="a1", episode="ep"):
    """A request of an action, as a watchdog makes it."""
    request = ActionRequest(
        action_id=action_id, episode=episode, kind=kind, scope=scope, scope_id=scope_id,
        ack_deadline=rfc3339(START_NS), allocation_factor=factor and Decimal(str(factor)),
    )  # fmt: skip
    return event(ActionRequested, action_id, request, number)


def answered(phase, day, number, action_id="a1", oms_id="oms-1"):
    """What an order system says about an action at the end of a day."""
    data = ActionAnswer(oms_id=oms_id, action_id=action_id, phase=phase)
    return _at(day, event(ActionAnswered, action_id, data, number))


def released(day, number, action_id="a1"):
    """A person ended an action at the end of a day."""
    data = ActionOutcome(action_id=action_id)
    return _at(day, event(ActionReleased, action_id, data, number))


def _at(day, made):
    return replace(made, timestamp=rfc3339(START_NS + round(day * DAY)))
