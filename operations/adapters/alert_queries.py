"""What people ask about alerts: what goes on, who was told, and why somebody was not."""

from typing import NamedTuple

import asyncpg
import msgspec
from msgspec import Struct

from operations.adapters import ledger
from operations.clock import NANOSECONDS
from operations.config import Postgres
from operations.errors import Rejected
from operations.notifications.episode import Episode
from operations.notifications.message import Message
from operations.notifications.silences import Silence

NAME = "alerts"
DAY_NS = 86_400 * NANOSECONDS
SHORTEST = 6  # characters of an id that are enough where they are unique


class Sent(Struct, frozen=True, kw_only=True):
    """One message and what became of it. Times in ns since 1970."""

    channel: str
    action: str
    reason: str
    state: str
    attempts: int
    created_ns: int
    settled_ns: int | None
    problem: str | None


class Alert(NamedTuple):
    """An episode, why each channel was or was not told, and what it was told."""

    episode: Episode
    verdicts: dict[str, str]
    messages: tuple[Sent, ...]


class Unsent(Struct, frozen=True, kw_only=True):
    """What a channel has not taken, and what it said last: what waits, and what failed lately."""

    channel: str
    waiting: int
    failed: int
    problem: str | None


class Overview(NamedTuple):
    """Everything that goes on now, the silences that hold or will, and what is not sent."""

    alerts: tuple[Alert, ...]
    silences: tuple[Silence, ...]
    unsent: tuple[Unsent, ...]


async def overview(postgres: Postgres, now_ns: int, *, ended: int = 0) -> Overview:
    """Return what goes on, worst and newest first, and the last `ended` that are over."""
    async with ledger.connection(postgres, NAME) as connected:
        rows = await connected.fetch(
            "SELECT alert FROM notify.alert WHERE cleared_ns IS NULL "
            "ORDER BY severity <> 'critical', severity <> 'warning', raised_ns DESC"
        )
        rows += await connected.fetch(
            "SELECT alert FROM notify.alert WHERE cleared_ns IS NOT NULL "
            "ORDER BY cleared_ns DESC LIMIT $1",
            ended,
        )
        episodes = [msgspec.json.decode(row["alert"], type=Episode) for row in rows]
        found = [await _alert(connected, each) for each in episodes]
        silences = await connected.fetch(
            "SELECT silence FROM notify.silence WHERE until_ns > $1 ORDER BY until_ns", now_ns
        )
        unsent = await connected.fetch(_UNSENT, now_ns - DAY_NS)
    return Overview(
        tuple(found),
        tuple(msgspec.json.decode(row["silence"], type=Silence) for row in silences),
        tuple(Unsent(**row) for row in unsent),
    )


async def one(postgres: Postgres, name: str) -> Alert:
    """Return one alert by its id or a beginning of it. Raises Rejected for none or several."""
    async with ledger.connection(postgres, NAME) as connected:
        episode_id = await _resolved(connected, name)
        row = await connected.fetchrow(
            "SELECT alert FROM notify.alert WHERE episode = $1", episode_id
        )
        return await _alert(connected, msgspec.json.decode(row["alert"], type=Episode))


async def _resolved(connected: asyncpg.Connection, name: str) -> str:
    if await connected.fetchval("SELECT count(*) FROM notify.alert WHERE episode = $1", name):
        return name
    if len(name) < SHORTEST:
        raise Rejected(f"{name!r} is no whole id; give at least its first {SHORTEST} characters")
    found = await connected.fetch(
        "SELECT episode FROM notify.alert WHERE starts_with(episode, $1) LIMIT 2", name
    )
    if len(found) != 1:
        problem = "names several alerts; give more of the id" if found else "names no alert"
        raise Rejected(f"{name!r} {problem}; ids stand in `mts alerts list --ended 50`")
    return str(found[0]["episode"])


async def _alert(connected: asyncpg.Connection, episode: Episode) -> Alert:
    verdicts = await connected.fetch(
        "SELECT channel, reason FROM notify.verdict WHERE episode = $1 ORDER BY channel", episode.id
    )
    rows = await connected.fetch(_MESSAGES, episode.name)
    messages = [
        Sent(
            channel=row["channel"],
            action=msgspec.json.decode(row["message"], type=Message).action,
            reason=row["reason"],
            state=row["state"],
            attempts=row["attempts"],
            created_ns=row["created_ns"],
            settled_ns=row["settled_ns"],
            problem=row["problem"],
        )
        for row in rows
    ]
    return Alert(episode, {row["channel"]: row["reason"] for row in verdicts}, tuple(messages))


_UNSENT = """
    SELECT channel, count(*) FILTER (WHERE state <> 'failed') AS waiting,
        count(*) FILTER (WHERE state = 'failed') AS failed,
        (array_agg(problem ORDER BY place DESC) FILTER (WHERE problem IS NOT NULL))[1] AS problem
    FROM notify.message
    WHERE state IN ('waiting', 'sending') OR (state = 'failed' AND settled_ns > $1)
    GROUP BY channel ORDER BY channel
"""
_MESSAGES = """
    SELECT m.* FROM notify.message m JOIN notify.thread t USING (key)
    WHERE t.thread->'episodes' @> to_jsonb($1::text) ORDER BY m.place
"""
