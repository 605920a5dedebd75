"""Do the options of a fund lose or earn more by the passing of a day than it may?

Net theta in money per calendar day, in the currency of the fund, beside its value. Options within a
day of expiry are judged apart, because their theta diverges; what is lost and what is earned stand
apart in the finding, because a sum hides two large positions. A fund is unknown while one of its
positions is: without an implied volatility (a quoted theta beside none is what a model says about
no price), with a mark that is too old, without multiplier, expiry or exchange rate, or when spot
prices of one underlying disagree, as they do around a split. A position is held until it is marked
with the quantity 0, or some days after its expiry: one that is no longer marked is not forgotten.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_DOWN, Decimal
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
from operations.clock import NANOSECONDS, rfc3339
from operations.events.base import Data, Event, doc
from operations.events.findings import Parameter
from operations.events.portfolio import NavMarked, NetAssetValue
from operations.events.positions import Greeks, GreeksMarked
from operations.events.registry import Instrument, InstrumentDefined
from operations.settings.catalogue import LOOSER_HIGHER
from operations.statistics.theta import (
    NetTheta,
    OptionPosition,
    ThetaUnit,
    net_theta,
    position_theta,
)
from operations.watchdogs.cases import Case
from operations.watchdogs.option_marks import DAY_NS, GREEKS, OPTIONS, RATES, VALUES, torn

NAME = "theta_watchdog"
SETTLED_DAYS = 5  # after its expiry, for which an option that nobody marks is still held
NAMED = 3  # positions that are unknown


class ThetaLimits(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the theta of a fund is too large."""

    enter_pct: Annotated[
        float,
        Meta(gt=0),
        doc("Net theta per calendar day from which it is a breach, in percent of NAV."),
        LOOSER_HIGHER,
    ] = 0.10
    exit_pct: Annotated[
        float,
        Meta(gt=0),
        doc("Net theta below which it is over, in percent of NAV."),
        LOOSER_HIGHER,
    ] = 0.08
    oldest_mark_hours: Annotated[
        float,
        Meta(gt=0),
        doc("Age of greeks, NAV and rates from which they are unknown, in hours."),
        LOOSER_HIGHER,
    ] = 96.0


class Position(NamedTuple):
    """One option position of a fund, its newest mark, with what is needed to judge it."""

    sequence: int
    account_id: str
    symbol: str
    underlying: str | None
    marked_ns: int
    quantity: float
    theta: float | None
    implied_volatility: float | None
    spot: float | None
    spot_before: float | None  # that it must agree with
    multiplier: float | None
    expires_ns: int | None  # when its last trading day ends
    currency: str
    nav: float | None
    nav_ns: int | None
    nav_currency: str | None
    rate: float | None
    rate_ns: int | None


