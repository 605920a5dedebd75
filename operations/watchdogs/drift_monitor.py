"""Do the forecasts of a strategy rank what happens as well as they did in its baseline?

    drift_zscore = (mean live IC - mean baseline IC) / sqrt(se_live^2 + se_baseline^2)

with the Newey-West errors of both means, which know that scores over several days overlap
(`operations.statistics.newey_west`). The rank correlation of a day is the same at any size of the
positions, so a baseline of it needs no scaling after we halve an allocation, unlike one of profit
and loss.

Looked at every day, a moving mean drifts in nearly every well strategy. So a look is made every
`look_every_days` over the last `window_days`, and only `looks_in_a_row` of them below a threshold
count. Below -1 the allocation is halved, once: the target is half of the size at the start of the
episode, and only a person gives it back. Below -2 this watchdog only says so; the worker `limits`
halts by looks of its own, exactly and at once. How often each is wrong: docs/calibration.md.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta, Struct

from operations.checks import (
    Batch,
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
from operations.clock import NANOSECONDS, rfc3339
from operations.events.base import Event, doc
from operations.events.findings import Parameter
from operations.events.strategies import (
    ForecastScore,
    ForecastScored,
    StrategyBaseline,
    StrategyBaselinePublished,
)
from operations.settings.catalogue import LOOSER_HIGHER, LOOSER_LOWER
from operations.statistics.newey_west import overlapping_variances
from operations.watchdogs.cases import Case

NAME = "drift_monitor"
MINIMUM_BASELINE_DAYS = 60
MOST_DAYS = 400  # of one series, that a look may see
DAY_NS = 86_400 * NANOSECONDS
HALF = Decimal("0.5")
_SCORES = attrgetter("daily_information_coefficients", "ic_mean", "ic_standard_deviation", "days")


class DriftLimits(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a strategy has drifted."""

    halve_below: Annotated[
        float, doc("drift_zscore below which the allocation is halved."), LOOSER_LOWER
    ] = -1.0
    halt_below: Annotated[
        float, doc("drift_zscore below which it is said that `limits` halts."), LOOSER_LOWER
    ] = -2.0
    recover_above: Annotated[
        float, doc("drift_zscore above which an episode is over."), LOOSER_LOWER
    ] = -0.5
    window_days: Annotated[int, Meta(ge=2), doc("Scored days in the live mean, at most.")] = 80
    minimum_days: Annotated[
        int,
        Meta(ge=2),
        doc("Usable days in the window below which the drift is unknown."),
        LOOSER_HIGHER,
    ] = 20
    minimum_names: Annotated[
        int, Meta(ge=1), doc("Instruments scored, below which a day is not usable."), LOOSER_HIGHER
    ] = 10
    look_every_days: Annotated[
        int, Meta(ge=1), doc("Scored days from one look to the next."), LOOSER_HIGHER
    ] = 20
    looks_in_a_row: Annotated[
        int, Meta(ge=1), doc("Looks in a row that have to agree."), LOOSER_HIGHER
    ] = 7


class Score(NamedTuple):
    """A scored day, its number since the baseline, and the baseline that it is judged against."""

    sequence: int
    horizon_days: int
    method: str
    number: int
    day: str
    information_coefficient: float
    names: int
    baseline_mean: float | None
    baseline_error: float | None
    baseline_problem: str | None


