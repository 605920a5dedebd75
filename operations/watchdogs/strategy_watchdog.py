"""Does a strategy earn what it did while it was known to be well?

The sum of its last 30 daily profits per allocated capital is compared with the interval that such
sums of its baseline stay in. Looked at every day, a plain 95 % interval is left by nearly every
strategy within a year, so the limits are those of the extreme over a whole year: a strategy that
is well leaves them with 5 % in a year, 2.5 % on each side (`operations.statistics.bands`).

Below: it trades in the shadow until a person ends that. Above: somebody shall look, because what
earns too much is often priced wrongly. What we reduced ourselves counts at full size, and what was
earned before a person let it trade again does not count.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
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
from operations.clock import parse_rfc3339, rfc3339
from operations.events.base import Event, doc
from operations.events.findings import Parameter
from operations.events.strategies import (
    PnlMarked,
    ProfitAndLoss,
    StrategyBaseline,
    StrategyBaselinePublished,
)
from operations.settings.catalogue import LOOSER_HIGHER
from operations.statistics.bands import RollingLimits, distance, moments_sample, rolling_limits
from operations.watchdogs import reductions, settled
from operations.watchdogs.cases import Case
from operations.watchdogs.reductions import Reductions, factor_at
from operations.watchdogs.settled import DAY_NS, LONGEST_GAP_DAYS

NAME = "strategy_watchdog"
WINDOW_DAYS, YEAR_DAYS = 30, 252
EACH_SIDE = 0.025  # of the strategies that are well, in a year
BACK_DAYS = 400  # of the calendar: 30 days of trading, and the capital before a reduction
ROUNDED = 1.05  # a capital that came down may be rounded by so much
BELOW, ABOVE = 2, 1  # stages


class ProfitLimits(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a strategy earns other than it did."""

    enter_multiple: Annotated[
        float,
        Meta(gt=0),
        doc("Way from the middle to the limit of the interval beyond which it is a finding."),
        LOOSER_HIGHER,
    ] = 1.0
    exit_multiple: Annotated[
        float,
        Meta(gt=0),
        doc("Way from the middle to the limit within which the finding is over."),
        LOOSER_HIGHER,
    ] = 0.5


class Day(NamedTuple):
    """One settled day; `reductions` stand in the newest only, what comes after in every one."""

    sequence: int
    as_of_ns: int
    profit: float
    capital: float
    currency: str
    reductions: Reductions
    shadowed_ns: int | None
    ended_ns: int | None
    baseline_id: str | None
    since_ns: int | None
    contents: int | None
    problem: str | None
    lower: float | None
    upper: float | None


def _profits(stored: Stored) -> Iterator[Row]:
    event = stored.event
    assert isinstance(event, PnlMarked)
    data = event.data
    if data.final:
        yield (
            stored.sequence, stored.at_ns, event.event_id, event.strategy_id or event.subject_id,
            event.fund_id, parse_rfc3339(data.as_of),
            float(data.realised + data.unrealised - data.fees), float(data.allocated_capital),
            data.currency,
        )  # fmt: skip


def _published(stored: Stored) -> Iterator[Row]:
    event = stored.event
    assert isinstance(event, StrategyBaselinePublished)
    strategy_id = event.strategy_id or event.subject_id
    digest = sha256(msgspec.json.encode(event.data)).hexdigest()
    problem, limits = _limits(event.data)
    yield (
        stored.sequence, stored.at_ns, strategy_id, event.data.baseline_id, digest,
        parse_rfc3339(event.timestamp), problem, limits and limits.lower, limits and limits.upper,
    )  # fmt: skip


def _limits(data: StrategyBaseline) -> tuple[str | None, RollingLimits | None]:
    """Return what is wrong with a baseline, or the limits of its rolling sums at full size."""
    size = Decimal(1) if data.allocation_factor is None else data.allocation_factor
    if not 0 < size <= 1:
        return f"its allocation_factor is {size}; it is a part above 0, up to 1", None
    sample: Any = data.daily_returns
    block = None  # as the returns themselves say
    moments = data.return_mean, data.return_standard_deviation, data.days
    if sample is None and None not in moments:
        sample, block = moments_sample(*moments), 1.0  # type: ignore[arg-type]
    found = None
    if sample is not None:
        seed = int.from_bytes(sha256(data.baseline_id.encode()).digest()[:8])
        full = np.asarray(sample, np.float64) / float(size)
        found = rolling_limits(full, WINDOW_DAYS, YEAR_DAYS, EACH_SIDE, mean_block=block, seed=seed)
    if found is None:
        needed = "60 daily_returns or more that vary, or their mean, deviation and days"
        return f"it has no usable profits; publish {needed}", None
    return None, found


