"""Is everybody who may not sign refused, with the reason, and everybody else let through?"""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.clock import parse_rfc3339
from operations.errors import Denied, Rejected
from operations.signing import keys, message, roster
from operations.signing.message import Message, Signer
from operations.signing.roster import Body, Key, Member

pytestmark = pytest.mark.unit

ORIGIN, ENVIRONMENT = "mts.local/audit", "live"
HALT = "mts.v1.operations.command.halt"
RESUME = "mts.v1.operations.command.resume"
ROOT = keys.private_key("root", bytes(32))
ALICE = keys.private_key("alice", b"a" * 32)
BOB = keys.private_key("bob", b"b" * 32)
NOON = parse_rfc3339("2026-11-20T12:00:00Z")
DAY = 86_400 * 10**9


def key(private, **changes):
    times = {"valid_from": "2026-11-20T00:00:00Z", "valid_until": "2026-11-21T00:00:00Z"}
    return Key(public_key=str(private.public), **(times | changes))


def body(**changes):
    return msgspec.structs.replace(
        Body(
            origin=ORIGIN,
            environment=ENVIRONMENT,
            version=7,
            issued_at="2026-11-20T00:00:00Z",
            roles={"trader": (HALT,), "risk_manager": ("mts.v1.operations.command.>",)},
            members=(
                Member(name="Alice", roles=("trader",), keys=(key(ALICE),)),
                Member(name="Bob", roles=("risk_manager",), keys=(key(BOB),)),
            ),
        ),
        **changes,
    )


def read(document, lowest_version=1):
    return roster.verify(document, ROOT.public, lowest_version, ENVIRONMENT)


def judged(private, subject=HALT, at_ns=NOON, changes=(), right=""):
    """Sign as the holder would and judge as a receiver would."""
    known = read(roster.sign(body(**dict(changes)), ROOT))
    value = Signer(private, ORIGIN, ENVIRONMENT)(subject, b"{}")
    signed = Message(ORIGIN, ENVIRONMENT, subject, b"{}")
    return roster.judge(message.parse(value), signed, known, at_ns, right)


def test_a_holder_with_the_right_is_named():
    assert judged(ALICE).name == "Alice"
    assert judged(BOB, RESUME).name == "Bob"


def test_an_unknown_key_is_denied():
    with pytest.raises(Denied, match="unknown key: mallory"):
        judged(keys.private_key("mallory", b"m" * 32))


def test_another_key_under_a_known_name_is_denied():
    with pytest.raises(Denied, match="unknown key: alice"):
        judged(keys.private_key("alice", b"m" * 32))


def test_a_role_without_the_right_is_denied():
    with pytest.raises(Denied, match=r"not entitled: Alice \(trader\) may not sign .*resume"):
        judged(ALICE, RESUME)


def test_a_right_can_be_asked_beyond_the_subject():
    with pytest.raises(Denied, match="not entitled"):
        judged(ALICE, HALT, right="level.FIRM_HALT")


