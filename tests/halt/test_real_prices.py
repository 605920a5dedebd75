"""Is a limit found broken on real prices where anybody would find it by looking at them?"""

import csv
import gzip
from itertools import pairwise
from pathlib import Path

import pytest
from limit_events import Feed, halting

from operations.clock import parse_rfc3339

pytestmark = pytest.mark.unit
PRICES = Path(__file__).resolve().parents[2] / "../shared/data/prices/arch_sp500.csv.gz"


@pytest.mark.skipif(not PRICES.exists(), reason="no real prices beside the checkout")
@pytest.mark.parametrize("final", [False, True])
def test_twenty_years_of_a_real_index_are_found_where_a_plain_look_finds_them(final):
    """A fund that holds the S&P 500 from 1999 on and is marked once a day, at its close."""
    with gzip.open(PRICES, "rt") as file:
        rows = [(row["Date"], row["Adj Close"]) for row in csv.DictReader(file)]
    feed = Feed(at_ns=parse_rfc3339("1999-01-04T21:00:00Z"))
    feed.fund()
    feed.strategy()
    before = rows[0][1]
    found = {}
    for text, close in rows:
        month, day, year = map(int, text.split("/"))
        feed.at_ns = parse_rfc3339(f"{year}-{month:02}-{day:02}T21:00:00Z")
        for event in halting(feed.nav(close, start=before, final=final)):
            found.setdefault(event.data.check, (text, event.data.statistic))
        before = close
    needed, limit, first_day = (1, 4, "4/14/2000") if final else (3, 8, "9/29/2008")
    closes = [float(close) for _, close in rows]
    falls = [100 * (1 - close / max(closes[: number + 1])) for number, close in enumerate(closes)]
    when = next(n for n in range(needed, len(falls)) if min(falls[n + 1 - needed : n + 1]) >= 10)
    assert found["drawdown"] == (rows[when][0], pytest.approx(falls[when]))
    losses = [100 * (1 - after / first) for first, after in pairwise(closes)]
    first = next(number for number, loss in enumerate(losses, start=1) if loss >= limit)
    assert found["daily_loss"] == (rows[first][0], pytest.approx(losses[first - 1]))
    assert found["daily_loss"][0] == first_day
