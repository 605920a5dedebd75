"""The form of every event: how one is written, and what is refused when one is read.

An event is an envelope that is the same for all (who, when, about what, because of what) and
`data` of a type that its subject names. Unknown fields are ignored, so a publisher may be newer
than its reader; defaults are not written, so a new field with a default changes no old bytes.
Reading is hostile territory: size, depth, UTF-8 and duplicate keys are checked before decoding,
because decoders disagree about them, and everything wrong is a `Rejected` with its reason.
"""

import json
import math
import re
import uuid
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

from operations.errors import Rejected

MAX_BYTES = 256 * 1024
MAX_DEPTH = 64
MAX_DECIMAL_DIGITS = 40  # before and after the point; more is an attack or a broken publisher

NAMESPACE = uuid.UUID("6f1ad0c2-5a3e-5b0c-9d8e-0d6d74732e31")  # of derived ids; never changes

Environment = Literal["live", "paper", "drill", "canary"]

# `$(?!\n)`: in Python `$` also matches before a final line break; these end up in headers.
Id = Annotated[str, Meta(min_length=1, max_length=256)]
Token = Annotated[str, Meta(pattern=r"^[0-9A-Za-z_-]{1,64}$(?!\n)")]
EventId = Annotated[str, Meta(pattern=r"^[0-9A-Za-z._:-]{1,64}$(?!\n)")]
Timestamp = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
        r"(\.[0-9]{1,9})?(Z|\+00:00)$(?!\n)",
        extra={"kind": "time"},
    ),
]
Day = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$(?!\n)", extra={"kind": "day"})]
Currency = Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9]{2,9}$(?!\n)")]
Money = Annotated[Decimal, Meta(extra={"kind": "money"})]  # in the `currency` beside it
Quantity = Annotated[Decimal, Meta(extra={"kind": "quantity"})]  # shares, contracts or coins


def doc(description: str) -> Meta:
    """Describe a field, with its unit."""
    return Meta(description=description)


