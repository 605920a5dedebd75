"""How long does the gate take for one order, with many halts and many strategies?

In one process, without a bus: this is what the order path of an order system pays, twice for each
order. The clock of the measurement is part of every figure; a bare look-up beside it shows how
much of the tail is the machine.
"""

import time
from collections.abc import Callable
from decimal import Decimal

from rig import Row, median, percentile

from operations.clock import now_ns, rfc3339
from operations.config import Settings
from operations.events.halts import Halt, HaltRequested
from operations.events.registry import Account, AccountRegistered, Strategy, StrategyRegistered
from operations.halt.book import Order
from operations.halt.gate import Gate
from operations.halt.state import Fact

STRATEGIES, FUNDS, EPISODES = 10_000, 100, 1_000
ORDERS = 50_000
TARGET_US = 5.0
# An order system knows these names; only the order id is new.
STRATEGY_IDS = [f"strategy-{number}" for number in range(STRATEGIES)]
FUND_IDS = [f"fund-{number}" for number in range(FUNDS)]
ACCOUNT_IDS = [f"account-{number}" for number in range(FUNDS)]
SYMBOLS = [f"S{number}" for number in range(500)]


def envelope(subject_id: str) -> dict:
    return {"event_id": "e", "timestamp": rfc3339(now_ns()), "actor": "a", "subject_id": subject_id}


def loaded() -> Gate:
    """An open gate with 10,000 strategies, of which 1,000 are halted, half of them REDUCE_ONLY."""
    gate = Gate("oms-1", time.monotonic_ns)
    for number in range(FUNDS):
        data = Account(fund_id=FUND_IDS[number], trading="paper")
        gate.register(AccountRegistered(**envelope(ACCOUNT_IDS[number]), data=data))
    for number in range(STRATEGIES):
        fund = number % FUNDS
        data = Strategy(name="s", fund_id=FUND_IDS[fund], account_ids=(ACCOUNT_IDS[fund],))
        gate.register(StrategyRegistered(**envelope(STRATEGY_IDS[number]), data=data))
    for number in range(EPISODES):
        halt = Halt(
            halt_id=f"halt-{number}",
            level="STRATEGY_HALT",
            mode="REDUCE_ONLY" if number % 2 else "BLOCK_ALL",
            reason_code="DRAWDOWN",
            requested_by="drawdown",
        )
        event = HaltRequested(**envelope(halt.halt_id), strategy_id=STRATEGY_IDS[number], data=halt)
        gate.request(Fact(event, number + 1, 0, ""))
    gate.unhold("BOOTING")
    gate.renew(1 << 62)
    return gate


def order(number: int, strategy: int) -> Order:
    fund = strategy % FUNDS
    return Order(
        order_id=f"order-{number}",
        strategy_id=STRATEGY_IDS[strategy],
        fund_id=FUND_IDS[fund],
        account_id=ACCOUNT_IDS[fund],
        symbol=SYMBOLS[number % len(SYMBOLS)],
        quantity=Decimal(100),
    )


def timed(ask: Callable[[Order], object], one: Order) -> float:
    """Time of one call in microseconds."""
    began = time.perf_counter_ns()
    ask(one)
    return (time.perf_counter_ns() - began) / 1000


async def measure(_settings: Settings) -> list[Row]:
    """Return the table rows."""
    gate = loaded()
    bare: dict[str, int] = {}
    floor, accepted, sent, denied = [], [], [], []
    for number in range(ORDERS):
        one = order(number, EPISODES + number % (STRATEGIES - EPISODES))
        floor.append(timed(lambda each: bare.get(each.strategy_id), one))
        accepted.append(timed(gate.check, one))
        sent.append(timed(gate.check, one))
        gate.ended(one.order_id)
        denied.append(timed(gate.check, order(ORDERS + number, number % EPISODES)))
    assert gate.denied == ORDERS
    assert not gate.book.open
    rows = [Row("one look-up in a dictionary, p99", percentile(floor, 0.99), "us")]
    for name, taken in (("accepted", accepted), ("sent", sent), ("denied by a halt", denied)):
        p99 = percentile(taken, 0.99)
        rows += [
            Row(f"gate, an order {name}, median", median(taken), "us"),
            Row(
                f"gate, an order {name}, p99",
                p99,
                "us",
                f"at most {TARGET_US:g} us, {EPISODES:,} halts, {STRATEGIES:,} strategies",
                p99 <= TARGET_US,
                "one core: Python itself",
            ),
        ]
    return rows