@pytest.mark.parametrize(
    ("at_ns", "reason"),
    [
        (NOON - DAY // 2 - 1, "not yet valid"),
        (NOON - DAY // 2, None),
        (NOON + DAY // 2 - 1, None),
        (NOON + DAY // 2, "expired"),
    ],
)
def test_validity_runs_from_its_first_nanosecond_to_before_its_last(at_ns, reason):
    if reason is None:
        assert judged(ALICE, at_ns=at_ns).name == "Alice"
    else:
        with pytest.raises(Denied, match=reason):
            judged(ALICE, at_ns=at_ns)


def test_a_revoked_key_counts_until_it_was_revoked():
    revoked = (
        Member(
            name="Alice", roles=("trader",), keys=(key(ALICE, revoked_at="2026-11-20T12:00:00Z"),)
        ),
    )
    changes = {"members": revoked}.items()
    assert judged(ALICE, at_ns=NOON - 1, changes=changes).name == "Alice"
    with pytest.raises(Denied, match="revoked"):
        judged(ALICE, at_ns=NOON, changes=changes)


@pytest.mark.parametrize(
    "signed",
    [
        Message(ORIGIN, ENVIRONMENT, HALT, b"{ }"),
        Message(ORIGIN, ENVIRONMENT, RESUME, b"{}"),
    ],
)
def test_a_signature_for_another_payload_or_subject_is_denied(signed):
    known = read(roster.sign(body(), ROOT))
    value = Signer(BOB, ORIGIN, ENVIRONMENT)(HALT, b"{}")
    with pytest.raises(Denied, match="bad signature"):
        roster.judge(message.parse(value), signed, known, NOON)


@pytest.mark.parametrize(("origin", "environment"), [("x", ENVIRONMENT), (ORIGIN, "drill")])
def test_a_signature_made_for_elsewhere_is_denied(origin, environment):
    known = read(roster.sign(body(), ROOT))
    signature = message.parse(Signer(BOB, origin, environment)(HALT, b"{}"))
    with pytest.raises(Denied, match="bad signature"):
        roster.judge(signature, Message(ORIGIN, ENVIRONMENT, HALT, b"{}"), known, NOON)
    with pytest.raises(Denied, match="wrong environment"):
        roster.judge(signature, Message(origin, environment, HALT, b"{}"), known, NOON)


def test_only_the_root_key_signs_rosters():
    with pytest.raises(Denied, match="not signed by the root key"):
        read(roster.sign(body(), BOB))


def test_an_older_roster_is_refused():
    document = roster.sign(body(), ROOT)
    assert read(document, 7).body.version == 7
    with pytest.raises(Denied, match="older than 8"):
        read(document, 8)


def test_a_roster_for_another_environment_is_refused():
    with pytest.raises(Denied, match="for environment 'drill'"):
        read(roster.sign(body(environment="drill"), ROOT))


def test_a_development_roster_is_refused_where_the_environment_is_live():
    document = roster.sign(body(development=True), ROOT)
    with pytest.raises(Denied, match="marked development"):
        read(document)
    drill = roster.sign(body(development=True, environment="drill"), ROOT)
    assert roster.verify(drill, ROOT.public, 1, "drill").body.development


def test_the_higher_version_wins_and_two_of_one_version_are_refused():
    seven = read(roster.sign(body(), ROOT))
    eight = read(roster.sign(body(version=8), ROOT))
    other = read(roster.sign(body(issued_at="2026-11-20T00:00:01Z"), ROOT))
    assert roster.newer(seven, eight) is eight
    assert roster.newer(eight, seven) is eight
    assert roster.newer(seven, read(seven.document)) is seven
    with pytest.raises(Denied, match="two different rosters have version 7"):
        roster.newer(seven, other)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"issued_at": "yesterday"}, "malformed"),
        ({"members": (Member(name="A", roles=("king",)),)}, "roles without rights: king"),
        ({"members": (Member(name="A"), Member(name="A"))}, "twice"),
        ({"members": (Member(name="A", keys=(key(BOB), key(BOB))),)}, "twice"),
    ],
)
def test_a_malformed_roster_is_never_signed(changes, reason):
    with pytest.raises(Rejected, match=reason):
        roster.sign(body(**changes), ROOT)


@given(st.data())
def test_no_changed_roster_is_accepted_with_another_meaning(data):
    document = roster.sign(body(), ROOT)
    place = data.draw(st.integers(0, len(document) - 1))
    changed = document[:place] + data.draw(st.binary(max_size=3)) + document[place + 1 :]
    with contextlib.suppress(Denied, Rejected):
        assert read(changed).body == body()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_roster_or_refused(document):
    with pytest.raises((Denied, Rejected)):
        read(document)


@pytest.mark.parametrize(
    ("pattern", "subject", "covered"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.b.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("a.*.c", "a.b.c", True),
        ("*.b", "c.b", True),
        (">", "a", True),
        ("a.b", "A.b", False),
    ],
)
def test_a_pattern_covers_what_the_bus_would_deliver(pattern, subject, covered):
    assert roster.covers(pattern, subject) is covered


def test_a_revoked_key_counts_until_then_and_a_second_revocation_changes_nothing_of_it():
    after = roster.revoked(body(), "Alice", NOON)
    assert (after.version, after.members[1]) == (8, body().members[1])
    known = read(roster.sign(after, ROOT))
    signed = Message(ORIGIN, ENVIRONMENT, HALT, b"{}")
    signature = message.parse(Signer(ALICE, ORIGIN, ENVIRONMENT)(HALT, b"{}"))
    assert roster.judge(signature, signed, known, NOON - 1).name == "Alice"
    with pytest.raises(Denied, match="revoked"):
        roster.judge(signature, signed, known, NOON)
    again = roster.revoked(after, "Alice", NOON + DAY)
    assert again.members == after.members


def test_only_a_key_that_is_there_can_be_revoked():
    one = ALICE.public.key_id
    assert roster.revoked(body(), "Alice", NOON, one).members[0].keys[0].revoked_at
    for name, key_id in (("Carol", ""), ("Alice", BOB.public.key_id)):
        with pytest.raises(Rejected, match="has no key"):
            roster.revoked(body(), name, NOON, key_id)


def test_a_key_joins_a_member_or_makes_one_and_is_never_there_twice():
    carol = keys.private_key("Carol", b"c" * 32).public
    rights = {"trader": (HALT,)}
    after = roster.with_key(body(), carol, rights, NOON, NOON + DAY)
    assert (after.version, after.members[-1].name, after.members[-1].roles) == (
        8, "Carol", ("trader",),
    )  # fmt: skip
    second = keys.private_key("Carol", b"d" * 32).public
    both = roster.with_key(after, second, {"oms.x": ("ops.x",)}, NOON, NOON + DAY, service=True)
    assert len(both.members[-1].keys) == 2
    assert (both.members[-1].service, both.roles["oms.x"]) == (True, ("ops.x",))
    assert len(read(roster.sign(both, ROOT)).holders) == 4
    with pytest.raises(Rejected, match="already"):
        roster.with_key(both, carol, rights, NOON, NOON + DAY)
