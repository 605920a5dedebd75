"""The sealer: links what the stream delivers and commits it, one transaction at a time.

While a transaction is on its way to the disk, what arrives is linked and collected; the next
transaction takes all of it. So a lone event is committed at once, a flood in large batches, and
nothing needs tuning.
"""

import asyncio
from contextlib import suppress
from typing import NamedTuple

from operations.adapters.ledger import SealerLedger
from operations.adapters.steps import Step, onward
from operations.adapters.stream import Reader
from operations.audit import chain
from operations.audit.chain import Delivery, Head, Jump, Sealed
from operations.clock import monotonic_ns

SLICE = 500  # messages linked before the event loop gets its turn
LARGEST_BATCH = 8000
LARGEST_BYTES = 32 * 1024 * 1024  # a batch of the largest payloads stays far below memory


class Committed(NamedTuple):
    """One transaction that is on disk."""

    head: Head
    entries: int
    newest: Delivery
    seconds: float


class Sealer:
    """Reads, links, commits, acknowledges, in that order; `committed` is the last batch on disk."""

    def __init__(self, log: SealerLedger, reader: Reader, head: Head, at: Step = onward) -> None:
        self._log = log
        self._reader = reader
        self._at = at
        self._written = head  # where the transaction on its way will end
        self._linked = Sealed([], [], head)
        self._linked_bytes = 0
        self._newest: Delivery | None = None
        self._gap_is_real = False
        self._transaction: asyncio.Task[Committed] | None = None

    async def turn(self) -> Committed | None:
        """Link what has arrived; return a batch if one has become durable meanwhile."""
        self._log.require_connected()
        deliveries = await self._reader.read(SLICE)
        self._at("read")
        await self._link(deliveries)
        finished = self._transaction is None or self._transaction.done()
        room = len(self._linked.entries) < LARGEST_BATCH and self._linked_bytes < LARGEST_BYTES
        if not finished and room:
            return None
        batch = await self._next_transaction()
        if not deliveries and self._transaction is None:
            await self._log.beat()
        return batch

    async def drain(self) -> Committed | None:
        """Commit what was linked; then there is nothing that a stop could lose."""
        await self._next_transaction()
        return await self._next_transaction()

    async def aclose(self) -> None:
        """Give up the transaction on its way; the next start sees whether it was committed."""
        if self._transaction is not None:
            self._transaction.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._transaction

    async def _link(self, deliveries: list[Delivery]) -> None:
        while deliveries:
            linked = self._linked
            try:
                sealed = chain.seal(linked.head, deliveries, gap_is_real=self._gap_is_real)
            except Jump:
                expected = linked.head.stream_sequence + 1
                self._gap_is_real = await self._reader.is_gap(expected, deliveries)
                if self._gap_is_real:
                    continue
                await self._reader.rewind(expected)
                return
            self._linked_bytes += sum(map(len, sealed.entries))
            linked.entries.extend(sealed.entries)
            linked.hashes.extend(sealed.hashes)
            self._linked = linked._replace(head=sealed.head)
            self._newest = deliveries[sealed.taken - 1]
            self._gap_is_real = False
            deliveries = deliveries[sealed.taken :]
            self._at("linked")

    async def _next_transaction(self) -> Committed | None:
        finished = await self._transaction if self._transaction else None
        self._transaction = None
        if self._linked.entries and self._newest:
            work = self._commit(self._written, self._linked, self._newest)
            self._transaction = asyncio.create_task(work)
            self._transaction.add_done_callback(lambda _: self._reader.wake())
            self._written = self._linked.head
            self._linked = Sealed([], [], self._written)
            self._linked_bytes = 0
        return finished

    async def _commit(self, before: Head, sealed: Sealed, newest: Delivery) -> Committed:
        began_ns = monotonic_ns()
        await self._log.append(before, sealed, self._at)
        self._at("committed")
        await self._reader.ack(newest)
        self._at("acknowledged")
        seconds = (monotonic_ns() - began_ns) / 1e9
        return Committed(sealed.head, len(sealed.entries), newest, seconds)
