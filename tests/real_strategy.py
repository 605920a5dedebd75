"""A strategy on real prices: what it forecast, earned and was worth, day by day.

Momentum across 20 US stocks: a day's score is the return over the past year without its last
month. Held until the next close: long the better, short the worse, weights by rank, as much long
as short, and the absolute weights sum to the allocated capital. Its fund holds the names in equal
parts besides. Closes only; without costs. What follows one span of years from another is history:
2004 to 2007 went well, 2008 was a crash of the fund, 2009 one of momentum.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from real_data import column, rows

from operations.statistics.information_coefficient import daily_spearman, ranks

PLACE = "prices/sp500_dataset.csv.gz"
YEAR, MONTH = 252, 21


class Past(NamedTuple):
    """One value for each day on which a return was earned."""

    days: tuple[str, ...]
    information_coefficients: np.ndarray
    names: int
    returns: np.ndarray  # of the strategy, as parts of its allocated capital
    fund_returns: np.ndarray  # of the fund, as parts of its value


@cache
def momentum(first_year: int, last_year: int) -> Past:
    """What the strategy did in these years, both included; possible from 1991 on."""
    table = rows(PLACE)
    prices = np.column_stack([column(table, name) for name in table[0] if name != "Date"])
    days = [row["Date"] for row in table]
    earned = [
        place
        for place in range(YEAR + 1, len(days))
        if str(first_year) <= days[place][:4] <= str(last_year)
    ]
    known = np.array(earned) - 1  # the close at which a position is taken
    scores = prices[known - MONTH] / prices[known - YEAR] - 1
    returns = prices[known + 1] / prices[known] - 1
    tilts = np.array([ranks(day) for day in scores]) - (scores.shape[1] + 1) / 2
    own = np.sum(tilts * returns, axis=1) / np.abs(tilts).sum(axis=1)
    return Past(
        days=tuple(days[place] for place in earned),
        information_coefficients=daily_spearman(scores, returns),
        names=scores.shape[1],
        returns=own,
        fund_returns=returns.mean(axis=1) + own,
    )
