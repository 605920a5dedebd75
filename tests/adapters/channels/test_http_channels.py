"""What each channel on the web sends, byte for byte, and what it makes of every kind of answer."""

import hashlib
import hmac
import json
import socket

import pytest
from msgspec.structs import replace
from receivers import MESSAGE, Answer, receiving
from support import eventually

from operations.adapters.channels import http
from operations.adapters.channels.apprise import AppriseSender
from operations.adapters.channels.notion import NotionSender
from operations.adapters.channels.pagerduty import PagerdutySender
from operations.adapters.channels.sender import Outgoing, Undelivered
from operations.adapters.channels.slack import SlackSender
from operations.adapters.channels.telegram import TelegramSender
from operations.adapters.channels.webhook import WebhookSender
from operations.alert_settings import Apprise, Notion, Pagerduty, Slack, Telegram, Webhook
from operations.errors import Rejected
from operations.notifications.message import REPEATED

pytestmark = pytest.mark.integration
SECONDS = 60.0
SHORT_SECONDS = 1.0  # for who does not answer
TEXT = "[critical] <!channel> toxic & bad\nfund: alpha\nrunbook: docs/runbooks/vpin.md"


def senders(url, seconds: float = SECONDS):
    return {
        "telegram": TelegramSender(Telegram(bot_token="t-1", chat_id="7", url=url), seconds),
        "slack": SlackSender(Slack(webhook_url=f"{url}/services/s-1"), seconds),
        "pagerduty": PagerdutySender(
            Pagerduty(integration_key="p-1", url=f"{url}/v2/enqueue"), seconds
        ),
        "webhook": WebhookSender(Webhook(url=f"{url}/hook?a=b", key="w-1"), seconds),
        "notion": NotionSender(Notion(token="n-1", database_id="db-1", url=url), seconds),
    }


WEB = ("telegram", "slack", "pagerduty", "webhook", "notion")
# What each channel posts, and where.
EXPECTED = {
    "telegram": (
        "/bott-1/sendMessage",
        {"chat_id": "7", "text": TEXT, "disable_web_page_preview": True},
    ),
    "slack": (
        "/services/s-1",
        {
            "text": TEXT.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
            "mrkdwn": False,
            "unfurl_links": False,
            "unfurl_media": False,
        },
    ),
    "pagerduty": (
        "/v2/enqueue",
        {
            "routing_key": "p-1",
            "event_action": "trigger",
            "dedup_key": "k-1",
            "payload": {
                "summary": MESSAGE.headline,
                "source": "AAPL",
                "severity": "critical",
                "timestamp": MESSAGE.created_at,
                "custom_details": {"text": "fund: alpha\nrunbook: docs/runbooks/vpin.md"},
            },
        },
    ),
    "webhook": (
        "/hook?a=b",
        {
            "message_id": "m-1",
            "key": "k-1",
            "channel": "any",
            "action": "raise",
            "severity": "critical",
            "headline": MESSAGE.headline,
            "lines": list(MESSAGE.lines),
            "episodes": ["e-1"],
            "source": "AAPL",
            "created_at": MESSAGE.created_at,
        },
    ),
    "notion": (
        "/v1/pages",
        {
            "parent": {"database_id": "db-1"},
            "properties": {
                "Name": {"title": [{"type": "text", "text": {"content": MESSAGE.headline}}]}
            },
            "children": [
                {
                    "object": "block",
                    "paragraph": {
                        "rich_text": [
                            {"type": "text", "text": {"content": "\n".join(MESSAGE.lines)}}
                        ]
                    },
                }
            ],
        },
    ),
}


@pytest.fixture
def receiver():
    with receiving() as running:
        yield running


@pytest.mark.parametrize("name", WEB)
async def test_the_message_arrives_as_the_service_wants_it(receiver, name):
    await senders(receiver.url)[name].send(Outgoing(MESSAGE, repeated=False))
    (request,) = receiver.requests
    assert (request.path, request.json) == EXPECTED[name]
    assert request.headers["content-type"] == "application/json"


async def test_a_receiver_can_check_who_sent_and_that_it_has_it_already(receiver):
    sender = senders(receiver.url)["webhook"]
    for repeated in (False, True):
        await sender.send(Outgoing(MESSAGE, repeated=repeated))
    first, second = receiver.requests
    assert first.body == second.body
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == "m-1"
    digest = hmac.new(b"w-1", first.body, hashlib.sha256).hexdigest()
    assert first.headers["mts-signature-256"] == digest


async def test_notion_gets_its_token_and_version(receiver):
    await senders(receiver.url)["notion"].send(Outgoing(MESSAGE, repeated=False))
    headers = receiver.requests[0].headers
    assert (headers["authorization"], headers["notion-version"]) == ("Bearer n-1", "2022-06-28")


