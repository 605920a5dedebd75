"""What people see of watchdogs: their standings as they say them, and their findings as stored.

Only what a service of the roster signed for counts; whoever looks needs no watchdog process for
what is in the stream.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress

import msgspec
from msgspec import Struct

from operations.adapters import judge, stored
from operations.adapters.judge import Judge, Received
from operations.adapters.watch_board import SUBJECT, Part
from operations.adapters.wire import WireClient
from operations.clock import NANOSECONDS, monotonic_ns, parse_rfc3339
from operations.errors import Denied, Rejected
from operations.events.findings import FindingCleared, FindingRaised, FindingUpdated

Findings = FindingRaised | FindingUpdated | FindingCleared


class BoardView:
    """The newest board of each watchdog process."""

    def __init__(self, judging: Judge) -> None:
        self._judge = judging
        self._parts: dict[str, dict[int, Part]] = {}
        self._heard_ns: dict[str, int] = {}
        self._heard = asyncio.Event()

    async def listen(self, client: WireClient) -> None:
        """Hear what watchdog processes say from now on."""

        def take(subject: bytes, _reply: bytes, headers: bytes, payload: bytes) -> None:
            with suppress(Rejected, Denied, msgspec.MsgspecError):
                self.take(judge.heard(subject, headers, payload))

        await client.subscribe_raw(SUBJECT, take)
        await client.flush()

    def take(self, received: Received) -> None:
        """Take a part of a board. Raises Denied unless a watchdog process signed it."""
        self._judge.signer(received, (SUBJECT,))
        part = msgspec.json.decode(received.payload, type=Part)
        known = self._parts.setdefault(part.process, {})
        if any(each.sent_at != part.sent_at for each in known.values()) and len(known) >= (
            next(iter(known.values())).parts
        ):
            known.clear()
        known[part.number] = part
        self._heard_ns[part.process] = monotonic_ns()
        self._heard.set()

    @property
    def is_whole(self) -> bool:
        """Whether a process was heard, and every one that was heard has said everything."""
        return bool(self._parts) and all(
            len(known) >= next(iter(known.values())).parts for known in self._parts.values()
        )

    async def until_whole(self, seconds: float) -> None:
        """Wait until that is so, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.is_whole:
                    self._heard.clear()
                    await self._heard.wait()

    async def turn(self, seconds: float) -> None:
        """Listen for a while."""
        await asyncio.sleep(seconds)

    def parts(self) -> Iterator[Part]:
        """Give every part, by process and number."""
        for process in sorted(self._parts):
            yield from (part for _, part in sorted(self._parts[process].items()))

    def age_seconds(self, process: str) -> float:
        """Return for how long a process was not heard."""
        return (monotonic_ns() - self._heard_ns[process]) / NANOSECONDS


class EpisodeTold(Struct, kw_only=True):
    """What the stream tells of one episode: its findings, folded."""

    check: str
    subject_id: str
    fund_id: str | None
    raised_at: str
    raised: FindingRaised
    worst: Findings
    updates: int = 0
    cleared_at: str | None = None


def fold_episodes(findings: Iterable[Findings]) -> dict[str, EpisodeTold]:
    """Fold findings in the order of the stream into episodes; each begins with what raised it."""
    found: dict[str, EpisodeTold] = {}
    for event in findings:
        key = event.data.episode
        if isinstance(event, FindingRaised):
            found.setdefault(
                key,
                EpisodeTold(
                    check=event.data.check,
                    subject_id=event.subject_id,
                    fund_id=event.fund_id,
                    raised_at=event.timestamp,
                    raised=event,
                    worst=event,
                ),
            )
        elif key in found and isinstance(event, FindingUpdated):
            found[key].updates += 1
            found[key].worst = event
        elif key in found:
            found[key].cleared_at = event.timestamp
    return found


async def findings(
    client: WireClient, stream_name: str, judging: Judge, checks: Iterable[str], since_ns: int
) -> AsyncIterator[Findings]:
    """Give the signed findings of checks since a time of the bus, in the order of the stream.

    Without those of canaries: each watchdog finds its known case every day.
    """
    wanted = frozenset(checks)
    pattern = "mts.v1.operations.finding.*.*"
    async for received in stored.following(client, stream_name, pattern, 1):
        if received.at_ns < since_ns or received.subject.split(".")[4] not in wanted:
            continue
        with suppress(Rejected, Denied):
            event = judging.ask(received).fact.event
            if isinstance(event, Findings) and event.environment != "canary":
                yield event


def open_seconds(episode: EpisodeTold, now_ns: int) -> float:
    """Return how long an episode lasted, or has lasted until now."""
    end_ns = parse_rfc3339(episode.cleared_at) if episode.cleared_at else now_ns
    return max(0, end_ns - parse_rfc3339(episode.raised_at)) / NANOSECONDS
