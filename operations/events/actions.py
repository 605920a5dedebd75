"""What is asked of strategies and order systems when a halt is too much, and what came of it.

Targets are absolute, so asking twice changes nothing; the expiry is part of the request.
"""

from decimal import Decimal
from typing import Annotated, Literal

from operations.events.base import Currency, Data, Event, Id, Money, Timestamp, Token, doc


class ActionRequest(Data, frozen=True, kw_only=True):
    """What is to be done, to whom, until when. Every kind only ever reduces risk."""

    action_id: Annotated[Id, doc("Id of the action; doing one twice changes nothing.")]
    episode: Annotated[Id, doc("Episode of findings that it answers.")]
    kind: Annotated[
        Literal["reduce_allocation", "shadow", "hedge", "reduce_gross", "throttle", "cooldown"],
        doc("What is to be done."),
    ]
    scope: Annotated[Literal["instrument", "strategy", "fund", "firm"], doc("Kind of scope_id.")]
    scope_id: Annotated[Id, doc("To what it is to be done.")]
    ack_deadline: Annotated[Timestamp, doc("When it is escalated if nobody answered.")]
    until: Annotated[Timestamp | None, doc("When it ends; null: only a person ends it.")] = None
    allocation_factor: Annotated[
        Decimal | None, doc("Part of the size at the start of the episode, as a fraction.")
    ] = None
    gross_at_most: Annotated[Money | None, doc("Highest gross exposure, in `currency`.")] = None
    theta_per_day_at_most: Annotated[
        Money | None, doc("Highest absolute theta per calendar day, in `currency`.")
    ] = None
    orders_per_minute_at_most: Annotated[int | None, doc("Highest rate of new orders.")] = None
    currency: Annotated[Currency | None, doc("Currency of the amounts.")] = None
    check: Annotated[Token | None, doc("Check that asks for it.")] = None
    done_deadline: Annotated[
        Timestamp | None, doc("When it is escalated where it is not completed.")
    ] = None


class ActionRequested(Event, frozen=True, kw_only=True):
    """An action is asked for."""

    pattern = "mts.v1.operations.action.requested"
    data: ActionRequest


class ActionAnswer(Data, frozen=True, kw_only=True):
    """What one order system does about an action."""

    oms_id: Annotated[Token, doc("Order system.")]
    action_id: Annotated[Id, doc("Action that it is about.")]
    phase: Annotated[
        Literal["ACKNOWLEDGED", "COMPLETED", "REFUSED"],
        doc("It will do it; the target was looked at and holds; it will not do it."),
    ]
    measured: Annotated[
        Decimal | None,
        doc("What was looked at: part of the size at the start, gross or theta in `currency`."),
    ] = None
    currency: Annotated[Currency | None, doc("Currency of an amount.")] = None
    reason: Annotated[str | None, doc("Why it is refused, in words.")] = None


class ActionAnswered(Event, frozen=True, kw_only=True):
    """An order system says how far it is with an action."""

    pattern = "mts.v1.operations.action.answered.{data.oms_id}"
    data: ActionAnswer


class ActionOutcome(Data, frozen=True, kw_only=True):
    """Where an action stands."""

    action_id: Annotated[Id, doc("Action that it is about.")]
    reason: Annotated[str | None, doc("Why, in words.")] = None


class ActionAcknowledged(Event, frozen=True, kw_only=True):
    """Somebody will do it; in old logs, today `action.answered.<oms_id>`."""

    pattern = "mts.v1.operations.action.acknowledged"
    data: ActionOutcome


class ActionCompleted(Event, frozen=True, kw_only=True):
    """It is done; in old logs, today `action.answered.<oms_id>`."""

    pattern = "mts.v1.operations.action.completed"
    data: ActionOutcome


class ActionRefused(Event, frozen=True, kw_only=True):
    """It will not be done; in old logs, today `action.answered.<oms_id>`."""

    pattern = "mts.v1.operations.action.refused"
    data: ActionOutcome


class ActionExpired(Event, frozen=True, kw_only=True):
    """Its time is over."""

    pattern = "mts.v1.operations.action.expired"
    data: ActionOutcome


class ActionReleased(Event, frozen=True, kw_only=True):
    """A person ended it, and why."""

    pattern = "mts.v1.operations.action.released"
    data: ActionOutcome
