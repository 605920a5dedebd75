"""Are trades that are read together read as strictly as one by one? On many mutated payloads.

Usage: python bench/fuzz_market.py [COUNT] [SEED]; the default is a million. Exit 1 and the payloads
in hex on the first batch in which both ways disagree.
"""

import random
import sys
from decimal import Decimal

from operations.clock import near_ns
from operations.errors import Rejected
from operations.events import subjects, trades
from operations.events.base import encode
from operations.events.marketdata import Trade, TradePrinted

ENVELOPE = {"event_id": "0199-a", "timestamp": "2026-11-20T20:00:00.5Z", "actor": "feed-1"}
TRADE = {
    "symbol": "SPY", "trade_id": "7", "venue": "XNAS", "price": Decimal("167.41"),
    "size": Decimal(100), "currency": "USD", "venue_time": "2026-02-28T23:59:59.123456789Z",
}  # fmt: skip
EVENTS = (
    TradePrinted(**ENVELOPE, subject_id="SPY", data=Trade(**TRADE)),
    TradePrinted(
        **(ENVELOPE | {"timestamp": "2024-02-29T00:00:00.000000001Z"}), subject_id="SPY",
        data=Trade(**TRADE, aggressor="buy"),
    ),
    TradePrinted(
        **ENVELOPE, subject_id="SPY", source="feed@host", environment="paper", fund_id="f",
        correlation_id="c", causation_id="d",
        data=Trade(**TRADE, aggressor="sell", conditions=("@", "T", "I")),
    ),
)  # fmt: skip
SEEDS = tuple(encode(event) for event in EVENTS)
TOKENS = (
    b'"', b"\\", b"\\u0041", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"\x00", b"\x1f",
    b"\x7f", b"\x80", b"\xc3\xa9", b"\xff", b"\xed\xa0\x80", "٣".encode(), b"0", b"9" * 31,
    b"9" * 60, b"-", b"+", b".", b"e5", b"E+5", b"1_0", b"NaN", b"Infinity", b"null", b"true",
    b"60", b"24", b"13", b"00", b"Z", b"+00:00", b"+01:00", b"\\n", b'"currency":"USD",',
    b'"symbol":"X",', b',"aggressor":"buy"', b',"aggressor":null', b'"size":100,', b'"x":1,',
    b'"data":{},', b',"environment":"live"', b',"environment":"no"', b"x" * 257, b"usd", b"[" * 70,
)  # fmt: skip


def one_by_one(payloads: list[bytes]) -> list[tuple[int, TradePrinted]]:
    """Return the trades that the strict reader accepts, and their places."""
    found = []
    for place, payload in enumerate(payloads):
        try:
            event = subjects.decode(TradePrinted.pattern, payload)
        except Rejected:
            continue
        assert isinstance(event, TradePrinted)
        found.append((place, event))
    return found


def agree(payloads: list[bytes]) -> bool:
    """Whether both ways refuse the same payloads, and read every column of the others the same."""
    strict = one_by_one(payloads)
    places = range(len(payloads))
    found, odd = trades.read(places, places, payloads)
    sides = {"buy": 1, "sell": -1, None: 0}
    return odd == len(payloads) - len(strict) and _columns(found) == [
        (
            place, near_ns(event.timestamp), near_ns(event.data.venue_time),
            float(event.data.price), float(event.data.size), sides[event.data.aggressor],
            event.data.symbol, event.data.venue, event.data.trade_id, event.environment,
            event.fund_id, payloads[place],
        )
        for place, event in strict
    ]  # fmt: skip


def _columns(found: trades.Trades) -> list[tuple]:
    numbers = (
        found.sequence, found.said_ns, found.happened_ns, found.price, found.size, found.side,
    )  # fmt: skip
    texts = (
        found.symbol, found.venue, found.trade_id, found.environment, found.fund_id, found.payload,
    )  # fmt: skip
    return list(zip(*(column.tolist() for column in numbers), *texts, strict=True))


def compare(count: int, seed: int) -> list[bytes] | None:
    """Return the first batch of `count` payloads that both ways do not read the same."""
    source = random.Random(seed)
    while count > 0:
        size, odd = source.choice((1, 2, 7, 50)), source.choice((0.02, 0.3, 1.0))
        batch = [source.choice(SEEDS) for _ in range(size)]
        batch = [mutated(source, each) if source.random() < odd else each for each in batch]
        if not agree(batch):
            return batch
        count -= size
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
            other = source.choice(SEEDS)
            changed[start:] = other[source.randrange(len(other) + 1) :]
    return bytes(changed)


def main() -> int:
    """Compare as many as asked and say what came out."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    found = compare(count, seed)
    if found is not None:
        print("both ways disagree on", *(payload.hex() for payload in found))
        return 1
    print(f"{count} payloads, seed {seed}: read together as one by one")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
