"""Is the roster shown as it is judged, revoked in steps, and published only forward?"""

import asyncio
import json

import msgspec
import pytest
from commands import Command, assert_harmless

from operations.adapters import accounts, halt_view, roster_files, wire
from operations.cli import keys, keys_roster
from operations.config import Nats, Settings
from operations.signing import roles

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("MTS_HOME", str(tmp_path))
    made = Settings(home=str(tmp_path))
    roster_files.ensure_development(made)
    return made


def read(settings):
    root = roster_files.read_public(settings.root_key_path)
    return roster_files.read_roster(settings.roster_path, root, 1, settings.environment)


def test_the_table_of_roles_fits_a_terminal_and_json_says_the_same(capsys, monkeypatch):
    assert keys_roster.roles() == 0
    shown = capsys.readouterr().out
    assert all(len(line) <= 80 for line in shown.splitlines())
    lines = {line[:27].strip(): line[27:].split() for line in shown.splitlines()[3:]}
    keys_roster.roles(output="json")
    for row in json.loads(capsys.readouterr().out):
        expected = ["yes" if role in row["roles"] else "-" for role in roles.PEOPLE]
        assert lines[row["action"]] == expected


def test_the_roster_is_shown_with_what_each_may_do(settings, capsys):
    assert keys_roster.show() == 0
    shown = capsys.readouterr().out
    assert_harmless(shown)
    assert "roster version 1" in shown
    assert "oms.oms-1" in shown
    assert keys_roster.show("operator") == 0
    assert "may cosign that, as another" in capsys.readouterr().out
    assert keys_roster.show("service-halt") == 0
    shown = capsys.readouterr().out
    assert "may command nothing" in shown
    assert "may sign mts.v1.operations.halt.requested" in shown
    assert keys_roster.show("nobody") == 2


def test_the_json_of_a_roster_is_what_can_be_signed_again(settings, capsys):
    keys_roster.show(output="json")
    assert json.loads(capsys.readouterr().out)["version"] == read(settings).body.version


def test_a_revoked_key_stops_counting_in_the_next_version_and_no_other(settings, capsys):
    assert keys_roster.revoke("cosigner") == 0
    after = read(settings)
    assert after.body.version == 2
    revoked = {member.name for member in after.body.members if member.keys[0].revoked_at}
    assert revoked == {"cosigner"}
    at = after.body.members[1].keys[0].revoked_at
    assert keys_roster.revoke("cosigner") == 0
    assert read(settings).body.members[1].keys[0].revoked_at == at
    keys_roster.show("cosigner")
    assert "revoked" in capsys.readouterr().out


def test_a_new_key_is_added_with_its_role_and_its_holder_may_then_do_that(settings, capsys):
    keys.new("alice")
    public = settings.path("keys", "alice.vkey")
    assert keys_roster.add(public, role=("trader",)) == 0
    capsys.readouterr()
    keys_roster.show("alice")
    shown = capsys.readouterr().out
    assert "may halt the firm" in shown
    assert "may resume" not in shown
    assert keys_roster.add(public, role=("trader",)) == 2
    keys.new("oms-4", service=True)
    four = settings.path("keys", "oms-4.vkey")
    assert keys_roster.add(four, role=("oms.oms-4",)) == 0
    member = read(settings).body.members[-1]
    assert (member.name, member.service, member.roles) == ("oms-4", True, ("oms.oms-4",))
    keys.new("eve")
    eve = settings.path("keys", "eve.vkey")
    assert keys_roster.add(eve, role=()) == 2
    assert keys_roster.add(eve, role=("king",)) == 2
    assert "there is no role 'king'" in capsys.readouterr().err
    assert read(settings).body.version == 3


def test_revoking_what_is_not_there_changes_nothing(settings, capsys):
    before = settings.roster_path.read_bytes()
    assert keys_roster.revoke("nobody") == 2
    assert keys_roster.revoke("operator", key_id="00000000") == 2
    root = settings.path("keys", "operator.key")
    assert keys_roster.revoke("cosigner", root=root) == 2
    assert settings.roster_path.read_bytes() == before
    assert "not signed by the root key" in capsys.readouterr().err


def mts(settings, nats_server) -> Command:
    command = Command(
        settings.path(),
        MTS_NATS_URL=nats_server.url,
        MTS_NATS_USER="operator",
        MTS_NATS_PASSWORD=nats_server.password("operator"),
        MTS_NATS_INBOX=accounts.inbox("operator"),
    )
    command.settings["MTS_HOME"] = settings.home
    return command


async def published(settings, nats_server):
    nats = Nats(
        url=nats_server.url,
        user="operator",
        password=nats_server.password("operator"),
        inbox=accounts.inbox("operator"),
    )
    async with wire.connection(nats, "test") as client:
        return await halt_view.published_roster(client, settings)


async def test_a_roster_is_published_once_and_only_forward(settings, nats_server):
    command = mts(settings, nats_server)
    said = await asyncio.to_thread(command, "keys", "publish-roster")
    assert (said.code, said.err) == (0, "")
    assert (await published(settings, nats_server)).body == read(settings).body
    said = await asyncio.to_thread(command, "keys", "publish-roster")
    assert (said.code, "is published already" in said.out) == (0, True)
    old = settings.roster_path.read_bytes()
    assert (await asyncio.to_thread(command, "keys", "revoke", "cosigner")).code == 0
    assert (await asyncio.to_thread(command, "keys", "publish-roster")).code == 0
    assert (await published(settings, nats_server)).body.version == 2
    settings.roster_path.write_bytes(old)
    said = await asyncio.to_thread(command, "keys", "publish-roster")
    assert (said.code, "a roster of version 2 is published" in said.err) == (2, True)


async def test_a_roster_of_another_root_is_not_the_newest(settings, nats_server, tmp_path):
    command = mts(settings, nats_server)
    assert (await asyncio.to_thread(command, "keys", "publish-roster")).code == 0
    other = msgspec.structs.replace(settings, home=str(tmp_path / "thief"))
    roster_files.ensure_development(other)
    thief = mts(other, nats_server)
    assert (await asyncio.to_thread(thief, "keys", "revoke", "operator")).code == 0
    assert (await asyncio.to_thread(thief, "keys", "publish-roster")).code == 0
    assert (await published(settings, nats_server)).body.version == 1