class Data(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one kind of event says; also the parts it is made of.

    Building one raises Rejected for a number that is not finite or absurdly long, for a day or
    time that does not exist, and for money without a currency: no event holds such a value.
    """

    def __post_init__(self) -> None:
        """Refuse values that the types alone let through."""
        for name, kind in _checked_fields(type(self)):
            value = getattr(self, name)
            if value is not None and (problem := _problem(self, kind, value)):
                raise Rejected(f"{type(self).__name__}.{name} is {str(value)[:60]!r}: {problem}")


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Something that happened. `pattern` is its subject; `{data.x}` in it is filled from data."""

    pattern: ClassVar[str]

    event_id: Annotated[EventId, doc("UUIDv7 or ULID; our publisher fills it in.")] = ""
    timestamp: Annotated[
        Timestamp, doc("When it happened, RFC 3339 UTC; our publisher fills it in.")
    ] = ""
    actor: Annotated[
        str,
        Meta(min_length=1, max_length=256),
        doc("Person or service that did it; our publisher fills it in."),
    ] = ""
    subject_id: Annotated[Id, doc("Id of the thing that it is about.")]
    source: Annotated[str | None, doc("Process and host that published it.")] = None
    environment: Annotated[Environment, doc("Whether money moves: live is the default.")] = "live"
    fund_id: Annotated[str | None, doc("Fund that it concerns.")] = None
    strategy_id: Annotated[str | None, doc("Strategy that it concerns.")] = None
    account_id: Annotated[str | None, doc("Account that it concerns.")] = None
    order_id: Annotated[str | None, doc("Order that it concerns.")] = None
    correlation_id: Annotated[str | None, doc("Id shared by all that one cause led to.")] = None
    causation_id: Annotated[str | None, doc("event_id of the event that caused this one.")] = None
    data: Annotated[Data, doc("What this kind of event says.")]

    @property
    def subject(self) -> str:
        """The NATS subject that this event is published on."""
        return self.pattern.format(data=self.data) if "{" in self.pattern else self.pattern


REQUIRED = ("event_id", "timestamp", "actor")  # may be empty only until the publisher fills them

EventT = TypeVar("EventT", bound=Event)

_encoder = msgspec.json.Encoder()
_EXPONENT = re.compile(rb"E[+-]")  # how Python prints decimals beyond 1E-6, and with zeros left out


def encode(event: Event) -> bytes:
    """Write an event as one JSON object without defaults; no decimal has an exponent.

    Raises Rejected when event_id, timestamp or actor are empty or a text is not valid Unicode.
    """
    _require(event)
    try:
        raw = _encoder.encode(event)
        if not _EXPONENT.search(raw):
            return raw
        return _encoder.encode(_plain(msgspec.to_builtins(event, builtin_types=(Decimal,))))
    except UnicodeError as error:
        raise Rejected(f"{event.pattern} cannot be written: {error}") from error


def read(kind: type[EventT], payload: bytes) -> EventT:
    """Read a payload as one kind of event; `subjects.decode` finds the kind for a subject.

    Raises Rejected for everything that breaks the contract, never another exception.
    """
    check_form(payload)
    try:
        event: EventT = _decoder(kind).decode(payload)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise Rejected(f"not a {kind.__name__}: {error}") from error
    _require(event)
    if _ODD_NUMBER.search(payload):
        _require_decimal_texts(event, json.loads(payload), "")
    if not exists(event.timestamp):
        raise Rejected(f"timestamp {event.timestamp!r} does not exist")
    return event


def check_form(payload: bytes) -> None:
    """Raise Rejected unless the payload is JSON that every decoder reads the same way.

    At most 256 KiB and 64 levels deep, UTF-8, no key twice in one object, no NaN.
    """
    if len(payload) > MAX_BYTES:
        raise Rejected(f"the payload has {len(payload)} bytes; the limit is {MAX_BYTES}")
    if (depth := _depth(payload)) > MAX_DEPTH:
        raise Rejected(f"the payload is nested {depth} deep; the limit is {MAX_DEPTH}")
    try:
        json.loads(
            payload.decode(),
            object_pairs_hook=_unique,
            parse_int=_ignore,
            parse_float=_ignore,
            parse_constant=_no_constant,
        )
    except ValueError as error:
        raise Rejected(f"the payload is not JSON: {error}") from error


def derived_id(cause: str, rule: str, subject: str, ordinal: int) -> str:
    """Return the event_id of an event that we derive from another: the same cause, the same id.

    UUIDv5 over the parts, each with its length before it, so that no two lists of parts collide.
    """
    parts = (cause, rule, subject, str(ordinal))
    return str(uuid.uuid5(NAMESPACE, "".join(f"{len(part)}:{part}" for part in parts)))


@cache
def _decoder(kind: type[EventT]) -> msgspec.json.Decoder[EventT]:
    return msgspec.json.Decoder(kind)


def _require(event: Event) -> None:
    if not (event.event_id and event.timestamp and event.actor):
        empty = [name for name in REQUIRED if not getattr(event, name)]
        raise Rejected(f"{event.pattern} lacks {', '.join(empty)}, which every event must have")


def _plain(value: Any) -> Any:
    """Return the same without exponents in decimals."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Decimal) and "E" in str(value):
        return f"{value:f}" if value else "0"
    return value


# Python reads more as a decimal than the contract allows: 1_000, spaces, digits of any script.
# A text that begins like a number and goes on in such a way is rare; only then each is looked at.
DECIMAL_PATTERN = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$(?!\n)"
_DECIMAL = re.compile(DECIMAL_PATTERN)
_ODD_NUMBER = re.compile(rb'"[0-9.eE+-]*[_\s\\\x80-\xff]')


def _require_decimal_texts(value: Any, raw: Any, name: str) -> None:
    """Raise Rejected where a decimal was read from a text that the contract does not allow."""
    if isinstance(value, Decimal):
        if isinstance(raw, str) and not _DECIMAL.search(raw):
            raise Rejected(f"{name} is {raw[:60]!r}: not a decimal as the contract writes it")
    elif isinstance(value, Struct):
        for each in value.__struct_fields__:
            if each in raw:
                _require_decimal_texts(getattr(value, each), raw[each], each)
    elif isinstance(value, tuple | list):
        for each, its_raw in zip(value, raw, strict=True):
            _require_decimal_texts(each, its_raw, name)
    elif isinstance(value, dict):
        for key, each in value.items():
            _require_decimal_texts(each, raw[key], name)


# One token per string or bracket. An unterminated string runs to the end, so this stays linear.
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.?)*+"?|[\[{]|[\]}]', re.DOTALL)


def _depth(payload: bytes) -> int:
    """Return how deep the payload nests, without decoding it; exact only above the limit."""
    if (most := payload.count(b"{") + payload.count(b"[")) <= MAX_DEPTH:
        return most
    depth = deepest = 0
    for token in _TOKENS.finditer(payload):
        first = payload[token.start()]
        if first in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in b"]}":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) == len(pairs):
        return
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise Rejected(f"the key {name[:60]!r} stands twice in one object")
        seen.add(name)


def _ignore(_: str) -> None:
    """Skip a number: the typed decoder reads it."""


def _no_constant(name: str) -> None:
    raise Rejected(f"{name} is not a JSON number")


_KINDS = {Decimal: "decimal", float: "number"}


@cache
def _checked_fields(kind: type[Data]) -> tuple[tuple[str, str], ...]:
    """Name and kind of the fields whose values need more than a type check."""
    found = []
    for name, hint in get_type_hints(kind, include_extras=True).items():
        kinds = list(_kinds(hint))
        if kinds:
            found.append((name, kinds[0]))
    return tuple(found)


def _kinds(hint: Any) -> list[str]:
    metas = [meta for meta in get_args(hint)[1:] if isinstance(meta, Meta)]
    named = [meta.extra["kind"] for meta in metas if meta.extra and "kind" in meta.extra]
    if named:
        return named
    if hint in _KINDS:
        return [_KINDS[hint]]
    if getattr(hint, "__origin__", None) in (tuple, ClassVar):
        return []
    return [kind for part in get_args(hint) for kind in _kinds(part)]


def _problem(data: Data, kind: str, value: Any) -> str | None:
    """Say what is wrong with a value, or nothing."""
    if kind == "number":
        return None if math.isfinite(value) else "not a finite number"
    if kind in ("time", "day"):
        return None if exists(value) else "no such time"
    if not value.is_finite():
        return "not a finite number"
    if abs(value.adjusted()) > MAX_DECIMAL_DIGITS:
        return f"more than {MAX_DECIMAL_DIGITS} digits"
    if kind == "money" and getattr(data, "currency", None) is None:
        return "money without a currency; say which in the field currency"
    return None


def exists(text: str) -> bool:
    """Whether an RFC 3339 text that has the right form names a real day and time."""
    return _is_moment(text[:19])


@lru_cache(maxsize=4096)
def _is_moment(text: str) -> bool:
    """Return whether a day, or a second of one, exists; what comes together shares its second."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
