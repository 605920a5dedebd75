"""What people see of settings: folded from the stream by whoever asks, trusting no worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from operations.adapters import settable, stored, wire
from operations.adapters.halt_line import judge_of
from operations.adapters.settings_desk import SettingsDesk
from operations.adapters.wire import WireClient
from operations.config import Nats, Settings
from operations.events.findings import FindingCleared, FindingRaised
from operations.events.operations import ConfigChanged, RosterPublished
from operations.events.registry import FundRegistered
from operations.settings.answers import CHECK

_FINDING = FindingRaised.pattern.replace("{data.check}", CHECK)
_CLEARED = FindingCleared.pattern.replace("{data.check}", CHECK)
# The roster first: by it the others are judged.
SUBJECTS = (
    RosterPublished.pattern,
    FundRegistered.pattern,
    ConfigChanged.pattern,
    _FINDING,
    _CLEARED,
)


class SettingsView:
    """The desk of somebody who looks; `refresh` reads what is new."""

    def __init__(self, client: WireClient, stream_name: str, desk: SettingsDesk) -> None:
        self.desk = desk
        self._client, self._stream = client, stream_name
        self._next = dict.fromkeys(SUBJECTS, 1)

    async def refresh(self) -> None:
        """Fold what the stream holds and was not read before. Raises Retryable."""
        for subject in SUBJECTS:
            following = stored.following(self._client, self._stream, subject, self._next[subject])
            async for received in following:
                self.desk.take(received)
                self._next[subject] = (received.sequence or 0) + 1


@asynccontextmanager
async def opened(settings: Settings, nats: Nats) -> AsyncIterator[SettingsView]:
    """Give what holds now. Raises Retryable without NATS, Rejected without a roster."""
    async with wire.connection(nats, "people") as client:
        desk = SettingsDesk(judge_of(settings), settable.catalogue())
        view = SettingsView(client, nats.stream, desk)
        await view.refresh()
        yield view
