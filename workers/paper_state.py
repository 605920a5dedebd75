"""What the lines of a tape and the answers of the venue make of orders and positions.

One fold for both lives of a desk: while it trades, and while it reads its tape after a crash. Only
while it trades is the gate told, because only then does it not know yet.
"""

from decimal import Decimal

from msgspec.structs import replace

from operations.halt.gate import Gate
from operations.simulation.venue import Answer, Venue
from operations.simulation.writer import quantity
from workers.paper_orders import Canceling, PaperOrder, Scribe
from workers.paper_tape import (
    AmendSent,
    AnyLine,
    CancelSent,
    CancelWanted,
    Capped,
    Dropped,
    Published,
    Quoted,
    Sent,
    Session,
    Started,
    Uncapped,
    Wanted,
)

RETRY_NS = 200_000_000  # until a cancel that the venue refused is sent again


class PaperState:
    """Orders, positions and the venue of one order system."""

    def __init__(self, oms_id: str) -> None:
        self.orders: dict[str, PaperOrder] = {}  # those that have not ended
        self.positions: dict[tuple[str, str], int] = {}  # by account and symbol
        self.exits: set[str] = set()  # ids of exits that were sent, also of those that have ended
        self.capped: dict[str, Capped] = {}  # the actions in force
        self.mids: dict[str, Decimal] = {}  # the middle of the newest quote, in cents
        self.published = 0
        self.scribe = Scribe(oms_id)
        self.venue = Venue()
        self._gate: Gate | None = None

    def go_live(self, gate: Gate) -> None:
        """Tell the gate what is held and what is open, and from now on every change of it."""
        for (account_id, symbol), held in self.positions.items():
            gate.position(account_id, symbol, quantity(held))
        for order in self.orders.values():
            most = max(order.quantity, order.amend[0] if order.amend else 0)
            gate.restore(order.gate_order(), quantity(most - order.filled))
        self._gate = gate

    def apply(self, line: AnyLine) -> None:
        """Fold one line."""
        if isinstance(line, Wanted):
            order = self.orders[line.ticket.order_id] = new_order(line)
            self.scribe.submitted(order, line.at_ns)
        elif isinstance(line, Quoted):
            for quote in line.quotes:
                self.mids[quote.symbol] = Decimal(quote.bid_cents + quote.ask_cents) / 2
                self.venue.quote(quote, line.at_ns)
        elif isinstance(line, Session):
            (self.venue.open if line.is_open else self.venue.close)(line.at_ns)
        elif isinstance(line, Capped):
            self.capped[line.action_id] = line
        elif isinstance(line, Uncapped):
            self.capped.pop(line.action_id, None)
        elif isinstance(line, Published):
            self.published = line.events
        elif isinstance(line, Started):
            self.venue.request_ns, self.venue.answer_ns = line.request_ns, line.answer_ns
        else:
            self._apply_to(self.orders[line.order_id], line)

    def _apply_to(
        self, order: PaperOrder, line: Sent | Dropped | CancelWanted | CancelSent | AmendSent
    ) -> None:
        if isinstance(line, Sent):
            ticket = order.wanted.ticket
            if not order.wanted.at_venue:
                ticket = replace(ticket, stop_cents=None)
            order.stage = "sent"
            if order.wanted.exit_of:
                self.exits.add(order.order_id)
            self.venue.submit(ticket, line.at_ns)
        elif isinstance(line, AmendSent):
            order.amend = (line.quantity, line.limit_cents)
            self.venue.amend(order.order_id, line.quantity, line.limit_cents, line.at_ns)
        elif isinstance(line, CancelSent):
            order.cancel_due_ns = None
            self.venue.cancel(order.order_id, line.at_ns)
        else:
            order.canceling = Canceling(line.reason, line.halt_id)
            order.cancel_due_ns = line.at_ns
            if isinstance(line, Dropped):
                self._end(order)
                self.scribe.canceled(order, line.reason, line.at_ns)
            else:
                self.scribe.cancel_requested(order, line.at_ns)

    def answers(self, now_ns: int) -> list[PaperOrder]:
        """Take what the venue has answered until now; return the orders that it has accepted."""
        accepted = []
        for answer in self.venue.advance(now_ns):
            order = self.orders.get(answer.order_id)
            if order is None:
                continue  # the answer to a cancel that came too late
            self._take(order, answer)
            if answer.kind == "accepted":
                accepted.append(order)
        return [order for order in accepted if not order.ended]

    def _take(self, order: PaperOrder, answer: Answer) -> None:
        if answer.kind == "accepted":
            order.stage = "working"
            self.scribe.accepted(order, answer.at_ns)
            if self._gate:
                self._gate.working(order.order_id)
        elif answer.kind == "filled":
            self._fill(order, answer)
        elif answer.kind in ("amended", "amend_rejected"):
            self._amended(order, answer)
        elif answer.kind == "cancel_rejected":
            order.cancel_due_ns = answer.at_ns + RETRY_NS
        else:
            self._end(order)
            if answer.kind == "expired":
                self.scribe.expired(order, answer.at_ns)
            elif answer.kind == "rejected":
                self.scribe.rejected(order, answer.reason, answer.at_ns)
            else:
                self.scribe.canceled(order, "venue", answer.at_ns)

    def _fill(self, order: PaperOrder, answer: Answer) -> None:
        ticket = order.wanted.ticket
        place = (ticket.account_id, ticket.symbol)
        before = self.positions.get(place, 0)
        after = before + (answer.quantity if ticket.side == "buy" else -answer.quantity)
        self.positions[place] = after
        order.filled += answer.quantity
        if self._gate:
            self._gate.filled(order.order_id, quantity(answer.quantity))
        self.scribe.filled(order, answer, before, after)
        if not order.leaves:
            self._end(order)

    def _amended(self, order: PaperOrder, answer: Answer) -> None:
        taken = answer.kind == "amended"
        if taken and order.amend:
            order.quantity, order.limit_cents = order.amend
            self.scribe.amended(order, answer.at_ns)
        order.amend = None
        if self._gate:
            self._gate.amended(order.order_id, taken=taken)

    def _end(self, order: PaperOrder) -> None:
        order.stage = "ended"
        self.orders.pop(order.order_id, None)
        if self._gate:
            self._gate.ended(order.order_id)


def new_order(wanted: Wanted) -> PaperOrder:
    """Return an order that the gate has accepted."""
    ticket = wanted.ticket
    return PaperOrder(
        wanted=wanted,
        stage="queued" if wanted.at_venue else "armed",
        quantity=ticket.quantity,
        limit_cents=ticket.limit_cents,
    )
