"""The firm that is simulated: two funds, five strategies, ten instruments, and who serves them."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

from msgspec import Struct

from operations.events.base import Event
from operations.events.registry import (
    Account,
    AccountRegistered,
    Calendar,
    CalendarPublished,
    Fund,
    FundRegistered,
    Instrument,
    InstrumentDefined,
    Service,
    ServiceRegistered,
    Session,
    Strategy,
    StrategyRegistered,
)
from operations.simulation.writer import Writer, money

BASE = "USD"
CALENDAR = "SIM"
OPENS = "14:30"  # UTC
CLOSES = "21:00"


class Asset(Struct, frozen=True, kw_only=True):
    """An instrument with what its simulated market needs. Prices in cents of its currency."""

    symbol: str
    kind: Literal["equity", "etf", "future", "option"] = "equity"
    currency: str = BASE
    multiplier: int = 1
    price_cents: int
    step_ppm: int = 70  # size of one step of its price, in millionths
    spread_cents: int = 2
    volume: int = 10_000_000  # units per day
    underlying: str | None = None
    strike_cents: int | None = None
    expires_on: str | None = None


class Trader(Struct, frozen=True, kw_only=True):
    """A strategy: what it trades, how often and how large."""

    strategy_id: str
    fund_id: str
    account_id: str
    symbols: tuple[str, ...]
    style: Literal["reversion", "momentum", "theta"]
    gap_ms: int  # mean time between its signals
    order_cents: int  # typical size of an order
    capital_cents: int


class House(Struct, frozen=True, kw_only=True):
    """A fund: its money and its limits."""

    fund_id: str
    trading: Literal["live", "paper"]
    capital_cents: int


ASSETS = (
    Asset(symbol="AAPL", price_cents=187_40, volume=48_000_000),
    Asset(symbol="MSFT", price_cents=421_10, volume=22_000_000),
    Asset(symbol="NVDA", price_cents=142_80, step_ppm=120, volume=210_000_000),
    Asset(symbol="JPM", price_cents=243_50, volume=9_000_000),
    Asset(symbol="XOM", price_cents=119_20, volume=15_000_000),
    Asset(symbol="KO", price_cents=63_90, step_ppm=40, volume=13_000_000),
    Asset(symbol="SPY", kind="etf", price_cents=592_30, step_ppm=40, volume=45_000_000),
    Asset(symbol="SAP.DE", currency="EUR", price_cents=221_60, volume=1_800_000),
    Asset(
        symbol="ESZ6", kind="future", multiplier=50, price_cents=5930_00, step_ppm=40,
        spread_cents=25, volume=1_500_000, expires_on="2026-12-18",
    ),
    Asset(
        symbol="AAPL261218C190", kind="option", multiplier=100, price_cents=4_30, step_ppm=250,
        volume=40_000, underlying="AAPL", strike_cents=190_00, expires_on="2026-12-18",
    ),
)  # fmt: skip

HOUSES = (
    House(fund_id="alpha", trading="live", capital_cents=25_000_000_00),
    House(fund_id="beta", trading="paper", capital_cents=5_000_000_00),
)

TRADERS = (
    Trader(
        strategy_id="mean-rev", fund_id="alpha", account_id="acc-alpha-1", style="reversion",
        symbols=("AAPL", "MSFT", "JPM", "XOM", "KO"), gap_ms=12_000,
        order_cents=60_000_00, capital_cents=12_000_000_00,
    ),
    Trader(
        strategy_id="momentum", fund_id="alpha", account_id="acc-alpha-1", style="momentum",
        symbols=("NVDA", "SPY", "ESZ6", "SAP.DE"), gap_ms=20_000,
        order_cents=120_000_00, capital_cents=10_000_000_00,
    ),
    Trader(
        strategy_id="theta", fund_id="alpha", account_id="acc-alpha-2", style="theta",
        symbols=("AAPL261218C190", "AAPL"), gap_ms=90_000,
        order_cents=8_000_00, capital_cents=3_000_000_00,
    ),
    Trader(
        strategy_id="mean-rev-paper", fund_id="beta", account_id="acc-beta-1",
        style="reversion", symbols=("AAPL", "MSFT", "KO"), gap_ms=20_000,
        order_cents=30_000_00, capital_cents=3_000_000_00,
    ),
    Trader(
        strategy_id="momentum-paper", fund_id="beta", account_id="acc-beta-1",
        style="momentum", symbols=("NVDA", "SPY"), gap_ms=30_000,
        order_cents=40_000_00, capital_cents=2_000_000_00,
    ),
)  # fmt: skip

TRADING = {house.fund_id: house.trading for house in HOUSES}

SERVICES: tuple[tuple[str, Literal["normal", "critical"]], ...] = (
    ("oms", "critical"),
    ("market-data", "critical"),
    ("news", "normal"),
)


def calendar(writer: Writer, day: str, at: int) -> Event:
    """The one session of a day."""
    session = Session(day=day, opens_at=OPENS, closes_at=CLOSES)
    published = Calendar(
        calendar_id=CALENDAR, zone="UTC", first_day=day, last_day=day, sessions=(session,)
    )
    return writer.write(CalendarPublished, at, CALENDAR, published, by="registry")


def registrations(writer: Writer, at: int) -> Iterator[Event]:
    """What the registry says before the first day."""
    for house in HOUSES:
        yield writer.write(
            FundRegistered, at, house.fund_id, _fund(house), by="registry", fund_id=house.fund_id
        )
    for account_id, fund_id in dict.fromkeys((t.account_id, t.fund_id) for t in TRADERS):
        account = Account(fund_id=fund_id, trading=TRADING[fund_id], broker="simulated")
        yield writer.write(
            AccountRegistered, at, account_id, account,
            by="registry", fund_id=fund_id, account_id=account_id,
        )  # fmt: skip
    for trader in TRADERS:
        strategy = Strategy(
            name=trader.strategy_id, fund_id=trader.fund_id, account_ids=(trader.account_id,)
        )
        yield writer.write(
            StrategyRegistered, at, trader.strategy_id, strategy,
            by="registry", fund_id=trader.fund_id, strategy_id=trader.strategy_id,
        )  # fmt: skip
    for asset in ASSETS:
        yield writer.write(InstrumentDefined, at, asset.symbol, _instrument(asset), by="registry")
    for number, (name, criticality) in enumerate(SERVICES):
        service = Service(
            name=name,
            healthz_url=f"http://127.0.0.1:{18400 + number}/healthz",
            criticality=criticality,
        )
        yield writer.write(ServiceRegistered, at, name, service, by="registry")


def _fund(house: House) -> Fund:
    return Fund(
        name=house.fund_id,
        base_currency=BASE,
        trading=house.trading,
        day_end_time="21:05",
        day_end_zone="UTC",
        calendar_id=CALENDAR,
        drawdown_halt_pct=Decimal(10),
        daily_loss_halt_pct=Decimal(4),
        target_volatility=0.1,
    )


def _instrument(asset: Asset) -> Instrument:
    return Instrument(
        symbol=asset.symbol,
        kind=asset.kind,
        currency=asset.currency,
        multiplier=Decimal(asset.multiplier),
        tick_size=Decimal("0.01"),
        underlying=asset.underlying,
        expires_on=asset.expires_on,
        strike_price=None if asset.strike_cents is None else money(asset.strike_cents),
        option_right="call" if asset.kind == "option" else None,
        average_daily_volume=Decimal(asset.volume),
        venue="SIMX",
    )
