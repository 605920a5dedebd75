"""What the registry says: which funds, strategies, accounts, instruments and services exist.

All other events name these by id. What is not registered is unknown, and unknown means closed.
"""

from decimal import Decimal
from typing import Annotated, Literal

from operations.events.base import (
    Currency,
    Data,
    Day,
    Event,
    Id,
    Money,
    Quantity,
    Token,
    doc,
)

Trading = Literal["live", "paper"]


class Fund(Data, frozen=True, kw_only=True):
    """A fund with its day and its limits."""

    name: Annotated[str, doc("Name for people.")]
    base_currency: Annotated[Currency, doc("ISO 4217 code in which the fund is valued.")]
    trading: Annotated[Trading, doc("Whether its orders move money.")]
    day_end_time: Annotated[str, doc("Local wall-clock time HH:MM at which its day ends.")]
    day_end_zone: Annotated[str, doc("IANA time zone of day_end_time.")]
    calendar_id: Annotated[Id | None, doc("Calendar of its business days.")] = None
    drawdown_halt_pct: Annotated[
        Decimal | None, doc("Drawdown from the highest NAV that halts, in percent.")
    ] = None
    daily_loss_halt_pct: Annotated[
        Decimal | None, doc("Loss since the start of the day that halts, in percent of its NAV.")
    ] = None
    target_volatility: Annotated[
        float | None, doc("Annualised volatility it aims at, as a fraction of NAV.")
    ] = None


class FundRegistered(Event, frozen=True, kw_only=True):
    """A fund exists from now on, or its properties changed."""

    pattern = "mts.v1.registry.fund.registered"
    data: Fund


class Strategy(Data, frozen=True, kw_only=True):
    """A strategy with the accounts it may trade in."""

    name: Annotated[str, doc("Name for people.")]
    fund_id: Annotated[Id, doc("Fund that it belongs to.")]
    account_ids: Annotated[tuple[Id, ...], doc("Accounts that it may trade in.")]
    version: Annotated[str | None, doc("Version of its code and parameters.")] = None


class StrategyRegistered(Event, frozen=True, kw_only=True):
    """A strategy exists from now on, or its properties changed."""

    pattern = "mts.v1.registry.strategy.registered"
    data: Strategy


class Account(Data, frozen=True, kw_only=True):
    """An account at a broker or venue."""

    fund_id: Annotated[Id, doc("Fund that owns it.")]
    trading: Annotated[Trading, doc("Whether its orders move money.")]
    broker: Annotated[str | None, doc("Who holds the account.")] = None


class AccountRegistered(Event, frozen=True, kw_only=True):
    """An account exists from now on, or its properties changed."""

    pattern = "mts.v1.registry.account.registered"
    data: Account


class Instrument(Data, frozen=True, kw_only=True):
    """Something that can be traded."""

    symbol: Annotated[Id, doc("Symbol by which all events name it.")]
    kind: Annotated[
        Literal["equity", "etf", "future", "option", "bond", "fx", "crypto"], doc("Asset class.")
    ]
    currency: Annotated[Currency, doc("Currency in which its price is quoted.")]
    multiplier: Annotated[Decimal, doc("Units of the underlying in one contract; 1 for shares.")]
    tick_size: Annotated[Money | None, doc("Smallest step of its price, in `currency`.")] = None
    underlying: Annotated[Id | None, doc("Symbol of the underlying of a derivative.")] = None
    expires_on: Annotated[Day | None, doc("Last trading day of a derivative.")] = None
    strike_price: Annotated[Money | None, doc("Strike of an option, in `currency`.")] = None
    option_right: Annotated[Literal["call", "put"] | None, doc("Right of an option.")] = None
    average_daily_volume: Annotated[
        Quantity | None, doc("Average daily volume, in units of quantity.")
    ] = None
    venue: Annotated[str | None, doc("Venue on which it is listed first.")] = None
    isin: Annotated[str | None, doc("ISO 6166 number.")] = None


class InstrumentDefined(Event, frozen=True, kw_only=True):
    """An instrument can be traded from now on, or its properties changed."""

    pattern = "mts.v1.registry.instrument.defined"
    data: Instrument


class Session(Data, frozen=True, kw_only=True):
    """One trading session."""

    day: Annotated[Day, doc("Day to which the session counts.")]
    opens_at: Annotated[
        str, doc("Local wall-clock time HH:MM; of the day before if it is after closes_at.")
    ]
    closes_at: Annotated[str, doc("Local wall-clock time HH:MM; 00:00 is the end of the day.")]


class Calendar(Data, frozen=True, kw_only=True):
    """The sessions of a market over a span of days."""

    calendar_id: Annotated[Id, doc("Id by which funds name it.")]
    zone: Annotated[str, doc("IANA time zone of the sessions.")]
    first_day: Annotated[Day, doc("First day that this calendar covers.")]
    last_day: Annotated[Day, doc("Last day that this calendar covers.")]
    sessions: Annotated[
        tuple[Session, ...], doc("Sessions in time order; a covered day without one is closed.")
    ]


class CalendarPublished(Event, frozen=True, kw_only=True):
    """A market's trading days and hours; a later one for the same span replaces it."""

    pattern = "mts.v1.registry.calendar.published"
    data: Calendar


class Service(Data, frozen=True, kw_only=True):
    """A service whose health is watched."""

    name: Annotated[Token, doc("Name of the service.")]
    healthz_url: Annotated[str, doc("Address that answers 200 when it is well.")]
    poll_seconds: Annotated[float, doc("Time between polls, in seconds.")] = 10.0
    timeout_ms: Annotated[int, doc("Longest wait for an answer, in milliseconds.")] = 2000
    criticality: Annotated[Literal["low", "normal", "critical"], doc("How much depends on it.")] = (
        "normal"
    )


class ServiceRegistered(Event, frozen=True, kw_only=True):
    """A service is to be watched from now on."""

    pattern = "mts.v1.registry.service.registered"
    data: Service


class ServiceLeaving(Data, frozen=True, kw_only=True):
    """A service that is no longer watched."""

    name: Annotated[Token, doc("Name of the service.")]
    reason: Annotated[str, doc("Why it leaves.")]


class ServiceDeregistered(Event, frozen=True, kw_only=True):
    """A service is no longer to be watched."""

    pattern = "mts.v1.registry.service.deregistered"
    data: ServiceLeaving
