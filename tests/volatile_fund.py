"""A fund that is valued every day, calm or wild."""

import random
from decimal import Decimal
from itertools import count

from watching import DAY, START_NS, event

from operations.clock import rfc3339
from operations.events.portfolio import NavMarked, NetAssetValue
from operations.events.positions import Exposure, ExposureMarked
from operations.events.registry import Fund, FundRegistered


def fund(number=0, target=0.15):
    data = Fund(
        name="alpha", base_currency="USD", trading="live", day_end_time="16:00",
        day_end_zone="UTC", target_volatility=target,
    )  # fmt: skip
    return event(FundRegistered, "alpha", data, number)


def mark(day, nav, number, flow=None):
    data = NetAssetValue(
        as_of=rfc3339(START_NS + day * DAY), nav=Decimal(f"{nav:.4f}"), currency="USD",
        start_of_day_nav=Decimal(1), final=True, flow=None if flow is None else Decimal(flow),
    )  # fmt: skip
    return event(NavMarked, "alpha", data, number, fund_id="alpha")


def exposure(gross, number):
    at = rfc3339(START_NS)
    data = Exposure(as_of=at, gross=Decimal(gross), net=Decimal(0), currency="USD")
    return event(ExposureMarked, "alpha", data, number, fund_id="alpha")


def history(deviations, start=100.0):
    """A fund whose daily returns are drawn with these deviations, a day each."""
    numbers, draw, nav = count(1), random.Random(7), start
    yield fund()
    yield exposure("1000", next(numbers))
    for day, deviation in enumerate(deviations):
        nav *= 1 + draw.gauss(0, deviation)
        yield mark(day, nav, next(numbers))


CALM, WILD = 0.15 / 252**0.5, 0.60 / 252**0.5
