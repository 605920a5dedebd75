"""A Telegram chat, through the Bot API.

Not apprise: the API says in the body of a 429 how long to wait, and apprise keeps that to itself.
The token is part of the address, so no error shows more of it than the host.
"""

import msgspec

from operations.adapters.channels import http
from operations.adapters.channels.sender import Outgoing, cut, secret
from operations.alert_settings import Telegram
from operations.errors import Rejected

LONGEST = 4096  # the API refuses what is longer


class TelegramSender:
    """The chat of the settings."""

    def __init__(self, settings: Telegram, seconds: float) -> None:
        token = secret(settings.bot_token, settings.bot_token_file)
        if not token or not settings.chat_id:
            raise Rejected("telegram.bot_token and telegram.chat_id are needed to send there")
        url = f"{settings.url.rstrip('/')}/bot{token}/sendMessage"
        self._where = http.address(url, "telegram.url")
        self._chat_id = settings.chat_id
        self._seconds = seconds

    async def send(self, outgoing: Outgoing) -> None:
        """Send the message as plain text. Raises Undelivered or Rejected."""
        body = {
            "chat_id": self._chat_id,
            "text": cut(outgoing.text, LONGEST),
            "disable_web_page_preview": True,
        }
        headers = {"Content-Type": "application/json"}
        encoded = msgspec.json.encode(body)
        answer = await http.post(self._where, encoded, headers, self._seconds)
        asked = answer.json().get("parameters")
        wait = asked.get("retry_after", 0) if isinstance(asked, dict) else 0
        http.judge(self._where, answer, float(wait) if isinstance(wait, int) else 0.0)
