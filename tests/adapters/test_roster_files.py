"""Does the first start make keys that work, once, and none where money moves?"""

import msgspec
import pytest

from operations.adapters import roster_files
from operations.clock import now_ns, rfc3339
from operations.config import Settings
from operations.errors import Denied, Rejected
from operations.signing import keys, message, roster
from operations.signing.message import Message, Signer
from operations.signing.roster import Body

pytestmark = pytest.mark.unit

HALT = "mts.v1.operations.command.halt"


@pytest.fixture
def settings(tmp_path):
    return Settings(home=str(tmp_path))


def test_the_operator_of_a_first_start_may_halt(settings):
    roster_files.ensure_development(settings)
    folder = settings.path("keys")
    root = roster_files.read_public(folder / "root.vkey")
    known = roster_files.read_roster(settings.roster_path, root, 1, settings.environment)
    key = roster_files.read_private(folder / "operator.key")
    value = Signer(key, settings.audit.origin, settings.environment)(HALT, b"{}")
    signed = Message(settings.audit.origin, settings.environment, HALT, b"{}")
    judged = roster.judge(message.parse(value), signed, known, now_ns(), f"{HALT}.firm")
    assert judged.name == "operator"


def test_private_files_are_private(settings):
    roster_files.ensure_development(settings)
    for name in ("root.key", "operator.key"):
        assert settings.path("keys", name).stat().st_mode & 0o777 == 0o600
    settings.path("keys", "operator.key").chmod(0o640)
    with pytest.raises(Rejected, match="others may read it"):
        roster_files.read_private(settings.path("keys", "operator.key"))


def test_a_second_start_changes_nothing(settings):
    roster_files.ensure_development(settings)
    before = {file: file.read_bytes() for file in settings.path("keys").iterdir()}
    roster_files.ensure_development(settings)
    assert {file: file.read_bytes() for file in settings.path("keys").iterdir()} == before


def test_a_start_that_was_cut_short_is_finished_with_the_same_keys(settings):
    roster_files.ensure_development(settings)
    root = settings.path("keys", "root.key").read_bytes()
    settings.roster_path.unlink()
    settings.path("keys", "root.vkey").unlink()
    roster_files.ensure_development(settings)
    assert settings.path("keys", "root.key").read_bytes() == root
    assert roster_files.read_public(settings.path("keys", "root.vkey"))
    assert settings.roster_path.exists()


def test_nothing_is_made_where_the_environment_is_live(settings):
    live = msgspec.structs.replace(settings, environment="live")
    roster_files.ensure_development(live)
    assert not live.path("keys").exists()


def test_a_development_roster_is_not_believed_where_the_environment_is_live(settings):
    roster_files.ensure_development(settings)
    root = roster_files.read_public(settings.path("keys", "root.vkey"))
    with pytest.raises(Denied, match="for environment 'development'"):
        roster_files.read_roster(settings.roster_path, root, 1, "live")


def test_files_that_are_missing_are_named(settings):
    with pytest.raises(Rejected, match=r"root\.vkey"):
        roster_files.read_public(settings.path("keys", "root.vkey"))
    roster_files.ensure_development(settings)
    root = roster_files.read_public(settings.path("keys", "root.vkey"))
    with pytest.raises(Rejected, match="nowhere"):
        roster_files.read_roster(settings.path("nowhere"), root, 1, "development")


def test_a_roster_that_lacks_somebody_is_issued_again_and_old_signatures_still_count(settings):
    roster_files.ensure_development(settings)
    folder = settings.path("keys")
    root = roster_files.read_private(folder / "root.key")
    whole = roster_files.read_roster(settings.roster_path, root.public, 1, "development").body
    operator = next(member for member in whole.members if member.name == "operator")
    shorter = msgspec.structs.replace(
        whole, members=(msgspec.structs.replace(operator, roles=("viewer",)),), version=7
    )
    settings.roster_path.write_bytes(roster.sign(shorter, root))
    roster_files.ensure_development(settings)
    again = roster_files.read_roster(settings.roster_path, root.public, 8, "development").body
    assert (again.version, again.development) == (8, True)
    assert {each.name for each in again.members} == {each.name for each in whole.members}
    kept = next(member for member in again.members if member.name == "operator")
    assert kept.keys == operator.keys
    assert set(kept.roles) == {"viewer", *operator.roles}
    before = settings.roster_path.read_bytes()
    roster_files.ensure_development(settings)
    assert settings.roster_path.read_bytes() == before


def test_a_roster_of_somebody_else_is_left_as_it_is(settings):
    roster_files.ensure_development(settings)
    foreign = keys.new_key("elsewhere")
    body = Body(origin="x", environment="development", version=3, issued_at=rfc3339(now_ns()))
    for document in (roster.sign(body, foreign), b"nonsense"):
        settings.roster_path.write_bytes(document)
        roster_files.ensure_development(settings)
        assert settings.roster_path.read_bytes() == document


def test_every_service_signs_what_is_its_own_and_nothing_else(settings):
    roster_files.ensure_development(settings)
    folder = settings.path("keys")
    root = roster_files.read_public(folder / "root.vkey")
    known = roster_files.read_roster(settings.roster_path, root, 1, settings.environment)

    def may(name, subject):
        key = roster_files.read_private(folder / f"{name}.key")
        signed = Message(settings.audit.origin, settings.environment, subject, b"{}")
        value = Signer(key, signed.origin, signed.environment)(subject, b"{}")
        try:
            roster.judge(message.parse(value), signed, known, now_ns())
        except Denied:
            return False
        return True

    halt = "mts.v1.operations.halt"
    assert may("service-halt", f"{halt}.requested")
    assert may("service-limits", "mts.v1.operations.finding.drawdown.raised")
    assert may("service-audit", "mts.v1.operations.finding.audit.raised")
    assert may("oms-1", f"{halt}.acknowledged.oms-1")
    assert may("oms-2", "ops.v1.oms.lease.oms-2")
    assert not may("oms-1", f"{halt}.acknowledged.oms-2")
    assert not may("service-limits", f"{halt}.requested")
    assert not may("service-audit", "mts.v1.operations.finding.drawdown.raised")
    assert not may("service-halt", f"{halt}.acknowledged.oms-1")
