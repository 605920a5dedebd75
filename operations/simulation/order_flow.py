"""What the strategies of the paper desks want next: quotes that walk and orders from a seed.

Two funds with two strategies each trade through three order systems, and each strategy has an
account of its own in each of them: a halt of one strategy has something to stop everywhere, and
what an account holds is the business of one strategy. Fund `south` is paper, `north` is live.
"""

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from operations.events.base import Event
from operations.events.registry import (
    Account,
    AccountRegistered,
    Fund,
    FundRegistered,
    Strategy,
    StrategyRegistered,
)
from operations.simulation.venue import Quote, Side
from operations.simulation.writer import Writer

OMS_IDS = ("oms-1", "oms-2", "oms-3")
FUNDS: dict[str, Literal["live", "paper"]] = {"north": "live", "south": "paper"}
PRICES_CENTS = {"AAPL": 187_40, "MSFT": 421_10, "NVDA": 142_80, "KO": 63_90}
QUOTED_SIZE = 1_000_000  # so that an exit at the market is one order
SIZES = 40  # the largest quantity of an ordinary order
BAND = 400  # an account that holds more than this many units only reduces
KEPT_OPEN = 6  # resting orders that an account keeps
RUNAWAY_ORDERS = 4  # new orders of a runaway strategy in each step


class Seat(Struct, frozen=True):
    """A strategy in one order system, with the account that it trades there."""

    strategy_id: str
    fund_id: str
    account_id: str

    @property
    def trading(self) -> Literal["live", "paper"]:
        """Whether its orders move money."""
        return FUNDS[self.fund_id]


class Wish(Struct, frozen=True, kw_only=True):
    """What a strategy wants: a new order, or to cancel or amend the one that `order_id` names.

    An order with a stop price is kept in the order system until the price is reached, unless
    `at_venue`: then it protects the position even when the order system is gone.
    """

    kind: Literal["new", "cancel", "amend"]
    seat: Seat
    symbol: str = ""
    side: Side = "buy"
    quantity: int = 0
    limit_cents: int | None = None
    stop_cents: int | None = None
    at_venue: bool = False
    time_in_force: Literal["day", "gtc", "ioc"] = "day"
    order_id: str = ""


STRATEGIES = tuple(
    (f"{fund_id}-{style}", fund_id) for fund_id in FUNDS for style in ("trend", "value")
)


def account_id(strategy_id: str, oms_id: str) -> str:
    """Return the account of a strategy in one order system."""
    return f"{strategy_id}-{oms_id}"


def seats(oms_id: str) -> tuple[Seat, ...]:
    """Return every strategy as it trades in one order system."""
    return tuple(Seat(name, fund_id, account_id(name, oms_id)) for name, fund_id in STRATEGIES)


def registrations(writer: Writer, at_ns: int) -> Iterator[Event]:
    """What the registry says about these funds, accounts and strategies."""
    for fund_id, trading in FUNDS.items():
        fund = Fund(
            name=fund_id, base_currency="USD", trading=trading, day_end_time="21:05",
            day_end_zone="UTC",
        )  # fmt: skip
        yield writer.write(FundRegistered, at_ns, fund_id, fund, by="registry", fund_id=fund_id)
    for oms_id in OMS_IDS:
        for seat in seats(oms_id):
            account = Account(fund_id=seat.fund_id, trading=seat.trading, broker=oms_id)
            yield writer.write(
                AccountRegistered, at_ns, seat.account_id, account,
                by="registry", fund_id=seat.fund_id, account_id=seat.account_id,
            )  # fmt: skip
    for strategy_id, fund_id in STRATEGIES:
        accounts = tuple(account_id(strategy_id, oms_id) for oms_id in OMS_IDS)
        strategy = Strategy(name=strategy_id, fund_id=fund_id, account_ids=accounts)
        yield writer.write(
            StrategyRegistered, at_ns, strategy_id, strategy,
            by="registry", fund_id=fund_id, strategy_id=strategy_id,
        )  # fmt: skip


class OrderFlow:
    """The quotes and wishes of one order system, one step after the other.

    `runaway` names a strategy that buys without end, ever larger, once `step` reaches
    `runaway_from`.
    """

    def __init__(self, seed: int, oms_id: str, *, runaway: str = "", runaway_from: int = 0) -> None:
        self._chance = Random(f"{seed}/{oms_id}")  # noqa: S311 (a simulation, not a secret)
        self._mids = dict(PRICES_CENTS)
        self._seats = seats(oms_id)
        self._runaway = runaway
        self._runaway_from = runaway_from
        self._step = 0

    def quotes(self) -> list[Quote]:
        """Move every price by a little and return what is quoted now."""
        found = []
        for symbol, mid in self._mids.items():
            moved = max(10_00, mid + self._chance.randrange(-4, 5))
            self._mids[symbol] = moved
            found.append(
                Quote(
                    symbol=symbol, bid_cents=moved - 1, bid_size=QUOTED_SIZE,
                    ask_cents=moved + 1, ask_size=QUOTED_SIZE,
                )
            )  # fmt: skip
        return found

    def wishes(
        self, held: Mapping[tuple[str, str], int], working: Mapping[str, Sequence[str]]
    ) -> list[Wish]:
        """Return what the strategies want in this step.

        `held` is what each account holds of a symbol, `working` the ids of its open orders.
        """
        self._step += 1
        found = []
        for seat in self._seats:
            if seat.strategy_id == self._runaway and self._step >= self._runaway_from:
                found += self._run_away(seat)
            elif self._chance.randrange(4) == 0:
                found.append(self._ordinary(seat, held, working.get(seat.account_id, ())))
        return found

    def _run_away(self, seat: Seat) -> list[Wish]:
        size = SIZES + self._step - self._runaway_from
        return [
            Wish(kind="new", seat=seat, symbol="NVDA", side="buy", quantity=size)
            for _ in range(RUNAWAY_ORDERS)
        ]

    def _ordinary(
        self, seat: Seat, held: Mapping[tuple[str, str], int], working: Sequence[str]
    ) -> Wish:
        chance = self._chance
        symbol = chance.choice(tuple(self._mids))
        position = held.get((seat.account_id, symbol), 0)
        buys = position < 0 if abs(position) > BAND else chance.getrandbits(1) == 1
        luck, size = chance.randrange(20), 1 + chance.randrange(SIZES)
        side: Side = "buy" if buys else "sell"
        away = 1 if buys else -1
        mid = self._mids[symbol]
        if working and (len(working) >= KEPT_OPEN or luck < 3):
            return Wish(kind="cancel", seat=seat, order_id=working[0])
        if working and luck < 5:
            return Wish(
                kind="amend", seat=seat, order_id=working[-1], quantity=size,
                limit_cents=mid - 3 * away,
            )  # fmt: skip
        order = Wish(kind="new", seat=seat, symbol=symbol, side=side, quantity=size)
        if luck < 8:
            return order
        if luck < 10 and position:
            return self._protection(order, position)
        limit = mid - away * (2 + chance.randrange(20))
        return replace(order, limit_cents=limit, time_in_force="gtc" if luck == 19 else "day")

    def _protection(self, order: Wish, position: int) -> Wish:
        """Close the position when its price has moved against it by half a percent."""
        away = -1 if position > 0 else 1
        mid = self._mids[order.symbol]
        return replace(
            order,
            side="sell" if position > 0 else "buy",
            quantity=min(order.quantity, abs(position)),
            stop_cents=mid + away * max(1, mid // 200),
            at_venue=self._chance.getrandbits(1) == 1,
        )
