"""What market data feeds say: trades, quotes, bars and exchange rates."""

from decimal import Decimal
from typing import Annotated, Literal

from operations.events.base import Currency, Data, Event, Id, Money, Quantity, Timestamp, doc


class Trade(Data, frozen=True, kw_only=True):
    """One trade of the market."""

    symbol: Annotated[Id, doc("Instrument.")]
    trade_id: Annotated[Id, doc("Id of the trade at the venue.")]
    venue: Annotated[str, doc("Where it was traded.")]
    price: Annotated[Money, doc("Price per unit, in `currency`.")]
    size: Annotated[Quantity, doc("Units traded.")]
    currency: Annotated[Currency, doc("Currency of the price.")]
    venue_time: Annotated[Timestamp, doc("When the venue says it happened.")]
    aggressor: Annotated[
        Literal["buy", "sell"] | None, doc("Side that took liquidity; null when not told.")
    ] = None
    conditions: Annotated[tuple[str, ...], doc("Sale conditions of the venue.")] = ()


class TradePrinted(Event, frozen=True, kw_only=True):
    """A venue printed a trade."""

    pattern = "mts.v1.marketdata.trade.printed"
    data: Trade


class Quote(Data, frozen=True, kw_only=True):
    """Best bid and best offer; a side that is missing has no orders."""

    symbol: Annotated[Id, doc("Instrument.")]
    venue: Annotated[str, doc("Where it is quoted.")]
    currency: Annotated[Currency, doc("Currency of the prices.")]
    venue_time: Annotated[Timestamp, doc("When the venue says it happened.")]
    bid_price: Annotated[Money | None, doc("Best bid per unit, in `currency`.")] = None
    bid_size: Annotated[Quantity | None, doc("Units at the best bid.")] = None
    ask_price: Annotated[Money | None, doc("Best offer per unit, in `currency`.")] = None
    ask_size: Annotated[Quantity | None, doc("Units at the best offer.")] = None


class QuoteUpdated(Event, frozen=True, kw_only=True):
    """The best bid or offer changed."""

    pattern = "mts.v1.marketdata.quote.updated"
    data: Quote


class Bar(Data, frozen=True, kw_only=True):
    """The trades of one interval, summed up."""

    symbol: Annotated[Id, doc("Instrument.")]
    opens_at: Annotated[Timestamp, doc("Start of the interval, inclusive.")]
    interval_seconds: Annotated[int, doc("Length of the interval, in seconds.")]
    open_price: Annotated[Money, doc("First price, in `currency`.")]
    high_price: Annotated[Money, doc("Highest price, in `currency`.")]
    low_price: Annotated[Money, doc("Lowest price, in `currency`.")]
    close_price: Annotated[Money, doc("Last price, in `currency`.")]
    volume: Annotated[Quantity, doc("Units traded.")]
    currency: Annotated[Currency, doc("Currency of the prices.")]
    trades: Annotated[int | None, doc("Number of trades.")] = None


class BarClosed(Event, frozen=True, kw_only=True):
    """An interval is over."""

    pattern = "mts.v1.marketdata.bar.closed"
    data: Bar


class ExchangeRate(Data, frozen=True, kw_only=True):
    """What one unit of a currency costs in another."""

    base_currency: Annotated[Currency, doc("Currency that is priced.")]
    quote_currency: Annotated[Currency, doc("Currency in which it is priced.")]
    rate: Annotated[Decimal, doc("Units of quote_currency for one unit of base_currency.")]
    as_of: Annotated[Timestamp, doc("Moment for which it holds.")]


class FxRateMarked(Event, frozen=True, kw_only=True):
    """An exchange rate to value with."""

    pattern = "mts.v1.marketdata.fx.rate_marked"
    data: ExchangeRate
