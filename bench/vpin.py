"""How fast is VPIN over a real day of SPY: a history at once, and trade by trade in a worker?

Every trade of 2013-10-07 (250,601 with the last line), signed by the tick rule; trades before the
first change of price are left out. A bucket is 500,000 shares (194 in this day) and a value covers
50 buckets. Compared with the loop of another library over the same trades where
one can be imported (`wickra`); where not, the row says so, and the rate stands alone.
"""

import importlib
import importlib.util
import math
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from rig import Row, now

from operations.config import Settings
from operations.statistics.trade_signs import TickRule, tick_rule
from operations.statistics.vpin import Vpin, signed_vpin

FILE = Path(__file__).resolve().parents[1] / "../shared/data/ticks/spy_20131007_trade.zip"
OTHER = "wickra"
BUCKET, BUCKETS = 500_000.0, 50  # shares, and buckets in a value
CHUNK = 500  # messages that a worker takes from the stream at once
REPEATS = 31  # a day takes milliseconds: many, in turn, and the median
FASTER, STREAMING = 5.0, 100_000.0
UNIT = "trades/s"


def trades() -> tuple[np.ndarray, np.ndarray]:
    """Return prices (x 10000) and sizes of all trades of the day."""
    with zipfile.ZipFile(FILE) as archive:
        lines = archive.read(archive.namelist()[0]).decode().split()
    table = [line.split(",") for line in lines]
    return np.array([float(row[1]) for row in table]), np.array([float(row[2]) for row in table])


def seconds(*measured: Callable[[], object]) -> np.ndarray:
    """Return what each took, in turn with the others; shape (repeats, measured)."""
    took = np.empty((REPEATS, len(measured)))
    for repeat in range(REPEATS):
        for place, one in enumerate(measured):
            began = now()
            one()
            took[repeat, place] = now() - began
    return took


def one_by_one(prices: np.ndarray, sizes: np.ndarray) -> float:
    """Sign and count each trade as it comes, as Python numbers; return the last value."""
    rule, vpin, last = TickRule(), Vpin(BUCKET, BUCKETS), math.nan
    for price, size in zip(prices.tolist(), sizes.tolist(), strict=True):
        sign = rule.add(price)
        if sign:
            for value in vpin.add(size, sign):
                last = value
    return last


def in_chunks(prices: np.ndarray, sizes: np.ndarray) -> float:
    """Sign and count the trades of each delivery together; return the last value."""
    rule, vpin, last = TickRule(), Vpin(BUCKET, BUCKETS), math.nan
    for begin in range(0, prices.size, CHUNK):
        signs = rule.extend(prices[begin : begin + CHUNK])
        known = signs != 0
        for value in vpin.extend(sizes[begin : begin + CHUNK][known], signs[known]):
            last = value
    return last


def at_once(prices: np.ndarray, sizes: np.ndarray) -> float:
    """Sign and count a whole history; return the last value."""
    signs = tick_rule(prices)
    known = signs != 0
    return float(signed_vpin(sizes[known], signs[known], BUCKET, BUCKETS)[-1])


def loop_of_other(
    prices: np.ndarray, sizes: np.ndarray, signs: np.ndarray
) -> Callable[[], float] | None:
    """Return the loop of the other library, or None without it; it must say the same."""
    if importlib.util.find_spec(OTHER) is None:
        return None
    library = importlib.import_module(OTHER)
    rows = list(zip(prices.tolist(), sizes.tolist(), (signs > 0).tolist(), strict=True))

    def loop() -> float:
        update = library.Vpin(BUCKET, BUCKETS).update
        for price, size, bought in rows:
            last = update(price, size, bought)
        return last

    ours = float(signed_vpin(sizes, signs, BUCKET, BUCKETS)[-1])
    if abs(loop() - ours) > 1e-9:
        raise RuntimeError(f"VPIN is {ours} here and {loop()} by {OTHER}; one of both is wrong")
    return loop


def signed_before(prices: np.ndarray, sizes: np.ndarray) -> list[Row]:
    """Return the rows of trades whose signs are known, beside the other library's."""
    signs = tick_rule(prices)
    known = signs != 0
    signed = (sizes[known], signs[known].astype(np.float64))
    name, count = "VPIN: a day at once, trades signed before", signed[0].size
    ours = partial(signed_vpin, *signed, BUCKET, BUCKETS)
    loop = loop_of_other(prices[known], *signed)
    if loop is None:
        speed = count / float(np.median(seconds(ours)))
        return [Row(f"{name} ({OTHER} is not installed: not compared)", speed, UNIT)]
    took = seconds(ours, loop)
    speeds = count / np.median(took, axis=0)
    ratio = float(np.median(took[:, 1] / took[:, 0]))
    target = f">= {FASTER:.0f}"
    return [
        Row(name, float(speeds[0]), UNIT),
        Row(f"VPIN: the loop of {OTHER}, in turn with it", float(speeds[1]), UNIT),
        Row(f"VPIN: times the loop of {OTHER}", ratio, "x", target, ratio >= FASTER),
    ]


async def measure(_settings: Settings) -> list[Row]:
    """Return the table rows."""
    if not FILE.exists():
        raise RuntimeError(f"there are no trades to measure with: {FILE} is missing")
    prices, sizes = trades()
    rows = signed_before(prices, sizes)
    ways = {
        "a day at once": at_once,
        "streaming, trade by trade": one_by_one,
        f"streaming, {CHUNK} trades a time": in_chunks,
    }
    for how, way in ways.items():
        if way(prices, sizes) != at_once(prices, sizes):
            raise RuntimeError(f"VPIN {how} is not that of the day at once")
        speed = prices.size / float(np.median(seconds(partial(way, prices, sizes))))
        streaming = way is not at_once
        target = f">= {STREAMING:,.0f}" if streaming else ""
        met = speed >= STREAMING if streaming else None
        rows.append(Row(f"VPIN: {how}, tick rule included", speed, UNIT, target, met))
    return rows
