"""Does a strategy earn what it did while it was known to be well?

The sum of its last 30 daily profits per allocated capital is compared with the interval that such
sums of its baseline stay in. Looked at every day, a plain 95 % interval is left by nearly every
strategy within a year, so the limits are those of the extreme over a whole year: a strategy that
is well leaves them with 5 % in a year, 2.5 % on each side (`operations.statistics.bands`). While
it varies more than its baseline did, they are as much wider: wild times are no other mean, and
volatility and losses are judged elsewhere. Without that, strategies whose calm and wild times
follow each other would be found three times as often as said.

Below: it trades in the shadow until a person ends that. Above: somebody shall look, because what
earns too much is often priced wrongly. What we reduced ourselves counts at full size, and what was
earned before a person let it trade again does not count.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import ArrayLike

from operations.checks import (
    Batch,
    Episode,
    Limits,
    Look,
    Proposal,
    Row,
    Unit,
    Verdict,
    Watchdog,
    look_at,
)
from operations.clock import near_ns, rfc3339
from operations.events.base import Event, doc
from operations.events.findings import Parameter
from operations.events.strategies import (
    PnlMarked,
    ProfitAndLoss,
    StrategyBaseline,
    StrategyBaselinePublished,
)
from operations.settings.catalogue import LOOSER_HIGHER
from operations.statistics.bands import distance
from operations.statistics.samples import Floats
from operations.watchdogs import settled
from operations.watchdogs.cases import Case
from operations.watchdogs.profits import EACH_SIDE, QUERY, TABLES, WINDOW_DAYS, Day
from operations.watchdogs.reductions import Reductions, factor_at
from operations.watchdogs.settled import DAY_NS, LONGEST_GAP_DAYS

NAME = "strategy_watchdog"
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


def looks(batch: Batch, _rows: Mapping[str, Sequence[Row]]) -> Iterator[Look]:
    """Look at a strategy whenever a day of it is settled."""
    for stored in batch:
        event = stored.event
        if isinstance(event, PnlMarked) and event.data.final:
            strategy_id = event.strategy_id or event.subject_id
            unit = Unit("strategy", strategy_id, event.fund_id, strategy_id)
            yield look_at(stored, unit, near_ns(event.data.as_of))


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
    returns = returns_at_full_size(days)
    if len(returns) < WINDOW_DAYS:
        title = f"{name} has {len(returns)} usable days of {WINDOW_DAYS} needed"
        return Verdict(state="unknown", title=title)
    assert last.lower is not None
    assert last.upper is not None
    assert last.deviation is not None
    window = returns[-WINDOW_DAYS:]
    lower, upper = interval(window, last.lower, last.upper, last.deviation)
    return _verdict(sum(window), (float(lower), float(upper)), look.unit.id, last, limits, known)


def interval(
    window: ArrayLike, lower: ArrayLike, upper: ArrayLike, deviation: ArrayLike
) -> tuple[Floats, Floats]:
    """Return the limits of the sum of a window: wider by as much as it varies more than expected.

    Windows have shape (..., days), all else one value for each; in the unit of the returns.
    """
    lower, upper = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
    varies = np.asarray(window, np.float64).std(axis=-1, ddof=1)
    times = np.maximum(1.0, varies / np.asarray(deviation, np.float64))
    middle = (lower + upper) / 2
    return middle - times * (middle - lower), middle + times * (upper - middle)


def _problem(last: Day, look: Look, name: str) -> str | None:
    """Say why a strategy cannot be judged, whatever it earned."""
    if last.shadowed_ns is not None:
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
    total: float,
    edges: tuple[float, float],
    strategy_id: str,
    last: Day,
    limits: ProfitLimits,
    known: Episode | None,
) -> Verdict:
    name, (lower, upper) = f"strategy {strategy_id}", edges
    way = distance(total, lower, upper)
    outside, below = way > limits.enter_multiple, total < (lower + upper) / 2
    stage = (BELOW if below else ABOVE) if outside else 0
    where = ("below" if below else "above") if outside else "within"
    state: Literal["ok", "warning", "breached"] = "ok"
    if outside:
        state = "breached" if below else "warning"
    return Verdict(
        state=state,
        title=(
            f"{name} earned {total:+.2%} of its capital in {WINDOW_DAYS} days, {where} "
            f"{lower:+.2%} to {upper:+.2%} of baseline {last.baseline_id}"
        ),
        stage=stage,
        recovered=known is not None and not latched(known) and way < limits.exit_multiple,
        statistic=total,
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
    tables=TABLES,
    row=Day,
    query=QUERY,
    inspect=inspect,
    looks=looks,
    every_seconds=settled.EVERY_SECONDS,
    lateness_seconds=settled.LATENESS_SECONDS,
    canary=canary,
)