@pytest.mark.parametrize(
    ("action", "event"),
    [("update", "trigger"), ("page_again", "trigger"), ("acknowledge",) * 2, ("end", "resolve")],
)
async def test_pagerduty_hears_what_became_of_the_incident_under_one_key(receiver, action, event):
    message = replace(MESSAGE, action=action, severity="warning")
    await senders(receiver.url)["pagerduty"].send(Outgoing(message, repeated=True))
    body = receiver.requests[0].json
    assert (body["event_action"], body["dedup_key"]) == (event, "k-1")


@pytest.mark.parametrize("name", ["telegram", "slack", "notion"])
async def test_a_channel_that_cannot_recognise_a_copy_is_told_that_it_may_be_one(receiver, name):
    await senders(receiver.url)[name].send(Outgoing(MESSAGE, repeated=True))
    assert REPEATED in receiver.requests[0].body.decode()


@pytest.mark.parametrize("name", ["telegram", "slack", "notion"])
async def test_a_text_that_is_too_long_is_cut_and_says_so(receiver, name):
    message = replace(MESSAGE, lines=("x" * 9000, "y", "z"))
    await senders(receiver.url)[name].send(Outgoing(message, repeated=True))
    body = receiver.requests[0].body.decode()
    assert len(body) < 5000
    assert "(shorter by 2 lines: mts alerts list)" in body
    assert REPEATED in body


@pytest.mark.parametrize(("name", "most"), [("telegram", 4096), ("slack", 4000), ("notion", 2000)])
async def test_services_count_characters_in_utf_16_and_refuse_what_is_longer(receiver, name, most):
    message = replace(MESSAGE, headline="[info] x", lines=("\N{PILE OF POO}" * (most - 200),))
    await senders(receiver.url)[name].send(Outgoing(message, repeated=False))
    assert longest_text(receiver.requests[0].json) <= 2 * most


def longest_text(value):
    """How many bytes in UTF-16 the longest text in a JSON value has."""
    if isinstance(value, str):
        return len(value.encode("utf-16-le"))
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max(map(longest_text, parts), default=0)


@pytest.mark.parametrize("name", WEB)
@pytest.mark.parametrize("status", [500, 503, 429, 408])
async def test_what_a_server_says_for_now_is_tried_again_when_it_wants(receiver, name, status):
    receiver.always = Answer(status, {"Retry-After": "17"})
    with pytest.raises(Undelivered, match=f"answered {status}") as error:
        await senders(receiver.url)[name].send(Outgoing(MESSAGE, repeated=False))
    assert (error.value.seconds, error.value.unknown) == (17.0, False)


async def test_telegram_says_in_its_body_how_long_to_wait(receiver):
    body = json.dumps({"ok": False, "parameters": {"retry_after": 42}}).encode()
    receiver.always = Answer(429, body=body)
    with pytest.raises(Undelivered) as error:
        await senders(receiver.url)["telegram"].send(Outgoing(MESSAGE, repeated=False))
    assert error.value.seconds == 42.0


@pytest.mark.parametrize(
    ("wanted", "seconds"),
    [("", 0.0), ("5", 5.0), ("999999", 3600.0), ("Fri, 20 Nov 2026 16:00:00 GMT", 60.0)],
)
async def test_how_long_to_wait_is_read_with_care(receiver, wanted, seconds):
    receiver.always = Answer(503, {"Retry-After": wanted} if wanted else {})
    with pytest.raises(Undelivered) as error:
        await senders(receiver.url)["slack"].send(Outgoing(MESSAGE, repeated=False))
    assert error.value.seconds == seconds


@pytest.mark.parametrize("name", WEB)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 302])
async def test_what_can_never_be_taken_is_said_without_a_secret(receiver, name, status):
    receiver.always = Answer(status, body=b"invalid_token t-1 s-1 p-1 w-1 n-1")
    with pytest.raises(Rejected, match=f"127.0.0.1:{receiver.port} answered {status}") as error:
        await senders(receiver.url)[name].send(Outgoing(MESSAGE, repeated=False))
    assert not any(secret in str(error.value) for secret in ("t-1", "s-1", "p-1", "w-1", "n-1"))


@pytest.mark.parametrize("name", WEB)
async def test_who_does_not_answer_in_time_may_have_the_message(receiver, name):
    receiver.always = Answer(hangs=True)
    with pytest.raises(Undelivered) as error:
        await senders(receiver.url, SHORT_SECONDS)[name].send(Outgoing(MESSAGE, repeated=False))
    receiver.let_go.set()
    assert error.value.unknown


async def test_who_trickles_keeps_no_thread(receiver):
    """The threads are few, and all channels share them."""
    receiver.always = Answer(trickles=True)
    with pytest.raises(Undelivered, match="did not answer within") as error:
        await senders(receiver.url, SHORT_SECONDS)["slack"].send(Outgoing(MESSAGE, repeated=False))
    assert error.value.unknown
    try:
        await eventually(receiver.cut_off.is_set)
    finally:
        receiver.let_go.set()


