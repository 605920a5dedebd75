"""E-mail through a mail server.

Every attempt of one message has the same Message-ID, and the messages of one conversation refer to
its key, so that mail programs show one thread and many servers drop a second copy. Not apprise:
it makes a new Message-ID for each attempt and does not say whether a refusal is for good.
"""

import asyncio
import smtplib
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

from operations.adapters.channels.sender import Outgoing, Undelivered, secret
from operations.alert_settings import Email
from operations.errors import Rejected

DOMAIN = "alerts.mts1b-operations"


class EmailSender:
    """The mail server and addresses of the settings."""

    def __init__(self, settings: Email, seconds: float) -> None:
        self._settings = settings
        self._password = secret(settings.smtp_password, settings.smtp_password_file)
        self._sender = settings.sender or settings.smtp_user
        self._to = [each.strip() for each in settings.to.split(",") if each.strip()]
        if not settings.smtp_host or not self._to or not self._sender:
            raise Rejected(
                "email.smtp_host, email.to and email.sender (or email.smtp_user) are needed to "
                "send there"
            )
        self._seconds = seconds
        # Of its own: a server that trickles keeps it, and must not keep those of other channels.
        self._thread = ThreadPoolExecutor(1, "email")

    async def send(self, outgoing: Outgoing) -> None:
        """Hand the message to the mail server. Raises Undelivered or Rejected."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._seconds):
                await loop.run_in_executor(self._thread, self._deliver, self._mail(outgoing))
        except TimeoutError as error:
            raise Undelivered(
                f"the mail server did not answer within {self._seconds:g} s", unknown=True
            ) from error

    def _mail(self, outgoing: Outgoing) -> EmailMessage:
        message = outgoing.message
        mail = EmailMessage()
        # An encoded word would be decoded, and the line breaks in it would begin other headers.
        mail["Subject"] = message.headline.replace("=?", "= ?")
        mail["From"] = self._sender
        mail["To"] = ", ".join(self._to)
        mail["Date"] = format_datetime(datetime.fromisoformat(message.created_at[:19] + "+00:00"))
        mail["Message-ID"] = f"<{message.message_id}@{DOMAIN}>"
        mail["References"] = f"<{message.key}@{DOMAIN}>"
        mail.set_content(outgoing.text)
        return mail

    def _deliver(self, mail: EmailMessage) -> None:
        settings = self._settings
        try:
            with self._connected() as server:
                if settings.smtp_security == "starttls":
                    server.starttls(context=ssl.create_default_context())
                if settings.smtp_user:
                    server.login(settings.smtp_user, self._password)
                refused = server.send_message(mail)
        except (smtplib.SMTPException, OSError) as error:
            raise _meaning(error) from None
        if refused:
            raise _refusal(refused, some_took_it=True)

    def _connected(self) -> smtplib.SMTP:
        host, port = self._settings.smtp_host, self._settings.smtp_port
        if self._settings.smtp_security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(host, port, timeout=self._seconds, context=context)
        return smtplib.SMTP(host, port, timeout=self._seconds)


def _meaning(error: smtplib.SMTPException | OSError) -> Undelivered | Rejected:
    """Return what an error of the mail server means; its own words may hold what we sent."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return _refusal(error.recipients, some_took_it=False)
    code = getattr(error, "smtp_code", 0)
    name = type(error).__name__
    if code >= 500:
        return Rejected(f"the mail server answered {code} ({name})")
    if code:
        return Undelivered(f"the mail server answered {code} ({name})")
    lost = isinstance(error, smtplib.SMTPServerDisconnected | TimeoutError)
    return Undelivered(f"the mail server cannot be reached: {name}", unknown=lost)


def _refusal(
    refused: Mapping[str, tuple[int, bytes]], *, some_took_it: bool
) -> Undelivered | Rejected:
    """Return what it means that addresses were refused: one that may be taken later is tried."""
    lowest = min(code for code, _ in refused.values())
    others = "; others have it" if some_took_it else ""
    words = f"the mail server answered {lowest}: it refused {', '.join(sorted(refused))}{others}"
    return Rejected(words) if lowest >= 500 else Undelivered(words, unknown=some_took_it)
