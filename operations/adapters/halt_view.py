"""What people see of the halts: folded from the stream by whoever asks, trusting no halt worker."""

import asyncio
from contextlib import suppress

from operations.adapters import roster_files, stored
from operations.adapters.wire import WireClient
from operations.config import Settings
from operations.errors import Denied, Rejected
from operations.events import subjects
from operations.events.base import Event
from operations.events.operations import RosterPublished
from operations.events.registry import AccountRegistered, FundRegistered, StrategyRegistered
from operations.halt.registry import Registry
from operations.signing import roster
from operations.signing.roster import Roster

REGISTERED = (FundRegistered, StrategyRegistered, AccountRegistered)


async def registry(client: WireClient, stream: str) -> Registry:
    """Return every fund, strategy and account that the stream registers; raises Retryable."""
    kinds = await asyncio.gather(*(_events(client, stream, each.pattern) for each in REGISTERED))
    return Registry(event for events in kinds for event in events)


async def _events(client: WireClient, stream: str, subject: str) -> list[Event]:
    """Return the events on a subject; what cannot be read registers nothing."""
    found = []
    async for message in stored.following(client, stream, subject, 1):
        try:
            found.append(subjects.decode(message.subject, message.payload))
        except Rejected:
            continue
    return found


async def published_roster(client: WireClient, settings: Settings) -> Roster | None:
    """Return the newest roster in the stream that the root key signed, None without one."""
    root = roster_files.read_public(settings.root_key_path)
    newest: Roster | None = None
    for event in await _events(client, settings.nats.stream, RosterPublished.pattern):
        assert isinstance(event, RosterPublished)
        with suppress(Denied, Rejected):
            document = event.data.roster.encode()
            found = roster.verify(document, root, 1, settings.environment)
            if newest is None or found.body.version > newest.body.version:
                newest = found
    return newest
