"""What the stream says about actions, folded, and what is due that it does not hold yet.

The worker of the actions and every person who lists them ask this one fold. Requests, answers and
orders to end an action count only with a signature that holds, and so does what was said about
them before: after a crash at any point the fold of the same stream knows what is left to say.
"""

from collections.abc import Iterator

from operations.actions import due
from operations.actions.state import Actions, Refused
from operations.adapters import stored
from operations.adapters.judge import Judge, Received
from operations.adapters.wire import WireClient
from operations.errors import Denied, Rejected
from operations.events import subjects
from operations.events.actions import (
    ActionAnswered,
    ActionExpired,
    ActionReleased,
    ActionRequested,
)
from operations.events.base import Event
from operations.events.commands import ReleaseCommanded
from operations.events.findings import FindingCleared, FindingRaised
from operations.events.operations import RosterPublished

# What is folded, as a person reads it: each subject by itself.
PATTERNS = (
    "mts.v1.operations.action.>",
    "mts.v1.operations.command.release_action",
    "mts.v1.operations.finding.actions.*",
    "mts.v1.operations.roster.published",
)
_KINDS = (
    ActionRequested, ActionAnswered, ActionExpired, ActionReleased, ReleaseCommanded, FindingRaised,
    FindingCleared,
)  # fmt: skip


class ActionWatch:
    """The fold of the stream for actions. `denied` counts what came without a valid signature."""

    def __init__(self, judge: Judge, order_systems: frozenset[str]) -> None:
        self.actions = Actions()
        self.order_systems = order_systems
        self.raised: dict[str, FindingRaised] = {}  # our findings that are not cleared, by episode
        self.reached = 0
        self.denied = 0
        self._judge = judge
        self._said: set[str] = set()
        self._settled: set[str] = set()  # actions whose end was said
        self._refused: list[Refused] = []

    def take(self, received: Received) -> str:
        """Fold one stored message; returns why it does not count, nothing when it does."""
        assert received.sequence is not None
        self.reached = max(self.reached, received.sequence)
        try:
            kind = subjects.find(received.subject)
            if kind is RosterPublished:
                self._judge.take_roster(subjects.decode(received.subject, received.payload))
            elif kind in _KINDS:
                judged = self._judge.ask(received)
                place = judged.member.name, received.sequence, received.at_ns
                self._fold(judged.fact.event, *place)
        except Rejected as error:
            return str(error)
        except Denied as error:
            self.denied += 1
            return str(error)
        return self._refused[-1].reason if self._refused_at(received.sequence) else ""

    def refresh(self) -> None:
        """Look whether there is a newer roster."""
        self._judge.watch.refresh()

    def due(self, now_ns: int) -> Iterator[Event]:
        """Yield what has to be said at a time and is not in the stream."""
        self.actions.pass_time(now_ns)
        for action_id, action in self.actions.known.items():
            if action_id not in self._settled:
                yield from due.of_action(action, self.order_systems, self._said, now_ns)
        for refused in self._refused:
            finding = due.no_release(refused)
            if finding.event_id not in self._said:
                yield finding
        for cleared in due.cleared(self.actions.known, self.raised.values(), self.order_systems):
            if cleared.event_id not in self._said:
                yield cleared

    def _fold(self, event: Event, signer: str, sequence: int, at_ns: int) -> None:
        match event:
            case ActionRequested():
                self.actions.request(event, signer, sequence, at_ns)
            case ActionAnswered():
                self.actions.answer(event.data, at_ns)
            case ReleaseCommanded():
                refused = self.actions.release(event, signer, sequence, at_ns)
                self._refused += [refused] if refused else []
            case _:
                self._came_back(event, at_ns)

    def _refused_at(self, sequence: int) -> bool:
        return bool(self._refused) and self._refused[-1].sequence == sequence

    def _came_back(self, event: Event, at_ns: int) -> None:
        """Take what the worker of the actions said: it has not to be said again."""
        self._said.add(event.event_id)
        match event:
            case ActionExpired() | ActionReleased():
                self.actions.pass_time(at_ns)
                self._settled.add(event.data.action_id)
            case FindingRaised():
                self.raised.setdefault(event.data.episode, event)
                cause = event.causation_id
                self._refused = [each for each in self._refused if each.event.event_id != cause]
            case FindingCleared():
                self.raised.pop(event.data.episode, None)


async def read(client: WireClient, stream: str, watch: ActionWatch) -> dict[int, str]:
    """Fold what a stream holds and was not folded; returns by its place what does not count.

    Raises Retryable when NATS does not answer.
    """
    first = watch.reached + 1
    found = [
        received
        for pattern in PATTERNS
        async for received in stored.following(client, stream, pattern, first)
    ]
    places = sorted(found, key=lambda each: each.sequence or 0)
    return {each.sequence or 0: words for each in places if (words := watch.take(each))}


def known_names(names: str) -> frozenset[str]:
    """Return the order systems that a setting names, with commas between."""
    return frozenset(each.strip() for each in names.split(",") if each.strip())
