"""Makes the log again from the stream and compares it with the one in Postgres, entry by entry.

This is the one check that needs no signature: entries after the newest checkpoint agree with
themselves in a forged tail too, but not with the stream. A stream that lost its beginning, or that
was adopted later, is read from the first checkpoint after which it still has everything; there
the tree is proven by the stored tiles and a signature.
"""

from collections.abc import Callable, Mapping, Sequence

import asyncpg
import msgspec

from operations.adapters import ledger, log_queries, signed_tree, stream
from operations.adapters.ledger import SealerLedger
from operations.adapters.stream import Reader, StreamInfo
from operations.adapters.wire import WireClient
from operations.audit import chain, entry, merkle, rotation
from operations.audit.chain import Delivery, Head, Jump, Sealed
from operations.audit.checkpoint import Checkpoint
from operations.audit.merkle import Frontier
from operations.audit.note import NoteError, VerifierKey
from operations.audit.rotation import TrustedKeys
from operations.clock import rfc3339
from operations.errors import Corrupted, Rejected

CONSUMER = "rebuild"
Progress = Callable[[int, int], None]


class Rebuilt(msgspec.Struct, kw_only=True):
    """What the stream gives, and the first entry at which the log in Postgres is another."""

    origin: str
    first: int = 0
    size: int = 0
    root: str = ""
    head_hash: str = ""
    signed_size: int = 0
    signed_root_agrees: bool | None = None
    differs_at: int | None = None
    detail: str = ""
    obstacle: str = ""
    written: int = 0

    @property
    def exit_code(self) -> int:
        """0 the same log, 1 another one, 2 not to be told."""
        if self.differs_at is not None or self.signed_root_agrees is False:
            return 1
        return 2 if self.obstacle or not self.signed_size else 0


