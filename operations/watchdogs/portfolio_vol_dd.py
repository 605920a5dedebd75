"""Does a fund vary more than it aims at?

The EWMA volatility of its daily returns (RiskMetrics, decay 0.94) is compared with the target that
is registered for the fund. Beyond `enter_multiple` times the target its gross exposure shall come
down to what would meet the target; the episode is over below `exit_multiple`, so that a fund near
the limit does not flicker. Drawdown and daily loss of the same fund stop it through the worker
`limits`, which acts on every mark.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_DOWN, Decimal
from itertools import pairwise
from typing import Annotated, NamedTuple

from msgspec import Meta

from operations.checks import (
    EachEvent,
    Episode,
    Limits,
    Look,
    Proposal,
    Row,
    Stored,
    Table,
    Unit,
    Verdict,
    Watchdog,
    look_at,
)
from operations.clock import parse_rfc3339
from operations.events.base import doc
from operations.events.findings import Parameter
from operations.events.portfolio import NavMarked
from operations.events.positions import ExposureMarked
from operations.events.registry import FundRegistered
from operations.settings.catalogue import LOOSER_HIGHER
from operations.statistics.volatility import RISKMETRICS_DAILY_DECAY, annualised, ewma_volatility

NAME = "portfolio_vol_dd"


class VolatilityLimits(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a fund varies too much."""

    enter_multiple: Annotated[
        float,
        Meta(gt=0),
        doc("Volatility as a multiple of the fund's target from which it is a breach."),
        LOOSER_HIGHER,
    ] = 1.5
    exit_multiple: Annotated[
        float,
        Meta(gt=0),
        doc("Multiple of the target below which the breach is over."),
        LOOSER_HIGHER,
    ] = 1.2
    minimum_returns: Annotated[
        int, Meta(ge=2), doc("Daily returns below which the volatility is unknown."), LOOSER_HIGHER
    ] = 20


class Day(NamedTuple):
    """The last settled value of one day, with what is known of the fund at the time of the look."""

    sequence: int
    as_of_ns: int
    nav: float
    flow: float
    target_volatility: float | None
    gross: Decimal | None
    currency: str | None


def _navs(stored: Stored) -> Iterator[Row]:
    event = stored.event
    assert isinstance(event, NavMarked)
    mark = event.data
    if mark.final:
        yield (
            stored.sequence, stored.at_ns, event.fund_id or event.subject_id,
            parse_rfc3339(mark.as_of), float(mark.nav), float(mark.flow or 0),
        )  # fmt: skip


def _targets(stored: Stored) -> Iterator[Row]:
    event = stored.event
    assert isinstance(event, FundRegistered)
    yield stored.sequence, stored.at_ns, event.subject_id, event.data.target_volatility


def _exposures(stored: Stored) -> Iterator[Row]:
    event = stored.event
    assert isinstance(event, ExposureMarked)
    whole = event.strategy_id is None and event.account_id is None
    if event.fund_id and whole:
        data = event.data
        yield stored.sequence, stored.at_ns, event.fund_id, str(data.gross), data.currency


NAVS = Table(
    name="settled_nav",
    columns=(
        ("fund_id", "VARCHAR"), ("as_of_ns", "BIGINT"), ("nav", "DOUBLE"), ("flow", "DOUBLE"),
    ),
    kinds=(NavMarked,),
    fold=lambda: EachEvent(_navs),
    keep_days=400,
)  # fmt: skip
TARGETS = Table(
    name="fund_target",
    columns=(("fund_id", "VARCHAR"), ("target_volatility", "DOUBLE")),
    kinds=(FundRegistered,),
    fold=lambda: EachEvent(_targets),
    keep_days=36_500,
)
EXPOSURES = Table(
    name="fund_exposure",
    columns=(("fund_id", "VARCHAR"), ("gross", "VARCHAR"), ("currency", "VARCHAR")),
    kinds=(ExposureMarked,),
    fold=lambda: EachEvent(_exposures),
    keep_days=7,
)

