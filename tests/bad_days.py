"""What happens to strategies, funds and services on a bad day, as trading services say it."""

from collections.abc import Iterator
from decimal import Decimal
from random import Random
from typing import Any, Literal

import msgspec
from halting import envelope

from operations.clock import NANOSECONDS, now_ns, rfc3339
from operations.events.base import Event
from operations.events.portfolio import NavMarked, NetAssetValue
from operations.events.registry import (
    Fund,
    FundRegistered,
    Service,
    ServiceRegistered,
    Strategy,
    StrategyRegistered,
)
from operations.events.strategies import (
    ForecastScore,
    ForecastScored,
    PnlMarked,
    ProfitAndLoss,
    StrategyBaseline,
    StrategyBaselinePublished,
)
from operations.halt.drift import MINIMUM_DAYS
from operations.simulation.order_flow import registrations
from operations.simulation.writer import Writer

DAY_NS = 86_400 * NANOSECONDS
DAILY_LOSS_PCT, DRAWDOWN_PCT = Decimal(4), Decimal(50)
COEFFICIENT, SPREAD = 0.03, 0.1  # of the daily forecasts of a quiet strategy
PROFIT, RISK = 0.0005, 0.01  # of its daily returns


def day(ago: int) -> str:
    """Return a day so many days before this one."""
    return rfc3339(now_ns() - ago * DAY_NS)[:10]


