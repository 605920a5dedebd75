"""Is every cell of the table of roles what the house decided, and are duties separated?"""

from itertools import combinations

import pytest

from operations.errors import Denied, Rejected
from operations.halt.signals import HEARTBEAT, report_subject
from operations.signing import keys, message, roles, roster
from operations.signing.development import development_roster
from operations.signing.message import Message, Signer
from operations.signing.roles import ACTIONS, COMMAND, PEOPLE, right_at, rights_of
from operations.signing.roster import covers

pytestmark = pytest.mark.unit

ROOT = keys.private_key("root", bytes(32))
PLACE = {"origin": "mts.local/audit", "environment": "development"}
AT_NS = 1_800_000_000_000_000_000
# In the order of PEOPLE: viewer, trader, risk_manager, compliance_officer, admin, auditor.
TABLE = """
halt.strategy        - y y y y -
halt.fund            - - y y y -
halt.firm            - y y y y -
cancel_all.strategy  - y y y y -
cancel_all.fund      - - y y y -
cancel_all.firm      - - y y y -
flatten              - - y y - -
resume.strategy      - - y y y -
resume.fund          - - y y - -
resume.firm          - - y y y -
cosign.strategy      - - - - - -
cosign.fund          - - - - - -
cosign.firm          - - y y - -
drill                - - y y y -
release_action       - - y y - -
set_mode.tighten     - y y y y -
set_mode.loosen      - - y y - -
configure.tighten    - y y y y -
configure.loosen     - - y y - -
adopt_stream         - - - - - y
acknowledge          - y y y y -
close_alert          - - y y y -
silence              - - y y y -
halt                 - - - - - -
resume               - - - - - -
cosign               - - - - - -
set_mode             - - - - - -
configure            - - - - - -
anything_else        - - - - - -
"""
CELLS = [
    (line.split()[0], role, cell == "y")
    for line in TABLE.strip().splitlines()
    for role, cell in zip(PEOPLE, line.split()[1:], strict=True)
]


def may(role, right):
    """Judge a signature as every receiver does, with a roster made from the table."""
    key = keys.private_key(f"somebody-{role}", role.encode().ljust(32, b"."))
    document = development_roster(ROOT, {key.public: (role,)}, issued_ns=AT_NS, **PLACE)
    known = roster.verify(document, ROOT.public, 1, PLACE["environment"])
    signature = message.parse(Signer(key, **PLACE)(right, b"{}"))
    try:
        roster.judge(signature, Message(*PLACE.values(), right, b"{}"), known, AT_NS)
    except Denied as error:
        assert "not entitled" in str(error)  # noqa: PT017 (no other refusal counts here)
        return False
    return True


@pytest.mark.parametrize(("action", "role", "allowed"), CELLS)
def test_every_cell(action, role, allowed):
    assert may(role, f"{COMMAND}.{action}") is allowed


def test_every_action_of_the_table_has_a_line_here():
    named = {f"{COMMAND}.{action}" for action, _, _ in CELLS}
    assert {action.right for action in ACTIONS} <= named


def test_an_admin_can_take_no_part_that_ends_a_firm_halt_but_asking():
    assert may("admin", f"{COMMAND}.resume.firm")
    assert not may("admin", f"{COMMAND}.cosign.firm")
    asks = {role for role in PEOPLE if may(role, f"{COMMAND}.resume.firm")}
    completes = {role for role in PEOPLE if may(role, f"{COMMAND}.cosign.firm")}
    assert completes == {"risk_manager", "compliance_officer"} < asks


def test_whoever_may_lift_a_level_may_also_halt_it():
    for level in ("STRATEGY_HALT", "FUND_HALT", "FIRM_HALT"):
        for role in PEOPLE:
            if may(role, right_at(f"{COMMAND}.resume", level)):
                assert may(role, right_at(f"{COMMAND}.halt", level))


