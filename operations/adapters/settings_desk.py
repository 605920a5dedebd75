"""What the settings service knows from the stream, and what each command in it deserves.

The same for the service and for people who ask what holds: both fold the stream by themselves.
"""

from hashlib import sha256
from typing import NamedTuple

from operations.adapters.judge import Judge, Judged, Received, rights, stored
from operations.audit.chain import Delivery
from operations.clock import parse_rfc3339
from operations.errors import Denied, Rejected
from operations.events import subjects
from operations.events.base import Event
from operations.events.commands import ConfigureCommanded, ModeCommanded
from operations.events.findings import FindingCleared, FindingRaised
from operations.events.operations import ConfigChanged, RosterPublished
from operations.events.registry import FundRegistered
from operations.settings import answers
from operations.settings.answers import Asked
from operations.settings.book import Book
from operations.settings.catalogue import Catalogue
from operations.settings.change import Plan, plan_of_person
from operations.signing.roles import right_to_set


class Pending(NamedTuple):
    """A command without an answer so far; `denial` says why its signature does not hold."""

    asked: Asked
    received: Received
    denial: str


class SettingsDesk:
    """The fold of the stream for settings.

    `said` is what the service said, by event id. `outage` is the open finding that Vault does not
    answer, `wrong` those that a secret in it is refused, by its path. `refused` counts what came
    without a valid signature.
    """

    def __init__(self, judge: Judge, catalogue: Catalogue) -> None:
        self.book = Book(catalogue)
        self.funds: set[str] = set()
        self.said: dict[str, Event] = {}
        self.outage: FindingRaised | None = None
        self.wrong: dict[str, FindingRaised] = {}
        self.refused = 0
        self.reached = 0
        self._judge = judge
        self._pending: dict[int, Pending] = {}
        self._commands: dict[str, int] = {}  # command id to its first place in the stream

    def take_delivery(self, delivery: Delivery) -> None:
        """Fold one message that the stream delivered."""
        try:
            received = stored(delivery)
        except Rejected:
            return  # no subject of ours is not ASCII
        self.take(received)

    def take(self, received: Received) -> None:
        """Fold one stored message; what can never be read changes nothing."""
        assert received.sequence is not None
        self.reached = max(self.reached, received.sequence)
        try:
            event = subjects.decode(received.subject, received.payload)
        except Rejected:
            return  # the audit worker reports what is no event
        if isinstance(event, FundRegistered):
            if event.environment != "canary":
                self.funds.add(event.subject_id)
        elif isinstance(event, RosterPublished):
            self._judge.take_roster(event)
        elif isinstance(event, ConfigureCommanded | ModeCommanded):
            self._ask(event, received)
        else:
            try:
                judged = self._judge.judge(event, received, rights(event))
            except Denied:
                self.refused += 1
            else:
                self._take_signed(judged)

    def took(self, event: Event, sequence: int) -> None:
        """Fold an event of our own that the stream has."""
        self.said[event.event_id] = event
        if isinstance(event, ConfigChanged):
            self.book.take(event, sequence)
        if isinstance(event, FindingRaised):
            self._find(event)
        if isinstance(event, FindingCleared):
            if self.outage is not None and event.data.episode == self.outage.data.episode:
                self.outage = None
            wrong = self.wrong.get(event.subject_id)
            if wrong is not None and event.data.episode == wrong.data.episode:
                del self.wrong[event.subject_id]

    def pending(self) -> list[Pending]:
        """Return the commands that nobody has answered, in the order of the stream."""
        for sequence, each in list(self._pending.items()):
            first = self._commands.get(each.asked.event.data.command_id, sequence) == sequence
            answered = each.asked.refusal_id in self.said
            if answered or (first and not each.denial and each.asked.change_id in self.said):
                del self._pending[sequence]
        return list(self._pending.values())

    def drop(self, pending: Pending) -> None:
        """Forget a command without an answer: there are too many that nobody signed."""
        self._pending.pop(pending.asked.sequence, None)
        self.refused += 1

    def judge(self, pending: Pending) -> tuple[Plan, str]:
        """Return what a command does and who signed it.

        Raises Denied for a signature that does not hold or does not suffice, or a command that was
        sent before; Rejected for a change that cannot be made.
        """
        asked, received, denial = pending
        if denial:
            raise Denied(denial)
        event = asked.event
        first = self._commands[event.data.command_id]
        if first != asked.sequence:
            raise Denied(f"it was sent before, as message {first} of the stream")
        if asked.at_ns >= parse_rfc3339(event.data.expires_at):
            raise Denied(f"it expired at {event.data.expires_at}")
        made = plan_of_person(self.book, answers.change_of(event), frozenset(self.funds))
        if not event.data.reason.strip():
            raise Rejected("a change needs a reason; say why")
        right = right_to_set(event.subject, loosens=made.loosens)
        return made, self._judge.judge(event, received, (right,)).member.name

    def refresh(self) -> None:
        """Look whether there is a newer roster."""
        self._judge.watch.refresh()

    def _ask(self, event: ConfigureCommanded | ModeCommanded, received: Received) -> None:
        assert received.sequence is not None
        digest = sha256(received.payload).hexdigest()
        asked = Asked(event, received.sequence, received.at_ns, digest)
        denial = ""
        try:
            self._judge.judge(event, received, rights(event))
        except Denied as error:
            denial = str(error)
        else:
            self._commands.setdefault(event.data.command_id, received.sequence)
        self._pending[received.sequence] = Pending(asked, received, denial)

    def _find(self, event: FindingRaised) -> None:
        match answers.parameter(event.data, answers.KIND):
            case answers.OUTAGE:
                self.outage = event
            case answers.SECRET:
                self.wrong[event.subject_id] = event

    def _take_signed(self, judged: Judged) -> None:
        fact = judged.fact
        assert fact.sequence is not None
        self.took(fact.event, fact.sequence)
