"""What became of each order: said by the order system, counted for the gate.

Methods are for any thread. Saying too much changes nothing: an order that has ended stays ended,
and an order that nobody knows is passed over, except a fill of one, which moves a position.
"""

from collections.abc import Collection
from decimal import Decimal
from threading import RLock

from operations.halt.book import Book, Line, Open, Order


class Tracked:
    """The book of one order system behind a lock."""

    def __init__(self) -> None:
        self.book = Book()
        self._lock = RLock()

    def working(self, order_id: str) -> None:
        """Say that the venue works an order."""
        with self._lock:
            if entry := self.book.open.get(order_id):
                entry.stage = "working"

    def filled(self, order_id: str, quantity: Decimal) -> None:
        """Say that an order was filled, in units. Raises Rejected for an unknown order.

        A quantity that is no number makes the position unknown: nothing reduces it until `position`
        states it anew.
        """
        with self._lock:
            self.book.fill(order_id, quantity)
            entry = self.book.open.get(order_id)
            if entry is not None and entry.exposed <= 0:
                self.book.end(order_id)

    def amended(self, order_id: str, *, taken: bool) -> None:
        """Say what the venue made of an amend: taken, or refused so that the order stands."""
        with self._lock:
            self.book.settle(order_id, taken=taken)

    def ended(self, order_id: str) -> None:
        """Say that nothing of an order can be filled any more. Repeating it changes nothing."""
        with self._lock:
            self.book.end(order_id)

    def position(self, account_id: str, symbol: str, quantity: Decimal) -> None:
        """State a position in units, below zero for short; raises Rejected for no number."""
        with self._lock:
            self.book.state(account_id, symbol, quantity)

    def restore(self, order: Order, leaves: Decimal) -> None:
        """Count an order that works at the venue since before this start, with what is left."""
        with self._lock:
            if not self.book.ended(order.order_id) and order.order_id not in self.book.open:
                self.book.add(order, leaves, "working")

    def lines(self, account_ids: Collection[str]) -> tuple[Line, ...]:
        """Return the books of some accounts."""
        with self._lock:
            return tuple(line for line in self.book if line.account_id in account_ids)

    def open_of(self, account_ids: Collection[str]) -> tuple[Open, ...]:
        """Return the open orders of some accounts, oldest first."""
        with self._lock:
            every = self.book.open.values()
            return tuple(entry for entry in every if entry.order.account_id in account_ids)

    def is_open(self, order_id: str) -> bool:
        """Whether something of an order may still be filled."""
        return order_id in self.book.open