def test_roles_that_look_and_prove_move_nothing():
    assert rights_of("viewer") == ()
    assert rights_of("auditor") == (f"{COMMAND}.adopt_stream",)


SERVICES = (
    "halt_worker",
    "limits",
    "watchdogs",
    "actions",
    "evidence",
    "settings",
    "check.audit",
    "check.latency",
    "oms.oms-1",
    "oms.oms-2",
)


def test_no_service_may_command_and_no_person_may_decide_or_find():
    for role in SERVICES:
        assert not any(right.startswith(f"{COMMAND}.") for right in rights_of(role))
        assert not may(role, f"{COMMAND}.resume.strategy")
    for role in PEOPLE:
        assert all(right.startswith(f"{COMMAND}.") for right in rights_of(role))


@pytest.mark.parametrize(("one", "other"), [*combinations(SERVICES, 2)])
def test_every_subject_of_services_has_one_owner(one, other):
    for right in rights_of(one):
        subject = right.replace("*", "raised")
        assert not any(covers(pattern, subject) for pattern in rights_of(other))


def test_a_service_may_sign_its_own_and_not_its_neighbours():
    assert may("oms.oms-1", "mts.v1.operations.halt.acknowledged.oms-1")
    assert may("oms.oms-1", report_subject("oms-1"))
    assert not may("oms.oms-1", "mts.v1.operations.halt.acknowledged.oms-2")
    assert not may("oms.oms-1", "mts.v1.operations.halt.lifted")
    assert may("check.latency", "mts.v1.operations.finding.latency.updated")
    assert not may("check.latency", "mts.v1.operations.finding.drawdown.raised")
    assert may("watchdogs", "mts.v1.operations.finding.vpin.raised")
    assert may("watchdogs", "mts.v1.operations.action.requested")
    assert not may("watchdogs", "mts.v1.operations.halt.requested")
    assert not may("watchdogs", "mts.v1.operations.finding.drawdown.raised")
    assert not may("limits", "mts.v1.operations.action.requested")
    assert may("measure", "mts.v1.operations.service.polled")
    assert not may("measure", "mts.v1.operations.finding.db_watchdog.raised")
    assert not may("watchdogs", "mts.v1.operations.database.measured")
    assert may("oms.oms-1", "mts.v1.operations.action.answered.oms-1")
    assert not may("oms.oms-1", "mts.v1.operations.action.answered.oms-2")
    assert may("actions", "mts.v1.operations.action.released")
    assert not may("actions", "mts.v1.operations.action.requested")
    assert not may("watchdogs", "mts.v1.operations.action.released")
    assert may("limits", "mts.v1.operations.finding.daily_loss.raised")
    assert not may("limits", "mts.v1.operations.halt.requested")
    assert may("halt_worker", "mts.v1.operations.halt.requested")
    assert may("halt_worker", HEARTBEAT)
    assert may("evidence", "mts.v1.operations.halt.documented")
    assert not may("evidence", "mts.v1.operations.halt.lifted")
    assert may("settings", "mts.v1.operations.config.changed")
    assert not may("watchdogs", "mts.v1.operations.config.changed")
    assert not may("halt_worker", "mts.v1.operations.halt.acknowledged.oms-1")


@pytest.mark.parametrize(
    "role",
    [
        "king",
        "check",
        "oms",
        "check.",
        "oms.*",
        "check.>",
        "check.a.b",
        "oms.a b",
        "check.drawdown",  # belongs to limits
        "check.halt",
        "check.vpin",  # belongs to the watchdogs
        "check.oms_oms-1",
        "viewer.x",
        "",
    ],
)
def test_a_role_that_does_not_exist_or_takes_from_a_service_is_refused(role):
    with pytest.raises(Rejected):
        rights_of(role)


def test_a_roster_names_every_role_of_people_and_the_services_it_has():
    made = roles.roster_roles(["oms.oms-1", "auditor", "oms.oms-1"])
    assert list(made) == [*PEOPLE, "oms.oms-1"]
