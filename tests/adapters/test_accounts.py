"""Does the table of NATS rights give each user what it needs and nothing that it must not have?"""

from pathlib import Path

import pytest

from operations.adapters import accounts, credentials
from workers import WORKERS

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).resolve().parents[2]
BY_NAME = {user.name: user for user in accounts.USERS}


def test_the_deployed_configuration_is_the_one_made_from_the_table():
    text = (REPOSITORY / "deploy" / "nats.conf").read_text()
    assert text == accounts.deployed_configuration(), "run make contract"


def test_every_worker_has_a_user_and_a_database_role():
    assert set(WORKERS) <= set(BY_NAME)
    assert set(WORKERS) <= set(credentials.WORKER_ROLES)


@pytest.mark.parametrize("user", accounts.USERS[1:], ids=lambda user: user.name)
def test_nobody_but_the_administrator_may_change_the_stream_or_hear_everything(user):
    for subject in user.publish:
        assert subject != ">"
        assert not subject.startswith(("$JS.API.STREAM.CREATE", "$JS.API.STREAM.UPDATE"))
        assert not subject.startswith(("$JS.API.STREAM.PURGE", "$JS.API.STREAM.DELETE"))
        assert not subject.startswith("$SYS")
        assert not subject.startswith("_INBOX") or subject == f"{user.inbox}.>"
    assert ">" not in user.subscribe
    assert not any(subject.startswith("_INBOX") for subject in user.subscribe)


def test_a_user_without_rights_to_publish_is_denied_everything():
    text = accounts.render_users(lambda user: user.name)
    assert "allow: []" not in text
    silent = accounts.User(name="silent")
    assert 'deny: [">"]' in "\n".join(accounts._render_user(silent, "x"))


def test_the_embedded_server_listens_on_loopback_only_and_syncs_always():
    text = accounts.embedded_configuration(
        {user.name: 'with "quotes"' for user in accounts.USERS},
        port=1,
        monitor_port=2,
        store_folder="/data",
        log_file="/log",
        log_megabytes=3,
        logs_kept=4,
    )
    assert "0.0.0.0" not in text
    assert "sync_interval: always" in text
    assert r'"with \"quotes\""' in text
