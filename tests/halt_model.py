"""A firm in memory for tests of properties: one stream, two halt workers, an order system.

The stream refuses a lift when a newer request was stored, and stores each id once.
"""

from collections import Counter

from halt_cases import NOON, TRUST, ask, fact, new_desk

from operations.errors import Denied
from operations.events.base import encode
from operations.events.findings import FindingCleared, FindingRaised
from operations.events.halts import HaltLifted, HaltRequested
from operations.halt import manager, signoff
from operations.halt.records import Ask
from operations.halt.state import FIRM, Halts


class Model:
    """The stream with what is known about it from outside, two halt workers, an order system."""

    def begin(self):
        self.stream = []  # facts and asks in order of their sequence
        self.ids = set()
        self.written = {}  # event id to the bytes of whoever decided it first
        self.desks = [new_desk(), new_desk()]
        self.places = [0, 0]
        self.order_system, self.order_system_place = Halts(), 0
        self.passed_ns = 0
        self.resumes = {}  # resume id to who signed it, its event and its order
        self.cosigns = Counter()  # (resume id, who)
        self.captured = []
        self.honest = {}  # event id of a lift that the stream took from a halt worker: its place
        self.counter = 0

    @property
    def now(self):
        return NOON + self.passed_ns + len(self.stream) * 1000

    def name(self, prefix):
        self.counter += 1
        return f"{prefix}{self.counter}"

    def store(self, made):
        """Take a message into the stream, under its id once; returns it with its place."""
        event = made.event if not isinstance(made, Ask) else made.fact.event
        if event.event_id in self.ids:
            return None
        self.ids.add(event.event_id)
        place = len(self.stream) + 1
        if isinstance(made, Ask):
            stored = made._replace(fact=made.fact._replace(sequence=place, at_ns=self.now))
        else:
            stored = made._replace(sequence=place, at_ns=self.now)
        self.stream.append(stored)
        return stored

    def last_request(self):
        places = [
            each.sequence
            for each in self.stream
            if not isinstance(each, Ask) and isinstance(each.event, HaltRequested)
        ]
        return max(places, default=0)

    def publish(self, worker, events):
        desk = self.desks[worker]
        for event in events:
            known = self.written.setdefault(event.event_id, encode(event))
            if isinstance(event, HaltRequested):
                assert known == encode(event), "two workers decided one thing differently"
            if isinstance(event, FindingRaised | FindingCleared):
                own = ask(event, "service-halt", at_ns=self.now)
                self.store(own)
                desk.hear(own)
                continue
            if isinstance(event, HaltLifted):
                if desk.last_request != self.last_request():
                    continue
                if event.event_id not in self.ids:
                    self.honest[event.event_id] = len(self.stream) + 1
            self.store(fact(event))
            desk.take(fact(event))

    def deliver(self, worker, asked):
        desk = self.desks[worker]
        desk.hear(asked)
        self.publish(worker, manager.decide(desk, asked, self.now))

    def send(self, event, by, heard_by, *, stored_first=False):
        """Somebody publishes: some workers hear it, before or after the stream has stored it."""
        asked = ask(event, by, at_ns=self.now)
        if stored_first:
            self.store(asked)
            asked = asked._replace(fact=asked.fact._replace(at_ns=self.now))
        for worker in heard_by:
            self.deliver(worker, asked)
        self.store(asked)

    def read_the_rest(self):
        """The order system folds what is new, and judges every lift by itself."""
        for stored in self.stream[self.order_system_place :]:
            if isinstance(stored, Ask):
                continue
            if isinstance(stored.event, HaltRequested):
                self.order_system.request(stored)
            elif isinstance(stored.event, HaltLifted):
                try:
                    signoff.judge_lift(stored, self.order_system, TRUST)
                except Denied:
                    continue
                self.order_system.lift(stored)
        self.order_system_place = len(self.stream)

    def place_of(self, event_id):
        for place, stored in enumerate(self.stream, start=1):
            if (stored.fact if isinstance(stored, Ask) else stored).event.event_id == event_id:
                return place
        raise AssertionError(event_id)

    def scope_of(self, halt_id, before):
        halts = Halts()
        for stored in self.stream[: before - 1]:
            if not isinstance(stored, Ask) and isinstance(stored.event, HaltRequested):
                halts.request(stored)
        return halts.stored(halt_id).scope


def overlap(one, other):
    """A strategy whose fund nobody named may belong to any fund."""
    if FIRM in (one, other):
        return True
    return one == other or one.level != other.level


def seen(desk):
    """What a desk makes of a stream, as far as anybody decides by it."""
    halts = desk.halts
    return (
        {halt_id: (each.scope, each.mode) for halt_id, each in halts.active.items()},
        set(halts.lifted),
        {scope: verdict.mode for scope, verdict in halts.verdicts.items()},
        halts.state_hash,
        {halt_id: desk.phase(halt_id) for halt_id in halts.active},
        desk.lifts,
        desk.last_request,
        desk.commands,
        desk.findings,
        desk._observed,
        {name: wish.lifted_at for name, wish in desk.wishes.items()},
    )
