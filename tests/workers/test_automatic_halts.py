"""Does what a check finds reach every order system as the right halt, with nobody in between?

From the event that the check judges, through the limits worker and a halt worker, to an order
that is refused: each link is a process's own code, and the bus is real.
"""

from contextlib import asynccontextmanager
from decimal import Decimal

import msgspec
import pytest
from halting import HALTS, REQUESTED, Firm, envelope, in_this_loop, ready
from oms_cases import ACCOUNT, REGISTERED, STRATEGY, code, leased, order, register, trading, verdict
from support import eventually

from operations.clock import NANOSECONDS, now_ns, rfc3339
from operations.events.news import Beat, FeedBeat, Story, StoryPublished
from operations.events.portfolio import NavMarked, NetAssetValue
from operations.events.positions import Holding, PositionSnapshotted, Snapshot
from operations.events.registry import FundRegistered
from operations.events.strategies import (
    ForecastScore,
    ForecastScored,
    StrategyBaseline,
    StrategyBaselinePublished,
)
from operations.halt.drift import MINIMUM_DAYS
from operations.halt.news_volume import HOUR_NS, MINIMUM_HOURS, MINUTE_NS
from workers import limits

pytestmark = pytest.mark.integration
HELD = ("AAPL", "MSFT", "KO", "XOM", "JPM")
DAY_NS = 24 * HOUR_NS
OTHER = {"strategy_id": "momentum", "fund_id": "beta", "account_id": "acc-2"}


@pytest.fixture
def firm(nats_server) -> Firm:
    return Firm(nats_server, order_systems="oms-1")


@asynccontextmanager
async def floor_of(firm, folder):
    """Run the limits worker, a halt worker and an order system that holds ten shares."""
    limited = [with_limits(event) for event in REGISTERED]
    await register(firm, *limited)
    async with (
        in_this_loop("limits", firm.settings("limits"), limits.run) as worker,
        firm.working() as halting,
        trading(firm, folder) as (oms, floor),
        firm.connected("operator") as person,
    ):
        await ready(worker, *halting)
        oms.gate.position(ACCOUNT, "AAPL", Decimal(10))
        await leased(oms)
        await person.listen(HALTS)
        assert await verdict(floor, order("before", "1")) == "send"
        yield person, floor


def with_limits(event):
    if not isinstance(event, FundRegistered):
        return event
    data = msgspec.structs.replace(
        event.data,
        drawdown_halt_pct=Decimal(10),
        daily_loss_halt_pct=Decimal(4),
        day_end_time=rfc3339(now_ns() + DAY_NS // 2)[11:16],  # far from now
        day_end_zone="UTC",
    )
    return msgspec.structs.replace(event, data=data)


def mark(nav, number):
    data = NetAssetValue(
        as_of=rfc3339(now_ns() - (100 - number) * NANOSECONDS),
        nav=Decimal(nav),
        currency="USD",
        start_of_day_nav=Decimal(100),
    )
    return NavMarked(**envelope("alpha", fund_id="alpha"), data=data)


def score(days_ago):
    data = ForecastScore(
        day=rfc3339(now_ns() - days_ago * DAY_NS)[:10],
        horizon_days=1,
        information_coefficient=-0.5,
        method="spearman",
        names=100,
    )
    return ForecastScored(**envelope(STRATEGY, strategy_id=STRATEGY), data=data)


def story(number, at_ns):
    data = Story(
        story_id=f"s-{number}",
        feed="wire",
        headline_hash=f"h-{number}",
        published_at=rfc3339(at_ns),
        tickers=(HELD[number % len(HELD)],),
    )
    return StoryPublished(**envelope(data.story_id), data=data)


def losing():
    return [mark(nav, number) for number, nav in enumerate(("100", "95", "95", "95"))]


def sinking():
    return [mark(nav, number) for number, nav in enumerate(("110", "98", "98", "98"))]


def drifting():
    data = StrategyBaseline(baseline_id="b", currency="USD", ic_mean=0.5, ic_standard_deviation=0.5)
    base = StrategyBaselinePublished(**envelope(STRATEGY, strategy_id=STRATEGY), data=data)
    return [base, *(score(days_ago) for days_ago in range(MINIMUM_DAYS, 0, -1))]


def storming():
    """A quiet month and then a storm about everything that is held, two hours ago."""
    storm_ns = (now_ns() // HOUR_NS - 2) * HOUR_NS
    holdings = tuple(Holding(symbol=each, quantity=Decimal(5)) for each in HELD)
    held = Snapshot(as_of=rfc3339(now_ns()), holdings=holdings)
    beat = Beat(feed="wire", stories=0, interval_seconds=60.0)
    return [
        PositionSnapshotted(**envelope(ACCOUNT, account_id=ACCOUNT), data=held),
        FeedBeat(**envelope("wire"), data=beat),
        story(0, storm_ns - (MINIMUM_HOURS + 1) * HOUR_NS),
        *(
            story(1 + 20 * minute + number, storm_ns + minute * MINUTE_NS)
            for minute in range(4)
            for number in range(20)
        ),
    ]


def unknown():
    return [mark(nav, number) for number, nav in enumerate(("100", "0", "0", "0"))]


CASES = {
    "daily_loss": (losing, "DAILY_LOSS", "FUND_HALT", "FUND_HALTED"),
    "drawdown": (sinking, "DRAWDOWN", "STRATEGY_HALT", "STRATEGY_HALTED"),
    "drift_zscore": (drifting, "DRIFT_ZSCORE", "STRATEGY_HALT", "STRATEGY_HALTED"),
    "news_aggregate": (storming, "NEWS_SPIKE", "FIRM_HALT", "FIRM_HALTED"),
    "limits": (unknown, "STALE_DATA", "FUND_HALT", "FUND_HALTED"),
}


@pytest.mark.parametrize("check", CASES)
async def test_pitfall_19_what_a_check_sees_is_refused_at_the_gate_without_anybodys_help(
    firm, tmp_path, monkeypatch, check
):
    monkeypatch.setattr("operations.halt.losses.STALE_NS", 0)  # the five minutes are over at once
    happens, reason, level, denied = CASES[check]
    async with floor_of(firm, tmp_path) as (person, floor):
        await register(firm, *happens())
        heard = await person.hears(REQUESTED, reason_code=reason)
        said = heard["data"]
        assert (said["level"], said["requested_by"]) == (level, check)
        named = (heard.get("strategy_id"), heard.get("fund_id"))
        assert named == {
            "STRATEGY_HALT": (STRATEGY, "alpha"), "FUND_HALT": (None, "alpha"),
        }.get(level, (None, None))  # fmt: skip
        mode = "REDUCE_ONLY" if check == "limits" else None  # null is the default: it blocks all
        assert said.get("mode") == mode
        await eventually(lambda: code(floor.trade(order("after", "1"))) == denied, message=denied)
        smaller = code(floor.trade(order("smaller", "1", side="sell")))
        assert (smaller == "send") == (check == "limits")
        beside = code(floor.trade(order("beside", **OTHER)))
        assert beside == ("FIRM_HALTED" if level == "FIRM_HALT" else "send")
        assert await firm.active() == {said["halt_id"]}