class Scores:
    """Numbers the scored days of each strategy, horizon and method from its baseline on.

    A day that is not after the one before was scored already or comes too late; one that has not
    come yet is none. A new baseline begins a new count.
    """

    def __init__(self) -> None:
        self._baselines: dict[str, tuple[int, StrategyBaseline]] = {}
        self._reached: dict[tuple[str, int, str], tuple[str, int]] = {}  # last day and its number

    def take(self, batch: Batch) -> list[Row]:
        """Return a row for each day that counts."""
        rows = []
        for stored in batch:
            event = stored.event
            strategy_id = event.strategy_id or event.subject_id
            if isinstance(event, StrategyBaselinePublished):
                self._rebase(strategy_id, stored.sequence, event.data)
            elif isinstance(event, ForecastScored) and self._counts(strategy_id, stored):
                rows.append(self._row(strategy_id, stored, event.data))
        return rows

    def snapshot(self) -> Any:
        """Return baselines and how far each series has come."""
        return {
            "baselines": {
                name: [since, msgspec.to_builtins(data)]
                for name, (since, data) in self._baselines.items()
            },
            "reached": [[*key, *reached] for key, reached in self._reached.items()],
        }

    def restore(self, state: Any) -> None:
        """Go on from a snapshot."""
        self._baselines = {
            name: (int(since), msgspec.convert(data, StrategyBaseline))
            for name, (since, data) in state["baselines"].items()
        }
        self._reached = {
            (name, int(horizon), method): (day, int(number))
            for name, horizon, method, day, number in state["reached"]
        }

    def _rebase(self, strategy_id: str, sequence: int, data: StrategyBaseline) -> None:
        known = self._baselines.get(strategy_id)
        if known is not None and _SCORES(known[1]) == _SCORES(data):
            return  # its sizes, its currency or its name may be others
        self._baselines[strategy_id] = (sequence, data)
        for key in [each for each in self._reached if each[0] == strategy_id]:
            self._reached[key] = (self._reached[key][0], 0)

    def _counts(self, strategy_id: str, stored: Stored) -> bool:
        score = stored.event.data
        assert isinstance(score, ForecastScore)
        last, number = self._reached.get(_series(strategy_id, score), ("", 0))
        if score.day <= last or score.day > rfc3339(stored.at_ns + DAY_NS)[:10]:
            return False
        self._reached[_series(strategy_id, score)] = (score.day, number + 1)
        return True

    def _row(self, strategy_id: str, stored: Stored, score: ForecastScore) -> Row:
        since, data = self._baselines.get(strategy_id, (0, None))
        base = baseline(data, score.horizon_days)
        return (
            stored.sequence, stored.at_ns, strategy_id, since, score.horizon_days, score.method,
            self._reached[_series(strategy_id, score)][1], score.day,
            score.information_coefficient, score.names, base.mean, base.error, base.problem,
        )  # fmt: skip


class Base(Struct, frozen=True):
    """What the live mean is compared with: mean, its standard error, or why there is none."""

    mean: float | None = None
    error: float | None = None
    problem: str | None = None


def baseline(published: StrategyBaseline | None, horizon_days: int) -> Base:
    """Return mean and error of a baseline: of its daily coefficients, else as it states them."""
    if published is None:
        return Base(problem="no baseline was published")
    daily = published.daily_information_coefficients
    stated = (*(daily or ()), published.ic_mean or 0.0, published.ic_standard_deviation or 0.0)
    if abs(wrong := max(stated, key=abs)) > 1:
        return Base(problem=f"{wrong} is no coefficient, of -1 to 1, and its baseline has it")
    if daily is not None:
        error = _error(daily, horizon_days, MINIMUM_BASELINE_DAYS)
        if error is None:
            needed = f"{MINIMUM_BASELINE_DAYS} daily coefficients that differ"
            return Base(problem=f"its baseline has {len(daily)} of {needed}")
        return Base(math.fsum(daily) / len(daily), error)
    mean, deviation, days = published.ic_mean, published.ic_standard_deviation, published.days
    if mean is None or not deviation or deviation < 0 or (days or 0) < MINIMUM_BASELINE_DAYS:
        return Base(
            problem="its baseline states no daily coefficients, and not ic_mean, a positive "
            f"ic_standard_deviation and at least {MINIMUM_BASELINE_DAYS} days either"
        )
    assert days is not None
    return Base(mean, deviation / math.sqrt(days))


def zscore(live: Sequence[float], horizon_days: int, minimum: int, base: Base) -> float | None:
    """Return how many standard errors the mean of live is above that of a baseline, or None."""
    error = _error(live, horizon_days, minimum)
    if error is None or base.mean is None or base.error is None:
        return None
    return (float(np.mean(live)) - base.mean) / math.hypot(error, base.error)


