"""Recorded events, line by line, as messages to publish again.

Two forms. JSON Lines, one message a line, its payload kept byte for byte:

    {"subject": "mts.v1.a.b", "payload": {...}}             a JSON payload
    {"subject": "mts.v1.a.b", "payload_base64": "/wAB"}     any other payload

with the optional keys `timestamp` (RFC 3339; by default that of the payload) for replaying at the
recorded speed, and `event_id` (by default that of the payload, else one derived from the line, so
that equal lines without an id are one event).

And CSV of order events with the columns of COLUMNS. A row becomes one `trading.order` event whose
id is derived from the row, so the same file always gives the same events. Such files name no
accounts: fund, strategy and account are picked by a hash of the order id.
"""

import base64
import binascii
import csv
import re
from decimal import Decimal
from hashlib import sha256
from typing import NamedTuple, Protocol

import msgspec
from msgspec import Struct

from operations.clock import parse_rfc3339, rfc3339
from operations.errors import Rejected
from operations.events.base import Environment, Event, derived_id, encode
from operations.events.orders import (
    Cancel,
    Fill,
    Order,
    OrderAmended,
    OrderCanceled,
    OrderFilled,
    OrderPartiallyFilled,
    OrderSubmitted,
)

COLUMNS = (
    "ts_ns",
    "venue",
    "symbol",
    "seq",
    "order_id",
    "event",
    "side",
    "price",
    "qty",
    "leaves_qty",
    "aggressor_side",
)
RULE = "recordings/order-csv/v1"  # part of every derived id; never changes
FILLS = ("partially_filled", "filled")
_EVENT_ID = re.compile(r"[!-~]{1,128}")
FUNDS, STRATEGIES, ACCOUNTS = 2, 4, 8


class Recorded(NamedTuple):
    """A message to publish again; `timestamp_ns` is when it happened, 0 where nothing says so."""

    subject: str
    payload: bytes
    event_id: str
    timestamp_ns: int


class Reader(Protocol):
    """Turns lines into messages, in order; some forms refer back to earlier lines."""

    def read(self, line: bytes) -> Recorded | None:
        """Return the message of a line, None for a line without one. Raises Rejected."""


def reader(first_line: bytes, *, environment: Environment = "drill", currency: str = "") -> Reader:
    """Return the reader for a recording that starts with this line.

    `environment` and `currency` (of prices; by default the last three letters of a symbol of six)
    concern CSV, which says neither. Raises Rejected for a form that is neither of the two.
    """
    text = first_line.strip()
    if text.startswith(b"{"):
        return JsonLines()
    names = tuple(text.decode(errors="replace").removeprefix("\ufeff").split(","))
    if missing := set(COLUMNS) - set(names):
        raise Rejected(
            "the file is neither JSON Lines nor CSV of order events: its first line lacks "
            f"{', '.join(sorted(missing))}"
        )
    return OrderRows(names, environment, currency)


class _Line(Struct, forbid_unknown_fields=True):
    subject: str
    payload: msgspec.Raw = msgspec.Raw(b"")
    payload_base64: str | None = None
    timestamp: str = ""
    event_id: str = ""


class _Envelope(Struct):
    event_id: str = ""
    timestamp: str = ""


