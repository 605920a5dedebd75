"""What the stream says about limits, folded, and what has to be said that it does not hold yet.

A finding is waiting from the moment in which its cause is folded until our own message with these
very bytes comes back out of the stream. So after a crash at any point the fold of the same stream
knows what was said already, and says the rest under the same ids. What moves the fold (halts and
lifts, our own findings) counts only with a signature that holds.
"""

from hashlib import sha256

from operations.adapters.judge import Judge, Received, stored
from operations.audit.chain import Delivery
from operations.errors import Denied, Rejected
from operations.events import subjects
from operations.events.base import Event, encode
from operations.events.findings import FindingCleared, FindingRaised, FindingUpdated
from operations.events.halts import HaltLifted, HaltRequested
from operations.events.operations import RosterPublished
from operations.halt.latch import Cause
from operations.halt.signoff import Trust, judge_lift
from operations.halt.state import Fact, Halts
from operations.halt.triggers import Triggers

Said = FindingRaised | FindingUpdated | FindingCleared


class LimitWatch:
    """The fold of the stream for limits.

    `refused` counts what came without a valid signature. `failed` names the first event that the
    fold could not take: a mistake of ours, and one event must not end the watch over all others.
    """

    def __init__(self, judge: Judge) -> None:
        self.triggers = Triggers()
        self.waiting: dict[str, Event] = {}  # by event id, in the order of their causes
        self.refused = 0
        self.failed = ""
        self.reached = 0
        self._judge = judge
        self._halts = Halts()

    def take(self, delivery: Delivery) -> None:
        """Fold one message of the stream; what can never be read changes nothing but is noted."""
        try:
            received = stored(delivery)
        except Rejected:
            return  # no subject of ours is not ASCII
        assert received.sequence is not None
        self.reached = max(self.reached, received.sequence)
        try:
            event = subjects.decode(received.subject, received.payload)
        except Rejected as error:
            self._unreadable(received, str(error))
            return
        try:
            self._fold(event, received)
        except Denied:
            self.refused += 1
        except (ArithmeticError, ValueError, Rejected) as error:
            place = f"{received.subject}, sequence {received.sequence}"
            self.failed = self.failed or f"{place} could not be judged: {error!r}"

    def refresh(self) -> None:
        """Look whether there is a newer roster."""
        self._judge.watch.refresh()

    def _fold(self, event: Event, received: Received) -> None:
        """Raises Denied for what moves the fold and whose signature does not hold."""
        match event:
            case FindingRaised() | FindingUpdated() | FindingCleared():
                self._came_back(event, received)
                return
            case RosterPublished():
                self._judge.take_roster(event)
                return
            case HaltRequested():
                fact = self._judge.ask(received).fact
                self._halts.request(fact)
            case HaltLifted():
                fact = self._judge.ask(received).fact
                judge_lift(fact, self._halts, self._trust())
                self._halts.lift(fact)
            case _:
                digest = sha256(received.payload).hexdigest()
                fact = Fact(event, received.sequence, received.at_ns, digest)
        self._say(self.triggers.take(fact))

    def _came_back(self, event: Said, received: Received) -> None:
        ours = self.waiting.get(event.event_id)
        if ours is not None and encode(ours) == received.payload:
            self._judge.ask(received)
            del self.waiting[event.event_id]

    def _trust(self) -> Trust:
        judge = self._judge
        return Trust(judge.watch.roster, judge.origin, judge.environment)

    def _unreadable(self, received: Received, reason: str) -> None:
        sequence = received.sequence or 0
        cause = Cause(
            event_id=f"{received.subject}:{sequence}",
            sequence=sequence,
            at_ns=received.at_ns,
            payload_sha256=sha256(received.payload).hexdigest(),
            environment="live",
        )
        words = reason.encode(errors="replace").decode()
        self._say(self.triggers.unreadable(received.subject, received.payload, cause, words))

    def _say(self, events: list[Event]) -> None:
        for event in events:
            self.waiting[event.event_id] = event
