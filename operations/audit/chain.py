"""From the messages of the stream to linked entries: what the sealer writes and the signer checks.

Both processes call `seal` on what they read themselves, so the same stream always gives the same
bytes. A message at or below the head was sealed before (a redelivery) and is skipped. A message
that skips a stream sequence raises `Jump`; only after the consumer was reset, and the jump is
still there, is it a gap, and then the gap is an entry of its own.
"""

import struct
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from operations.audit import entry as entries
from operations.audit.entry import Entry
from operations.audit.identity import identify
from operations.errors import Retryable

GENESIS = b"audit.genesis"
GAP = b"audit.gap"
ADOPTED = b"audit.stream.adopted"
OURSELVES = b"audit"
UNKNOWN = b"unknown"

# What the bus hands over: subject, reply subject, header block, payload; all as received.
Delivery = tuple[bytes, bytes, bytes, bytes]

_ACK_TOKENS = 9  # $JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<n>.<time>.<pending>
_SHORT = [struct.pack(">I", length) for length in range(4096)]
_pack_length = struct.Struct(">I").pack
_pack_start = struct.Struct(f">{len(entries.MAGIC)}sQQqI").pack
_CACHED_FIELDS = 10_000


class Head(NamedTuple):
    """How far a log is sealed: the number of entries, the last hash, the place in the stream."""

    size: int
    hash: bytes
    stream_sequence: int
    stream_created_ns: int


class Tail(NamedTuple):
    """The head of a log, and the hash before its last entry if that entry is a message."""

    head: Head
    previous_hash: bytes | None


class Sealed(NamedTuple):
    """Entries that follow a head, their hashes, the head after them, and how much was taken."""

    entries: list[bytes]
    hashes: list[bytes]
    head: Head
    taken: int = 0


class Adoption(NamedTuple):
    """A person's signed order, as the stream holds it, to go on with another stream."""

    subject: bytes
    actor: bytes
    timestamp_ns: int
    headers: bytes
    data: bytes


class Jump(Retryable):
    """The stream skipped sequences; they may be on their way, or they may be gone."""


def position(reply: bytes) -> tuple[int, int]:
    """Return stream sequence and JetStream time in ns from the reply subject of a message.

    Reads both forms: 9 tokens, and 11 or 12 with domain and account after `$JS.ACK`.
    Raises ValueError for anything else.
    """
    tokens = reply.split(b".")
    extra = 0 if len(tokens) == _ACK_TOKENS else 2
    if not (reply.startswith(b"$JS.ACK.") and len(tokens) in (_ACK_TOKENS, 11, 12)):
        raise ValueError(f"{reply!r} is not the reply subject of a stream message")
    sequence, timestamp_ns = tokens[5 + extra], tokens[7 + extra]
    if not (sequence.isdigit() and timestamp_ns.isdigit()):  # int() also reads b"+1_0"
        raise ValueError(f"{reply!r} has no stream sequence and time")
    return int(sequence), int(timestamp_ns)


def positions(replies: Sequence[bytes]) -> tuple[list[int], list[int]]:
    """Return what `position` returns of each, sequences and times, for many at once."""
    tokens = b".".join(replies).split(b".")
    sequences, times_ns = tokens[5::_ACK_TOKENS], tokens[7::_ACK_TOKENS]
    alike = (
        len(tokens) == _ACK_TOKENS * len(replies)
        and set(tokens[0::_ACK_TOKENS]) == {b"$JS"}
        and set(tokens[1::_ACK_TOKENS]) == {b"ACK"}
        and b"".join(sequences).isdigit()
        and b"".join(times_ns).isdigit()
        and b"" not in sequences
        and b"" not in times_ns
    )
    if not alike:  # of a domain, or no place at all
        found = [position(reply) for reply in replies]
        return [sequence for sequence, _ in found], [at_ns for _, at_ns in found]
    return list(map(int, sequences)), list(map(int, times_ns))


def first_entry(origin: str, public_key: str, stream: str, stream_created_ns: int) -> Sealed:
    """Return the log that holds its genesis entry only: what it is and how to check it."""
    data = {
        "origin": origin,
        "entry_format": entries.MAGIC.decode().strip(),
        "tree": "RFC 9162 SHA-256 over entry hashes",
        "checkpoint": "C2SP tlog-checkpoint",
        "public_key": public_key,
        "stream": stream,
        "stream_created_ns": stream_created_ns,
    }
    empty = Head(0, entries.genesis_hash(origin), 0, stream_created_ns)
    return _own(empty, GENESIS, origin.encode(), 0, stream_created_ns, b"", _json(data))


