"""What do signed checkpoints say, next to what the entries come to?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.audit import claims, rotation
from operations.audit.checkpoint import Checkpoint
from operations.audit.claims import Claim
from operations.audit.findings import Tampering
from operations.audit.note import generate_key

pytestmark = pytest.mark.unit
ORIGIN = "mts.local/audit"
KEY = generate_key(ORIGIN)
TRUSTED = rotation.follow([KEY.verifier], ORIGIN, [])


def root(size: int, fork: int = 0) -> bytes:
    return bytes([fork]) + size.to_bytes(31)


def signed(size: int, fork: int = 0) -> str:
    return KEY.sign(str(Checkpoint(ORIGIN, size, root(size, fork))))


def claim(size: int, fork: int = 0) -> Claim:
    return Claim(Checkpoint(ORIGIN, size, root(size, fork)), 1)


def test_what_the_key_signed_is_opened_smallest_first() -> None:
    opened = claims.open_all([(3, signed(9)), (1, signed(2)), (2, signed(5))], ORIGIN, TRUSTED)
    assert [(each.checkpoint.size, each.signed_at_ns) for each in opened.signed] == [
        (2, 1),
        (5, 2),
        (9, 3),
    ]
    assert opened.findings == []


@pytest.mark.parametrize(
    ("note", "size"),
    [
        (generate_key(ORIGIN).sign(str(Checkpoint(ORIGIN, 7, root(7)))), 7),
        (KEY.sign(str(Checkpoint("other/log", 8, root(8)))), 8),
        (signed(6).replace("\n6\n", "\n60\n"), 60),
        (KEY.sign("mts.local/audit\nmany\nroot\n"), 0),
        ("", 0),
        ("nonsense", 0),
    ],
)
def test_what_the_key_did_not_sign_for_this_log_is_a_misused_key(note: str, size: int) -> None:
    opened = claims.open_all([(1, note), (2, signed(3))], ORIGIN, TRUSTED)
    assert [each.checkpoint.size for each in opened.signed] == [3]
    assert [each[:2] for each in opened.findings] == [(Tampering.MISUSED_KEY, size)]


def test_a_retired_key_counts_up_to_its_last_size() -> None:
    new = generate_key(ORIGIN)
    change = rotation.Rotation(ORIGIN, 5, KEY.verifier, new.verifier)
    trusted = rotation.follow([KEY.verifier], ORIGIN, [rotation.sign(change, KEY, new)])
    later = new.sign(str(Checkpoint(ORIGIN, 6, root(6))))
    opened = claims.open_all([(1, signed(5)), (2, signed(6)), (3, later)], ORIGIN, trusted)
    assert [each.checkpoint.size for each in opened.signed] == [5, 6]
    assert [each[:2] for each in opened.findings] == [(Tampering.MISUSED_KEY, 6)]


def test_who_trusts_only_the_newest_key_accuses_none_of_the_older_ones() -> None:
    second, third = generate_key(ORIGIN), generate_key(ORIGIN)
    notes = [
        rotation.sign(rotation.Rotation(ORIGIN, 5, KEY.verifier, second.verifier), KEY, second),
        rotation.sign(rotation.Rotation(ORIGIN, 8, second.verifier, third.verifier), second, third),
    ]
    trusted = rotation.follow([third.verifier], ORIGIN, notes)
    made = [(1, signed(5)), (2, second.sign(str(Checkpoint(ORIGIN, 8, root(8)))))]
    made.append((3, third.sign(str(Checkpoint(ORIGIN, 9, root(9))))))
    assert claims.open_all(made, ORIGIN, trusted).findings == []
    late = claims.open_all([(1, signed(6))], ORIGIN, trusted)
    assert [each[:2] for each in late.findings] == [(Tampering.MISUSED_KEY, 6)]


def test_a_thief_of_a_retired_key_cannot_make_up_a_key_before_it() -> None:
    new, invented = generate_key(ORIGIN), generate_key(ORIGIN)
    real = rotation.sign(rotation.Rotation(ORIGIN, 5, KEY.verifier, new.verifier), KEY, new)
    made_up = rotation.Rotation(ORIGIN, 900, invented.verifier, KEY.verifier)
    invention = rotation.sign(made_up, invented, KEY)
    for notes in ([real, invention], [invention, real]):
        for known in ([new.verifier], [new.verifier, KEY.verifier]):
            trusted = rotation.follow(known, ORIGIN, notes)
            is_known = invented.verifier in trusted.keys
            assert not is_known or not trusted.may_sign(invented.verifier, 6)


def test_two_roots_of_one_size_are_a_fork_and_the_same_root_twice_is_none() -> None:
    notes = [(1, signed(4)), (2, signed(4)), (3, signed(7)), (4, signed(7, fork=1))]
    opened = claims.open_all(notes, ORIGIN, TRUSTED)
    assert len(opened.signed) == 4
    assert [each[:2] for each in opened.findings] == [(Tampering.FORK, 7)]


@given(st.sets(st.integers(1, 99), min_size=1), st.integers(0, 100))
def test_the_log_is_what_was_signed_up_to_the_last_root_that_agrees(
    sizes: set[int], good_to: int
) -> None:
    made = [claim(size, fork=size > good_to) for size in sorted(sizes)]
    roots = {size: root(size) for size in sizes}
    agreed, fork = claims.compare(made, roots)
    assert agreed == max((size for size in sizes if size <= good_to), default=0)
    assert fork is None


def test_a_larger_root_that_agrees_after_one_that_does_not_is_a_fork() -> None:
    made = [claim(2), claim(5, fork=1), claim(9)]
    agreed, fork = claims.compare(made, {size: root(size) for size in (2, 5, 9)})
    assert agreed == 2
    assert fork is not None
    assert fork[:2] == (Tampering.FORK, 2)


def test_a_size_without_a_recomputed_root_says_nothing() -> None:
    assert claims.compare([claim(2), claim(5)], {2: root(2)}) == (2, None)
    assert claims.compare([], {2: root(2)}) == (0, None)
