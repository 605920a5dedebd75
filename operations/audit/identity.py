"""Who did it, and to what? The one thing the log reads out of a payload.

The rule is frozen with version 1 of the entry format, because it decides hashed bytes: `actor`
and `subject_id` are top-level keys of a payload that is a UTF-8 JSON object (RFC 8259) nested at
most 64 deep; a value counts if it is a string of 1 to 256 UTF-8 bytes; of a key that appears
twice the last one counts. Everything else is "absent", never an error.

`identify` answers well-formed payloads with a fast decoder and leaves every other payload to
`identify_by_the_rule`, which is the definition; a test compares the two on a million inputs.
"""

import json
from typing import Any, NoReturn

import msgspec

MAX_DEPTH = 64
MAX_BYTES = 256


class _Number(str):
    """A number kept as it was written: no limit on digits, no rounding."""

    __slots__ = ()


class _Identity(msgspec.Struct, gc=False):
    actor: str = ""
    subject_id: str = ""


_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b'{}[]"'))

_decode = msgspec.json.Decoder(_Identity).decode


def identify(data: bytes) -> tuple[bytes, bytes]:
    """Return actor and subject id of a payload, each empty if absent."""
    if _is_shallow(data):
        try:
            if not data.isascii():
                data.decode()
            identity = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
        else:
            actor = identity.actor.encode()
            subject_id = identity.subject_id.encode()
            return (
                actor if len(actor) <= MAX_BYTES else b"",
                subject_id if len(subject_id) <= MAX_BYTES else b"",
            )
    return identify_by_the_rule(data)


def _is_shallow(data: bytes) -> bool:
    """Say whether JSON is nested at most MAX_DEPTH deep; what is not JSON may be called deep."""
    if data.count(b"{") + data.count(b"[") <= MAX_DEPTH:
        return True
    if b"\\" in data:  # escapes are read from left to right, so these two replacements are enough
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = b"".join(data.translate(_ONE_KIND, _NO_BRACKETS).split(b'"')[::2])
    for _ in range(MAX_DEPTH):  # each round takes away what is innermost
        fewer = outside.replace(b"[]", b"")
        if len(fewer) == len(outside):
            break
        outside = fewer
    return not outside


def identify_by_the_rule(data: bytes) -> tuple[bytes, bytes]:
    """Return the same as `identify`, by the definition: slower, and obvious."""
    try:
        text = data.decode()
        if depth(text) > MAX_DEPTH:
            return b"", b""
        payload = json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_refuse)
    except ValueError:
        return b"", b""
    if not isinstance(payload, dict):
        return b"", b""
    return _short_string(payload.get("actor")), _short_string(payload.get("subject_id"))


def depth(text: str) -> int:
    """How deep objects and arrays are nested, brackets inside strings not counted.

    Stops at the first place that is too deep, because nobody needs to know how much too deep.
    """
    deepest = level = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string = True
        elif character in "{[":
            level += 1
            deepest = max(deepest, level)
            if level > MAX_DEPTH:
                break
        elif character in "}]":
            level -= 1
    return deepest


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _short_string(value: Any) -> bytes:
    if not isinstance(value, str) or isinstance(value, _Number):
        return b""
    try:
        encoded = value.encode()
    except UnicodeEncodeError:  # an unpaired surrogate has no UTF-8 form
        return b""
    return encoded if len(encoded) <= MAX_BYTES else b""
