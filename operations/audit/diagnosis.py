"""Something is wrong with the log: what was done to it, and where does it begin?

Asked only after a scan found a difference. The answer compares three things for each row: the
sequence it stands at against the one its bytes claim, its stored hash against the hash of its
bytes, and its stored hash against the leaf that a signed checkpoint commits to (`signed_leaf`,
None where no signature reaches). The first row that differs decides the class, together with what
follows it.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from operations.audit.entry import link, sequence_of
from operations.audit.findings import AuditFinding, Tampering
from operations.audit.merkle import leaf_hash

SignedLeaf = Callable[[int], bytes | None]
"""Return the leaf hash that a signature commits to for a sequence, or None if none does."""


class LogRow(NamedTuple):
    """A row as it lies in the database."""

    sequence: int
    entry: bytes
    hash: bytes


class _Seen:
    """The first difference of each kind, -1 where there was none, and what follows from all."""

    def __init__(self, first: int) -> None:
        self.missing = -1  # a sequence has no row
        self.doubled = -1  # a sequence has two rows
        self.moved = -1  # the bytes claim another sequence, and are signed for that one
        self.misnumbered = -1  # the bytes claim a sequence that no row of theirs has
        self.added = -1  # the row after which every row stands one further than it claims
        self.unlinked = -1  # the stored hash is not the hash of the bytes
        self.relinked = b""  # what the hash of that row would be
        self.follows_proven = True  # the hash before that row is known to be the signed one
        self.only_hash = False  # the row after it follows from what its hash would be
        self.unsigned = -1  # the stored hash is not the signed one
        self.resigned = -1  # after an unsigned one, a row agrees with the signature again
        self.proven_to = first  # one past the last row whose hash is known to be signed
        self.beyond = False  # there are rows at or after the size of the log
        self.last_claim = 0  # what the last row claims to be, minus the place it stands at
        self.claims = 0  # the sum of such differences, and of their squares: both are 0 when
        self.claims_squared = 0  # rows only changed places
        self.end = first  # one past the last row


class Diagnosis:
    """Feed it the rows from `first` on, sorted; then `finish`.

    `size` is how many entries the log must have: the larger of what its head (with `head_hash`)
    and its newest signature (at `signed_size`) say. `hashes_are_signed` says whether the stored
    hashes, whatever the entries are, give the signed root: then each of them is the signed one,
    also where no leaf is known.
    """

    def __init__(
        self,
        first: int,
        size: int,
        hash_before: bytes,
        signed_leaf: SignedLeaf,
        *,
        signed_size: int,
        hashes_are_signed: bool,
        head_hash: bytes,
    ) -> None:
        self._first = first
        self._size = size
        self._previous = hash_before
        self._signed_leaf = signed_leaf
        self._signed_size = signed_size
        self._hashes_signed_to = signed_size if hashes_are_signed else 0
        self._head_hash = head_hash
        self._seen = _Seen(first)

    def feed(self, rows: Iterable[LogRow]) -> None:
        """Look at the next rows."""
        for row in rows:
            if row.sequence >= self._size and sequence_of(row.entry) >= self._size:
                self._seen.beyond = True
                return
            signed = self._signed_leaf(row.sequence)
            if signed is None and row.sequence == self._seen.end < self._hashes_signed_to:
                signed = leaf_hash(row.hash)
            self._place(row, signed)
            _compare(self._seen, row, self._previous, signed)
            self._previous = row.hash

    def _place(self, row: LogRow, signed: bytes | None) -> None:
        """Note whether a row stands where it belongs."""
        seen, at, own = self._seen, row.sequence, sequence_of(row.entry)
        if at > seen.end and seen.missing < 0:
            seen.missing = seen.end
        if at < seen.end and seen.doubled < 0:
            seen.doubled = at
        seen.end = at + 1
        seen.last_claim = 0
        leaf, signed_there = leaf_hash(row.hash), self._signed_leaf(own)
        unknown = signed_there is None and leaf != signed and 0 <= own <= self._size
        if own != at and (signed_there == leaf or unknown):
            seen.moved = at if seen.moved < 0 else seen.moved
            if own == at - 1 and seen.added < 0:
                seen.added = at if row.hash == self._previous else own
            seen.last_claim = own - at
            seen.claims += own - at
            seen.claims_squared += own * own - at * at
        elif own != at and seen.misnumbered < 0:
            seen.misnumbered = at

    def finish(self) -> AuditFinding | None:
        """Return class and place of the first change; None if these rows are what they must be."""
        seen, first, size = self._seen, self._first, self._size
        if seen.end <= first < size:
            if first:
                detail = f"no entries from {first} to {size - 1}"
                return _found(Tampering.TRUNCATION, first, detail)
            return _found(Tampering.MISSING_CHAIN, 0, f"none of the {size} entries is there")
        if seen.end < size and seen.doubled >= 0 and seen.moved >= 0 and seen.missing < 0:
            seen.missing = seen.end  # the last row was moved onto another, so nothing follows it
        self._weigh()
        return _classify(seen, size)

    def _weigh(self) -> None:
        """Where no leaf is known, judge by the links around the row that breaks the chain.

        A wrong hash alone breaks two links, and what it should be fits the next row (or the head).
        An entry changed together with its hash breaks one link only, that of the row after it.
        """
        seen = self._seen
        before = seen.unlinked - 1
        if seen.unlinked + 1 == seen.end and self._head_hash == seen.relinked:
            seen.only_hash = True
        doubtful = not seen.follows_proven and not seen.only_hash
        if doubtful and 0 <= before < self._signed_size and not 0 <= seen.unsigned <= before:
            seen.unsigned = before


def _compare(seen: _Seen, row: LogRow, previous: bytes, signed: bytes | None) -> None:
    """Note whether a row follows from the one before, and whether it is what was signed."""
    at, leaf = row.sequence, leaf_hash(row.hash)
    linked = link(previous, row.entry)
    if linked != row.hash and seen.unlinked < 0:
        seen.unlinked, seen.relinked = at, linked
        seen.follows_proven = seen.proven_to == at
    elif 0 <= seen.unlinked == at - 1:
        seen.only_hash = link(seen.relinked, row.entry) == row.hash
    if signed is not None and leaf != signed and seen.unsigned < 0:
        seen.unsigned = at
    if leaf == signed:
        if 0 <= seen.unsigned < at and seen.resigned < 0:
            seen.resigned = at
        if seen.unsigned < 0:
            seen.proven_to = at + 1


def _classify(  # noqa: C901, PLR0911 (one return for each class)
    seen: _Seen, size: int
) -> AuditFinding | None:
    if seen.doubled >= 0 and seen.missing < 0:
        return _found(Tampering.INSERTION, seen.doubled, "two rows have this sequence")
    if seen.moved >= 0:
        return _moved(seen)
    if seen.missing >= 0:
        return _found(Tampering.DELETION, seen.missing, "the row with this sequence is gone")
    if seen.unsigned >= 0 and seen.unsigned != seen.unlinked:
        if seen.resigned >= 0 or seen.unlinked >= 0:
            detail = "entry and hash were changed together; the chain breaks at the next entry"
            return _found(Tampering.REHASHED_EDIT, seen.unsigned, detail)
        detail = "from here on the log agrees with itself, but it is not the one that was signed"
        if seen.proven_to < seen.unsigned:
            detail = f"between here and {seen.unsigned} begins a log that is not the signed one"
        return _found(Tampering.REWRITE, seen.proven_to, detail)
    if seen.unlinked >= 0:
        return _found(Tampering.EDIT, seen.unlinked, "the stored hash is not the hash of the entry")
    if seen.misnumbered >= 0:
        return _found(Tampering.EDIT, seen.misnumbered, "the entry claims another sequence")
    if seen.end < size:
        detail = f"the log must have {size} entries and ends here"
        return _found(Tampering.TRUNCATION, seen.end, detail)
    if seen.beyond:
        detail = "a row stands beyond the head of the log; the sealer never wrote it"
        return _found(Tampering.INSERTION, size, detail)
    return None


def _moved(seen: _Seen) -> AuditFinding:
    if seen.missing >= 0:
        detail = "rows of the log were given other sequences"
        return _found(Tampering.REORDER, min(seen.missing, seen.moved), detail)
    places_only = seen.claims == 0 and seen.claims_squared == 0
    if not places_only and seen.last_claim == 1:
        detail = "the row is gone and later rows were renumbered"
        return _found(Tampering.DELETION, seen.moved, detail)
    if not places_only and seen.last_claim == -1:
        detail = "a row was added and later rows were renumbered"
        return _found(Tampering.INSERTION, seen.added, detail)
    return _found(Tampering.REORDER, seen.moved, "the row here is another entry of the log")


def _found(tampering: Tampering, sequence: int, detail: str) -> AuditFinding:
    return AuditFinding(tampering, sequence, detail)
