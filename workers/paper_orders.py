"""The orders of a paper order system, and the events that say what became of each.

The same orders give the same events with the same ids, also when they are read from the tape
again after a crash: whatever was published twice is once in the stream.
"""

from collections import Counter, deque
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct

from operations.clock import rfc3339
from operations.events.base import Data, Event, derived_id
from operations.events.orders import (
    Cancel,
    CancelReason,
    Fill,
    GateRefusal,
    GateRejected,
    OrderAccepted,
    OrderAmended,
    OrderCanceled,
    OrderCancelRequested,
    OrderExpired,
    OrderFilled,
    OrderPartiallyFilled,
    OrderRejected,
    OrderSubmitted,
    Refusal,
)
from operations.events.orders import Order as OrderData
from operations.events.positions import PositionChange, PositionChanged
from operations.halt.book import Order as GateOrder
from operations.simulation.order_flow import FUNDS, OMS_IDS, Wish, seats
from operations.simulation.venue import Answer, Ticket
from operations.simulation.writer import money, quantity
from workers.paper_tape import Wanted

RULE = "paper-oms/v1"
VENUE = "PAPER"
CURRENCY = "USD"
# An exit names no strategy; what it does to a position is still the strategy's business.
OWNERS = {seat.account_id: seat.strategy_id for oms_id in OMS_IDS for seat in seats(oms_id)}
Stage = Literal["queued", "armed", "sent", "working", "ended"]


class Canceling(Struct, frozen=True):
    """Why an order is to be canceled."""

    reason: CancelReason
    halt_id: str = ""


class PaperOrder(Struct, eq=False):
    """An order and where it stands. `armed`: it sleeps in here until its stop price is reached.

    `canceling` stays until the order has ended, whatever is lifted meanwhile; `cancel_due_ns` is
    when the cancel is sent next, None while the venue has one that it did not answer.
    """

    wanted: Wanted
    stage: Stage
    quantity: int
    limit_cents: int | None
    filled: int = 0
    canceling: Canceling | None = None
    cancel_due_ns: int | None = None
    amend: tuple[int, int | None] | None = None

    @property
    def order_id(self) -> str:
        """Its id for life."""
        return self.wanted.ticket.order_id

    @property
    def ended(self) -> bool:
        """Whether nothing of it can be filled any more."""
        return self.stage == "ended"

    @property
    def leaves(self) -> int:
        """What may still be filled."""
        return 0 if self.ended else self.quantity - self.filled

    def gate_order(self, kind: Literal["new", "amend", "cancel"] = "new") -> GateOrder:
        """Return the question for the gate."""
        wanted, ticket = self.wanted, self.wanted.ticket
        size, limit = self.amend if kind == "amend" and self.amend else (0, None)
        if kind != "amend":
            size, limit = self.quantity, self.limit_cents
        return GateOrder(
            order_id=self.order_id,
            kind=kind,
            strategy_id=wanted.strategy_id,
            fund_id=wanted.fund_id,
            account_id=ticket.account_id,
            symbol=ticket.symbol,
            side=ticket.side,
            quantity=quantity(size),
            limit_price=None if limit is None else money(limit),
            stop_price=None if ticket.stop_cents is None else money(ticket.stop_cents),
            exit_of=wanted.exit_of,
        )

    def terms(self) -> dict[str, Any]:
        """Return the fields that all its events have."""
        ticket, limit = self.wanted.ticket, self.limit_cents
        stop = ticket.stop_cents
        kinds = {(True, True): "market", (False, True): "limit", (True, False): "stop"}
        return {
            "symbol": ticket.symbol,
            "side": ticket.side,
            "quantity": quantity(self.quantity),
            "type": kinds.get((limit is None, stop is None), "stop_limit"),
            "limit_price": None if limit is None else money(limit),
            "stop_price": None if stop is None else money(stop),
            "currency": CURRENCY,
            "time_in_force": ticket.time_in_force,
            "leaves_quantity": quantity(self.leaves),
            "venue": VENUE,
        }


def ticket_of(wish: Wish, order_id: str) -> Ticket:
    """Return the order of a wish as it would go to the venue."""
    return Ticket(
        order_id=order_id,
        account_id=wish.seat.account_id,
        symbol=wish.symbol,
        side=wish.side,
        quantity=wish.quantity,
        limit_cents=wish.limit_cents,
        stop_cents=wish.stop_cents,
        time_in_force=wish.time_in_force,
    )


