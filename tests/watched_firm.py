"""A firm whose watchdogs run, in this loop, with settings that are published and signed."""

from contextlib import asynccontextmanager

import msgspec
from halting import Firm, in_this_loop, ready

from operations.clock import new_event_id, now_ns, rfc3339
from operations.config import Watch
from operations.events.operations import ConfigChange, ConfigChanged
from workers import watchdogs


async def act(firm: Firm, check: str) -> None:
    """Let the settings service say that a watchdog may act."""
    await put(firm, f"{check}.mode", "act")


async def put(firm: Firm, setting: str, value: str, fund_id: str | None = None) -> None:
    """Let the settings service say that a setting has a value, for the firm or for a fund."""
    change = ConfigChange(
        setting=setting, old_value=None, new_value=value, reason="test", layer="file"
    )
    event = ConfigChanged(
        event_id=new_event_id(), timestamp=rfc3339(now_ns()), actor="settings",
        subject_id=change.setting, fund_id=fund_id, data=change,
    )  # fmt: skip
    async with firm.connected("settings") as person:
        await person.send(event, "service-settings")


@asynccontextmanager
async def watched(firm: Firm):
    """Run the watchdogs until they have read everything, and on until the end."""
    settings = msgspec.structs.replace(
        firm.settings("watchdogs"), watch=Watch(snapshot_seconds=3600.0)
    )
    async with working("watchdogs", settings, watchdogs.run) as worker:
        yield worker


@asynccontextmanager
async def working(name, settings, run):
    """Run one worker in this loop, ready to work."""
    async with in_this_loop(name, settings, run) as worker:
        await ready(worker)
        yield worker
