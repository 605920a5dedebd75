"""Does a range prove itself without the rest of the log, and only as it was exported?"""

import json

import pytest
from audit_logs import KEY, ORIGIN, OTHER_KEY, SimulatedLog, deliveries, sample_log
from hypothesis import given
from hypothesis import strategies as st

from operations.audit import chain, export
from operations.audit import entry as entries
from operations.audit.entry import Entry

pytestmark = pytest.mark.unit

KNOWN = [KEY.verifier]
LOG = sample_log()
SIZE = LOG.size
FIRST, END = 55, 100


def check(first=FIRST, end=END, size=SIZE, text=None, frames=None, note=None):
    return export.check(
        LOG.range(first, end, size) if text is None else text,
        [LOG.frames(first, end) if frames is None else frames],
        note or LOG.note(size),
        ORIGIN,
        KNOWN,
    )


def refused(reason, **changed):
    with pytest.raises(ValueError, match=reason):
        check(**changed)


def described(**changed):
    """Return range.json with values replaced, or removed where the new one is None."""
    fields = {**json.loads(LOG.range(FIRST, END, SIZE)), **changed}
    return json.dumps({name: value for name, value in fields.items() if value is not None})


@given(st.data())
def test_any_range_of_any_size_proves_itself(draw):
    size = draw.draw(st.integers(1, SIZE))
    first = draw.draw(st.integers(0, size - 1))
    end = draw.draw(st.integers(first + 1, size))
    proven, signed = check(first, end, size)
    assert (proven.first, proven.end, signed.size) == (first, end, size)


def test_every_range_of_a_small_log_proves_itself():
    for size in (1, 2, 3, 8, 17):
        for first in range(size):
            for end in range(first + 1, size + 1):
                check(first, end, size)


def test_entries_may_arrive_in_pieces_of_any_size():
    data = LOG.frames(FIRST, END)
    text, note = LOG.range(FIRST, END, SIZE), LOG.note(SIZE)
    for width in (1, 3, 4, 100, len(data)):
        pieces = [data[start : start + width] for start in range(0, len(data), width)]
        export.check(text, pieces, note, ORIGIN, KNOWN)
        assert list(export.unframe(pieces)) == LOG.entries[FIRST:END]


@given(st.integers(0, 300), st.integers(0, 300))
def test_subtrees_cover_a_range_once_and_fit(start, width):
    position = start
    for level, index in export.subtrees(start, start + width):
        assert index << level == position
        position += 1 << level
    assert position == start + width


def test_a_bundle_needs_about_two_hashes_per_level():
    width = 1 << 40
    hashes = export.describe(
        ORIGIN, width + 12_345, width + 99_999, 2 * width + 7, bytes(32), lambda *_: bytes(32)
    )
    assert len(hashes.left) + len(hashes.right) < 80


def test_an_edit_insertion_deletion_or_reorder_is_refused():
    entry = entries.decode(LOG.entries[70])
    edited = entries.encode(entry._replace(headers=entry.headers + b"x"))
    kept = LOG.entries[FIRST:END]
    place = 70 - FIRST
    for reason, changed in (
        ("do not lead to the signed root", [*kept[:place], edited, *kept[place + 1 :]]),
        ("after entry 69 comes 71", [*kept[:place], *kept[place + 1 :]]),
        ("after entry 70 comes 70", [*kept[: place + 1], *kept[place:]]),
        ("after entry 69 comes 71", [*kept[:place], kept[place + 1], kept[place]]),
        ("the entries end at 99, the range at 100", kept[:-1]),
        ("after entry 99 comes 100", [*kept, LOG.entries[END]]),
        ("after entry 54 comes 56", kept[1:]),
        ("the entries end at 55", []),
    ):
        refused(reason, frames=b"".join(map(export.frame, changed)))


def test_every_byte_of_the_entries_counts():
    data = LOG.frames(70, 73)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        refused(".", first=70, end=73, frames=bytes(changed))


def test_entries_that_are_cut_off_are_refused():
    data = LOG.frames(FIRST, END)
    for cut in (1, 3, 5, len(data) - 2):
        refused("ends inside an entry|the entries end at", frames=data[:-cut])
    refused("ends inside an entry", frames=data + b"\x00")


def test_what_ties_the_range_to_the_tree_counts():
    good = json.loads(described())
    left, right = good["left"], good["right"]
    zero = bytes(32).hex()
    root = "do not lead to the signed root"
    for reason, text in (
        (root, described(previous_hash=zero)),
        (root, described(left=[zero, *left[1:]])),
        (root, described(left=left[::-1])),
        (root, described(right=[*right[:-1], [right[-1][0], zero]])),
        (root, described(right=right[:-1])),
        ("does not fit at size|do not lead", described(right=right[1:])),
        ("does not fit at size|do not lead", described(right=right[::-1])),
        (root, described(right=[*right, [0, zero]])),
        ("needs 5 hashes, not 4", described(left=left[1:])),
        ("needs 5 hashes, not 6", described(left=[*left, zero])),
        ("after entry 53 comes 55", described(first=54, left=left[1:])),
        ("after entry 55 comes 55", described(first=56, left=left[:3])),
        ("the range at 101", described(end=101)),
        ("after entry 98 comes 99", described(end=99)),
        ("are no range of a log", described(end=SIZE + 1)),
        ("are no range of a log", described(end=FIRST)),
        ("is of log 'another'", described(origin="another")),
    ):
        refused(reason, text=text)


