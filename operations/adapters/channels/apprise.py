"""Any other service, through the package apprise: Teams, Matrix, Signal and a hundred more.

It says whether a message was taken, not why not and not when to try again; so every failure is
one for now, and of none one knows whether the message arrived.
"""

import asyncio
import logging

from operations.adapters.channels.sender import Outgoing, Undelivered, secret
from operations.alert_settings import Apprise as Settings
from operations.errors import Rejected

LOGS = ("apprise", "urllib3")  # where lines for debugging hold whole addresses
KINDS = {"info": "info", "warning": "warning", "critical": "failure"}


class AppriseSender:
    """The service that the URL of the settings names."""

    def __init__(self, settings: Settings, seconds: float) -> None:
        from apprise import Apprise  # noqa: PLC0415 (it loads all services; only where it is used)

        for name in LOGS:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self._service = Apprise()
        if not self._service.add(secret(settings.url, settings.url_file)):
            raise Rejected("apprise.url is no URL that apprise knows")
        self._seconds = seconds

    async def send(self, outgoing: Outgoing) -> None:
        """Hand the message to apprise. Raises Undelivered."""
        title, _, body = outgoing.text.partition("\n")
        kind = KINDS[outgoing.message.severity]
        try:
            async with asyncio.timeout(self._seconds):
                taken = await self._service.async_notify(
                    title=title, body=body or title, notify_type=kind, body_format="text"
                )
        except TimeoutError as error:
            raise Undelivered(
                f"apprise did not come back within {self._seconds:g} s", unknown=True
            ) from error
        if not taken:
            raise Undelivered("apprise could not deliver the message", unknown=True)
