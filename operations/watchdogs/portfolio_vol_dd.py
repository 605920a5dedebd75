"""Does a fund vary more than it aims at?

The EWMA volatility of its daily returns (RiskMetrics, decay 0.94) is compared with the target that
is registered for the fund. Beyond `enter_multiple` times the target its gross exposure shall come
down to what would meet the target; the episode is over below `exit_multiple`, so that a fund near
the limit does not flicker.

One day is no volatility: with heavy tails a fund that is exactly on target would be beyond 1.5
times of it in half of all years. So the same estimate from returns that count for no more than
`capped_at` daily targets each has to be beyond `confirm_multiple` too (docs/calibration.md).
A loss that large stops the fund all the same: drawdown and daily loss of a fund are limits of the
worker `limits`, which acts on every mark.
"""

import math
from collections.abc import Iterator, Sequence
from decimal import ROUND_DOWN, Decimal
from typing import Annotated, NamedTuple

import numpy as np
from msgspec import Meta
from numpy.typing import ArrayLike

from operations.checks import (
    EachEvent,
    Episode,
    Limits,
    Look,
    Proposal,
    Row,
    Stored,
    Table,
    Verdict,
    Watchdog,
)
from operations.clock import near_ns, rfc3339
from operations.events.base import Event, doc
from operations.events.findings import Parameter
from operations.events.portfolio import NavMarked, NetAssetValue
from operations.events.positions import Exposure, ExposureMarked
from operations.events.registry import Fund, FundRegistered
from operations.settings.catalogue import LOOSER_HIGHER, LOOSER_LOWER
from operations.statistics.samples import Floats
from operations.statistics.volatility import (
    RISKMETRICS_DAILY_DECAY,
    TRADING_DAYS_PER_YEAR,
    ewma_variances,
)
from operations.watchdogs import settled
from operations.watchdogs.cases import Case
from operations.watchdogs.settled import DAY_NS, is_overdue, usable_returns

NAME = "portfolio_vol_dd"
BACK_DAYS = 400
EXPOSURE_DAYS = 7  # an older exposure is not what the fund holds


