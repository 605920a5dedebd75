"""Verifies the log as it lies in Postgres; trusts nothing in it but what a signature covers.

    1  open every checkpoint, from the database and from elsewhere, with the given public key
    2  take one snapshot: head, and all entries from the starting point on
    3  recompute chain and tree of every segment, join them, compare with the head
    4  compare the root at the size of every signed checkpoint
    5  if anything differs, find out what was done and where it begins
    6  judge whether what is proven is recent

A starting point other than 0 is a signed checkpoint whose tree the stored tiles prove; never what
the row before claims.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import asyncpg
import msgspec

from operations.adapters import ledger, read_model, scanner, signed_tree
from operations.adapters.scanner import Snapshot
from operations.adapters.signed_tree import SignedLeaves
from operations.audit import claims, entry, merkle, rotation
from operations.audit.chain import Head
from operations.audit.checkpoint import Checkpoint
from operations.audit.claims import Claim
from operations.audit.diagnosis import Diagnosis
from operations.audit.findings import AuditFinding, Tampering
from operations.audit.merkle import Frontier
from operations.audit.note import VerifierKey
from operations.clock import NANOSECONDS
from operations.config import Postgres

CHECKPOINT_STALE_SECONDS = 2 * 3600
UNSIGNED_STALE_SECONDS = 10


class Report(msgspec.Struct, kw_only=True):
    """What a verification found out. Times are in seconds.

    `gaps` are the entries that say that messages of the stream were lost, found in the very bytes
    that were hashed, not by asking the database.
    """

    origin: str
    first: int = 0
    size: int = 0
    entries: int = 0
    gaps: list[int] = []
    root: str = ""
    head_hash: str = ""
    signed_size: int = 0
    checkpoint_age_seconds: float | None = None
    checkpoints: int = 0
    unsigned: int = 0
    oldest_unsigned_seconds: float | None = None
    findings: list[AuditFinding] = []
    obstacle: str = ""

    @property
    def stale(self) -> bool:
        """Whether what is proven is too old to mean that the log is well now.

        An unknown age is too old, and so is a time in the future, which would never become old.
        """
        age = self.checkpoint_age_seconds
        too_old = age is None or abs(age) > CHECKPOINT_STALE_SECONDS
        return too_old or abs(self.oldest_unsigned_seconds or 0) > UNSIGNED_STALE_SECONDS

    @property
    def exit_code(self) -> int:
        """0 proven, 1 tampering, 2 cannot verify, 3 intact but stale."""
        if self.findings:
            return 1
        if self.obstacle:
            return 2
        return 3 if self.stale else 0


class Start(NamedTuple):
    """Where recomputing begins: the tree up to there, and the hash of the entry before."""

    frontier: Frontier
    hash_before: bytes


class Recomputed(NamedTuple):
    """What the entries come to: roots by size, the last hash, and whether a row was wrong."""

    roots: dict[int, bytes]
    last_hash: bytes
    is_whole: bool


Progress = Callable[[int, int], None]
"""Called with entries done and entries in all."""


def quiet(_done: int, _all: int) -> None:
    """Show no progress."""


class Auditor:
    """One verification of one log, in one snapshot."""

    def __init__(
        self,
        settings: Postgres,
        origin: str,
        keys: Sequence[VerifierKey],
        brought: Sequence[str] = (),
        progress: Progress = quiet,
        jobs: int = 0,
        segment: int = scanner.SEGMENT,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._brought = brought
        self._progress = progress
        self._jobs = jobs
        self._segment = segment
        self.report = Report(origin=origin)

    async def verify(
        self, now_ns: int, from_sequence: int = 0, *, projection: bool = False
    ) -> Report:
        """Do the steps above; raises Retryable if the database cannot be read."""
        async with scanner.snapshot(self._settings) as view:
            return await self.verify_in(view, now_ns, from_sequence, projection=projection)

    async def verify_in(
        self, view: Snapshot, now_ns: int, from_sequence: int = 0, *, projection: bool = False
    ) -> Report:
        """Do the steps above in a given snapshot."""
        report, connected = self.report, view.connection
        if not self._keys:
            report.obstacle = "without a public key nothing can be believed"
            return report
        signed = await self._open_checkpoints(connected)
        head = await ledger.head(connected, report.origin)
        report.size = head.size if head else 0
        size = max(report.size, signed[-1].checkpoint.size if signed else 0)
        if not size or not await ledger.has_entries(connected):
            self._nothing_there(signed)
            return report
        start = await _start(connected, report.origin, signed, from_sequence)
        report.first = start.frontier.size
        log = await self._recompute(view, start, size, signed)
        report.root = log.roots.get(size, b"").hex()
        await self._judge(connected, start, size, head, signed, log)
        if projection and not report.findings:
            await self._compare_projection(connected, size)
        await self._judge_age(connected, signed, now_ns)
        return report

    async def _open_checkpoints(self, connected: asyncpg.Connection) -> list[Claim]:
        stored = [(each.signed_at_ns, each.note) for each in await ledger.checkpoints(connected)]
        notes = stored + [(0, note) for note in self._brought]
        rotations = await ledger.rotations(connected)
        trusted = rotation.follow(self._keys, self.report.origin, rotations)
        opened = claims.open_all(notes, self.report.origin, trusted)
        self.report.findings += opened.findings
        self.report.checkpoints = len(opened.signed)
        return opened.signed

    def _nothing_there(self, signed: list[Claim]) -> None:
        if signed:
            size = signed[-1].checkpoint.size
            detail = f"a log of {size} entries was signed, and there is none"
            self._add(AuditFinding(Tampering.MISSING_CHAIN, 0, detail))
        else:
            self.report.obstacle = f"log {self.report.origin!r} has no entries to verify"

    async def _recompute(
        self, view: Snapshot, start: Start, size: int, signed: list[Claim]
    ) -> Recomputed:
        frontier, first = start.frontier.copy(), start.frontier.size
        cuts = sorted({claim.checkpoint.size for claim in signed} | {size})
        roots = {first: frontier.root()} if first else {}
        last_hash = start.hash_before
        wanted = []
        for span in scanner.spans(first, size, cuts, start.hash_before, self._segment):
            # A head that claims more than there is must not keep anyone reading for ever.
            if await ledger.entry_row(view.connection, span.first) is None:
                break
            wanted.append(span)
        end_of_log = wanted[-1].end if wanted else first
        async for segment in scanner.scan(view, wanted, self._jobs):
            if segment.wrong_at is not None or segment.claimed_hash != last_hash:
                return Recomputed(roots, last_hash, is_whole=False)
            for end, pieces in segment.parts:
                for level, piece in pieces:
                    frontier.append(piece, level)
                roots[end] = frontier.root()
            last_hash = segment.last_hash
            self.report.gaps.extend(segment.gaps)
            self.report.entries = segment.end - first
            self._progress(segment.end - first, size - first)
        return Recomputed(roots, last_hash, is_whole=end_of_log == size)

    async def _judge(
        self,
        connected: asyncpg.Connection,
        start: Start,
        size: int,
        head: Head | None,
        signed: list[Claim],
        log: Recomputed,
    ) -> None:
        """Compare what was recomputed with signatures and head; on a difference, say which."""
        agreed, fork = claims.compare(signed, log.roots)
        if fork is not None:
            self._add(fork)
        if any(found.tampering == Tampering.FORK for found in self.report.findings):
            return
        newest = signed[-1].checkpoint if signed else None
        unproven = newest is not None and newest.size > start.frontier.size and agreed < newest.size
        is_proven = log.is_whole and not unproven
        if is_proven and (head is None or head.size < size):
            detail = f"the head of the log was moved back to {head.size if head else 'nothing'}"
            kind = Tampering.TRUNCATION if head else Tampering.MISSING_CHAIN
            self._add(AuditFinding(kind, head.size if head else 0, detail))
        elif not is_proven or await ledger.first_beyond(connected, size) is not None:
            look = Look(start, size, agreed, newest, head)
            self._add(await _diagnose(connected, look, log))
        elif await ledger.has_entries_before(connected):
            detail = "there are rows before the first entry; the sealer never wrote them"
            self._add(AuditFinding(Tampering.INSERTION, 0, detail))
        elif head is not None and not await _is_last(connected, head, log.last_hash):
            detail = "the head of the log does not say what its last entry says"
            self._add(AuditFinding(Tampering.EDIT, size - 1, detail))
        elif newest is None and not self.report.findings:
            self.report.obstacle = "the log has no checkpoint signed by this key"
        self.report.head_hash = log.last_hash.hex()

    async def _compare_projection(self, connected: asyncpg.Connection, size: int) -> None:
        drift = await read_model.first_drift(connected, size)
        if drift is not None:
            self._add(AuditFinding(Tampering.DRIFTED_PROJECTION, *drift))

    async def _judge_age(
        self, connected: asyncpg.Connection, signed: list[Claim], now_ns: int
    ) -> None:
        report = self.report
        if not signed:
            return
        newest = max(signed, key=lambda claim: (claim.checkpoint.size, claim.signed_at_ns))
        report.signed_size = newest.checkpoint.size
        # A checkpoint from elsewhere has no time; it is at least as new as any smaller one.
        signed_at_ns = max(claim.signed_at_ns for claim in signed)
        if signed_at_ns:
            report.checkpoint_age_seconds = (now_ns - signed_at_ns) / NANOSECONDS
        report.unsigned = max(0, report.size - report.signed_size)
        row = await ledger.entry_row(connected, report.signed_size) if report.unsigned else None
        if row is None:
            return
        try:
            made_ns = entry.decode(row[0]).timestamp_ns
        except ValueError as error:
            if not report.findings:
                self._add(AuditFinding(Tampering.EDIT, report.signed_size, str(error)))
        else:
            report.oldest_unsigned_seconds = (now_ns - made_ns) / NANOSECONDS

    def _add(self, finding: AuditFinding) -> None:
        self.report.findings.append(finding)


class Look(NamedTuple):
    """What is known when a change is looked for."""

    start: Start
    size: int
    agreed: int
    newest: Checkpoint | None
    head: Head | None


async def _diagnose(connected: asyncpg.Connection, known: Look, log: Recomputed) -> AuditFinding:
    """Find class and place of a change, reading on from where a signature still agrees."""
    first, before = known.start.frontier.size, known.start.hash_before
    if known.agreed > first:
        row = await ledger.entry_row(connected, known.agreed - 1)
        first, before = known.agreed, row[1] if row else b""
    newest = known.newest or Checkpoint("", 0, b"")
    leaves = SignedLeaves(connected, newest)
    await leaves.open()
    look = Diagnosis(
        first,
        known.size,
        before,
        leaves.leaf,
        signed_size=newest.size,
        hashes_are_signed=await _hashes_are_signed(connected, newest),
        head_hash=known.head.hash if known.head else b"",
    )
    async for rows in scanner.rows(connected, first):
        claimed = {entry.sequence_of(row.entry) for row in rows}
        await leaves.load({row.sequence for row in rows} | claimed)
        look.feed(rows)
    found = look.finish()
    if found is not None:
        return found
    if not log.is_whole:
        detail = "an entry is not what it must be, but it changed while it was looked at"
        return AuditFinding(Tampering.EDIT, first, detail)
    detail = f"the log agrees with itself, but not with what was signed after entry {first}"
    return AuditFinding(Tampering.REWRITE, first, detail)


async def _is_last(connected: asyncpg.Connection, head: Head, last_hash: bytes) -> bool:
    """Say whether the head holds the hash and the place in the stream of the last entry."""
    row = await ledger.entry_row(connected, head.size - 1)
    try:
        last = entry.decode(row[0]) if row else None
    except ValueError:
        return False
    is_there = last is not None and last.stream_sequence == head.stream_sequence
    return is_there and head.hash == last_hash


async def _start(
    connected: asyncpg.Connection, origin: str, signed: list[Claim], from_sequence: int
) -> Start:
    """Return the last proven checkpoint at or before a sequence; else the beginning."""
    for claim in reversed(signed):
        if claim.checkpoint.size > from_sequence:
            continue
        frontier = await signed_tree.frontier(connected, claim.checkpoint)
        row = await ledger.entry_row(connected, claim.checkpoint.size - 1)
        if (
            frontier is not None
            and row is not None
            and await signed_tree.is_last(connected, claim.checkpoint, row[1])
        ):
            return Start(frontier, row[1])
    return Start(Frontier(), entry.genesis_hash(origin))


async def _hashes_are_signed(connected: asyncpg.Connection, newest: Checkpoint) -> bool:
    """Say whether the stored hashes, whatever the entries are, give the signed root."""
    frontier = Frontier()
    async for hashes in ledger.stored_hashes(connected, newest.size):
        frontier.extend([merkle.leaf_hash(each) for each in hashes])
    if frontier.size != newest.size or frontier.root() != newest.root:
        return False
    # Two rows under one sequence have no order; what they gave here may be chance.
    return await ledger.sequences_below(connected, newest.size) == newest.size
