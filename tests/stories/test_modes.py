"""Do some watchdogs act while others observe, and in some funds only, in a real process?"""

import msgspec
import pytest
from earning import BAD, baseline
from earning import live as earned
from halting import Firm
from support import eventually
from tested_fund import backtest
from tested_fund import live as lived
from volatile_fund import CALM, WILD, fund, history
from watched_firm import put, watched

from operations.events.actions import ActionRequested
from operations.events.base import Event, encode
from operations.watchdogs import portfolio_vol_dd, predictive_health, strategy_watchdog

pytestmark = pytest.mark.integration
VOLATILITY, HEALTH, PROFITS = (
    each.NAME for each in (portfolio_vol_dd, predictive_health, strategy_watchdog)
)
FINDINGS = "mts.v1.operations.finding.*.*"
WILD_FUND = list(history([CALM] * 40 + [WILD] * 8))
FALLING_FUND = [fund(), backtest(1), *lived([-0.04] * 18)]
LOSING_STRATEGY = [baseline(), *earned(BAD)]


def of_fund(fund_id: str, events: list[Event]) -> list[Event]:
    """The same events, of another fund."""

    def other(name):
        return f"{fund_id}-{name}" if name == "mom" else name and name.replace("alpha", fund_id)

    return [
        msgspec.structs.replace(
            each, event_id=f"{fund_id}-{number}", subject_id=other(each.subject_id),
            fund_id=other(each.fund_id), strategy_id=other(each.strategy_id),
        )
        for number, each in enumerate(events)
    ]  # fmt: skip


async def publish(firm: Firm, events: list[Event]) -> None:
    client = await firm.nats.connect("publisher")
    try:
        for each in events:
            await client.jetstream().publish(each.subject, encode(each))
    finally:
        await client.close()


async def found(firm: Firm) -> dict[tuple[str, str], tuple[str, bool, bool]]:
    """What was raised: watchdog and unit, with its mode, whether it would have acted and did."""
    findings = [each for each in await firm.stored(FINDINGS) if each.subject.endswith(".raised")]
    actions = {each.data.episode: each for each in await firm.stored(ActionRequested.pattern)}
    assert len(actions) == len(await firm.stored(ActionRequested.pattern))
    return {
        (each.data.check, each.subject_id): (
            each.data.mode, each.data.would_have is not None, each.data.episode in actions,
        )
        for each in findings
    }  # fmt: skip


async def raised(firm: Firm, expected) -> None:
    """Wait until exactly this was raised, and see that another start adds nothing."""
    async with watched(firm):

        async def there() -> bool:
            return await found(firm) == expected

        await eventually(there, f"raised is {expected}")
    async with watched(firm) as worker:
        assert not worker.conditions.get("worker").detail.startswith("0 units")
    assert await found(firm) == expected


async def test_each_fund_has_its_own_mode_and_its_own_limit(nats_server):
    firm = Firm(nats_server)
    await put(firm, f"{VOLATILITY}.mode", "act")
    await put(firm, f"{VOLATILITY}.mode", "observe", "beta")
    await put(firm, f"{VOLATILITY}.mode", "off", "gamma")
    await put(firm, f"{VOLATILITY}.enter_multiple", "100", "delta")
    for fund_id in ("alpha", "beta", "gamma", "delta"):
        await publish(firm, of_fund(fund_id, WILD_FUND))
    expected = {
        (VOLATILITY, "alpha"): ("act", False, True),
        (VOLATILITY, "beta"): ("observe", True, False),
    }
    await raised(firm, expected)


async def test_some_watchdogs_act_while_others_of_the_same_fund_observe(nats_server):
    firm = Firm(nats_server)
    await put(firm, f"{PROFITS}.mode", "act")
    await publish(firm, [*WILD_FUND, *of_fund("alpha", LOSING_STRATEGY)])
    expected = {
        (VOLATILITY, "alpha"): ("observe", True, False),
        (PROFITS, "alpha-mom"): ("act", False, True),
    }
    await raised(firm, expected)


async def test_a_losing_strategy_is_to_trade_in_the_shadow_until_a_person_ends_it(nats_server):
    firm = Firm(nats_server)
    await put(firm, f"{PROFITS}.mode", "act")
    await publish(firm, LOSING_STRATEGY)
    await raised(firm, {(PROFITS, "mom"): ("act", False, True)})
    (action,) = await firm.stored(ActionRequested.pattern)
    wanted = action.data
    assert (wanted.kind, wanted.scope, wanted.scope_id) == ("shadow", "strategy", "mom")
    assert (wanted.check, wanted.until, action.fund_id) == (PROFITS, None, "alpha")


async def test_a_fund_that_leaves_the_envelope_of_its_backtest_is_said_once(nats_server):
    firm = Firm(nats_server)
    await put(firm, f"{HEALTH}.mode", "act")
    await publish(firm, FALLING_FUND)
    async with watched(firm):

        async def there() -> bool:
            return (HEALTH, "alpha") in await found(firm)

        await eventually(there, "it is raised")
    (finding,) = [each for each in await firm.stored(FINDINGS) if each.data.check == HEALTH]
    assert (finding.data.mode, finding.data.severity) == ("act", "warning")
    assert finding.data.statistic < finding.data.threshold
