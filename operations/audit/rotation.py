"""How a log changes its key: the old key names the new one, from an exact size on.

    mts-audit/key-rotation/v1
    <origin>
    <size: the last that the old key signs>
    <public key, old>
    <public key, new>

A note signed by both keys. Whoever trusts any key of a log can follow these notes to all later
ones, and knows for each retired key up to which size its signature counts: a stolen retired key
signs nothing new.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from operations.audit import checkpoint as checkpoints
from operations.audit import note as notes
from operations.audit.checkpoint import Checkpoint
from operations.audit.note import NoteError, SignerKey, VerifierKey

MAGIC = "mts-audit/key-rotation/v1"


class Rotation(NamedTuple):
    """One change of key."""

    origin: str
    size: int
    old: VerifierKey
    new: VerifierKey

    def __str__(self) -> str:
        return f"{MAGIC}\n{self.origin}\n{self.size}\n{self.old}\n{self.new}\n"


class TrustedKeys(NamedTuple):
    """The keys of a log, and up to which size each retired one counts."""

    keys: tuple[VerifierKey, ...]
    last_size: Mapping[VerifierKey, int]

    def may_sign(self, key: VerifierKey, size: int) -> bool:
        """Say whether this key's signature counts at this size."""
        return size <= self.last_size.get(key, size)


def open_checkpoint(note: str, origin: str, trusted: TrustedKeys) -> Checkpoint:
    """Return the checkpoint that a key of this log signed while it might; raises NoteError."""
    opened = notes.open_note(note, trusted.keys)
    checkpoint = checkpoints.parse(opened.text)
    if checkpoint.origin != origin:
        raise NoteError(f"the checkpoint is of log {checkpoint.origin!r}, not {origin!r}")
    if not any(trusted.may_sign(key, checkpoint.size) for key in opened.signers):
        raise NoteError(f"a retired key signed size {checkpoint.size}, after it was replaced")
    return checkpoint


def sign(rotation: Rotation, old: SignerKey, new: SignerKey) -> str:
    """Return the note of a rotation, signed by both keys."""
    return old.sign(str(rotation)) + notes.signature_line(new, str(rotation))


def open_rotation(note: str, origin: str) -> Rotation:
    """Return a rotation that both its keys signed; raises NoteError otherwise."""
    text, _ = notes.split(note)
    lines = text.split("\n")
    if len(lines) != 6 or lines[0] != MAGIC or lines[1] != origin or not lines[2].isdigit():
        raise NoteError(f"this is not a key rotation of log {origin!r}")
    old, new = notes.parse_verifier(lines[3]), notes.parse_verifier(lines[4])
    if set(notes.open_note(note, [old, new]).signers) != {old, new}:
        raise NoteError("a key rotation is signed by the old key and by the new one")
    return Rotation(origin, int(lines[2]), old, new)


def follow(trusted: Iterable[VerifierKey], origin: str, rotations: Iterable[str]) -> TrustedKeys:
    """Extend trusted keys by the rotations that start from one of them, or lead to one.

    A note that is malformed, or has no trusted key, adds nothing. A key that came before a trusted
    one counts up to the size at which it was replaced, and never further than the key that says so.
    """
    keys = dict.fromkeys(trusted)
    last_size: dict[VerifierKey, int] = {}
    opened = list(_open_all(rotations, origin))
    for rotation in opened:
        if rotation.old in keys and rotation.old not in last_size:
            keys[rotation.new] = None
            last_size[rotation.old] = rotation.size
    for rotation in reversed(opened):
        if rotation.new in keys and rotation.old not in keys:
            keys[rotation.old] = None
            limit = last_size.get(rotation.new, rotation.size)
            last_size[rotation.old] = min(rotation.size, limit)
    return TrustedKeys(tuple(keys), last_size)


def _open_all(rotations: Iterable[str], origin: str) -> Iterator[Rotation]:
    for note in rotations:
        try:
            yield open_rotation(note, origin)
        except NoteError:
            continue