class Scribe:
    """Writes the events of orders; `events` are to be published in this order."""

    def __init__(self, oms_id: str) -> None:
        self.events: deque[Event] = deque()
        self.refusals: deque[Event] = deque()
        self.written = 0
        self._oms_id = oms_id
        self._counts: Counter[tuple[str, str]] = Counter()

    def submitted(self, order: PaperOrder, at_ns: int) -> None:
        """A strategy wanted it and the gate accepted it."""
        self._say(OrderSubmitted, order, at_ns, OrderData(**order.terms()))

    def accepted(self, order: PaperOrder, at_ns: int) -> None:
        """The venue works it."""
        self._say(OrderAccepted, order, at_ns, OrderData(**order.terms()))

    def amended(self, order: PaperOrder, at_ns: int) -> None:
        """Its quantity and limit are others now."""
        self._say(OrderAmended, order, at_ns, OrderData(**order.terms()))

    def expired(self, order: PaperOrder, at_ns: int) -> None:
        """The session ended and it with it."""
        self._say(OrderExpired, order, at_ns, OrderData(**order.terms()))

    def rejected(self, order: PaperOrder, reason: str, at_ns: int) -> None:
        """The venue refused it."""
        self._say(OrderRejected, order, at_ns, Refusal(reason=reason, **order.terms()))

    def cancel_requested(self, order: PaperOrder, at_ns: int) -> None:
        """Somebody wants it canceled."""
        self._say(OrderCancelRequested, order, at_ns, _cancel(order, "requested"))

    def canceled(self, order: PaperOrder, otherwise: CancelReason, at_ns: int) -> None:
        """It ended by a cancel; `otherwise` is the reason when nobody here asked for it."""
        self._say(OrderCanceled, order, at_ns, _cancel(order, otherwise))

    def filled(self, order: PaperOrder, fill: Answer, before: int, after: int) -> None:
        """A part or the rest of it was executed, and a position changed."""
        execution_id = f"{self._oms_id}.{fill.execution_id}"
        data = Fill(
            price=money(fill.price_cents), last_quantity=quantity(fill.quantity),
            execution_id=execution_id, **order.terms(),
        )  # fmt: skip
        kind = OrderPartiallyFilled if order.leaves else OrderFilled
        event = self._say(kind, order, fill.at_ns, data)
        change = PositionChange(
            symbol=order.wanted.ticket.symbol,
            before_quantity=quantity(before),
            after_quantity=quantity(after),
            cause="order",
            price=money(fill.price_cents),
            currency=CURRENCY,
            execution_id=execution_id,
        )
        self._say(PositionChanged, order, fill.at_ns, change, causation_id=event.event_id)

    def refused(self, order: PaperOrder, code: str, words: str, halt_id: str, at_ns: int) -> None:
        """The gate refused it; `words` say why."""
        data = GateRefusal(
            reason=f"{code}: {words}" if words else code, halt_id=halt_id or None,
            rule_id=code, **order.terms() | {"leaves_quantity": Decimal(0)},
        )  # fmt: skip
        self.refusals.append(self._event(GateRejected, order, at_ns, data, ""))

    def _say(
        self, kind: type[Event], order: PaperOrder, at_ns: int, data: Data, **keys: str
    ) -> Event:
        place = (order.order_id, kind.pattern)
        event_id = derived_id(order.order_id, RULE, kind.pattern, self._counts[place])
        self._counts[place] += 1
        event = self._event(kind, order, at_ns, data, event_id, **keys)
        self.events.append(event)
        self.written += 1
        return event

    def _event(
        self, kind: type[Event], order: PaperOrder, at_ns: int, data: Data, event_id: str,
        **keys: Any,
    ) -> Event:  # fmt: skip
        wanted = order.wanted
        position = kind is PositionChanged
        return kind(
            event_id=event_id,
            timestamp=rfc3339(at_ns),
            actor=self._oms_id,
            subject_id=wanted.ticket.symbol if position else order.order_id,
            environment=FUNDS.get(wanted.fund_id, "live"),
            fund_id=wanted.fund_id,
            strategy_id=wanted.strategy_id or OWNERS.get(wanted.ticket.account_id),
            account_id=wanted.ticket.account_id,
            order_id=order.order_id,
            data=data,
            **keys,
        )


def _cancel(order: PaperOrder, otherwise: CancelReason) -> Cancel:
    canceling = order.canceling or Canceling(otherwise)
    return Cancel(
        cancel_reason=canceling.reason, halt_id=canceling.halt_id or None, **order.terms()
    )
