"""Real prices, trades and bars beside the checkout, and values that other libraries computed."""

import csv
import gzip
import json
import zipfile
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

DATA = Path(__file__).resolve().parents[1] / "../shared/data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="no ../shared/data beside the checkout")


@cache
def golden(name: str = "oracle_values") -> dict[str, Any]:
    return json.loads((DATA / "golden" / f"{name}.json").read_text())


def rows(place: str) -> list[dict[str, str]]:
    """The rows of a CSV file, zipped by gzip or not."""
    path = DATA / place
    if path.suffix == ".gz":
        with gzip.open(path, "rt") as file:
            return list(csv.DictReader(file))
    with path.open() as file:
        return list(csv.DictReader(file))


def column(table: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in table])


@cache
def index_prices() -> np.ndarray:
    """S&P 500, adjusted closes of 1999 to 2018."""
    return column(rows("prices/arch_sp500.csv.gz"), "Adj Close")


@cache
def index_returns() -> np.ndarray:
    prices = index_prices()
    return prices[1:] / prices[:-1] - 1


@cache
def stock_prices(first_year: str, last_year: str) -> np.ndarray:
    """Days by 20 names."""
    table = rows("prices/sp500_dataset.csv.gz")
    return np.array(
        [
            [float(price) for name, price in row.items() if name != "Date"]
            for row in table
            if first_year <= row["Date"][:4] <= last_year
        ]
    )


def signed_trades(*names: str) -> tuple[np.ndarray, np.ndarray]:
    """Quantities, and 1 for bought and -1 for sold as the venue says."""
    table = [row for name in names for row in rows(f"trades/{name}_trades.csv.gz")]
    sold = np.array([row["buyer_is_maker"] == "True" for row in table])
    return column(table, "qty"), np.where(sold, -1.0, 1.0)


def labelled_latency() -> tuple[list[int], list[float], list[int | None]]:
    """Seconds since the first value, milliseconds, and in which labelled window each one lies."""
    table = rows("latency/ec2_request_latency_system_failure.csv")
    labels = json.loads((DATA / "news" / "labelled_windows.json").read_text())
    name = next(each for each in labels if "ec2_request_latency" in each)
    spans = [[datetime.fromisoformat(end) for end in span] for span in labels[name]]
    times = [datetime.fromisoformat(row["timestamp"]) for row in table]
    inside = [
        next((n for n, (first, last) in enumerate(spans) if first <= at <= last), None)
        for at in times
    ]
    seconds = [int((at - times[0]).total_seconds()) for at in times]
    return seconds, [float(row["value"]) for row in table], inside


@cache
def ticks(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Prices (x 10000) and sizes of US equity trades."""
    with zipfile.ZipFile(DATA / "ticks" / f"{name}.zip") as archive:
        text = archive.read(archive.namelist()[0]).decode()
    table = [line.split(",") for line in text.split()]
    return np.array([float(row[1]) for row in table]), np.array([float(row[2]) for row in table])
