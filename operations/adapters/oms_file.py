"""The file HALT of one order system: blocked at once, and a halt of its own until people lift it.

While the file lies there nothing passes. From its first sight on there is also a halt episode over
everything in this order system, remembered on the disk and published as a finding when the bus
can be reached; taking the file away ends the first and never the second.
"""

import threading
from collections.abc import Callable

import msgspec

from operations.adapters.oms_duties import Duties
from operations.adapters.oms_link import Outbox
from operations.adapters.oms_memory import FileHalt, Memory, MemoryFile
from operations.clock import monotonic_ns, new_event_id, now_ns, rfc3339
from operations.events.base import derived_id
from operations.events.findings import Finding, FindingRaised
from operations.events.halts import Halt, HaltRequested
from operations.halt import policy
from operations.halt.gate import Gate
from operations.halt.state import Fact
from operations.halt.verdicts import own_scope

CHECK_PREFIX = "oms_"
RULE = "file-halt/v1"


class FileHalts:
    """What follows from the file. `saw` is for the thread that looks, the rest for the loop."""

    def __init__(
        self, oms_id: str, gate: Gate, duties: Duties, memory: MemoryFile, outbox: Outbox
    ) -> None:
        self._oms_id = oms_id
        self._scope = own_scope(oms_id)
        self._gate = gate
        self._duties = duties
        self._memory = memory
        self._outbox = outbox
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._unnoticed: str | None = None  # seen since the last turn, perhaps gone again
        self._first_ns = 0
        self._file = memory.now.file  # the memory follows: a disk may take longer than a turn
        self._saving = False
        self._told = ""  # the episode whose finding is on its way

    def saw(self, reason: str | None) -> None:
        """Block or unblock by what was seen of the file; None for no file."""
        with self._lock:
            if reason is not None and self._reason is None:
                self._first_ns = monotonic_ns()
            self._reason = reason
            self._unnoticed = reason if reason is not None else self._unnoticed
        if reason is None:
            self._gate.unhold("FILE_HALT")
        else:
            self._gate.hold("FILE_HALT", "BLOCK_ALL", reason)

    def restore(self) -> None:
        """Obey again, after a start, what the file began and nobody has lifted."""
        if self._file is not None and not self._file.lifted:
            self._duties.obey_again(self._request(self._file))
            self._tell(self._file)

    def turn(self) -> None:
        """Begin, note or end the episode of the file; called every moment."""
        with self._lock:
            reason, first_ns = self._unnoticed or self._reason, self._first_ns
            self._unnoticed = None
        known = self._file
        if known is not None and not known.lifted and known.halt_id in self._gate.halts.lifted:
            known = msgspec.structs.replace(known, lifted=True)
        if reason is None and known is not None:
            known = None if known.lifted else msgspec.structs.replace(known, present=False)
        elif reason is not None and (known is None or (known.lifted and not known.present)):
            known = self._begin(reason, first_ns)
        elif reason is not None and known is not None:
            known = msgspec.structs.replace(known, present=True)
        self._file = known
        if known != self._memory.now.file and not self._saving:
            self._saving = True
            self._duties.later(self._save())

    def _begin(self, reason: str, first_ns: int) -> FileHalt:
        episode = new_event_id()
        begun = FileHalt(
            episode=episode,
            halt_id=policy.halt_id_of(f"{CHECK_PREFIX}{self._oms_id}", self._scope, episode),
            reason=reason,
            seen_at=rfc3339(now_ns()),
            present=True,
        )
        self._duties.obey(Fact(self._request(begun), None, now_ns(), ""), "file", first_ns)
        return begun

    async def _save(self) -> None:
        """Remember the file, and tell of it only then: after a crash it is the same halt.

        A disk that refuses does not keep it from being told.
        """
        file = self._file
        try:
            await self._duties.write(_with_file(file))
        finally:
            self._saving = False
            if file is not None:
                self._tell(file)

    def _tell(self, file: FileHalt) -> None:
        if file.episode != self._told:
            self._told = file.episode
            self._outbox.put(self._finding(file))

    def _request(self, file: FileHalt) -> HaltRequested:
        return HaltRequested(
            event_id=derived_id(file.episode, RULE, file.halt_id, 0),
            timestamp=file.seen_at,
            actor=self._oms_id,
            subject_id=file.halt_id,
            strategy_id=self._scope.id,
            data=Halt(
                halt_id=file.halt_id,
                level=self._scope.level,
                reason_code="MANUAL",
                reason=file.reason,
                requested_by=self._oms_id,
            ),
        )

    def _finding(self, file: FileHalt) -> FindingRaised:
        return FindingRaised(
            event_id=derived_id(file.episode, RULE, "finding", 0),
            timestamp=file.seen_at,
            subject_id=self._oms_id,
            strategy_id=self._scope.id,
            data=Finding(
                check=f"{CHECK_PREFIX}{self._oms_id}",
                episode=file.episode,
                severity="critical",
                title=f"the file HALT stops {self._oms_id}: {file.reason}"[:500],
                looked_at=file.seen_at,
                rule_version=RULE,
                mode="act",
                halt_level="strategy",
            ),
        )


def _with_file(file: FileHalt | None) -> Callable[[Memory], Memory]:
    def change(memory: Memory) -> Memory:
        return msgspec.structs.replace(memory, file=file)

    return change
