"""May this order system go on trading? The lease that heartbeats of halt workers renew.

A heartbeat counts for three seconds from when it arrived, on this system's own monotonic clock,
and only when the worker holds the same halts: at a place of the stream that both have folded, the
state hashes are equal. So whoever missed a halt, or lives on a worker that did, loses the lease.
A worker may be ahead: its heartbeat then waits until this system has folded as far. Old heartbeats
sent again renew nothing: the count of a run only grows, and a worker that does not know what this
system folded seconds ago is not alive.
"""

from collections import deque
from typing import NamedTuple

from operations.clock import NANOSECONDS, parse_rfc3339
from operations.halt.signals import LEASE_SECONDS, Heartbeat

LEASE_NS = int(LEASE_SECONDS * NANOSECONDS)
OLD_SECONDS = 3600  # clocks may differ by minutes; an hour is another day's heartbeat
RUNS_KEPT = 64
PLACES_KEPT = 4096


class Place(NamedTuple):
    """The state of the halts from a sequence of the stream on."""

    sequence: int
    state_hash: str
    at_ns: int  # when it was folded, on the own monotonic clock


class Waiting(NamedTuple):
    """A heartbeat whose place has not been folded yet."""

    beat: Heartbeat
    at_ns: int


class Lease:
    """Says until when the order system may trade; every time is of its own monotonic clock.

    `until_ns` is 0 before the first heartbeat. `problem` says in words why the newest heartbeat
    renewed nothing; empty when it did.
    """

    def __init__(self) -> None:
        self.until_ns = 0
        self.heard_ns = 0  # when the newest valid heartbeat came, whatever it said
        self.problem = "no heartbeat of a halt worker was heard yet"
        self._places: deque[Place] = deque(maxlen=PLACES_KEPT)
        self._runs: dict[tuple[str, str], int] = {}
        self._waiting: deque[Waiting] = deque(maxlen=RUNS_KEPT)

    def folded(self, sequence: int, state_hash: str, now_ns: int) -> None:
        """Note the state after a halt, lift or command of the stream; may renew the lease."""
        self._places.append(Place(sequence, state_hash, now_ns))
        waiting, self._waiting = self._waiting, deque(maxlen=RUNS_KEPT)
        for each in waiting:
            if sequence < each.beat.sequence and state_hash != each.beat.state_hash:
                self._waiting.append(each)  # not there yet: thousands may lie in between
            else:
                self._weigh(each.beat, each.at_ns, now_ns)

    def begin(self, state_hash: str, now_ns: int) -> None:
        """Say that the stream was read to its end, and what is active there."""
        if not self._places:
            self.folded(0, state_hash, now_ns)

    def hear(self, beat: Heartbeat, now_ns: int, bus_ns: int) -> bool:
        """Take a heartbeat whose signature holds; returns whether it renewed the lease.

        `bus_ns` is the time of the bus in ns since 1970, as well as it is known.
        """
        run = (beat.worker, beat.run)
        if beat.count <= self._runs.get(run, 0):
            self.problem = f"heartbeat {beat.count} of {beat.worker} was heard before"
            return False
        age_seconds = abs(bus_ns - parse_rfc3339(beat.issued_at)) / NANOSECONDS
        if age_seconds > OLD_SECONDS:
            self.problem = f"the heartbeat of {beat.worker} is from {beat.issued_at}"
            return False
        self._runs.pop(run, None)
        self._runs[run] = beat.count
        if len(self._runs) > RUNS_KEPT:
            del self._runs[next(iter(self._runs))]
        self.heard_ns = now_ns
        return self._weigh(beat, now_ns, now_ns)

    def _weigh(self, beat: Heartbeat, at_ns: int, now_ns: int) -> bool:
        """Renew for a heartbeat that came at a time, if it holds what is held here."""
        if now_ns - at_ns >= LEASE_NS:
            return False
        if not self._places:
            self._waiting.append(Waiting(beat, at_ns))
            self.problem = "the stream is not folded yet"
            return False
        newest = self._places[-1]
        if beat.sequence < self._known_since(at_ns - LEASE_NS):
            self.problem = (
                f"{beat.worker} stands at {beat.sequence} of the stream, behind what it had to "
                "know three seconds ago"
            )
            return False
        at_place = next(
            (place for place in reversed(self._places) if place.sequence <= beat.sequence), None
        )
        if at_place is not None and at_place.state_hash == beat.state_hash:
            self.until_ns = max(self.until_ns, at_ns + LEASE_NS)
            self.problem = ""
            return True
        if beat.sequence > newest.sequence:
            self._waiting.append(Waiting(beat, at_ns))
        self.problem = (
            f"{beat.worker} holds other halts at {beat.sequence} of the stream than are held here"
        )
        return False

    def _known_since(self, at_ns: int) -> int:
        """Return the newest sequence that was folded here at a time already."""
        return next((each.sequence for each in reversed(self._places) if each.at_ns <= at_ns), 0)
