"""What the stream says of alerts, folded: only what somebody signed who may sign it.

A finding that nobody may sign pages nobody, and a clearance or a lift that does not count ends
nothing: whoever could fake one could keep people from hearing of what goes on.
"""

from contextlib import suppress

from operations.adapters.judge import Judge, Received, stored
from operations.audit.chain import Delivery
from operations.clock import parse_rfc3339
from operations.errors import Denied, Rejected
from operations.events import subjects
from operations.events.base import Event
from operations.events.commands import (
    AcknowledgeCommanded,
    CloseAlertCommanded,
    SilenceCommanded,
)
from operations.events.findings import FindingCleared, FindingRaised, FindingUpdated
from operations.events.halts import HaltAcknowledged, HaltLifted, HaltRequested
from operations.events.operations import RosterPublished
from operations.events.registry import CalendarPublished, FundRegistered, StrategyRegistered
from operations.halt.board import RUNBOOKS
from operations.halt.signoff import Trust, judge_lift
from operations.halt.state import Halts
from operations.notifications.episodes import Episodes, Stored

# No database takes a text with U+0000 in it, and whoever puts one there must not go untold.
NUL, INSTEAD = b"\\u0000", b"\\ufffd"
UNSIGNED = (FundRegistered, StrategyRegistered, CalendarPublished)
SIGNED = (
    FindingRaised,
    FindingUpdated,
    FindingCleared,
    HaltRequested,
    HaltLifted,
    HaltAcknowledged,
    AcknowledgeCommanded,
    CloseAlertCommanded,
    SilenceCommanded,
)


class AlertWatch:
    """The fold of the stream for alerts; `refused` counts what did not count."""

    def __init__(self, judge: Judge) -> None:
        self.episodes = Episodes()
        self.reached = 0
        self.refused = 0
        self._judge = judge
        self._halts = Halts()

    def take(self, delivery: Delivery) -> None:
        """Fold one message of the stream; what cannot be read or does not count changes nothing."""
        with suppress(Rejected):
            received = stored(delivery)
            self.reached = max(self.reached, received.sequence or 0)
            event = subjects.decode(received.subject, received.payload.replace(NUL, INSTEAD))
            if event.environment == "canary":
                return  # known cases that are found every day are told to nobody
            try:
                self._fold(event, received)
            except Denied:
                self.refused += 1

    def refresh(self) -> None:
        """Look whether there is a newer roster."""
        self._judge.watch.refresh()

    def _fold(self, event: Event, received: Received) -> None:
        if isinstance(event, RosterPublished):
            self._judge.take_roster(event)
        elif isinstance(event, UNSIGNED):
            self._take(event, received, "")
        elif isinstance(event, SIGNED):
            judged = self._judge.ask(received)
            match event:
                case HaltRequested():
                    self._halts.request(judged.fact)
                case HaltLifted():
                    trust = Trust(
                        self._judge.watch.roster, self._judge.origin, self._judge.environment
                    )
                    judge_lift(judged.fact, self._halts, trust)
                    self._halts.lift(judged.fact)
                case AcknowledgeCommanded() | CloseAlertCommanded() | SilenceCommanded():
                    _require_fresh(event, received.at_ns)
            self._take(event, received, judged.member.name)

    def _take(self, event: Event, received: Received, signer: str) -> None:
        assert received.sequence is not None
        runbook = RUNBOOKS[event.data.reason_code] if isinstance(event, HaltRequested) else ""
        self.episodes.take(Stored(event, received.sequence, received.at_ns, signer, runbook))


def _require_fresh(
    event: AcknowledgeCommanded | CloseAlertCommanded | SilenceCommanded, at_ns: int
) -> None:
    """Raise Denied for an order that was void when it arrived."""
    try:
        void = at_ns >= parse_rfc3339(event.data.expires_at)
    except ValueError as error:
        raise Denied(f"the order names no time: {error}") from error
    if void:
        raise Denied(f"the order expired at {event.data.expires_at}")
