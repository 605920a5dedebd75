"""A venue in memory: orders arrive after a delay and match by price, then by time.

What comes out follows from what was put in and when, never from how often somebody looks: every
request and quote has its time, and `advance` does what is due in the order of these times. So who
keeps the requests and plays them again has the same venue again, with its orders and positions.

Times are nanoseconds of one clock and never go back; prices are cents, quantities whole units.
"""

import heapq
from bisect import insort
from collections.abc import Callable, Iterator
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from operations.errors import Rejected

Side = Literal["buy", "sell"]
AnswerKind = Literal[
    "accepted", "rejected", "filled", "amended", "amend_rejected", "canceled", "cancel_rejected",
    "expired",
]  # fmt: skip
CLOSED = "the market is closed"


class Ticket(Struct, frozen=True, kw_only=True):
    """An order as it is sent: at the market without a limit; asleep until its stop price if any."""

    order_id: str
    account_id: str
    symbol: str
    side: Side
    quantity: int
    limit_cents: int | None = None
    stop_cents: int | None = None
    time_in_force: Literal["day", "gtc", "ioc"] = "day"


class Quote(Struct, frozen=True, kw_only=True):
    """What everybody else at the venue bids and offers for one instrument."""

    symbol: str
    bid_cents: int
    bid_size: int
    ask_cents: int
    ask_size: int


class Answer(Struct, frozen=True, kw_only=True):
    """What the venue says about an order. `quantity` and `price_cents` are those of one fill.

    `leaves` is what may still be filled. A market that is closed refuses new orders, amends and
    cancels: what must be gone has to be canceled again when it opens.
    """

    kind: AnswerKind
    order_id: str
    at_ns: int
    leaves: int = 0
    quantity: int = 0
    price_cents: int = 0
    execution_id: str = ""
    reason: str = ""


class Resting(Struct, eq=False):
    """An order at the venue. `place` numbers arrivals: of two at one price the lower trades first.

    `limit_cents` is None only while it sleeps until its stop price or is being matched.
    """

    ticket: Ticket
    leaves: int
    limit_cents: int | None
    place: int

    @property
    def rank(self) -> tuple[int, int]:
        """Its priority on its side; the lowest trades first."""
        limit = self.limit_cents or 0
        return (-limit if self.ticket.side == "buy" else limit, self.place)


class _Level(Struct):
    """One side of the quote: it trades like an order of nobody in particular."""

    cents: int
    size: int
    place: int


class _Market:
    """The orders of one instrument: resting by rank, sleeping by arrival, and the quote."""

    def __init__(self) -> None:
        self.resting: dict[Side, list[Resting]] = {"buy": [], "sell": []}
        self.sleeping: list[Resting] = []
        self.quoted: dict[Side, _Level] = {}