PROFITS = Table(
    name="strategy_profit",
    columns=(
        ("event_id", "VARCHAR"), ("strategy_id", "VARCHAR"), ("fund_id", "VARCHAR"),
        ("as_of_ns", "BIGINT"), ("profit", "DOUBLE"), ("capital", "DOUBLE"),
        ("currency", "VARCHAR"),
    ),
    kinds=(PnlMarked,),
    fold=lambda: EachEvent(_profits),
    keep_days=settled.KEEP_DAYS,
)  # fmt: skip
BASELINES = Table(
    name="strategy_profit_limits",
    columns=(
        ("strategy_id", "VARCHAR"), ("baseline_id", "VARCHAR"), ("digest", "VARCHAR"),
        ("published_ns", "BIGINT"), ("problem", "VARCHAR"), ("lower", "DOUBLE"),
        ("upper", "DOUBLE"),
    ),
    kinds=(StrategyBaselinePublished,),
    fold=lambda: EachEvent(_published),
    keep_days=settled.FOREVER_DAYS,
)  # fmt: skip

QUERY = f"""
WITH due AS (
    SELECT look.look, look.sequence, look.at_ns, known.strategy_id
    FROM look
    JOIN (SELECT strategy_id, min(sequence) AS first FROM strategy_profit GROUP BY strategy_id)
        known ON look.unit = known.strategy_id
              OR (look.unit IS NULL AND known.first <= look.sequence)
), {reductions.reductions_of("strategy", "reduce_allocation")}, once AS (
    SELECT due.look, p.* FROM due JOIN strategy_profit p
      ON p.strategy_id = due.strategy_id AND p.sequence <= due.sequence
     AND p.as_of_ns > due.at_ns - {BACK_DAYS * DAY_NS}
    QUALIFY row_number() OVER (PARTITION BY due.look, p.event_id ORDER BY p.sequence) = 1
), day AS (
    SELECT * FROM once
    QUALIFY row_number() OVER (PARTITION BY look, strategy_id, as_of_ns ORDER BY sequence DESC) = 1
), ranked AS (
    SELECT *, arg_max(fund_id, sequence) OVER (PARTITION BY look, strategy_id) AS owner,
           row_number() OVER (PARTITION BY look, strategy_id ORDER BY as_of_ns DESC) = 1 AS newest
    FROM day
), shadow AS (
    SELECT due.look, due.strategy_id,
           max(o.happened_ns) FILTER (o.outcome IN ('acknowledged', 'completed')) AS shadowed_ns,
           max(o.happened_ns) FILTER (o.outcome IN ('refused', 'expired', 'released')) AS ended_ns
    FROM due
    JOIN action_asked a ON a.scope = 'strategy' AND a.scope_id = due.strategy_id
     AND a.kind = 'shadow' AND a.sequence <= due.sequence
    JOIN action_outcome o ON o.action_id = a.action_id AND o.sequence <= due.sequence
    GROUP BY due.look, due.strategy_id
), published AS (
    SELECT due.look, b.*,
           min(b.published_ns) OVER same AS since_ns,
           CASE WHEN min(b.digest) OVER same = max(b.digest) OVER same THEN 1 ELSE 2 END AS contents
    FROM due JOIN strategy_profit_limits b
      ON b.strategy_id = due.strategy_id AND b.sequence <= due.sequence
    WINDOW same AS (PARTITION BY due.look, b.strategy_id, b.baseline_id)
    QUALIFY row_number() OVER (PARTITION BY due.look, b.strategy_id ORDER BY b.sequence DESC) = 1
)
SELECT day.look, day.strategy_id AS unit, day.owner AS fund_id, day.strategy_id, day.sequence,
       day.as_of_ns, day.profit, day.capital, day.currency,
       CASE WHEN newest THEN reduced.reductions END AS reductions,
       shadow.shadowed_ns, shadow.ended_ns, b.baseline_id, b.since_ns, b.contents, b.problem,
       b.lower, b.upper
FROM ranked day
LEFT JOIN reduced ON reduced.look = day.look AND reduced.scope_id = day.strategy_id
LEFT JOIN shadow ON shadow.look = day.look AND shadow.strategy_id = day.strategy_id
LEFT JOIN published b ON b.look = day.look AND b.strategy_id = day.strategy_id
ORDER BY day.look, unit, day.as_of_ns
"""  # noqa: S608


