"""Is the tree the tree of RFC 9162, and does every proof that was touched fail?"""

import base64
import json
import random
from functools import cache
from hashlib import sha256

import pytest
from audit_logs import vector_files, vectors
from hypothesis import given
from hypothesis import strategies as st

from operations.audit import merkle
from operations.audit.merkle import Frontier

pytestmark = pytest.mark.unit

LARGEST = 256
# This vector has words where a root belongs and expects them to be accepted; only hashes are.
TEXT_FOR_A_ROOT = "sizes-are-equal-one-and-proof-is-empty.json"
LEAVES = [merkle.leaf_hash(b"entry %d" % number) for number in range(LARGEST)]


@cache
def naive_root(start, end):
    """MTH of RFC 9162, 2.1.1, as the text defines it."""
    if start == end:
        return sha256(b"").digest()
    if end - start == 1:
        return LEAVES[start]
    split = 1
    while split * 2 < end - start:
        split *= 2
    left, right = naive_root(start, start + split), naive_root(start + split, end)
    return sha256(b"\x01" + left + right).digest()


def node(level, index):
    return naive_root(index << level, (index + 1) << level)


def mutations(proof):
    """Every way to touch a list of hashes: bits, order, number, length."""
    for place in range(len(proof)):
        for bit in (0, 7, 130, 255):
            changed = (int.from_bytes(proof[place]) ^ 1 << bit).to_bytes(32)
            yield [*proof[:place], changed, *proof[place + 1 :]]
        yield [*proof[:place], *proof[place + 1 :]]
        yield [*proof[:place], proof[place][:-1], *proof[place + 1 :]]
        yield [*proof[:place], proof[place] + b"\x00", *proof[place + 1 :]]
        yield [*proof[:place], b"", *proof[place + 1 :]]
        yield [*proof[:place], proof[place], *proof[place:]]
        for other in range(place):
            swapped = list(proof)
            swapped[place], swapped[other] = swapped[other], swapped[place]
            yield swapped
    yield [*proof, bytes(32)]
    yield [*proof, LEAVES[0]]
    yield [bytes(32), *proof]


def test_the_published_roots_of_every_size_come_out():
    constants = vectors("rfc6962-merkle/constants.json")
    inputs = [bytes.fromhex(each) for each in constants["leaf_inputs_hex"]]
    for size, root in enumerate(constants["root_by_size_hex"]):
        tree = Frontier()
        tree.extend([merkle.leaf_hash(each) for each in inputs[:size]])
        assert tree.root().hex() == root
    for level, hashes in enumerate(constants["node_hashes_hex_by_level"]):
        for index, expected in enumerate(hashes):
            start, end = index << level, (index + 1) << level
            leaves = [merkle.leaf_hash(each) for each in inputs[start:end]]
            assert merkle.subtree_hash(leaves).hex() == expected


def test_every_published_inclusion_proof_is_judged_as_published():
    judged = 0
    for file in vector_files("rfc6962-merkle/testdata/inclusion"):
        vector = json.loads(file.read_text())
        leaf, root = (base64.b64decode(vector[name] or "") for name in ("leafHash", "root"))
        proof = [base64.b64decode(each) for each in vector["proof"] or ()]
        index, size = vector["leafIdx"], vector["treeSize"]
        holds = merkle.verify_inclusion(leaf, index, size, proof, root)
        assert holds == (not vector["wantErr"]), file.name
        judged += 1
    assert judged == 98


def test_every_published_consistency_proof_is_judged_as_published():
    judged = 0
    for file in vector_files("rfc6962-merkle/testdata/consistency"):
        vector = json.loads(file.read_text())
        roots = [base64.b64decode(vector[name] or "") for name in ("root1", "root2")]
        proof = [base64.b64decode(each) for each in vector["proof"] or ()]
        if file.name == TEXT_FOR_A_ROOT:
            assert not merkle.verify_consistency(1, 1, *roots, proof)
            roots = [sha256(each).digest() for each in roots]
        holds = merkle.verify_consistency(vector["size1"], vector["size2"], *roots, proof)
        assert holds == (not vector["wantErr"]), file.name
        judged += 1
    assert judged == 98


def test_a_tree_grown_leaf_by_leaf_is_the_naive_tree_at_every_size():
    tree = Frontier()
    for size in range(LARGEST + 1):
        assert tree.root() == naive_root(0, size)
        assert merkle.range_hash(0, size, node) == naive_root(0, size) if size else True
        if size < LARGEST:
            tree.append(LEAVES[size])


@given(st.lists(st.integers(0, 40), max_size=20))
def test_a_tree_grown_in_any_pieces_is_the_naive_tree(pieces):
    tree = Frontier()
    for piece in pieces:
        leaves = LEAVES[tree.size : tree.size + piece]
        tree.extend(leaves)
    assert tree.root() == naive_root(0, tree.size)
    assert tree.copy().hashes == tree.hashes
    resumed = Frontier(tree.size, tree.hashes)
    resumed.extend(LEAVES[tree.size : LARGEST])
    assert resumed.root() == naive_root(0, LARGEST)


def test_a_copy_grows_apart():
    tree = Frontier()
    tree.extend(LEAVES[:3])
    copy = tree.copy()
    copy.append(LEAVES[3])
    assert (tree.root(), copy.root()) == (naive_root(0, 3), naive_root(0, 4))


def test_a_subtree_that_does_not_fit_is_refused():
    tree = Frontier()
    tree.extend(LEAVES[:3])
    with pytest.raises(ValueError, match="level 1 does not fit at size 3"):
        tree.append(LEAVES[0], 1)
    with pytest.raises(ValueError, match="needs 2 hashes, not 1"):
        Frontier(3, LEAVES[:1])


