"""Mentions of five tickers with labelled windows: what a rule finds, and what chance would find."""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from real_data import DATA, column, rows

from operations.clock import NANOSECONDS
from operations.statistics.detection import Detection, Window, detection
from operations.statistics.surprise import KEPT, NEAR_SECONDS, log_surprises, near_time_of_day

TICKERS = ("AAPL", "AMZN", "CRM", "FB", "GOOG")
TRAILING_DAYS, MERGED_SECONDS, DAY = 14, 6 * 3600, 86_400
CHUNK = 2_000


class Rule(NamedTuple):
    """When a count is a spike; all but the tail are fixed in `operations.statistics.surprise`."""

    tail: float
    near_seconds: int = NEAR_SECONDS
    kept: float = KEPT


class Scored(NamedTuple):
    """What was found and what was wrong, and the part that chance would find as often alerting."""

    found: Detection
    by_chance: float


def _seconds(text: str) -> float:
    return datetime.fromisoformat(f"{text[:19]}+00:00").timestamp()


@cache
def windows(ticker: str) -> tuple[tuple[float, float], ...]:
    labels = json.loads((DATA / "news/labelled_windows.json").read_text())
    return tuple(
        (_seconds(begin), _seconds(end)) for begin, end in labels[f"Twitter_volume_{ticker}.csv"]
    )


@cache
def surprises(
    ticker: str, width: int, near_seconds: int = NEAR_SECONDS, kept: float = KEPT
) -> tuple[np.ndarray, np.ndarray]:
    """Start of each bin that is judged, and the log of its chance after the 14 days before it."""
    table = rows(f"news/Twitter_volume_{ticker}.csv")
    places = np.array([_seconds(row["timestamp"]) for row in table]) // width
    first = places[0]
    counts = np.zeros(int(places[-1] - first) + 1)
    np.add.at(counts, (places - first).astype(int), column(table, "value"))
    trailing = TRAILING_DAYS * DAY // width
    near = near_time_of_day(np.arange(trailing, 0, -1) * width, near_seconds)
    histories, now = sliding_window_view(counts, trailing)[:-1], counts[trailing:]
    chances = np.concatenate([
        log_surprises(now[begin : begin + CHUNK], histories[begin : begin + CHUNK], near, kept)
        for begin in range(0, len(now), CHUNK)
    ])  # fmt: skip
    return (first + trailing + np.arange(len(now))) * width, chances


def episodes(times: np.ndarray) -> list[tuple[float, float]]:
    """Alerts at most six hours apart are one."""
    found: list[tuple[float, float]] = []
    for at in times.tolist():
        if found and at - found[-1][1] <= MERGED_SECONDS:
            found[-1] = (found[-1][0], at)
        else:
            found.append((at, at))
    return found


def score(width: int, rule: Rule, tickers: Sequence[str] = TICKERS) -> Scored:
    """What the rule finds in bins of this width, over some tickers."""
    alerts: dict[str, list[Window]] = {}
    usable: dict[str, list[Window]] = {}
    labelled: dict[str, list[Window]] = {}
    days = chance = 0.0
    for ticker in tickers:
        starts, chances = surprises(ticker, width, rule.near_seconds, rule.kept)
        found = episodes(starts[chances < np.log(rule.tail)])
        counted = [each for each in windows(ticker) if each[0] >= starts[0]]
        alerts[ticker], usable[ticker] = _ns(found), _ns(counted)
        labelled[ticker] = _ns(windows(ticker))
        own_days = (starts[-1] + width - starts[0]) / DAY
        days += own_days
        rate = len(found) / own_days  # episodes a day, at random times
        chance += sum(1 - np.exp(-rate * (end - begin) / DAY) for begin, end in counted)
    hits = detection(alerts, usable, days)
    return Scored(
        hits._replace(false=detection(alerts, labelled, days).false), float(chance) / hits.windows
    )


def _ns(spans: Sequence[tuple[float, float]]) -> list[Window]:
    return [(int(begin * NANOSECONDS), int(end * NANOSECONDS)) for begin, end in spans]


def daily_counts() -> dict[str, dict[str, int]]:
    """Tweets by day and ticker."""
    found: dict[str, dict[str, int]] = {}
    for row in rows("news/stocknet_tweets_daily_counts.csv"):
        found.setdefault(row["date_utc"], {})[row["ticker"]] = int(row["n_tweets"])
    return found