class Venue:
    """Every market of the venue.

    A request needs `request_ns` to arrive, an answer `answer_ns`; what is on its way stays so when
    these change.
    """

    def __init__(self, *, request_ns: int = 0, answer_ns: int = 0) -> None:
        self.positions: dict[tuple[str, str], int] = {}  # by account and symbol: what is held
        self.is_open = True
        self.request_ns = request_ns
        self.answer_ns = answer_ns
        self._markets: dict[str, _Market] = {}
        self._orders: dict[str, Resting] = {}
        self._seen: set[str] = set()
        self._due: list[tuple[int, int, Callable[[int], None]]] = []
        self._answers: list[tuple[int, int, Answer]] = []
        self._count = 0
        self._executions = 0
        self._now_ns = 0

    def submit(self, ticket: Ticket, at_ns: int) -> None:
        """Send an order. Raises Rejected for one that no venue could read."""
        if ticket.quantity < 1 or min(ticket.limit_cents or 1, ticket.stop_cents or 1) < 1:
            raise Rejected(f"order {ticket.order_id} has a quantity or price below 1: {ticket}")
        self._plan(at_ns + self.request_ns, lambda now: self._arrive(ticket, now))

    def cancel(self, order_id: str, at_ns: int) -> None:
        """Ask to cancel an order; it may be filled before this arrives."""
        self._plan(at_ns + self.request_ns, lambda now: self._cancel(order_id, now))

    def amend(self, order_id: str, quantity: int, limit_cents: int | None, at_ns: int) -> None:
        """Ask for another quantity (of the whole order) and limit; a refusal changes nothing."""
        self._plan(
            at_ns + self.request_ns, lambda now: self._amend(order_id, quantity, limit_cents, now)
        )

    def quote(self, quote: Quote, at_ns: int) -> None:
        """Let everybody else bid and offer this from now on; nothing while the market is closed."""
        self._plan(at_ns, lambda now: self._quote(quote, now))

    def open(self, at_ns: int) -> None:
        """Begin a session: what rests from the last one trades again."""
        self._plan(at_ns, self._open)

    def close(self, at_ns: int) -> None:
        """End the session: orders for the day expire, good-till-canceled ones stay."""
        self._plan(at_ns, self._close)

    def advance(self, now_ns: int) -> list[Answer]:
        """Do what is due until now; return the answers that have come back, in order."""
        while self._due and self._due[0][0] <= now_ns:
            at_ns, _, step = heapq.heappop(self._due)
            self._now_ns = max(self._now_ns, at_ns)
            step(at_ns)
        self._now_ns = max(self._now_ns, now_ns)
        back = []
        while self._answers and self._answers[0][0] <= now_ns:
            back.append(heapq.heappop(self._answers)[2])
        return back

    def next_ns(self) -> int | None:
        """When the next thing is due; None when nothing is on its way."""
        heads = [heap[0][0] for heap in (self._due, self._answers) if heap]
        return min(heads, default=None)

    def working(self, account_id: str = "") -> list[Ticket]:
        """Return the orders that are at the venue, of an account or all, in order of arrival.

        What is still on its way is not among them.
        """
        orders = sorted(self._orders.values(), key=lambda each: each.place)
        return [each.ticket for each in orders if account_id in ("", each.ticket.account_id)]

    def touch(self, symbol: str, side: Side) -> int | None:
        """Price in cents that an order of this side meets in the quote; None without one."""
        level = self._market(symbol).quoted.get(_other(side))
        return None if level is None else level.cents

    def _plan(self, at_ns: int, step: Callable[[int], None]) -> None:
        # A request that would arrive in the past arrives now: answers never change afterwards.
        self._count += 1
        heapq.heappush(self._due, (max(at_ns, self._now_ns), self._count, step))

    def _say(self, kind: AnswerKind, order_id: str, now: int, **more: int | str) -> None:
        self._count += 1
        answer = Answer(kind=kind, order_id=order_id, at_ns=now, **more)  # type: ignore[arg-type]
        heapq.heappush(self._answers, (now + self.answer_ns, self._count, answer))

    def _market(self, symbol: str) -> _Market:
        return self._markets.setdefault(symbol, _Market())

    def _arrive(self, ticket: Ticket, now: int) -> None:
        reason = "" if self.is_open else CLOSED
        if ticket.order_id in self._seen:
            reason = "there was an order with this id before"
        if reason:
            self._say("rejected", ticket.order_id, now, reason=reason)
            return
        self._seen.add(ticket.order_id)
        self._count += 1
        order = Resting(ticket, ticket.quantity, ticket.limit_cents, self._count)
        self._orders[ticket.order_id] = order
        self._say("accepted", ticket.order_id, now, leaves=order.leaves)
        if ticket.stop_cents is not None and not self._wakes(order):
            self._market(ticket.symbol).sleeping.append(order)
            return
        self._match(order, now)

    def _cancel(self, order_id: str, now: int) -> None:
        order = self._orders.get(order_id)
        if order is None or not self.is_open:
            reason = CLOSED if order else "there is no such order, or it has ended"
            self._say("cancel_rejected", order_id, now, reason=reason)
            return
        self._remove(order)
        self._say("canceled", order_id, now, reason="requested")

    def _amend(self, order_id: str, quantity: int, limit_cents: int | None, now: int) -> None:
        order = self._orders.get(order_id)
        filled = 0 if order is None else order.ticket.quantity - order.leaves
        if order is None or not self.is_open or quantity <= filled:
            reason = CLOSED if order and not self.is_open else "there is nothing left to amend"
            self._say("amend_rejected", order_id, now, reason=reason)
            return
        self._remove(order)
        keeps = limit_cents == order.limit_cents and quantity - filled <= order.leaves
        order.ticket = replace(order.ticket, quantity=quantity, limit_cents=limit_cents)
        order.leaves, order.limit_cents = quantity - filled, limit_cents
        if not keeps:  # who asks for more or for another price stands at the end of the line again
            self._count += 1
            order.place = self._count
        self._orders[order_id] = order
        self._say("amended", order_id, now, leaves=order.leaves)
        if order.ticket.stop_cents is not None and not self._wakes(order):
            self._market(order.ticket.symbol).sleeping.append(order)
        else:
            self._match(order, now)

    def _quote(self, quote: Quote, now: int) -> None:
        if not self.is_open:
            return
        market = self._market(quote.symbol)
        self._count += 1
        market.quoted = {
            "buy": _Level(quote.bid_cents, quote.bid_size, self._count),
            "sell": _Level(quote.ask_cents, quote.ask_size, self._count),
        }
        for side in ("buy", "sell"):
            for order in list(self._met(market, side)):
                level = market.quoted[_other(side)]
                size = min(order.leaves, level.size)
                level.size -= size
                self._fill(order, size, order.limit_cents or level.cents, now)
        for order in [each for each in market.sleeping if self._wakes(each)]:
            market.sleeping.remove(order)
            order.ticket = replace(order.ticket, stop_cents=None)  # from now on an ordinary order
            self._match(order, now)

    def _met(self, market: _Market, side: Side) -> Iterator[Resting]:
        """Orders of a side that the quote meets, best first, while the quote has something left."""
        level = market.quoted[_other(side)]
        for order in list(market.resting[side]):
            if not level.size or not _agrees(order, level.cents):
                return
            yield order

    def _wakes(self, order: Resting) -> bool:
        ticket = order.ticket
        level = self._market(ticket.symbol).quoted.get(_other(ticket.side))
        if level is None or ticket.stop_cents is None:
            return False
        if ticket.side == "buy":
            return level.cents >= ticket.stop_cents
        return level.cents <= ticket.stop_cents

    def _match(self, order: Resting, now: int) -> None:
        """Trade an order against what stands on the other side; the rest of it stays or ends."""
        market, ticket = self._market(order.ticket.symbol), order.ticket
        other = _other(ticket.side)
        while order.leaves:
            best = next(iter(market.resting[other]), None)
            level = market.quoted.get(other)
            if level is not None and (not level.size or not _agrees(order, level.cents)):
                level = None
            if best is not None and not _agrees(order, best.limit_cents or 0):
                best = None
            if best is not None and (level is None or best.rank < _rank(level, other)):
                if best.ticket.account_id == ticket.account_id:
                    self._end(order, "canceled", now, "it would trade with its own account")
                    return
                size, price = min(order.leaves, best.leaves), best.limit_cents or 0
                self._fill(best, size, price, now)
            elif level is not None:
                size, price = min(order.leaves, level.size), level.cents
                level.size -= size
            else:
                break
            self._fill(order, size, price, now)
        if not order.leaves:
            return
        if order.limit_cents is None or ticket.time_in_force == "ioc":
            self._end(order, "canceled", now, "nothing more to trade with")
        else:
            insort(market.resting[ticket.side], order, key=lambda each: each.rank)

    def _fill(self, order: Resting, size: int, price_cents: int, now: int) -> None:
        ticket = order.ticket
        held = (ticket.account_id, ticket.symbol)
        signed = size if ticket.side == "buy" else -size
        self.positions[held] = self.positions.get(held, 0) + signed
        order.leaves -= size
        self._executions += 1
        if not order.leaves:
            self._remove(order)
        self._say(
            "filled", ticket.order_id, now, leaves=order.leaves, quantity=size,
            price_cents=price_cents, execution_id=f"exe-{self._executions}",
        )  # fmt: skip

    def _open(self, _now: int) -> None:
        self.is_open = True

    def _close(self, now: int) -> None:
        self.is_open = False
        for order in sorted(self._orders.values(), key=lambda each: each.place):
            if order.ticket.time_in_force != "gtc":
                self._end(order, "expired", now, "the session is over")
        for market in self._markets.values():
            market.quoted = {}

    def _end(self, order: Resting, kind: AnswerKind, now: int, reason: str) -> None:
        self._remove(order)
        self._say(kind, order.ticket.order_id, now, reason=reason)

    def _remove(self, order: Resting) -> None:
        market = self._market(order.ticket.symbol)
        self._orders.pop(order.ticket.order_id, None)
        for orders in (market.resting[order.ticket.side], market.sleeping):
            if order in orders:
                orders.remove(order)


def _other(side: Side) -> Side:
    return "sell" if side == "buy" else "buy"


def _agrees(order: Resting, cents: int) -> bool:
    """Whether an order may trade at a price."""
    if order.limit_cents is None:
        return True
    return cents <= order.limit_cents if order.ticket.side == "buy" else cents >= order.limit_cents


def _rank(level: _Level, side: Side) -> tuple[int, int]:
    return (-level.cents if side == "buy" else level.cents, level.place)