@pytest.mark.parametrize(
    "url", ["ftp://a/b", "http://", "http://a/b c", "http://a/\N{BULLET}", "http://a:99999/", "a"]
)
def test_what_is_no_address_is_refused_by_the_name_of_its_setting(url):
    with pytest.raises(Rejected, match=r"^webhook.url is no http or https address in plain ASCII$"):
        http.address(url, "webhook.url")


def test_a_user_in_an_address_would_not_be_sent_and_is_refused():
    with pytest.raises(Rejected, match=r"^webhook.url has a user in its address") as error:
        http.address("https://me:secret@example.org/hook", "webhook.url")
    assert "secret" not in str(error.value)


async def test_a_name_that_no_host_can_have_cannot_be_reached():
    with pytest.raises(Undelivered, match="cannot be reached: UnicodeError"):
        await http.post(http.address("http://a..b/", "webhook.url"), b"", {}, SECONDS)


@pytest.mark.parametrize("name", WEB)
async def test_who_cannot_be_reached_does_not_have_the_message(name):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: every connection is refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Undelivered, match="cannot be reached") as error:
            await senders(url)[name].send(Outgoing(MESSAGE, repeated=False))
    assert not error.value.unknown


async def test_apprise_hands_it_to_the_service_of_its_url(receiver):
    sender = AppriseSender(Apprise(url=f"json://127.0.0.1:{receiver.port}/any"), SECONDS)
    await sender.send(Outgoing(MESSAGE, repeated=False))
    body = receiver.requests[0].json
    assert body["title"] == MESSAGE.headline
    assert body["message"].startswith("fund: alpha")
    await sender.send(Outgoing(MESSAGE, repeated=True))
    assert receiver.requests[1].json["message"].startswith(REPEATED)


async def test_no_text_is_markup_where_a_service_of_apprise_shows_html(receiver):
    url = f"json://127.0.0.1:{receiver.port}/any?format=html"
    message = replace(MESSAGE, lines=('details: <a href="https://evil.example">look</a>',))
    await AppriseSender(Apprise(url=url), SECONDS).send(Outgoing(message, repeated=False))
    assert "<a" not in receiver.requests[0].json["message"]


@pytest.mark.parametrize(
    "answer", [Answer(500), Answer(404), Answer(302), Answer(hangs=True), Answer(trickles=True)]
)
async def test_whatever_apprise_meets_is_tried_again_and_may_have_arrived(receiver, answer):
    silent = answer.hangs or answer.trickles
    url = f"json://127.0.0.1:{receiver.port}/any"
    sender = AppriseSender(Apprise(url=url), SHORT_SECONDS if silent else SECONDS)
    receiver.always = answer
    with pytest.raises(Undelivered, match="apprise") as error:
        await sender.send(Outgoing(MESSAGE, repeated=False))
    assert error.value.unknown
    receiver.let_go.set()
    receiver.always = None

    async def taken() -> bool:
        await sender.send(Outgoing(MESSAGE, repeated=True))
        return True

    await eventually(taken, "it goes on after that")


async def test_apprise_cannot_tell_that_nobody_was_there():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"json://127.0.0.1:{taken.getsockname()[1]}/any"
        with pytest.raises(Undelivered) as error:
            await AppriseSender(Apprise(url=url), SECONDS).send(Outgoing(MESSAGE, repeated=False))
    assert error.value.unknown


@pytest.mark.parametrize(
    "make",
    [
        lambda: TelegramSender(Telegram(chat_id="7"), SECONDS),
        lambda: SlackSender(Slack(webhook_url="hooks.example/t-1"), SECONDS),
        lambda: PagerdutySender(Pagerduty(), SECONDS),
        lambda: WebhookSender(Webhook(url="ftp://t-1@x"), SECONDS),
        lambda: NotionSender(Notion(token="t-1"), SECONDS),
        lambda: AppriseSender(Apprise(url="nothing-t-1"), SECONDS),
        lambda: http.address("http://[t-1", "a setting"),
    ],
)
def test_what_is_missing_or_wrong_in_the_settings_is_named_without_its_value(make):
    with pytest.raises(Rejected) as error:
        make()
    assert "t-1" not in str(error.value)


def test_a_secret_file_that_others_may_read_is_refused(tmp_path):
    file = tmp_path / "webhook"
    file.write_text("https://hooks.example/secret\n")
    file.chmod(0o644)
    with pytest.raises(Rejected, match="others may read it") as error:
        SlackSender(Slack(webhook_url_file=str(file)), SECONDS)
    assert "hooks.example" not in str(error.value)
    file.chmod(0o600)
    assert SlackSender(Slack(webhook_url_file=str(file)), SECONDS)
