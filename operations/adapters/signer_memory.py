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
        line = f"{signed_at_ns} {base64.b64encode(note.encode()).decode()}\n"
        _write(self.checkpoints, line.encode(), os.O_APPEND)

    def signed(self) -> list[tuple[int, str]]:
        """Return time and note of every signed checkpoint; a torn last line is left out."""
        try:
            lines = self.checkpoints.read_text().split("\n")[:-1]
        except FileNotFoundError:
            return []
        parted = [line.split(" ") for line in lines]
        return [(int(time), base64.b64decode(note).decode()) for time, note in parted]


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
