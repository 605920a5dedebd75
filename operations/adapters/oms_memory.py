"""What an order system must not forget when it is killed: one small file, flushed to the disk.

Halts that it obeys and that the stream may lack, the file HALT that somebody laid down, and what
was done once and must not be done twice. It is written before a cancel or an exit goes out, so
after any crash nothing is repeated; a halt is obeyed first and written then, because obeying must
not wait for a disk.
"""

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from operations.errors import Corrupted
from operations.events.halts import HaltReason, Level, Mode

HALTS_KEPT = 5_000  # whose deeds are remembered; commands expire long before as many more came


class HeardHalt(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A halt that is obeyed without being in the stream, as far as is known."""

    halt_id: str
    level: Level
    scope_id: str
    mode: Mode
    reason_code: HaltReason
    reason: str
    requested_by: str
    requested_at: str
    event_id: str


class FileHalt(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file HALT from when it was seen first until its halt is lifted.

    `present` says whether it lay there at the last look, so that a file that stays is one halt.
    """

    episode: str
    halt_id: str
    reason: str
    seen_at: str
    present: bool
    lifted: bool = False


class Memory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that is remembered. `done` holds the deeds of each halt id, each done once."""

    stream_created_ns: int = 0
    heard: tuple[HeardHalt, ...] = ()
    file: FileHalt | None = None
    blocking: tuple[str, ...] = ()
    done: dict[str, tuple[str, ...]] = {}


class MemoryFile:
    """The memory in its file. `now` is what was read or saved last."""

    def __init__(self, path: Path) -> None:
        """Read what was saved; raises Corrupted when it cannot be read."""
        self._path = path
        try:
            self.now = msgspec.json.decode(path.read_bytes(), type=Memory)
        except FileNotFoundError:
            self.now = Memory()
        except (msgspec.DecodeError, OSError) as error:
            raise Corrupted(
                f"the memory of the order system in {path} cannot be read: {error}; what it did "
                "for which halt is unknown, so a person has to look before it starts"
            ) from error

    def save(self, memory: Memory) -> None:
        """Replace the memory; on the disk when this returns. The same memory costs nothing."""
        if memory == self.now:
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(handle, msgspec.json.encode(memory))
            os.fsync(handle)
        finally:
            os.close(handle)
        fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.now = memory

    def change(self, **changes: object) -> None:
        """Save the memory with some fields changed."""
        self.save(msgspec.structs.replace(self.now, **changes))

    def was_done(self, halt_id: str, deed: str) -> bool:
        """Whether something was begun for a halt, in this run or an earlier one."""
        return deed in self.now.done.get(halt_id, ())

    def do_once(self, halt_id: str, deed: str) -> bool:
        """Note that something is about to be done; False when it was done or begun before."""
        if self.was_done(halt_id, deed):
            return False
        known = dict(self.now.done)
        known[halt_id] = (*known.pop(halt_id, ()), deed)
        while len(known) > HALTS_KEPT:
            del known[next(iter(known))]
        self.change(done=known)
        return True
