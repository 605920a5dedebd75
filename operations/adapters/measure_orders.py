"""What the stream orders a measuring process to do, folded from its first message on.

Services are registered by whoever may publish them; what they can make us fetch is bounded by the
list of allowed addresses. A finding that asks for a vacuum counts only with the signature of the
watchdogs, and so does our own word that one was done.
"""

from operations.adapters.judge import Judge, stored
from operations.audit.chain import Delivery
from operations.errors import Denied, Rejected
from operations.events import subjects
from operations.events.findings import FindingCleared, FindingRaised, FindingUpdated
from operations.events.operations import DatabaseMaintained, RosterPublished
from operations.measuring import Orders

SIGNED = FindingRaised | FindingUpdated | FindingCleared | DatabaseMaintained


class MeasureOrders:
    """The fold; `refused` counts what came without a valid signature."""

    def __init__(self, judge: Judge) -> None:
        self.orders = Orders()
        self.refused = self.unreadable = 0
        self._judge = judge

    def take(self, delivery: Delivery) -> None:
        """Fold one message; what cannot be read or does not count changes nothing."""
        try:
            received = stored(delivery)
            event = subjects.decode(received.subject, received.payload)
            if isinstance(event, SIGNED):
                self._judge.ask(received)
        except Rejected:
            self.unreadable += 1
        except Denied:
            self.refused += 1
        else:
            if isinstance(event, RosterPublished):
                self._judge.take_roster(event)
            self.orders.take(event)

    def refresh(self) -> None:
        """Look whether there is a newer roster."""
        self._judge.watch.refresh()
