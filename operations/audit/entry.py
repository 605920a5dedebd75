r"""One entry of the log: the bytes that are hashed, exactly as `docs/audit-format.md` gives them.

    entry   = "mts-audit/entry/v1\n" u64 sequence u64 stream_sequence i64 timestamp_ns
              bytes(subject) bytes(actor) bytes(action) bytes(subject_id)
              bytes(headers) bytes(data)
    bytes(x) = u32 length, then x; integers are big-endian
    hash    = SHA-256(previous hash || entry)
    genesis = SHA-256("mts-audit/genesis/v1\n" || origin), the previous hash of entry 0

Headers and data are the bytes that the bus delivered: nothing is decoded, repaired or encoded
again before it is hashed.
"""

import struct
from hashlib import sha256
from typing import NamedTuple

MAGIC = b"mts-audit/entry/v1\n"
GENESIS_MAGIC = b"mts-audit/genesis/v1\n"
SUBJECT_PREFIX = b"mts.v1."

_POSITION = struct.Struct(">QQq")
_LENGTH = struct.Struct(">I")
_FIELDS = 6


class Entry(NamedTuple):
    """An entry, decoded. `actor`, `action` and `subject_id` are what people search by."""

    sequence: int
    stream_sequence: int
    timestamp_ns: int
    subject: bytes
    actor: bytes
    action: bytes
    subject_id: bytes
    headers: bytes
    data: bytes


def encode(entry: Entry) -> bytes:
    """Return the canonical bytes of an entry."""
    parts = [MAGIC, _POSITION.pack(*entry[:3])]
    for field in entry[3:]:
        parts += (_LENGTH.pack(len(field)), field)
    return b"".join(parts)


def decode(data: bytes) -> Entry:
    """Read canonical bytes back; raises ValueError unless they are exactly one entry."""
    if not data.startswith(MAGIC):
        raise ValueError(f"an entry starts with {MAGIC!r}, this starts with {data[:24]!r}")
    offset = len(MAGIC) + _POSITION.size
    if len(data) < offset:
        raise ValueError(f"an entry has at least {offset} bytes, this has {len(data)}")
    position = _POSITION.unpack_from(data, len(MAGIC))
    fields = []
    for _ in range(_FIELDS):
        if len(data) < offset + _LENGTH.size:
            raise ValueError(f"the entry ends inside a length, at byte {len(data)}")
        (length,) = _LENGTH.unpack_from(data, offset)
        start, offset = offset + _LENGTH.size, offset + _LENGTH.size + length
        fields.append(data[start:offset])
    if offset != len(data):
        raise ValueError(f"the lengths of the entry say {offset} bytes, it has {len(data)}")
    return Entry(*position, *fields)


def sequence_of(data: bytes) -> int:
    """Return the sequence that canonical bytes claim, without decoding the rest."""
    return int.from_bytes(data[len(MAGIC) : len(MAGIC) + 8])


def link(previous: bytes, entry: bytes) -> bytes:
    """Return the hash of an entry that follows the entry with hash `previous`."""
    return sha256(previous + entry).digest()


def genesis_hash(origin: str) -> bytes:
    """Return what stands as previous hash before entry 0 of a log."""
    return sha256(GENESIS_MAGIC + origin.encode()).digest()


def action_of(subject: bytes) -> bytes:
    """Return what happened: the subject after `mts.v1.`, or the whole subject elsewhere."""
    return subject.removeprefix(SUBJECT_PREFIX)
