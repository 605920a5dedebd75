"""Proofs as files that anyone can check: this entry is in the log; the log only grew.

    inclusion (C2SP tlog-proof)           consistency (C2SP tlog-witness, add-checkpoint)
    c2sp.org/tlog-proof@v1                old <size>
    extra <base64>                        <base64 of a hash>
    index <sequence>                      ...
    <base64 of a hash>
    ...                                   <signed checkpoint>

    <signed checkpoint>

    <rotation>                            <rotation>

Rotations follow, a blank line before each, where the log has changed its key: whoever trusts
one key of the log can follow them to the one that signed the checkpoint. `extra` is the previous
hash and the entry itself, so that the file needs nothing beside it but the public key. It is not
trusted: the proof is checked over what it hashes to. Parsing is strict: a file that prints
differently than it was read is refused.
"""

import base64
import binascii
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

from operations.audit import entry as entries
from operations.audit import merkle, rotation
from operations.audit.chain import UNKNOWN
from operations.audit.checkpoint import MAX_SIZE, Checkpoint
from operations.audit.entry import Entry
from operations.audit.identity import identify
from operations.audit.merkle import HASH_BYTES, Node
from operations.audit.note import VerifierKey

INCLUSION_MAGIC = "c2sp.org/tlog-proof@v1"
MAX_HASHES = 63  # of a log with fewer than 2**63 entries; the limit of C2SP tlog-witness too
_MAX_DIGITS = 19


class Inclusion(NamedTuple):
    """The parts of an inclusion proof, of this log or another; `checkpoint` is a signed note."""

    leaf_index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None
    rotations: tuple[str, ...] = ()

    def __str__(self) -> str:
        extra = () if self.extra is None else (f"extra {_base64(self.extra)}",)
        head = (INCLUSION_MAGIC, *extra, f"index {self.leaf_index}", *map(_base64, self.hashes))
        return "\n".join((*head, "", self.checkpoint, *self.rotations))


class Consistency(NamedTuple):
    """The parts of a consistency proof; `checkpoint` is the signed note of the newer size."""

    old: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    rotations: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = (f"old {self.old}", *map(_base64, self.hashes))
        return "\n".join((*head, "", self.checkpoint, *self.rotations))


_Proof = TypeVar("_Proof", Inclusion, Consistency)


def write_inclusion(
    previous: bytes, entry: bytes, size: int, node: Node, note: str, rotations: Iterable[str] = ()
) -> str:
    """Return the proof file of an entry in the log of `size` entries that `note` signs.

    `previous` is the hash of the entry before it, `rotations` are the notes of how the log changed
    its key. Raises ValueError if the log has no such entry.
    """
    index = entries.sequence_of(entry)
    hashes = merkle.inclusion_proof(index, size, node)
    return str(Inclusion(index, tuple(hashes), note, previous + entry, tuple(rotations)))


def write_consistency(
    old: int, new: int, node: Node, note: str, rotations: Iterable[str] = ()
) -> str:
    """Return the proof file that the log of size `new`, which `note` signs, continues size `old`.

    Raises ValueError if `old` is greater than `new`.
    """
    hashes = merkle.consistency_proof(old, new, node)
    return str(Consistency(old, tuple(hashes), note, tuple(rotations)))


def parse_inclusion(text: str) -> Inclusion:
    """Read an inclusion proof of any C2SP log; raises ValueError. Nothing is checked yet."""
    head, checkpoint, rotations = _split(text)
    magic, *lines = head
    if magic != INCLUSION_MAGIC:
        raise ValueError(f"an inclusion proof starts with {INCLUSION_MAGIC}, not {magic[:60]!r}")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = _unbase64(lines.pop(0).removeprefix("extra "), "the extra data")
    if not lines:
        raise ValueError("an inclusion proof has a line `index <number>`")
    index, hashes = _number("index", lines[0]), _hashes(lines[1:])
    proof = Inclusion(index, hashes, checkpoint, extra, rotations)
    return _canonical(proof, text)


def parse_consistency(text: str) -> Consistency:
    """Read a consistency proof of any C2SP log; raises ValueError. Nothing is checked yet."""
    head, checkpoint, rotations = _split(text)
    proof = Consistency(_number("old", head[0]), _hashes(head[1:]), checkpoint, rotations)
    return _canonical(proof, text)


