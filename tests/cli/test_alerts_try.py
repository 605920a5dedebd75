"""Does one see before the night whether each channel takes a message?"""

import asyncio
import json

import pytest
from commands import Command
from receivers import Answer, mailing, receiving

pytestmark = pytest.mark.integration


@pytest.fixture
def receiver():
    with receiving() as running:
        yield running


async def tried(receiver, mail, folder, *arguments, **more):
    settings = {
        "SLACK_ENABLED": "true",
        "SLACK_WEBHOOK_URL": f"{receiver.url}/services/hook-secret",
        "PAGERDUTY_ENABLED": "true",
        "PAGERDUTY_INTEGRATION_KEY": "integration-secret",
        "MTS_PAGERDUTY_URL": f"{receiver.url}/v2",
        "EMAIL_ALERTS_ENABLED": "true",
        "EMAIL_SMTP_HOST": "127.0.0.1",
        "EMAIL_SMTP_PORT": str(mail.port),
        "EMAIL_TO": "desk@example.org",
        "MTS_EMAIL_SENDER": "mts@example.org",
        "MTS_EMAIL_SMTP_SECURITY": "none",
    }
    command = Command(folder, **settings | more)
    said = await asyncio.to_thread(command, "alerts", "try", *arguments, "--output", "json")
    assert "secret" not in said.out + said.err
    rows = json.loads(said.out) if said.out else []
    return said, {row["channel"]: row["problem"] for row in rows}


async def test_each_channel_that_is_on_gets_one_message_and_an_incident_is_resolved(
    receiver, tmp_path
):
    with mailing() as mail:
        said, found = await tried(receiver, mail, tmp_path)
        assert (said.code, found) == (0, {"slack": "", "pagerduty": "", "email": ""}), said.err
        assert "TEST" in mail.mails[0]["Subject"]
    assert len(receiver.at("/services")) == len(mail.mails) == 1
    began, ended = (each.json for each in receiver.at("/v2"))
    assert (began["event_action"], ended["event_action"]) == ("trigger", "resolve")
    assert began["dedup_key"] == ended["dedup_key"]


async def test_what_is_wrong_with_one_is_said_and_the_others_are_tried(receiver, tmp_path):
    receiver.always = Answer(403)
    with mailing() as mail:
        wrong = {"TELEGRAM_ENABLED": "true"}
        said, found = await tried(receiver, mail, tmp_path, **wrong)
    assert said.code == 1
    assert found["email"] == ""
    assert found["slack"].endswith("answered 403")
    assert "telegram.bot_token" in found["telegram"]


async def test_only_what_is_named_is_tried_and_what_is_off_is_refused(receiver, tmp_path):
    with mailing() as mail:
        said, found = await tried(receiver, mail, tmp_path, "slack")
        assert (said.code, found, mail.mails) == (0, {"slack": ""}, [])
        said, _ = await tried(receiver, mail, tmp_path, "slak")
        assert (said.code, "did you mean slack?" in said.err) == (2, True)
    none = await asyncio.to_thread(Command(tmp_path), "alerts", "try")
    assert (none.code, "no channel is turned on" in none.err) == (2, True)