def _error(values: Sequence[float], horizon_days: int, minimum: int) -> float | None:
    if len(values) < minimum or min(values) == max(values):
        return None
    variance = float(overlapping_variances(values, max(1, horizon_days)))
    return math.sqrt(variance / len(values)) if variance > 0 else None


def _series(strategy_id: str, score: ForecastScore) -> tuple[str, int, str]:
    return strategy_id, score.horizon_days, score.method


SCORES = Table(
    name="scored_day",
    columns=(
        ("strategy_id", "VARCHAR"), ("since", "BIGINT"), ("horizon_days", "BIGINT"),
        ("method", "VARCHAR"), ("number", "BIGINT"), ("day", "VARCHAR"),
        ("information_coefficient", "DOUBLE"), ("names", "BIGINT"), ("baseline_mean", "DOUBLE"),
        ("baseline_error", "DOUBLE"), ("baseline_problem", "VARCHAR"),
    ),
    kinds=(ForecastScored, StrategyBaselinePublished),
    fold=Scores,
    keep_days=1100,
)  # fmt: skip

QUERY = f"""
SELECT look.look, look.unit, NULL::VARCHAR AS fund_id, look.unit AS strategy_id,
       s.sequence, s.horizon_days, s.method, s.number, s.day, s.information_coefficient, s.names,
       s.baseline_mean, s.baseline_error, s.baseline_problem
FROM look JOIN scored_day s ON s.strategy_id = look.unit AND s.sequence <= look.sequence
QUALIFY s.since = max(s.since) OVER (PARTITION BY look.look)
    AND row_number() OVER (
        PARTITION BY look.look, s.horizon_days, s.method ORDER BY s.sequence DESC
    ) <= {MOST_DAYS}
ORDER BY look.look, look.unit, s.horizon_days, s.method, s.number
"""  # noqa: S608


def looks(batch: Batch, _rows: Mapping[str, Sequence[Row]]) -> Iterator[Look]:
    """Look at a strategy whenever a day of it is scored; most such looks repeat the one before."""
    for stored in batch:
        event = stored.event
        if isinstance(event, ForecastScored):
            strategy_id = event.strategy_id or event.subject_id
            yield look_at(stored, Unit("strategy", strategy_id, event.fund_id, strategy_id))


def inspect(
    scores: Sequence[Score], look: Look, limits: DriftLimits, known: Episode | None
) -> Verdict:
    """Judge a strategy by the worst of its series (one for each horizon and method)."""
    assert look.unit is not None
    verdicts = [
        _judge(look.unit.id, list(series), limits, known)
        for _, series in groupby(scores, key=lambda score: (score.horizon_days, score.method))
    ]
    if not verdicts:
        return Verdict(state="unknown", title=f"no day of strategy {look.unit.id} was scored")
    worst = max(verdicts, key=lambda verdict: (verdict.stage, not verdict.recovered))
    if worst.stage == 0 and any(verdict.state == "unknown" for verdict in verdicts):
        return next(verdict for verdict in verdicts if verdict.state == "unknown")
    return worst


def past_looks(scores: Sequence[Score], limits: DriftLimits) -> list[tuple[float | None, int]]:
    """Return drift_zscore and usable days of the newest looks of a series, newest first."""
    reached = scores[-1].number - scores[-1].number % limits.look_every_days
    found = []
    for end in range(reached, 0, -limits.look_every_days)[: limits.looks_in_a_row]:
        live = [
            score.information_coefficient
            for score in scores
            if end - limits.window_days < score.number <= end
            and score.names >= limits.minimum_names
        ]
        last = scores[-1]
        base = Base(last.baseline_mean, last.baseline_error)
        found.append((zscore(live, last.horizon_days, limits.minimum_days, base), len(live)))
    return found