QUERY = f"""
WITH defined AS (
    SELECT look.look, d.*
    FROM look JOIN option_defined d ON d.sequence <= look.sequence
    QUALIFY row_number() OVER (PARTITION BY look.look, d.symbol ORDER BY d.sequence DESC) = 1
), last AS (
    SELECT look.look, look.at_ns AS look_ns, max(g.sequence) AS sequence
    FROM look JOIN option_greeks g ON g.sequence <= look.sequence
     AND (look.unit IS NULL OR look.unit = g.fund_id)
    GROUP BY look.look, look.at_ns, g.fund_id, g.account_id, g.symbol
), newest AS (
    SELECT last.look, last.look_ns, g.*, d.underlying, d.multiplier, d.expires_ns
    FROM last JOIN option_greeks g USING (sequence)
    LEFT JOIN defined d ON d.look = last.look AND d.symbol = g.symbol
), value AS (
    SELECT look.look, v.* FROM look JOIN fund_value v ON v.sequence <= look.sequence
    QUALIFY row_number() OVER (
        PARTITION BY look.look, v.fund_id ORDER BY v.as_of_ns DESC, v.sequence DESC
    ) = 1
), rate AS (
    SELECT look.look, r.* FROM look JOIN option_rate r ON r.sequence <= look.sequence
    QUALIFY row_number() OVER (
        PARTITION BY look.look, r.base, r.quote ORDER BY r.as_of_ns DESC, r.sequence DESC
    ) = 1
)
SELECT n.look, n.fund_id AS unit, n.fund_id, NULL::VARCHAR AS strategy_id,
       n.sequence, n.account_id, n.symbol, n.underlying, n.marked_ns, n.quantity, n.theta,
       n.implied_volatility, n.spot, n.spot_before, n.multiplier, n.expires_ns, n.currency,
       v.nav, v.as_of_ns AS nav_ns, v.currency AS nav_currency, r.rate, r.as_of_ns AS rate_ns
FROM newest n
LEFT JOIN value v ON v.look = n.look AND v.fund_id = n.fund_id
LEFT JOIN rate r ON r.look = n.look AND r.base = n.currency AND r.quote = v.currency
WHERE n.quantity <> 0 AND coalesce(n.expires_ns > n.look_ns - {SETTLED_DAYS * DAY_NS}, true)
ORDER BY n.look, n.fund_id, n.account_id, n.symbol
"""  # noqa: S608 (our own constants)


def looks(batch: Batch, rows: Mapping[str, Sequence[Row]]) -> Iterator[Look]:
    """Look at a fund with its first mark of each minute."""
    for sequence, _, fund_id, *_, opens_minute in rows[GREEKS.name]:
        if opens_minute:
            yield look_at(batch.at(sequence), Unit("fund", fund_id, fund_id))


def inspect(
    positions: Sequence[Position], look: Look, limits: ThetaLimits, known: Episode | None
) -> Verdict:
    """Judge the net theta of a fund from the newest mark of each position."""
    assert look.unit is not None
    fund_id = look.unit.id
    if not positions:
        title = f"fund {fund_id} holds no options"
        return Verdict(state="ok", title=title, recovered=known is not None)
    first = positions[0]
    age_ns = int(limits.oldest_mark_hours * 3600 * NANOSECONDS)
    if not first.nav or not first.nav > 0 or look.at_ns - (first.nav_ns or 0) > age_ns:
        return _unknown(f"the value of fund {fund_id} is unknown: its theta has no measure")
    if disagreeing := split(positions):
        return _unknown(
            f"spot prices of {disagreeing} in fund {fund_id} are not of one market: a split?"
        )
    options = [_option(one, look.at_ns, age_ns) for one in positions]
    theta = net_theta(options)
    if theta.unknown:
        pairs = zip(positions, options, strict=True)
        names = [one.symbol for one, option in pairs if position_theta(option) is None]
        return _unknown(
            f"theta of {theta.unknown} of {len(positions)} positions of fund {fund_id} is unknown: "
            f"{', '.join(names[:NAMED])}{' ...' * (len(names) > NAMED)}"
        )
    later, soon = theta.decay + theta.income, theta.expiring_decay + theta.expiring_income
    worst = max(later, soon, key=abs)
    pct = 100 * worst / first.nav
    breached = abs(pct) >= limits.enter_pct
    verb, when = ("loses" if worst < 0 else "earns"), (" on options that expire" * (worst is soon))
    return Verdict(
        state="breached" if breached else "ok",
        title=f"fund {fund_id} {verb} {abs(pct):.3f} % of its value a day by theta{when}",
        stage=int(breached),
        recovered=known is not None and abs(pct) < limits.exit_pct,
        statistic=pct,
        statistic_name="net theta per calendar day, in percent of NAV",
        threshold=math.copysign(limits.enter_pct, worst),
        samples=theta.known,
        details=_parts(theta, first),
        parameters=(
            Parameter(name="nav", value=f"{first.nav!r} {first.nav_currency}"),
            Parameter(name="exit_pct", value=repr(limits.exit_pct)),
        ),
        proposal=_hedge(fund_id, first, limits) if breached else None,
    )


