"""Is each check of the verifier needed? With any one of them taken out, an attack gets through.

A check is taken out by changing the source of the one function that holds it and putting the
changed function in its place: nothing else differs. "Gets through" means that some attack is not
found, not named or not placed as `test_auditor` demands.
"""

import inspect
import textwrap
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import pytest
from attacks import ATTACKS, ON_THE_TAIL, Attack
from attacks_on_trust import ON_KEYS, ON_THE_READ_MODEL
from logs import make_log
from support import Database
from tampering import missed, prepared

from operations.adapters import auditor, read_model, scanner
from operations.adapters.auditor import Auditor
from operations.adapters.signed_tree import SignedLeaves
from operations.audit import claims, diagnosis, note, rotation
from operations.audit.diagnosis import Diagnosis
from operations.audit.segment import SegmentScan

pytestmark = pytest.mark.integration
SEEDS = range(60)


class Check(NamedTuple):
    """A check: where it stands, its source, and what stands there without it."""

    owner: type | ModuleType
    function: str
    source: str
    without: str
    attacks: Sequence[str]


CHECKS = {
    "a row stands at its sequence": Check(
        SegmentScan, "feed", "sequence == own_sequence == expected", "own_sequence == expected",
        ["reorder_onto_another"]
    ),
    "an entry claims its sequence": Check(
        SegmentScan, "feed", "sequence == own_sequence == expected", "sequence == expected",
        ["misnumbered_tail"]
    ),
    "a stored hash is the hash of the entry": Check(
        SegmentScan,
        "feed",
        "buffer[stop + 4 : end] != previous",
        "False",
        ["edit_of_the_hash"],
    ),
    "no row is left over": Check(
        SegmentScan, "finish", " and self._rest == COPY_TRAILER", "", ["insertion_of_a_second_row"]
    ),
    "no row is missing": Check(
        SegmentScan,
        "finish",
        "complete = len(hashes) == self._end - self._first and",
        "complete =",
        ["truncation_of_the_tail"],
    ),
    "a segment without a fault is needed": Check(
        Auditor, "_recompute", "segment.wrong_at is not None", "False",
        ["edit_of_the_tail", "deletion_in_the_tail"],
    ),
    "the head claims no more than there is": Check(
        Auditor, "_recompute", "is_whole=end_of_log == size", "is_whole=True",
        ["head_moved_forward", "truncation"],
    ),
    "roots are compared with the signed ones": Check(
        claims, "compare", "if roots[size] == root:", "if True:", ["rewrite"]
    ),
    "a larger signature that holds shows a fork": Check(
        claims, "compare", "if differs is not None:", "if False:", ["fork_of_history"]
    ),
    "two roots of one size are a fork": Check(
        claims, "_forks", "!= root", "is None", ["fork_at_one_size"]
    ),
    "the newest signature must be reached": Check(
        Auditor, "_judge", "and agreed < newest.size", "and False", ["rewrite"]
    ),
    "a signature is verified": Check(
        note, "open_note", "if not valid(key, text, blob[4:]):", "if False:", ["broken_signature"]
    ),
    "a checkpoint is of this log": Check(
        rotation, "open_checkpoint", "checkpoint.origin != origin", "False",
        ["checkpoint_of_another_log"],
    ),
    "a retired key signs nothing new": Check(
        rotation, "open_checkpoint", "if not any(", "if False and not any(",
        ["checkpoint_of_a_retired_key"],
    ),
    "nothing stands beyond the head": Check(
        Auditor, "_judge", "await ledger.first_beyond(connected, size) is not None", "False",
        ["insertion_beyond_the_head"],
    ),
    "nothing stands before the first": Check(
        Auditor, "_judge", "await ledger.has_entries_before(connected)", "False",
        ["insertion_before_the_first"],
    ),
    "the head is there": Check(
        Auditor, "_judge", "(head is None or head.size < size)", "(head and head.size < size)",
        ["missing_head"],
    ),
    "the head was not moved back": Check(
        Auditor, "_judge", "(head is None or head.size < size)", "head is None",
        ["head_moved_back"],
    ),
    "the head is the last entry": Check(
        Auditor, "_judge", "not await _is_last(connected, head, log.last_hash)", "False",
        ["head_changed"],
    ),
    "the head holds the last hash": Check(
        auditor, "_is_last", "head.hash == last_hash", "True", ["head_changed"]
    ),
    "the head holds the place in the stream": Check(
        auditor, "_is_last", "last.stream_sequence == head.stream_sequence", "True",
        ["head_changed"],
    ),
    "a signed log without entries is missing": Check(
        Auditor, "_nothing_there", "if signed:", "if False:", ["missing_chain"]
    ),
    "signed leaves place a change": Check(
        SignedLeaves, "leaf", "if hashes is not None else None", "if False else None", ["rewrite"]
    ),
    "a tile is proven from above": Check(
        SignedLeaves, "_prove",
        "tiles.tile_hash(stored) == above[offset : offset + HASH_BYTES]", "True",
        ["rehashed_edit_with_the_tree"],
    ),
    "the edge gives the signed root": Check(
        SignedLeaves, "open", "and stored.root() == self._signed.root", "",
        ["rehashed_edit_with_the_tree"],
    ),
    "stored hashes that give the signed root are signed": Check(
        auditor, "_hashes_are_signed", "return False", "return True",
        ["rehashed_edit", "insertion"],
    ),
    "stored hashes help without a tree": Check(
        Diagnosis, "feed", "if signed is None and row", "if False and row", ["edit"]
    ),
    "rows under one sequence have no order": Check(
        auditor, "_hashes_are_signed",
        "await ledger.sequences_below(connected, newest.size) == newest.size", "True",
        ["reorder_onto_another"],
    ),
    "links place a change without a tree": Check(
        Diagnosis, "finish", "self._weigh()", "pass", ["rehashed_edit"]
    ),
    "the next row tells a wrong hash from a wrong entry": Check(
        diagnosis, "_compare", "seen.only_hash = link(seen.relinked, row.entry) == row.hash",
        "pass", ["edit_of_the_hash"],
    ),
    "null is not skipped": Check(
        scanner, "rows", 'row[1] or b""', "row[1]", ["edit_to_null"]
    ),
    "the read model is compared": Check(
        read_model, "first_drift", "if difference:", "if False:", ["drift_of_a_column"]
    ),
    "the read model has no row beyond": Check(
        read_model, "first_drift", "None if extra is None else", "None if True else",
        ["drift_by_an_added_row", "drift_of_the_position"],
    ),
    "the read model has a row once": Check(
        read_model, "_difference", "len(found) > 1", "False", ["drift_by_an_added_row"]
    ),
    "an excuse for missing data is tried": Check(
        read_model, "_is_refused", "    return False\n", "    return True\n",
        ["drift_behind_an_excuse"],
    ),
}  # fmt: skip

