"""Working orders that a halt ends: cancels sent, repeated until the venue confirms, and reported.

Which orders, follows from the gate, so what the venue accepts late is canceled too. Repeats come
more and more rarely, because a closed market refuses cancels until it opens; they go on until every
order has ended, also after the halt was lifted.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from operations.adapters.tasks import end_tasks
from operations.clock import NANOSECONDS, monotonic_ns
from operations.events.actions import ActionRequest
from operations.halt.book import Open, Order

AGAIN_NS = NANOSECONDS
AGAIN_AT_MOST_NS = 30 * NANOSECONDS
TICK_SECONDS = 0.02


class Progress(NamedTuple):
    """How far an order system is with an action: see `OrderSystem.carry_out`."""

    phase: Literal["ACKNOWLEDGED", "COMPLETED", "REFUSED"]
    measured: Decimal | None = None  # part of the size at the start, or an amount in `currency`
    currency: str | None = None
    reason: str = ""


class OrderSystem(Protocol):
    """What an order system does when it is told to. All may be asked again for the same thing.

    Inherit from it: what is not written is refused with its reason, never passed over.
    """

    async def cancel_orders(self, orders: Sequence[Order], halt_id: str) -> None:
        """Send a cancel for each order, and drop those that were not sent to the venue yet.

        Returns when all were sent; `gate.ended` says when one is confirmed.
        """

    async def send_exit(self, order: Order) -> None:
        """Send this order of a flatten on the ordinary path: both checks, then the venue.

        After a restart it may be asked for again. An order id is sent once in its life: an order
        system that has sent it before, in any run, sends nothing.
        """

    async def carry_out(self, actions: Sequence[ActionRequest]) -> Mapping[str, Progress]:
        """Work towards the target of each action, and say by its id how far that is, at once.

        `actions` are all that are in force; one that is not among them any more is over, also
        after a restart. Asked again and again. Every order goes the ordinary way through the gate.
        COMPLETED is for a target that was looked at and holds; what cannot be known is not done.
        """
        reason = "this order system has no means to do it; whoever runs it has to, by hand"
        return {each.action_id: Progress("REFUSED", reason=reason) for each in actions}


class Cancels(Struct, kw_only=True):
    """The cancels of one halt. `find` names the open orders that it concerns now.

    `done` is called once, when everything that was found has ended; `sent` once, when the first
    cancels went out. Times are of the monotonic clock in ns.
    """

    name: str
    halt_id: str
    received_ns: int
    find: Callable[[], tuple[Open, ...]]
    sent: Callable[["Cancels"], None]
    done: Callable[["Cancels"], None]
    orders: dict[str, Order]
    open_before: int = 0
    unknown_in_flight: int = 0
    next_ns: int = 0
    pause_ns: int = AGAIN_NS
    was_sent: bool = False
    was_done: bool = False
    over: bool = False  # nothing more is looked for: the halt was lifted

    @property
    def milliseconds(self) -> float:
        """Time since the halt was received."""
        return (monotonic_ns() - self.received_ns) / 1e6


class Canceller:
    """Carries out all cancels of one order system, each in a task of its own."""

    def __init__(self, system: OrderSystem, is_open: Callable[[str], bool]) -> None:
        self.problem = ""
        self._system = system
        self._is_open = is_open
        self._running: dict[str, Cancels] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, cancels: Cancels) -> None:
        """Begin; what runs under this name already goes on instead."""
        if cancels.name not in self._running:
            self._running[cancels.name] = cancels
            self._tasks[cancels.name] = asyncio.create_task(self._run(cancels))

    def end(self, name: str) -> None:
        """Look for no more orders; what was asked for is asked on until it has ended."""
        if found := self._running.get(name):
            found.over = True

    async def close(self) -> None:
        """Stop everything."""
        await end_tasks(*self._tasks.values())

    async def _run(self, cancels: Cancels) -> None:
        try:
            while not (cancels.over and cancels.was_done):
                left, fresh = self._left(cancels)
                if not left or await self._asked(cancels, left, fresh=fresh):
                    self._report(cancels)
                await asyncio.sleep(TICK_SECONDS)
        finally:
            del self._running[cancels.name], self._tasks[cancels.name]

    def _left(self, cancels: Cancels) -> tuple[tuple[Order, ...], bool]:
        """Return the orders that have not ended, and whether some of them are new."""
        fresh = False
        for entry in () if cancels.over else cancels.find():
            if entry.order.order_id not in cancels.orders:
                cancels.orders[entry.order.order_id] = entry.order
                cancels.unknown_in_flight += entry.stage == "sent"
                fresh = True
        left = tuple(order for name, order in cancels.orders.items() if self._is_open(name))
        if not cancels.was_sent:
            cancels.open_before = len(left)
        return left, fresh

    async def _asked(self, cancels: Cancels, left: Sequence[Order], *, fresh: bool) -> bool:
        """Ask for the cancels when it is time; returns whether all were sent at least once."""
        if not fresh and monotonic_ns() < cancels.next_ns:
            return cancels.was_sent
        cancels.pause_ns = AGAIN_NS if fresh else min(2 * cancels.pause_ns, AGAIN_AT_MOST_NS)
        cancels.next_ns = monotonic_ns() + cancels.pause_ns
        try:
            await self._system.cancel_orders(left, cancels.halt_id)
        except Exception as error:  # noqa: BLE001 (foreign code; its failure must not end this)
            self.problem = f"canceling for halt {cancels.halt_id!r} failed, is repeated: {error!r}"
            return False
        self.problem = ""
        return True

    def _report(self, cancels: Cancels) -> None:
        if not cancels.was_sent:
            cancels.was_sent = True
            cancels.sent(cancels)
        left = any(self._is_open(name) for name in cancels.orders)
        if not left and not cancels.was_done:
            cancels.was_done = True
            cancels.done(cancels)
