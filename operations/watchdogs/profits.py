"""What strategies earned at the end of each day, and the interval that their baselines give.

A day is the final mark of a strategy's profit per allocated capital. Of two marks for one moment
the later one in the stream holds; an event that is stored twice counts once, at its first place.
"""

from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
import numpy as np

from operations.checks import EachEvent, Row, Stored, Table
from operations.clock import near_ns
from operations.events.strategies import PnlMarked, StrategyBaseline, StrategyBaselinePublished
from operations.statistics.bands import RollingLimits, moments_sample, rolling_limits
from operations.watchdogs import reductions, settled
from operations.watchdogs.reductions import Reductions
from operations.watchdogs.settled import DAY_NS

WINDOW_DAYS, YEAR_DAYS = 30, 252
EACH_SIDE = 0.025  # of the strategies that are well, in a year
BACK_DAYS = 400  # of the calendar: 30 days of trading, and the capital before a reduction


class Day(NamedTuple):
    """One settled day; `reductions` stand in the newest only, what comes after in every one.

    `shadowed_ns` says since when a shadow goes on, `ended_ns` when one was ended last.
    """

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
    deviation: float | None


def _profits(stored: Stored) -> Iterator[Row]:
    event = stored.event
    assert isinstance(event, PnlMarked)
    data, as_of_ns = event.data, near_ns(event.data.as_of)
    if data.final and not settled.is_to_come(as_of_ns, stored):
        yield (
            stored.sequence, stored.at_ns, event.event_id, event.strategy_id or event.subject_id,
            event.fund_id, as_of_ns,
            float(data.realised + data.unrealised - data.fees), float(data.allocated_capital),
            data.currency,
        )  # fmt: skip


def _published(stored: Stored) -> Iterator[Row]:
    event = stored.event
    assert isinstance(event, StrategyBaselinePublished)
    strategy_id = event.strategy_id or event.subject_id
    digest = sha256(msgspec.json.encode(event.data)).hexdigest()
    problem, limits, deviation = _limits(event.data)
    yield (
        stored.sequence, stored.at_ns, strategy_id, event.data.baseline_id, digest,
        near_ns(event.timestamp), problem, limits and limits.lower, limits and limits.upper,
        deviation,
    )  # fmt: skip


def _limits(
    data: StrategyBaseline,
) -> tuple[str | None, RollingLimits | None, float | None]:
    """Return what is wrong with a baseline, or its limits and deviation at full size."""
    size = Decimal(1) if data.allocation_factor is None else data.allocation_factor
    if not 0 < size <= 1:
        return f"its allocation_factor is {size}; it is a part above 0, up to 1", None, None
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
        return f"it has no usable profits; publish {needed}", None, None
    return None, found, float(full.std(ddof=1))


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
LIMITS = Table(
    name="strategy_profit_limits",
    columns=(
        ("strategy_id", "VARCHAR"), ("baseline_id", "VARCHAR"), ("digest", "VARCHAR"),
        ("published_ns", "BIGINT"), ("problem", "VARCHAR"), ("lower", "DOUBLE"),
        ("upper", "DOUBLE"), ("deviation", "DOUBLE"),
    ),
    kinds=(StrategyBaselinePublished,),
    fold=lambda: EachEvent(_published),
    keep_days=settled.FOREVER_DAYS,
)  # fmt: skip

TABLES = (PROFITS, LIMITS, *reductions.TABLES)

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
), {reductions.held("shadowed", "strategy", "shadow")}, shadow AS (
    SELECT look, scope_id, max(begun_ns) FILTER (ended_ns IS NULL) AS shadowed_ns,
           max(ended_ns) AS ended_ns
    FROM shadowed GROUP BY look, scope_id
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
       b.lower, b.upper, b.deviation
FROM ranked day
LEFT JOIN reduced ON reduced.look = day.look AND reduced.scope_id = day.strategy_id
LEFT JOIN shadow ON shadow.look = day.look AND shadow.scope_id = day.strategy_id
LEFT JOIN published b ON b.look = day.look AND b.strategy_id = day.strategy_id
ORDER BY day.look, unit, day.as_of_ns
"""  # noqa: S608
