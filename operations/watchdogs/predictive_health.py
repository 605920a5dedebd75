"""Is a fund worth what its backtest said it would be?

The growth of a fund since the day on which it went live is compared with the envelope of its
published backtest: the band that 99 % of the funds which follow that backtest never leave, on any
day of the whole horizon, with what a backtest of that length does not know about its own mean
(`operations.statistics.bands`). While the fund varied more than its backtest, the envelope is as
much wider: what a fund varies by is judged by `portfolio_vol_dd`. Money that came or went is left
out, and what we reduced ourselves is counted at full size. Too good is a warning too: a price, a
flow or a baseline may be wrong.

The anchor is the last settled value before `go_live`. It moves only with another baseline, which
has another id and is named in everything that is said; one id with two contents is no baseline.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from itertools import pairwise
from typing import Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from msgspec import Meta

from operations.checks import (
    Batch,
    EachEvent,
    Episode,
    Limits,
    Look,
    Row,
    Stored,
    Table,
    Verdict,
    Watchdog,
)
from operations.clock import NANOSECONDS, rfc3339
from operations.events.base import Event, doc
from operations.events.findings import Parameter
from operations.events.portfolio import (
    NavMarked,
    NetAssetValue,
    PortfolioBaseline,
    PortfolioBaselinePublished,
)
from operations.settings.catalogue import LOOSER_HIGHER
from operations.statistics.bands import distance, growth_envelope, moments_sample
from operations.watchdogs import reductions, settled
from operations.watchdogs.cases import Case
from operations.watchdogs.reductions import Reductions, factor_at
from operations.watchdogs.settled import DAY_NS, daily_return, is_overdue

NAME = "predictive_health"
LEVEL = 0.99
LONGEST_HORIZON_DAYS = 1000  # trading days; more of them would not fit into memory
BEFORE_NS = 2 * settled.LONGEST_GAP_DAYS * DAY_NS  # where the anchor is looked for


class HealthLimits(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a fund is not what its backtest promised."""

    enter_multiple: Annotated[
        float,
        Meta(gt=0),
        doc("Way from the middle to the edge of the envelope beyond which it is a finding."),
        LOOSER_HIGHER,
    ] = 1.1
    exit_multiple: Annotated[
        float,
        Meta(gt=0),
        doc("Way from the middle to the edge within which the finding is over."),
        LOOSER_HIGHER,
    ] = 0.75


class Day(NamedTuple):
    """One settled day; `reductions` and the envelope stand in the newest day only."""

    first_sequence: int
    last_sequence: int
    as_of_ns: int
    nav: float
    flow: float
    currency: str | None
    session: int | None
    session_now: int | None
    zone: str | None
    baseline_id: str | None
    go_live: str | None
    contents: int | None
    problem: str | None
    reductions: Reductions
    lower: list[float] | None
    upper: list[float] | None
    deviation: float | None


def _published(stored: Stored) -> tuple[Row, ...]:
    event = stored.event
    assert isinstance(event, PortfolioBaselinePublished)
    data = event.data
    return ((
        stored.sequence, stored.at_ns, event.fund_id or event.subject_id, data.baseline_id,
        data.go_live, _digest(data),
    ),)  # fmt: skip


def _digest(data: PortfolioBaseline) -> str:
    return sha256(msgspec.json.encode(data)).hexdigest()


class _Envelopes:
    """Folds baselines into their envelopes, once for each content: one takes a second."""

    def __init__(self) -> None:
        self._known: dict[str, None] = {}

    def take(self, batch: Batch) -> list[Row]:
        """Return a row for each content that was not published before."""
        rows: list[Row] = []
        for stored in batch:
            assert isinstance(stored.event, PortfolioBaselinePublished)
            digest = _digest(stored.event.data)
            if digest not in self._known:
                self._known[digest] = None
                rows.append((stored.sequence, stored.at_ns, digest, *_envelope(stored.event.data)))
        return rows

    def snapshot(self) -> list[str]:
        """Return the digests of what was published."""
        return list(self._known)

    def restore(self, state: Any) -> None:
        """Go on from a snapshot."""
        self._known = dict.fromkeys(state)


class Edges(NamedTuple):
    """What is wrong with a baseline, or its envelope for each day and its daily deviation.

    All of logarithms: of growth and of daily growth.
    """

    problem: str | None
    lower: list[float] | None = None
    upper: list[float] | None = None
    deviation: float | None = None


