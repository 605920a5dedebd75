"""What the signer knows on its own, on its own disk: how far it got and what it signed.

It is written and flushed before a signature leaves the process. So after any crash the memory is
at least as new as anything signed, and a signer whose memory is older than a published checkpoint
knows that it was rolled back and refuses to sign.
"""

import base64
import os
from pathlib import Path

import msgspec

from operations.audit.chain import Head
from operations.audit.tiles import Tiles
from operations.errors import Corrupted


class Memory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The signer's state: the log as it recomputed it, and the last checkpoint it signed."""

    origin: str
    size: int
    hash: bytes
    stream_sequence: int
    stream_created_ns: int
    previous_hash: bytes | None
    edge: tuple[bytes, ...]
    signed_size: int
    signed_root: bytes

    @property
    def head(self) -> Head:
        """How far the signer has recomputed the log."""
        return Head(self.size, self.hash, self.stream_sequence, self.stream_created_ns)

    def tiles(self) -> Tiles:
        """The right edge of the tree at this size."""
        return Tiles(self.size, self.edge)


class MemoryFile:
    """The signer's folder.

    It holds the memory, the append-only file of checkpoints, and, for a signer that lost its
    memory, a checkpoint that a person brought from elsewhere.
    """

    def __init__(self, folder: Path) -> None:
        self._memory = folder / "memory.json"
        self.trusted = folder / "trusted.txt"
        self.checkpoints = folder / "checkpoints.log"
        self._rotations = folder / "rotations.log"

    def load(self) -> Memory | None:
        """Return what was saved last; None if nothing ever was. Raises Corrupted."""
        try:
            return msgspec.json.decode(self._memory.read_bytes(), type=Memory)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, OSError) as error:
            raise Corrupted(
                f"the signer's memory {self._memory} cannot be read: {error}"
            ) from error

    def save(self, memory: Memory) -> None:
        """Replace the memory; on disk when this returns."""
        self._memory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._memory.with_suffix(".new")
        _write(fresh, msgspec.json.encode(memory), os.O_TRUNC)
        fresh.replace(self._memory)
        _flush_folder(self._memory.parent)

    def append(self, signed_at_ns: int, note: str) -> None:
        """Add a signed checkpoint to the append-only file: time in ns and note in base64."""
        _append(self.checkpoints, f"{signed_at_ns} {_one_line(note)}")

    def signed(self) -> list[tuple[int, str]]:
        """Return time and note of every signed checkpoint; a torn last line is left out."""
        parted = [line.split(" ") for line in _lines(self.checkpoints)]
        return [(int(time), base64.b64decode(note).decode()) for time, note in parted]

    def append_rotation(self, note: str) -> None:
        """Add a key rotation to the append-only file beside."""
        _append(self._rotations, _one_line(note))

    def rotations(self) -> list[str]:
        """Return every key rotation, oldest first."""
        return [base64.b64decode(line).decode() for line in _lines(self._rotations)]


def _one_line(note: str) -> str:
    return base64.b64encode(note.encode()).decode()


def _append(path: Path, line: str) -> None:
    _write(path, f"{line}\n".encode(), os.O_APPEND)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().split("\n")[:-1]
    except FileNotFoundError:
        return []


def _write(path: Path, data: bytes, flag: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | flag, 0o600)
    try:
        os.write(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)


def _flush_folder(folder: Path) -> None:
    """Make a rename in this folder survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
