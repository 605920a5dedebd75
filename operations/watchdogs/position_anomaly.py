"""Is an order much larger than its strategy sends in this instrument?

The size of each order, whole orders and not slices or fills, is compared with those before it: the
robust score of its logarithm (Iglewicz & Hoaglin 1993). From `listed_deviations` on in either
direction it is listed; an order that is larger by `paged_score`, and larger than all of the window,
is paged. It notifies only.

What was typical when an episode began stays typical until it is over, so that a strategy that goes
on with larger orders does not teach this watchdog that they are normal: that takes a new baseline
of the strategy (`strategy.baseline.published`), from which on the history begins again. Sizes
before a corporate action are in another unit and do not count; orders of a rebalance are not
judged.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, NamedTuple

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
    Unit,
    Verdict,
    Watchdog,
    look_at,
)
from operations.clock import NANOSECONDS, rfc3339
from operations.events.base import Event, doc
from operations.events.findings import Parameter
from operations.events.orders import Order, OrderAmended, OrderSubmitted
from operations.events.positions import PositionChanged
from operations.events.strategies import StrategyBaselinePublished
from operations.settings.catalogue import LOOSER_HIGHER, LOOSER_LOWER
from operations.statistics.robust import log_size_sd

NAME = "position_anomaly"
WINDOW = 250  # orders that are looked back on
ROWS = 2 * WINDOW  # with what was amended
REBALANCE_NS = 86_400 * NANOSECONDS  # for which a rebalance explains orders
MEDIAN, SPREAD = "typical_size", "log_size_deviation"


class SizeLimits(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the size of an order is unusual."""

    listed_deviations: Annotated[
        float,
        Meta(gt=0),
        doc("Robust deviations of log size from which an order is listed."),
        LOOSER_HIGHER,
    ] = 2.0
    paged_score: Annotated[
        float,
        Meta(gt=0),
        doc("Robust deviations of log size above typical from which an order is paged."),
        LOOSER_HIGHER,
    ] = 3.5
    minimum_orders: Annotated[
        int, Meta(gt=0), doc("Orders before it below which nothing is typical."), LOOSER_HIGHER
    ] = 10
    smallest_deviation: Annotated[
        float,
        Meta(gt=0),
        doc("Least deviation of log size, for strategies that always send one size."),
        LOOSER_HIGHER,
    ] = 0.1
    calm_orders: Annotated[
        int, Meta(gt=0), doc("Typical orders in a row after which it is over."), LOOSER_LOWER
    ] = 10


class Sent(NamedTuple):
    """An order of one strategy and instrument, as it stood; the last row is the one judged."""

    sequence: int
    at_ns: int
    order_id: str
    size: float
    rebalance: bool
    confirmed_ns: int | None  # when the strategy got its newest baseline


def unit_of(strategy_id: str, symbol: str) -> str:
    """Name an instrument in a strategy."""
    return f"{strategy_id} {symbol}"


class OrderFold:
    """Makes a row of each whole order of a strategy, numbered within its unit.

    A row also says what begins the history of its order anew: the place of the last order before a
    corporate action, and when the strategy got its newest baseline.
    """

    def __init__(self) -> None:
        self._places: dict[str, int] = {}  # by unit
        self._anew: dict[str, int] = {}  # by unit
        self._confirmed_ns: dict[str, int] = {}  # by strategy

    def take(self, batch: Batch) -> list[Row]:
        """Return a row of each order, as it was sent or amended."""
        return [row for stored in batch for row in self._row(stored)]

    def _row(self, stored: Stored) -> Iterator[Row]:
        event, strategy_id = stored.event, stored.event.strategy_id
        if isinstance(event, StrategyBaselinePublished):
            self._confirmed_ns[strategy_id or event.subject_id] = stored.at_ns
        elif isinstance(event, PositionChanged):
            if strategy_id and event.data.cause == "corporate_action":
                unit = unit_of(strategy_id, event.data.symbol)
                self._anew[unit] = self._places.get(unit, 0)
        elif isinstance(event, OrderSubmitted | OrderAmended):
            if not strategy_id or event.data.parent_id is not None:
                return
            unit = unit_of(strategy_id, event.data.symbol)
            place = self._places[unit] = self._places.get(unit, 0) + 1
            yield (
                stored.sequence, stored.at_ns, unit, event.fund_id, strategy_id,
                event.order_id or event.subject_id, float(event.data.quantity), place,
                self._anew.get(unit, 0), self._confirmed_ns.get(strategy_id),
            )  # fmt: skip

    def snapshot(self) -> list[dict[str, int]]:
        """Return how many rows each unit has, and what begins histories anew."""
        return [self._places, self._anew, self._confirmed_ns]

    def restore(self, state: Sequence[Mapping[str, int]]) -> None:
        """Go on from a snapshot."""
        self._places, self._anew, self._confirmed_ns = map(dict, state)


