"""What do the options of a fund lose by the passing of one day?

Theta has no standard unit: feeds quote it per calendar day, per trading day or per year. Here it
is per calendar day; a year has 365 of them, 252 trading days. Money of a position:

    quantity * multiplier * theta per day and unit of the underlying * rate to the fund's currency

Decay (what is lost) and income (what is earned) are kept apart, because a sum hides two large
positions; so are options within a day of expiry, whose theta diverges. A position whose implied
volatility is missing or 0 is unknown even when a theta is quoted: quoted thetas of such rows are
what a model says about no price.
"""

import enum
import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

from operations.statistics.normal import cdf_of

CALENDAR_DAYS_PER_YEAR = 365.0
TRADING_DAYS_PER_YEAR = 252.0
EXPIRING_DAYS = 1


class ThetaUnit(enum.Enum):
    """What a quoted theta is per; the value is how many of them pass in a calendar day."""

    CALENDAR_DAY = 1.0
    TRADING_DAY = TRADING_DAYS_PER_YEAR / CALENDAR_DAYS_PER_YEAR
    YEAR = 1.0 / CALENDAR_DAYS_PER_YEAR


class OptionPosition(NamedTuple):
    """One position as the feed and the books have it; None where they have nothing."""

    quantity: float  # contracts, < 0 sold
    multiplier: float  # units of the underlying in a contract
    theta: float | None  # per unit of the underlying, in its currency
    unit: ThetaUnit
    implied_volatility: float | None  # 0.2 = 20 % a year
    days_to_expiry: float | None
    currency_rate: float | None  # the fund's currency for one of the option's


class NetTheta(NamedTuple):
    """Money per calendar day in the fund's currency; positions that are known only."""

    decay: float  # <= 0, beyond a day from expiry
    income: float  # >= 0, beyond a day from expiry
    expiring_decay: float
    expiring_income: float
    known: int  # positions
    unknown: int

    @property
    def net(self) -> float | None:
        """All of it, or None while a position is unknown: it must not count as 0."""
        if self.unknown:
            return None
        return self.decay + self.income + self.expiring_decay + self.expiring_income


def position_theta(position: OptionPosition) -> float | None:
    """Return the money that a position gains (> 0) or loses in a calendar day, or None: unknown.

    None unless every number is finite, implied volatility, multiplier and rate are above 0 and the
    option has not expired. A position of quantity 0 is known and has none.
    """
    if position.quantity == 0:
        return 0.0
    theta, volatility, rate = position.theta, position.implied_volatility, position.currency_rate
    if theta is None or volatility is None or rate is None or position.days_to_expiry is None:
        return None
    if not (volatility > 0 and rate > 0 and position.multiplier > 0):
        return None
    if not (position.days_to_expiry >= 0 and math.isfinite(volatility)):
        return None
    money = position.quantity * position.multiplier * theta * position.unit.value * rate
    return money if math.isfinite(money) else None


def net_theta(positions: Iterable[OptionPosition]) -> NetTheta:
    """Return the theta of a fund; exactly rounded sums, so the order does not matter."""
    parts: dict[tuple[bool, bool], list[float]] = {}
    known = unknown = 0
    for position in positions:
        money = position_theta(position)
        if money is None:
            unknown += 1
            continue
        known += 1
        expiring = (position.days_to_expiry or 0.0) <= EXPIRING_DAYS
        parts.setdefault((expiring, money < 0), []).append(money)

    def total(expiring: bool, loses: bool) -> float:
        return math.fsum(parts.get((expiring, loses), ()))

    return NetTheta(
        decay=total(False, True),
        income=total(False, False),
        expiring_decay=total(True, True),
        expiring_income=total(True, False),
        known=known,
        unknown=unknown,
    )


def black_scholes_theta(
    right: Literal["C", "P"],
    spot: float,
    strike: float,
    years: float,
    rate: float,
    volatility: float,
) -> float | None:
    """Return the theta of a European option without dividends per calendar day, or None.

    -S phi(d1) sigma / (2 sqrt T) - r K exp(-r T) N(d2) for a call, + r K exp(-r T) N(-d2) for a put
    (Black & Scholes 1973), divided by 365. Years to expiry by calendar days; rate and volatility
    per year. None unless spot, strike, years and volatility are above 0 and all are finite, as the
    result.
    """
    if not all(map(math.isfinite, (spot, strike, years, rate, volatility))):
        return None
    if min(spot, strike, years, volatility) <= 0:
        return None
    try:
        annual = _annual_theta(right, spot, strike, years, rate, volatility)
    except (OverflowError, ZeroDivisionError, ValueError):
        return None  # numbers of no market, whose theta no float holds
    return annual / CALENDAR_DAYS_PER_YEAR if math.isfinite(annual) else None


def _annual_theta(
    right: str, spot: float, strike: float, years: float, rate: float, volatility: float
) -> float:
    spread = volatility * math.sqrt(years)
    d1 = (math.log(spot / strike) + (rate + volatility**2 / 2) * years) / spread
    d2 = d1 - spread
    density = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
    carry = rate * strike * math.exp(-rate * years)
    annual = -spot * density * volatility / (2 * math.sqrt(years))
    return annual + (-carry * cdf_of(d2) if right == "C" else carry * cdf_of(-d2))
