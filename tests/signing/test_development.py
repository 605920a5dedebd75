"""Does the roster of the first day work, and only where nothing is live?"""

import pytest

from operations.clock import parse_rfc3339
from operations.errors import Denied, Rejected
from operations.signing import keys, message, roster
from operations.signing.development import VALID_NS, development_roster
from operations.signing.message import Message, Signer

pytestmark = pytest.mark.unit

ROOT = keys.private_key("root", bytes(32))
OPERATOR = keys.private_key("operator", b"o" * 32)
NOON = parse_rfc3339("2026-11-20T12:00:00Z")
HALT = "mts.v1.operations.command.halt"
FIRM = f"{HALT}.firm"


def document(environment="development", roles=("risk_manager",)):
    holders = {OPERATOR.public: roles}
    return development_roster(
        ROOT, holders, origin="mts.local/audit", environment=environment, issued_ns=NOON
    )


def test_the_operator_of_the_first_day_may_halt_for_a_year():
    known = roster.verify(document(), ROOT.public, 1, "development")
    signer = Signer(OPERATOR, "mts.local/audit", "development")
    signed = Message("mts.local/audit", "development", HALT, b"{}")
    signature = message.parse(signer(HALT, b"{}"))
    assert roster.judge(signature, signed, known, NOON, FIRM).name == "operator"
    assert roster.judge(signature, signed, known, NOON + VALID_NS - 1, FIRM).name == "operator"
    with pytest.raises(Denied, match="expired"):
        roster.judge(signature, signed, known, NOON + VALID_NS, FIRM)


def test_it_is_refused_where_the_environment_is_live():
    with pytest.raises(Denied, match="marked development"):
        roster.verify(document("live"), ROOT.public, 1, "live")


def test_it_is_the_same_file_for_the_same_input():
    assert document() == document()


def test_a_role_that_does_not_exist_is_refused():
    with pytest.raises(Rejected, match="king"):
        document(roles=("king",))