def looks(batch: Sequence[Stored], _rows: Mapping[str, Sequence[Row]]) -> Iterator[Look]:
    """Look at a strategy whenever a day of it is settled."""
    for stored in batch:
        event = stored.event
        if isinstance(event, PnlMarked) and event.data.final:
            strategy_id = event.strategy_id or event.subject_id
            unit = Unit("strategy", strategy_id, event.fund_id, strategy_id)
            yield look_at(stored, unit, parse_rfc3339(event.data.as_of))


def inspect(
    days: Sequence[Day], look: Look, limits: ProfitLimits, known: Episode | None
) -> Verdict:
    """Judge the last 30 days of a strategy, from its settled days, oldest first."""
    assert look.unit is not None
    name = f"strategy {look.unit.id}"
    last = days[-1] if days else None
    if last and known and latched(known) and (last.ended_ns or 0) >= known.since_ns:
        return Verdict(state="ok", title=f"the shadow of {name} was ended", recovered=True)
    problem = _problem(last, look, name) if last else f"{name} has no settled profits"
    if last is None or problem:
        return Verdict(state="unknown", title=str(problem))
    assert last.lower is not None
    assert last.upper is not None
    returns = returns_at_full_size(days)
    if len(returns) < WINDOW_DAYS:
        title = f"{name} has {len(returns)} usable days of {WINDOW_DAYS} needed"
        return Verdict(state="unknown", title=title)
    window, edges = sum(returns[-WINDOW_DAYS:]), (last.lower, last.upper)
    return _verdict(window, edges, look.unit.id, last, limits, known)


def _problem(last: Day, look: Look, name: str) -> str | None:
    """Say why a strategy cannot be judged, whatever it earned."""
    if last.shadowed_ns is not None and last.shadowed_ns > (last.ended_ns or 0):
        return f"{name} trades in the shadow since {rfc3339(last.shadowed_ns)}"
    if last.baseline_id is None:
        return f"{name} has no baseline of its profits: limit not set"
    named = f"baseline {last.baseline_id} of {name}"
    if last.contents != 1:
        return f"{named} was published with two contents; give it a new id"
    if last.problem is not None:
        return f"{named} cannot be used: {last.problem}"
    if look.at_ns - last.as_of_ns > LONGEST_GAP_DAYS * DAY_NS:
        return f"{name} has no settled profit since {rfc3339(last.as_of_ns)}"
    return None


def latched(known: Episode) -> bool:
    """Whether an episode asked for the shadow, so that only a person ends it."""
    return known.stage == BELOW and known.finding.mode == "act"


def _verdict(
    window: float,
    edges: tuple[float, float],
    strategy_id: str,
    last: Day,
    limits: ProfitLimits,
    known: Episode | None,
) -> Verdict:
    name, (lower, upper) = f"strategy {strategy_id}", edges
    way = distance(window, lower, upper)
    outside, below = way > limits.enter_multiple, window < (lower + upper) / 2
    stage = (BELOW if below else ABOVE) if outside else 0
    where = ("below" if below else "above") if outside else "within"
    state: Literal["ok", "warning", "breached"] = "ok"
    if outside:
        state = "breached" if below else "warning"
    return Verdict(
        state=state,
        title=(
            f"{name} earned {window:+.2%} of its capital in {WINDOW_DAYS} days, {where} "
            f"{lower:+.2%} to {upper:+.2%} of baseline {last.baseline_id}"
        ),
        stage=stage,
        recovered=known is not None and not latched(known) and way < limits.exit_multiple,
        statistic=window,
        statistic_name=f"profit per allocated capital in {WINDOW_DAYS} days, at full size",
        threshold=lower if below else upper,
        samples=WINDOW_DAYS,
        details="investigate: is a price or a fill wrong?" if stage == ABOVE else None,
        parameters=(
            Parameter(name="baseline_id", value=str(last.baseline_id)),
            Parameter(name="each_side_per_year", value=repr(EACH_SIDE)),
            Parameter(name="enter_multiple", value=repr(limits.enter_multiple)),
            Parameter(name="exit_multiple", value=repr(limits.exit_multiple)),
        ),
        proposal=_shadow(name, strategy_id) if stage == BELOW else None,
    )


