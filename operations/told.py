"""What the stream itself says is raised now, whichever release of the watchdogs said it.

A release with another rule finds the same history under other ids. Where the other has spoken,
what it said counts instead, and what was found here is not said (decision 25).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from operations.checks import Episode
from operations.clock import parse_rfc3339
from operations.events.actions import ActionRequested
from operations.events.base import Event
from operations.events.findings import FindingCleared, FindingRaised, FindingUpdated
from operations.events.operations import Reach, WatchReached

SAID = (FindingRaised, FindingUpdated, FindingCleared)
SPOKEN = (*SAID, ActionRequested, WatchReached)
Said = FindingRaised | FindingUpdated | FindingCleared


class Subject(NamedTuple):
    """What an episode is about: the real unit of a watchdog, or that of a canary's case."""

    canary: bool
    watchdog: str
    unit: str


def _about(finding: Said) -> Subject:
    return Subject(finding.environment == "canary", finding.data.check, finding.subject_id)


class Raised(NamedTuple):
    """An episode and the fund of its unit."""

    episode: Episode
    fund_id: str | None


class Told:
    """What findings have raised and none has cleared; `waiting` is what the stream lacks."""

    def __init__(self, rule: str) -> None:
        """Begin with nothing; what was said by this rule is what was found here."""
        self.waiting: dict[str, Event] = {}  # by event id, in the order of their causes
        self._rule = rule
        self._open: dict[Subject, Raised] = {}

    def of(self, subject: Subject) -> Episode | None:
        """Return what is raised about a subject, None for nothing."""
        raised = self._open.get(subject)
        return raised.episode if raised else None

    def take(self, event: Event, found: Mapping[Subject, str | None]) -> Iterable[Subject]:
        """Take what watchdogs said, signed, and that comes next in the stream.

        Returns of which subjects to go on from what is told here; `found` are those of which
        something is raised elsewhere, and their funds. What was said waits no longer; its words may
        be those of an earlier release.
        """
        ours = self.waiting.pop(event.event_id, None)
        match event:
            case FindingRaised() | FindingUpdated() | FindingCleared():
                self._note(event)
                if event.data.rule_version != self._rule:
                    self._give_way(_about(event), event.causation_id)
                    return (_about(event),)
            case WatchReached() if event.data.rule_version != self._rule:
                subjects = self._covered(event.data, found)
                for subject in subjects:
                    self._give_way(subject)
                return subjects
            case ActionRequested() if ours is None:
                for waiting in list(self.waiting.values()):
                    if isinstance(waiting, ActionRequested) and _is_same(waiting, event):
                        del self.waiting[waiting.event_id]
        return ()

    def snapshot(self) -> list[tuple[Subject, Raised]]:
        """Return what is raised."""
        return list(self._open.items())

    def restore(self, state: Iterable[tuple[Subject, Raised]]) -> None:
        """Go on from a snapshot."""
        self._open = dict(state)

    def _note(self, finding: Said) -> None:
        subject, data = _about(finding), finding.data
        known = self.of(subject)
        same = known is not None and known.id == data.episode
        if isinstance(finding, FindingCleared):
            if same:
                del self._open[subject]
            return
        since_ns = known.since_ns if known and same else parse_rfc3339(data.looked_at)
        episode = Episode(data.episode, data.stage or 1, since_ns, data)
        self._open[subject] = Raised(episode, finding.fund_id)

    def _covered(self, reach: Reach, found: Mapping[Subject, str | None]) -> list[Subject]:
        """Return what something is raised about or waits, and that another process watched."""
        funds = {subject: raised.fund_id for subject, raised in self._open.items()} | dict(found)
        funds |= {
            _about(one): one.fund_id for one in self.waiting.values() if isinstance(one, SAID)
        }
        return [
            subject
            for subject, fund_id in funds.items()
            if subject.watchdog in reach.watchdogs
            and not (reach.funds and fund_id and fund_id not in reach.funds)
        ]

    def _give_way(self, subject: Subject, cause: str | None = None) -> None:
        """Forget what waits about a subject.

        What the same event asks to be done stays, under the episode of the stream: the other
        release may have died between its finding and its request.
        """
        told = self.of(subject)
        gone = {told.id} if told else set()
        gone |= {
            one.data.episode
            for one in self.waiting.values()
            if isinstance(one, SAID) and _about(one) == subject
        }
        for event in [each for each in self.waiting.values() if each.correlation_id in gone]:
            del self.waiting[event.event_id]
            if isinstance(event, ActionRequested) and told and event.causation_id == cause:
                data = replace(event.data, episode=told.id)
                self.waiting[event.event_id] = replace(event, correlation_id=told.id, data=data)


def _is_same(one: ActionRequested, other: ActionRequested) -> bool:
    """Whether two rules ask for the same in the same episode."""
    return (one.data.episode, one.data.kind) == (other.data.episode, other.data.kind)
