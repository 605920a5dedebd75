"""Are keys made once, kept from others, and good for a roster?"""

import json

import pytest

from operations.cli import keys
from operations.errors import Denied, Rejected
from operations.signing import keys as signing_keys

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MTS_HOME", str(tmp_path))
    return tmp_path


def test_a_new_key_is_readable_by_its_holder_only(home, capsys):
    keys.new("alice")
    private, public = home / "keys" / "alice.key", home / "keys" / "alice.vkey"
    assert private.stat().st_mode & 0o777 == 0o600
    assert (home / "keys").stat().st_mode & 0o777 == 0o700
    printed = capsys.readouterr().out
    assert printed == public.read_text()
    assert "PRIVATE" not in printed
    key = signing_keys.parse_private(private.read_text())
    assert key.public == signing_keys.parse_public(printed)


def test_a_key_is_never_overwritten(home):
    keys.new("alice")
    before = (home / "keys" / "alice.key").read_bytes()
    with pytest.raises(Rejected, match="exists; move it away"):
        keys.new("alice")
    assert (home / "keys" / "alice.key").read_bytes() == before


@pytest.mark.parametrize("name", ["../alice", ".alice", "a b", ""])
def test_a_name_that_cannot_name_a_file_is_refused(home, name):
    with pytest.raises(Rejected, match="cannot name"):
        keys.new(name)
    assert not (home / "keys").exists()


def test_a_key_with_a_role_becomes_a_member_of_a_signed_roster(home, capsys):
    keys.new("root")
    capsys.readouterr()
    keys.new("alice", role=("risk_manager",))
    member = json.loads(capsys.readouterr().out.partition("\n")[2])
    body = {
        "origin": "mts.local/audit",
        "environment": "development",
        "version": 3,
        "issued_at": "2026-11-20T00:00:00Z",
        "roles": {"risk_manager": ["mts.v1.operations.command.>"]},
        "members": [member],
    }
    (home / "body.json").write_text(json.dumps(body))
    root = home / "keys" / "root"
    signed = home / "roster.json"
    keys.sign_roster(home / "body.json", root=root.with_suffix(".key"), to=signed)
    keys.check_roster(signed, root=root.with_suffix(".vkey"))
    assert "alice: risk_manager" in capsys.readouterr().out
    with pytest.raises(Denied, match="older than 4"):
        keys.check_roster(signed, root=root.with_suffix(".vkey"), lowest_version=4)
    with pytest.raises(Denied, match="not signed by the root key"):
        keys.check_roster(signed, root=home / "keys" / "alice.vkey")


def test_a_roster_that_is_none_is_rejected(home):
    (home / "body.json").write_text("{}")
    with pytest.raises(Rejected, match="cannot read the roster"):
        keys.sign_roster(home / "body.json", root=home / "x", to=home / "y")
    with pytest.raises(Rejected, match="cannot read the public key"):
        keys.check_roster(home / "nowhere", root=home / "nowhere")
