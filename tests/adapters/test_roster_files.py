"""Does the first start make keys that work, once, and none where money moves?"""

import msgspec
import pytest

from operations.adapters import roster_files
from operations.clock import now_ns
from operations.config import Settings
from operations.errors import Denied, Rejected
from operations.signing import message, roster
from operations.signing.message import Message, Signer

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
