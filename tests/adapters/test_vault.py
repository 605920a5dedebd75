"""Does our client read what Vault's HTTP interface says, keep its token, and know an outage?"""

import pytest
from fake_vault import FakeVault

from operations.adapters.vault import Vault
from operations.config import Vault as Settings
from operations.errors import Retryable

pytestmark = pytest.mark.integration
FIRM, ALPHA = "mts/firm", "mts/funds/alpha"


@pytest.fixture
def server():
    made = FakeVault()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def by_token(server, tmp_path):
    file = tmp_path / "token"
    _write(file, server.issue())
    return Vault(Settings(url=server.url, token_file=str(file)))


@pytest.fixture
def by_role(server, tmp_path):
    server.roles["role-1"] = "secret-1"
    file = tmp_path / "secret-id"
    _write(file, "secret-1")
    return Vault(Settings(url=server.url, role_id="role-1", secret_id_file=str(file)))


def _write(file, text):
    file.write_text(f"{text}\n")
    file.chmod(0o600)


def trouble(vault):
    with pytest.raises(Retryable) as found:
        vault.look()
    return str(found.value)


def test_every_secret_is_read_with_its_version_and_who_says_why(server, by_token):
    assert by_token.look() == []
    server.put(FIRM, {"vpin.threshold": "0.5"})
    server.put(ALPHA, {"vpin.threshold": "0.4"})
    server.put(ALPHA, {"vpin.threshold": 0.6}, actor="alice", reason="new venue")
    server.put(f"{ALPHA}/below", {"vpin.threshold": "0.1"})
    firm, alpha = by_token.look()
    assert (firm.fund_id, firm.version, firm.values) == ("", 1, {"vpin.threshold": "0.5"})
    assert (firm.actor, firm.reason) == ("", "")
    assert (alpha.fund_id, alpha.version, alpha.values) == ("alpha", 2, {"vpin.threshold": 0.6})
    assert (alpha.path, alpha.actor, alpha.reason) == (f"secret/{ALPHA}", "alice", "new venue")
    assert alpha.created_at.endswith("Z")


def test_a_deleted_version_has_no_values_and_a_missing_secret_is_not_there(server, by_token):
    server.put(ALPHA, {"vpin.threshold": "0.4"})
    server.delete(ALPHA)
    (deleted,) = by_token.look()
    assert (deleted.values, deleted.version) == (None, 1)
    server.destroy(ALPHA)
    assert by_token.look() == []


def test_a_role_logs_in_once_and_renews_its_token_when_half_of_its_time_is_over(server, by_role):
    by_role.look()
    by_role.look()
    assert (server.logins, server.renewals) == (1, 0)
    server.advance(1700)
    by_role.look()
    assert server.renewals == 0
    server.advance(150)
    by_role.look()
    assert (server.logins, server.renewals) == (1, 1)
    for _ in range(5):
        server.advance(2000)
        by_role.look()
    assert (server.logins, server.renewals) == (1, 6)


def test_a_token_of_a_file_is_renewed_too_and_one_without_end_is_left_alone(server, by_token):
    server.advance(1900)
    by_token.look()
    assert server.renewals == 1
    server.tokens[next(iter(server.tokens))] |= {"creation_ttl": 0, "ends_ns": None}
    server.advance(10**6)
    by_token.look()
    assert server.renewals == 1


def test_a_role_whose_token_ended_or_was_revoked_logs_in_again(server, by_role):
    by_role.look()
    server.advance(4000)
    by_role.look()
    assert server.logins == 2
    server.tokens.clear()
    by_role.look()
    assert server.logins == 3


def test_a_token_that_cannot_be_renewed_is_replaced_before_it_ends(server, by_role):
    server.renewable = False
    by_role.look()
    server.advance(1900)
    by_role.look()
    assert (server.logins, server.renewals) == (2, 0)


def test_a_token_file_is_read_again_when_its_token_is_refused(server, by_token, tmp_path):
    by_token.look()
    server.tokens.clear()
    assert "refuses our token or its policy" in trouble(by_token)
    _write(tmp_path / "token", server.issue())
    assert by_token.look() == []


def test_a_secret_id_that_is_refused_is_trouble_and_no_token_is_shown(server, by_role):
    server.roles["role-1"] = "another"
    said = trouble(by_role)
    assert "invalid role or secret ID" in said
    assert "secret-1" not in said


@pytest.mark.parametrize("path", [f"secret/data/{ALPHA}", "secret/metadata/mts/funds"])
def test_a_policy_that_hides_one_path_is_an_outage_and_never_no_settings(server, by_token, path):
    server.put(ALPHA, {"vpin.threshold": "0.4"})
    server.denied.add(path)
    assert "permission denied" in trouble(by_token)


def test_a_sealed_one_a_dead_one_and_what_is_no_vault_are_outages(server, by_token):
    server.put(ALPHA, {"vpin.threshold": "0.4"})
    server.sealed = True
    assert "Vault is sealed" in trouble(by_token)
    server.sealed = False
    assert len(by_token.look()) == 1
    for broken in (b"<html>", b"[]", b"{}", b'{"data": {}}'):
        server.broken = broken
        assert "hvs." not in trouble(by_token)
    server.broken = None
    server.stop()
    assert "does not answer" in trouble(by_token)
    server.start()
    assert len(by_token.look()) == 1


def test_without_a_token_it_says_which_setting_is_missing(server):
    assert "vault.token_file is empty" in trouble(Vault(Settings(url=server.url)))
