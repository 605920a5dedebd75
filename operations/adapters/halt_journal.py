"""What a halt worker has decided, on its own disk: no halt is lost because a stream lost it.

One file of lines, written in the order of events: a halt that was requested, or one that is over.
A line is in the system's cache before the halt is published, so that a killed process has it, and
on the disk soon after, so that a dead machine has it. Halts wait for neither the disk nor the
stream. What is not over is published again after every start until the stream has it.
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self
from zlib import crc32

import msgspec
from msgspec import Struct

from operations.adapters.credentials import private_folder, write_private
from operations.errors import Retryable


class Decided(Struct, frozen=True):
    """A requested halt: its subject and payload as published."""

    halt_id: str
    event_id: str
    subject: str
    payload: str


class Line(Struct, frozen=True, omit_defaults=True):
    """One line: a halt that was requested, or the id of one that is over."""

    requested: Decided | None = None
    lifted: str = ""


class HaltJournal:
    """The requested halts that are not over, by halt id and event id. One process may hold it."""

    def __init__(self, folder: Path, name: str) -> None:
        """Read what is there. Raises Retryable while another process holds it."""
        private_folder(folder)
        self._path = folder / f"{name}.journal"
        self._lock = (folder / f"{name}.lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise Retryable(f"another process holds the journal {self._path}") from error
        self.active: dict[str, dict[str, Decided]] = {}
        self.damaged = 0  # lines that could not be read: torn by a crash, or changed
        self.synced = True  # whether everything is on the disk
        self._read()
        self._compact()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put everything on the disk and let another process have it."""
        self.sync()
        os.close(self._file)
        self._lock.close()

    def request(self, decided: Decided) -> bool:
        """Remember a halt; returns whether it was new. It is on the disk after `sync`."""
        known = self.active.setdefault(decided.halt_id, {})
        if decided.event_id in known:
            return False
        known[decided.event_id] = decided
        self._append(Line(requested=decided))
        return True

    def lift(self, halt_id: str) -> None:
        """Forget a halt that is over according to the stream."""
        if self.active.pop(halt_id, None) is not None:
            self._append(Line(lifted=halt_id))

    def sync(self) -> None:
        """Put everything so far on the disk; may be called from another thread."""
        if not self.synced:
            self.synced = True
            os.fsync(self._file)

    def _append(self, line: Line) -> None:
        os.write(self._file, _encode(line))
        self.synced = False

    def _read(self) -> None:
        if not self._path.exists():
            return
        for raw in self._path.read_bytes().split(b"\n"):
            if not raw:
                continue
            line = _decode(raw)
            if line is None:
                self.damaged += 1
            elif line.requested is not None:
                decided = line.requested
                self.active.setdefault(decided.halt_id, {})[decided.event_id] = decided
            else:
                self.active.pop(line.lifted, None)

    def _compact(self) -> None:
        """Write what is not over to a new file; a crash leaves the old or the new one whole."""
        kept = [each for known in self.active.values() for each in known.values()]
        text = b"".join(_encode(Line(requested=each)) for each in kept)
        write_private(self._path, text.decode())
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)


def _encode(line: Line) -> bytes:
    text = msgspec.json.encode(line)
    return b"%08x %s\n" % (crc32(text), text)


def _decode(raw: bytes) -> Line | None:
    """Read a line, None for one that is not as it was written."""
    checksum, _, text = raw.partition(b" ")
    if checksum != b"%08x" % crc32(text):
        return None
    try:
        return msgspec.json.decode(text, type=Line)
    except msgspec.DecodeError:
        return None
