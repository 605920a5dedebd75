"""Market data, read fast: the same events as `subjects.decode`, and refused where it refuses.

Trades and quotes are most of what comes, and nearly all of them are written as `encode` writes
them: one line, the fields in their order, plain characters, decimals as text. One regular
expression, made from the Structs, knows exactly that form. What fits it is JSON without a key that
stands twice and keeps every rule of the fields, so a decoder that repeats no rule reads it. What
does not fit is neither right nor wrong: the strict reader decides.
"""

import re
from collections.abc import Callable

import msgspec
from msgspec import inspect

from operations.events import subjects
from operations.events.base import REQUIRED, Event, exists
from operations.events.marketdata import Quote, QuoteUpdated, Trade, TradePrinted

_TEXT = r'"[ !#-\[\]-~]{%d,%d}"'  # printable ASCII without quotation marks and backslashes
_DECIMAL = r'"-?[0-9]{1,30}(?:\.[0-9]{1,30})?"'
_LONGEST, _MOST = 256, 64
_Reader = tuple[Callable[[bytes], object], Callable[[bytes], "_TradePrinted | _QuoteUpdated"]]


class _Trade(Trade, frozen=True, kw_only=True):
    """A trade whose fields were checked before."""

    currency: str
    venue_time: str

    def __post_init__(self) -> None:
        """Check nothing again."""


class _TradePrinted(TradePrinted, frozen=True, kw_only=True):
    """The event of such a trade."""

    event_id: str = ""
    timestamp: str = ""
    data: _Trade


class _Quote(Quote, frozen=True, kw_only=True):
    """A quote whose fields were checked before."""

    currency: str
    venue_time: str

    def __post_init__(self) -> None:
        """Check nothing again."""


class _QuoteUpdated(QuoteUpdated, frozen=True, kw_only=True):
    """The event of such a quote."""

    event_id: str = ""
    timestamp: str = ""
    data: _Quote


def _form(kind: inspect.StructType) -> str:
    """Return a pattern of the canonical form of a Struct: fields in order, defaults left out."""
    parts: list[str] = []
    for field in kind.fields:
        comma = "," if parts else ""
        part = f'{comma}"{field.encode_name}":{_value(_bare(field.type))}'
        # What only its publisher may leave empty is required on the way.
        parts.append(part if field.required or field.name in REQUIRED else f"(?:{part})?")
    return r"\{" + "".join(parts) + r"\}"


def _bare(node: inspect.Type) -> inspect.Type:
    """Return a type without its description, and without None: a value that is there."""
    if isinstance(node, inspect.Metadata):
        return _bare(node.type)
    if isinstance(node, inspect.UnionType):
        (one,) = (each for each in node.types if not isinstance(each, inspect.NoneType))
        return _bare(one)
    return node


def _value(node: inspect.Type) -> str:
    """Return a pattern of values that a type allows: of usual ones, and of no other."""
    if isinstance(node, inspect.StructType):
        return _form(node)
    if isinstance(node, inspect.LiteralType):
        return '"(?:' + "|".join(re.escape(str(value)) for value in node.values) + ')"'
    if isinstance(node, inspect.StrType) and node.pattern is not None:
        return '"' + node.pattern.removeprefix("^").removesuffix(r"$(?!\n)") + '"'
    if isinstance(node, inspect.StrType):
        return _TEXT % (node.min_length or 0, min(node.max_length or _LONGEST, _LONGEST))
    if isinstance(node, inspect.DecimalType):
        return _DECIMAL
    assert isinstance(node, inspect.VarTupleType), f"{node} has no canonical form here"
    one = _value(_bare(node.item_type))
    return rf"\[(?:{one}(?:,{one}){{0,{_MOST}}})?\]"


def _reader(strict: type[Event], lean: type[_TradePrinted | _QuoteUpdated]) -> _Reader:
    kind = inspect.type_info(strict)
    assert isinstance(kind, inspect.StructType)
    return re.compile(_form(kind).encode()).fullmatch, msgspec.json.Decoder(lean).decode


_READERS = {
    strict.pattern: _reader(strict, lean)
    for strict, lean in ((TradePrinted, _TradePrinted), (QuoteUpdated, _QuoteUpdated))
}


def decode(subject: str, payload: bytes) -> Event:
    """Read a payload as `subjects.decode` does, trades and quotes several times faster.

    Raises Rejected for everything that breaks the contract.
    """
    if reader := _READERS.get(subject):
        fits, read = reader
        if fits(payload):
            event = read(payload)
            if exists(event.timestamp) and exists(event.data.venue_time):
                return event
    return subjects.decode(subject, payload)
