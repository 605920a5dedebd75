"""Who was told what, in Postgres: decided once together with the place in the stream, sent later.

A message is marked as on its way before it is sent and as sent after. What was on its way when
the worker died is sent again, and says so: nobody knows whether it arrived.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import asyncpg
import msgspec

from operations.adapters import ledger
from operations.adapters.channels.http import LONGEST_WAIT_SECONDS
from operations.adapters.channels.sender import Undelivered
from operations.clock import NANOSECONDS
from operations.config import Postgres
from operations.errors import Retryable
from operations.notifications.decision import Decision, Verdict
from operations.notifications.episode import OWN, Episode
from operations.notifications.message import Message
from operations.notifications.silences import Silence
from operations.notifications.told import Thread, Told

NAME = "notifications"
LOCK = "mts-notifications"
FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 300.0
AT_ONCE = 0  # instead of a time: what waits for none is not held back by a clock that was set back
REASON_LENGTH = 500


class Progress(NamedTuple):
    """Up to where the stream was decided on, and where it ended at the very first start."""

    first_sequence: int
    sequence: int


class Due(NamedTuple):
    """A message to send now. `repeated`: it may have arrived before."""

    message: Message
    attempts: int
    repeated: bool


class Round(NamedTuple):
    """What one look at everything came to; written in one transaction."""

    decisions: Sequence[tuple[Decision, Message | None]]
    verdicts: Sequence[Verdict]
    episodes: Iterable[Episode]
    silences: Iterable[Silence]
    sequence: int
    reached: int
    now_ns: int


class Outbox:
    """The one who decides and sends. Its methods may be called by several tasks."""

    def __init__(self, connected: asyncpg.Connection) -> None:
        self._connection = connected
        self._lock = asyncio.Lock()
        self._stream_created_ns = 0
        self._sequence = 0
        self._silences: dict[str, Silence] = {}
        self._written: dict[str, Episode] = {}
        self._verdicts: dict[tuple[str, str], str] = {}

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[asyncpg.Connection]:
        async with self._lock:
            ledger.require_connected(self._connection)
            async with self._connection.transaction():
                yield self._connection

    async def take_over(self) -> None:
        """Become the one who decides and sends. Raises Retryable while another worker lives."""
        async with self._alone() as connected:
            if not await connected.fetchval("SELECT pg_try_advisory_lock(hashtext($1))", LOCK):
                raise Retryable("another notifications worker holds the outbox; standing by")

    async def give_up(self, enabled: Collection[str], now_ns: int) -> None:
        """Settle what waits for channels that are turned off: months later it would be no news."""
        async with self._alone() as connected:
            await connected.execute(
                "UPDATE notify.message SET state = 'failed', settled_ns = $2, problem = $3 "
                "WHERE state IN ('waiting', 'sending') AND channel <> ALL($1)",
                list(enabled),
                now_ns,
                "the channel was turned off",
            )

    async def progress(self, stream_created_ns: int, last_sequence: int) -> Progress:
        """Return how far a stream was decided on.

        The first one ever begins at its end; of one that comes after another all is news.
        """
        async with self._alone() as connected:
            self._stream_created_ns = stream_created_ns
            await connected.execute(
                "INSERT INTO notify.progress SELECT $1, f, f FROM (SELECT CASE WHEN EXISTS "
                "(SELECT FROM notify.progress) THEN 0 ELSE $2::bigint END AS f) AS place "
                "ON CONFLICT DO NOTHING",
                stream_created_ns,
                last_sequence,
            )
            row = await connected.fetchrow(
                "SELECT first_sequence, sequence FROM notify.progress WHERE stream_created_ns = $1",
                stream_created_ns,
            )
        return Progress(*row)

    async def told(self, since_ns: int) -> Told:
        """Return what channels were told, as far as anything may still be told about it.

        That is what goes on, and what ended after the place up to which all was decided.
        """
        async with self._alone() as connected:
            rows = await connected.fetch(
                "SELECT thread FROM notify.thread WHERE NOT closed OR sequence > "
                "coalesce((SELECT sequence FROM notify.progress "
                "ORDER BY stream_created_ns DESC LIMIT 1), 0)"
            )
            threads = [msgspec.json.decode(row["thread"], type=Thread) for row in rows]
            recent = await connected.fetch(
                "SELECT channel, reason, created_ns FROM notify.message WHERE created_ns > $1 "
                "ORDER BY place",
                since_ns,
            )
        told = Told(threads={each.key: each for each in threads})
        for row in recent:
            told.count(row["channel"], row["reason"], row["created_ns"])
        return told

    async def unsent(self) -> frozenset[str]:
        """Return the keys of threads whose last message waits to be sent."""
        async with self._alone() as connected:
            rows = await connected.fetch(
                "SELECT DISTINCT key FROM notify.message WHERE state IN ('waiting', 'sending')"
            )
        return frozenset(row["key"] for row in rows)

    async def going_on(self) -> list[Episode]:
        """Return what goes on as far as it was written down."""
        async with self._alone() as connected:
            rows = await connected.fetch("SELECT alert FROM notify.alert WHERE cleared_ns IS NULL")
        return [msgspec.json.decode(row["alert"], type=Episode) for row in rows]

    async def commit(self, made: Round) -> None:
        """Write what was decided and up to where, together."""
        changed = [each for each in made.episodes if self._written.get(each.id) != each]
        verdicts = [
            each
            for each in made.verdicts
            if self._verdicts.get((each.episode, each.channel)) != each.reason
        ]
        silences = [each for each in made.silences if self._silences.get(each.id) != each]
        anything = changed or verdicts or silences or made.decisions
        if not (anything or made.sequence > self._sequence):
            return
        async with self._alone() as connected:
            await connected.executemany(_UPSERT_ALERT, [_alert_row(each) for each in changed])
            for decision, message in made.decisions:
                await _store_thread(connected, decision.thread, made.reached)
                if message is not None:
                    await _store_message(connected, decision, message, made.now_ns)
            await connected.executemany(
                _UPSERT_VERDICT,
                [(each.episode, each.channel, each.reason) for each in verdicts],
            )
            await connected.executemany(
                _UPSERT_SILENCE, [(each.id, each.until_ns, _json(each)) for each in silences]
            )
            await connected.execute(
                "UPDATE notify.progress SET sequence = greatest(sequence, $2) "
                "WHERE stream_created_ns = $1",
                self._stream_created_ns,
                made.sequence,
            )
        self._sequence = max(self._sequence, made.sequence)
        self._silences |= {each.id: each for each in silences}
        self._written |= {each.id: each for each in changed}
        self._verdicts |= {(each.episode, each.channel): each.reason for each in verdicts}

    def forget(self, ids: Iterable[str]) -> None:
        """Drop what is remembered of episodes that are over and settled."""
        gone = set(ids)
        self._written = {name: each for name, each in self._written.items() if name not in gone}
        self._verdicts = {
            place: reason for place, reason in self._verdicts.items() if place[0] not in gone
        }

    async def next_due(self, channel: str, now_ns: int) -> Due | None:
        """Mark the next message of a channel as on its way and return it, None if none is due.

        Messages of one thread keep their order: a later one waits until the earlier is settled.
        """
        async with self._alone() as connected:
            latest_ns = now_ns + int(LONGEST_WAIT_SECONDS * NANOSECONDS)
            row = await connected.fetchrow(_NEXT_DUE, channel, now_ns, latest_ns)
            if row is None:
                return None
            await connected.execute(
                "UPDATE notify.message SET state = 'sending', attempts = attempts + 1 "
                "WHERE message_id = $1",
                row["message_id"],
            )
        message = msgspec.json.decode(row["message"], type=Message)
        return Due(message, row["attempts"] + 1, row["state"] == "sending")

    async def sent(self, message_id: str, now_ns: int) -> None:
        """Note that the channel has a message."""
        await self._settle(message_id, "sent", now_ns, None)

    async def refused(self, message_id: str, now_ns: int, problem: str) -> None:
        """Note that a message can never be sent."""
        await self._settle(message_id, "failed", now_ns, problem)

    async def later(self, due: Due, now_ns: int, error: Undelivered) -> None:
        """Note that a message did not arrive, as far as one knows, and when to try again.

        Later each time, and not before the channel wants it.
        """
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (due.attempts - 1), LONGEST_PAUSE_SECONDS)
        async with self._alone() as connected:
            await connected.execute(
                "UPDATE notify.message SET state = $2, next_try_ns = $3, problem = $4 "
                "WHERE message_id = $1",
                due.message.message_id,
                "sending" if error.unknown else "waiting",
                now_ns + int(max(pause, error.seconds) * NANOSECONDS),
                str(error)[:REASON_LENGTH],
            )

    async def _settle(self, message_id: str, state: str, now_ns: int, problem: str | None) -> None:
        async with self._alone() as connected:
            await connected.execute(
                "UPDATE notify.message SET state = $2, settled_ns = $3, problem = $4 "
                "WHERE message_id = $1",
                message_id,
                state,
                now_ns,
                problem and problem[:REASON_LENGTH],
            )


@asynccontextmanager
async def opened(settings: Postgres) -> AsyncIterator[Outbox]:
    """Give the outbox on a connection of its own. Raises Retryable."""
    async with ledger.connection(settings, NAME) as connected:
        yield Outbox(connected)


_UPSERT_ALERT = """
    INSERT INTO notify.alert (episode, raised_ns, cleared_ns, severity, own, alert)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (episode) DO UPDATE SET raised_ns = excluded.raised_ns,
        cleared_ns = excluded.cleared_ns, severity = excluded.severity, alert = excluded.alert