class JsonLines:
    """Reads JSON Lines."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_Line)
        self._envelope = msgspec.json.Decoder(_Envelope)

    def read(self, line: bytes) -> Recorded | None:
        """Return the message of a line, None for an empty one. Raises Rejected."""
        if not line.strip():
            return None
        try:
            found = self._decoder.decode(line)
            raw = bytes(found.payload)
            if bool(raw) == (found.payload_base64 is not None):
                raise Rejected("a line has either payload or payload_base64")
            payload = raw or base64.b64decode(found.payload_base64 or "", validate=True)
            envelope = self._read_envelope(payload)
            timestamp = found.timestamp or envelope.timestamp
            when = parse_rfc3339(timestamp) if timestamp else 0
        except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError) as error:
            raise Rejected(str(error)) from error
        event_id = found.event_id or envelope.event_id
        if not _EVENT_ID.fullmatch(event_id):
            event_id = derived_id(sha256(line.strip()).hexdigest(), RULE, found.subject, 0)
        return Recorded(found.subject, payload, event_id, when)

    def _read_envelope(self, payload: bytes) -> _Envelope:
        try:
            return self._envelope.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _Envelope()


class OrderRows:
    """Reads CSV rows of order events; remembers the quantity of each order that still works.

    For an order that was in the book before the recording began, the quantity is what the first
    row about it proves: what was filled and what is left.
    """

    def __init__(self, columns: tuple[str, ...], environment: Environment, currency: str) -> None:
        self._columns = columns
        self._environment = environment
        self._currency = currency
        self._working: dict[str, tuple[Decimal, Decimal]] = {}  # quantity and what is left

    def read(self, line: bytes) -> Recorded | None:
        """Return the event of a row, None for the header and empty lines. Raises Rejected."""
        try:
            text = line.decode().strip().removeprefix("\ufeff")
            if not text or tuple(text.split(",")) == self._columns:
                return None
            cells = next(csv.reader([text]))
            if len(cells) != len(self._columns):
                raise Rejected(f"the row has {len(cells)} cells, the header {len(self._columns)}")
            row = dict(zip(self._columns, cells, strict=True))
            when = int(row["ts_ns"])
            event = self._event(row, when)
            return Recorded(event.subject, encode(event), event.event_id, when)
        except (ValueError, ArithmeticError, OSError, csv.Error) as error:
            raise Rejected(f"the row cannot be read: {error}") from error

    def _event(self, row: dict[str, str], when: int) -> Event:
        kind = _KINDS.get(row["event"])
        if kind is None:
            raise Rejected(f"{row['event']!r} is none of {', '.join(_KINDS)}")
        order_id = f"{row['venue']}-{row['order_id']}"
        number = int.from_bytes(sha256(order_id.encode()).digest()[:8], "big")
        cause = ":".join(row[name] for name in ("venue", "symbol", "seq", "order_id"))
        return kind(
            event_id=derived_id(cause, RULE, kind.pattern, 0),
            timestamp=rfc3339(when),
            actor=row["venue"],
            source=f"recording of {row['venue']}",
            subject_id=order_id,
            environment=self._environment,
            fund_id=f"fund-{number % FUNDS}",
            strategy_id=f"strategy-{number % STRATEGIES}",
            account_id=f"account-{number % ACCOUNTS}",
            order_id=order_id,
            data=self._data(row, order_id),
        )

    def _data(self, row: dict[str, str], order_id: str) -> Order:
        event, symbol = row["event"], row["symbol"]
        price, leaves = Decimal(row["price"]), Decimal(row["leaves_qty"])
        moved = self._moved(row, order_id, leaves)
        common = {
            "symbol": symbol,
            "side": _one_of(row["side"], {"BUY": "buy", "SELL": "sell"}),
            "type": "limit",
            "limit_price": price,
            "currency": self._currency or _quoted_in(symbol),
            "leaves_quantity": leaves,
            "venue": row["venue"],
            "quantity": self._quantity(event, order_id, moved, leaves),
        }
        if event not in FILLS:
            return msgspec.convert(common, Cancel if event == "cancelled" else Order)
        aggressor = row["aggressor_side"]
        liquidity = ("taker" if aggressor == row["side"] else "maker") if aggressor else None
        fill = {
            "price": price,
            "last_quantity": moved,
            "execution_id": f"{row['venue']}-{row['seq']}",
            "liquidity": liquidity,
        }
        return msgspec.convert(common | fill, Fill)

    def _moved(self, row: dict[str, str], order_id: str, leaves: Decimal) -> Decimal:
        """Return the column `qty`; where a fill lacks it, what the order has less than before.

        Nothing is known about the first row of an order from before the recording. Its fill is
        0 then, which is what such files write themselves in most rows of that kind.
        """
        if row["qty"] or row["event"] not in FILLS:
            return Decimal(row["qty"])
        _, before = self._working.get(order_id, (leaves, leaves))
        return before - leaves

    def _quantity(self, event: str, order_id: str, moved: Decimal, leaves: Decimal) -> Decimal:
        """Return the quantity of the whole order; in submitted and modified rows `qty` is it."""
        proven = moved + leaves if event in FILLS else moved
        known, _ = self._working.pop(order_id, (proven, leaves))
        quantity = moved if event in ("submitted", "modified") else known
        if event not in ("filled", "cancelled"):
            self._working[order_id] = quantity, leaves
        return quantity


_KINDS: dict[str, type[Event]] = {
    "submitted": OrderSubmitted,
    "partially_filled": OrderPartiallyFilled,
    "filled": OrderFilled,
    "cancelled": OrderCanceled,
    "modified": OrderAmended,
}


def _one_of(word: str, words: dict[str, str]) -> str:
    if word not in words:
        raise Rejected(f"{word!r} is none of {', '.join(words)}")
    return words[word]


def _quoted_in(symbol: str) -> str:
    """Return the currency of a pair like BTCUSD."""
    if len(symbol) == 6 and symbol.isalpha() and symbol.isupper():
        return symbol[3:]
    raise Rejected(f"nothing says in which currency {symbol!r} is priced; use --currency")