def test_every_leaf_of_every_size_is_proven():
    for size in range(1, LARGEST + 1):
        root = naive_root(0, size)
        for index in range(size):
            proof = merkle.inclusion_proof(index, size, node)
            assert merkle.verify_inclusion(LEAVES[index], index, size, proof, root)


def test_every_pair_of_sizes_is_proven():
    for new in range(LARGEST + 1):
        for old in range(new + 1):
            proof = merkle.consistency_proof(old, new, node)
            roots = naive_root(0, old), naive_root(0, new)
            assert merkle.verify_consistency(old, new, *roots, proof)


def test_an_inclusion_proof_that_was_touched_fails():
    for size in (1, 2, 3, 7, 8, 9, 100, 255, 256):
        root = naive_root(0, size)
        for index in {0, 1, size // 2, size - 2, size - 1} & set(range(size)):
            proof = merkle.inclusion_proof(index, size, node)
            for changed in mutations(proof):
                if changed != proof:
                    assert not merkle.verify_inclusion(LEAVES[index], index, size, changed, root)
            for other in {index - 1, index + 1, index + size, -1}:
                assert not merkle.verify_inclusion(LEAVES[index], other, size, proof, root)
            wrong_root = naive_root(0, size - 1)
            assert not merkle.verify_inclusion(LEAVES[index], index, size, proof, wrong_root)
            assert not merkle.verify_inclusion(root, index, size, proof, LEAVES[index][:31])
            wrong_leaf = LEAVES[index - 1] if size > 1 else bytes(32)
            assert not merkle.verify_inclusion(wrong_leaf, index, size, proof, root)


def test_an_inclusion_proof_holds_for_another_size_only_where_its_shape_is_the_same():
    # The path says nothing about sizes that give it the same shape; the signed root does.
    for size in range(2, 40):
        for index in range(size):
            proof = merkle.inclusion_proof(index, size, node)
            for other in (size - 1, size + 1):
                root = naive_root(0, other)
                assert not merkle.verify_inclusion(LEAVES[index], index, other, proof, root)


def test_a_consistency_proof_that_was_touched_fails():
    for old, new in (
        (1, 2),
        (1, 8),
        (2, 3),
        (3, 7),
        (4, 8),
        (6, 8),
        (7, 9),
        (100, 256),
        (128, 129),
    ):
        old_root, new_root = naive_root(0, old), naive_root(0, new)
        proof = merkle.consistency_proof(old, new, node)
        assert merkle.verify_consistency(old, new, old_root, new_root, proof)
        for changed in mutations(proof):
            if changed != proof:
                assert not merkle.verify_consistency(old, new, old_root, new_root, changed)
        for roots in ((new_root, old_root), (bytes(32), new_root), (old_root, bytes(32))):
            assert not merkle.verify_consistency(old, new, *roots, proof)
        assert not merkle.verify_consistency(old, new, old_root, new_root, [])
        assert not merkle.verify_consistency(new, old, new_root, old_root, proof)
        assert not merkle.verify_consistency(-old, new, old_root, new_root, proof)


def test_a_consistency_proof_that_goes_on_above_the_root_fails():
    # Roots made to fit the extra hash: only the shape of the proof gives it away.
    old_root, new_root, extra = naive_root(0, 3), naive_root(0, 7), bytes(32)
    proof = [*merkle.consistency_proof(3, 7, node), extra]
    roots = merkle.node_hash(extra, old_root), merkle.node_hash(extra, new_root)
    assert not merkle.verify_consistency(3, 7, *roots, proof)
    above = merkle.node_hash(extra, naive_root(0, 7))
    proof = [*merkle.inclusion_proof(2, 7, node), extra]
    assert not merkle.verify_inclusion(LEAVES[2], 2, 7, proof, above)


def test_a_rewritten_history_has_no_consistency_proof():
    source = random.Random(1)
    for _ in range(200):
        new = source.randrange(2, LARGEST)
        old = source.randrange(1, new)
        changed = source.randrange(old)
        forged = Frontier()
        forged.extend([*LEAVES[:changed], bytes(32), *LEAVES[changed + 1 : old]])
        proof = merkle.consistency_proof(old, new, node)
        roots = forged.root(), naive_root(0, new)
        assert not merkle.verify_consistency(old, new, *roots, proof)


def test_from_nothing_every_log_grows_but_only_from_the_empty_root():
    root = naive_root(0, 5)
    assert merkle.verify_consistency(0, 5, merkle.EMPTY_ROOT, root, [])
    assert merkle.verify_consistency(0, 0, merkle.EMPTY_ROOT, merkle.EMPTY_ROOT, [])
    assert not merkle.verify_consistency(0, 0, root, root, [])
    assert not merkle.verify_consistency(0, 5, root, root, [])
    assert not merkle.verify_consistency(0, 5, merkle.EMPTY_ROOT, root, [root])


def test_proofs_of_what_is_not_there_are_refused():
    for index, size in ((0, 0), (5, 5), (-1, 5)):
        with pytest.raises(ValueError, match="there is no entry"):
            merkle.inclusion_proof(index, size, node)
    for old, new in ((6, 5), (-1, 5)):
        with pytest.raises(ValueError, match="cannot grow"):
            merkle.consistency_proof(old, new, node)


def test_proofs_of_astronomic_sizes_end():
    proof = [bytes(32)] * 63
    assert not merkle.verify_inclusion(LEAVES[0], 2**62, 2**63 - 1, proof, bytes(32))
    assert not merkle.verify_consistency(2**62 + 1, 2**63 - 1, LEAVES[0], LEAVES[1], proof)
