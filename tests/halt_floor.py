"""A stream with one halt worker on it, in memory: asks go in, and answers are stored."""

from halt_cases import NOON, SECOND, ask, fact, new_desk, resume_command

from operations.events.findings import FindingCleared, FindingRaised
from operations.halt import manager

MILLISECOND, MINUTE = SECOND // 1000, 60 * SECOND


class Floor:
    """A stream and one halt worker that reads it and publishes into it."""

    def __init__(self, desk=None):
        self.desk = desk or new_desk()
        self.sequence = 0
        self.log = []

    @property
    def now(self):
        return NOON + self.sequence * MILLISECOND

    def tell(self, event, signer="alice"):
        """Somebody's ask is stored; the halt worker answers, and its answers are stored."""
        self.sequence += 1
        asked = ask(event, signer, self.sequence, self.now)
        self.log.append(asked)
        self.desk.hear(asked)
        return self.publish(manager.decide(self.desk, asked, self.now))

    def publish(self, events):
        for event in events:
            self.sequence += 1
            self.fold(event)
        return list(events)

    def fold(self, event):
        if isinstance(event, FindingRaised | FindingCleared):
            asked = ask(event, "service-halt", self.sequence, self.now)
            self.log.append(asked)
            self.desk.hear(asked)
        else:
            stored = fact(event, self.sequence, self.now)
            self.log.append(stored)
            self.desk.take(stored)

    def wait(self, nanoseconds=0):
        """Time passes; what is due is stored."""
        return self.publish(manager.due(self.desk, self.now + nanoseconds))

    def resume(self, *halt_ids, by="alice", **data):
        return self.tell(resume_command(*halt_ids, **data), by)

    @property
    def active(self):
        return set(self.desk.halts.active)


def only(events, kind):
    """Return the one event of a kind; there must be no other of it."""
    (found,) = [each for each in events if isinstance(each, kind)]
    return found


def refusal(events):
    event = only(events, FindingRaised)
    assert event.data.check == "halt"
    return event.data.details


def kinds(events):
    return {type(each) for each in events}
