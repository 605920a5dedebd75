"""Who holds what, what did it cost, and what is it worth? Exact, in integers.

Amounts are cents of the instrument's currency. The base currency's rate is 10,000, so that
cents times rate are millionths of the base currency, without rounding. Value is conserved:
nav = start of day nav + the sum of all profits and losses of its strategies, to the last digit.
"""

from collections.abc import Iterator

from operations.simulation.world import ASSETS, BASE, HOUSES, TRADERS, Asset, Trader

BASE_RATE = 10_000
BY_SYMBOL = {asset.symbol: asset for asset in ASSETS}


class Position:
    """What one strategy holds of one instrument."""

    def __init__(self, trader: Trader, asset: Asset) -> None:
        self.trader = trader
        self.asset = asset
        self.quantity = 0
        self.cost_cents = 0  # of what is held; negative when short
        self.realised_cents = 0
        self.fees_cents = 0

    def trade(self, signed_quantity: int, price_cents: int, fee_cents: int) -> None:
        """Buy (positive) or sell (negative) units at a price; what is closed becomes realised."""
        value = signed_quantity * price_cents * self.asset.multiplier
        closing = 0
        if self.quantity * signed_quantity < 0:
            closing = min(abs(signed_quantity), abs(self.quantity))
        if closing:
            cost_closed = self.cost_cents * closing // abs(self.quantity)
            value_closed = value * closing // abs(signed_quantity)
            self.realised_cents -= value_closed + cost_closed
            self.cost_cents += value - value_closed - cost_closed
        else:
            self.cost_cents += value
        self.quantity += signed_quantity
        self.fees_cents += fee_cents

    def value_cents(self, mark_cents: int) -> int:
        """Market value, negative when short."""
        return self.quantity * mark_cents * self.asset.multiplier

    def start_day(self, mark_cents: int) -> None:
        """Count profit and loss from this mark on."""
        self.cost_cents = self.value_cents(mark_cents)
        self.realised_cents = self.fees_cents = 0


class Ledger:
    """The positions and the cash of every fund."""

    def __init__(self) -> None:
        self.positions = {
            (trader.strategy_id, symbol): Position(trader, BY_SYMBOL[symbol])
            for trader in TRADERS
            for symbol in trader.symbols
        }
        self.cash_cents = {(house.fund_id, BASE): house.capital_cents for house in HOUSES}
        self.swept_micros = {house.fund_id: 0 for house in HOUSES}
        self.marks_cents = {asset.symbol: asset.price_cents for asset in ASSETS}
        self.rates = {BASE: BASE_RATE, "EUR": 10_850}
        self.start_of_day_micros: dict[str, int] = {}

    def trade(
        self, strategy_id: str, symbol: str, signed_quantity: int, price_cents: int, fee_cents: int
    ) -> tuple[int, int]:
        """Book one fill in position and cash; return the quantity held before and after."""
        position = self.positions[strategy_id, symbol]
        before = position.quantity
        position.trade(signed_quantity, price_cents, fee_cents)
        place = (position.trader.fund_id, position.asset.currency)
        paid = signed_quantity * price_cents * position.asset.multiplier + fee_cents
        self.cash_cents[place] = self.cash_cents.get(place, 0) - paid
        return before, position.quantity

    def held_by(self, *, fund_id: str = "", strategy_id: str = "") -> Iterator[Position]:
        """Positions of a fund or of a strategy, also the flat ones."""
        for position in self.positions.values():
            if strategy_id in ("", position.trader.strategy_id) and fund_id in (
                "",
                position.trader.fund_id,
            ):
                yield position

    def value_micros(self, position: Position) -> int:
        """Market value of a position, in millionths of the base currency."""
        cents = position.value_cents(self.marks_cents[position.asset.symbol])
        return cents * self.rates[position.asset.currency]

    def nav_micros(self, fund_id: str) -> int:
        """Cash and market value of a fund, in millionths of the base currency."""
        cash = sum(
            cents * self.rates[currency]
            for (fund, currency), cents in self.cash_cents.items()
            if fund == fund_id
        )
        held = sum(self.value_micros(position) for position in self.held_by(fund_id=fund_id))
        return cash + held + self.swept_micros[fund_id]

    def start_day(self) -> None:
        """Turn foreign profit into base currency and count the day's profit and loss from here."""
        for house in HOUSES:
            self._sweep(house.fund_id)
            self.start_of_day_micros[house.fund_id] = self.nav_micros(house.fund_id)
        for position in self.positions.values():
            position.start_day(self.marks_cents[position.asset.symbol])

    def _sweep(self, fund_id: str) -> None:
        """Leave as much foreign debt as foreign assets, so a rate moves only the day's profit."""
        for (fund, currency), cents in self.cash_cents.items():
            if fund == fund_id and currency != BASE:
                held = sum(
                    position.value_cents(self.marks_cents[position.asset.symbol])
                    for position in self.held_by(fund_id=fund_id)
                    if position.asset.currency == currency
                )
                self.swept_micros[fund_id] += (cents + held) * self.rates[currency]
                self.cash_cents[fund, currency] = -held
