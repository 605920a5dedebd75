"""What the simulated back office says: values, profit and loss, exposure, greeks, baselines."""

import math
from collections.abc import Iterator
from random import Random
from typing import Any

from operations.events.base import Data, Event
from operations.events.portfolio import (
    NavMarked,
    NetAssetValue,
    PortfolioBaseline,
    PortfolioBaselinePublished,
)
from operations.events.positions import (
    Exposure,
    ExposureMarked,
    Greeks,
    GreeksMarked,
    Holding,
    PositionSnapshotted,
    Snapshot,
)
from operations.events.strategies import (
    ForecastScore,
    ForecastScored,
    PnlMarked,
    ProfitAndLoss,
    StrategyBaseline,
    StrategyBaselinePublished,
)
from operations.simulation.agenda import Agenda
from operations.simulation.ledger import Ledger, Position
from operations.simulation.market import MINUTE, draw
from operations.simulation.world import BASE, HOUSES, TRADERS, TRADING, House, Trader
from operations.simulation.writer import Writer, base_money, money, quantity, timestamp

ACCOUNTING = "accounting"
SNAPSHOT_MINUTES = 60
EXPOSURE_MINUTES = 5
DAYS_TO_EXPIRY = 28
IMPLIED_VOLATILITY = 0.27


class BackOffice:
    """Values everything once a minute, and once more when the day is over."""

    def __init__(self, chance: Random, writer: Writer, ledger: Ledger, agenda: Agenda) -> None:
        self._chance = chance
        self._writer = writer
        self._ledger = ledger
        self._agenda = agenda
        self._opens_ns = 0
        self._closes_ns = 0
        self._day = ""

    def start(self, day: str, at: int) -> Iterator[Event]:
        """What every fund and strategy is judged against."""
        for house in HOUSES:
            baseline = PortfolioBaseline(
                baseline_id=f"bas-{house.fund_id}", go_live=day, horizon_days=250,
                net_of_costs=True, mean=0.0004, standard_deviation=0.0063, days=1250,
            )  # fmt: skip
            yield self._of_fund(PortfolioBaselinePublished, house, at, baseline)
        for trader in TRADERS:
            history = StrategyBaseline(
                baseline_id=f"bas-{trader.strategy_id}", currency=BASE, ic_mean=0.03,
                ic_standard_deviation=0.1, days=500, return_mean=0.0004,
                return_standard_deviation=0.008,
                typical_order_notional=money(trader.order_cents), order_log_size_deviation=0.3,
            )  # fmt: skip
            yield self._of_strategy(StrategyBaselinePublished, trader, at, history)

    def open(self, day: str, opens_ns: int, closes_ns: int) -> None:
        """Plan a day."""
        self._day = day
        self._opens_ns, self._closes_ns = opens_ns, closes_ns
        self._ledger.start_day()
        self._agenda.plan(opens_ns, self._mark)
        self._agenda.plan(closes_ns + 5 * MINUTE, self._end)

    def _mark(self, at: int) -> Iterator[Event]:
        minute = (at - self._opens_ns) // MINUTE
        yield from self._value(at, final=False)
        if minute % EXPOSURE_MINUTES == 0:
            yield from self._expose(at)
            yield from self._sensitivities(at)
        if minute % SNAPSHOT_MINUTES == 0:
            yield from self._snapshot(at)
        if at + MINUTE <= self._closes_ns:
            self._agenda.plan(at + MINUTE, self._mark)

    def _end(self, at: int) -> Iterator[Event]:
        yield from self._value(at, final=True)
        yield from self._snapshot(at)
        for trader in TRADERS:
            score = ForecastScore(
                day=self._day, horizon_days=1, method="spearman",
                information_coefficient=(30 + 35 * draw(self._chance)) / 1000, names=100,
            )  # fmt: skip
            yield self._of_strategy(ForecastScored, trader, at, score)

    def _value(self, at: int, *, final: bool) -> Iterator[Event]:
        ledger = self._ledger
        for house in HOUSES:
            value = NetAssetValue(
                as_of=timestamp(at),
                nav=base_money(ledger.nav_micros(house.fund_id)),
                currency=BASE,
                start_of_day_nav=base_money(ledger.start_of_day_micros[house.fund_id]),
                final=final,
            )
            yield self._of_fund(NavMarked, house, at, value)
        for trader in TRADERS:
            realised = unrealised = fees = 0
            for position in ledger.held_by(strategy_id=trader.strategy_id):
                rate = ledger.rates[position.asset.currency]
                realised += position.realised_cents * rate
                fees += position.fees_cents * rate
                unrealised += ledger.value_micros(position) - position.cost_cents * rate
            result = ProfitAndLoss(
                as_of=timestamp(at),
                realised=base_money(realised),
                unrealised=base_money(unrealised),
                fees=base_money(fees),
                allocated_capital=money(trader.capital_cents),
                currency=BASE,
                final=final,
            )
            yield self._of_strategy(PnlMarked, trader, at, result)

    def _expose(self, at: int) -> Iterator[Event]:
        for house in HOUSES:
            values = [
                self._ledger.value_micros(p) for p in self._ledger.held_by(fund_id=house.fund_id)
            ]
            exposure = Exposure(
                as_of=timestamp(at),
                gross=base_money(sum(map(abs, values))),
                net=base_money(sum(values)),
                currency=BASE,
            )
            yield self._of_fund(ExposureMarked, house, at, exposure)

    def _snapshot(self, at: int) -> Iterator[Event]:
        for trader in TRADERS:
            held = self._ledger.held_by(strategy_id=trader.strategy_id)
            snapshot = Snapshot(
                as_of=timestamp(at), holdings=tuple(self._holding(p) for p in held if p.quantity)
            )
            yield self._of_strategy(PositionSnapshotted, trader, at, snapshot)

    def _holding(self, position: Position) -> Holding:
        units = position.quantity * position.asset.multiplier
        return Holding(
            symbol=position.asset.symbol,
            quantity=quantity(position.quantity),
            average_price=money(position.cost_cents // units),
            mark_price=money(self._ledger.marks_cents[position.asset.symbol]),
            currency=position.asset.currency,
        )

    def _sensitivities(self, at: int) -> Iterator[Event]:
        for position in self._ledger.positions.values():
            asset = position.asset
            if asset.underlying and asset.strike_cents and position.quantity:
                spot = self._ledger.marks_cents[asset.underlying]
                delta, theta = call_greeks(spot, asset.strike_cents)
                greeks = Greeks(
                    symbol=asset.symbol,
                    quantity=quantity(position.quantity),
                    currency=asset.currency,
                    marked_at=timestamp(at),
                    theta_per_day=money(theta),
                    delta=delta,
                    implied_volatility=IMPLIED_VOLATILITY,
                    spot_price=money(spot),
                    model="black-scholes",
                )
                yield self._of_strategy(
                    GreeksMarked, position.trader, at, greeks, subject_id=asset.symbol
                )

    def _of_fund(self, kind: type[Event], house: House, at: int, data: Data) -> Event:
        return self._writer.write(
            kind, at, house.fund_id, data,
            by=ACCOUNTING, environment=house.trading, fund_id=house.fund_id,
        )  # fmt: skip

    def _of_strategy(
        self, kind: type[Event], trader: Trader, at: int, data: Data, **keys: Any
    ) -> Event:
        return self._writer.write(
            kind, at, keys.pop("subject_id", trader.strategy_id), data,
            by=ACCOUNTING, environment=TRADING[trader.fund_id], fund_id=trader.fund_id,
            strategy_id=trader.strategy_id, account_id=trader.account_id, **keys,
        )  # fmt: skip


def call_greeks(spot_cents: int, strike_cents: int) -> tuple[float, int]:
    """Return delta, and theta in cents per calendar day, of a call: Black-Scholes without rates.

    Rounded to four places and to cents, so that the last bit of a machine's logarithm is lost.
    """
    years = DAYS_TO_EXPIRY / 365
    deviation = IMPLIED_VOLATILITY * math.sqrt(years)
    d1 = math.log(spot_cents / strike_cents) / deviation + deviation / 2
    density = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
    theta_per_year = -spot_cents * density * IMPLIED_VOLATILITY / (2 * math.sqrt(years))
    return round((1 + math.erf(d1 / math.sqrt(2))) / 2, 4), round(theta_per_year / 365)
