"""Is each way of changing a log told apart, with and without the leaves that were signed?

`tests/adapters/test_auditor.py` does the same on real databases, by the thousand; this is the rule
alone, on small logs, exhaustively.
"""

from collections.abc import Callable

import pytest

from operations.audit import chain
from operations.audit.diagnosis import Diagnosis, LogRow
from operations.audit.entry import decode, encode, genesis_hash, link
from operations.audit.findings import Tampering
from operations.audit.merkle import leaf_hash

pytestmark = pytest.mark.unit
ORIGIN = "mts.local/audit"
SIZE = 12
SIGNED = 10


def original() -> list[LogRow]:
    first = chain.first_entry(ORIGIN, "key", "MTS", 5)
    deliveries = [
        (b"mts.v1.a.b", b"$JS.ACK.MTS.audit.1.%d.%d.%d.0" % (n, n, n), b"", b'{"n":%d}' % n)
        for n in range(1, SIZE)
    ]
    sealed = chain.seal(first.head, deliveries)
    entries, hashes = first.entries + sealed.entries, first.hashes + sealed.hashes
    return [LogRow(n, *pair) for n, pair in enumerate(zip(entries, hashes, strict=True))]


LOG = original()
LEAVES = [leaf_hash(row.hash) for row in LOG]


def diagnose(
    rows: list[LogRow], size: int = SIZE, *, tree: bool = True, head_hash: bytes = LOG[-1].hash
) -> tuple[str, int] | None:
    """Return class and sequence; without a tree no leaf is known."""

    def leaf(sequence: int) -> bytes | None:
        return LEAVES[sequence] if tree and 0 <= sequence < SIGNED else None

    stored = [row.hash for row in rows if row.sequence < SIGNED]
    are_signed = [row.sequence for row in rows][: len(stored)] == list(range(SIGNED))
    are_signed = are_signed and [leaf_hash(each) for each in stored] == LEAVES[:SIGNED]
    look = Diagnosis(
        0, size, genesis_hash(ORIGIN), leaf,
        signed_size=SIGNED, hashes_are_signed=are_signed, head_hash=head_hash,
    )  # fmt: skip
    look.feed(sorted(rows, key=lambda row: row.sequence))
    found = look.finish()
    return found and (str(found.tampering), found.sequence)


def changed(row: LogRow) -> bytes:
    return encode(decode(row.entry)._replace(data=b"forged"))


def renumbered(rows: list[LogRow], by: int) -> list[LogRow]:
    return [row._replace(sequence=row.sequence + by) for row in rows]


def relinked(rows: list[LogRow], at: int) -> list[LogRow]:
    """Change an entry and hash everything after it again."""
    made, previous = list(rows[:at]), rows[at - 1].hash
    for row in rows[at:]:
        entry = changed(row) if row.sequence == at else row.entry
        previous = link(previous, entry)
        made.append(LogRow(row.sequence, entry, previous))
    return made


def edit(at: int) -> list[LogRow]:
    return [row._replace(entry=changed(row)) if row.sequence == at else row for row in LOG]


def wrong_hash(at: int) -> list[LogRow]:
    return [row._replace(hash=bytes(32)) if row.sequence == at else row for row in LOG]


def rehashed(at: int) -> list[LogRow]:
    return [*LOG[:at], relinked(LOG, at)[at], *LOG[at + 1 :]]


def deletion(at: int) -> list[LogRow]:
    return [*LOG[:at], *LOG[at + 1 :]]


def deletion_renumbered(at: int) -> list[LogRow]:
    return [*LOG[:at], *renumbered(LOG[at + 1 :], -1)]


def insertion(at: int) -> list[LogRow]:
    entry = encode(decode(LOG[at].entry)._replace(data=b"added"))
    added = LogRow(at, entry, link(LOG[at - 1].hash, entry))
    return [*LOG[:at], added, *renumbered(LOG[at:], 1)]


def swap(at: int) -> list[LogRow]:
    one, two = LOG[at], LOG[at + 1]
    return [*LOG[:at], two._replace(sequence=at), one._replace(sequence=at + 1), *LOG[at + 2 :]]