class VolatilityLimits(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a fund varies too much."""

    enter_multiple: Annotated[
        float,
        Meta(gt=0),
        doc("Volatility as a multiple of the fund's target from which it is a breach."),
        LOOSER_HIGHER,
    ] = 1.5
    confirm_multiple: Annotated[
        float,
        Meta(ge=0),
        doc("The same from capped returns, as a multiple of the target, which confirms it."),
        LOOSER_HIGHER,
    ] = 1.4
    capped_at: Annotated[
        float,
        Meta(gt=0),
        doc("Most that one return counts for in it, in daily targets (target / root of 252)"),
        LOOSER_LOWER,
    ] = 2.5
    exit_multiple: Annotated[
        float,
        Meta(gt=0),
        doc("Multiple of the target below which the breach is over."),
        LOOSER_HIGHER,
    ] = 1.2
    minimum_returns: Annotated[
        int,
        Meta(ge=2),
        doc("Daily returns below which the volatility is unknown."),
        LOOSER_HIGHER,
    ] = 20


class Day(NamedTuple):
    """The last settled value of one day, with what is known of the fund at the time of the look."""

    first_sequence: int
    last_sequence: int
    as_of_ns: int
    nav: float
    flow: float
    currency: str | None
    session: int | None
    session_now: int | None
    target_volatility: float | None
    gross: Decimal | None
    gross_currency: str | None


def _exposures(stored: Stored) -> Iterator[Row]:
    event = stored.event
    assert isinstance(event, ExposureMarked)
    whole = event.strategy_id is None and event.account_id is None
    data, as_of_ns = event.data, near_ns(event.data.as_of)
    if event.fund_id and whole and not settled.is_to_come(as_of_ns, stored):
        yield (
            stored.sequence, stored.at_ns, event.fund_id, as_of_ns, str(data.gross), data.currency,
        )  # fmt: skip


EXPOSURES = Table(
    name="fund_exposure",
    columns=(
        ("fund_id", "VARCHAR"), ("as_of_ns", "BIGINT"), ("gross", "VARCHAR"),
        ("currency", "VARCHAR"),
    ),
    kinds=(ExposureMarked,),
    fold=lambda: EachEvent(_exposures),
    keep_days=EXPOSURE_DAYS,
)  # fmt: skip

QUERY = f"""
WITH {settled.days_of_funds(BACK_DAYS)}, exposure AS (
    SELECT due.look, due.fund_id, e.gross, e.currency
    FROM due JOIN fund_exposure e ON e.fund_id = due.fund_id AND e.sequence <= due.sequence
     AND e.as_of_ns > due.at_ns - {EXPOSURE_DAYS * DAY_NS}
    QUALIFY row_number() OVER (
        PARTITION BY due.look, due.fund_id ORDER BY e.as_of_ns DESC, e.sequence DESC) = 1
)
SELECT day.look, day.fund_id AS unit, day.fund_id, NULL::VARCHAR AS strategy_id,
       day.first_sequence, day.last_sequence, day.as_of_ns, day.nav, day.flow, day.currency,
       day.session, day.session_now, fund.target_volatility,
       exposure.gross::DECIMAL(38, 12) AS gross, exposure.currency AS gross_currency
FROM day
JOIN fund ON fund.look = day.look AND fund.fund_id = day.fund_id
LEFT JOIN exposure ON exposure.look = day.look AND exposure.fund_id = day.fund_id
ORDER BY day.look, unit, day.as_of_ns
"""  # noqa: S608


def multiples(returns: ArrayLike, target: float, capped_at: float) -> tuple[Floats, Floats]:
    """Return volatility over target at each time, plain and from capped returns, shape (..., t).

    Returns are simple and daily; the target is per year, as a fraction.
    """
    daily = target / math.sqrt(TRADING_DAYS_PER_YEAR)
    each = np.asarray(returns, np.float64)
    capped = np.clip(each, -capped_at * daily, capped_at * daily)
    plain, confirming = (
        np.sqrt(ewma_variances(one, RISKMETRICS_DAILY_DECAY)) / daily for one in (each, capped)
    )
    return plain, confirming


def inspect(
    days: Sequence[Day], look: Look, limits: VolatilityLimits, known: Episode | None
) -> Verdict:
    """Judge the volatility of a fund from its settled days, oldest first."""
    assert look.unit is not None
    fund_id = look.unit.id
    target = days[-1].target_volatility if days else None
    if target is None or not target > 0:
        return _unknown(f"fund {fund_id} has no target_volatility: limit not set")
    if is_overdue(days[-1], look):
        return _unknown(f"fund {fund_id} has no settled value since {rfc3339(days[-1].as_of_ns)}")
    returns = usable_returns(days)
    if len(returns) < limits.minimum_returns:
        needed = f"{len(returns)} usable daily returns of {limits.minimum_returns} needed"
        return _unknown(f"volatility of fund {fund_id} is unknown: {needed}")
    plain, confirming = (float(each[-1]) for each in multiples(returns, target, limits.capped_at))
    beyond = plain >= limits.enter_multiple
    breached = beyond and confirming >= limits.confirm_multiple
    recovered = known is not None and plain < limits.exit_multiple
    proposal = _reduction(fund_id, days[-1], plain) if breached else None
    return Verdict(
        state="breached" if breached else "warning" if beyond else "ok",
        title=(
            f"fund {fund_id} varies by {plain * target:.1%} a year, {plain:.2f} x its target, "
            f"{confirming:.2f} x without single days"
        ),
        stage=int(breached) + int(proposal is not None),
        recovered=recovered,
        statistic=plain * target,
        statistic_name="EWMA volatility per year, as a fraction",
        threshold=limits.enter_multiple * target,
        samples=len(returns),
        details=None if proposal or not breached else "its gross exposure is not known: no action",
        parameters=(
            Parameter(name="target_volatility", value=repr(target)),
            Parameter(name="decay", value=repr(RISKMETRICS_DAILY_DECAY)),
            Parameter(name="confirm_multiple", value=repr(limits.confirm_multiple)),
            Parameter(name="capped_at", value=repr(limits.capped_at)),
            Parameter(name="exit_multiple", value=repr(limits.exit_multiple)),
        ),
        proposal=proposal,
    )


def _reduction(fund_id: str, day: Day, multiple: float) -> Proposal | None:
    """Return the gross exposure that would meet the target; None when it is not known."""
    if day.gross is None or day.gross_currency is None:
        return None
    part = (1 / Decimal(multiple)).quantize(Decimal("0.0001"), ROUND_DOWN)
    most = (day.gross * part).quantize(Decimal("0.01"), ROUND_DOWN)
    return Proposal(
        kind="reduce_gross",
        scope="fund",
        scope_id=fund_id,
        allocation_factor=part,
        gross_at_most=most,
        currency=day.gross_currency,
        words=f"reduce gross exposure of fund {fund_id} to {most} {day.gross_currency}",
    )


def _unknown(title: str) -> Verdict:
    return Verdict(state="unknown", title=title)


def canary(now_ns: int, run_id: str) -> Iterator[Event]:
    """Make a fund that goes up and down by 5 % a day and aims at 15 % a year."""
    case = Case(NAME, now_ns, run_id)
    yield case.event(
        FundRegistered,
        Fund(
            name="canary", base_currency="USD", trading="paper", day_end_time="00:00",
            day_end_zone="UTC", target_volatility=0.15,
        ),
    )  # fmt: skip
    at, fund_id = rfc3339(now_ns), case.subject_id
    exposure = Exposure(as_of=at, gross=Decimal(1000), net=Decimal(0), currency="USD")
    yield case.event(ExposureMarked, exposure, fund_id=fund_id)
    for ago in reversed(range(30)):
        mark = NetAssetValue(
            as_of=rfc3339(now_ns - ago * DAY_NS), nav=Decimal(100 + 5 * (ago % 2)),
            currency="USD", start_of_day_nav=Decimal(100), final=True,
        )  # fmt: skip
        yield case.event(NavMarked, mark, fund_id=fund_id)


WATCHDOG = Watchdog(
    name=NAME,
    why="A fund that varies more than it promised is larger than its risk, whatever it earns.",
    action="reduce gross exposure to what meets the target",
    budget="1 % per fund-year beyond true crossings",
    unit="fund",
    limits=VolatilityLimits,
    tables=(*settled.TABLES, EXPOSURES),
    row=Day,
    query=QUERY,
    inspect=inspect,
    looks=settled.looks,
    every_seconds=settled.EVERY_SECONDS,
    lateness_seconds=settled.LATENESS_SECONDS,
    feeds=settled.feeds,
    canary=canary,
)
