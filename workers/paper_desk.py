"""The desk of a paper order system: every order asks the gate twice, and cancels go on until done.

What is decided becomes a line of the tape, and only lines change anything. So a desk that was
killed reads its tape and goes on where it was: orders in flight, cancels that nobody confirmed,
exits of a flatten. Nothing is sent twice, because what was sent is known.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from operations.adapters.steps import Step, onward
from operations.events.orders import CancelReason
from operations.halt.book import Order as GateOrder
from operations.halt.gate import Gate
from operations.halt.state import Scope
from operations.halt.verdicts import Denial
from operations.simulation.order_flow import Seat, Wish
from operations.simulation.venue import Quote, Side, Ticket
from workers.paper_orders import Canceling, PaperOrder, ticket_of
from workers.paper_state import PaperState, new_order
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
    Tape,
    Uncapped,
    Wanted,
)


class Desk:
    """The orders and positions of one order system. Call `look` first whenever time has passed."""

    def __init__(self, oms_id: str, run: str, tape: Tape, gate: Gate, at: Step = onward) -> None:
        self._state = PaperState(oms_id)
        self.scribe = self._state.scribe
        self._prefix = f"{oms_id}.{run}"
        self._count = 0
        self._tape = tape
        self._gate = gate
        self._at = at
        self._now = 0

    @property
    def orders(self) -> Mapping[str, PaperOrder]:
        """The orders that have not ended, by id."""
        return self._state.orders

    @property
    def positions(self) -> Mapping[tuple[str, str], int]:
        """What is held, by account and symbol."""
        return self._state.positions

    @property
    def capped(self) -> Mapping[str, Capped]:
        """What actions allow, by their id."""
        return self._state.capped

    @property
    def mids(self) -> Mapping[str, Decimal]:
        """The middle of the newest quote of each symbol, in cents."""
        return self._state.mids

    @property
    def now_ns(self) -> int:
        """The time of the last look, in ns since 1970."""
        return self._now

    @property
    def published(self) -> int:
        """How many of its events are in the stream, as far as the tape knows."""
        return self._state.published

    # Time.

    def restore(self, now_ns: int, request_ns: int, answer_ns: int) -> None:
        """Read the tape and tell the gate what is held and what is open.

        From now on a message to the venue and one from it takes so long, in ns, at least 1.
        """
        for line in self._tape.read():
            self._state.answers(line.at_ns)
            self._state.apply(line)
        self._now = max(now_ns, self._tape.last_ns)
        self._state.answers(self._now)
        # Before the gate hears of them: an exit among them has to be asked for again.
        for order in [each for each in self.orders.values() if each.stage == "queued"]:
            self._drop(order, Canceling("risk"))
        self._state.go_live(self._gate)
        self._write(Started(at_ns=self._now, request_ns=request_ns, answer_ns=answer_ns))
        self.look(now_ns)
        for _ in range(self._state.published):
            self.scribe.events.popleft()

    def look(self, now_ns: int) -> None:
        """Take what the venue has answered until now, and do what follows from it."""
        self._now = max(now_ns, self._tape.last_ns, self._now)
        for order in self._state.answers(self._now):
            if not order.wanted.exit_of and order.canceling is None and self._is_halted(order):
                self._want_cancel(order, Canceling("halt", self._halt_id(order)))
        for order in list(self.orders.values()):
            if order.stage == "working" and (order.cancel_due_ns or self._now + 1) <= self._now:
                self._write(CancelSent(at_ns=self._now, order_id=order.order_id))

    # What strategies and the market want.

    def quote(self, quotes: Sequence[Quote]) -> None:
        """Let the market move; stops that are kept in here wake up and face the gate."""
        self._write(Quoted(at_ns=self._now, quotes=tuple(quotes)))
        touched = {quote.symbol: quote for quote in quotes}
        for order in [each for each in self.orders.values() if each.stage == "armed"]:
            quote = touched.get(order.wanted.ticket.symbol)
            if quote is not None and _wakes(order.wanted.ticket, quote):
                self._send(order)

    def want(self, wish: Wish) -> Denial | None:
        """Take a wish of a strategy; returns why the gate refused it, None when it did not."""
        if wish.kind == "new":
            self._count += 1
            ticket = ticket_of(wish, f"{self._prefix}.{self._count}")
            at_venue = wish.stop_cents is None or wish.at_venue
            return self._accept(ticket, wish.seat.strategy_id, wish.seat.fund_id, at_venue=at_venue)
        order = self.orders.get(wish.order_id)
        if order is None or order.canceling:
            return None
        if wish.kind == "cancel":
            self._cancel(order, Canceling("strategy"))
            return None
        return self._amend(order, wish.quantity, wish.limit_cents)

    def send_queued(self) -> None:
        """Send what the gate accepted; each order faces it once more, as the last thing."""
        for order in [each for each in self.orders.values() if each.stage == "queued"]:
            self._send(order)

    def reduce(self, owner: Seat, symbol: str, side: Side, size: int, action_id: str) -> bool:
        """Work a position down for an action, at the market; returns whether the gate let it."""
        self._count += 1
        ticket = Ticket(
            order_id=f"{self._prefix}.{self._count}",
            account_id=owner.account_id,
            symbol=symbol,
            side=side,
            quantity=size,
        )
        denial = self._accept(
            ticket, owner.strategy_id, owner.fund_id, at_venue=True, action_id=action_id
        )
        if denial is None:
            self._send(self.orders[ticket.order_id])
        return denial is None

    def cap(self, line: Capped | Uncapped) -> None:
        """Note what an action allows from now on, or that it is over."""
        self._write(line)

    def session(self, *, is_open: bool) -> None:
        """Open or close the market."""
        self._write(Session(at_ns=self._now, is_open=is_open))

    # What halts want.

    def cancel(self, order_ids: Iterable[str], reason: CancelReason, halt_id: str = "") -> int:
        """Cancel orders, and keep on until each has ended; returns how many were still open."""
        found = [self.orders[each] for each in order_ids if each in self.orders]
        for order in found:
            self._cancel(order, Canceling(reason, halt_id))
        return len(found)

    def exit(self, order: GateOrder) -> Denial | None:
        """Close a position under a halt; once it was sent, the same order changes nothing, ever.

        Returns why the gate refused it, None when it did not.
        """
        if order.order_id in self._state.exits:
            return None
        ticket = Ticket(
            order_id=order.order_id,
            account_id=order.account_id,
            symbol=order.symbol,
            side=order.side,
            quantity=int(order.quantity),
        )
        denial = self._accept(
            ticket, order.strategy_id, order.fund_id, at_venue=True, exit_of=order.exit_of
        )
        return denial or self._send(self.orders[order.order_id])

    def is_flat(self, account_ids: Iterable[str]) -> bool:
        """Whether the venue itself has no order and no position of these accounts."""
        accounts = set(account_ids)
        open_here = any(
            order.wanted.ticket.account_id in accounts for order in self.orders.values()
        )
        open_there = any(self._state.venue.working(account_id) for account_id in accounts)
        held = any(
            held for (owner, _), held in self._state.venue.positions.items() if owner in accounts
        )
        return not (open_here or open_there or held)

    def working(self) -> Mapping[str, Sequence[str]]:
        """Return the open orders of each account that nobody cancels yet."""
        found: dict[str, list[str]] = {}
        for order in self.orders.values():
            if order.stage in ("working", "armed") and order.canceling is None:
                found.setdefault(order.wanted.ticket.account_id, []).append(order.order_id)
        return found

    def mark_published(self, events: int) -> None:
        """Note that so many events of this desk are in the stream."""
        if events > self._state.published:
            self._write(Published(at_ns=self._now, events=events))

    # How it decides.

    def _accept(
        self, ticket: Ticket, strategy_id: str, fund_id: str, *, at_venue: bool,
        exit_of: str = "", action_id: str = "",
    ) -> Denial | None:  # fmt: skip
        wanted = Wanted(
            at_ns=self._now, ticket=ticket, strategy_id=strategy_id, fund_id=fund_id,
            at_venue=at_venue, exit_of=exit_of, action_id=action_id,
        )  # fmt: skip
        order = new_order(wanted)
        verdict = self._gate.check(order.gate_order())
        if isinstance(verdict, Denial):
            self._refuse(order, verdict)
            return verdict
        self._write(wanted)
        return None

    def _send(self, order: PaperOrder) -> Denial | None:
        line = Sent(at_ns=self._now, order_id=order.order_id)
        verdict = self._gate.check_and_send(order.gate_order(), lambda: self._write(line))
        if isinstance(verdict, Denial):
            self._refuse(order, verdict)
            self._drop(order, Canceling("halt" if verdict.halt_id else "risk", verdict.halt_id))
        return verdict

    def _amend(self, order: PaperOrder, size: int, limit_cents: int | None) -> Denial | None:
        if order.stage != "working" or order.amend or order.limit_cents is None:
            return None
        order.amend = (size, limit_cents)
        verdict = self._gate.check(order.gate_order("amend"))
        if not isinstance(verdict, Denial):
            line = AmendSent(
                at_ns=self._now, order_id=order.order_id, quantity=size, limit_cents=limit_cents
            )
            verdict = (
                self._gate.check_and_send(order.gate_order("amend"), lambda: self._write(line))
                or verdict
            )
        if isinstance(verdict, Denial):
            order.amend = None  # the resting order stands as it stood
            self._refuse(order, verdict)
            return verdict
        return None

    def _cancel(self, order: PaperOrder, why: Canceling) -> None:
        if order.stage in ("queued", "armed"):
            self._drop(order, why)
        elif order.canceling is None:
            self._want_cancel(order, why)
            if order.stage == "working":
                self._write(CancelSent(at_ns=self._now, order_id=order.order_id))

    def _want_cancel(self, order: PaperOrder, why: Canceling) -> None:
        self._write(
            CancelWanted(
                at_ns=self._now, order_id=order.order_id, reason=why.reason, halt_id=why.halt_id
            )
        )

    def _drop(self, order: PaperOrder, why: Canceling) -> None:
        self._write(
            Dropped(
                at_ns=self._now, order_id=order.order_id, reason=why.reason, halt_id=why.halt_id
            )
        )

    def _refuse(self, order: PaperOrder, denial: Denial) -> None:
        self.scribe.refused(order, denial.code, denial.words, denial.halt_id, self._now)

    def _is_halted(self, order: PaperOrder) -> bool:
        """Whether an order that was just accepted would not pass the gate any more."""
        wanted = order.wanted
        episodes = self._gate.halts.over(wanted.strategy_id, wanted.fund_id)
        if any(each.mode == "BLOCK_ALL" for each in episodes):
            return True
        scope = Scope("STRATEGY_HALT", wanted.strategy_id)
        increasing = self._gate.open_orders(scope, "increasing") if episodes else ()
        return any(each.order.order_id == order.order_id for each in increasing)

    def _halt_id(self, order: PaperOrder) -> str:
        wanted = order.wanted
        return self._gate.halts.over(wanted.strategy_id, wanted.fund_id)[0].halt_id

    def _write(self, line: AnyLine) -> None:
        step = self._step(line)
        self._at(f"before {step}")
        self._tape.write(line)
        self._at(f"after {step}")
        self._state.apply(line)

    def _step(self, line: AnyLine) -> str:
        """Name a line: what it does, to an exit or another order, and for which reason."""
        order = self.orders.get(getattr(line, "order_id", ""))
        wanted = line if isinstance(line, Wanted) else order.wanted if order else None
        words = (
            str(line.__struct_config__.tag),
            "exit" if wanted and wanted.exit_of else "",
            getattr(line, "reason", ""),
        )
        return " ".join(word for word in words if word)


def _wakes(ticket: Ticket, quote: Quote) -> bool:
    if ticket.side == "buy":
        return quote.ask_cents >= (ticket.stop_cents or 0)
    return quote.bid_cents <= (ticket.stop_cents or 0)
