"""How much of what is labelled did alerts find, how often were they wrong, and how sure is that?

Recall is the share of labelled windows with an alert in them, with its interval after Wilson (1927,
Journal of the American Statistical Association 22); false positives are alerts in no window for
each unit-day, with the exact interval of a Poisson rate (Garwood 1936, Biometrika 28).
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Z = 1.959963984540054  # both sides 95 %
TAIL = 0.025
Window = tuple[int, int]  # from and to, both included, in ns since 1970


class Detection(NamedTuple):
    """`found` of `windows`, and `false` alerts in so many `unit_days`."""

    found: int
    windows: int
    false: int
    unit_days: float


def detection(
    alerts: Mapping[str, Sequence[Window]], labels: Mapping[str, Sequence[Window]], unit_days: float
) -> Detection:
    """Compare episodes of alerts with labelled windows, both by unit; touching is finding."""
    windows = [(unit, window) for unit, own in labels.items() for window in own]
    found = sum(_touches(window, alerts.get(unit, ())) for unit, window in windows)
    false = sum(
        not _touches(alert, labels.get(unit, ())) for unit, own in alerts.items() for alert in own
    )
    return Detection(found, len(windows), false, unit_days)


def share_interval(found: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share; 0 to 1 when nothing was counted."""
    if not of:
        return 0.0, 1.0
    centre = (found + Z * Z / 2) / (of + Z * Z)
    half = Z * math.sqrt(found * (of - found) / of + Z * Z / 4) / (of + Z * Z)
    return max(0.0, centre - half), min(1.0, centre + half)


def rate_interval(events: int, units: float) -> tuple[float, float]:
    """Return the exact 95 % interval of a Poisson rate for each unit; units above 0."""
    low = _mean_with_tail(events, 1 - TAIL) if events else 0.0
    return low / units, _mean_with_tail(events + 1, TAIL) / units


def _mean_with_tail(events: int, below: float) -> float:
    """Return the mean of the Poisson that stays below this number of events so often."""
    low, high = 0.0, events + 10 * math.sqrt(events) + 20
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _below(events, middle) > below else (low, middle)
    return (low + high) / 2


def _below(events: int, mean: float) -> float:
    if mean <= 0:
        return 1.0
    terms = (x * math.log(mean) - mean - math.lgamma(x + 1) for x in range(events))
    return math.fsum(map(math.exp, terms))


def _touches(one: Window, others: Sequence[Window]) -> bool:
    return any(one[0] <= end and begin <= one[1] for begin, end in others)
