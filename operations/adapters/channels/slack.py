"""A Slack channel, through its incoming webhook.

Not apprise: it says only whether it worked, so neither `Retry-After` of a 429 nor a webhook that
was revoked (404, 410: never again) could be told from a bad moment.
"""

import msgspec

from operations.adapters.channels import http
from operations.adapters.channels.sender import Outgoing, cut, secret
from operations.alert_settings import Slack

LONGEST = 4000  # Slack cuts what is longer
UNOPENED = {"unfurl_links": False, "unfurl_media": False}  # Slack fetches no address in a text


class SlackSender:
    """The channel whose webhook the settings name."""

    def __init__(self, settings: Slack, seconds: float) -> None:
        url = secret(settings.webhook_url, settings.webhook_url_file)
        self._where = http.address(url, "slack.webhook_url")
        self._seconds = seconds

    async def send(self, outgoing: Outgoing) -> None:
        """Post the message as plain text. Raises Undelivered or Rejected."""
        text = _escaped(cut(outgoing.text, LONGEST))
        body = msgspec.json.encode({"text": text, "mrkdwn": False, **UNOPENED})
        headers = {"Content-Type": "application/json"}
        http.judge(self._where, await http.post(self._where, body, headers, self._seconds))


def _escaped(text: str) -> str:
    """Return a text in which nothing is a link or a mention of everybody (`<!channel>`)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
