"""What the position keeper says: what is held, why it changed, and what it is exposed to."""

from typing import Annotated, Literal

from operations.events.base import Currency, Data, Event, Id, Money, Quantity, Timestamp, doc


class PositionChange(Data, frozen=True, kw_only=True):
    """One change of one position."""

    symbol: Annotated[Id, doc("Instrument.")]
    before_quantity: Annotated[Quantity, doc("Held before, negative when short.")]
    after_quantity: Annotated[Quantity, doc("Held after, negative when short.")]
    cause: Annotated[
        Literal["order", "transfer", "corporate_action", "rebalance"], doc("Why it changed.")
    ]
    price: Annotated[Money | None, doc("Price per unit of the change, in `currency`.")] = None
    currency: Annotated[Currency | None, doc("Currency of the price.")] = None
    execution_id: Annotated[Id | None, doc("Fill that caused it.")] = None


class PositionChanged(Event, frozen=True, kw_only=True):
    """A position became larger, smaller or turned; after = before + what was done."""

    pattern = "mts.v1.trading.position.changed"
    data: PositionChange


class Holding(Data, frozen=True, kw_only=True):
    """One position at one moment."""

    symbol: Annotated[Id, doc("Instrument.")]
    quantity: Annotated[Quantity, doc("Held, negative when short.")]
    average_price: Annotated[Money | None, doc("Average cost per unit, in `currency`.")] = None
    mark_price: Annotated[Money | None, doc("Price it is valued at, in `currency`.")] = None
    currency: Annotated[Currency | None, doc("Currency of its prices.")] = None


class Snapshot(Data, frozen=True, kw_only=True):
    """All positions of one account at one moment."""

    as_of: Annotated[Timestamp, doc("Moment for which it holds.")]
    holdings: Annotated[tuple[Holding, ...], doc("Every position that is not flat.")]
    complete: Annotated[bool, doc("Whether every position is in it.")] = True


class PositionSnapshotted(Event, frozen=True, kw_only=True):
    """What one account or strategy holds."""

    pattern = "mts.v1.trading.position.snapshotted"
    data: Snapshot


class Greeks(Data, frozen=True, kw_only=True):
    """Sensitivities of one position in derivatives; what is missing is unknown, never 0."""

    symbol: Annotated[Id, doc("Instrument.")]
    quantity: Annotated[Quantity, doc("Contracts held, negative when short.")]
    currency: Annotated[Currency, doc("Currency of prices and of theta.")]
    marked_at: Annotated[Timestamp, doc("Moment of the market data used.")]
    theta_per_day: Annotated[
        Money | None, doc("Change of value of one unit per calendar day, in `currency`.")
    ] = None
    delta: Annotated[float | None, doc("Change of value per unit of the underlying.")] = None
    gamma: Annotated[float | None, doc("Change of delta per unit of the underlying.")] = None
    vega: Annotated[float | None, doc("Change of value per 1.00 of implied volatility.")] = None
    implied_volatility: Annotated[
        float | None, doc("Annualised, as a fraction; 0 means unknown.")
    ] = None
    spot_price: Annotated[Money | None, doc("Price of the underlying, in `currency`.")] = None
    model: Annotated[str | None, doc("Model that computed them.")] = None


class GreeksMarked(Event, frozen=True, kw_only=True):
    """The sensitivities of a position were computed."""

    pattern = "mts.v1.trading.position.greeks_marked"
    data: Greeks


class Exposure(Data, frozen=True, kw_only=True):
    """How much market a fund, strategy or account carries."""

    as_of: Annotated[Timestamp, doc("Moment for which it holds.")]
    gross: Annotated[Money, doc("Sum of absolute market values, in `currency`.")]
    net: Annotated[Money, doc("Sum of signed market values, in `currency`.")]
    currency: Annotated[Currency, doc("Currency of gross and net.")]


class ExposureMarked(Event, frozen=True, kw_only=True):
    """Gross and net exposure were computed."""

    pattern = "mts.v1.trading.position.exposure_marked"
    data: Exposure
