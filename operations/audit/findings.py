"""What can be wrong with a log: one name for each way of changing it."""

from enum import StrEnum
from typing import NamedTuple


class Tampering(StrEnum):
    """The classes of change, as reports and exit codes name them."""

    EDIT = "edit"
    REHASHED_EDIT = "rehashed edit"
    DELETION = "deletion"
    INSERTION = "insertion"
    REORDER = "reorder"
    TRUNCATION = "truncation"
    REWRITE = "rewrite"
    FORK = "fork"
    MISSING_CHAIN = "missing chain"
    DRIFTED_PROJECTION = "drifted projection"
    MISUSED_KEY = "misused key"


class AuditFinding(NamedTuple):
    """One thing that is wrong: its class, the first sequence it concerns, and what was seen."""

    tampering: Tampering
    sequence: int
    detail: str
