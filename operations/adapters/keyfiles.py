"""Keys of the log as files: the public one for everybody, the signing one for one process."""

from pathlib import Path

from operations.audit import note
from operations.audit.note import NoteError, SignerKey, VerifierKey
from operations.errors import Rejected


def read_public(path: Path) -> tuple[VerifierKey, ...]:
    """Return the public keys of a log, oldest first; one a line. Raises Rejected."""
    try:
        lines = path.read_text().split("\n")
        keys = tuple(note.parse_verifier(line) for line in lines if line.strip())
    except (OSError, NoteError, UnicodeDecodeError) as error:
        raise Rejected(
            f"cannot read the public key of the log in {path}: {error}; it was written when the "
            "log was created, and its owner publishes it"
        ) from error
    if not keys:
        raise Rejected(f"{path} holds no public key")
    return keys


def read_signer(path: Path) -> SignerKey:
    """Return the signing key of a log. Raises Rejected, also if others may read the file."""
    try:
        if path.stat().st_mode & 0o077:
            raise Rejected(f"{path} is readable by others; run `chmod 600 {path}`")
        return note.parse_signer(path.read_text())
    except (OSError, NoteError, UnicodeDecodeError) as error:
        raise Rejected(f"cannot read the signing key of the log in {path}: {error}") from error
