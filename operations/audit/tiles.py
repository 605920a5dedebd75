"""The tree as tiles (C2SP tlog-tiles): 256 hashes each, so any proof needs few of them.

Tile (level, index) holds the hashes of the complete subtrees of 256**level leaves from number
256 * index on. Full tiles never change; the partial ones at the right edge belong to one size.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from operations.audit.merkle import HASH_BYTES, Frontier, subtree_hash

WIDTH = 256
TILE_LEVELS = 8  # tree levels that one tile spans

Place = tuple[int, int]
"""Level and index of a tile."""
Tile = tuple[int, int, bytes]
"""Level, index and the 256 hashes of a full tile."""


class Tiles:
    """A growing tree that keeps its partial tiles and hands out each tile that becomes full."""

    def __init__(self, size: int = 0, edge: Iterable[bytes] = ()) -> None:
        self.size = size
        self._levels = [_split(hashes) for hashes in edge]
        covered = sum(len(level) * WIDTH**n for n, level in enumerate(self._levels))
        full = any(len(level) >= WIDTH for level in self._levels)
        if covered != size or full:
            raise ValueError(f"the partial tiles cover {covered} leaves, not {size}")

    def extend(self, leaves: Sequence[bytes]) -> list[Tile]:
        """Add leaf hashes; return the tiles that became full, each lower level first."""
        self.size += len(leaves)
        return list(self._grow(0, leaves))

    def _grow(self, level: int, hashes: Sequence[bytes]) -> Iterable[Tile]:
        if level == len(self._levels):
            self._levels.append([])
        partial = self._levels[level]
        partial += hashes
        # How many tiles of this level were complete before these hashes.
        index = (self.size >> TILE_LEVELS * level) // WIDTH - len(partial) // WIDTH
        above = []
        while len(partial) >= WIDTH:
            tile, partial[:WIDTH] = partial[:WIDTH], []
            yield level, index, b"".join(tile)
            above.append(subtree_hash(tile))
            index += 1
        if above:
            yield from self._grow(level + 1, above)

    def edge(self) -> list[bytes]:
        """Return the partial tiles, lowest level first."""
        return [b"".join(level) for level in self._levels]

    def root(self) -> bytes:
        """Return the root at this size."""
        incomplete: list[bytes] = []
        for level in self._levels:
            hashes = level + incomplete
            incomplete = [_mixed_root(hashes)] if hashes else []
        return incomplete[0] if incomplete else Frontier().root()


def _mixed_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root over complete subtrees of one level and, last, an incomplete one.

    RFC 9162 splits at powers of two, so the incomplete subtree stands where a complete one would.
    """
    frontier = Frontier()
    frontier.extend(hashes)
    return frontier.root()


def _split(hashes: bytes) -> list[bytes]:
    return [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]


def place_of(level: int, index: int) -> tuple[Place, slice]:
    """Return the tile that holds the subtree (level, index), and where in it."""
    tile_level, below = divmod(level, TILE_LEVELS)
    tile, offset = divmod(index << below, WIDTH)
    return (tile_level, tile), slice(offset * HASH_BYTES, (offset + (1 << below)) * HASH_BYTES)


def wanted(proof: Callable[[Callable[[int, int], bytes]], object]) -> set[Place]:
    """Return the tiles that a proof reads; which ones does not depend on what is in them."""
    places: set[Place] = set()

    def note(level: int, index: int) -> bytes:
        places.add(place_of(level, index)[0])
        return bytes(HASH_BYTES)

    proof(note)
    return places


def node_in(tiles: Mapping[Place, bytes]) -> Callable[[int, int], bytes]:
    """Return the lookup of complete subtrees in the given tiles; KeyError where one is missing."""

    def node(level: int, index: int) -> bytes:
        place, part = place_of(level, index)
        hashes = _split(tiles[place][part])
        if len(hashes) != 1 << level % TILE_LEVELS:
            raise KeyError(place)
        return subtree_hash(hashes)

    return node


def tile_hash(hashes: bytes) -> bytes:
    """Return the hash of the complete subtree that a full tile spans."""
    return subtree_hash(_split(hashes))
