"""The signer: recomputes the log from the stream on its own and signs only what agrees.

It shares nothing with the sealer but the code of the format: own process, own credentials, own
reader, own memory. A signature says that two processes saw the same. The one thing it must never
do is sign two logs that contradict each other, so whatever it cannot explain is a refusal.
"""

from collections.abc import Sequence

import asyncpg

from operations.adapters import ledger
from operations.adapters.ledger import Signed
from operations.adapters.signer_memory import Memory, MemoryFile
from operations.audit import chain, checkpoint, entry, merkle, rotation, tiles
from operations.audit.chain import Delivery, Sealed, Tail
from operations.audit.checkpoint import Checkpoint
from operations.audit.note import NoteError, SignerKey
from operations.audit.rotation import TrustedKeys
from operations.audit.tiles import Place, Tile
from operations.errors import Corrupted

CROSSED_AT_ONCE = 200


class Refused(Corrupted):
    """The signer will not sign; a person has to look."""


class Signer:
    """The log as recomputed so far, and the one key that speaks for it."""

    def __init__(self, memory: Memory, file: MemoryFile, key: SignerKey) -> None:
        self._file = file
        self._key = key
        self._previous_hash = memory.previous_hash
        self._tiles = memory.tiles()
        self._full: list[Tile] = []
        self._tiles_are_stored = False  # not known before the database was asked
        self.head = memory.head
        self.signed = Checkpoint(memory.origin, memory.signed_size, memory.signed_root)

    @property
    def tail(self) -> Tail:
        """Where reading goes on, and how to recognise the message there."""
        return Tail(self.head, self._previous_hash)

    def follow(self, deliveries: Sequence[Delivery], *, gap_is_real: bool) -> int:
        """Recompute entries, chain and tree from messages; return how many were taken."""
        sealed = chain.seal(self.head, deliveries, gap_is_real=gap_is_real)
        self.extend(sealed)
        return sealed.taken

    def extend(self, sealed: Sealed) -> None:
        """Add entries to the recomputed log; on the way its signed past must be met again."""
        hashes = sealed.hashes
        if not hashes:
            return
        leaves = [merkle.leaf_hash(each) for each in hashes]
        before = self.signed.size - self.head.size
        if 0 < before <= len(leaves):  # a signer without memory passes the checkpoint it was given
            self._full += self._tiles.extend(leaves[:before])
            if self._tiles.root() != self.signed.root:
                raise Refused(
                    f"the stream gives another log than the checkpoint signed at size "
                    f"{self.signed.size}; signing this one would be a fork"
                )
            leaves = leaves[before:]
        self._full += self._tiles.extend(leaves)
        is_message = entry.decode(sealed.entries[-1]).subject.startswith(entry.SUBJECT_PREFIX)
        self._previous_hash = (hashes[-2:-1] or [self.head.hash])[0] if is_message else None
        self.head = sealed.head

    async def sign(self, connected: asyncpg.Connection, now_ns: int) -> Signed | None:
        """Sign what was recomputed if the sealed log agrees; None while it is not there yet.

        The memory is saved first: nothing leaves this process that it could forget.
        """
        if self.head.size < self.signed.size or not await self._is_sealed(connected):
            return None
        if not self._tiles_are_stored:
            await self._restore_tiles(connected)
        signing = Checkpoint(self.signed.origin, self.head.size, self._tiles.root())
        self._save(signing)
        signed = Signed(signing.size, now_ns, checkpoint.sign(signing, self._key))
        self._file.append(now_ns, signed.note)
        await ledger.publish_checkpoint(connected, signed, self._full, self._tiles.edge())
        self._full.clear()
        self.signed = signing
        return signed

    async def _is_sealed(self, connected: asyncpg.Connection) -> bool:
        """Compare with the sealed log at this size; raises Refused if it holds something else."""
        row = await ledger.entry_row(connected, self.head.size - 1)
        sealed = await ledger.head(connected, self.signed.origin)
        if row is None or sealed is None or sealed.size < self.head.size:
            return False
        if row[1] != self.head.hash:
            raise Refused(
                f"entry {self.head.size - 1} of the log in Postgres has hash {row[1].hex()}, the "
                f"stream gives {self.head.hash.hex()}; run `mts audit verify` and `mts audit "
                "rebuild` to see which of the two was changed"
            )
        return True

    async def cross(self, connected: asyncpg.Connection) -> None:
        """Follow the sealed log up to an adoption, where the stream it came from is gone.

        The entries up to there can only be read from the log. The chain links them to what this
        process knows, and the person who signed the adoption vouched for the hash they end in:
        the caller judges that signature against the head that is reached here.
        """
        while rows := await ledger.entries_from(connected, self.head.size, CROSSED_AT_ONCE):
            for row in rows:
                made = entry.decode(row[0])
                if made.subject == chain.ADOPTED:
                    return
                linked = entry.link(self.head.hash, row[0])
                after = self.head._replace(
                    size=self.head.size + 1, hash=linked, stream_sequence=made.stream_sequence
                )
                self.extend(Sealed([row[0]], [linked], after))

    async def restore(self, connected: asyncpg.Connection, trusted: TrustedKeys) -> None:
        """Put back checkpoints that the database lost (a crash, an older copy)."""
        stored = {signed.size for signed in await ledger.checkpoints(connected)}
        for time_ns, text in self._file.signed():
            size = _size(text, self.signed.origin, trusted)
            if size and size not in stored:
                await ledger.store_checkpoint(connected, Signed(size, time_ns, text))

    async def _restore_tiles(self, connected: asyncpg.Connection) -> None:
        """Put back tiles that the database lost, once it holds the log as far as this process.

        They are made from the stored hashes, and used only if they give the root that this process
        computed itself.
        """
        self._tiles_are_stored = True
        kept = self.head.size // tiles.WIDTH - sum(level == 0 for level, _, _ in self._full)
        if await ledger.tile_count(connected) >= kept:
            return
        again = tiles.Tiles()
        made: list[Tile] = []
        async for hashes in ledger.stored_hashes(connected, self.head.size):
            made += again.extend([merkle.leaf_hash(each) for each in hashes])
        if again.size == self.head.size and again.root() == self._tiles.root():
            await ledger.store_tiles(connected, made)

    async def proof_since(self, connected: asyncpg.Connection, old: Checkpoint) -> list[bytes]:
        """Return the consistency proof from an older checkpoint to the newest signed one."""
        return await consistency(connected, old.size, self.signed.size, self._tiles.edge())

    def _save(self, signing: Checkpoint) -> None:
        self._file.save(
            Memory(
                origin=signing.origin,
                size=self.head.size,
                hash=self.head.hash,
                stream_sequence=self.head.stream_sequence,
                stream_created_ns=self.head.stream_created_ns,
                previous_hash=self._previous_hash,
                edge=tuple(self._tiles.edge()),
                signed_size=signing.size,
                signed_root=signing.root,
            )
        )


