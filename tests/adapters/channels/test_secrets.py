"""Is a secret of a channel in no error, no traceback and nothing that a command prints?"""

import asyncio
import traceback

import pytest
from commands import Command
from receivers import MESSAGE, Answer, mailing, receiving

from operations.adapters.channels import catalogue
from operations.adapters.channels.sender import Outgoing
from operations.config import KNOWN_NAMES, load
from operations.errors import Rejected, Retryable

pytestmark = pytest.mark.integration
SECRETS = {
    "MTS_TELEGRAM_BOT_TOKEN": "123456:bot-secret",
    "MTS_SLACK_WEBHOOK_URL": "{url}/services/T0/B0/hook-secret",
    "MTS_PAGERDUTY_INTEGRATION_KEY": "integration-secret",
    "MTS_EMAIL_SMTP_PASSWORD": "mail-secret",
    "MTS_WEBHOOK_URL": "{url}/hook?token=query-secret",
    "MTS_WEBHOOK_KEY": "hmac-secret",
    "MTS_NOTION_TOKEN": "notion-secret",
    "MTS_APPRISE_URL": "json://user:apprise-secret@127.0.0.1:{port}/apprise-secret",
    "MTS_ALERTS_PING_URL": "{url}/ping/ping-secret",
}
WORDS = (
    "bot-secret", "hook-secret", "integration-secret", "mail-secret", "query-secret", "hmac-secret",
    "notion-secret", "apprise-secret", "ping-secret",
)  # fmt: skip
ANSWERS = {
    "later": Answer(503),
    "never": Answer(403, body=" ".join(WORDS).encode()),
    "silent": Answer(hangs=True),
    "strange": Answer(200, {"Content-Encoding": "gzip", "Content-Length": "x"}),
}


def environment(port=1, mail_port=1):
    url = f"http://127.0.0.1:{port}"
    on = {f"MTS_{name.upper()}_ENABLED": "true" for name in catalogue.NAMES if name != "email"}
    return {
        **on,
        **{name: value.format(url=url, port=port) for name, value in SECRETS.items()},
        "MTS_EMAIL_ALERTS_ENABLED": "true",
        "MTS_EMAIL_SMTP_HOST": "127.0.0.1",
        "MTS_EMAIL_SMTP_PORT": str(mail_port),
        "MTS_EMAIL_SMTP_SECURITY": "none",
        "MTS_EMAIL_SMTP_USER": "ops",
        "MTS_EMAIL_SENDER": "mts@example.org",
        "MTS_EMAIL_TO": "desk@example.org",
        "MTS_TELEGRAM_CHAT_ID": "7",
        "MTS_TELEGRAM_URL": url,
        "MTS_PAGERDUTY_URL": url,
        "MTS_NOTION_URL": url,
        "MTS_NOTION_DATABASE_ID": "db-1",
        "MTS_ALERTS_TIMEOUT_SECONDS": "0.5",
    }


async def failure(to):
    """Send a message and return what came of it, as a log would write it."""
    try:
        await to.send(Outgoing(MESSAGE, repeated=False))
    except (Rejected, Retryable) as error:
        return "".join(traceback.format_exception(error))
    return ""


@pytest.mark.parametrize("how", [*ANSWERS, "gone"])
async def test_no_error_of_a_channel_and_nothing_behind_it_holds_a_secret(how):
    with receiving() as receiver, mailing() as mail:
        mail.known = ("ops", "another")
        senders, problems = catalogue.senders(load(environment(receiver.port, mail.port)))
        assert (set(senders), problems) == (set(catalogue.NAMES), {})
        if how == "gone":
            receiver.stop()
        else:
            receiver.always = ANSWERS[how]
        said = await asyncio.gather(*map(failure, senders.values()))
        receiver.let_go.set()
    assert sum(map(bool, said)) >= (2 if how == "strange" else len(senders))
    assert not [word for word in WORDS if word in "".join(said)]


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_in_the_wrong_place_is_named_without_its_value(name):
    """It was pasted where a switch, a number, a list or an address belongs."""
    pasted = SECRETS[name].format(url="hooks.example", port=1)
    for setting in (
        "SLACK_ENABLED", "EMAIL_SMTP_PORT", "MTS_ALERTS_BURST", "MTS_SLACK_WEBHOOK_URL_FILE",
        "MTS_WEBHOOK_URL", "MTS_APPRISE_URL", "MTS_NOTION_URL", "MTS_EMAIL_SMTP_SECURITY",
    ):  # fmt: skip
        said = ""
        try:
            made, problems = catalogue.senders(load(environment() | {setting: pasted}))
            said = f"{sorted(made)} {problems}"
        except Rejected as error:
            said = "".join(traceback.format_exception(error))
        assert not [word for word in WORDS if word in said], setting


COMMANDS = (
    ("config", "show"),
    ("config", "explain", "vpin.high"),
    ("env", "--role", "admin"),
    ("status",),
    ("doctor",),
    ("alerts", "list"),
    ("start",),
)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_no_command_prints_a_secret_of_a_channel(tmp_path, arguments):
    known = {name: "x-" + WORDS[0] for name in KNOWN_NAMES if name.endswith(("TOKEN", "PASSWORD"))}
    command = Command(tmp_path, MTS_NATS_URL="nats://127.0.0.1:1", **environment(), **known)
    said = command(*arguments)
    assert not [word for word in WORDS if word in said.out + said.err]
    wrong = Command(tmp_path, MTS_NATS_PORT="x", **environment())(*arguments)
    assert wrong.code
    assert not [word for word in WORDS if word in wrong.out + wrong.err]
