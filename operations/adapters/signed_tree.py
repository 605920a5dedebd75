"""The stored tree, believed only as far as a signed root proves it."""

import asyncpg

from operations.adapters import ledger
from operations.audit import merkle, tiles
from operations.audit.checkpoint import Checkpoint
from operations.audit.merkle import HASH_BYTES, Frontier
from operations.audit.tiles import Place, Tiles


async def tree(connected: asyncpg.Connection, places: set[Place]) -> dict[Place, bytes]:
    """Return the tiles at these places, full or, at the right edge, partial."""
    partial = {
        (level, size >> tiles.TILE_LEVELS * (level + 1)): hashes
        for level, size, hashes in await ledger.edge(connected)
        if level >= 0
    }
    return await ledger.tile_hashes(connected, places - partial.keys()) | partial


async def frontier(connected: asyncpg.Connection, signed: Checkpoint) -> Frontier | None:
    """Return the right edge of the tree at a signed size; None if the tiles do not prove it."""
    positions = [
        (level, (signed.size >> level) - 1)
        for level in reversed(range(signed.size.bit_length()))
        if signed.size >> level & 1
    ]
    places = {tiles.place_of(*position)[0] for position in positions}
    node = tiles.node_in(await tree(connected, places))
    try:
        found = Frontier(signed.size, [node(*position) for position in positions])
    except KeyError:
        return None
    return found if found.root() == signed.root else None


async def is_last(connected: asyncpg.Connection, signed: Checkpoint, entry_hash: bytes) -> bool:
    """Say whether the entry with this hash is proven to be the last one of a signed log."""
    index = signed.size - 1
    places = tiles.wanted(lambda node: merkle.inclusion_proof(index, signed.size, node))
    try:
        node = tiles.node_in(await tree(connected, places))
        proof = merkle.inclusion_proof(index, signed.size, node)
    except KeyError:
        return False
    leaf = merkle.leaf_hash(entry_hash)
    return merkle.verify_inclusion(leaf, index, signed.size, proof, signed.root)


class SignedLeaves:
    """The leaf hashes that a signed root commits to, found down from the root tile by tile."""

    def __init__(self, connected: asyncpg.Connection, signed: Checkpoint) -> None:
        self._connected = connected
        self._signed = signed
        self._proven: dict[Place, bytes | None] = {}
        self.known = False

    async def open(self) -> None:
        """Start from the partial tiles, if they give the signed root."""
        edge = await ledger.edge(self._connected)
        sizes = {size for _, size, _ in edge}
        try:
            stored = Tiles(self._signed.size, [hashes for _, _, hashes in edge])
        except ValueError:
            return
        if sizes == {self._signed.size} and stored.root() == self._signed.root:
            self.known = True
            for level, size, hashes in edge:
                self._proven[level, size >> tiles.TILE_LEVELS * (level + 1)] = hashes

    async def load(self, sequences: set[int]) -> None:
        """Make `leaf` answer for these sequences."""
        wanted = {sequence // tiles.WIDTH for sequence in sequences}
        for index in wanted:
            if self.known and 0 <= index <= self._signed.size // tiles.WIDTH:
                await self._prove((0, index))

    async def _prove(self, place: Place) -> bytes | None:
        if place not in self._proven:
            level, index = place
            above = await self._prove((level + 1, index // tiles.WIDTH))
            stored = (await ledger.tile_hashes(self._connected, [place])).get(place)
            offset = index % tiles.WIDTH * HASH_BYTES
            is_proven = (
                above is not None
                and stored is not None
                and tiles.tile_hash(stored) == above[offset : offset + HASH_BYTES]
            )
            self._proven[place] = stored if is_proven else None
        return self._proven[place]

    def leaf(self, sequence: int) -> bytes | None:
        """Return the signed leaf hash of an entry; None if no signature reaches it."""
        if not 0 <= sequence < self._signed.size:
            return None
        hashes = self._proven.get((0, sequence // tiles.WIDTH))
        offset = sequence % tiles.WIDTH * HASH_BYTES
        return hashes[offset : offset + HASH_BYTES] if hashes is not None else None
