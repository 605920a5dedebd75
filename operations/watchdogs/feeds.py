"""Can what the feeds say be used? Gaps, duplicates, stopped values and clocks that are wrong.

What is computed from a feed is only as good as the feed, and a feed that lies looks calm. So this
watchdog comes first, and while a feed is at fault, what depends on it is unknown. One
wrong message is left out and counted by those who add up; a feed is at fault when too many of its
last messages are wrong, when its values stand still, or when it is silent.
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
    Row,
    Unit,
    Verdict,
    Watchdog,
    look_at,
)
from operations.clock import NANOSECONDS, rfc3339
from operations.events.base import Event, doc
from operations.events.findings import Parameter
from operations.events.marketdata import Trade, TradePrinted
from operations.settings.catalogue import LOOSER_HIGHER, LOOSER_LOWER
from operations.watchdogs.conditions import CONDITIONS, HOUR_NS, KINDS

NAME = "data_fault"
DAY_NS = 24 * HOUR_NS


class FeedLimits(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a feed is at fault."""

    faulty_messages: Annotated[
        int,
        Meta(gt=0),
        doc("Wrong or missing messages among the last ones from which a feed is at fault."),
        LOOSER_HIGHER,
    ] = 5
    unchanged_trades: Annotated[
        int,
        Meta(gt=0),
        doc("Trades in a row with the price and the size of the one before."),
        LOOSER_HIGHER,
    ] = 250
    unchanged_marks: Annotated[
        int,
        Meta(gt=0),
        doc("Marks in a row that repeat the values of the one before; also settled days."),
        LOOSER_HIGHER,
    ] = 5
    unchanged_hours: Annotated[
        float,
        Meta(gt=0),
        doc("Hours for which greeks repeat before they count as stopped."),
        LOOSER_HIGHER,
    ] = 20.0
    silent_days: Annotated[
        float, Meta(gt=0), doc("Days without a message: longer than a long weekend."), LOOSER_HIGHER
    ] = 5.0
    missed_beats: Annotated[
        float, Meta(gt=0), doc("Intervals of a news feed without a beat."), LOOSER_HIGHER
    ] = 3.0
    minimum_messages: Annotated[
        int, Meta(gt=0), doc("Messages below which nobody calls a feed well."), LOOSER_LOWER
    ] = 10


class Condition(NamedTuple):
    """How a feed stands at one moment."""

    sequence: int
    messages: int
    window: int  # of the last messages, in which the next three are counted
    duplicates: int
    clock: int
    missing: int
    unchanged: int
    unchanged_ns: int
    silent_ns: int
    beat_ns: int  # the interval that the feed promised; 0 when it promised none
    latency_ns: int | None  # of the last message with a wrong clock


QUERY = """
SELECT look.look, look.unit, NULL::VARCHAR AS fund_id, NULL::VARCHAR AS strategy_id,
       c.sequence, c.messages, c.window_messages AS "window", c.duplicates, c.clock, c.missing,
       c.unchanged, c.unchanged_ns, c.silent_ns, c.beat_ns, c.latency_ns
FROM look ASOF JOIN feed_condition c ON c.feed = look.unit AND look.sequence >= c.sequence
ORDER BY look.look
"""


def looks(batch: Batch, rows: Mapping[str, Sequence[Row]]) -> Iterator[Look]:
    """Look at a feed whenever its condition is shown."""
    shown = rows[CONDITIONS.name]
    if not shown:
        return
    for sequence, _at_ns, feed, *_ in shown:
        yield look_at(batch.at(sequence), Unit("feed", feed))


def inspect(
    conditions: Sequence[Condition], look: Look, limits: FeedLimits, known: Episode | None
) -> Verdict:
    """Judge the newest condition of a feed. It is well again when nothing at all is wrong."""
    assert look.unit is not None
    name = look.unit.id
    if not conditions:
        return Verdict(state="unknown", title=f"nothing is known of feed {name}")
    now = conditions[-1]
    found = faults(name, now, limits)
    if not found and known is None and now.messages < limits.minimum_messages:
        few = f"{now.messages} messages of {limits.minimum_messages} needed"
        return Verdict(state="unknown", title=f"whether feed {name} is well is unknown: {few}")
    wrong = now.duplicates + now.clock + now.missing
    return Verdict(
        state="breached" if found else "ok",
        title=f"feed {name} is at fault: {'; '.join(found)}" if found else f"feed {name} is well",
        stage=int(bool(found)),
        recovered=known is not None and not found and not wrong,
        statistic=float(wrong),
        statistic_name=f"wrong or missing among the last {now.window} messages",
        threshold=float(_most(name, limits)),
        samples=now.messages,
        parameters=(
            Parameter(name="unchanged", value=str(now.unchanged)),
            Parameter(name="silent_seconds", value=str(now.silent_ns // NANOSECONDS)),
        ),
    )


def faults(name: str, now: Condition, limits: FeedLimits) -> list[str]:
    """Say in words all that is wrong with a feed."""
    found = []
    if now.duplicates + now.clock + now.missing >= _most(name, limits):
        if now.duplicates:
            found.append(f"{now.duplicates} of the last {now.window} messages came before")
        if now.clock:
            after_ms = (now.latency_ns or 0) / 1e6
            found.append(
                f"{now.clock} of the last {now.window} messages have an impossible time, "
                f"the last was stored {after_ms:,.0f} ms after it happened"
            )
        if now.missing:
            found.append(f"{now.missing} messages are missing")
    if _stopped(name, now, limits):
        found.append(f"the last {now.unchanged} messages repeat the values before them")
    longest_ns = limits.missed_beats * now.beat_ns or limits.silent_days * DAY_NS
    if now.silent_ns >= longest_ns:
        found.append(f"silent for {now.silent_ns // NANOSECONDS:,} s")
    return found


def _most(name: str, limits: FeedLimits) -> int:
    return min(limits.faulty_messages, KINDS[name.partition("/")[0]].window)


def _stopped(name: str, now: Condition, limits: FeedLimits) -> bool:
    if name.startswith("trades/"):
        return now.unchanged >= limits.unchanged_trades
    hours = limits.unchanged_hours if name.startswith("greeks/") else 0
    return now.unchanged >= limits.unchanged_marks and now.unchanged_ns >= hours * HOUR_NS


def canary(now_ns: int, run_id: str) -> Iterator[Event]:
    """Return trades of which a feed delivers one again and again."""
    symbol = f"canary-{run_id}"
    for number in range(6):
        yield TradePrinted(
            event_id=f"{run_id}-{number}",
            timestamp=rfc3339(now_ns),
            actor="canary",
            subject_id=symbol,
            environment="canary",
            data=Trade(
                symbol=symbol, trade_id="1", venue="canary", price=Decimal(1), size=Decimal(1),
                currency="USD", venue_time=rfc3339(now_ns),
            ),
        )  # fmt: skip


WATCHDOG = Watchdog(
    name=NAME,
    why="A feed that repeats, stops or has a wrong clock looks calm, and so does all beneath it.",
    action="what depends on the feed becomes unknown",
    budget="0 on a feed that is well: by construction",
    unit="feed",
    limits=FeedLimits,
    tables=(CONDITIONS,),
    row=Condition,
    query=QUERY,
    inspect=inspect,
    looks=looks,
    canary=canary,
)