def adopted(head: Head, command: Adoption, from_sequence: int, stream_created_ns: int) -> Sealed:
    """Return the entry that continues a log on another stream, from the signed command itself."""
    moved = head._replace(stream_created_ns=stream_created_ns)
    return _own(
        moved, ADOPTED, command.subject, from_sequence - 1, command.timestamp_ns,
        command.headers, command.data, command.actor,
    )  # fmt: skip


def _own(
    head: Head,
    subject: bytes,
    subject_id: bytes,
    stream_sequence: int,
    timestamp_ns: int,
    headers: bytes,
    data: bytes,
    actor: bytes = OURSELVES,
) -> Sealed:
    made = entries.encode(
        Entry(
            head.size, stream_sequence, timestamp_ns, subject, actor, subject, subject_id,
            headers, data,
        )
    )  # fmt: skip
    linked = entries.link(head.hash, made)
    after = Head(head.size + 1, linked, stream_sequence, head.stream_created_ns)
    return Sealed([made], [linked], after)


def _json(value: Mapping[str, object]) -> bytes:
    return msgspec.json.encode(value)


def seal(head: Head, deliveries: Sequence[Delivery], *, gap_is_real: bool = False) -> Sealed:
    """Turn messages, in stream order, into the entries that follow `head`.

    Stops before a jump, so the caller commits what came before it; a jump before the first new
    message raises Jump, or with `gap_is_real` becomes an `audit.gap` entry (its stream sequence is
    the last missing one). `taken` says how many of the messages are done with.
    """
    made: list[bytes] = []
    hashes: list[bytes] = []
    sequence, previous, sealed_to, created_ns = head
    taken = 0
    for delivery in deliveries:
        stream_sequence, timestamp_ns = position(delivery[1])
        if stream_sequence != sealed_to + 1 and stream_sequence > sealed_to:
            if made:
                break
            if not gap_is_real:
                raise Jump(f"after stream sequence {sealed_to} came {stream_sequence}")
            gap = _gap(Head(sequence, previous, sealed_to, created_ns), delivery)
            made, hashes, (sequence, previous, sealed_to, _), _ = gap
        taken += 1
        if stream_sequence <= sealed_to:
            continue
        made.append(_entry(sequence, stream_sequence, timestamp_ns, delivery))
        previous = sha256(previous + made[-1]).digest()
        hashes.append(previous)
        sequence += 1
        sealed_to = stream_sequence
    return Sealed(made, hashes, Head(sequence, previous, sealed_to, created_ns), taken)


def _gap(head: Head, after: Delivery) -> Sealed:
    stream_sequence, timestamp_ns = position(after[1])
    missing = {"first_missing": head.stream_sequence + 1, "last_missing": stream_sequence - 1}
    return _own(head, GAP, GAP, stream_sequence - 1, timestamp_ns, b"", _json(missing))


def message_entry(sequence: int, delivery: Delivery) -> bytes:
    """Return the canonical bytes of one message of the stream as entry `sequence`."""
    return _entry(sequence, *position(delivery[1]), delivery)


_subject_fields: dict[tuple[bytes, bytes], bytes] = {}


def _entry(sequence: int, stream_sequence: int, timestamp_ns: int, delivery: Delivery) -> bytes:
    # The same bytes as entries.encode, laid out for speed: this runs once per event.
    subject, _, headers, data = delivery
    actor, subject_id = identify(data)
    subject_id = subject_id or subject
    named = _subject_fields.get((subject, actor)) or _name(subject, actor)
    return b"".join(
        (
            _pack_start(entries.MAGIC, sequence, stream_sequence, timestamp_ns, len(subject)),
            named,
            _length(subject_id),
            subject_id,
            _length(headers),
            headers,
            _length(data),
            data,
        )
    )


def _length(field: bytes) -> bytes:
    size = len(field)
    return _SHORT[size] if size < len(_SHORT) else _pack_length(size)


def _name(subject: bytes, actor: bytes) -> bytes:
    """Return subject, actor and action as they stand in an entry, remembering recent ones."""
    shown, action = actor or UNKNOWN, entries.action_of(subject)
    named = subject + _length(shown) + shown + _length(action) + action
    if len(_subject_fields) >= _CACHED_FIELDS:
        _subject_fields.clear()
    _subject_fields[subject, actor] = named
    return named
