"""What is the matter now: findings, halts and people's orders, folded in the order of the stream.

An episode begins when something is raised or halted and ends when it is cleared or lifted. What
has ended is kept until everybody who has to hear of it was decided on (`forget`). Who calls has
checked the signatures: an event that reaches this fold counts.
"""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec.structs import replace

from operations.events.base import Event
from operations.events.commands import (
    AcknowledgeCommanded,
    CloseAlertCommanded,
    SilenceCommanded,
)
from operations.events.findings import FindingCleared, FindingRaised, FindingUpdated
from operations.events.halts import HaltAcknowledged, HaltLifted, HaltRequested
from operations.events.registry import CalendarPublished, FundRegistered, StrategyRegistered
from operations.notifications.episode import FINDING, HALT, RANK, Episode, found, halted
from operations.notifications.silences import Silence, silence_of
from operations.sessions import Sessions

REMEMBERED = 4096  # events of findings that a halt may name as its cause
WORKER = "notifications"
LOST = "the stream was made anew without it; what still goes on is told again"


class Stored(NamedTuple):
    """An event that counts: its place, its JetStream time, who signed it, the page of a halt."""

    event: Event
    sequence: int
    at_ns: int
    signer: str = ""
    runbook: str = ""


class Episodes:
    """Every episode that goes on or was not settled, the silences, and who trades when."""

    def __init__(self) -> None:
        self.by_id: dict[str, Episode] = {}
        self.silences: dict[str, Silence] = {}
        self.sessions = Sessions()
        self.sequence = 0
        self._expected: dict[str, Episode] = {}  # what went on before, by its name
        self._episode_of: dict[str, str] = {}  # by the event that raised or updated it
        self._fund_of: dict[str, str] = {}
        self._calendar_of: dict[str, str | None] = {}

    def take(self, stored: Stored) -> None:
        """Fold one stored event; one that is folded already changes nothing."""
        event, sequence, at_ns, signer, runbook = stored
        if sequence <= self.sequence:
            return
        self.sequence = sequence
        match event:
            case FindingRaised() | FindingUpdated():
                self._find(event, sequence, at_ns)
            case FindingCleared():
                self.end((event.data.episode,), at_ns, sequence)
            case HaltRequested():
                self._halt(event, sequence, at_ns, runbook)
            case HaltLifted():
                self.end(event.data.halt_ids, at_ns, sequence)
            case HaltAcknowledged():
                self._answer(event)
            case AcknowledgeCommanded():
                self._acknowledge(event, signer)
            case CloseAlertCommanded():
                self._close(stored, event.data.episode, event.data.reason)
            case SilenceCommanded():
                self.silences[event.data.silence_id] = silence_of(event, signer)
            case _:
                self._learn(event)

    def expect(self, before: Iterable[Episode], first_sequence: int) -> None:
        """Learn what went on when it was last written down, before anything is folded.

        What is older than the stream, which begins at `first_sequence`, goes on.
        """
        for each in before:
            if each.raised_sequence < first_sequence:
                self.by_id[each.id] = each
            else:
                self._expected[each.name] = each

    def end_lost(self, at_ns: int) -> None:
        """Say, once all is folded, what becomes of what the stream should hold and does not.

        It is another stream then. A halt goes on until it is lifted; the rest ends.
        """
        for old in self._expected.values():
            gone = replace(old, cleared_ns=at_ns, closed_by=WORKER, closed_because=LOST)
            new = self.by_id.get(old.id, old if old.kind == HALT else gone)
            self.by_id[old.id] = replace(
                new,
                raised_ns=old.raised_ns,
                raised_sequence=old.raised_sequence,
                acknowledged=new.acknowledged or old.acknowledged,
                acknowledged_by=new.acknowledged_by or old.acknowledged_by,
            )
        self._expected.clear()

    def raise_own(self, episode: Episode) -> None:
        """Take what the worker found itself: that it cannot hear the stream."""
        self.by_id[episode.id] = episode

    def end(self, ids: Iterable[str], at_ns: int, sequence: int) -> None:
        """End episodes; one that has ended already keeps its end."""
        for each in ids:
            known = self.by_id.get(each)
            if known is not None and known.open:
                self.by_id[each] = replace(known, cleared_ns=at_ns, cleared_sequence=sequence)

    def forget(self, ids: Iterable[str]) -> None:
        """Drop episodes of which everything was said."""
        for each in ids:
            del self.by_id[each]

    def is_closed(self, episode: Episode, at_ns: int) -> bool:
        """Whether the market of an episode's fund is known to be closed."""
        return self.sessions.is_closed(self._calendar_of.get(self._fund(episode)), at_ns)

    def _fund(self, episode: Episode) -> str:
        """Return the fund that an episode concerns; who names a strategy may leave it out."""
        return episode.fund_id or self._fund_of.get(episode.strategy_id, "")

    def _find(self, event: FindingRaised | FindingUpdated, sequence: int, at_ns: int) -> None:
        new = found(event, sequence, at_ns)
        new = replace(new, fund_id=self._fund(new))
        self._expected.pop(new.name, None)
        known = self.by_id.get(new.id)
        if known is not None and known.open:
            new = replace(
                new,
                severity=max(known.severity, new.severity, key=lambda each: RANK[each]),
                raised_ns=known.raised_ns,
                raised_sequence=known.raised_sequence,
                acknowledged=known.acknowledged,
                acknowledged_by=known.acknowledged_by,
            )
        self.by_id[new.id] = new
        self._episode_of[event.event_id] = new.id
        if len(self._episode_of) > REMEMBERED:
            del self._episode_of[next(iter(self._episode_of))]

    def _halt(self, event: HaltRequested, sequence: int, at_ns: int, runbook: str) -> None:
        if event.data.halt_id not in self.by_id:  # asked again, it changes nothing
            because = self._episode_of.get(event.causation_id or "", "")
            new = halted(event, sequence, at_ns, runbook, because)
            self._expected.pop(new.name, None)
            self.by_id[new.id] = replace(new, fund_id=self._fund(new))

    def _answer(self, event: HaltAcknowledged) -> None:
        known = self.by_id.get(event.data.halt_id)
        if known is not None:
            said = dict(known.answers) | {event.data.oms_id: event.data.phase}
            self.by_id[known.id] = replace(known, answers=tuple(sorted(said.items())))

    def _acknowledge(self, event: AcknowledgeCommanded, signer: str) -> None:
        known = self.by_id.get(event.data.episode)
        if known is not None and known.open:
            self.by_id[known.id] = replace(
                known, acknowledged=known.severity, acknowledged_by=signer
            )

    def _close(self, stored: Stored, episode_id: str, reason: str) -> None:
        known = self.by_id.get(episode_id)
        if known is not None and known.kind == FINDING and known.open:
            named = replace(known, closed_by=stored.signer, closed_because=reason)
            self.by_id[episode_id] = named
            self.end((episode_id,), stored.at_ns, stored.sequence)

    def _learn(self, event: Event) -> None:
        match event:
            case FundRegistered():
                self._calendar_of[event.subject_id] = event.data.calendar_id
            case StrategyRegistered():
                self._fund_of[event.subject_id] = event.data.fund_id
            case CalendarPublished():
                self.sessions.take(event.data)