BY_NAME: dict[str, Attack] = {
    each.__name__: each for each in (*ATTACKS, *ON_KEYS, *ON_THE_READ_MODEL, *ON_THE_TAIL)
}


def take_out(monkeypatch: pytest.MonkeyPatch, check: Check) -> None:
    """Put the function without the check in the place of the one with it."""
    function = getattr(check.owner, check.function)
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(check.source) >= 1, f"{check.function} has no {check.source!r}"
    changed: dict[str, object] = {}
    code = compile(source.replace(check.source, check.without), f"<without {check.source}>", "exec")
    exec(code, function.__globals__, changed)
    monkeypatch.setattr(check.owner, check.function, changed[check.function])


async def gets_through(database: Database, names: Sequence[str]) -> list[str]:
    """Try attacks until one is not answered as it must be; return what was said instead."""
    # Small segments: the last one ends where the log does and holds no signed entry.
    projected = names[0].startswith("drift")
    log = await make_log(database, sizes=(100, 300, 523), unsigned=117, projected=projected)
    await prepared(log)
    for name in names:
        for first in range(0, len(SEEDS), 10):
            try:
                some = SEEDS[first : first + 10]
                wrong = await missed(log, BY_NAME[name], some, projection=projected)
            except (TypeError, ValueError, IndexError) as error:
                return [f"{name}: the verifier fails with {error!r}"]
            if wrong:
                return wrong
    return []


@pytest.mark.parametrize("name", CHECKS)
async def test_without_one_check_an_attack_gets_through(
    database: Database, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    check = CHECKS[name]
    take_out(monkeypatch, check)
    assert await gets_through(database, check.attacks)
