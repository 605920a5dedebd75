"""Settings come from the environment or settings.toml, and nothing else is one."""

import pytest

from operations import config
from operations.adapters import accounts, credentials
from operations.alert_settings import KNOWN_NAMES, Slack
from operations.cli import compose_secrets
from operations.errors import Rejected
from workers import WORKERS

pytestmark = pytest.mark.unit


def test_the_environment_counts_more_than_the_file(tmp_path):
    (tmp_path / "settings.toml").write_text("stop_seconds = 7\n[nats]\nport = 1\nuser = 'file'\n")
    found = config.load({"MTS_HOME": str(tmp_path), "MTS_NATS_PORT": "2"})
    assert (found.nats.port, found.nats.user, found.stop_seconds) == (2, "file", 7.0)


@pytest.mark.parametrize("name", ["MTS_NATS_STREAM", "MTS_NATS", "MTS_PORT"])
def test_an_unknown_setting_in_the_environment_is_refused(tmp_path, name):
    with pytest.raises(Rejected, match=f"unknown setting {name} "):
        config.load({"MTS_HOME": str(tmp_path), name: "1"})


@pytest.mark.parametrize("text", ["[nats]\nstream = 'X'", "more = 1", "[nats]\nport = 'a'", "["])
def test_what_is_wrong_in_the_file_is_refused_with_its_place(tmp_path, text):
    (tmp_path / "settings.toml").write_text(text)
    with pytest.raises(Rejected, match=r"settings\.toml"):
        config.load({"MTS_HOME": str(tmp_path)})


@pytest.mark.parametrize("number", ["0", "-1", "nan", "inf"])
def test_a_time_in_which_pagers_would_ring_without_end_or_never_is_refused(tmp_path, number):
    variables = {"MTS_HOME": str(tmp_path), "MTS_ALERTS_REPAGE_MINUTES": number}
    with pytest.raises(Rejected, match="repage_minutes"):
        config.load(variables)


def test_the_name_of_the_stream_is_the_one_that_the_rights_speak_of(tmp_path):
    assert config.load({"MTS_HOME": str(tmp_path)}).nats.stream == accounts.STREAM == "MTS"


def test_what_is_said_about_checks_is_kept_as_it_stands(tmp_path):
    (tmp_path / "settings.toml").write_text(
        '[watchdogs.vpin]\nthreshold = 0.5\n[watchdogs.vpin.funds.alpha]\nmode = "act"\n'
    )
    variables = {"MTS_HOME": str(tmp_path), "MTS_WATCHDOGS_VPIN_THRESHOLD": "0.6"}
    found = config.load(variables).watchdogs
    assert found.file == {"vpin": {"threshold": 0.5, "funds": {"alpha": {"mode": "act"}}}}
    assert found.environment == {"MTS_WATCHDOGS_VPIN_THRESHOLD": "0.6"}
    (tmp_path / "settings.toml").write_text("watchdogs = 1\n")
    with pytest.raises(Rejected, match="must be a table"):
        config.load(variables)
    with pytest.raises(Rejected, match="MTS_WATCHDOG_VPIN"):
        config.load({"MTS_WATCHDOG_VPIN": "1"})


def test_names_that_users_know_are_read_without_their_prefix_and_count_less(tmp_path):
    home = {"MTS_HOME": str(tmp_path)}
    known = {"SLACK_ENABLED": "true", "EMAIL_SMTP_PORT": "25", "PAGERDUTY_INTEGRATION_KEY": ""}
    found = config.load(home | known | {"MTS_EMAIL_SMTP_PORT": "2525"})
    assert (found.slack.enabled, found.email.smtp_port) == (True, 2525)
    assert found.pagerduty.integration_key == ""
    variables = {setting.variable for setting in config.catalogue()}
    assert {f"MTS_{name}" for name in KNOWN_NAMES} <= variables


def test_secrets_of_channels_reach_no_process_but_the_one_that_sends(tmp_path, nats_secrets):
    slack = Slack(webhook_url="https://hooks.example/secret-1")
    settings = config.Settings(home=str(tmp_path), slack=slack)
    for worker in WORKERS:
        given = credentials.worker_environment(settings, worker, 1)
        assert ("secret-1" in given["MTS_SLACK_WEBHOOK_URL"]) is (worker == "notifications")
    secrets = {setting.variable for setting in config.catalogue() if setting.secret}
    assert {"MTS_TELEGRAM_BOT_TOKEN", "MTS_EMAIL_SMTP_PASSWORD", "MTS_ALERTS_PING_URL"} <= secrets


@pytest.fixture
def nats_secrets(tmp_path):
    """The passwords that a first start makes."""
    for name in compose_secrets.names():
        credentials.ensure_secret(tmp_path / "secrets" / name)
