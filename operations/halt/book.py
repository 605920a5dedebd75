"""What is held and what is on its way: positions and open orders, one book per account and symbol.

Whether an order reduces is a question of arithmetic over three sums: the position, what open
orders may still buy, and what they may still sell. An order counts from the moment it is accepted
until it has ended, also while nobody knows whether the venue has it: so ten closing orders in
flight never close the same position ten times. Positions that nobody stated count as flat, and
from flat nothing reduces.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal, NamedTuple

from msgspec import Struct

from operations.errors import Rejected
from operations.events.orders import Side

Kind = Literal["new", "amend", "cancel"]
Stage = Literal["accepted", "sent", "working"]
ZERO = Decimal(0)
ENDED_KEPT = 100_000  # a late fill still finds its order, and an old id opens none


class Order(Struct, frozen=True, kw_only=True, gc=False):
    """What an order system wants to do, as it stands when the gate is asked.

    `order_id` names the order for life: an amend or a cancel carries that of the order it is
    about. `quantity` is that of the whole order, in units of the instrument. `exit_of` is the id
    of the halt under which a signed flatten or emergency exit is carried out, else empty.
    A cancel needs nothing but the id.
    """

    order_id: str
    kind: Kind = "new"
    strategy_id: str = ""
    fund_id: str = ""
    account_id: str = ""
    symbol: str = ""
    side: Side = "buy"
    quantity: Decimal = ZERO
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    exit_of: str = ""


class Open(Struct, gc=False):
    """An order that has not ended. `leaves` is what may still be filled, in units."""

    order: Order
    leaves: Decimal
    stage: Stage
    filled: Decimal = ZERO
    amend: Order | None = None
    amend_sent: bool = False

    @property
    def exposed(self) -> Decimal:
        """What may be filled whatever the venue says to a pending amend, in units."""
        if self.amend is None:
            return self.leaves
        return max(self.leaves, self.amend.quantity - self.filled)


class Sums(Struct, gc=False):
    """The book of one account and symbol. `position` is None while it cannot be known."""

    position: Decimal | None = ZERO
    buys: Decimal = ZERO
    sells: Decimal = ZERO


class Line(NamedTuple):
    """One book, to be shown or counted."""

    account_id: str
    symbol: str
    position: Decimal | None
    buys: Decimal
    sells: Decimal


class Book:
    """All positions and open orders of one order system. Not thread-safe: the gate locks."""

    def __init__(self) -> None:
        self.open: dict[str, Open] = {}
        self._ended: dict[str, Open] = {}
        self._sums: dict[tuple[str, str], Sums] = {}

    def __iter__(self) -> Iterator[Line]:
        """Go through all books, in the order in which they were opened."""
        for (account_id, symbol), sums in self._sums.items():
            yield Line(account_id, symbol, sums.position, sums.buys, sums.sells)

    def ended(self, order_id: str) -> bool:
        """Whether an order of this id has ended; the last hundred thousand are known."""
        return order_id in self._ended

    def room(self, account_id: str, symbol: str, side: Side, own: Decimal = ZERO) -> Decimal:
        """Return how much may be bought or sold before the position is flat, in units.

        Net of all open orders of that side but `own`, the exposed quantity of the order in
        question. 0 where there is nothing to reduce, and where the position cannot be known.
        """
        sums = self._sums.get((account_id, symbol))
        if sums is None or sums.position is None:
            return ZERO
        if side == "sell":
            room = sums.position - (sums.sells - own)
        else:
            room = -sums.position - (sums.buys - own)
        return room if room > 0 else ZERO

    def add(self, order: Order, leaves: Decimal, stage: Stage) -> None:
        """Count a new order."""
        filled = ZERO if leaves is order.quantity else order.quantity - leaves
        self.open[order.order_id] = Open(order, leaves, stage, filled)
        self._count(order, leaves)

    def end(self, order_id: str) -> Open | None:
        """Stop counting an order: filled, canceled, expired, rejected or never sent."""
        entry = self.open.pop(order_id, None)
        if entry is not None:
            self._count(entry.order, -entry.exposed)
            entry.leaves, entry.amend = ZERO, None
            self._ended[order_id] = entry
            if len(self._ended) > ENDED_KEPT:
                del self._ended[next(iter(self._ended))]
        return entry

    def fill(self, order_id: str, quantity: Decimal) -> Order:
        """Move a position by a fill; raises Rejected for an unknown order or a wrong quantity.

        Fills may come after the end of an order and may be larger than what was left of it: what
        happened at the venue counts, whatever was expected.
        """
        entry = self.open.get(order_id) or self._ended.get(order_id)
        if entry is None:
            raise Rejected(
                f"a fill of the unknown order {order_id!r}; state the position of its account and "
                "symbol with `position`"
            )
        order = entry.order
        sums = self._sums_of(order.account_id, order.symbol)
        if not isinstance(quantity, Decimal) or not quantity.is_finite() or quantity <= ZERO:
            sums.position = None
            raise Rejected(
                f"a fill of {quantity!r} of order {order_id!r}: the position in {order.symbol} is "
                "unknown now; state it with `position`"
            )
        if sums.position is not None:
            sums.position += quantity if order.side == "buy" else -quantity
        if order_id in self.open:
            before = entry.exposed
            entry.filled += quantity
            entry.leaves = max(ZERO, entry.leaves - quantity)
            self._count(order, entry.exposed - before)
        return order

    def amend(self, order_id: str, amend: Order) -> None:
        """Count an amend that may take effect; the order keeps what it had until it does."""
        entry = self.open[order_id]
        before = entry.exposed
        entry.amend, entry.amend_sent = amend, False
        self._count(entry.order, entry.exposed - before)

    def settle(self, order_id: str, *, taken: bool) -> None:
        """End a pending amend: the venue took it, or the order stands as it stood."""
        entry = self.open.get(order_id)
        if entry is None or entry.amend is None:
            return
        before, amend = entry.exposed, entry.amend
        entry.amend = None
        if taken:
            entry.order = Order(
                **{name: getattr(entry.order, name) for name in _FIXED},
                quantity=amend.quantity,
                limit_price=amend.limit_price,
                stop_price=amend.stop_price,
            )
            entry.leaves = max(ZERO, amend.quantity - entry.filled)
        self._count(entry.order, entry.exposed - before)

    def state(self, account_id: str, symbol: str, position: Decimal) -> None:
        """State a position, as the broker has it; raises Rejected unless it is a finite number."""
        if not isinstance(position, Decimal) or not position.is_finite():
            self._sums_of(account_id, symbol).position = None
            raise Rejected(f"{position!r} is no position in {symbol} of account {account_id!r}")
        self._sums_of(account_id, symbol).position = position

    def increasing(self) -> tuple[Open, ...]:
        """Return the open orders that could make a position larger or turn it over.

        Of the orders that close, the oldest count as protective as far as the position goes.
        """
        left: dict[tuple[str, str, Side], Decimal] = {}
        found = []
        for entry in self.open.values():
            order = entry.order
            key = (order.account_id, order.symbol, order.side)
            if key not in left:
                own = self._side(order)
                left[key] = self.room(order.account_id, order.symbol, order.side, own)
            left[key] -= entry.exposed
            if left[key] < 0:
                left[key] += entry.exposed
                found.append(entry)
        return tuple(found)

    def _side(self, order: Order) -> Decimal:
        sums = self._sums_of(order.account_id, order.symbol)
        return sums.sells if order.side == "sell" else sums.buys

    def _count(self, order: Order, change: Decimal) -> None:
        sums = self._sums.get((order.account_id, order.symbol))
        if sums is None:
            sums = self._sums_of(order.account_id, order.symbol)
        if order.side == "sell":
            sums.sells += change
        else:
            sums.buys += change

    def _sums_of(self, account_id: str, symbol: str) -> Sums:
        sums = self._sums.get((account_id, symbol))
        if sums is None:
            sums = self._sums[(account_id, symbol)] = Sums()
        return sums


_FIXED = ("order_id", "kind", "strategy_id", "fund_id", "account_id", "symbol", "side", "exit_of")