QUERY = """
WITH target AS (
    SELECT look.look, arg_max(t.target_volatility, t.sequence) AS target_volatility
    FROM look JOIN fund_target t ON t.fund_id = look.unit AND t.sequence <= look.sequence
    GROUP BY look.look
), exposure AS (
    SELECT look.look, arg_max(e.gross, e.sequence) AS gross,
           arg_max(e.currency, e.sequence) AS currency
    FROM look JOIN fund_exposure e ON e.fund_id = look.unit AND e.sequence <= look.sequence
    GROUP BY look.look
)
SELECT look.look, look.unit, look.unit AS fund_id, NULL::VARCHAR AS strategy_id,
       n.sequence, n.as_of_ns, n.nav, n.flow, target.target_volatility,
       exposure.gross::DECIMAL(38, 12) AS gross, exposure.currency
FROM look
JOIN settled_nav n ON n.fund_id = look.unit AND n.sequence <= look.sequence
LEFT JOIN target USING (look)
LEFT JOIN exposure USING (look)
QUALIFY row_number() OVER (PARTITION BY look.look, n.as_of_ns ORDER BY n.sequence DESC) = 1
ORDER BY look.look, look.unit, n.as_of_ns
"""


def looks(batch: Sequence[Stored], _rows: Mapping[str, Sequence[Row]]) -> Iterator[Look]:
    """Look at a fund whenever a day of it is settled."""
    for stored in batch:
        event = stored.event
        if isinstance(event, NavMarked) and event.data.final:
            fund_id = event.fund_id or event.subject_id
            yield look_at(stored, Unit("fund", fund_id, fund_id), parse_rfc3339(event.data.as_of))


def inspect(
    days: Sequence[Day], look: Look, limits: VolatilityLimits, known: Episode | None
) -> Verdict:
    """Judge the volatility of a fund from its settled days, oldest first."""
    assert look.unit is not None
    fund_id = look.unit.id
    target = days[-1].target_volatility if days else None
    if not target:
        return _unknown(f"fund {fund_id} has no target_volatility: limit not set")
    returns = daily_returns(days)
    daily = ewma_volatility(returns, RISKMETRICS_DAILY_DECAY, limits.minimum_returns)
    if daily is None:
        needed = f"{len(returns)} usable daily returns of {limits.minimum_returns} needed"
        return _unknown(f"volatility of fund {fund_id} is unknown: {needed}")
    volatility = annualised(daily)
    multiple = volatility / target
    breached = multiple >= limits.enter_multiple
    return Verdict(
        state="breached" if breached else "ok",
        title=f"fund {fund_id} varies by {volatility:.1%} a year, {multiple:.2f} x its target",
        stage=int(breached),
        recovered=known is not None and multiple < limits.exit_multiple,
        statistic=volatility,
        statistic_name="EWMA volatility per year, as a fraction",
        threshold=limits.enter_multiple * target,
        samples=len(returns),
        parameters=(
            Parameter(name="target_volatility", value=repr(target)),
            Parameter(name="decay", value=repr(RISKMETRICS_DAILY_DECAY)),
            Parameter(name="exit_multiple", value=repr(limits.exit_multiple)),
        ),
        proposal=_reduction(fund_id, days[-1], multiple) if breached else None,
    )


def daily_returns(days: Sequence[Day]) -> list[float]:
    """Return simple returns from each day to the next, without what was paid in.

    A value that is not above zero makes the return NaN: unknown, and so is what needs it.
    """
    found = []
    for before, after in pairwise(days):
        usable = before.nav > 0 and after.nav > 0
        found.append((after.nav - after.flow) / before.nav - 1 if usable else math.nan)
    return found


def _reduction(fund_id: str, day: Day, multiple: float) -> Proposal | None:
    """Return the gross exposure that would meet the target; None when it is not known."""
    if day.gross is None or day.currency is None:
        return None
    most = (day.gross / Decimal(multiple)).quantize(Decimal("0.01"), ROUND_DOWN)
    return Proposal(
        kind="reduce_gross",
        scope="fund",
        scope_id=fund_id,
        gross_at_most=most,
        currency=day.currency,
        words=f"reduce gross exposure of fund {fund_id} to {most} {day.currency}",
    )


def _unknown(title: str) -> Verdict:
    return Verdict(state="unknown", title=title)


WATCHDOG = Watchdog(
    name=NAME,
    why="A fund that varies more than it promised is larger than its risk, whatever it earns.",
    action="reduce gross exposure to what meets the target",
    budget="1 % per fund-year beyond true crossings",
    unit="fund",
    limits=VolatilityLimits,
    tables=(NAVS, TARGETS, EXPOSURES),
    row=Day,
    query=QUERY,
    inspect=inspect,
    looks=looks,
)
