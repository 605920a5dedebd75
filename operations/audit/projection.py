"""What people search by, made from an entry alone: one row of the read model.

It never fails, whatever an entry holds. What Postgres cannot store as text or jsonb (U+0000,
unpaired surrogates, broken UTF-8, numbers beyond its range) is left out and `problem` says so;
the entry itself is always whole in the log.
"""

import json
import re
from typing import Any, NamedTuple, NoReturn

import msgspec

from operations.audit.entry import Entry
from operations.audit.identity import MAX_DEPTH, depth

MAX_INDEXED_BYTES = 1024  # Postgres refuses index rows of more than about 2,700 bytes
MAX_DIGITS = 1000  # far inside what numeric, and so jsonb, can hold
KEYS = (
    "source",
    "environment",
    "fund_id",
    "strategy_id",
    "account_id",
    "order_id",
    "correlation_id",
    "causation_id",
)


class Row(NamedTuple):
    """One row of audit.event; texts are valid, `data` is JSON text that jsonb takes."""

    sequence: int
    stream_sequence: int
    time_ns: int
    subject: str
    actor: str
    action: str
    subject_id: str
    source: str | None
    environment: str | None
    fund_id: str | None
    strategy_id: str | None
    account_id: str | None
    order_id: str | None
    correlation_id: str | None
    causation_id: str | None
    data: str | None
    problem: str | None


_decode = msgspec.json.Decoder().decode
_LONG_NUMBER = re.compile(rf"\d{{{MAX_DIGITS}}}")


class _Unstorable(Exception):  # noqa: N818 (a reason that travels within this module)
    """JSON that jsonb does not take."""


def project(entry: Entry) -> Row:
    """Return the row of an entry; the same entry always gives the same row."""
    payload, data, problem = _payload(entry.data)
    keys: list[str | None] = [None] * len(KEYS)
    if isinstance(payload, dict):
        keys = [_key(payload.get(key)) for key in KEYS]
    return Row._make(
        (
            *entry[:3],
            _text(entry.subject),
            _text(entry.actor),
            _text(entry.action),
            _text(entry.subject_id[:MAX_INDEXED_BYTES]),
            *keys,
            data,
            problem,
        )
    )


def _payload(data: bytes) -> tuple[Any, str | None, str | None]:
    """Return the decoded payload, the text for jsonb if it takes it, and else why not."""
    try:
        text = data.decode()
        if data.count(b"{") + data.count(b"[") > MAX_DEPTH and depth(text) > MAX_DEPTH:
            return None, None, f"nested deeper than {MAX_DEPTH}"
        if "\\u0000" not in text and not _LONG_NUMBER.search(text):
            return _decode(data), text, None
    except UnicodeDecodeError as error:
        return None, None, f"not UTF-8: {error.reason} at byte {error.start}"
    except msgspec.DecodeError:
        pass  # not JSON, or JSON with a number that only the patient decoder takes
    return _patiently(text)


def _patiently(text: str) -> tuple[Any, str | None, str | None]:
    try:
        payload = json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse)
    except ValueError as error:
        return None, None, f"not JSON: {error}"
    try:
        json.loads(text, parse_int=_number, parse_float=_number)
        _require_storable(payload)
    except _Unstorable as error:
        return payload, None, str(error)
    return payload, text, None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _number(text: str) -> int:
    exponent = text.lower().partition("e")[2]
    if len(text) > MAX_DIGITS or len(exponent) > 4 or abs(int(exponent or 0)) > MAX_DIGITS:
        raise _Unstorable(f"holds a number of {len(text)} characters, {text[:20]}...")
    return 0


def _require_storable(value: Any) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise _Unstorable("holds U+0000, which the database has no text for")
        if not _is_unicode(value):
            raise _Unstorable("holds an unpaired surrogate, which is not Unicode text")
    elif isinstance(value, list):
        for item in value:
            _require_storable(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _require_storable(key)
            _require_storable(item)


def _key(value: Any) -> str | None:
    """Return a value to look things up by, or None if nobody could look it up."""
    if not isinstance(value, str) or not value or "\0" in value or not _is_unicode(value):
        return None
    return value if len(value.encode()) <= MAX_INDEXED_BYTES else None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(field: bytes) -> str:
    """Return readable text: bytes that are not, and U+0000, become U+FFFD."""
    return field.decode(errors="replace").replace("\0", "\ufffd")
