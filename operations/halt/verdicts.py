"""What the gate answers: allowed, or a denial with its code, its halt and its words.

The codes are part of the protocol of order systems (docs/oms-protocol.md), so they only ever grow.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from msgspec import Struct

from operations.events.halts import Mode
from operations.halt.book import ZERO, Order
from operations.halt.registry import Place, Registry
from operations.halt.state import Halts, Scope

Code = Literal[
    "FIRM_HALTED", "FUND_HALTED", "STRATEGY_HALTED", "OMS_HALTED",
    "BOOTING", "LEASE_LAPSED", "FILE_HALT", "GATE_ERROR",
    "THROTTLED", "COOLDOWN", "SHADOW",
    "UNKNOWN_STRATEGY", "UNKNOWN_ACCOUNT", "WRONG_FUND", "WRONG_ACCOUNT",
    "MALFORMED", "UNKNOWN_ORDER", "ORDER_CHANGED", "ORDER_ENDED", "NO_EXIT",
]  # fmt: skip
Hold = Literal["BOOTING", "FILE_HALT", "GATE_ERROR"]
Stage = Literal["accept", "send"]

OWN_PREFIX = "oms."  # a strategy id that stands for everything in one order system
HALTED: frozenset[Code] = frozenset(
    ("FIRM_HALTED", "FUND_HALTED", "STRATEGY_HALTED", "OMS_HALTED",
     "BOOTING", "LEASE_LAPSED", "FILE_HALT", "GATE_ERROR")
)  # fmt: skip


class Allowed(Struct, frozen=True, gc=False):
    """It may go on: from `accept` to the queue, from `send` to the venue, now."""

    stage: Stage


class Denial(Struct, frozen=True, kw_only=True, gc=False):
    """It may not, and why; `halt_id` is empty where no halt is the reason."""

    code: Code
    words: str
    halt_id: str = ""


# What stands against an order: how strictly, by which code, under which halt or none.
Obstacle = tuple[Mode, Code, str]


def own_scope(oms_id: str) -> Scope:
    """Return the scope of a halt of everything in one order system."""
    return Scope("STRATEGY_HALT", f"{OWN_PREFIX}{oms_id}")


def problem(order: Order) -> str:
    """Say what of an order is no order, or nothing."""
    if order.kind not in ("new", "amend"):
        return f"{order.kind!r} is no kind of order; there are new, amend and cancel"
    if order.side not in ("buy", "sell"):
        return f"{order.side!r} is no side; there are buy and sell"
    quantity = order.quantity
    if not isinstance(quantity, Decimal) or not quantity.is_finite() or quantity <= ZERO:
        return f"{quantity!r} is no quantity; it is a finite Decimal above 0"
    if order.limit_price is None and order.stop_price is None:
        return ""
    for price in (order.limit_price, order.stop_price):
        if price is not None and not (isinstance(price, Decimal) and price.is_finite()):
            return f"{price!r} is no price; it is a finite Decimal, or None"
    return ""


def identity(order: Order) -> tuple[str, ...]:
    """Return what an amend of an order cannot change."""
    return (order.strategy_id, order.fund_id, order.account_id, order.symbol, order.side)


def foreign(order: Order) -> str:
    """Say in words that an account is not one that the order may use."""
    return (
        f"account {order.account_id!r} is not one of strategy {order.strategy_id!r} "
        f"in fund {order.fund_id!r}"
    )


def stranger(order: Order, place: Place | None, registry: Registry) -> Denial | None:
    """Say what of an order is not as it was registered."""
    if place is None:
        return Denial(
            code="UNKNOWN_STRATEGY",
            words=f"strategy {order.strategy_id!r} is not registered",
        )
    if place.fund_id != order.fund_id:
        return Denial(
            code="WRONG_FUND",
            words=f"strategy {order.strategy_id!r} belongs to fund {place.fund_id!r}, "
            f"not {order.fund_id!r}",
        )
    account = registry.accounts.get(order.account_id)
    if account is None:
        return Denial(
            code="UNKNOWN_ACCOUNT", words=f"account {order.account_id!r} is not registered"
        )
    if order.account_id not in place.account_ids or account.fund_id != order.fund_id:
        return Denial(code="WRONG_ACCOUNT", words=foreign(order))
    return None


def as_denial(obstacle: Obstacle, halts: Halts, holds: Mapping[Hold, tuple[Mode, str]]) -> Denial:
    """Return what stands against an order, in words."""
    mode, code, halt_id = obstacle
    words = "no halt worker that holds the same halts is heard"
    for name, (_, why) in holds.items():
        words = why if name == code else words
    episode = halts.active.get(halt_id)
    if episode is not None:
        words = f"{episode.scope} is halted ({episode.reason_code}): {episode.reason}"
    if mode == "REDUCE_ONLY":
        words += "; only what reduces a position passes"
    return Denial(code=code, words=words, halt_id=halt_id)
