"""Finds in the log what led to each halt: the entry of the request, and of what asked for it.

It reads entries in order, found through the read model, and never the stream: what it says about
a halt can be shown from the log alone. What asked is recognised by the SHA-256 of its payload,
which the request carries; a halt is heard before it is stored, so it may stand on either side of
its request.
"""

from hashlib import sha256

import asyncpg

from operations.adapters import read_model
from operations.audit import entry as entries
from operations.audit.entry import Entry
from operations.clock import NANOSECONDS, now_ns
from operations.errors import Rejected
from operations.events import subjects
from operations.events.base import Event
from operations.events.halts import HaltDocumented, HaltRequested
from operations.halt.evidence import Positions, Proof, document

FOLDED = (
    "trading.position.changed",
    "trading.position.snapshotted",
    "trading.position.exposure_marked",
    "operations.halt.requested",
    "operations.halt.documented",
)
AT_ONCE = 20_000  # sequences looked at in one query
NEAR = 5_000  # how far from a request what asked for it may stand, in entries
PATIENCE_SECONDS = 10.0

_FOLDED_ROWS = """
SELECT v.sequence, e.entry, e.hash FROM audit.event v JOIN audit.entry e USING (sequence)
WHERE v.sequence >= $1 AND v.sequence < $2 AND v.action = ANY($3) ORDER BY v.sequence
"""
_ASKING_ROWS = """
SELECT v.sequence, e.entry, e.hash FROM audit.event v JOIN audit.entry e USING (sequence)
WHERE v.sequence >= $1 AND v.sequence < $2
  AND (v.action LIKE 'operations.command.%' OR v.action LIKE 'operations.finding.%')
ORDER BY v.sequence
"""


class LogEvidence:
    """Follows the log and says what is to be documented.

    `ready` holds, by event id, the records of halts that the log does not hold yet.
    """

    def __init__(self, connected: asyncpg.Connection, source: str) -> None:
        self.ready: dict[str, HaltDocumented] = {}
        self.next_sequence = 0
        self._connected = connected
        self._source = source
        self._positions = Positions()

    async def advance(self) -> bool:
        """Read on; returns whether the end of the read model was reached.

        It stops before a request as long as what asked for it may still come.
        """
        size = await read_model.position(self._connected)
        end = min(size, self.next_sequence + AT_ONCE)
        rows = await self._connected.fetch(_FOLDED_ROWS, self.next_sequence, end, list(FOLDED))
        for sequence, raw, entry_hash in rows:
            made = entries.decode(raw)
            event = _event(made)
            if isinstance(event, HaltRequested):
                asked = await self._asked(sequence, event)
                if asked is None and self._may_still_come(made, event):
                    self.next_sequence = sequence
                    return True
                self._document(event, Proof(sequence, entry_hash), asked)
            elif isinstance(event, HaltDocumented):
                self._seen(event)
            elif event is not None:
                self._positions.take(event)
        self.next_sequence = end
        return end == size

    def _document(self, event: HaltRequested, own: Proof, asked: Proof | None) -> None:
        proofs = [own] if asked is None else [own, asked]
        record = document(event, self._positions, proofs, self._source)
        self.ready[record.event_id] = record

    def _seen(self, event: HaltDocumented) -> None:
        """Drop what the log holds; a record under the same id that says otherwise is not ours."""
        ours = self.ready.get(event.event_id)
        if ours is not None and ours.data == event.data:
            del self.ready[event.event_id]

    async def _asked(self, sequence: int, event: HaltRequested) -> Proof | None:
        wanted = event.data.payload_sha256
        if wanted is None:
            return None
        first, end = max(0, sequence - NEAR), sequence + NEAR
        for found, raw, entry_hash in await self._connected.fetch(_ASKING_ROWS, first, end):
            if sha256(entries.decode(raw).data).hexdigest() == wanted:
                return Proof(found, entry_hash)
        return None

    def _may_still_come(self, made: Entry, event: HaltRequested) -> bool:
        if event.data.payload_sha256 is None:
            return False
        return now_ns() - made.timestamp_ns < PATIENCE_SECONDS * NANOSECONDS


def _event(made: Entry) -> Event | None:
    """Return the event of an entry, None if it breaks the contract: then it says nothing."""
    try:
        return subjects.decode(made.subject.decode(), made.data)
    except (Rejected, UnicodeDecodeError):
        return None
