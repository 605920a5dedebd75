"""Are the classes of tampering those that reports, runbooks and other programs know?"""

import msgspec
import pytest

from operations.audit.findings import AuditFinding, Tampering

pytestmark = pytest.mark.unit


def test_there_is_one_name_for_each_way_of_changing_a_log() -> None:
    assert [str(each) for each in Tampering] == [
        "edit",
        "rehashed edit",
        "deletion",
        "insertion",
        "reorder",
        "truncation",
        "rewrite",
        "fork",
        "missing chain",
        "drifted projection",
        "misused key",
    ]


def test_a_finding_is_readable_by_programs() -> None:
    finding = AuditFinding(Tampering.REHASHED_EDIT, 7, "why")
    assert msgspec.json.encode(finding) == b'["rehashed edit",7,"why"]'
