"""The Merkle tree of RFC 9162 section 2.1: root, inclusion proof, consistency proof.

Leaves are entry hashes. A complete subtree is named (level, index): it covers the leaves
[index << level, (index + 1) << level). Proofs are computed from complete subtrees that a caller
looks up (`Node`), and verified from the proof alone. `Frontier` grows a tree without keeping it.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

LEAF_PREFIX = b"\x00"
NODE_PREFIX = b"\x01"
HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()

Node = Callable[[int, int], bytes]
"""Return the hash of the complete subtree (level, index)."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf (RFC 9162, 2.1.1)."""
    return sha256(LEAF_PREFIX + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an interior node (RFC 9162, 2.1.1)."""
    return sha256(NODE_PREFIX + left + right).digest()


def subtree_hash(leaves: Sequence[bytes]) -> bytes:
    """Return the root over a power of two of leaf hashes."""
    level = leaves
    while len(level) > 1:
        pairs = iter(level)
        level = [
            sha256(NODE_PREFIX + left + right).digest()
            for left, right in zip(pairs, pairs, strict=True)
        ]
    return level[0]


class Frontier:
    """The right edge of a growing tree: the complete subtrees that its size is the sum of."""

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.hashes = list(hashes)
        if len(self.hashes) != size.bit_count():
            raise ValueError(f"size {size} needs {size.bit_count()} hashes, not {len(self.hashes)}")

    def append(self, subtree: bytes, level: int = 0) -> None:
        """Add a complete subtree of 2**level leaves; the size must be a multiple of that."""
        if self.size & ((1 << level) - 1):
            raise ValueError(f"a subtree of level {level} does not fit at size {self.size}")
        above = self.size >> level
        self.size += 1 << level
        while above & 1:
            subtree = node_hash(self.hashes.pop(), subtree)
            above >>= 1
        self.hashes.append(subtree)

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add leaf hashes, as many at a time as the alignment allows."""
        position = 0
        while position < len(leaves):
            level = (len(leaves) - position).bit_length() - 1
            if self.size:
                level = min(level, (self.size & -self.size).bit_length() - 1)
            end = position + (1 << level)
            self.append(subtree_hash(leaves[position:end]), level)
            position = end

    def root(self) -> bytes:
        """Return the root at this size."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root

    def copy(self) -> "Frontier":
        """Return a frontier that grows apart from this one."""
        return Frontier(self.size, self.hashes)


def range_hash(start: int, end: int, node: Node) -> bytes:
    """Return MTH(D[start:end]) where start is a multiple of the smallest power of two >= end-start.

    Every range that a root or a proof of RFC 9162 needs is of that kind.
    """
    width = end - start
    if width & (width - 1) == 0:
        level = width.bit_length() - 1
        return node(level, start >> level)
    split = start + (1 << (width.bit_length() - 1))
    return node_hash(range_hash(start, split, node), range_hash(split, end, node))


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """Return PATH(index, D[size]) (RFC 9162, 2.1.3.1)."""
    if not 0 <= index < size:
        raise ValueError(f"there is no entry {index} in a log of size {size}")
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        split = start + _split(end - start)
        if index < split:
            proof.append(range_hash(split, end, node))
            end = split
        else:
            proof.append(range_hash(start, split, node))
            start = split
    proof.reverse()
    return proof


def consistency_proof(old: int, new: int, node: Node) -> list[bytes]:
    """Return PROOF(old, D[new]) (RFC 9162, 2.1.4.1); empty for equal sizes and for old = 0."""
    if not 0 <= old <= new:
        raise ValueError(f"a log of size {new} cannot grow from size {old}")
    if old in (0, new):
        return []
    proof: list[bytes] = []
    start, end = 0, new
    while old != end:
        split = start + _split(end - start)
        if old <= split:
            proof.append(range_hash(split, end, node))
            end = split
        else:
            proof.append(range_hash(start, split, node))
            start = split
    if start > 0:
        proof.append(range_hash(start, end, node))
    proof.reverse()
    return proof


def _split(width: int) -> int:
    """Return the largest power of two smaller than width."""
    return 1 << ((width - 1).bit_length() - 1)


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Say whether the proof shows that `leaf` (a leaf hash) is entry `index` (2.1.3.2)."""
    if not 0 <= index < size or not _are_hashes((leaf, root, *proof)):
        return False
    position, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            result = node_hash(sibling, result)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            result = node_hash(result, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and result == root


def verify_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Say whether the proof shows that the log only grew from `old` to `new` (2.1.4.2).

    From size 0 every log grows, but only the empty root belongs to size 0.
    """
    if not 0 <= old <= new or not _are_hashes((old_root, new_root, *proof)):
        return False
    if old in (0, new):
        same = old_root == (new_root if old == new else EMPTY_ROOT)
        return same and not proof and (old > 0 or old_root == EMPTY_ROOT)
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        return False
    position, last = old - 1, new - 1
    while position & 1:
        position >>= 1
        last >>= 1
    first_result = second_result = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            first_result = node_hash(sibling, first_result)
            second_result = node_hash(sibling, second_result)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            second_result = node_hash(second_result, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and first_result == old_root and second_result == new_root


def _are_hashes(hashes: Iterable[bytes]) -> bool:
    return all(len(each) == HASH_BYTES for each in hashes)