def test_what_is_not_range_json_is_refused():
    for text in (
        "",
        "[]",
        "{",
        "null",
        "\ud800",
        described(format="mts-audit/range/v2"),
        described(format=None),
        described(extra=1),
        described(first=-1),
        described(first="55"),
        described(first=55.5),
        described(first=2**63),
        described(end=None),
        described(left=None),
        described(left=["zz"]),
        described(left=[bytes(31).hex()]),
        described(left=[bytes(32).hex().upper() + "\n"]),
        described(right=[[63, bytes(32).hex()]]),
        described(right=[[-1, bytes(32).hex()]]),
        described(right=[bytes(32).hex()]),
        described(previous_hash="A" * 64),
    ):
        refused("range.json is not mts-audit/range/v1", text=text)


def test_only_a_checkpoint_of_a_known_key_counts():
    refused("none of the known keys", note=LOG.note(SIZE, OTHER_KEY))
    refused("do not lead to the signed root", note=LOG.note(SIZE - 1))
    refused("are no range of a log of 99 entries", note=LOG.note(END - 1))
    with pytest.raises(ValueError, match=r"is of log 'example.com/audit', not 'another'"):
        export.check(LOG.range(0, 1, 1), [LOG.frames(0, 1)], LOG.note(1), "another", KNOWN)


def test_a_whole_rewritten_log_is_refused():
    forged = SimulatedLog(key=OTHER_KEY)
    forged.seal(deliveries(SIZE - 1, seed=9))
    text = forged.range(FIRST, END, SIZE)
    refused("do not lead to the signed root", text=text, frames=forged.frames(FIRST, END))
    refused("none of the known keys", text=text, note=forged.note(SIZE))


def test_the_range_from_0_starts_from_the_genesis_hash():
    text = LOG.range(0, 5, SIZE).replace(entries.genesis_hash(ORIGIN).hex(), bytes(32).hex())
    refused("genesis hash", first=0, end=5, text=text)


def test_an_empty_or_impossible_range_is_not_exported():
    for first, end, size in ((5, 5, 9), (6, 5, 9), (-1, 5, 9), (5, 10, 9)):
        with pytest.raises(ValueError, match="are no range of a log"):
            export.describe(ORIGIN, first, end, size, bytes(32), LOG.node)


def test_a_range_longer_than_what_is_folded_at_once_proves_itself(monkeypatch):
    for at_once in (1, 7, 45, 46):
        monkeypatch.setattr(export, "_LEAVES_AT_ONCE", at_once)
        check()


def test_a_signed_entry_whose_names_do_not_follow_is_refused():
    log = SimulatedLog()
    log.seal(deliveries(5))
    log.entries[5] = entries.encode(entries.decode(log.entries[5])._replace(actor=b"mallory"))
    log.hashes[5] = entries.link(log.previous(5), log.entries[5])
    with pytest.raises(ValueError, match=r"entry 5 names .*mallory.*, its message says"):
        export.check(log.range(1, 6, 6), [log.frames(1, 6)], log.note(6), ORIGIN, KNOWN)


def test_messages_that_are_missing_without_a_gap_entry_are_refused_even_when_signed():
    log = SimulatedLog()
    log.seal(deliveries(5))
    log.add(chain.seal(log.head._replace(stream_sequence=6), deliveries(3, first=7)))
    with pytest.raises(ValueError, match="no gap entry says what is missing"):
        export.check(log.range(1, 8, 9), [log.frames(1, 8)], log.note(9), ORIGIN, KNOWN)


def test_a_gap_entry_must_say_what_is_missing():
    before = Entry(5, 10, 0, b"mts.v1.a", b"", b"", b"", b"", b"")
    gap = Entry(
        6, 14, 0, chain.GAP, b"audit", chain.GAP, chain.GAP, b"",
        b'{"first_missing":11,"last_missing":14}',
    )  # fmt: skip
    export.check_order(before, gap)
    for wrong in (
        gap._replace(stream_sequence=15),
        gap._replace(stream_sequence=10),
        gap._replace(data=b'{"first_missing":12,"last_missing":14}'),
        gap._replace(data=b""),
        gap._replace(stream_sequence=10, data=b'{"first_missing":11,"last_missing":10}'),
        gap._replace(subject=b"mts.v1.b"),
    ):
        with pytest.raises(ValueError, match="no gap entry says"):
            export.check_order(before, wrong)
    export.check_order(before, gap._replace(subject=chain.ADOPTED, stream_sequence=3))
