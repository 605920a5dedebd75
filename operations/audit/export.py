"""A range of entries that proves itself: these are all entries from `first` to `end`, unchanged.

A bundle is a folder of a few files, checked with a public key that came another way:

    entries.bin     per entry its length (u32, big-endian) and its canonical bytes, in order
    range.json      what ties them to the tree: see `Range`
    checkpoint.txt  the signed checkpoint of the log of `size` entries
    rotations.txt   how the log changed its key, if it ever did: notes with blank lines between

`left` are the complete subtrees that cover [0, first), `right` those that cover [end, size), so
the root is recomputed from the entries of the range and about two hashes per level of the tree.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from operations.audit import chain, merkle, rotation
from operations.audit import entry as entries
from operations.audit.checkpoint import MAX_SIZE, Checkpoint
from operations.audit.entry import Entry
from operations.audit.merkle import Frontier, Node
from operations.audit.note import VerifierKey
from operations.audit.proof import check_names, check_start

FORMAT: Literal["mts-audit/range/v1"] = "mts-audit/range/v1"
ENTRIES_FILE = "entries.bin"
RANGE_FILE = "range.json"
CHECKPOINT_FILE = "checkpoint.txt"
ROTATIONS_FILE = "rotations.txt"

_LENGTH = struct.Struct(">I")
_LEAVES_AT_ONCE = 4096

Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
Position = Annotated[int, Meta(ge=0, le=MAX_SIZE - 1)]
Level = Annotated[int, Meta(ge=0, le=62)]


class Range(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of range.json: where entries [first, end) stand in the chain and the tree."""

    format: Literal["mts-audit/range/v1"]
    origin: str
    first: Position
    end: Position
    previous_hash: Hash
    left: list[Hash]
    right: list[tuple[Level, Hash]]

    def __str__(self) -> str:
        return msgspec.json.format(msgspec.json.encode(self), indent=1).decode() + "\n"


def describe(
    origin: str, first: int, end: int, size: int, previous_hash: bytes, node: Node
) -> Range:
    """Return range.json for entries [first, end) of the log of `size` entries.

    `previous_hash` is the hash of entry first - 1, or the genesis hash. Raises ValueError unless
    0 <= first < end <= size.
    """
    if not 0 <= first < end <= size:
        raise ValueError(f"entries {first} to {end} are no range of a log of {size} entries")
    return Range(
        format=FORMAT,
        origin=origin,
        first=first,
        end=end,
        previous_hash=previous_hash.hex(),
        left=[node(level, index).hex() for level, index in subtrees(0, first)],
        right=[(level, node(level, index).hex()) for level, index in subtrees(end, size)],
    )


def subtrees(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Name, from left to right, the fewest complete subtrees that cover leaves [start, end)."""
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        yield level, start >> level
        start += 1 << level


def frame(entry: bytes) -> bytes:
    """Return an entry as it stands in entries.bin."""
    return _LENGTH.pack(len(entry)) + entry


def unframe(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Read entries out of pieces of entries.bin; raises ValueError if it ends inside an entry."""
    rest = b""
    for chunk in chunks:
        rest += chunk
        offset = 0
        while len(rest) - offset >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(rest, offset)
            end = offset + _LENGTH.size + length
            if end > len(rest):
                break
            yield rest[offset + _LENGTH.size : end]
            offset = end
        rest = rest[offset:]
    if rest:
        raise ValueError(f"{ENTRIES_FILE} ends inside an entry: {len(rest)} bytes are left over")


def parse(text: str) -> Range:
    """Read range.json; raises ValueError."""
    try:
        return msgspec.json.decode(text, type=Range)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise ValueError(f"{RANGE_FILE} is not {FORMAT}: {error}") from error


def check(
    text: str,
    frames: Iterable[bytes],
    note: str,
    origin: str,
    keys: Sequence[VerifierKey],
    rotations: Iterable[str] = (),
) -> tuple[Range, Checkpoint]:
    """Prove a bundle and return what it proves; raises ValueError with why not.

    `text` is range.json, `frames` are pieces of entries.bin of any size, `note` is checkpoint.txt,
    `rotations` are the notes of rotations.txt, followed from `keys` (rotation.follow).
    Entries are read one after the other, so memory does not grow with the range.
    """
    described = parse(text)
    if described.origin != origin:
        raise ValueError(f"the range is of log {described.origin!r}, not {origin!r}")
    trusted = rotation.follow(keys, origin, rotations)
    checkpoint = rotation.open_checkpoint(note, origin, trusted)
    if not described.first < described.end <= checkpoint.size:
        raise ValueError(
            f"entries {described.first} to {described.end} are no range of a log of "
            f"{checkpoint.size} entries"
        )
    previous = bytes.fromhex(described.previous_hash)
    check_start(origin, described.first, previous)
    tree = Frontier(described.first, map(bytes.fromhex, described.left))
    _extend(tree, described, previous, unframe(frames))
    for level, subtree in described.right:
        tree.append(bytes.fromhex(subtree), level)
    if (tree.size, tree.root()) != (checkpoint.size, checkpoint.root):
        raise ValueError(
            f"the entries do not lead to the signed root of {checkpoint.size} entries: an entry, "
            "the previous hash or a subtree was changed"
        )
    return described, checkpoint


def _extend(tree: Frontier, described: Range, previous_hash: bytes, data: Iterable[bytes]) -> None:
    leaves: list[bytes] = []
    before: Entry | None = None
    expected = described.first
    for each in data:
        entry = entries.decode(each)
        if entry.sequence != expected or expected == described.end:
            raise ValueError(f"after entry {expected - 1} comes {entry.sequence}")
        check_names(entry)
        if before is not None:
            check_order(before, entry)
        before, expected = entry, expected + 1
        previous_hash = entries.link(previous_hash, each)
        leaves.append(merkle.leaf_hash(previous_hash))
        if len(leaves) == _LEAVES_AT_ONCE:
            tree.extend(leaves)
            leaves.clear()
    tree.extend(leaves)
    if expected != described.end:
        raise ValueError(f"the entries end at {expected}, the range at {described.end}")


def check_order(before: Entry, entry: Entry) -> None:
    """Raise ValueError unless `entry` may follow `before` in the stream.

    A message has the next stream sequence; a gap entry jumps ahead and says from where; adopting
    another stream starts anywhere.
    """
    step = entry.stream_sequence - before.stream_sequence
    if entry.subject == chain.GAP:
        missing = {
            "first_missing": before.stream_sequence + 1,
            "last_missing": entry.stream_sequence,
        }
        valid = step > 0 and entry.data == msgspec.json.encode(missing)
    else:
        valid = step == 1 or entry.subject == chain.ADOPTED
    if not valid:
        raise ValueError(
            f"entry {entry.sequence} has stream sequence {entry.stream_sequence}, the entry "
            f"before it {before.stream_sequence}, and no gap entry says what is missing"
        )
