"""Reads the whole log as fast as the machine allows: segments, on every core, in one snapshot.

All processes read the same snapshot, so a log that grows while it is verified raises no false
alarm. A segment is read in the order in which its rows lie on disk, which is almost always the
order of the log; only where it is not, is it read again sorted.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from multiprocessing import get_context
from typing import NamedTuple

import asyncpg

from operations.adapters import ledger
from operations.audit.diagnosis import LogRow
from operations.audit.segment import Segment, SegmentScan
from operations.config import Postgres

SEGMENT = 1 << 16
ROWS_AT_ONCE = 256
_ROWS = "SELECT sequence, entry, hash FROM audit.entry WHERE sequence >= $1 AND sequence < $2"


class Span(NamedTuple):
    """Entries to scan: [first, end), the cuts inside, and the hash before if it is known."""

    first: int
    end: int
    cuts: tuple[int, ...]
    hash_before: bytes | None


def spans(
    first: int, end: int, cuts: Sequence[int], hash_before: bytes, width: int = SEGMENT
) -> Iterator[Span]:
    """Divide a log into segments of at most `width`; only the first knows the hash before it."""
    start, known = first, hash_before
    while start < end:
        stop = min(end, (start // width + 1) * width)
        inside = tuple(cut for cut in cuts if start < cut < stop)
        yield Span(start, stop, inside, known if start == first else None)
        start = stop


class Snapshot(NamedTuple):
    """One unchanging view of the log, and the name by which other connections share it."""

    settings: Postgres
    connection: asyncpg.Connection
    name: str


@asynccontextmanager
async def snapshot(settings: Postgres) -> AsyncIterator[Snapshot]:
    """Give a view of the log as it is now, for as long as it takes to read all of it."""
    async with ledger.connection(settings, "verify") as connected:
        await connected.execute("SET idle_in_transaction_session_timeout = 0")
        await connected.execute("SET statement_timeout = 0")
        async with connected.transaction(isolation="repeatable_read", readonly=True):
            name = await connected.fetchval("SELECT pg_export_snapshot()")
            yield Snapshot(settings, connected, name)


async def scan(view: Snapshot, wanted: Sequence[Span], jobs: int = 0) -> AsyncIterator[Segment]:
    """Recompute segments of a snapshot, in order, on `jobs` processes (0: one for each core)."""
    jobs = min(jobs or len(os.sched_getaffinity(0)), len(wanted))
    if jobs <= 1:
        for span in wanted:
            yield await scan_span(view.connection, span)
        return
    loop = asyncio.get_running_loop()
    shared = (view.settings, view.name)
    with ProcessPoolExecutor(jobs, get_context("spawn"), _begin, shared) as pool:
        try:
            with _without_interrupts():
                futures = [loop.run_in_executor(pool, _scan, span) for span in wanted]
            for future in futures:
                yield await future
        finally:
            pool.shutdown(cancel_futures=True)  # waits: they share a snapshot that ends with us


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: this one ends them, without their complaints."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Process:
    """What a scanning process keeps between segments."""

    loop: asyncio.AbstractEventLoop
    connection: asyncpg.Connection


def _begin(settings: Postgres, name: str) -> None:
    _Process.loop = asyncio.new_event_loop()
    _Process.connection = _Process.loop.run_until_complete(_join(settings, name))


async def _join(settings: Postgres, name: str) -> asyncpg.Connection:
    connected = await ledger.open_connection(settings, "verify")
    await connected.execute("SET idle_in_transaction_session_timeout = 0")
    await connected.execute("SET statement_timeout = 0")
    # Rows in the order they lie on disk, found through the index: what costs the server least.
    await connected.execute("SET enable_indexscan = off")
    await connected.execute("SET enable_seqscan = off")
    await connected.execute("SET jit = off")
    await connected.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    await connected.execute(f"SET TRANSACTION SNAPSHOT '{name}'")
    return connected


def _scan(span: Span) -> Segment:
    return _Process.loop.run_until_complete(scan_span(_Process.connection, span))


async def scan_span(connected: asyncpg.Connection, span: Span) -> Segment:
    """Recompute one segment; rows that lie in another order are read again, sorted."""
    before = span.hash_before
    if before is None:
        row = await ledger.entry_row(connected, span.first - 1)
        before = row[1] if row else b""
    segment = await _copy(connected, span, before, "")
    if segment.wrong_at is None:
        return segment
    return await _copy(connected, span, before, " ORDER BY sequence")


async def _copy(
    connected: asyncpg.Connection, span: Span, hash_before: bytes, order: str
) -> Segment:
    state = SegmentScan(span.first, span.end, hash_before, span.cuts)

    async def feed(chunk: bytes) -> None:
        state.feed(chunk)

    query = _ROWS.replace("$1", str(span.first)).replace("$2", str(span.end))
    await connected.copy_from_query(query + order, output=feed, format="binary")
    return state.finish()


async def rows(connected: asyncpg.Connection, first: int) -> AsyncIterator[list[LogRow]]:
    """Give the rows from `first` on, sorted, many at a time."""
    cursor = await connected.cursor(
        "SELECT sequence, entry, hash FROM audit.entry WHERE sequence >= $1 ORDER BY sequence",
        first,
    )
    while batch := await cursor.fetch(ROWS_AT_ONCE):
        yield [LogRow(row[0], row[1] or b"", row[2] or b"") for row in batch]