def returns_at_full_size(days: Sequence[Day]) -> list[float]:
    """Return daily profits per capital since the last day that is unknown, oldest first.

    Days before the baseline or before a person ended the shadow do not count. A day is unknown
    where its capital is not above zero, its currency is another or days before it are missing.
    """
    last = days[-1]
    since_ns = max(last.since_ns or 0, last.ended_ns or 0)
    found: list[float] = []
    before: Day | None = None
    for day in days:
        broken = before is not None and (
            day.currency != before.currency
            or day.as_of_ns - before.as_of_ns > LONGEST_GAP_DAYS * DAY_NS
        )
        if broken or day.as_of_ns <= since_ns or not day.capital > 0:
            found.clear()
        if day.as_of_ns > since_ns and day.capital > 0:
            begins_ns = day.as_of_ns if before is None else before.as_of_ns
            found.append(day.profit / capital_at_work(days, day, begins_ns, last.reductions))
        before = day
    return found


def capital_at_work(days: Sequence[Day], day: Day, begins_ns: int, reduced: Reductions) -> float:
    """Return the part of the allocated capital with which a day that begins then was traded.

    Where the allocated capital itself came down by what was reduced, nothing else does.
    """
    factor = factor_at(reduced, begins_ns)
    if factor == 1:
        return day.capital
    begun_ns = min(each["begun_ns"] for each in reduced or () if each["begun_ns"] <= begins_ns)
    full = [each.capital for each in days if each.as_of_ns <= begun_ns]
    came_down = bool(full) and day.capital <= full[-1] * factor * ROUNDED
    return day.capital if came_down else day.capital * factor


def _shadow(name: str, strategy_id: str) -> Proposal:
    return Proposal(
        kind="shadow", scope="strategy", scope_id=strategy_id,
        words=f"let {name} trade in the shadow until a person ends it",
    )  # fmt: skip


def canary(now_ns: int, run_id: str) -> Iterator[Event]:
    """Make a strategy that loses ten of its deviations in each of the last 31 days."""
    case = Case(NAME, now_ns, run_id)
    keys = {"strategy_id": case.subject_id, "fund_id": case.subject_id}
    baseline = StrategyBaseline(
        baseline_id=f"baseline-{run_id}", currency="USD", return_mean=0.0005,
        return_standard_deviation=0.001, days=500,
    )  # fmt: skip
    begin = rfc3339(now_ns - 40 * DAY_NS)
    yield case.event(StrategyBaselinePublished, baseline, timestamp=begin, **keys)
    for ago in reversed(range(WINDOW_DAYS + 1)):
        mark = ProfitAndLoss(
            as_of=rfc3339(now_ns - ago * DAY_NS), realised=Decimal(-10), unrealised=Decimal(0),
            fees=Decimal(0), allocated_capital=Decimal(1000), currency="USD", final=True,
        )  # fmt: skip
        yield case.event(PnlMarked, mark, **keys)


WATCHDOG = Watchdog(
    name=NAME,
    why="A strategy that earns other than it did is not the strategy that was allowed to trade.",
    action="below: shadow, until a person ends it; above: investigate",
    budget="5 % per strategy-year, both sides together",
    unit="strategy",
    limits=ProfitLimits,
    tables=(PROFITS, BASELINES, *reductions.TABLES),
    row=Day,
    query=QUERY,
    inspect=inspect,
    looks=looks,
    every_seconds=settled.EVERY_SECONDS,
    lateness_seconds=settled.LATENESS_SECONDS,
    canary=canary,
)
