"""A fund with a published backtest, and its values since it went live."""

from itertools import count

from volatile_fund import at, mark
from watching import event

from operations.events.portfolio import PortfolioBaseline, PortfolioBaselinePublished

MEAN, DEVIATION, DAYS, HORIZON = 0.0005, 0.01, 500, 60


def backtest(number, baseline_id="b1", **fields):
    data = {
        "baseline_id": baseline_id, "go_live": at(1)[:10], "horizon_days": HORIZON,
        "net_of_costs": True, "mean": MEAN, "standard_deviation": DEVIATION, "days": DAYS,
    }  # fmt: skip
    data = PortfolioBaseline(**data | fields)
    return event(PortfolioBaselinePublished, "alpha", data, number, fund_id="alpha")


def live(returns, numbers=None, nav=100.0, first=1):
    """A mark at the end of the day before go-live and of each day after it."""
    numbers = numbers or count(100)
    yield mark(first, nav, next(numbers))
    for day, each in enumerate(returns, start=first + 1):
        nav *= 1 + each
        yield mark(day, nav, next(numbers))
