"""How a service of ours reaches the bus as itself: its user, its key, its publisher."""

import asyncio
from collections.abc import Mapping

from operations.adapters import roster_files
from operations.adapters.credentials import nats_url
from operations.adapters.link import Access
from operations.adapters.publisher import Acknowledgement, Publisher
from operations.adapters.steps import Step, onward
from operations.config import Settings, secret
from operations.errors import Retryable
from operations.events.base import Event
from operations.signing.message import Signer


def access(settings: Settings) -> Access:
    """Return where the bus is and as whom this process logs in."""
    nats = settings.nats
    return Access(
        url=nats_url(settings),
        user=nats.user,
        password=secret(nats.password, nats.password_file),
        inbox=nats.inbox,
        ca_file=nats.ca_file,
    )


def signer(settings: Settings) -> Signer:
    """Return what signs in the name of this service. Raises Rejected when its key is missing."""
    key = roster_files.read_private(settings.service_key_path)
    return Signer(key, settings.audit.origin, settings.environment)


def publisher(settings: Settings, actor: str, drain_seconds: float = 30.0) -> Publisher:
    """Return a publisher whose events carry the signature of this service."""
    return Publisher(
        access(settings), actor=actor, signer=signer(settings), drain_seconds=drain_seconds
    )


class Said:
    """Events on their way out: each once in the life of this publisher, however often it waits."""

    def __init__(self, publisher: Publisher, at: Step = onward) -> None:
        self._publisher, self._at = publisher, at
        self._done: dict[str, asyncio.Future[Acknowledgement]] = {}

    async def say(self, waiting: Mapping[str, Event]) -> None:
        """Publish every event, by its id, that the stream lacks.

        Raises Retryable when the server refuses one: nothing that is found may be lost quietly.
        """
        for event_id, event in list(waiting.items()):
            if event_id not in self._done:
                self._done[event_id] = await self._publisher.publish(event, wait=True)
                self._at("said")
        for event_id, stored in list(self._done.items()):
            if stored.done() and (error := stored.exception()) is not None:
                raise Retryable(f"a finding was refused: {error}")
            if event_id not in waiting:
                del self._done[event_id]
