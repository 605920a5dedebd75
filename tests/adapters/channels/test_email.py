"""Does a real mail server get each alert as a mail of one conversation, and what if it refuses?"""

import socket

import pytest
from msgspec.structs import replace
from receivers import MESSAGE, mailing

from operations.adapters.channels.email import EmailSender
from operations.adapters.channels.sender import Outgoing, Undelivered
from operations.alert_settings import Email
from operations.errors import Rejected
from operations.notifications.message import REPEATED

pytestmark = pytest.mark.integration


@pytest.fixture
def server():
    with mailing() as running:
        yield running


def sender(port, seconds=60.0, **more):
    wanted = {
        "smtp_host": "127.0.0.1",
        "smtp_port": port,
        "smtp_security": "none",
        "sender": "mts@example.org",
        "to": "desk@example.org, risk@example.org",
    }
    return EmailSender(Email(**(wanted | more)), seconds)


async def test_every_attempt_is_the_same_mail_of_one_conversation(server):
    own = sender(server.port)
    await own.send(Outgoing(MESSAGE, repeated=False))
    await own.send(Outgoing(MESSAGE, repeated=True))
    ended = replace(MESSAGE, message_id="m-2", action="end", headline="over: füllig")
    await own.send(Outgoing(ended, repeated=False))
    first, second, third = server.mails
    assert first["Subject"] == MESSAGE.headline
    assert (first["From"], first["To"]) == ("mts@example.org", "desk@example.org, risk@example.org")
    assert first["Date"] == "Fri, 20 Nov 2026 16:00:00 +0000"
    assert first["Message-ID"] == second["Message-ID"] == "<m-1@alerts.mts1b-operations>"
    assert third["Message-ID"] == "<m-2@alerts.mts1b-operations>"
    assert {each["References"] for each in server.mails} == {"<k-1@alerts.mts1b-operations>"}
    assert first.get_content().splitlines() == MESSAGE.text.splitlines()
    assert REPEATED in second.get_content()
    assert third["Subject"] == "over: füllig"


async def test_it_logs_in_where_a_user_is_set(server):
    await sender(server.port, smtp_user="ops", smtp_password="mail-password").send(
        Outgoing(MESSAGE, repeated=False)
    )
    assert server.login == server.known
    with pytest.raises(Rejected, match="535") as error:
        await sender(server.port, smtp_user="ops", smtp_password="wrong-secret").send(
            Outgoing(MESSAGE, repeated=False)
        )
    assert "wrong-secret" not in str(error.value)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("451 try later", Undelivered), ("421 too many", Undelivered), ("554 no spam", Rejected)],
)
async def test_the_code_of_the_server_says_whether_to_try_again(server, answer, kind):
    server.answer = answer
    with pytest.raises(kind, match=answer[:3]) as error:
        await sender(server.port).send(Outgoing(MESSAGE, repeated=False))
    assert "toxic" not in str(error.value)


@pytest.mark.parametrize(
    "hidden",
    ["=?utf-8?q?a=0D=0ABcc:_evil@example.org?=", "=?utf-8?b?YQ0KDQpmb3JnZWQ=?=", "=?x?q?y"],
)
async def test_no_title_begins_a_header_or_the_text_of_its_mail(server, hidden):
    """An encoded word in a title once became line breaks in the header of the mail."""
    hostile = replace(MESSAGE, headline=f"[critical] {hidden} of alpha")
    await sender(server.port).send(Outgoing(hostile, repeated=False))
    (mail,) = server.mails
    assert mail["Subject"] == hostile.headline.replace("=?", "= ?")
    assert mail["Bcc"] is None
    assert mail.get_content().splitlines() == hostile.text.splitlines()


DESK, RISK = "desk@example.org", "risk@example.org"


@pytest.mark.parametrize(
    ("refuses", "kind", "unknown", "words"),
    [
        ({DESK: "450 grey"}, Undelivered, True, f"450: it refused {DESK}; others have it"),
        ({DESK: "550 gone"}, Rejected, None, f"550: it refused {DESK}; others have it"),
        ({DESK: "550 gone", RISK: "450 grey"}, Undelivered, False, f"450: it refused {DESK}, "),
        ({DESK: "550 gone", RISK: "551 gone"}, Rejected, None, f"550: it refused {DESK}, "),
    ],
)
async def test_an_address_that_may_be_taken_later_is_tried_again(
    server, refuses, kind, unknown, words
):
    server.refuses = refuses
    with pytest.raises(kind, match=words) as error:
        await sender(server.port).send(Outgoing(MESSAGE, repeated=False))
    assert getattr(error.value, "unknown", None) == unknown
    assert len(server.mails) == 2 - len(refuses)


async def test_a_server_without_encryption_is_refused_where_it_is_demanded(server):
    with pytest.raises(Undelivered):
        await sender(server.port, smtp_security="starttls").send(Outgoing(MESSAGE, repeated=False))
    assert server.mails == []


async def test_one_that_is_not_there_or_says_nothing_is_tried_again():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        with pytest.raises(Undelivered) as error:
            await sender(port).send(Outgoing(MESSAGE, repeated=False))
        assert not error.value.unknown
        silent.listen()
        with pytest.raises(Undelivered) as error:
            await sender(port, seconds=0.3).send(Outgoing(MESSAGE, repeated=False))
        assert error.value.unknown


@pytest.mark.parametrize("missing", ["smtp_host", "to", "sender"])
def test_what_is_missing_in_the_settings_is_said(missing):
    with pytest.raises(Rejected, match=f"email.{missing}"):
        sender(25, **{missing: ""})
