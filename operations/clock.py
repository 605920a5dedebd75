"""The only reader of the clock, and the ids that are made from it."""

import os
import time
import uuid
from datetime import UTC, datetime
from functools import lru_cache

NANOSECONDS = 1_000_000_000
MOST_NS = 1 << 62  # from 1970: 1823 to 2116, which a column of 64 bits holds with room to spare


def now_ns() -> int:
    """Nanoseconds since 1970-01-01 UTC."""
    return time.time_ns()


def monotonic_ns() -> int:
    """Nanoseconds of a clock that never goes back; only differences mean something."""
    return time.monotonic_ns()


def new_event_id(timestamp_ns: int | None = None) -> str:
    """Return a UUIDv7 (RFC 9562): 48 bits of milliseconds, then random bits; sorts by time."""
    milliseconds = (now_ns() if timestamp_ns is None else timestamp_ns) // 1_000_000
    random = int.from_bytes(os.urandom(10))
    value = (milliseconds & (1 << 48) - 1) << 80 | random & (1 << 80) - 1
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def rfc3339(timestamp_ns: int) -> str:
    """Write nanoseconds since 1970 as RFC 3339 UTC with nine fractional digits."""
    seconds, fraction = divmod(timestamp_ns, NANOSECONDS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


@lru_cache(maxsize=8192)
def parse_rfc3339(text: str) -> int:
    """Read RFC 3339 with 0 to 9 fractional digits and any offset as nanoseconds since 1970.

    Raises ValueError for anything else.
    """
    whole, dot, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    if dot and not 1 <= digits <= 9:
        raise ValueError(f"{text!r} is not an RFC 3339 time with 1 to 9 fractional digits")
    return _whole_ns(whole + rest[digits:]) + int(rest[:digits].ljust(9, "0") or 0)


def near_ns(text: str) -> int:
    """Read a time as `parse_rfc3339` does, for columns of 64 bits.

    What is further from 1970 than MOST_NS stands as that: no time of a market is, and what says so
    is as wrong as before.
    """
    return max(-MOST_NS, min(parse_rfc3339(text), MOST_NS))


@lru_cache(maxsize=4096)
def _whole_ns(text: str) -> int:
    """Read a time without a fraction; events that come together share their second."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC; end it with Z")
    return int(moment.timestamp()) * NANOSECONDS