def _envelope(data: PortfolioBaseline) -> Edges:
    """Return the envelope of a baseline, or why it has none."""
    if not data.net_of_costs:
        return Edges("its returns are before costs; publish them after costs")
    if not 1 <= data.horizon_days <= LONGEST_HORIZON_DAYS:
        days = f"{data.horizon_days} days; give 1 to {LONGEST_HORIZON_DAYS}"
        return Edges(f"its horizon is {days}")
    sample: Any = data.daily_returns
    block = None  # as the returns themselves say
    if sample is None and None not in (data.mean, data.standard_deviation, data.days):
        sample = moments_sample(data.mean, data.standard_deviation, data.days)  # type: ignore[arg-type]
        block = 1.0
    seed = int.from_bytes(sha256(data.baseline_id.encode()).digest()[:8])
    found = None
    if sample is not None:
        found = growth_envelope(sample, data.horizon_days, LEVEL, mean_block=block, seed=seed)
    if found is None:
        needed = "publish 60 daily returns or more that vary, or their mean, deviation and number"
        return Edges(f"it has no usable returns; {needed}")
    lower, upper = np.log(found.lower).tolist(), np.log(found.upper).tolist()
    return Edges(None, lower, upper, float(np.log1p(sample).std(ddof=1)))


BASELINES = Table(
    name="fund_baseline",
    columns=(
        ("fund_id", "VARCHAR"), ("baseline_id", "VARCHAR"), ("go_live", "VARCHAR"),
        ("digest", "VARCHAR"),
    ),
    kinds=(PortfolioBaselinePublished,),
    fold=lambda: EachEvent(_published),
    keep_days=settled.FOREVER_DAYS,
)  # fmt: skip
ENVELOPES = Table(
    name="growth_envelope",
    columns=(
        ("digest", "VARCHAR"), ("problem", "VARCHAR"), ("lower", "DOUBLE[]"),
        ("upper", "DOUBLE[]"), ("deviation", "DOUBLE"),
    ),
    kinds=(PortfolioBaselinePublished,),
    fold=_Envelopes,
    keep_days=settled.FOREVER_DAYS,
)  # fmt: skip

QUERY = f"""
WITH {settled.days_of_funds(settled.KEEP_DAYS)}, {reductions.reductions_of("fund", "reduce_gross")},
published AS (
    SELECT due.look, b.*,
           (SELECT count(DISTINCT other.digest) FROM fund_baseline other
            WHERE other.fund_id = b.fund_id AND other.baseline_id = b.baseline_id
              AND other.sequence <= due.sequence) AS contents
    FROM due JOIN fund_baseline b ON b.fund_id = due.fund_id AND b.sequence <= due.sequence
    QUALIFY row_number() OVER (PARTITION BY due.look, due.fund_id ORDER BY b.sequence DESC) = 1
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY look, fund_id ORDER BY as_of_ns DESC) = 1 AS newest
    FROM day
)
SELECT day.look, day.fund_id AS unit, day.fund_id, NULL::VARCHAR AS strategy_id,
       day.first_sequence, day.last_sequence, day.as_of_ns, day.nav, day.flow, day.currency,
       day.session, day.session_now, fund.zone, b.baseline_id, b.go_live, b.contents, e.problem,
       CASE WHEN newest THEN reduced.reductions END AS reductions,
       CASE WHEN newest THEN e.lower END AS lower, CASE WHEN newest THEN e.upper END AS upper,
       e.deviation
FROM ranked day
JOIN fund ON fund.look = day.look AND fund.fund_id = day.fund_id
LEFT JOIN published b ON b.look = day.look AND b.fund_id = day.fund_id
LEFT JOIN growth_envelope e ON e.digest = b.digest
LEFT JOIN reduced ON reduced.look = day.look AND reduced.scope_id = day.fund_id
WHERE newest OR day.as_of_ns > epoch_ns(b.go_live::TIMESTAMP) - {BEFORE_NS}
ORDER BY day.look, unit, day.as_of_ns
"""  # noqa: S608


def inspect(
    days: Sequence[Day], look: Look, limits: HealthLimits, known: Episode | None
) -> Verdict:
    """Judge the growth of a fund since it went live, from its settled days, oldest first."""
    assert look.unit is not None
    fund_id = look.unit.id
    if not days or days[-1].baseline_id is None:
        return _unknown(f"fund {fund_id} has no published backtest: limit not set")
    last = days[-1]
    named = f"backtest {last.baseline_id} of fund {fund_id}"
    if last.contents != 1:
        return _unknown(f"{named} was published with {last.contents} contents; give it a new id")
    if last.problem is not None:
        return _unknown(f"{named} cannot be used: {last.problem}")
    if is_overdue(last, look):
        return _unknown(f"fund {fund_id} has no settled value since {rfc3339(last.as_of_ns)}")
    live = _since_go_live(days)
    logs, problem = _log_returns(live, last.reductions)
    horizon = len(last.lower or ())
    if problem is None and not 1 <= len(logs) <= horizon:
        since = f"it is day {len(logs)} since {last.go_live}"
        problem = f"{since}, {named} holds for days 1 to {horizon}"
    if problem is not None:
        return _unknown(f"growth of fund {fund_id} is unknown: {problem}")
    return _verdict(last, f"fund {fund_id}", logs, limits, known)


