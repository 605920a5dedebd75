"""What an order system must not forget when it is killed: one small file, flushed to the disk.

Halts that it obeys and that the stream may lack, the file HALT that somebody laid down, and what
was done once and must not be done twice. It is written before a cancel or an exit goes out, so
after any crash nothing is repeated; a halt is obeyed first and written then, because obeying must
not wait for a disk.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from operations.adapters.steps import Step, onward
from operations.errors import Corrupted
from operations.events.halts import Halt, HaltReason, HaltRequested, Level, Mode
from operations.halt.state import Episode

Deed = Literal[
    "cancel_all", "flatten", "exit", "CANCEL_SENT", "CANCEL_CONFIRMED", "FLAT", "REFUSED"
]
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
    """Everything that is remembered. `done` holds the deeds of each halt id, each done once.

    `canceling` holds the ids of the orders that a cancel-all named, until all of them have ended.
    """

    stream_created_ns: int = 0
    heard: tuple[HeardHalt, ...] = ()
    file: FileHalt | None = None
    blocking: tuple[str, ...] = ()
    done: dict[str, tuple[str, ...]] = {}
    canceling: dict[str, tuple[str, ...]] = {}


class MemoryFile:
    """The memory in its file. `now` is what was read or saved last."""

    def __init__(self, path: Path, at: Step = onward) -> None:
        """Read what was saved; raises Corrupted when it cannot be read."""
        self._path = path
        self._at = at
        try:
            self.now = msgspec.json.decode(path.read_bytes(), type=Memory)
        except FileNotFoundError:
            self.now = Memory()
        except (msgspec.DecodeError, OSError) as error:
            raise Corrupted(
                f"the memory of the order system in {path} cannot be read: {error}; what it did "
                "for which halt is unknown, so a person has to look before it starts"
            ) from error

    def save(self, memory: Memory, what: str = "") -> None:
        """Replace the memory; on the disk when this returns. The same memory costs nothing."""
        if memory == self.now:
            return
        step = f"remember {what or _changed(self.now, memory)}"
        self._at(f"before {step}")
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
        self._at(f"after {step}")
        self.now = memory

    def change(self, **changes: object) -> None:
        """Save the memory with some fields changed."""
        self.save(msgspec.structs.replace(self.now, **changes))

    def was_done(self, halt_id: str, deed: Deed) -> bool:
        """Whether something was begun for a halt, in this run or an earlier one."""
        return deed in self.now.done.get(halt_id, ())

    def do_once(self, halt_id: str, deed: Deed, *of: str, cancel: tuple[str, ...] = ()) -> bool:
        """Note that something is about to be done; False when it was done or begun before.

        `of` says of what it is done, and `cancel` which orders are to be canceled for it.
        """
        words = " ".join((deed, *of))
        if words in self.now.done.get(halt_id, ()):
            return False
        canceling = self.now.canceling | ({halt_id: cancel} if cancel else {})
        known = dict(self.now.done)
        known[halt_id] = (*known.pop(halt_id, ()), words)
        while len(known) > HALTS_KEPT:
            del known[next(iter(known))]
        changed = msgspec.structs.replace(self.now, done=known, canceling=canceling)
        self.save(changed, deed)
        return True


def _changed(before: Memory, after: Memory) -> str:
    """Name what differs between two memories."""
    names = Memory.__struct_fields__
    return " ".join(name for name in names if getattr(before, name) != getattr(after, name))


def without_canceling(key: str) -> Callable[[Memory], Memory]:
    """Return what forgets the orders that a cancel-all named."""

    def change(memory: Memory) -> Memory:
        left = {name: names for name, names in memory.canceling.items() if name != key}
        return msgspec.structs.replace(memory, canceling=left)

    return change


def with_heard(memory: Memory, episode: Episode, event: HaltRequested) -> Memory:
    """Return a memory that holds a halt which the stream may lack."""
    known = tuple(each for each in memory.heard if each.halt_id != episode.halt_id)
    heard = HeardHalt(
        halt_id=episode.halt_id,
        level=episode.scope.level,
        scope_id=episode.scope.id,
        mode=episode.mode,
        reason_code=episode.reason_code,
        reason=episode.reason,
        requested_by=episode.requested_by,
        requested_at=episode.requested_at,
        event_id=event.event_id,
    )
    return msgspec.structs.replace(memory, heard=(*known, heard))


def request_again(heard: HeardHalt) -> HaltRequested:
    """Return the request of a halt that was obeyed before this start."""
    return HaltRequested(
        event_id=heard.event_id,
        timestamp=heard.requested_at,
        actor=heard.requested_by,
        subject_id=heard.halt_id,
        fund_id=heard.scope_id if heard.level == "FUND_HALT" else None,
        strategy_id=heard.scope_id if heard.level == "STRATEGY_HALT" else None,
        data=Halt(
            halt_id=heard.halt_id,
            level=heard.level,
            mode=heard.mode,
            reason_code=heard.reason_code,
            reason=heard.reason,
            requested_by=heard.requested_by,
        ),
    )
