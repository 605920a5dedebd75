"""What became of orders that need a second person."""

from typing import Annotated, Literal

from operations.events.base import Currency, Data, Event, Id, Money, Quantity, Timestamp, doc


class ApprovalRequest(Data, frozen=True, kw_only=True):
    """An order that waits, bound to its hash."""

    approval_id: Annotated[Id, doc("Id of the approval.")]
    order_sha256: Annotated[str, doc("SHA-256 of the order, hexadecimal.")]
    symbol: Annotated[Id, doc("Instrument.")]
    side: Annotated[Literal["buy", "sell"], doc("Buy or sell.")]
    quantity: Annotated[Quantity, doc("Quantity of the order, in units of the instrument.")]
    notional: Annotated[Money, doc("Size of the order, in `currency`.")]
    currency: Annotated[Currency, doc("Currency of the notional.")]
    submitted_by: Annotated[Id, doc("Who submitted the order.")]
    expires_at: Annotated[Timestamp, doc("When silence means no.")]


class ApprovalRequested(Event, frozen=True, kw_only=True):
    """An order waits for a second person."""

    pattern = "mts.v1.operations.approval.requested"
    data: ApprovalRequest


class ApprovalOutcome(Data, frozen=True, kw_only=True):
    """What became of a waiting order."""

    approval_id: Annotated[Id, doc("Approval that it is about.")]
    order_sha256: Annotated[str, doc("SHA-256 of the order, hexadecimal.")]
    decided_by: Annotated[Id | None, doc("Person who decided; null when nobody did.")] = None
    reason: Annotated[str | None, doc("Why, in words.")] = None
    halt_id: Annotated[Id | None, doc("Halt that voided it.")] = None


class ApprovalGranted(Event, frozen=True, kw_only=True):
    """A second person said yes."""

    pattern = "mts.v1.operations.approval.granted"
    data: ApprovalOutcome


class ApprovalDenied(Event, frozen=True, kw_only=True):
    """A second person said no."""

    pattern = "mts.v1.operations.approval.denied"
    data: ApprovalOutcome


class ApprovalExpired(Event, frozen=True, kw_only=True):
    """Nobody answered in time, which means no."""

    pattern = "mts.v1.operations.approval.expired"
    data: ApprovalOutcome


class ApprovalConsumed(Event, frozen=True, kw_only=True):
    """The approved order was sent; the approval is used up."""

    pattern = "mts.v1.operations.approval.consumed"
    data: ApprovalOutcome


class ApprovalVoided(Event, frozen=True, kw_only=True):
    """A halt or a withdrawal ended it before it was used."""

    pattern = "mts.v1.operations.approval.voided"
    data: ApprovalOutcome