"""
_UPSERT_VERDICT = """
    INSERT INTO notify.verdict VALUES ($1, $2, $3)
    ON CONFLICT (episode, channel) DO UPDATE SET reason = excluded.reason
"""
_NEXT_DUE = """
    SELECT message_id, message, attempts, state FROM notify.message m
    WHERE channel = $1 AND state IN ('waiting', 'sending')
    AND (next_try_ns <= $2 OR next_try_ns > $3)
    AND NOT EXISTS (
        SELECT FROM notify.message e
        WHERE e.key = m.key AND e.place < m.place AND e.state IN ('waiting', 'sending')
    )
    ORDER BY place LIMIT 1
"""


_UPSERT_SILENCE = """
    INSERT INTO notify.silence VALUES ($1, $2, $3)
    ON CONFLICT (silence_id) DO UPDATE SET until_ns = excluded.until_ns, silence = excluded.silence
"""


def _json(value: Episode | Silence | Thread | Message) -> str:
    return msgspec.json.encode(value).decode()


def _alert_row(episode: Episode) -> tuple[Any, ...]:
    return (
        episode.id,
        episode.raised_ns,
        episode.cleared_ns,
        episode.severity,
        episode.kind == OWN,
        _json(episode),
    )


async def _store_thread(connected: asyncpg.Connection, thread: Thread, sequence: int) -> None:
    await connected.execute(
        "INSERT INTO notify.thread (key, channel, closed, sequence, thread) "
        "VALUES ($1, $2, $3, $4, $5) ON CONFLICT (key) DO UPDATE SET closed = excluded.closed, "
        "sequence = excluded.sequence, thread = excluded.thread",
        thread.key,
        thread.channel,
        thread.closed,
        sequence,
        _json(thread),
    )


async def _store_message(
    connected: asyncpg.Connection, decision: Decision, message: Message, now_ns: int
) -> None:
    """Put a message into the outbox; the same decision twice is a mistake, and refused here."""
    await connected.execute(
        "INSERT INTO notify.message (message_id, key, channel, reason, created_ns, message, "
        "next_try_ns) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        message.message_id,
        message.key,
        message.channel,
        decision.reason,
        now_ns,
        _json(message),
        AT_ONCE,
    )
