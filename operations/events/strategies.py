"""What strategies say: signals with their reasons, how good forecasts were, profit and loss."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from operations.events.base import Currency, Data, Day, Event, Id, Money, Timestamp, doc


class Signal(Data, frozen=True, kw_only=True):
    """A wish to trade, with the reason in words."""

    symbol: Annotated[Id, doc("Instrument.")]
    direction: Annotated[Literal["long", "short", "flat"], doc("Where it wants to be.")]
    confidence: Annotated[float, Meta(ge=0, le=1), doc("From 0 to 1.")]
    rationale: Annotated[str, Meta(min_length=20), doc("Why, in at least 20 characters.")]
    generation_latency_ms: Annotated[
        float, Meta(ge=0), doc("From the last input to the signal, in milliseconds.")
    ]
    created_at: Annotated[Timestamp, doc("When it was made.")]
    delivered_at: Annotated[Timestamp | None, doc("When it reached its receiver.")] = None


class SignalGenerated(Event, frozen=True, kw_only=True):
    """A strategy wants a position."""

    pattern = "mts.v1.strategy.signal.generated"
    data: Signal


class ForecastScore(Data, frozen=True, kw_only=True):
    """How well the forecasts of one day ranked what happened."""

    day: Annotated[Day, doc("Day on which the forecasts were made.")]
    horizon_days: Annotated[int, doc("Trading days until they were scored.")]
    method: Annotated[Literal["spearman", "pearson"], doc("Correlation used.")]
    information_coefficient: Annotated[
        float, Meta(ge=-1, le=1), doc("Correlation of forecast and outcome.")
    ]
    names: Annotated[int, doc("Number of instruments scored.")]


class ForecastScored(Event, frozen=True, kw_only=True):
    """The forecasts of a day met reality."""

    pattern = "mts.v1.strategy.forecast.scored"
    data: ForecastScore


class ProfitAndLoss(Data, frozen=True, kw_only=True):
    """Profit and loss of a strategy since its day began."""

    as_of: Annotated[Timestamp, doc("Moment for which it holds.")]
    realised: Annotated[Money, doc("From closed positions, before fees, in `currency`.")]
    unrealised: Annotated[Money, doc("From open positions, in `currency`.")]
    fees: Annotated[Money, doc("Fees paid, positive, in `currency`.")]
    allocated_capital: Annotated[Money, doc("Capital it was given, in `currency`.")]
    currency: Annotated[Currency, doc("Currency of all amounts.")]
    final: Annotated[bool, doc("False while the day runs, true for its last mark.")] = False


class PnlMarked(Event, frozen=True, kw_only=True):
    """A strategy's profit and loss was computed."""

    pattern = "mts.v1.strategy.pnl.marked"
    data: ProfitAndLoss


class StrategyBaseline(Data, frozen=True, kw_only=True):
    """What a strategy did while it was known to be well."""

    baseline_id: Annotated[Id, doc("Id of the baseline.")]
    currency: Annotated[Currency, doc("Currency of the order sizes.")]
    daily_information_coefficients: Annotated[
        tuple[float, ...] | None, doc("One per day, oldest first.")
    ] = None
    ic_mean: Annotated[float | None, doc("Mean daily information coefficient.")] = None
    ic_standard_deviation: Annotated[
        float | None, doc("Newey-West standard deviation of the daily coefficient.")
    ] = None
    days: Annotated[int | None, doc("Number of days behind these figures.")] = None
    return_mean: Annotated[
        float | None, doc("Mean daily profit per allocated capital, as a fraction.")
    ] = None
    return_standard_deviation: Annotated[
        float | None, doc("Of daily profit per allocated capital, as a fraction.")
    ] = None
    daily_returns: Annotated[
        tuple[float, ...] | None,
        doc("Daily profit per allocated capital, as fractions, oldest first."),
    ] = None
    typical_order_notional: Annotated[Money | None, doc("Median order size, in `currency`.")] = None
    order_log_size_deviation: Annotated[
        float | None, doc("Robust standard deviation of the natural log of order size.")
    ] = None
    order_log_sizes: Annotated[
        tuple[float, ...] | None, doc("Natural logs of order notionals, oldest first.")
    ] = None
    allocation_factor: Annotated[
        Decimal | None, doc("Part of the full size at which it ran, as a fraction.")
    ] = None


class StrategyBaselinePublished(Event, frozen=True, kw_only=True):
    """A strategy is from now on judged against this history."""

    pattern = "mts.v1.strategy.baseline.published"
    data: StrategyBaseline
