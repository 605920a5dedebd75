"""What we ourselves made smaller, so that its smaller profit is not taken for drift.

A reduction holds from the time at which an order system acknowledged it, one whose last word is not
that it refuses, until a person ended it. What was earned in between is divided by its factor, the
part of the size that was left: so all days are compared at the size of the baseline. Of several
that hold at once the factors multiply, because each is a part of the size at the start of its own
episode.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from operations.checks import EachEvent, Row, Stored, Table
from operations.clock import near_ns
from operations.events.actions import (
    ActionAnswered,
    ActionExpired,
    ActionReleased,
    ActionRequested,
)

KEEP_DAYS = 1600
Reductions = Sequence[Mapping[str, Any]] | None  # begun_ns, ended_ns, factor; as a query yields it


def _asked(stored: Stored) -> Iterator[Row]:
    event = stored.event
    assert isinstance(event, ActionRequested)
    action = event.data
    factor = None if action.allocation_factor is None else float(action.allocation_factor)
    yield (
        stored.sequence, stored.at_ns, action.action_id, action.episode, action.kind, action.scope,
        action.scope_id, factor,
    )  # fmt: skip


def _outcomes(stored: Stored) -> Iterator[Row]:
    event = stored.event
    assert isinstance(event, ActionAnswered | ActionExpired | ActionReleased)
    oms_id, outcome = "", event.subject.rpartition(".")[2]
    if isinstance(event, ActionAnswered):
        oms_id, outcome = event.data.oms_id, event.data.phase.lower()
    happened_ns = min(near_ns(event.timestamp), stored.at_ns)
    yield stored.sequence, stored.at_ns, event.data.action_id, oms_id, outcome, happened_ns


ASKED = Table(
    name="action_asked",
    columns=(
        ("action_id", "VARCHAR"), ("episode", "VARCHAR"), ("kind", "VARCHAR"),
        ("scope", "VARCHAR"), ("scope_id", "VARCHAR"), ("factor", "DOUBLE"),
    ),
    kinds=(ActionRequested,),
    fold=lambda: EachEvent(_asked),
    keep_days=KEEP_DAYS,
)  # fmt: skip
OUTCOMES = Table(
    name="action_outcome",
    columns=(
        ("action_id", "VARCHAR"), ("oms_id", "VARCHAR"), ("outcome", "VARCHAR"),
        ("happened_ns", "BIGINT"),
    ),
    kinds=(ActionAnswered, ActionExpired, ActionReleased),
    fold=lambda: EachEvent(_outcomes),
    keep_days=KEEP_DAYS,
)  # fmt: skip
TABLES = (ASKED, OUTCOMES)


def held(name: str, scope: str, kind: str) -> str:
    """Return the SQL of a table with one row for each action that somebody carries out.

    Its columns: look, scope_id, action_id, factor, begun_ns, ended_ns (NULL while it goes on). It
    needs a table `due` with look, sequence and the column `<scope>_id`.
    """
    return f"""
{name}_answer AS (
    SELECT due.look, a.scope_id, a.action_id, min(a.factor) AS factor,
           CASE WHEN arg_max(o.outcome, o.sequence) <> 'refused' THEN
               min(o.happened_ns) FILTER (o.outcome IN ('acknowledged', 'completed'))
           END AS begun_ns,
           min(o.happened_ns) FILTER (o.outcome IN ('expired', 'released')) AS ended_ns
    FROM due
    JOIN action_asked a ON a.scope = '{scope}' AND a.scope_id = due.{scope}_id
     AND a.kind = '{kind}' AND a.sequence <= due.sequence
    JOIN action_outcome o ON o.action_id = a.action_id AND o.sequence <= due.sequence
    GROUP BY due.look, a.scope_id, a.action_id, o.oms_id
), {name} AS (
    SELECT look, scope_id, action_id, min(factor) AS factor, min(begun_ns) AS begun_ns,
           min(ended_ns) AS ended_ns
    FROM {name}_answer GROUP BY look, scope_id, action_id
)"""  # noqa: S608 (our own constants)


def reductions_of(scope: str, kind: str) -> str:
    """Return the SQL of `reduced`: look, scope_id and what held for it, as `factor_at` reads it."""
    return f"""{held("reduction", scope, kind)}, reduced AS (
    SELECT look, scope_id, list(
        {{'begun_ns': begun_ns, 'ended_ns': ended_ns, 'factor': factor}}
        ORDER BY begun_ns, action_id) AS reductions
    FROM reduction WHERE begun_ns IS NOT NULL AND factor > 0 GROUP BY look, scope_id
)"""  # noqa: S608 (our own constants)


def factor_at(reductions: Reductions, at_ns: int) -> float:
    """Return which part of the full size was left at a moment; 1 when nothing was reduced."""
    factor = 1.0
    for each in reductions or ():
        begun_ns, ended_ns = each["begun_ns"], each["ended_ns"]
        if begun_ns <= at_ns and (ended_ns is None or at_ns < ended_ns):
            factor *= each["factor"]
    return factor
