"""Does the fast reader of market data say what the strict one says? On many mutated payloads.

Usage: python bench/fuzz_market.py [COUNT] [SEED]; the default is a million. Exit 1 and the payload
in hex on the first disagreement.
"""

import random
import sys
from decimal import Decimal

from operations.errors import Rejected
from operations.events import fast, subjects
from operations.events.base import Event, encode
from operations.events.marketdata import Quote, QuoteUpdated, Trade, TradePrinted

ENVELOPE = {"event_id": "0199-a", "timestamp": "2026-11-20T20:00:00.5Z", "actor": "feed-1"}
TRADE = {
    "symbol": "SPY", "trade_id": "7", "venue": "XNAS", "price": Decimal("167.41"),
    "size": Decimal(100), "currency": "USD", "venue_time": "2026-02-28T23:59:59.123456789Z",
}  # fmt: skip
QUOTE = {
    "symbol": "SPY",
    "venue": "XNAS",
    "currency": "USD",
    "venue_time": "2024-02-29T00:00:00+00:00",
}
EVENTS = (
    TradePrinted(**ENVELOPE, subject_id="SPY", data=Trade(**TRADE)),
    TradePrinted(
        **ENVELOPE, subject_id="SPY", source="feed@host", environment="paper", fund_id="f",
        correlation_id="c", causation_id="d",
        data=Trade(**TRADE, aggressor="sell", conditions=("@", "T", "I")),
    ),
    QuoteUpdated(**ENVELOPE, subject_id="SPY", data=Quote(**QUOTE)),
    QuoteUpdated(
        **ENVELOPE, subject_id="SPY", account_id="a", order_id="o",
        data=Quote(**QUOTE, bid_price=Decimal("-0.01"), bid_size=Decimal(3), ask_size=Decimal(0)),
    ),
)  # fmt: skip
SEEDS = tuple((event.subject, encode(event)) for event in EVENTS)
TOKENS = (
    b'"', b"\\", b"\\u0041", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"\x00", b"\x1f",
    b"\x7f", b"\x80", b"\xc3\xa9", b"\xff", b"\xed\xa0\x80", "٣".encode(), b"0", b"9" * 31,
    b"9" * 60, b"-", b"+", b".", b"e5", b"E+5", b"1_0", b"NaN", b"Infinity", b"null", b"true",
    b"60", b"24", b"13", b"00", b"Z", b"+00:00", b"+01:00", b"\\n", b'"currency":"USD",',
    b'"symbol":"X",', b',"aggressor":"buy"', b',"aggressor":null', b'"size":100,', b'"x":1,',
    b'"data":{},', b',"environment":"live"', b',"environment":"no"', b"x" * 257, b"usd", b"[" * 70,
)  # fmt: skip


def said(read: object, subject: str, payload: bytes) -> Event | None:
    """Return what a reader makes of a payload; None when it refuses."""
    try:
        return read(subject, payload)  # type: ignore[operator]
    except Rejected:
        return None


def agree(subject: str, payload: bytes) -> bool:
    """Whether both refuse, or both read every field the same."""
    quick, strict = (said(one.decode, subject, payload) for one in (fast, subjects))
    if quick is None or strict is None:
        return quick is strict
    fields = strict.__struct_fields__
    names = strict.data.__struct_fields__
    return (
        isinstance(quick, type(strict))
        and quick.__struct_fields__ == fields
        and all(getattr(quick, name) == getattr(strict, name) for name in fields if name != "data")
        and all(repr(getattr(quick.data, one)) == repr(getattr(strict.data, one)) for one in names)
    )


def compare(count: int, seed: int) -> tuple[str, bytes] | None:
    """Return the first of `count` payloads that both readers do not read the same."""
    source = random.Random(seed)
    for number in range(count):
        subject, payload = SEEDS[number % len(SEEDS)]
        if number >= len(SEEDS):
            payload = mutated(source, payload)
        if not agree(subject, payload):
            return subject, payload
    return None


def mutated(source: random.Random, payload: bytes) -> bytes:
    """Return a payload that is nearly, or exactly, one of a feed."""
    changed = bytearray(payload)
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        start = source.randrange(len(changed) + 1)
        end = min(len(changed), start + source.choice((1, 1, 2, 5, 20)))
        kind = source.randrange(9)
        if kind > 5:  # a value that may still be one
            places = [at for at, byte in enumerate(changed) if chr(byte).isalnum()]
            changed[source.choice(places or [0])] = source.choice(b"0123459aZ")
        elif kind == 0 and start < len(changed):
            changed[start] ^= 1 << source.randrange(8)
        elif kind == 1:
            del changed[start:end]
        elif kind == 2:
            changed[start:start] = source.choice(TOKENS)
        elif kind == 3:
            changed[start:end] = source.choice(TOKENS)
        elif kind == 4:
            changed[start:start] = changed[start:end]
        else:
            other = source.choice(SEEDS)[1]
            changed[start:] = other[source.randrange(len(other) + 1) :]
    return bytes(changed)


def main() -> int:
    """Compare as many as asked and say what came out."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    found = compare(count, seed)
    if found is not None:
        subject, payload = found
        print(f"the readers disagree on {subject} {payload.hex()}")
        print(f"fast {said(fast.decode, *found)} strict {said(subjects.decode, *found)}")
        return 1
    print(f"{count} payloads, seed {seed}: the fast reader and the strict one agree on all")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
