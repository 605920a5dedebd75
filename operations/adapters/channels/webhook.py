"""Any receiver that takes JSON over HTTP, signed so that it knows who sends.

Header `Mts-Signature-256`: hexadecimal HMAC-SHA256 of the body with the key of the settings.
`Idempotency-Key`: the same for every attempt of one message, so that a receiver tells it once.
"""

import hashlib
import hmac

import msgspec

from operations.adapters.channels import http
from operations.adapters.channels.sender import Outgoing, secret
from operations.alert_settings import Webhook

SIGNATURE = "Mts-Signature-256"
KEY = "Idempotency-Key"


class WebhookSender:
    """The receiver of the settings."""

    def __init__(self, settings: Webhook, seconds: float) -> None:
        self._where = http.address(secret(settings.url, settings.url_file), "webhook.url")
        self._key = secret(settings.key, settings.key_file).encode()
        self._seconds = seconds

    async def send(self, outgoing: Outgoing) -> None:
        """Post the message as it is. Raises Undelivered or Rejected."""
        body = msgspec.json.encode(outgoing.message)
        headers = {"Content-Type": "application/json", KEY: outgoing.message.message_id}
        if self._key:
            headers[SIGNATURE] = hmac.new(self._key, body, hashlib.sha256).hexdigest()
        http.judge(self._where, await http.post(self._where, body, headers, self._seconds))
