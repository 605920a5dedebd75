"""Was the last volume of an instrument traded so one-sidedly that taking liquidity is a bad idea?

VPIN says how one-sided the last 50 buckets of volume were. Its level depends on the instrument and
on how trades are signed, so a value counts only beside those before it: it must be above
`own_level` of them, and for trades that were signed by bars above `high` too. Values that share
buckets hang together, and the highest of 2,500 is passed four times a year by chance: so a value
must also be `own_margin` times as far from its median as 99 % of them are. It may throttle orders
that take liquidity; it never halts, because what it forecasts is disputed (Andersen & Bondarenko
2014).
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, NamedTuple

from msgspec import Meta

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
from operations.clock import rfc3339
from operations.events.base import Event, doc
from operations.events.findings import Parameter
from operations.events.marketdata import Trade, TradePrinted
from operations.events.registry import Instrument, InstrumentDefined
from operations.settings.catalogue import LOOSER_HIGHER, LOOSER_LOWER
from operations.watchdogs.cases import Case
from operations.watchdogs.flow import FLOW

NAME = "vpin"
HISTORY = 2_500  # buckets that are looked back on: 50 average days


class VpinLimits(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the flow of an instrument is one-sided."""

    high: Annotated[
        float,
        Meta(gt=0),
        doc("VPIN above which it is high where bars say who bought, between 0 and 1."),
        LOOSER_HIGHER,
    ] = 0.4
    own_level: Annotated[
        float,
        Meta(ge=0, le=1),
        doc("Part of its own values that it must be above, as a fraction; 0 means `high` alone."),
        LOOSER_HIGHER,
    ] = 0.99
    own_margin: Annotated[
        float,
        Meta(gt=0),
        doc("Least distance from its median, in distances from there to its 99 % level."),
        LOOSER_HIGHER,
    ] = 1.7
    exit_level: Annotated[
        float,
        Meta(ge=0, le=1),
        doc("Part of its own values below which it is over, as a fraction."),
        LOOSER_HIGHER,
    ] = 0.90
    minimum_buckets: Annotated[
        int, Meta(gt=0), doc("Own values before which its level is unknown."), LOOSER_HIGHER
    ] = 500
    throttle_orders_per_minute: Annotated[
        int,
        Meta(gt=0),
        doc("Orders per minute in the instrument while it is one-sided."),
        LOOSER_HIGHER,
    ] = 30
    throttle_seconds: Annotated[
        int, Meta(gt=0), doc("How long that holds, in seconds."), LOOSER_LOWER
    ] = 1800


class Bucket(NamedTuple):
    """The newest value of an instrument beside those before it."""

    sequence: int
    first_sequence: int | None
    last_sequence: int
    signed: bool
    vpin: float | None
    before: int  # values before it
    below: int  # of them, those below it
    median: float | None  # of them
    upper: float | None  # of them: 99 % are not above it
    bucket_volume: float | None
    left_out: int
    left_out_volume: float


QUERY = f"""
WITH value AS (
    SELECT look.look, b.*
    FROM look JOIN vpin_bucket b ON b.symbol = look.unit AND b.sequence = look.sequence
    QUALIFY row_number() OVER (PARTITION BY look.look ORDER BY b.place DESC) = 1
)
SELECT v.look, v.symbol AS unit, NULL::VARCHAR AS fund_id, NULL::VARCHAR AS strategy_id,
       v.sequence, min(h.sequence) AS first_sequence, v.sequence AS last_sequence, v.signed, v.vpin,
       count(h.vpin) AS before, count(h.vpin) FILTER (h.vpin < v.vpin) AS below,
       quantile_disc(h.vpin, [0.5, 0.99])[1] AS median,
       quantile_disc(h.vpin, [0.5, 0.99])[2] AS upper,
       v.bucket_volume, v.left_out, v.left_out_volume
FROM value v LEFT JOIN vpin_bucket h ON h.symbol = v.symbol AND h.series = v.series
    AND h.place < v.place AND h.place >= v.place - {HISTORY}
GROUP BY ALL
ORDER BY v.look
"""  # noqa: S608