def _verdict(
    last: Day, name: str, logs: Sequence[float], limits: HealthLimits, known: Episode | None
) -> Verdict:
    assert last.lower is not None
    assert last.upper is not None
    assert last.deviation is not None
    number, growth = len(logs), sum(logs)
    lower, upper = stretched(
        last.lower[number - 1], last.upper[number - 1], spread(logs) / last.deviation
    )
    way = distance(growth, lower, upper)
    outside, below = way > limits.enter_multiple, growth < (lower + upper) / 2
    where = ("below" if below else "above") if outside else "within"
    return Verdict(
        state="warning" if outside else "ok",
        title=(
            f"{name} is worth {math.exp(growth):.3f} times its value at go-live {last.go_live} "
            f"after {number} days, {where} {math.exp(lower):.3f} to {math.exp(upper):.3f} of "
            f"backtest {last.baseline_id}"
        ),
        stage=int(outside),
        recovered=known is not None and way < limits.exit_multiple,
        statistic=math.exp(growth),
        statistic_name="growth since go-live, cash flows out, at full size",
        threshold=math.exp(lower if below else upper),
        samples=number,
        details="too good: is a price, a flow or the baseline wrong?"
        if outside and not below
        else None,
        parameters=(
            Parameter(name="baseline_id", value=str(last.baseline_id)),
            Parameter(name="go_live", value=str(last.go_live)),
            Parameter(name="level", value=repr(LEVEL)),
            Parameter(name="enter_multiple", value=repr(limits.enter_multiple)),
            Parameter(name="exit_multiple", value=repr(limits.exit_multiple)),
        ),
    )


def spread(logs: Sequence[float]) -> float:
    """Return how much the days so far vary; 0 for a single one."""
    return float(np.std(logs, ddof=1)) if len(logs) > 1 else 0.0


def stretched(lower: float, upper: float, times: float) -> tuple[float, float]:
    """Return limits that are `times` as far from their middle, and never nearer than they were."""
    middle, wider = (lower + upper) / 2, max(1.0, times)
    return middle - wider * (middle - lower), middle + wider * (upper - middle)


def _since_go_live(days: Sequence[Day]) -> Sequence[Day]:
    """Return the anchor and all days after it; nothing when there was no value at go-live.

    A fund without a value before its first day begins with the value at the end of that day.
    """
    begins = datetime.fromisoformat(str(days[-1].go_live)).replace(tzinfo=_zone(days[-1].zone))
    begins_ns = int(begins.timestamp()) * NANOSECONDS
    before = sum(day.as_of_ns <= begins_ns for day in days)
    if before:
        return days[before - 1 :]
    return days if days[0].as_of_ns <= begins_ns + DAY_NS else ()


def _zone(name: str | None) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ValueError, OSError, KeyError):
        return ZoneInfo("UTC")


def _log_returns(days: Sequence[Day], reduced: Reductions) -> tuple[list[float], str | None]:
    """Return the logarithm of each day's growth at full size, or what is missing."""
    if not days:
        return [], "there is no settled value at its go-live; publish the final mark"
    found = []
    for before, after in pairwise(days):
        full = daily_return(before, after) / factor_at(reduced, before.as_of_ns)
        if not full > -1:
            when = rfc3339(after.as_of_ns)
            return [], f"the day before {when} is missing, or one of the two cannot be right"
        found.append(math.log1p(full))
    return found, None


def _unknown(title: str) -> Verdict:
    return Verdict(state="unknown", title=title)


def canary(now_ns: int, run_id: str) -> list[Event]:
    """Make a fund that lost half of its value since it went live ten days ago."""
    case = Case(NAME, now_ns, run_id)
    baseline = PortfolioBaseline(
        baseline_id=f"baseline-{run_id}", go_live=rfc3339(now_ns - 10 * DAY_NS)[:10],
        horizon_days=20, net_of_costs=True, mean=0.0005, standard_deviation=0.01, days=500,
    )  # fmt: skip
    navs = [Decimal(100 - 5 * number) for number in range(12)]
    return [
        case.event(PortfolioBaselinePublished, baseline, fund_id=case.subject_id),
        *(
            case.event(
                NavMarked,
                NetAssetValue(
                    as_of=rfc3339(now_ns - (len(navs) - 1 - number) * DAY_NS), nav=nav,
                    currency="USD", start_of_day_nav=nav, final=True,
                ),
                fund_id=case.subject_id,
            )
            for number, nav in enumerate(navs)
        ),
    ]  # fmt: skip


WATCHDOG = Watchdog(
    name=NAME,
    why="A fund that leaves the envelope of its backtest is not the fund that was tested.",
    action="warn",
    budget="1 % per horizon of a baseline, which is a fund-year at 252 days",
    unit="fund",
    limits=HealthLimits,
    tables=(*settled.TABLES, *reductions.TABLES, BASELINES, ENVELOPES),
    row=Day,
    query=QUERY,
    inspect=inspect,
    looks=settled.looks,
    every_seconds=settled.EVERY_SECONDS,
    lateness_seconds=settled.LATENESS_SECONDS,
    feeds=settled.feeds,
    canary=canary,
)
