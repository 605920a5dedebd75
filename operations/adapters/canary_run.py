"""Puts a known case before each watchdog and waits for what it says: does it still look?

The cases are events of the environment `canary`, which everybody else passes over. They are
published as a user who may publish what watchdogs read, and nothing that orders or decides.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec

from operations.adapters.judge import Judge, heard
from operations.adapters.publisher import Publisher
from operations.adapters.wire import WireClient
from operations.checks import Watchdog
from operations.clock import NANOSECONDS, monotonic_ns, new_event_id, now_ns
from operations.errors import Denied, Rejected
from operations.events.findings import FindingRaised
from operations.events.operations import Canary, CanaryPassed

RAISED = "mts.v1.operations.finding.*.raised"
Result = Literal["passed", "silent", "none", "refused"]


class Outcome(NamedTuple):
    """What came of one canary: `none` where a watchdog has no case, `refused` by the bus."""

    check: str
    result: Result
    delay_ms: float | None = None
    words: str = ""


class CanaryRun:
    """One run over some watchdogs, on a connection that hears findings."""

    def __init__(self, client: WireClient, publisher: Publisher, judge: Judge) -> None:
        self.run_id = new_event_id().replace("-", "")[-12:]
        self._client, self._publisher, self._judge = client, publisher, judge
        self._found_ns: dict[str, int] = {}
        self._heard = asyncio.Event()

    async def run(self, watchdogs: Sequence[Watchdog], wait_seconds: float) -> list[Outcome]:
        """Publish every case, wait for all findings, and say what came of each."""
        subscription = await self._client.subscribe_raw(RAISED, self._receive)
        try:
            await self._client.flush()
            sent_ns: dict[str, int] = {}
            refused: dict[str, str] = {}
            for number, watchdog in enumerate(watchdogs):
                if watchdog.canary is not None:
                    try:
                        await self._send(watchdog, f"{self.run_id}{number:02}")
                        sent_ns[watchdog.name] = monotonic_ns()
                    except (Denied, Rejected) as error:
                        refused[watchdog.name] = str(error)
            await self._wait(set(sent_ns), wait_seconds)
        finally:
            await self._client.unsubscribe_raw(subscription)
        return list(self._outcomes(watchdogs, sent_ns, refused))

    def passed(self, outcomes: Sequence[Outcome]) -> Iterator[CanaryPassed]:
        """Return what has to be said of the cases that were found."""
        for each in outcomes:
            if each.result == "passed" and each.delay_ms is not None:
                data = Canary(
                    check=each.check, canary_id=f"canary-{self.run_id}", delay_ms=each.delay_ms
                )
                yield CanaryPassed(subject_id=each.check, data=data)

    async def _send(self, watchdog: Watchdog, case_id: str) -> None:
        """Publish one case; each has ids of its own, so that one is not taken for another."""
        assert watchdog.canary is not None
        for event in watchdog.canary(now_ns(), case_id):
            apart = msgspec.structs.replace(event, environment="canary")  # whatever it says
            await self._publisher.publish(apart, wait=True)
        await self._publisher.flush()

    async def _wait(self, checks: set[str], wait_seconds: float) -> None:
        end_ns = monotonic_ns() + int(wait_seconds * NANOSECONDS)
        while not checks <= self._found_ns.keys() and monotonic_ns() < end_ns:
            self._heard.clear()
            try:
                async with asyncio.timeout((end_ns - monotonic_ns()) / NANOSECONDS):
                    await self._heard.wait()
            except TimeoutError:
                return

    def _receive(self, subject: bytes, _reply: bytes, headers: bytes, payload: bytes) -> None:
        """Take a finding of this run that its watchdog signed."""
        if self.run_id.encode() not in payload:
            return
        try:
            event = self._judge.ask(heard(subject, headers, payload)).fact.event
        except (Denied, Rejected):
            return
        if isinstance(event, FindingRaised) and event.environment == "canary":
            self._found_ns.setdefault(event.data.check, monotonic_ns())
            self._heard.set()

    def _outcomes(
        self, watchdogs: Sequence[Watchdog], sent_ns: dict[str, int], refused: dict[str, str]
    ) -> Iterator[Outcome]:
        for name, canary in ((each.name, each.canary) for each in watchdogs):
            if canary is None:
                yield Outcome(name, "none", words="this watchdog has no canary yet")
            elif name in refused:
                yield Outcome(name, "refused", words=refused[name])
            elif (found_ns := self._found_ns.get(name)) is None:
                words = "nothing was found: is it off, does its process run? see mts watchdogs"
                yield Outcome(name, "silent", words=words)
            else:
                yield Outcome(name, "passed", max(0, found_ns - sent_ns[name]) / 1e6)