def looks(batch: Batch, rows: Mapping[str, Sequence[Row]]) -> Iterator[Look]:
    """Look at an instrument whenever a trade fills a bucket, once for all that it fills."""
    full = dict.fromkeys((row[0], row[2]) for row in rows[FLOW.name])
    if not full:
        return
    for sequence, symbol in full:
        yield look_at(batch.at(sequence), Unit("instrument", symbol))


def inspect(
    buckets: Sequence[Bucket], look: Look, limits: VpinLimits, known: Episode | None
) -> Verdict:
    """Judge the newest value of an instrument beside its own."""
    assert look.unit is not None
    symbol = look.unit.id
    now = buckets[-1] if buckets else None
    if now is None or now.bucket_volume is None:
        return _unknown(f"{symbol} has no average_daily_volume: its buckets have no size")
    if now.vpin is None:
        return _unknown(f"VPIN of {symbol} is unknown: no value yet")
    if limits.own_level and now.before < limits.minimum_buckets:
        few = f"{now.before} buckets of {limits.minimum_buckets} needed"
        return _unknown(f"the level of VPIN of {symbol} is unknown: {few}")
    level = now.below / now.before if now.before else 0.0
    bare = not limits.own_level
    high = now.vpin > limits.high or (now.signed and not bare)
    one_sided = high and (bare or (level >= limits.own_level and _stands_out(now, limits)))
    calm = now.vpin <= limits.high if bare else level < limits.exit_level
    how = "aggressors" if now.signed else "bars"
    return Verdict(
        state="warning" if one_sided else "ok",
        title=f"VPIN of {symbol} is {now.vpin:.3f}, above {level:.1%} of its own values",
        stage=int(one_sided),
        recovered=known is not None and calm,
        statistic=now.vpin,
        statistic_name="VPIN of 50 buckets, between 0 and 1",
        threshold=limits.high,
        samples=now.before,
        details=f"signed by {how}; {now.left_out} trades of {now.left_out_volume:g} are left out",
        parameters=(
            Parameter(name="level", value=repr(level)),
            Parameter(name="own_level", value=repr(limits.own_level)),
            Parameter(name="bucket_volume", value=repr(now.bucket_volume)),
        ),
        proposal=_throttle(symbol, limits) if one_sided else None,
    )


def _stands_out(now: Bucket, limits: VpinLimits) -> bool:
    """Whether a value is farther out than the highest of many that hang together may be."""
    if now.vpin is None or now.median is None or now.upper is None:
        return False
    return now.vpin - now.median >= limits.own_margin * (now.upper - now.median)


def _throttle(symbol: str, limits: VpinLimits) -> Proposal:
    rate, seconds = limits.throttle_orders_per_minute, limits.throttle_seconds
    return Proposal(
        kind="throttle",
        scope="instrument",
        scope_id=symbol,
        seconds=seconds,
        orders_per_minute_at_most=rate,
        words=f"at most {rate} orders a minute in {symbol} for {seconds} s",
    )


def _unknown(title: str) -> Verdict:
    return Verdict(state="unknown", title=title)


def canary(now_ns: int, run_id: str) -> Iterator[Event]:
    """Return large trades on both sides, whose edges mix in buckets, and then one large sale."""
    case = Case(NAME, now_ns, run_id)
    symbol = case.subject_id
    yield case.event(InstrumentDefined, Instrument(
        symbol=symbol, kind="equity", currency="USD", multiplier=Decimal(1),
        average_daily_volume=Decimal(5000),
    ))  # fmt: skip
    for number in range(1, 62):  # a bucket is 100
        yield case.event(TradePrinted, Trade(
            symbol=symbol, trade_id=str(number), venue="canary", price=Decimal(1),
            size=Decimal(1050 if number < 61 else 4200), currency="USD",
            venue_time=rfc3339(now_ns), aggressor="buy" if number % 2 else "sell",
        ))  # fmt: skip


WATCHDOG = Watchdog(
    name=NAME,
    why="Who takes liquidity from one-sided flow trades against somebody who may know more.",
    action="throttle orders in the instrument, for a time; never a halt",
    budget="1 per instrument-year",
    unit="instrument",
    limits=VpinLimits,
    tables=(FLOW,),
    row=Bucket,
    query=QUERY,
    inspect=inspect,
    looks=looks,
    feeds=lambda unit: (f"trades/{unit.id}",),
    canary=canary,
)