def _judge(
    strategy_id: str, scores: Sequence[Score], limits: DriftLimits, known: Episode | None
) -> Verdict:
    if (last := scores[-1]).baseline_problem is not None:
        return _unknown(strategy_id, last.baseline_problem)
    needed = limits.window_days + limits.looks_in_a_row * limits.look_every_days
    if len(scores) == MOST_DAYS and scores[0].number > last.number - needed:
        return _unknown(strategy_id, f"its limits need more than the {MOST_DAYS} days that it sees")
    found = past_looks(scores, limits)
    if not found:
        return _unknown(
            strategy_id, f"{last.number} of {limits.look_every_days} days of the first look"
        )
    z, days = found[0]
    if z is None:
        return _unknown(strategy_id, f"{days} usable days of {limits.minimum_days}, or all alike")
    stage = sum(
        len(found) == limits.looks_in_a_row
        and all(each is not None and each < threshold for each, _ in found)
        for threshold in (limits.halve_below, limits.halt_below)
    )
    below = z < limits.halve_below
    halved = known is not None and known.finding.mode == "act"  # what was observed is not
    return Verdict(
        state="breached" if stage else "warning" if below else "ok",
        title=f"forecasts of strategy {strategy_id}: drift_zscore {z:.2f} over {days} days",
        details=_details(stage, limits),
        stage=stage,
        recovered=known is not None and z > limits.recover_above,
        statistic=z,
        statistic_name="drift_zscore",
        threshold=limits.halt_below if stage == 2 else limits.halve_below,
        samples=days,
        parameters=(
            Parameter(name="horizon_days", value=str(last.horizon_days)),
            Parameter(name="baseline_mean", value=repr(last.baseline_mean)),
            Parameter(name="baseline_standard_error", value=repr(last.baseline_error)),
            Parameter(name="looks_in_a_row", value=str(limits.looks_in_a_row)),
            Parameter(name="look_every_days", value=str(limits.look_every_days)),
        ),
        proposal=_halving(strategy_id) if stage and not halved else None,
    )


def _details(stage: int, limits: DriftLimits) -> str | None:
    if stage < 2:
        return None
    return (
        f"below {limits.halt_below} in {limits.looks_in_a_row} looks in a row: the worker limits "
        "halts the strategy when its own looks agree"
    )


def _halving(strategy_id: str) -> Proposal:
    return Proposal(
        kind="reduce_allocation",
        scope="strategy",
        scope_id=strategy_id,
        allocation_factor=HALF,
        words=f"halve the allocation of strategy {strategy_id}",
    )


def _unknown(strategy_id: str, problem: str) -> Verdict:
    return Verdict(state="unknown", title=f"drift of strategy {strategy_id} is unknown: {problem}")


def canary(now_ns: int, run_id: str) -> Iterator[Event]:
    """A strategy whose forecasts ranked well in its baseline and the wrong way round since."""
    case = Case(NAME, now_ns, run_id)
    strategy_id = case.subject_id
    limits = DriftLimits()
    days = limits.looks_in_a_row * limits.look_every_days
    daily = tuple(0.1 if number % 2 else 0.0 for number in range(MINIMUM_BASELINE_DAYS))
    published = StrategyBaseline(
        baseline_id=strategy_id, currency="USD", daily_information_coefficients=daily
    )
    yield case.event(StrategyBaselinePublished, published, strategy_id=strategy_id)
    for number in range(1, days + 1):
        score = ForecastScore(
            day=rfc3339(now_ns - (days - number) * DAY_NS)[:10], horizon_days=1,
            method="spearman", information_coefficient=-0.1 if number % 2 else 0.0, names=100,
        )  # fmt: skip
        yield case.event(ForecastScored, score, strategy_id=strategy_id)


WATCHDOG = Watchdog(
    name=NAME,
    why="A strategy whose forecasts no longer rank what happens takes risk for nothing.",
    action="halve the allocation of the strategy, once in an episode",
    budget="5 % per strategy-year",
    unit="strategy",
    limits=DriftLimits,
    tables=(SCORES,),
    row=Score,
    query=QUERY,
    inspect=inspect,
    looks=looks,
    canary=canary,
)
