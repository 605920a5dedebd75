"""Incidents in PagerDuty, through its Events API v2: triggered, acknowledged, resolved.

Not apprise: an acknowledgement or a resolution needs the key of the incident that it belongs to
(`dedup_key`), and that key is also what makes a second copy of a message change nothing.
"""

import msgspec

from operations.adapters.channels import http
from operations.adapters.channels.sender import Outgoing, cut, secret
from operations.alert_settings import Pagerduty
from operations.errors import Rejected
from operations.notifications.decision import Action

LONGEST = 1024  # of a summary
EVENTS: dict[Action, str] = {
    "raise": "trigger",
    "update": "trigger",
    "page_again": "trigger",
    "acknowledge": "acknowledge",
    "end": "resolve",
}


class PagerdutySender:
    """The integration of the settings."""

    def __init__(self, settings: Pagerduty, seconds: float) -> None:
        self._key = secret(settings.integration_key, settings.integration_key_file)
        if not self._key:
            raise Rejected("pagerduty.integration_key is needed to send there")
        self._where = http.address(settings.url, "pagerduty.url")
        self._seconds = seconds

    async def send(self, outgoing: Outgoing) -> None:
        """Send the event. Raises Undelivered or Rejected."""
        message = outgoing.message
        body = {
            "routing_key": self._key,
            "event_action": EVENTS[message.action],
            "dedup_key": message.key,
            "payload": {
                "summary": cut(message.headline, LONGEST),
                "source": message.source or "mts1b-operations",
                "severity": message.severity,
                "timestamp": message.created_at,
                "custom_details": {"text": "\n".join(message.lines)},
            },
        }
        headers = {"Content-Type": "application/json"}
        encoded = msgspec.json.encode(body)
        http.judge(self._where, await http.post(self._where, encoded, headers, self._seconds))
