"""What fund accounting says: what a fund is worth, and what its backtest promised."""

from typing import Annotated

from operations.events.base import Currency, Data, Day, Event, Id, Money, Timestamp, doc


class NetAssetValue(Data, frozen=True, kw_only=True):
    """The value of a fund at one moment; nav = cash + market value of all positions."""

    as_of: Annotated[Timestamp, doc("Moment for which it holds.")]
    nav: Annotated[Money, doc("Net asset value, in `currency`.")]
    currency: Annotated[Currency, doc("Base currency of the fund.")]
    start_of_day_nav: Annotated[Money, doc("Value when the fund's day began, in `currency`.")]
    final: Annotated[bool, doc("False while the day runs, true for its last mark.")] = False
    flow: Annotated[Money | None, doc("Paid in since the last mark, in `currency`.")] = None
    flow_time: Annotated[Timestamp | None, doc("When the flow came.")] = None


class NavMarked(Event, frozen=True, kw_only=True):
    """A fund was valued."""

    pattern = "mts.v1.portfolio.nav.marked"
    data: NetAssetValue


class PortfolioBaseline(Data, frozen=True, kw_only=True):
    """What the backtest of a fund promised: daily returns, or their moments and how many."""

    baseline_id: Annotated[Id, doc("Id of the baseline.")]
    go_live: Annotated[Day, doc("First day on which it holds.")]
    horizon_days: Annotated[int, doc("Trading days for which it holds.")]
    net_of_costs: Annotated[bool, doc("Whether costs are in the returns.")]
    daily_returns: Annotated[
        tuple[float, ...] | None, doc("Returns per day as fractions of NAV, oldest first.")
    ] = None
    mean: Annotated[float | None, doc("Mean daily return, as a fraction.")] = None
    standard_deviation: Annotated[float | None, doc("Of daily returns, as a fraction.")] = None
    days: Annotated[int | None, doc("Number of days behind the moments.")] = None


class PortfolioBaselinePublished(Event, frozen=True, kw_only=True):
    """A fund is from now on judged against this backtest."""

    pattern = "mts.v1.portfolio.baseline.published"
    data: PortfolioBaseline
