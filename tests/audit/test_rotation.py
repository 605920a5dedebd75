"""A log changes its key so that whoever trusts one key can follow to all others."""

import pytest

from operations.audit import checkpoint, note, rotation
from operations.audit.checkpoint import Checkpoint
from operations.audit.note import NoteError
from operations.audit.rotation import Rotation

pytestmark = pytest.mark.unit

ORIGIN = "example.org/log"
FIRST, SECOND, THIRD = (note.generate_key(ORIGIN) for _ in range(3))


def rotate(old, new, size, origin=ORIGIN):
    return rotation.sign(Rotation(origin, size, old.verifier, new.verifier), old, new)


def signed(key, size):
    return checkpoint.sign(Checkpoint(ORIGIN, size, bytes(32)), key)


CHAIN = [rotate(FIRST, SECOND, 100), rotate(SECOND, THIRD, 200)]


def test_who_trusts_the_first_key_follows_to_the_last() -> None:
    trusted = rotation.follow([FIRST.verifier], ORIGIN, CHAIN)
    assert trusted.keys == (FIRST.verifier, SECOND.verifier, THIRD.verifier)
    assert rotation.open_checkpoint(signed(THIRD, 999), ORIGIN, trusted).size == 999


def test_a_retired_key_counts_up_to_its_last_size_only() -> None:
    trusted = rotation.follow([FIRST.verifier], ORIGIN, CHAIN)
    assert rotation.open_checkpoint(signed(FIRST, 100), ORIGIN, trusted).size == 100
    with pytest.raises(NoteError, match="retired key"):
        rotation.open_checkpoint(signed(FIRST, 101), ORIGIN, trusted)


def test_a_rotation_that_starts_from_a_stranger_adds_nothing() -> None:
    stranger = note.generate_key(ORIGIN)
    trusted = rotation.follow([FIRST.verifier], ORIGIN, [rotate(stranger, SECOND, 5)])
    assert trusted.keys == (FIRST.verifier,)


def test_a_retired_key_cannot_name_a_second_successor() -> None:
    thief = note.generate_key(ORIGIN)
    trusted = rotation.follow([FIRST.verifier], ORIGIN, [*CHAIN, rotate(FIRST, thief, 300)])
    assert thief.verifier not in trusted.keys


@pytest.mark.parametrize("signer", [FIRST, SECOND])
def test_a_rotation_needs_both_signatures(signer) -> None:
    text = str(Rotation(ORIGIN, 7, FIRST.verifier, SECOND.verifier))
    with pytest.raises(NoteError):
        rotation.open_rotation(signer.sign(text), ORIGIN)


def test_a_rotation_of_another_log_is_refused() -> None:
    with pytest.raises(NoteError, match="not a key rotation of log"):
        rotation.open_rotation(rotate(FIRST, SECOND, 7, origin="example.org/other"), ORIGIN)


@pytest.mark.parametrize("size", ["-1", "1 ", "", "1e3"])
def test_a_rotation_with_another_kind_of_size_is_refused(size: str) -> None:
    text = str(Rotation(ORIGIN, 7, FIRST.verifier, SECOND.verifier)).replace("\n7\n", f"\n{size}\n")
    both = FIRST.sign(text) + note.signature_line(SECOND, text)
    with pytest.raises(NoteError):
        rotation.open_rotation(both, ORIGIN)