def split(positions: Sequence[Position]) -> str:
    """Name an underlying whose spot prices are not of one market; empty when there is none."""
    spots: dict[str, list[float]] = {}
    for one in positions:
        found = spots.setdefault(one.underlying or one.symbol, [])
        found += [spot for spot in (one.spot, one.spot_before) if spot is not None]
    torn_ones = (name for name, found in spots.items() if found and torn(min(found), max(found)))
    return next(torn_ones, "")


def _option(one: Position, now_ns: int, age_ns: int) -> OptionPosition:
    fresh = now_ns - one.marked_ns <= age_ns
    rate: float | None = 1.0
    if one.currency != one.nav_currency:
        usable = one.rate_ns is not None and now_ns - one.rate_ns <= age_ns
        rate = one.rate if usable else None
    days = None if one.expires_ns is None else (one.expires_ns - now_ns) / DAY_NS
    return OptionPosition(
        quantity=one.quantity,
        multiplier=one.multiplier or 0.0,
        theta=one.theta if fresh else None,
        unit=ThetaUnit.CALENDAR_DAY,  # that of the contract of greeks_marked
        implied_volatility=one.implied_volatility,
        days_to_expiry=days,
        currency_rate=rate,
    )


def _parts(theta: NetTheta, first: Position) -> str:
    return (
        f"decay {theta.decay:,.2f}, income {theta.income:,.2f}; expiring within a day: decay "
        f"{theta.expiring_decay:,.2f}, income {theta.expiring_income:,.2f} "
        f"{first.nav_currency} a calendar day"
    )


def _hedge(fund_id: str, first: Position, limits: ThetaLimits) -> Proposal:
    assert first.nav is not None
    most = (Decimal(first.nav) * Decimal(limits.enter_pct) / 100).quantize(
        Decimal("0.01"), ROUND_DOWN
    )
    return Proposal(
        kind="hedge",
        scope="fund",
        scope_id=fund_id,
        theta_per_day_at_most=most,
        currency=first.nav_currency,
        words=f"hedge fund {fund_id} to a theta of at most {most} {first.nav_currency} a day",
    )


def _unknown(title: str) -> Verdict:
    return Verdict(state="unknown", title=title)


def canary(now_ns: int, run_id: str) -> Iterator[Event]:
    """Return a fund of 1,000 that loses 10 a day by one option."""
    case = Case(NAME, now_ns, run_id)
    fund, option, at = case.subject_id, f"canary-option-{run_id}", rfc3339(now_ns)
    kinds: tuple[tuple[type[Event], Data], ...] = (
        (InstrumentDefined, Instrument(
            symbol=option, kind="option", currency="USD", multiplier=Decimal(100),
            underlying="canary", expires_on="2199-01-01",
        )),
        (NavMarked, NetAssetValue(
            as_of=at, nav=Decimal(1000), currency="USD", start_of_day_nav=Decimal(1000)
        )),
        (GreeksMarked, Greeks(
            symbol=option, quantity=Decimal(1), currency="USD", marked_at=at,
            theta_per_day=Decimal("-0.1"), implied_volatility=0.2,
        )),
    )  # fmt: skip
    for kind, data in kinds:
        yield case.event(kind, data, fund_id=fund, account_id="canary")


WATCHDOG = Watchdog(
    name=NAME,
    why="Theta is a loss that comes without any news, or the pay for a risk that nobody sees.",
    action="hedge to an absolute theta, through the same gate as every order",
    budget="1 per fund-year",
    unit="fund",
    limits=ThetaLimits,
    tables=(GREEKS, OPTIONS, VALUES, RATES),
    row=Position,
    query=QUERY,
    inspect=inspect,
    looks=looks,
    every_seconds=3600,
    feeds=lambda unit: (f"greeks/{unit.id}", f"nav/{unit.id}"),
    canary=canary,
)