def truncation(at: int) -> list[LogRow]:
    return LOG[:at]


def moved_away(at: int) -> list[LogRow]:
    return [*LOG[:at], *LOG[at + 1 :], LOG[at]._replace(sequence=SIZE + 5)]


def test_rows_that_are_what_they_must_be_have_no_diagnosis() -> None:
    assert diagnose(LOG) is None
    assert diagnose(LOG, tree=False) is None


@pytest.mark.parametrize("tree", [True, False])
@pytest.mark.parametrize(
    ("attack", "name"),
    [
        (edit, "edit"),
        (wrong_hash, "edit"),
        (rehashed, "rehashed edit"),
        (deletion, "deletion"),
        (deletion_renumbered, "deletion"),
        (insertion, "insertion"),
        (swap, "reorder"),
        (moved_away, "reorder"),
        (truncation, "truncation"),
    ],
)
def test_each_change_is_named_and_placed_wherever_it_is(
    attack: Callable[[int], list[LogRow]], name: str, tree: bool
) -> None:
    for at in range(1, SIGNED - 1):
        assert diagnose(attack(at), tree=tree) == (name, at), at


@pytest.mark.parametrize("at", range(1, SIGNED))
def test_a_rewrite_is_placed_by_the_leaves(at: int) -> None:
    rows = relinked(LOG, at)
    assert diagnose(rows, head_hash=rows[-1].hash) == ("rewrite", at)
    assert diagnose(rows, head_hash=rows[-1].hash, tree=False) is None, "only its root differs"


def test_the_last_row_of_all_is_judged_by_the_head() -> None:
    rows = LOG[:SIGNED]
    wrong = [*rows[:-1], rows[-1]._replace(hash=bytes(32))]
    assert diagnose(wrong, SIGNED, tree=False, head_hash=rows[-1].hash) == ("edit", SIGNED - 1)
    before = [*rows[:-2], relinked(LOG, SIGNED - 2)[SIGNED - 2], rows[-1]]
    found = diagnose(before, SIGNED, tree=False, head_hash=rows[-1].hash)
    assert found == ("rehashed edit", SIGNED - 2)


def test_no_rows_at_all_are_a_missing_chain_and_none_after_a_start_a_truncation() -> None:
    assert diagnose([]) == ("missing chain", 0)
    late = Diagnosis(
        5, SIZE, LOG[4].hash, lambda _: None,
        signed_size=SIGNED, hashes_are_signed=False, head_hash=LOG[-1].hash,
    )  # fmt: skip
    found = late.finish()
    assert found is not None
    assert found[:2] == (Tampering.TRUNCATION, 5)


def test_rows_beyond_the_head_and_two_rows_of_one_sequence_are_insertions() -> None:
    assert diagnose(LOG, SIZE - 1, head_hash=LOG[-2].hash) == ("insertion", SIZE - 1)
    assert diagnose([*LOG[:5], LOG[4], *LOG[5:]]) == ("insertion", 4)


@pytest.mark.parametrize("tree", [True, False])
@pytest.mark.parametrize("at", [2, SIGNED - 1, SIZE - 1])
def test_a_row_moved_onto_the_one_before_is_a_reorder_there_also_at_the_end(
    at: int, *, tree: bool
) -> None:
    rows = [*LOG[:at], LOG[at]._replace(sequence=at - 1), *LOG[at + 1 :]]
    assert diagnose(rows, tree=tree) == ("reorder", at - 1)


def test_an_entry_that_claims_another_place_is_an_edit() -> None:
    entry = encode(decode(LOG[-1].entry)._replace(sequence=99))
    hash_ = link(LOG[-2].hash, entry)
    rows = [*LOG[:-1], LogRow(SIZE - 1, entry, hash_)]
    assert diagnose(rows, head_hash=hash_) == ("edit", SIZE - 1)
    assert diagnose([row._replace(entry=b"") if row.sequence == 3 else row for row in LOG]) == (
        "edit",
        3,
    )
