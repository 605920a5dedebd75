"""Decides who has to be told, from what was heard, and writes it down before anything is sent.

Until the stream was read up to its end nothing of it is told: what was raised may be over long
since. That the stream cannot be heard is told even then, and so is a channel that takes nothing.
"""

from collections.abc import Collection

from msgspec.structs import replace

from operations.adapters.alert_watch import AlertWatch
from operations.adapters.outbox import Outbox, Progress, Round
from operations.adapters.steps import Step, onward
from operations.adapters.stream import StreamInfo
from operations.events.base import derived_id
from operations.notifications.decision import decide, is_settled
from operations.notifications.episode import OWN, Episode
from operations.notifications.episodes import Episodes
from operations.notifications.message import message_of
from operations.notifications.rules import Rules
from operations.notifications.told import Told

NATS, CHANNEL = "nats", "notifications"  # what the worker finds itself, and their runbooks


class Desk:
    """What was heard, what was told, and what is the matter with the worker's own means."""

    def __init__(self, watch: AlertWatch, box: Outbox, rules: Rules, runbooks: str) -> None:
        self.watch = watch
        self.ready = False  # whether the stream was read to its end
        self._box = box
        self._rules = rules
        self._runbooks = runbooks
        self._own: dict[str, Episode] = {}
        self._before: list[Episode] = []  # what the stream said and that went on at the start
        self._told = Told()
        self._progress = Progress(0, 0)
        self._created_ns = 0

    async def begin(self, now_ns: int, enabled: Collection[str]) -> None:
        """Take the outbox over and read what was told. Raises Retryable while another has it.

        What waits for a channel that is not enabled any more ends, and so does what it was blamed
        for.
        """
        await self._box.take_over()
        await self._box.give_up(enabled, now_ns)
        self._told = await self._box.told(now_ns - self._rules.burst_ns)
        for each in await self._box.going_on():
            if each.kind == OWN:
                self._own[each.id] = each
            else:
                self._before.append(each)
        for each in list(self._own.values()):
            if each.check == CHANNEL and each.subject_id not in enabled:
                self.clear_own(CHANNEL, each.subject_id, now_ns)

    async def open_stream(self, found: StreamInfo) -> bool:
        """Learn up to where the stream was decided on; False for another one than before."""
        if self._created_ns not in (0, found.created_ns):
            return False
        if found.state.last_seq < self.watch.reached:
            return False
        if not self._created_ns:
            self.watch.episodes.expect(self._before, found.state.first_seq)
        self._created_ns = found.created_ns
        self._progress = await self._box.progress(found.created_ns, found.state.last_seq)
        self._rules = replace(self._rules, first_sequence=self._progress.first_sequence)
        return True

    def caught_up(self, now_ns: int) -> None:
        """Say that the stream was read to its end; what was over before is no news."""
        if not self.ready:
            self.ready = True
            known = self.watch.episodes.by_id.values()
            self.watch.episodes.forget(
                [
                    each.id
                    for each in known
                    if not each.open and each.cleared_sequence <= self._progress.sequence
                ]
            )
            self.watch.episodes.end_lost(now_ns)

    def raise_own(self, check: str, subject_id: str, title: str, now_ns: int) -> None:
        """Say that the stream cannot be heard, or that a channel takes nothing; once each."""
        if any(each.open for each in self._of(check, subject_id)):
            return
        name = derived_id(f"{check}:{subject_id}", "own", str(now_ns), 0)
        self._own[name] = Episode(
            id=name,
            kind=OWN,
            check=check,
            severity="critical",
            title=title,
            subject_id=subject_id,
            raised_ns=now_ns,
            raised_sequence=0,
        )

    def clear_own(self, check: str, subject_id: str, now_ns: int) -> None:
        """Say that it is over."""
        for each in self._of(check, subject_id):
            if each.open:
                self._own[each.id] = replace(each, cleared_ns=now_ns)

    def _of(self, check: str, subject_id: str) -> list[Episode]:
        found = self._own.values()
        return [each for each in found if (each.check, each.subject_id) == (check, subject_id)]

    async def look(self, now_ns: int, at: Step = onward) -> int:
        """Decide, and write it down together with the place in the stream; returns how much."""
        episodes = self._episodes()
        threads = self._told.threads
        if not self.ready:
            own = {each.name for each in self._own.values()}
            threads = {key: each for key, each in threads.items() if own.issuperset(each.episodes)}
        told = replace(self._told, threads=threads, unsent=await self._box.unsent())
        decisions, verdicts = decide(episodes, told, self._rules, now_ns)
        made = [
            (each, message_of(each, each.action, self._runbooks, now_ns) if each.action else None)
            for each in decisions
        ]
        settled = [
            each.id
            for each in episodes.by_id.values()
            if is_settled(each, verdicts, episodes, self._rules, now_ns)
        ]
        at("decided")
        await self._box.commit(
            Round(
                decisions=made,
                verdicts=verdicts,
                episodes=list(episodes.by_id.values()),
                silences=list(episodes.silences.values()),
                sequence=self._place(episodes, settled),
                reached=self.watch.reached,
                now_ns=now_ns,
            )
        )
        at("committed")
        for each in decisions:
            self._told.note(each.thread, each.reason, now_ns, now_ns - self._rules.burst_ns)
        self._forget(episodes, settled)
        return len(decisions)

    def _episodes(self) -> Episodes:
        """Return what to decide on: all that was heard, once it is known to be all."""
        episodes = self.watch.episodes if self.ready else Episodes()
        episodes.by_id |= self._own
        return episodes

    def _place(self, episodes: Episodes, settled: list[str]) -> int:
        """Return up to where a restart need not decide again: before what is over and untold."""
        if not self.ready:
            return self._progress.sequence
        waiting = [
            each.cleared_sequence - 1
            for each in episodes.by_id.values()
            if each.cleared_sequence and each.id not in settled
        ]
        return min(waiting, default=self.watch.reached)

    def _forget(self, episodes: Episodes, settled: list[str]) -> None:
        """Drop what is over and said, and the threads about nothing else."""
        episodes.forget(settled)
        for each in settled:
            self._own.pop(each, None)
        self._box.forget(settled)
        if self.ready:
            self._told.forget({each.name for each in episodes.by_id.values()})
