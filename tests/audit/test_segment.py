"""Does a segment come to what its rows are, however the bytes arrive, and is every fault seen?"""

import struct
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.audit import chain
from operations.audit.merkle import Frontier, leaf_hash
from operations.audit.segment import COPY_HEADER_BYTES, COPY_TRAILER, Segment, SegmentScan, pieces

pytestmark = pytest.mark.unit
ORIGIN = "mts.local/audit"
Row = tuple[int, bytes, bytes]


def rows(count: int, *, lost_before: int = -1) -> list[Row]:
    """A real log; one message is lost before the given stream sequence."""
    first = chain.first_entry(ORIGIN, "key", "MTS", 5)
    numbers = [n + (n > lost_before >= 0) for n in range(1, count)]
    deliveries = [
        (b"mts.v1.a.b", b"$JS.ACK.MTS.audit.1.%d.%d.%d.0" % (n, n, n), b"", b'{"n":%d}' % n)
        for n in numbers
    ]
    entries, hashes, head = list(first.entries), list(first.hashes), first.head
    while deliveries:
        sealed = chain.seal(head, deliveries, gap_is_real=True)
        entries += sealed.entries
        hashes += sealed.hashes
        head, deliveries = sealed.head, deliveries[sealed.taken :]
    return list(zip(range(len(entries)), entries, hashes, strict=True))


def copy_of(some: list[Row]) -> bytes:
    """Lay rows out as Postgres documents its binary COPY."""
    made = [bytes(COPY_HEADER_BYTES)]
    for sequence, entry, hash_ in some:
        made.append(struct.pack(">hiqi", 3, 8, sequence, len(entry)) + entry)
        made.append(struct.pack(">i", len(hash_)) + hash_)
    return b"".join(made) + COPY_TRAILER


def scan(
    some: list[Row], first: int, end: int, before: bytes, cuts: tuple[int, ...] = (), chunk: int = 0
) -> Segment:
    state = SegmentScan(first, end, before, cuts)
    data = copy_of(some)
    for at in range(0, len(data), chunk or len(data)):
        state.feed(data[at : at + (chunk or len(data))])
    return state.finish()


def root_of(segment: Segment) -> bytes:
    frontier = Frontier()
    for _, parts in segment.parts:
        for level, piece in parts:
            frontier.append(piece, level)
    return frontier.root()


LOG = rows(60)
BEFORE = sha256(b"mts-audit/genesis/v1\n" + ORIGIN.encode()).digest()


def expected_root(some: list[Row]) -> bytes:
    frontier = Frontier()
    for _, _, hash_ in some:
        frontier.append(leaf_hash(hash_))
    return frontier.root()


@given(chunk=st.integers(1, 4000), cuts=st.sets(st.integers(1, 59)))
def test_a_segment_is_the_same_however_its_bytes_arrive(chunk: int, cuts: set[int]) -> None:
    found = scan(LOG, 0, 60, BEFORE, tuple(sorted(cuts)), chunk)
    assert (found.wrong_at, found.last_hash) == (None, LOG[-1][2])
    assert [end for end, _ in found.parts] == [*sorted(cuts), 60]
    assert root_of(found) == expected_root(LOG)


@given(st.integers(0, 59), st.integers(1, 60))
def test_segments_join_to_the_whole(first: int, count: int) -> None:
    end = min(60, first + count)
    before = LOG[first - 1][2] if first else BEFORE
    found = scan(LOG[first:end], first, end, before)
    assert found.wrong_at is None
    frontier = Frontier()
    frontier.extend([leaf_hash(hash_) for _, _, hash_ in LOG[:first]])
    for level, piece in found.parts[0][1]:
        frontier.append(piece, level)
    assert frontier.root() == expected_root(LOG[:end])


@given(st.integers(0, 59), st.data())
def test_any_bit_of_a_row_that_changes_is_seen_where_it_is(at: int, data: st.DataObject) -> None:
    sequence, entry, hash_ = LOG[at]
    raw = bytearray(entry + hash_)
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    changed = (sequence, bytes(raw[: len(entry)]), bytes(raw[len(entry) :]))
    assert scan([*LOG[:at], changed, *LOG[at + 1 :]], 0, 60, BEFORE).wrong_at == at


@pytest.mark.parametrize(
    ("some", "wrong_at"),
    [
        (LOG[:-1], 59),
        ([], 0),
        (LOG[1:], 0),
        ([*LOG[:7], *LOG[8:]], 7),
        ([*LOG[:7], LOG[8], LOG[7], *LOG[9:]], 7),
        ([*LOG, LOG[59]], 60),
        ([*LOG, (59, b"", bytes(32))], 60),
        ([*LOG[:7], (7, b"", LOG[7][2]), *LOG[8:]], 7),
        ([*LOG[:59], (59, b"", LOG[59][2])], 59),
        ([(sequence + 1, entry, hash_) for sequence, entry, hash_ in LOG], 0),
    ],
)
def test_rows_that_are_missing_moved_added_or_cut_are_seen(some: list[Row], wrong_at: int) -> None:
    found = scan(some, 0, 60, BEFORE)
    assert found.wrong_at == wrong_at
    assert found.parts == []


def test_a_wrong_hash_before_the_segment_is_seen_at_its_first_row() -> None:
    assert scan(LOG[10:], 10, 60, bytes(32)).wrong_at == 10


def test_an_entry_that_claims_another_sequence_is_seen_though_its_hash_is_right() -> None:
    _, entry, _ = LOG[-1]
    entry = entry[:19] + (77).to_bytes(8) + entry[27:]
    last = (59, entry, sha256(LOG[-2][2] + entry).digest())
    assert scan([*LOG[:-1], last], 0, 60, BEFORE).wrong_at == 59


def test_gap_entries_are_counted_in_the_bytes_that_are_hashed() -> None:
    some = rows(40, lost_before=12)
    found = scan(some, 0, len(some), BEFORE)
    assert (found.wrong_at, found.gaps) == (None, (13,))
    assert scan(LOG, 0, 60, BEFORE).gaps == ()


@given(st.integers(0, 300), st.integers(1, 300))
def test_pieces_are_the_fewest_aligned_subtrees(first: int, count: int) -> None:
    found = pieces(first, [bytes([n % 251]) * 32 for n in range(count)])
    position = first
    for level, _ in found:
        assert position % (1 << level) == 0
        position += 1 << level
    assert position == first + count
    assert len(found) <= 2 * (first + count).bit_length()
