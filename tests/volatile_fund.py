"""A fund that is valued every day, calm or wild."""

import random
from decimal import Decimal
from itertools import count

from watching import DAY, START_NS, event

from operations.clock import rfc3339
from operations.events.portfolio import NavMarked, NetAssetValue
from operations.events.positions import Exposure, ExposureMarked
from operations.events.registry import Fund, FundRegistered

CALM, WILD = 0.15 / 252**0.5, 0.60 / 252**0.5


def at(day):
    """The end of a day, by number."""
    return rfc3339(START_NS + round(day * DAY))


def fund(number=0, target=0.15, **fields):
    known = {
        "name": "alpha", "base_currency": "USD", "trading": "live", "day_end_time": "16:00",
        "day_end_zone": "UTC", "target_volatility": target,
    }  # fmt: skip
    data = Fund(**known | fields)
    return event(FundRegistered, "alpha", data, number)


def mark(day, nav, number, flow=None, final=True, currency="USD"):
    data = NetAssetValue(
        as_of=at(day), nav=Decimal(f"{nav:.4f}"), currency=currency, start_of_day_nav=Decimal(1),
        final=final, flow=None if flow is None else Decimal(str(flow)),
    )  # fmt: skip
    return event(NavMarked, "alpha", data, number, fund_id="alpha")


def exposure(day, number, gross="1000", **keys):
    data = Exposure(as_of=at(day), gross=Decimal(gross), net=Decimal(0), currency="USD")
    return event(ExposureMarked, "alpha", data, number, fund_id="alpha", **keys)


def history(deviations, start=100.0):
    """A fund whose daily returns are drawn with these deviations, a day each."""
    numbers, draw, nav = count(1), random.Random(7), start
    yield fund()
    for day, deviation in enumerate(deviations):
        yield exposure(day, next(numbers))
        nav *= 1 + draw.gauss(0, deviation)
        yield mark(day, nav, next(numbers))
