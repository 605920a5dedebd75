"""What tests of order systems share: a small venue, registered strategies, an Oms on a real bus."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from halting import Firm, Person, envelope
from support import eventually

from operations.adapters import accounts, wire
from operations.adapters.oms_cancels import OrderSystem
from operations.events.base import encode
from operations.events.registry import (
    Account,
    AccountRegistered,
    Fund,
    FundRegistered,
    Strategy,
    StrategyRegistered,
)
from operations.halt.book import Order
from operations.halt.gate import Gate
from operations.halt.verdicts import Allowed, Denial
from operations.oms import Oms, configured

FUND, STRATEGY, ACCOUNT = "alpha", "mean-rev", "acc-1"


def fund(fund_id: str = FUND, trading: str = "paper") -> FundRegistered:
    data = Fund(
        name=fund_id,
        base_currency="USD",
        trading=trading,
        day_end_time="17:00",
        day_end_zone="America/New_York",
    )
    return FundRegistered(**envelope(fund_id), data=data)


def account(
    account_id: str = ACCOUNT, fund_id: str = FUND, trading: str = "paper"
) -> AccountRegistered:
    data = Account(fund_id=fund_id, trading=trading)
    return AccountRegistered(**envelope(account_id), data=data)


def strategy(strategy_id: str = STRATEGY, fund_id: str = FUND, trades_in: tuple = (ACCOUNT,)):
    data = Strategy(name=strategy_id, fund_id=fund_id, account_ids=trades_in)
    return StrategyRegistered(**envelope(strategy_id), data=data)


REGISTERED = (
    fund(),
    account(),
    strategy(),
    fund("beta"),
    account("acc-2", "beta"),
    strategy("momentum", "beta", ("acc-2",)),
)


def order(order_id: str, quantity: str = "10", **more: Any) -> Order:
    fields = {
        "strategy_id": STRATEGY,
        "fund_id": FUND,
        "account_id": ACCOUNT,
        "symbol": "AAPL",
        "side": "buy",
    }
    return Order(order_id=order_id, quantity=Decimal(quantity), **(fields | more))


def code(verdict: Allowed | Denial) -> str:
    """Return the code of a denial, or the stage that was allowed."""
    return verdict.code if isinstance(verdict, Denial) else verdict.stage


class Floor(OrderSystem):
    """An order system of a few lines: it works what passes, cancels and fills when asked."""

    def __init__(self) -> None:
        self.gate: Gate
        self.at_venue: dict[str, Order] = {}
        self.sent: list[str] = []
        self.canceled: list[str] = []
        self.cancels_asked: list[tuple[str, str]] = []
        self.refuses_cancels = False
        self.fails = 0

    def trade(self, wanted: Order) -> Allowed | Denial:
        verdict = self.gate.check(wanted)
        if isinstance(verdict, Denial):
            return verdict
        return self.gate.check_and_send(wanted, lambda: self._send(wanted))

    def _send(self, wanted: Order) -> Allowed:
        self.at_venue[wanted.order_id] = wanted
        self.sent.append(wanted.order_id)
        self.gate.working(wanted.order_id)
        return Allowed("send")

    def fill(self, order_id: str, quantity: str) -> None:
        self.gate.filled(order_id, Decimal(quantity))
        if not self.gate.is_open(order_id):
            del self.at_venue[order_id]

    async def cancel_orders(self, orders: Sequence[Order], halt_id: str) -> None:
        self.cancels_asked += [(one.order_id, halt_id) for one in orders]
        if self.fails:
            self.fails -= 1
            raise RuntimeError("the venue does not answer")
        if self.refuses_cancels:
            return
        for one in orders:
            self.at_venue.pop(one.order_id, None)
            self.canceled.append(one.order_id)
            self.gate.ended(one.order_id)

    async def send_exit(self, order: Order) -> None:
        if order.order_id in self.sent:
            return
        verdict = self.trade(order)
        assert isinstance(verdict, Allowed), verdict
        self.fill(order.order_id, str(order.quantity))


async def register(firm: Firm, *events: Any) -> None:
    """Publish what is registered, as the user that publishes for the whole firm."""
    settings = firm.settings("oms-1").nats
    nats = msgspec.structs.replace(
        settings,
        user="publisher",
        password=firm.nats.password("publisher"),
        inbox=accounts.inbox("publisher"),
    )
    async with wire.connection(nats, "registry") as client:
        for event in events or REGISTERED:
            payload, subject = encode(event), event.subject
            await client.request(subject, payload, timeout=30)


@asynccontextmanager
async def trading(
    firm: Firm, folder: Path, floor: Floor | None = None, oms_id: str = "oms-1", **more: Any
) -> AsyncIterator[tuple[Oms, Floor]]:
    """Run an order system on the firm's bus; it may not be open yet."""
    system = floor or Floor()
    oms = Oms(configured(firm.settings(oms_id), oms_id, folder, **more), system)
    system.gate = oms.gate
    async with oms:
        yield oms, system


async def leased(oms: Oms) -> None:
    """Wait until an order system is open and has a lease."""
    await eventually(lambda: not oms.gate.holds and not oms.gate.lapsed, "it has a lease")


@asynccontextmanager
async def opened(
    firm: Firm, folder: Path, floor: Floor | None = None, **more: Any
) -> AsyncIterator[tuple[Oms, Floor]]:
    """Run an order system of a registered firm that has its lease, and a halt worker."""
    await register(firm)
    async with firm.working(), trading(firm, folder, floor, **more) as (oms, system):
        await leased(oms)
        yield oms, system


async def acknowledged(person: Person, oms_id: str, phase: str, **data: Any) -> dict[str, Any]:
    """Wait until an acknowledgement was heard."""
    subject = f"mts.v1.operations.halt.acknowledged.{oms_id}"
    return await person.hears(subject, phase=phase, **data)


async def verdict(floor: Floor, wanted: Order) -> str:
    """Return what the gate says to an order as `code` does, in a moment in which it has a lease.

    A process that the machine let stand still for three seconds has none until the next heartbeat.
    """

    def said() -> str:
        found = code(floor.trade(wanted))
        return "" if found == "LEASE_LAPSED" else found

    return await eventually(said, f"{wanted.order_id} is judged")