def _rebalances(stored: Stored) -> Iterator[Row]:
    event = stored.event
    assert isinstance(event, PositionChanged)
    if event.strategy_id and event.data.cause == "rebalance":
        yield stored.sequence, stored.at_ns, unit_of(event.strategy_id, event.data.symbol)


ORDERS = Table(
    name="sent_order",
    columns=(
        ("unit", "VARCHAR"), ("fund_id", "VARCHAR"), ("strategy_id", "VARCHAR"),
        ("order_id", "VARCHAR"), ("size", "DOUBLE"), ("place", "BIGINT"), ("anew", "BIGINT"),
        ("confirmed_ns", "BIGINT"),
    ),
    kinds=(OrderSubmitted, OrderAmended, PositionChanged, StrategyBaselinePublished),
    fold=OrderFold,
    keep_days=400,
    keep_of_each=("unit", ROWS),
)  # fmt: skip
REBALANCES = Table(
    name="rebalance",
    columns=(("unit", "VARCHAR"),),
    kinds=(PositionChanged,),
    fold=lambda: EachEvent(_rebalances),
    keep_days=400,
)

QUERY = f"""
WITH seen AS (
    SELECT look.look, look.sequence AS seen, j.unit, j.fund_id, j.strategy_id, j.confirmed_ns,
           o.sequence, o.at_ns, o.order_id, o.size
    FROM look
    JOIN sent_order j ON j.unit = look.unit AND j.sequence = look.sequence
    JOIN sent_order o ON o.unit = j.unit AND o.place <= j.place
        AND o.place > greatest(j.place - {ROWS}, j.anew)
    QUALIFY row_number() OVER (PARTITION BY look.look, o.order_id ORDER BY o.sequence DESC) = 1
)
SELECT look, unit, fund_id, strategy_id, sequence, at_ns, order_id, size, EXISTS (
           SELECT 1 FROM rebalance r
           WHERE r.unit = s.unit AND r.sequence <= s.seen
               AND r.at_ns BETWEEN s.at_ns - {REBALANCE_NS} AND s.at_ns + {REBALANCE_NS}
       ) AS rebalance, confirmed_ns
FROM seen s
QUALIFY row_number() OVER (PARTITION BY look ORDER BY sequence DESC) <= {WINDOW + 1}
ORDER BY look, sequence
"""  # noqa: S608


def looks(batch: Batch, rows: Mapping[str, Sequence[Row]]) -> Iterator[Look]:
    """Look at each order of a strategy when it is sent, and when it is amended."""
    for sequence, _, unit, fund_id, strategy_id, *_ in rows[ORDERS.name]:
        yield look_at(batch.at(sequence), Unit("strategy", unit, fund_id, strategy_id))