class Rebuild:
    """One reading of the stream from its beginning, beside one snapshot of the log."""

    def __init__(
        self,
        connected: asyncpg.Connection,
        client: WireClient,
        stream_name: str,
        origin: str,
        keys: Sequence[VerifierKey],
        brought: Sequence[str],
        progress: Progress,
        into: SealerLedger | None = None,
    ) -> None:
        self._connected = connected
        self._client = client
        self._stream = stream_name
        self._reader = Reader(client, stream_name, CONSUMER)
        self._keys = keys
        self._trusted = TrustedKeys(tuple(keys), {})
        self._brought = brought
        self._progress = progress
        self._into = into
        self._wanted = 0  # entries that the log must have, by its head or a signature
        self._roots: dict[int, bytes] = {}
        self.result = Rebuilt(origin=origin)

    async def run(self) -> Rebuilt:
        """Read the stream; raises Retryable, or Corrupted for a checkpoint of another key."""
        result = self.result
        self._trusted = await log_queries.trusted_keys(self._connected, result.origin, self._keys)
        log = await ledger.head(self._connected, result.origin)
        signed = await self._signed()
        found = await stream.info(self._client, self._stream)
        self._wanted = max([log.size if log else 0, *signed])
        if not self._wanted and self._into is None:
            result.obstacle = f"there is no log {result.origin!r} to compare the stream with"
            return result
        if log is not None and found.created_ns != log.stream_created_ns:
            result.obstacle = (
                f"stream {self._stream} was created {found.created}, the log was made from one "
                f"created {rfc3339(log.stream_created_ns)}"
            )
            return result
        start = await self._start(found)
        if start is None:
            return result
        head, tree = start
        result.first = 0 if head.size == 1 else head.size
        self._roots[head.size] = tree.root()
        head = await self._follow(head, tree, found.state.last_seq, signed)
        result.size, result.root, result.head_hash = head.size, tree.root().hex(), head.hash.hex()
        self._judge_roots(signed)
        await self._judge_end(head, log)
        return result

    async def _signed(self) -> dict[int, bytes]:
        """Return size and root of the newest checkpoint and of those that were brought."""
        stored = await ledger.newest_checkpoint(self._connected)
        notes = ([stored.note] if stored else []) + list(self._brought)
        try:
            return {size: root for _, size, root in map(self._open, notes)}
        except NoteError as error:
            raise Corrupted(
                f"a checkpoint is not signed by the key of this log: {error}; run `mts audit "
                "verify`, and make sure that the key is the published one"
            ) from error

    def _open(self, note: str) -> Checkpoint:
        return rotation.open_checkpoint(note, self.result.origin, self._trusted)

    async def _start(self, found: StreamInfo) -> tuple[Head, Frontier] | None:
        adopted = await log_queries.last_adoption(self._connected)
        if found.state.first_seq <= 1 and not adopted:
            key = str(self._keys[0])
            return await self._genesis(
                chain.first_entry(self.result.origin, key, self._stream, found.created_ns)
            )
        if self._into is not None:
            raise Rejected(
                "the stream does not hold the log from its beginning, so it cannot fill an empty "
                "database; restore a copy of the database"
            )
        start = await self._first_checkpoint(found.state.first_seq, adopted, found.created_ns)
        if start is None:
            since = f"begins at sequence {found.state.first_seq}"
            if adopted:
                since = f"is followed since entry {adopted} only"
            self.result.obstacle = (
                f"stream {self._stream} {since}, and no checkpoint that the stored tree proves was "
                "signed at a place from which on it has every message"
            )
        return start

    async def _genesis(self, genesis: Sealed) -> tuple[Head, Frontier]:
        if self._into is not None:
            if await self._into.take_over() is not None:
                raise Rejected("the database for the rebuilt log is not empty; name a new one")
            await self._into.create(genesis)
            self.result.written = 1
        tree = Frontier()
        tree.append(merkle.leaf_hash(genesis.hashes[0]))
        await self._compare(0, genesis)
        return genesis.head, tree

    async def _first_checkpoint(
        self, first_sequence: int, adopted: int, created_ns: int
    ) -> tuple[Head, Frontier] | None:
        """Return the first proven checkpoint after which the stream has every message."""
        stored = [each for each in await ledger.checkpoints(self._connected) if each.size > adopted]
        low, high = 0, len(stored)
        while low < high:
            middle = (low + high) // 2
            place = await log_queries.stream_position(self._connected, stored[middle].size - 1)
            if place is not None and place < first_sequence - 1:
                low = middle + 1
            else:
                high = middle
        for each in stored[low:]:
            try:
                signed = self._open(each.note)
            except NoteError:
                continue
            tree = await signed_tree.frontier(self._connected, signed)
            row = await ledger.entry_row(self._connected, signed.size - 1)
            if tree and row and await signed_tree.is_last(self._connected, signed, row[1]):
                place = entry.decode(row[0]).stream_sequence
                return Head(signed.size, row[1], place, created_ns), tree
        return None

    async def _follow(
        self, head: Head, tree: Frontier, last: int, signed: Mapping[int, bytes]
    ) -> Head:
        """Seal what the stream holds: as much as the log has, or for an empty database all."""
        first, gap_is_real = head.size, False
        wanted = 0 if self._into else self._wanted
        await self._reader.rewind(head.stream_sequence + 1)
        while head.stream_sequence < last and (not wanted or head.size < wanted):
            deliveries = _up_to(last, await self._reader.read())
            if not deliveries:
                after = head.stream_sequence + 1
                nearest = await stream.first_from(self._client, self._stream, after)
                if nearest is None or nearest > last:
                    break
            while deliveries:
                try:
                    sealed = chain.seal(head, deliveries, gap_is_real=gap_is_real)
                except Jump:
                    expected = head.stream_sequence + 1
                    gap_is_real = await self._reader.is_gap(expected, deliveries)
                    if gap_is_real:
                        continue
                    await self._reader.rewind(expected)
                    break
                deliveries, gap_is_real = deliveries[sealed.taken :], False
                head = await self._take(head, _cut(head, sealed, wanted), tree, signed)
            total = (wanted or last) - first
            self._progress(min(total, head.size - first), total)
        await self._reader.close()
        return head

    async def _take(
        self, before: Head, sealed: Sealed, tree: Frontier, signed: Mapping[int, bytes]
    ) -> Head:
        if not sealed.entries:
            return before
        leaves = [merkle.leaf_hash(each) for each in sealed.hashes]
        done = before.size
        for cut in sorted({size for size in signed if done < size < sealed.head.size}):
            tree.extend(leaves[tree.size - before.size : cut - before.size])
            self._roots[cut] = tree.root()
        tree.extend(leaves[tree.size - before.size :])
        if tree.size in signed:
            self._roots[tree.size] = tree.root()
        await self._compare(before.size, sealed)
        if self._into is not None:
            await self._into.append(before, sealed)
            self.result.written = sealed.head.size
        return sealed.head

    async def _compare(self, first: int, sealed: Sealed) -> None:
        """Find the first stored row that is not the entry that the stream gives."""
        end = min(first + len(sealed.entries), self._wanted)
        if self.result.differs_at is not None or first >= end:
            return
        rows = await self._connected.fetch(
            "SELECT sequence, entry, hash FROM audit.entry WHERE sequence >= $1 AND sequence < $2",
            first,
            end,
        )
        stored = {row["sequence"]: (row["entry"], row["hash"]) for row in rows}
        made = zip(sealed.entries, sealed.hashes, strict=True)
        for sequence, pair in zip(range(first, end), made, strict=False):
            if stored.get(sequence) != pair:
                self.result.differs_at = sequence
                self.result.detail = _difference(pair[0], stored.get(sequence))
                return

    def _judge_roots(self, signed: Mapping[int, bytes]) -> None:
        compared = {size: root for size, root in signed.items() if size in self._roots}
        self.result.signed_size = max(compared, default=0)
        if compared:
            agrees = all(self._roots[size] == root for size, root in compared.items())
            self.result.signed_root_agrees = agrees
        elif not self.result.obstacle:
            self.result.obstacle = "no signed checkpoint reaches what the stream gives"

    async def _judge_end(self, head: Head, log: Head | None) -> None:
        result, wanted = self.result, self._wanted
        if result.differs_at is not None or not wanted:
            return
        if head.size < wanted:
            result.differs_at = head.size
            result.detail = (
                f"the stream ends at sequence {head.stream_sequence} and gives {head.size} "
                f"entries, the log goes on to {wanted}: entries were added to the log, or the "
                "stream was restored from an older copy"
            )
            return
        beyond = await ledger.first_beyond(self._connected, wanted)
        last = await ledger.entry_row(self._connected, wanted - 1)
        if beyond is not None:
            result.differs_at, result.detail = beyond, "a row stands beyond the head of the log"
        elif log is None or last is None or (log.size, log.hash) != (wanted, last[1]):
            result.differs_at = log.size if log else 0
            result.detail = "the entries are those of the stream, but the head of the log is not"