async def consistency(
    connected: asyncpg.Connection, old: int, new: int, edge: Sequence[bytes]
) -> list[bytes]:
    """Return the consistency proof between two sizes; `edge` are the partial tiles at `new`."""
    places = tiles.wanted(lambda node: merkle.consistency_proof(old, new, node))
    found = await tree_at(connected, new, edge, places)
    return merkle.consistency_proof(old, new, tiles.node_in(found))


async def tree_at(
    connected: asyncpg.Connection, size: int, edge: Sequence[bytes], places: set[Place]
) -> dict[Place, bytes]:
    """Return the tiles at these places in a tree of `size` whose partial tiles are given."""
    partial = {
        (level, size >> tiles.TILE_LEVELS * (level + 1)): hashes
        for level, hashes in enumerate(edge)
    }
    return await ledger.tile_hashes(connected, places - partial.keys()) | partial


async def remember(
    file: MemoryFile,
    connected: asyncpg.Connection,
    origin: str,
    trusted: TrustedKeys,
    genesis: Sealed,
) -> Memory:
    """Return what the signer may rely on; a log that was never signed begins with its genesis.

    Raises Refused when something was signed that the memory does not know: the memory was lost or
    rolled back, and going on could sign a fork. A checkpoint brought from elsewhere heals that:
    the log is recomputed from its beginning and has to meet it.
    """
    memory = file.load()
    notes = [note for _, note in file.signed()[-1:]]
    stored = await ledger.newest_checkpoint(connected)
    notes += [stored.note] if stored else []
    newest = max((_size(note, origin, trusted) for note in notes), default=0)
    if memory is not None and newest <= memory.size:
        return memory
    given = _brought(file, origin, trusted)
    if newest and (given is None or given.size < newest):
        raise Refused(
            f"a checkpoint of size {newest} was signed, the signer's memory ends at "
            f"{memory.size if memory else 0}: it was lost or rolled back; put a signed checkpoint "
            f"of at least that size, kept elsewhere, into {file.trusted}"
        )
    return Memory(
        origin=origin,
        size=genesis.head.size,
        hash=genesis.head.hash,
        stream_sequence=genesis.head.stream_sequence,
        stream_created_ns=genesis.head.stream_created_ns,
        previous_hash=None,
        edge=(merkle.leaf_hash(genesis.head.hash),),
        signed_size=given.size if given else 0,
        signed_root=given.root if given else merkle.EMPTY_ROOT,
    )


def _size(note: str, origin: str, trusted: TrustedKeys) -> int:
    """Return the size that a note really signs; what no key of the log signed is nothing."""
    try:
        return rotation.open_checkpoint(note, origin, trusted).size
    except NoteError:
        return 0


def _brought(file: MemoryFile, origin: str, trusted: TrustedKeys) -> Checkpoint | None:
    try:
        note = file.trusted.read_text()
    except FileNotFoundError:
        return None
    try:
        return rotation.open_checkpoint(note, origin, trusted)
    except NoteError as error:
        raise Refused(f"{file.trusted} is not a checkpoint of this log: {error}") from error