def inspect(sent: Sequence[Sent], look: Look, limits: SizeLimits, known: Episode | None) -> Verdict:
    """Judge the last order beside those before it, oldest first."""
    assert look.unit is not None
    name = look.unit.id
    if not sent:
        return Verdict(state="unknown", title=f"no order of {name} is known")
    order = sent[-1]
    if order.rebalance:
        return Verdict(state="unknown", title=f"orders of {name} belong to a rebalance")
    if not (math.isfinite(order.size) and order.size > 0):
        return Verdict(state="unknown", title=f"order {order.order_id} has the size {order.size}")
    confirmed_ns = order.confirmed_ns or 0
    confirmed = known is not None and confirmed_ns > known.since_ns
    before = [one.size for one in sent[:-1] if not one.rebalance and one.at_ns > confirmed_ns]
    typical = _typical(before, limits, None if confirmed else known)
    if typical is None:
        few = f"{len(before)} usable orders of {limits.minimum_orders} needed"
        if confirmed:
            title = f"a new baseline was published for {name}; its sizes begin again"
            return Verdict(state="ok", title=title, recovered=True)
        return Verdict(state="unknown", title=f"what is typical for {name} is unknown: {few}")
    score = _score(order.size, typical)
    paged = score >= limits.paged_score and order.size > max(before, default=0.0)
    listed = abs(score) >= limits.listed_deviations
    return Verdict(
        state="warning" if paged or listed else "ok",
        title=f"order {order.order_id} of {name} is {order.size:g}, typical is {typical[0]:g}",
        stage=2 if paged else int(listed),
        listed=not paged,
        recovered=known is not None and (confirmed or _calm(sent, typical, limits, known)),
        statistic=score,
        statistic_name="robust deviations of log size from its median",
        threshold=limits.paged_score if paged else limits.listed_deviations,
        samples=len(before),
        parameters=(
            Parameter(name=MEDIAN, value=repr(typical[0])),
            Parameter(name=SPREAD, value=repr(typical[1])),
        ),
    )


def _typical(
    before: Sequence[float], limits: SizeLimits, known: Episode | None
) -> tuple[float, float] | None:
    """Return median and robust deviation of log size: as they were when an episode began."""
    if known is not None:
        said = {one.name: float(one.value) for one in known.finding.parameters}
        return said[MEDIAN], said[SPREAD]
    spread = log_size_sd(before[-WINDOW:], limits.minimum_orders)
    if spread is None:
        return None
    median = math.exp(float(np.median(np.log(before[-WINDOW:]))))
    return median, max(spread, limits.smallest_deviation)


def _score(size: float, typical: tuple[float, float]) -> float:
    return math.log(size / typical[0]) / typical[1]


def _calm(
    sent: Sequence[Sent], typical: tuple[float, float], limits: SizeLimits, known: Episode
) -> bool:
    """Whether the last orders since an episode began are all typical, and are enough."""
    last = [one.size for one in sent if one.at_ns > known.since_ns][-limits.calm_orders :]
    return len(last) == limits.calm_orders and all(
        size > 0 and abs(_score(size, typical)) < limits.listed_deviations for size in last
    )


def canary(now_ns: int, run_id: str) -> Iterator[Event]:
    """Return twelve orders of one size and one that is a hundred times as large."""
    for number in range(13):
        order_id = f"{run_id}-{number}"
        yield OrderSubmitted(
            event_id=order_id,
            timestamp=rfc3339(now_ns),
            actor="canary",
            subject_id=order_id,
            order_id=order_id,
            strategy_id=f"canary-{run_id}",
            environment="canary",
            data=Order(symbol="canary", side="buy", quantity=Decimal(10 if number < 12 else 1000)),
        )


WATCHDOG = Watchdog(
    name=NAME,
    why="An order of a size that nobody meant is the last moment before a position nobody meant.",
    action="notify",
    budget="1 page per strategy-month",
    unit="strategy",
    limits=SizeLimits,
    tables=(ORDERS, REBALANCES),
    row=Sent,
    query=QUERY,
    inspect=inspect,
    looks=looks,
    canary=canary,
)
