"""The simulated strategies and their order management system: signals, orders, fills, positions.

An order is submitted, accepted or rejected, and then either takes what is quoted or rests until
it is filled, amended, canceled or the market closes. Every fill is booked when it happens.
"""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, Literal

from operations.events.base import Data, Event
from operations.events.orders import (
    Cancel,
    Fill,
    GateRefusal,
    GateRejected,
    Order,
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
from operations.events.positions import PositionChange, PositionChanged
from operations.events.strategies import Signal, SignalGenerated
from operations.simulation.actions import Actions
from operations.simulation.agenda import Agenda
from operations.simulation.faults import Fault, MissingFills, RunawayStrategy
from operations.simulation.ledger import Ledger
from operations.simulation.market import MILLISECOND, MINUTE, VENUE, Market
from operations.simulation.reduction import Place
from operations.simulation.world import TRADERS, TRADING, Trader
from operations.simulation.writer import Writer, money, quantity, timestamp

OMS = "oms"
RATIONALES = {
    "reversion": "{symbol} is {z} standard deviations from its 20 minute mean; expecting a return.",
    "momentum": "{symbol} has moved {z} standard deviations in an hour; expecting it to go on.",
    "theta": "Implied volatility of {symbol} is {z} points above realised; collecting the decay.",
}
Side = Literal["buy", "sell"]


class Working:
    """An order and what is left of it. Prices in cents, quantities in units."""

    def __init__(self, trader: Trader, symbol: str, side: Side, order_id: str) -> None:
        self.trader = trader
        self.symbol = symbol
        self.side: Side = side
        self.order_id = order_id
        self.quantity = 0
        self.filled = 0
        self.limit_cents: int | None = None
        self.arrival_cents = 0
        self.currency = "USD"
        self.correlation_id: str | None = None
        self.works = False  # brings a position down to what an action allows
        self.canceling = False

    @property
    def place(self) -> Place:
        """Whose position it changes, and in what."""
        return self.trader.strategy_id, self.symbol

    @property
    def leaves(self) -> int:
        """What may still be filled."""
        return self.quantity - self.filled

    def terms(self, *, ended: bool = False) -> dict[str, Any]:
        """Return the fields that all events of an order have."""
        limit = self.limit_cents
        return {
            "symbol": self.symbol,
            "side": self.side,
            "quantity": quantity(self.quantity),
            "type": "market" if limit is None else "limit",
            "limit_price": None if limit is None else money(limit),
            "currency": self.currency,
            "time_in_force": "day",
            "leaves_quantity": quantity(0 if ended else self.leaves),
            "arrival_price": money(self.arrival_cents),
            "venue": VENUE,
        }


class Desk:
    """All strategies, and the one order management system that they share."""

    def __init__(
        self, chance: Random, writer: Writer, ledger: Ledger, agenda: Agenda, market: Market,
        faults: Sequence[Fault], actions: Actions,
    ) -> None:  # fmt: skip
        self._actions = actions
        self._open: dict[str, Working] = {}  # sent and not ended, also before it is accepted
        self._chance = chance
        self._writer = writer
        self._ledger = ledger
        self._agenda = agenda
        self._market = market
        self._runaways = [fault for fault in faults if isinstance(fault, RunawayStrategy)]
        self._unpublished = [fault for fault in faults if isinstance(fault, MissingFills)]
        self._working: dict[str, Working] = {}
        self._orders = 0
        self._fills = 0
        self._day = 0

    def start(self, at: int) -> Iterator[Event]:
        """Give each strategy what it holds before its first day: half of its capital, long."""
        for trader in TRADERS:
            share = trader.capital_cents // (2 * len(trader.symbols))
            for symbol in trader.symbols:
                position = self._ledger.positions[trader.strategy_id, symbol]
                price = self._ledger.marks_cents[symbol]
                units = share // (price * position.asset.multiplier)
                units = -min(units, 200) if position.asset.kind == "option" else units
                yield self._book(trader, symbol, units, price, 0, at, None, None)

    def open(self, opens_ns: int) -> None:
        """Plan a day."""
        for trader in TRADERS:
            self._plan_signal(trader, opens_ns)
        for fault in self._runaways if self._day == 0 else ():
            trader = next(t for t in TRADERS if t.strategy_id == fault.strategy_id)
            count = fault.minutes * 60 * fault.orders_per_second
            gap = MINUTE // (60 * fault.orders_per_second)
            for number in range(count):
                at = opens_ns + fault.minute * MINUTE + number * gap
                self._agenda.plan(at, self._run_away(trader, number))
        self._actions.open(self, opens_ns, self._market.closes_ns)
        self._agenda.plan(self._market.closes_ns, self._close)
        self._day += 1

    # What actions ask of it.

    def opened(self, place: Place, side: Side) -> int:
        """Return what open orders of a side may still fill, in units."""
        return sum(each.leaves for each in self._at(place) if each.side == side)

    def work(self, place: Place, side: Side, size: int, at: int) -> Iterator[Event]:
        """Send an order that works a position down: at the market, like any other."""
        trader = next(each for each in TRADERS if each.strategy_id == place[0])
        order = self._new(trader, place[1], side, 0)
        order.quantity, order.works = size, True
        yield from self._submit(order, at)

    def clear(self, place: Place, at: int) -> Iterator[Event]:
        """Cancel what a strategy has open, except what works its position down."""
        for order in self._at(place):
            if order.order_id in self._working and not (order.works or order.canceling):
                order.canceling = True
                yield from self._ask_to_cancel(order, at)

    def _at(self, place: Place) -> list[Working]:
        every = self._open.values()
        return [each for each in every if each.place == place]

    def _plan_signal(self, trader: Trader, at: int) -> None:
        later = at + MILLISECOND * (1 + self._chance.randrange(2 * trader.gap_ms))
        if later < self._market.closes_ns - MINUTE:
            self._agenda.plan(later, lambda now: self._signal(trader, now))

    def _signal(self, trader: Trader, at: int) -> Iterator[Event]:
        chance = self._chance
        self._plan_signal(trader, at)
        symbol = trader.symbols[chance.randrange(len(trader.symbols))]
        held = self._ledger.positions[trader.strategy_id, symbol].quantity
        # Back towards what it began with: large positions are rather reduced than increased.
        value = abs(self._ledger.positions[trader.strategy_id, symbol].cost_cents)
        too_much = value * len(trader.symbols) * 3 > 2 * trader.capital_cents
        buys = held < 0 if too_much else chance.getrandbits(1) == 1
        latency_us = 200 + chance.randrange(9_000)
        signal = Signal(
            symbol=symbol,
            direction="long" if buys else "short",
            confidence=(50 + chance.randrange(50)) / 100,
            rationale=RATIONALES[trader.style].format(
                symbol=symbol, z=(15 + chance.randrange(20)) / 10
            ),
            generation_latency_ms=latency_us / 1000,
            created_at=timestamp(at - MILLISECOND),
            delivered_at=timestamp(at),
        )
        event = self._write(SignalGenerated, trader, at, symbol, signal, by=trader.strategy_id)
        yield event
        size = trader.order_cents * (50 + chance.randrange(100)) // 100
        order = self._new(trader, symbol, "buy" if buys else "sell", size)
        order.correlation_id = event.event_id
        if chance.randrange(5) < 2:
            book = self._market.books[symbol]
            order.limit_cents = book.bid if buys else book.ask
        yield from self._submit(order, at)

    def _run_away(self, trader: Trader, number: int) -> Callable[[int], Iterator[Event]]:
        def step(at: int) -> Iterator[Event]:
            size = trader.order_cents * (100 + number) // 400
            yield from self._submit(self._new(trader, trader.symbols[0], "buy", size), at)

        return step

    def _new(self, trader: Trader, symbol: str, side: Side, size_cents: int) -> Working:
        self._orders += 1
        order = Working(trader, symbol, side, f"ord-{self._orders}")
        book = self._market.books[symbol]
        order.arrival_cents = book.mid // 100
        order.currency = book.asset.currency
        order.quantity = max(1, size_cents // (order.arrival_cents * book.asset.multiplier))
        return order

    def _submit(self, order: Working, at: int) -> Iterator[Event]:
        if not order.works:
            order.quantity = self._actions.cut(self, order.place, order.side, order.quantity)
        if not order.quantity:
            return
        luck = self._chance.randrange(400)
        if luck < 2:
            refusal = GateRefusal(
                reason="more orders per minute than the limit", rule_id="rate-1",
                rule_version=1, **order.terms(ended=True),
            )  # fmt: skip
            yield self._say(GateRejected, order, at, refusal, by="risk-gate")
            return
        self._open[order.order_id] = order
        event = self._say(OrderSubmitted, order, at, Order(**order.terms()))
        yield event
        order.correlation_id = order.correlation_id or event.event_id
        answer = self._reject if luck < 6 else self._accept
        self._plan(order, at, 1_000 + self._chance.randrange(3_000), answer)

    def _plan(
        self, order: Working, at: int, delay_us: int,
        step: Callable[[Working, int], Iterator[Event]],
    ) -> None:  # fmt: skip
        self._agenda.plan(at + delay_us * 1_000, lambda now: step(order, now))

    def _reject(self, order: Working, at: int) -> Iterator[Event]:
        del self._open[order.order_id]
        refusal = Refusal(reason="instrument not open at the venue", **order.terms(ended=True))
        yield self._say(OrderRejected, order, at, refusal)

    def _accept(self, order: Working, at: int) -> Iterator[Event]:
        self._working[order.order_id] = order
        yield self._say(OrderAccepted, order, at, Order(**order.terms()))
        self._go_on(order, at)

    def _go_on(self, order: Working, at: int) -> None:
        """Plan what becomes of a working order."""
        if order.limit_cents is None:
            self._plan(order, at, 3_000 + self._chance.randrange(40_000), self._fill)
            return
        luck = self._chance.randrange(100)
        step = self._fill if luck < 60 else self._amend if luck < 72 else self._ask_to_cancel
        self._plan(order, at, 1_000_000 + self._chance.randrange(90_000_000), step)

    def _fill(self, order: Working, at: int) -> Iterator[Event]:
        if order.order_id not in self._working:
            return
        chance = self._chance
        size = order.leaves if chance.randrange(5) < 3 else 1 + chance.randrange(order.leaves)
        taker = order.limit_cents is None
        price = order.limit_cents or self._market.books[order.symbol].touch(order.side)
        order.filled += size
        self._fills += 1
        fee = 1 + size // 3
        data = Fill(
            price=money(price), last_quantity=quantity(size), fee=money(fee),
            execution_id=f"exe-{self._fills}", liquidity="taker" if taker else "maker",
            **order.terms(),
        )  # fmt: skip
        kind = OrderPartiallyFilled if order.leaves else OrderFilled
        event = self._say(kind, order, at, data)
        since = at - self._market.opened_ns
        if not any(
            fault.strategy_id == order.trader.strategy_id and fault.active(since)
            for fault in self._unpublished
        ):
            yield event
        signed = size if order.side == "buy" else -size
        yield self._book(order.trader, order.symbol, signed, price, fee, at, event, data)
        if order.leaves:
            self._go_on(order, at)
        else:
            del self._working[order.order_id], self._open[order.order_id]

    def _book(
        self, trader: Trader, symbol: str, signed: int, price: int, fee: int, at: int,
        event: Event | None, fill: Fill | None,
    ) -> Event:  # fmt: skip
        before, after = self._ledger.trade(trader.strategy_id, symbol, signed, price, fee)
        change = PositionChange(
            symbol=symbol,
            before_quantity=quantity(before),
            after_quantity=quantity(after),
            cause="order" if fill else "transfer",
            price=money(price),
            currency=self._market.books[symbol].asset.currency,
            execution_id=fill.execution_id if fill else None,
        )
        return self._write(
            PositionChanged, trader, at, symbol, change,
            by="positions",
            order_id=event.order_id if event else None,
            correlation_id=event.correlation_id if event else None,
            causation_id=event.event_id if event else None,
        )  # fmt: skip

    def _amend(self, order: Working, at: int) -> Iterator[Event]:
        if order.order_id not in self._working:
            return
        wanted, place = 1 + self._chance.randrange(2 * order.leaves), order.place
        more = self._actions.cut(self, place, order.side, max(0, wanted - order.leaves))
        order.quantity = order.filled + min(wanted, order.leaves + more)
        order.limit_cents = self._market.books[order.symbol].touch(
            "sell" if order.side == "buy" else "buy"
        )
        yield self._say(OrderAmended, order, at, Order(**order.terms()))
        self._go_on(order, at)

    def _ask_to_cancel(self, order: Working, at: int) -> Iterator[Event]:
        if order.order_id not in self._working:
            return
        data = Cancel(cancel_reason="strategy", **order.terms())
        yield self._say(OrderCancelRequested, order, at, data)
        self._plan(order, at, 2_000 + self._chance.randrange(8_000), self._cancel)

    def _cancel(self, order: Working, at: int) -> Iterator[Event]:
        if self._working.pop(order.order_id, None):
            del self._open[order.order_id]
            data = Cancel(cancel_reason="strategy", **order.terms(ended=True))
            yield self._say(OrderCanceled, order, at, data)

    def _close(self, at: int) -> Iterator[Event]:
        for order in self._working.values():
            yield self._say(OrderExpired, order, at, Order(**order.terms(ended=True)))
        self._working.clear()
        self._open.clear()

    def _say(self, kind: type[Event], order: Working, at: int, data: Data, by: str = OMS) -> Event:
        return self._write(
            kind, order.trader, at, order.order_id, data,
            by=by, order_id=order.order_id, correlation_id=order.correlation_id,
        )  # fmt: skip

    def _write(
        self, kind: type[Event], trader: Trader, at: int, subject_id: str, data: Data,
        **keys: Any,
    ) -> Event:  # fmt: skip
        return self._writer.write(
            kind, at, subject_id, data,
            environment=TRADING[trader.fund_id], fund_id=trader.fund_id,
            strategy_id=trader.strategy_id, account_id=trader.account_id, **keys,
        )  # fmt: skip
