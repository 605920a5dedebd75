"""A strategy with a published baseline, and what it earned since, well or badly."""

import random
from decimal import Decimal
from itertools import count

from volatile_fund import at
from watching import event

from operations.events.strategies import (
    PnlMarked,
    ProfitAndLoss,
    StrategyBaseline,
    StrategyBaselinePublished,
)

KEYS = {"fund_id": "alpha", "strategy_id": "mom"}
MEAN, DEVIATION = 0.001, 0.01


def baseline(number=0, baseline_id="b1", **fields):
    data = {
        "baseline_id": baseline_id, "currency": "USD", "return_mean": MEAN,
        "return_standard_deviation": DEVIATION, "days": 1000,
    }  # fmt: skip
    data = StrategyBaseline(**data | fields)
    return event(StrategyBaselinePublished, "mom", data, number, **KEYS)


def pnl(day, earned, number, capital=1000, currency="USD", final=True, fees=1):
    data = ProfitAndLoss(
        as_of=at(day), realised=Decimal(f"{earned * 1000 + fees - 2:.6f}"), unrealised=Decimal(2),
        fees=Decimal(fees), allocated_capital=Decimal(capital), currency=currency, final=final,
    )  # fmt: skip
    return event(PnlMarked, "mom", data, number, **KEYS)


def live(returns, first=1, numbers=None):
    numbers = numbers or count(100 + first)
    return [pnl(day, each, next(numbers)) for day, each in enumerate(returns, start=first)]


def drawn(days, mean=MEAN, deviation=DEVIATION):
    draw = random.Random(3)
    return [draw.gauss(mean, deviation) for _ in range(days)]


BAD = [*drawn(40), *([-0.015] * 20)]
