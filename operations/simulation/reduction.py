"""Absolute targets of a strategy's size: what each position may be at most, and what is too much.

The size at the start of an episode is noted once, so an action that arrives twice, or a stricter
one later, is a part of the same size. Positions go down to their caps and never turn over.
"""

from collections.abc import Iterable, Mapping
from decimal import ROUND_FLOOR, Decimal

from msgspec import Struct

Place = tuple[str, str]  # who holds (an account or a strategy) and the symbol


class Cap(Struct, frozen=True, kw_only=True):
    """What a position was at the start, and its highest size since, in units, both unsigned."""

    owner: str
    symbol: str
    base: int
    most: int


def caps_of(bases: Mapping[Place, int], factor: Decimal) -> tuple[Cap, ...]:
    """Return the caps that are a part of these sizes, rounded down: never above the target."""
    return tuple(
        Cap(owner=owner, symbol=symbol, base=abs(base), most=_part(abs(base), factor))
        for (owner, symbol), base in sorted(bases.items())
        if base
    )


def _part(base: int, factor: Decimal) -> int:
    return int((base * factor).to_integral_value(ROUND_FLOOR))


def excess(held: int, most: int, reducing: int) -> int:
    """Return how much of a position still has to be closed, in units.

    `reducing` is what open orders that close it may still fill.
    """
    return max(0, abs(held) - most - reducing)


def room(held: int, most: int, side: str, opened: int) -> int:
    """Return how much more may be bought or sold until the position is at its cap, in units.

    `opened` is what open orders of that side may still fill.
    """
    signed = held if side == "buy" else -held
    return max(0, most - signed - opened)


def part_held(caps: Iterable[Cap], held: Mapping[Place, int]) -> Decimal:
    """Return the largest part of any noted size that is held now; 0 when nothing was held."""
    parts = [
        Decimal(abs(held.get((cap.owner, cap.symbol), 0))) / cap.base for cap in caps if cap.base
    ]
    return max(parts, default=Decimal(0)).quantize(Decimal("0.0001"))
