"""How a log changes its key: the old key names the new one, from an exact size on.

    mts-audit/key-rotation/v1
    <origin>
    <size: the last that the old key signs>
    <public key, old>
    <public key, new>

A note signed by both keys, which bear the name of the log. Whoever trusts any key of a log can
follow these notes to all later ones, and knows for each retired key up to which size its
signature counts: a stolen retired key signs nothing new. They go with every proof and export.
"""

from collections.abc import Iterable, Mapping
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
    """The keys of a log, up to which size each retired one counts, and the notes that say so."""

    keys: tuple[VerifierKey, ...]
    last_size: Mapping[VerifierKey, int]
    rotations: tuple[str, ...] = ()

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
    if len(lines) != 6 or lines[0] != MAGIC or lines[1] != origin:
        raise NoteError(f"this is not a key rotation of log {origin!r}")
    old, new = notes.parse_verifier(lines[3]), notes.parse_verifier(lines[4])
    rotation = Rotation(origin, checkpoints.parse_size(lines[2]), old, new)
    if {old.name, new.name} != {origin} or str(rotation) != text:
        raise NoteError(f"the keys of log {origin!r} bear its name, and are written in one form")
    if set(notes.open_note(note, [old, new]).signers) != {old, new}:
        raise NoteError("a key rotation is signed by the old key and by the new one")
    return rotation


def follow(trusted: Iterable[VerifierKey], origin: str, rotations: Iterable[str]) -> TrustedKeys:
    """Extend trusted keys by the rotations that start from one of them, or lead to one.

    A note that is malformed, or has no trusted key, adds nothing. A key that came before a trusted
    one counts up to the size at which it was replaced, and never further than the key that says so.
    """
    keys = dict.fromkeys(trusted)
    last_size: dict[VerifierKey, int] = {}
    followed: set[Rotation] = set()
    opened = {found: note for note in rotations if (found := _opened(note, origin))}
    for rotation in opened:
        if rotation.old in keys and rotation.old not in last_size:
            keys[rotation.new] = None
            last_size[rotation.old] = rotation.size
            followed.add(rotation)
    for rotation in reversed(opened):
        if rotation.new in keys and rotation.old not in keys:
            keys[rotation.old] = None
            limit = last_size.get(rotation.new, rotation.size)
            last_size[rotation.old] = min(rotation.size, limit)
            followed.add(rotation)
    used = tuple(note for rotation, note in opened.items() if rotation in followed)
    return TrustedKeys(tuple(keys), last_size, used)


def _opened(note: str, origin: str) -> Rotation | None:
    try:
        return open_rotation(note, origin)
    except NoteError:
        return None


def join(rotations: Iterable[str]) -> str:
    """Return one text of many notes: a blank line stands between two."""
    return "\n".join(rotations)


def part(text: str) -> tuple[str, tuple[str, ...]]:
    """Split a text from the notes that follow it, each after a blank line. Nothing is checked."""
    before, *found = text.split(f"\n\n{MAGIC}\n")
    pieces = [before, *(f"{MAGIC}\n{each}" for each in found)]
    head, *rotations = [f"{each}\n" for each in pieces[:-1]] + pieces[-1:]
    return head, tuple(rotations)
