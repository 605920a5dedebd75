"""A checkpoint (C2SP tlog-checkpoint): the log had this size and this root.

    <origin>
    <size in decimal>
    <base64 of the root>

Signed as a note by a key whose name is the origin. Parsing is strict: exactly one text belongs to
a checkpoint, so a text that prints differently than it was read is refused.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import NamedTuple

from operations.audit import note as notes
from operations.audit.merkle import HASH_BYTES
from operations.audit.note import NoteError, SignerKey, VerifierKey

MAX_SIZE = 2**63
_MAX_DIGITS = 19


class Checkpoint(NamedTuple):
    """What a log commits to: its name, its size and its root."""

    origin: str
    size: int
    root: bytes

    def __str__(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse(text: str) -> Checkpoint:
    """Read the text of a checkpoint; raises NoteError unless it is exactly that.

    Extension lines (allowed by C2SP, not used by this log) are read and ignored.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop():
        raise NoteError("a checkpoint has three lines: origin, size and root")
    origin, size, root, *extensions = lines
    entries = parse_size(size)
    try:
        decoded = base64.b64decode(root.encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise NoteError(f"the root {root!r} is not base64") from error
    if not origin or len(decoded) != HASH_BYTES or not all(extensions):
        raise NoteError("a checkpoint needs an origin, a root of 32 bytes and no empty lines")
    checkpoint = Checkpoint(origin, entries, decoded)
    if "\n".join((*lines[:3], "")) != str(checkpoint):
        raise NoteError("the checkpoint is not written in its one canonical form")
    return checkpoint


def parse_size(text: str) -> int:
    """Read the size of a log: decimal, in one form only; raises NoteError."""
    digits = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
    if not digits or (text[0] == "0" and text != "0"):
        raise NoteError(f"{text[:40]!r} is not the size of a log")
    if int(text) >= MAX_SIZE:
        raise NoteError(f"a log has fewer than 2**63 entries, not {text}")
    return int(text)


def sign(checkpoint: Checkpoint, key: SignerKey) -> str:
    """Return the signed note of a checkpoint; the key must sign under the log's name."""
    if key.verifier.name != checkpoint.origin:
        raise NoteError(f"key {key.verifier.name!r} cannot sign for log {checkpoint.origin!r}")
    return key.sign(str(checkpoint))


def open_checkpoint(note: str, origin: str, known: Iterable[VerifierKey]) -> Checkpoint:
    """Return the checkpoint of a signed note; raises NoteError if it is not this log's."""
    checkpoint = parse(notes.open_note(note, known).text)
    if checkpoint.origin != origin:
        raise NoteError(f"the checkpoint is of log {checkpoint.origin!r}, not {origin!r}")
    return checkpoint