def _up_to(last: int, deliveries: list[Delivery]) -> list[Delivery]:
    """Leave out what came into the stream after this rebuild began."""
    return [each for each in deliveries if chain.position(each[1])[0] <= last]


def _cut(before: Head, sealed: Sealed, wanted: int) -> Sealed:
    """Leave out what the log in Postgres did not hold yet when it was looked at."""
    room = wanted - before.size
    if not wanted or len(sealed.entries) <= room:
        return sealed
    made, hashes = sealed.entries[:room], sealed.hashes[:room]
    place = entry.decode(made[-1]).stream_sequence
    return Sealed(made, hashes, Head(wanted, hashes[-1], place, before.stream_created_ns))


def _difference(made: bytes, stored: tuple[bytes, bytes] | None) -> str:
    """Say how a stored row differs from the entry that the stream gives."""
    if stored is None:
        return "the stream gives an entry that the log does not have"
    if stored[0] == made:
        return "the entry is that of the stream, its stored hash is not"
    expected = entry.decode(made)
    try:
        shown = entry.decode(stored[0])
    except ValueError as error:
        return f"what is stored is no entry: {error}"
    if expected.subject == chain.GAP != shown.subject:
        return f"the stream does not hold message {shown.stream_sequence} any more"
    names = [
        name
        for name, right, found in zip(entry.Entry._fields, expected, shown, strict=True)
        if right != found
    ]
    return f"the log and the stream differ in {', '.join(names)}"
