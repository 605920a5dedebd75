"""Trades of the market as columns: what a reader of very many trades needs of each, read at once.

A feed sends more trades than all others send anything, and who adds them up needs no event of each.
So the trades of a batch are read together, and only as strictly as one by one: the JSON decoder
repeats no rule of the contract, but what it made of a batch must, written again, be the very bytes
that came. So no key stands twice, nothing is unknown, and each line is one payload. Then the rules
of the fields are checked for all at once. A batch in which anything is otherwise is halved until
the odd payload stands alone, and `subjects.decode` decides about it.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Literal, NamedTuple, cast

import msgspec
import numpy as np
from msgspec import Struct, inspect
from numpy.typing import NDArray

from operations.clock import MOST_NS, NANOSECONDS, near_ns
from operations.errors import Rejected
from operations.events import subjects
from operations.events.base import MAX_BYTES, REQUIRED, Timestamp, encode, exists
from operations.events.marketdata import Trade, TradePrinted

SUBJECT = TradePrinted.pattern.encode()

Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]

_DIGITS = bytes.maketrans(b"0123456789", b"0" * 10)
_OUR_TIME = b"0000-00-00T00:00:00.000000000Z"  # as our publisher writes it
_TENS = 10 ** np.arange(8, -1, -1)
_YEAR_ONE = -62_135_596_800
_DECIMAL = r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?"  # as usual; whatever else is one is read strictly
_SIDES = {"buy": 1, "sell": -1, None: 0}

_Form = tuple[Callable[[Any], str], re.Pattern[str]]  # a field, and lines of what it may be


def _bare(kind: Any) -> inspect.Type:
    found = inspect.type_info(kind)
    return found.type if isinstance(found, inspect.Metadata) else found


def _form(kind: Any) -> str | None:
    """Return the pattern of what a field may be, if the contract or we have one; None for none."""
    found = _bare(kind)
    if isinstance(found, inspect.DecimalType):
        return _DECIMAL
    pattern = getattr(found, "pattern", None)
    return pattern and str(pattern).removeprefix("^").removesuffix(r"$(?!\n)")


_TIME = re.compile(_form(Timestamp) or "")


def _lean(strict: type[Struct], **parts: Any) -> type[Struct]:
    """Return a Struct with the fields of another, of which those with a form are mere texts."""
    fields: list[tuple[str, Any, Any] | tuple[str, Any]] = []
    for field in msgspec.structs.fields(strict):
        kind: Any = str if _form(field.type) else parts.get(field.name, field.type)
        # What only its publisher may leave empty is required on the way.
        if field.required or field.name in REQUIRED:
            fields.append((field.name, kind))
        else:
            fields.append((field.name, kind, field.default))
    name = f"Lean{strict.__name__}"
    return msgspec.defstruct(name, fields, frozen=True, kw_only=True, omit_defaults=True, gc=False)


def _forms(strict: type[Struct], time: str) -> tuple[_Form, ...]:
    """Return the fields of a Struct that have a form; `time` is the one that is read as a time."""
    forms = {field.name: _form(field.type) for field in msgspec.structs.fields(strict)}
    assert [name for name, form in forms.items() if form == _TIME.pattern] == [time]
    return tuple(
        (attrgetter(name), re.compile(f"(?:{form}\n)*"))
        for name, form in forms.items()
        if form and name != time
    )


_FORMS, _FORMS_OF_DATA = _forms(TradePrinted, "timestamp"), _forms(Trade, "venue_time")
_decode = msgspec.json.Decoder(_lean(TradePrinted, data=_lean(Trade))).decode_lines
_encode = msgspec.json.Encoder().encode_lines


class Trades(Struct, frozen=True, eq=False):
    """Trades in the order of the stream, n of them; every column has the shape (n,).

    Times are ns since 1970: `at_ns` is that of JetStream, `said_ns` of the publisher, `happened_ns`
    of the venue. `side` is 1 where a buyer took liquidity, -1 where a seller did, 0 when not told.
    """

    sequence: Numbers
    at_ns: Numbers
    said_ns: Numbers
    happened_ns: Numbers
    price: Floats
    size: Floats
    side: Numbers
    symbol: Sequence[str]
    venue: Sequence[str]
    trade_id: Sequence[str]
    environment: Sequence[str]
    fund_id: Sequence[str | None]
    payload: Sequence[bytes]

    def __len__(self) -> int:
        """Return how many trades there are."""
        return len(self.payload)

    def by(self, *names: Literal["symbol", "venue"]) -> dict[tuple[str, ...], "Part"]:
        """Return the trades of each instrument, venue or both, and their places."""
        columns = [getattr(self, name) for name in names]
        if not len(self):
            return {}
        if all(len(set(column)) == 1 for column in columns):
            return {tuple(column[0] for column in columns): Part(np.arange(len(self)), self)}
        places: dict[tuple[str, ...], list[int]] = {}
        for place, key in enumerate(zip(*columns, strict=True)):
            places.setdefault(key, []).append(place)
        order = np.array([place for its in places.values() for place in its])
        grouped, found, begin = self.where(order.tolist()), {}, 0
        for key, its in places.items():
            end = begin + len(its)
            found[key] = Part(order[begin:end], grouped.cut(begin, end))
            begin = end
        return found

    def where(self, places: Sequence[int]) -> "Trades":
        """Return the trades at some places."""
        chosen: dict[str, Any] = {
            name: column[places]
            if isinstance(column, np.ndarray)
            else [column[place] for place in places]
            for name, column in self._columns()
        }
        return Trades(**chosen)

    def cut(self, begin: int, end: int) -> "Trades":
        """Return the trades from one place to before another."""
        return Trades(**{name: column[begin:end] for name, column in self._columns()})

    def event(self, place: int) -> TradePrinted:
        """Return the event of one trade."""
        return cast("TradePrinted", subjects.decode(TradePrinted.pattern, self.payload[place]))

    def _columns(self) -> Iterable[tuple[str, Any]]:
        return ((name, getattr(self, name)) for name in self.__struct_fields__)


class Part(NamedTuple):
    """Some of the trades, and at which places among all they are."""

    places: Numbers
    trades: Trades


class _Block(NamedTuple):
    """What was read of some payloads, and when each was said and happened; `odd` are refused."""

    events: list[Any]
    said_ns: Numbers
    happened_ns: Numbers
    odd: list[int]


def read(
    sequences: Sequence[int], times_ns: Sequence[int], payloads: Sequence[bytes]
) -> tuple[Trades, int]:
    """Return the trades of payloads, and how many break the contract and are left out.

    `sequences` and `times_ns` are the places in the stream.
    """
    if not payloads:
        return NONE, 0
    block = _read(payloads)
    if block.odd:
        kept = np.setdiff1d(np.arange(len(payloads)), block.odd).tolist()
        sequences, times_ns, payloads = (
            [column[place] for place in kept] for column in (sequences, times_ns, payloads)
        )
    events = block.events
    data = [event.data for event in events]
    return Trades(
        sequence=np.array(sequences, np.int64),
        at_ns=np.array(times_ns, np.int64),
        said_ns=block.said_ns,
        happened_ns=block.happened_ns,
        price=np.array([float(each.price) for each in data]),
        size=np.array([float(each.size) for each in data]),
        side=np.array([_SIDES[each.aggressor] for each in data], np.int64),
        symbol=[each.symbol for each in data],
        venue=[each.venue for each in data],
        trade_id=[each.trade_id for each in data],
        environment=[event.environment for event in events],
        fund_id=[event.fund_id for event in events],
        payload=payloads,
    ), len(block.odd)


def of(sequences: Sequence[int], times_ns: Sequence[int], events: Iterable[TradePrinted]) -> Trades:
    """Return trades that were read one by one."""
    return read(sequences, times_ns, [encode(event) for event in events])[0]


def _read(payloads: Sequence[bytes]) -> _Block:
    block = _together(payloads)
    if block is not None:
        return block
    if len(payloads) == 1:
        return _alone(payloads[0])
    half = len(payloads) // 2
    first, second = _read(payloads[:half]), _read(payloads[half:])
    return _Block(
        first.events + second.events,
        np.concatenate((first.said_ns, second.said_ns)),
        np.concatenate((first.happened_ns, second.happened_ns)),
        first.odd + [half + place for place in second.odd],
    )


def _together(payloads: Sequence[bytes]) -> _Block | None:
    """Read payloads that are all as `encode` writes them; None when one is not."""
    if max(map(len, payloads)) > MAX_BYTES:
        return None
    lines = b"\n".join(payloads) + b"\n"
    try:
        events: list[Any] = _decode(lines)
        if len(events) != len(payloads) or _encode(events) != lines:
            return None  # with as many lines as payloads, no payload holds a line break
    except (ValueError, RecursionError):
        return None
    data = [event.data for event in events]
    forms = (*((form, events) for form in _FORMS), *((form, data) for form in _FORMS_OF_DATA))
    if not all(_all_have(form, each) for form, each in forms):
        return None
    said_ns = _times([event.timestamp for event in events])
    happened_ns = _times([each.venue_time for each in data])
    if said_ns is None or happened_ns is None:
        return None
    return _Block(events, said_ns, happened_ns, [])


def _alone(payload: bytes) -> _Block:
    """Read one payload as strictly as any other event."""
    try:
        event = subjects.decode(TradePrinted.pattern, payload)
    except Rejected:
        return _Block([], NONE.said_ns, NONE.happened_ns, [0])
    assert isinstance(event, TradePrinted)
    (lean,) = _decode(encode(event))
    said_ns, happened_ns = near_ns(event.timestamp), near_ns(event.data.venue_time)
    return _Block([lean], np.array([said_ns]), np.array([happened_ns]), [])


def _all_have(form: _Form, structs: Sequence[Any]) -> bool:
    get, lines_of = form
    texts = set(map(get, structs))
    lines = "\n".join(texts) + "\n"
    return lines.count("\n") == len(texts) and lines_of.fullmatch(lines) is not None


def _times(texts: Sequence[str]) -> Numbers | None:
    """Return RFC 3339 times of the contract, ns since 1970; None when one of them is none."""
    joined = "".join(texts).encode()
    if joined.translate(_DIGITS) != _OUR_TIME * len(texts):
        if not all(_TIME.fullmatch(text) and exists(text) for text in texts):
            return None
        return np.array([near_ns(text) for text in texts], np.int64)
    figures = np.frombuffer(joined, np.uint8).reshape(len(texts), len(_OUR_TIME))
    moments = np.ascontiguousarray(figures[:, :19]).view("S19").ravel()
    try:
        seconds = moments.astype("datetime64[s]").astype(np.int64)
    except ValueError:
        return None
    if seconds.min() < _YEAR_ONE:
        return None
    most = MOST_NS // NANOSECONDS + 1
    fraction = (figures[:, 20:29].astype(np.int64) - ord("0")) @ _TENS
    return np.clip(np.clip(seconds, -most, most) * NANOSECONDS + fraction, -MOST_NS, MOST_NS)


_NO_NUMBERS, _NO_FLOATS = np.zeros(0, np.int64), np.zeros(0)
NONE = Trades(
    *(_NO_NUMBERS,) * 4, *(_NO_FLOATS,) * 2, _NO_NUMBERS, *((),) * 6
)  # fmt: skip