def with_limits(event: Event) -> Event:
    """Give a fund limits, and a day that ends far from now."""
    if not isinstance(event, FundRegistered):
        return event
    data = msgspec.structs.replace(
        event.data,
        daily_loss_halt_pct=DAILY_LOSS_PCT,
        drawdown_halt_pct=DRAWDOWN_PCT,
        day_end_time=rfc3339(now_ns() + DAY_NS // 2)[11:16],
        day_end_zone="UTC",
    )
    return msgspec.structs.replace(event, data=data)


def registered(name: str) -> list[Event]:
    """Return the registry of the paper firm, with limits for its funds."""
    return [with_limits(each) for each in registrations(Writer(name), now_ns())]


def scored(
    strategy_id: str, fund_id: str, value: float, ago: int,
    method: Literal["spearman", "pearson"] = "spearman",
) -> ForecastScored:  # fmt: skip
    data = ForecastScore(
        day=day(ago), horizon_days=1, information_coefficient=max(-1.0, min(1.0, value)),
        method=method, names=100,
    )  # fmt: skip
    keys = {"strategy_id": strategy_id, "fund_id": fund_id}
    return ForecastScored(**envelope(strategy_id, **keys), data=data)


class Drifting:
    """A strategy whose forecasts rank worse for months, and then the wrong way round.

    While they are only worse, `drift_monitor` finds them after 140 days and `limits` does not.
    """

    MONTHS, WRONG = 145, 55  # of the wrong days two looks of `limits` see enough

    def __init__(self, strategy_id: str, fund_id: str) -> None:
        self.keys = {"strategy_id": strategy_id, "fund_id": fund_id}
        self._chance = Random(1)

    def drifts(self) -> Iterator[Event]:
        data = StrategyBaseline(
            baseline_id="b-1", currency="USD", ic_mean=0.03, ic_standard_deviation=0.2, days=500
        )
        yield StrategyBaselinePublished(
            **envelope(self.keys["strategy_id"], **self.keys), data=data
        )
        for ago in range(self.MONTHS + self.WRONG, self.WRONG, -1):
            yield scored(**self.keys, value=0.012 + self._chance.gauss(0, 0.03), ago=ago)

    def fails(self) -> Iterator[Event]:
        for ago in range(self.WRONG, 0, -1):
            yield scored(**self.keys, value=-0.6 + self._chance.gauss(0, 0.03), ago=ago)


class Losing:
    """A fund that began its day at 100; each value comes three times, as confirmations need."""

    def __init__(self, fund_id: str) -> None:
        self._fund_id = fund_id
        self._second = 0
        self._began_ns = now_ns() - 3600 * NANOSECONDS

    def at(self, nav: str) -> list[Event]:
        return [self._mark(nav) for _ in range(3)]

    def _mark(self, nav: str) -> NavMarked:
        self._second += 1
        return valued(self._fund_id, Decimal(nav), self._began_ns + self._second * NANOSECONDS)


def valued(fund_id: str, nav: Decimal, at_ns: int) -> NavMarked:
    data = NetAssetValue(
        as_of=rfc3339(at_ns), nav=nav, currency="USD", start_of_day_nav=Decimal(100)
    )
    return NavMarked(**envelope(fund_id, fund_id=fund_id), data=data)


def served(name: str, url: str) -> ServiceRegistered:
    data = Service(name=name, healthz_url=url, poll_seconds=1.0, criticality="critical")
    return ServiceRegistered(**envelope(name), data=data)


class Quiet:
    """Twenty strategies of one fund that do what their baselines promised, and nothing else."""

    FUND, SCORED_DAYS, SETTLED_DAYS = "quiet", 150, 60
    NAMES = tuple(f"quiet-{number:02}" for number in range(20))

    def __init__(self) -> None:
        self._chance = Random(7)

    def before(self) -> Iterator[Event]:
        """The registry, the baselines, and the days until now."""
        fund = Fund(
            name=self.FUND, base_currency="USD", trading="live", day_end_time="00:00",
            day_end_zone="UTC",
        )  # fmt: skip
        yield with_limits(FundRegistered(**envelope(self.FUND), data=fund))
        for name in self.NAMES:
            strategy = Strategy(name=name, fund_id=self.FUND, account_ids=(f"{name}-1",))
            yield StrategyRegistered(**envelope(name, fund_id=self.FUND), data=strategy)
            yield self._baseline(name)
        for ago in range(self.SCORED_DAYS, 0, -1):
            for name in self.NAMES:
                yield scored(name, self.FUND, self._chance.gauss(COEFFICIENT, SPREAD), ago)
                if ago <= self.SETTLED_DAYS:
                    yield self._profit(name, f"{day(ago)}T21:00:00Z", final=True)

    def shift(self) -> Iterator[Event]:
        """Eight hours of marks: strategies every five minutes, the fund every minute."""
        began_ns, nav = now_ns() - 8 * 3600 * NANOSECONDS, 100.0
        for minute in range(480):
            at_ns = began_ns + minute * 60 * NANOSECONDS
            nav *= 1 + self._chance.gauss(0, 0.0002)
            yield valued(self.FUND, Decimal(f"{nav:.4f}"), at_ns)
            if minute % 5 == 0:
                for name in self.NAMES:
                    yield self._profit(name, rfc3339(at_ns), final=False)

    def breaks(self) -> Iterator[Event]:
        """One of them forecasts the wrong way round, by a second measure of its forecasts."""
        for ago in range(MINIMUM_DAYS, 0, -1):
            value = self._chance.gauss(-0.6, SPREAD)
            yield scored(self.NAMES[0], self.FUND, value, ago, "pearson")

    def _baseline(self, name: str) -> Event:
        draw = self._chance.gauss
        data = StrategyBaseline(
            baseline_id=f"{name} v1", currency="USD",
            daily_information_coefficients=tuple(draw(COEFFICIENT, SPREAD) for _ in range(250)),
            daily_returns=tuple(draw(PROFIT, RISK) for _ in range(250)),
        )  # fmt: skip
        known_since = {"timestamp": f"{day(self.SCORED_DAYS + 1)}T00:00:00Z"}
        return StrategyBaselinePublished(**self._of(name) | known_since, data=data)

    def _profit(self, name: str, as_of: str, *, final: bool) -> Event:
        data = ProfitAndLoss(
            as_of=as_of, realised=Decimal(f"{1000 * self._chance.gauss(PROFIT, RISK):.4f}"),
            unrealised=Decimal(0), fees=Decimal(0), allocated_capital=Decimal(1000),
            currency="USD", final=final,
        )  # fmt: skip
        return PnlMarked(**self._of(name), data=data)

    def _of(self, name: str) -> dict[str, Any]:
        return envelope(name, strategy_id=name, fund_id=self.FUND)
