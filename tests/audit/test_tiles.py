"""Do tiles hold the tree: the same root and proofs as the tree of all leaves at every size?"""

import random
from hashlib import sha256

import pytest

from operations.audit import merkle, tiles
from operations.audit.tiles import Tiles

pytestmark = pytest.mark.unit
LEAVES = [sha256(b"%d" % number).digest() for number in range(70_000)]


def grown(sizes: list[int]) -> tuple[Tiles, dict[tuple[int, int], bytes]]:
    """Grow a tree to each size in turn, carrying its edge over as a restart would."""
    tree, full = Tiles(), {}
    for size in sizes:
        tree = Tiles(tree.size, tree.edge())
        for level, index, hashes in tree.extend(LEAVES[tree.size : size]):
            assert (level, index) not in full
            full[level, index] = hashes
    return tree, full


def naive_root(size: int) -> bytes:
    tree = merkle.Frontier()
    tree.extend(LEAVES[:size])
    return tree.root()


@pytest.mark.parametrize(
    "size", [0, 1, 2, 3, 255, 256, 257, 511, 512, 1000, 65_535, 65_536, 65_793]
)
def test_the_root_is_the_root_of_all_leaves(size):
    tree, _ = grown([size])
    assert tree.root() == naive_root(size)


@pytest.mark.parametrize("seed", range(5))
def test_steps_and_restarts_on_the_way_change_nothing(seed):
    sizes = sorted(random.Random(seed).sample(range(67_000), 30))
    tree, full = grown(sizes)
    at_once, all_at_once = grown(sizes[-1:])
    assert (tree.edge(), full) == (at_once.edge(), all_at_once)


def test_a_full_tile_holds_256_hashes_and_there_is_one_for_each_256_below():
    _, full = grown([66_000])
    assert {len(hashes) for hashes in full.values()} == {256 * 32}
    assert sorted(full) == [(0, index) for index in range(257)] + [(1, 0)]
    assert full[0, 3] == b"".join(LEAVES[768:1024])
    assert full[1, 0][:32] == merkle.subtree_hash(LEAVES[:256])


@pytest.mark.parametrize("size", [1, 7, 256, 300, 65_536, 66_000])
def test_proofs_read_from_tiles_are_those_of_the_tree(size):
    tree, full = grown([size])
    places = full | {
        (level, size >> 8 * (level + 1)): hashes for level, hashes in enumerate(tree.edge())
    }

    def node(level: int, index: int) -> bytes:
        return merkle.subtree_hash(LEAVES[index << level : (index + 1) << level])

    for old in {0, 1, size // 3, size - 1, size} - {0}:

        def proof(lookup, old=old):
            return merkle.consistency_proof(old, size, lookup)

        needed = tiles.wanted(proof)
        found = {place: places[place] for place in needed}
        assert proof(tiles.node_in(found)) == proof(node)


def test_a_subtree_that_is_not_complete_is_not_there():
    tree, _ = grown([3])
    with pytest.raises(KeyError):
        tiles.node_in({(0, 0): tree.edge()[0]})(2, 0)


@pytest.mark.parametrize(("size", "edge"), [(1, []), (0, [bytes(32)]), (256, [bytes(256 * 32)])])
def test_an_edge_of_another_size_is_refused(size, edge):
    with pytest.raises(ValueError, match="cover"):
        Tiles(size, edge)
