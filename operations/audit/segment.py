"""One segment of the log, recomputed from its rows: chain, subtree roots, first thing wrong.

Rows come as Postgres' binary COPY of (sequence, entry, hash); they are hashed from the bytes as
they arrive, because this loop is what a verification of the whole log waits for. A segment starts
from the hash that the row before it claims; whoever joins segments compares that claim with what
the segment before computed.
"""

import struct
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from operations.audit.chain import GAP
from operations.audit.entry import MAGIC
from operations.audit.merkle import HASH_BYTES, LEAF_PREFIX, subtree_hash

COPY_HEADER_BYTES = 19
COPY_TRAILER = b"\xff\xff"
# columns, 8, sequence, length, magic, sequence, stream sequence and time, length and text of GAP
_ROW = struct.Struct(f">6xqi{len(MAGIC)}xQ16x{4 + len(GAP)}s")
_GAP_SUBJECT = struct.pack(">I", len(GAP)) + GAP
_ENTRY_AT = 18
_AFTER_ENTRY = 4 + HASH_BYTES

Piece = tuple[int, bytes]
"""Level and hash of a complete subtree."""


class Segment(NamedTuple):
    """What the entries [first, end) come to.

    `parts` are the subtrees between the cuts (sizes at which a root will be asked for), so that a
    frontier can be carried over the segment. `wrong_at` is the first sequence whose row is not
    what it should be, or None. `gaps` are the sequences of the entries that record a gap.
    """

    first: int
    end: int
    claimed_hash: bytes
    last_hash: bytes
    parts: list[tuple[int, list[Piece]]]
    wrong_at: int | None
    gaps: tuple[int, ...]


class SegmentScan:
    """Feed it the chunks of one COPY; then `finish`."""

    def __init__(self, first: int, end: int, claimed_hash: bytes, cuts: Sequence[int]) -> None:
        self._first = first
        self._end = end
        self._claimed_hash = claimed_hash
        self._cuts = cuts
        self._hashes: list[bytes] = []
        self._rest = b""
        self._skip = COPY_HEADER_BYTES
        self._wrong_at: int | None = None
        self._gaps: list[int] = []

    def feed(self, chunk: bytes) -> None:
        """Recompute every complete row in what has arrived so far."""
        if self._wrong_at is not None:
            return
        buffer = self._rest + chunk if self._rest else chunk
        hashes, row, row_bytes = self._hashes, _ROW.unpack_from, _ROW.size
        previous = hashes[-1] if hashes else self._claimed_hash
        expected = self._first + len(hashes)
        position, size = self._skip, len(buffer)
        while position + row_bytes <= size:
            sequence, length, own_sequence, subject = row(buffer, position)
            start = position + _ENTRY_AT
            stop = start + length
            end = stop + _AFTER_ENTRY
            if end > size:
                break
            linked = sha256(previous)
            linked.update(buffer[start:stop])
            previous = linked.digest()
            if not sequence == own_sequence == expected or buffer[stop + 4 : end] != previous:
                self._wrong_at = expected
                return
            if subject == _GAP_SUBJECT:
                self._gaps.append(expected)
            hashes.append(previous)
            expected += 1
            position = end
        self._skip = max(0, position - size)
        self._rest = buffer[position:]

    def finish(self) -> Segment:
        """Return what the segment comes to."""
        hashes = self._hashes
        # What is left must be the end of the COPY: a row too short to be an entry is one too many.
        complete = len(hashes) == self._end - self._first and self._rest == COPY_TRAILER
        if self._wrong_at is None and not complete:
            self._wrong_at = self._first + len(hashes)
        parts = [] if self._wrong_at is not None else list(self._parts())
        last = hashes[-1] if hashes else self._claimed_hash
        return Segment(
            self._first,
            self._end,
            self._claimed_hash,
            last,
            parts,
            self._wrong_at,
            tuple(self._gaps),
        )

    def _parts(self) -> list[tuple[int, list[Piece]]]:
        leaves = [sha256(LEAF_PREFIX + each).digest() for each in self._hashes]
        ends = sorted({cut for cut in self._cuts if self._first < cut < self._end} | {self._end})
        starts = [self._first, *ends]
        return [
            (end, pieces(start, leaves[start - self._first : end - self._first]))
            for start, end in zip(starts, ends, strict=False)
        ]


def pieces(first: int, leaves: Sequence[bytes]) -> list[Piece]:
    """Return the complete subtrees that leaf hashes from position `first` on consist of."""
    found = []
    taken = 0
    while taken < len(leaves):
        level = (len(leaves) - taken).bit_length() - 1
        position = first + taken
        if position:
            level = min(level, (position & -position).bit_length() - 1)
        found.append((level, subtree_hash(leaves[taken : taken + (1 << level)])))
        taken += 1 << level
    return found
