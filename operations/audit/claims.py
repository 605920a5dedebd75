"""What the checkpoints of a log say, compared with what its entries come to.

A root that was recomputed needs no signature to be believed; a signature says which root the log
is bound to. So every checkpoint is one of four: signed and right, signed and wrong (the log was
changed, or two logs were signed), not signed by the log's key, or beyond the entries there are.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from operations.audit import rotation
from operations.audit.checkpoint import Checkpoint
from operations.audit.findings import AuditFinding, Tampering
from operations.audit.note import NoteError
from operations.audit.rotation import TrustedKeys


class Claim(NamedTuple):
    """A checkpoint that the log's key signed."""

    checkpoint: Checkpoint
    signed_at_ns: int


class Claims(NamedTuple):
    """The checkpoints that hold, smallest first, and what is wrong with the others."""

    signed: list[Claim]
    findings: list[AuditFinding]


def open_all(notes: Iterable[tuple[int, str]], origin: str, trusted: TrustedKeys) -> Claims:
    """Check the signatures of (time in ns, note) pairs; a note that fails is a misused key.

    So is a checkpoint that a retired key signed at a size after its retirement.
    """
    signed, findings = [], []
    for signed_at_ns, note in notes:
        try:
            opened = rotation.open_checkpoint(note, origin, trusted)
        except NoteError as error:
            detail = f"a checkpoint is not signed by the key of this log: {error}"
            findings.append(AuditFinding(Tampering.MISUSED_KEY, _claimed_size(note), detail))
        else:
            signed.append(Claim(opened, signed_at_ns))
    signed.sort(key=lambda claim: (claim.checkpoint.size, claim.signed_at_ns))
    return Claims(signed, findings + _forks(signed))


def _claimed_size(note: str) -> int:
    try:
        return int(note.split("\n")[1])
    except (IndexError, ValueError):
        return 0


def _forks(signed: list[Claim]) -> list[AuditFinding]:
    """Return a finding for each size that was signed with two roots."""
    roots: dict[int, bytes] = {}
    return [
        AuditFinding(Tampering.FORK, size, f"two different roots were signed at size {size}")
        for size, root in (claim.checkpoint[1:] for claim in signed)
        if roots.setdefault(size, root) != root
    ]


def compare(signed: list[Claim], roots: Mapping[int, bytes]) -> tuple[int, AuditFinding | None]:
    """Compare signed roots with recomputed ones (by size).

    Returns the largest size up to which the log is what was signed, and a fork if a larger
    signature holds too: then the same key signed two logs.
    """
    agreed, differs = 0, None
    for claim in signed:
        size, root = claim.checkpoint.size, claim.checkpoint.root
        if size not in roots:
            continue
        if roots[size] == root:
            if differs is not None:
                detail = f"the key signed this log at size {size} and another one at {differs}"
                return agreed, AuditFinding(Tampering.FORK, agreed, detail)
            agreed = size
        elif differs is None:
            differs = size
    return agreed, None