def check_inclusion(text: str, origin: str, keys: Iterable[VerifierKey]) -> Entry:
    """Return the entry that an inclusion proof of this log proves; raises ValueError with why not.

    The checkpoint in it must be signed for the log `origin` by one of `keys`, or by one that the
    rotations in it lead to, as long as that key counted.
    """
    proof = parse_inclusion(text)
    if proof.extra is None or len(proof.extra) <= HASH_BYTES:
        raise ValueError("the proof has no entry in it: `extra` is the previous hash and the entry")
    previous, data = proof.extra[:HASH_BYTES], proof.extra[HASH_BYTES:]
    entry = entries.decode(data)
    if entry.sequence != proof.leaf_index:
        raise ValueError(
            f"the proof is of entry {proof.leaf_index}, the entry says {entry.sequence}"
        )
    trusted = rotation.follow(keys, origin, proof.rotations)
    checkpoint = rotation.open_checkpoint(proof.checkpoint, origin, trusted)
    check_names(entry)
    check_start(origin, entry.sequence, previous)
    leaf = merkle.leaf_hash(entries.link(previous, data))
    if not merkle.verify_inclusion(
        leaf, proof.leaf_index, checkpoint.size, proof.hashes, checkpoint.root
    ):
        raise ValueError(
            f"the hashes do not lead from entry {proof.leaf_index} to the signed root of "
            f"{checkpoint.size} entries: the entry, its previous hash or the proof was changed"
        )
    return entry


def check_consistency(
    text: str, old_note: str, origin: str, keys: Sequence[VerifierKey]
) -> tuple[Checkpoint, Checkpoint]:
    """Return the two checkpoints between which the log only grew; raises ValueError with why not.

    `old_note` is the older signed checkpoint, which the checker kept or got another way. Keys
    count as in `check_inclusion`.
    """
    proof = parse_consistency(text)
    trusted = rotation.follow(keys, origin, proof.rotations)
    old = rotation.open_checkpoint(old_note, origin, trusted)
    new = rotation.open_checkpoint(proof.checkpoint, origin, trusted)
    if proof.old != old.size:
        raise ValueError(f"the proof is from size {proof.old}, the old checkpoint has {old.size}")
    if new.size < old.size:
        raise ValueError(f"the newer checkpoint has {new.size} entries, the older {old.size}")
    if not merkle.verify_consistency(old.size, new.size, old.root, new.root, proof.hashes):
        raise ValueError(
            f"the log of {new.size} entries is not shown to continue the log of {old.size}: "
            "history was rewritten, or the proof was changed"
        )
    return old, new


def check_names(entry: Entry) -> None:
    """Raise ValueError unless actor, action and subject id follow from subject and data."""
    expected: tuple[bytes, ...] = (entries.action_of(entry.subject),)
    shown: tuple[bytes, ...] = (entry.action,)
    if entry.subject.startswith(entries.SUBJECT_PREFIX):
        actor, subject_id = identify(entry.data)
        expected = (actor or UNKNOWN, *expected, subject_id or entry.subject)
        shown = (entry.actor, *shown, entry.subject_id)
    if shown != expected:
        raise ValueError(f"entry {entry.sequence} names {shown!r}, its message says {expected!r}")


def check_start(origin: str, sequence: int, previous: bytes) -> None:
    """Raise ValueError if this is entry 0 and does not start from the genesis hash of `origin`."""
    if sequence == 0 and previous != entries.genesis_hash(origin):
        raise ValueError(f"entry 0 does not start from the genesis hash of log {origin!r}")


def _split(text: str) -> tuple[list[str], str, tuple[str, ...]]:
    signed, rotations = rotation.part(text)
    head, blank, checkpoint = signed.partition("\n\n")
    if not blank or not checkpoint:
        raise ValueError("a proof is its lines, a blank line and a signed checkpoint")
    return head.split("\n"), checkpoint, rotations


def _number(word: str, line: str) -> int:
    digits = line.removeprefix(word + " ")
    if digits == line or not digits.isascii() or not digits.isdigit() or len(digits) > _MAX_DIGITS:
        raise ValueError(f"{line[:60]!r} is not `{word} <number>`")
    if int(digits) >= MAX_SIZE:
        raise ValueError(f"a log has fewer than 2**63 entries, not {digits}")
    return int(digits)


def _hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    if len(lines) > MAX_HASHES:
        raise ValueError(f"a proof has at most {MAX_HASHES} hashes, this has {len(lines)}")
    hashes = tuple(_unbase64(line, "a hash") for line in lines)
    for each in hashes:
        if len(each) != HASH_BYTES:
            raise ValueError(f"a hash has {HASH_BYTES} bytes, not {len(each)}")
    return hashes


def _canonical(proof: _Proof, text: str) -> _Proof:
    if str(proof) != text:
        raise ValueError("the proof is not written in its one canonical form")
    return proof


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unbase64(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(f"{what} {text[:60]!r} is not base64") from error
