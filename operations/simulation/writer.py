"""How a simulated event gets its id, its time and its numbers: from the seed, never from outside.

The simulation counts in integers (cents, nanoseconds), so that the same seed gives the same bytes
on every machine; this is where they become texts.
"""

import hashlib
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, TypeVar

from operations.clock import NANOSECONDS, rfc3339
from operations.events.base import Data, Event

EventT = TypeVar("EventT", bound=Event)


@lru_cache(1 << 16)
def money(cents: int) -> Decimal:
    """Cents as a decimal amount with two places."""
    return Decimal(cents).scaleb(-2)


@lru_cache(1 << 16)
def quantity(units: int) -> Decimal:
    """Whole units as a decimal quantity."""
    return Decimal(units)


def base_money(micros: int) -> Decimal:
    """Millionths of the base currency as a decimal amount with two places, or six if needed."""
    cents, rest = divmod(micros, 10_000)
    return Decimal(micros).scaleb(-6) if rest else Decimal(cents).scaleb(-2)


@lru_cache(4096)
def _second(second: int) -> str:
    return rfc3339(second * NANOSECONDS)[:19]


def timestamp(at_ns: int) -> str:
    """Nanoseconds since 1970 as RFC 3339 text with nine digits."""
    second, fraction = divmod(at_ns, NANOSECONDS)
    return f"{_second(second)}.{fraction:09d}Z"


class Writer:
    """Makes events with ids that follow from the seed, the day, the faults and their number."""

    def __init__(self, origin: str) -> None:
        self._low = int.from_bytes(hashlib.sha256(origin.encode()).digest()[:8]) >> 2
        self._count = 0

    def event_id(self, at_ns: int) -> str:
        """Return the next id: a UUIDv7 of the simulated time whose random bits are counted."""
        self._count += 1
        low = (self._low + self._count) & 0x3FFFFFFFFFFFFFFF | 0x8000000000000000
        high = f"{at_ns // 1_000_000:012x}"
        tail = f"{low:016x}"
        order = self._count & 0xFFF
        return f"{high[:8]}-{high[8:]}-7{order:03x}-{tail[:4]}-{tail[4:]}"

    def write(
        self,
        kind: type[EventT],
        at_ns: int,
        subject_id: str,
        data: Data,
        *,
        by: str,
        environment: Literal["live", "paper"] = "live",
        **keys: Any,
    ) -> EventT:
        """Return an event of a kind at a simulated time; `keys` are the ids of the envelope."""
        return kind(
            event_id=self.event_id(at_ns),
            timestamp=timestamp(at_ns),
            actor=by,
            subject_id=subject_id,
            source=f"{by}@simulation",
            environment=environment,
            data=data,
            **keys,
        )
