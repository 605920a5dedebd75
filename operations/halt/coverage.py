"""Who obeys a halt, how far they are, and who has said nothing: coverage for each halt.

Whether a halt holds never depends on this; it is what operators look at, and what raises the alarm
when an order system does not say within the deadline that it blocks. An acknowledgement counts
for the order system whose own key signed it on its own subject, so one cannot speak for another.
Like the halts themselves this is a set of facts: their order of arrival does not matter.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from operations.clock import NANOSECONDS
from operations.events.halts import Acknowledgement, HaltAcknowledged, HaltRequested, Phase
from operations.halt.state import Fact

State = Literal["PROPAGATING", "ENFORCED", "PARTIAL", "UNCONFIRMED"]
MILLION = 1_000_000
DEADLINE_MS = 1000
ORDER: dict[Phase, int] = {
    "RECEIVED": 0,
    "BLOCKING": 1,
    "CANCEL_SENT": 2,
    "CANCEL_CONFIRMED": 3,
    "FLAT": 4,
    "REFUSED": -1,
}


class Heard(NamedTuple):
    """When something was known: by the receiver's clock and by JetStream's, as far as it was."""

    heard_ns: int | None
    stored_ns: int | None

    @property
    def at_ns(self) -> int:
        """The earlier of the two, in ns since 1970."""
        return min(each for each in self if each is not None)

    def with_(self, fact: Fact) -> "Heard":
        """Return the same with one more hearing of it."""
        heard, stored = self
        if fact.sequence is None:
            return Heard(fact.at_ns if heard is None else min(heard, fact.at_ns), stored)
        return Heard(heard, fact.at_ns if stored is None else min(stored, fact.at_ns))


UNHEARD = Heard(None, None)


class Answer(NamedTuple):
    """One phase that an order system reported."""

    data: Acknowledgement
    when: Heard


class Row(NamedTuple):
    """How far one order system is with one halt.

    `phase` is None when it has said nothing. `round_trip_ms` runs on one clock from the request to
    its word that it blocks; `to_block_ms` is from its own monotonic clock. Both are None before.
    """

    oms_id: str
    phase: Phase | None
    blocking: bool
    round_trip_ms: float | None
    to_block_ms: float | None
    answers: tuple[Answer, ...]


class Covered(NamedTuple):
    """Coverage of one halt: ENFORCED when everyone expected blocks.

    PROPAGATING lasts until the deadline; after it PARTIAL means that some block, UNCONFIRMED that
    nobody does or that nobody was expected, which is not the same as all is well.
    """

    halt_id: str
    state: State
    rows: tuple[Row, ...]
    missing: tuple[str, ...]


class Coverage:
    """The acknowledgements of all halts, by halt and order system."""

    def __init__(self) -> None:
        self.unsettled: dict[str, None] = {}  # active halts that not everybody is known to obey
        self._requested: dict[str, Heard] = {}
        self._deadlines_ms: dict[str, int] = {}
        self._answers: dict[str, dict[str, dict[str, Answer]]] = {}  # by halt, OMS, event id

    def request(self, fact: Fact) -> None:
        """Take a request: from its first hearing the time runs."""
        event = fact.event
        assert isinstance(event, HaltRequested)
        halt_id = event.data.halt_id
        before = self._requested.get(halt_id)
        self._requested[halt_id] = (before or UNHEARD).with_(fact)
        deadline = min(event.data.ack_deadline_ms, self._deadlines_ms.get(halt_id, DEADLINE_MS))
        self._deadlines_ms[halt_id] = deadline
        if before is None:
            self.unsettled[halt_id] = None

    def acknowledge(self, fact: Fact, signer: str) -> str:
        """Take an acknowledgement; returns why it does not count, an empty text when it does."""
        event = fact.event
        assert isinstance(event, HaltAcknowledged)
        data = event.data
        if signer != data.oms_id:
            return f"{signer} cannot acknowledge for {data.oms_id}"
        answers = self._answers.setdefault(data.halt_id, {}).setdefault(data.oms_id, {})
        before = answers.get(event.event_id)
        answers[event.event_id] = Answer(data, (before.when if before else UNHEARD).with_(fact))
        return ""

    def end(self, halt_id: str) -> None:
        """Say that a halt is over: nobody has to answer any more."""
        self.unsettled.pop(halt_id, None)

    def missing(self, halt_id: str, expected: frozenset[str]) -> frozenset[str]:
        """Return who of the expected is not known to block."""
        answers = self._answers.get(halt_id, {})
        return frozenset(
            oms_id
            for oms_id in expected
            if not _row(oms_id, answers.get(oms_id, {}).values(), None).blocking
        )

    def refusals(self, halt_id: str, oms_id: str) -> int:
        """Return how often an order system refused a halt."""
        answers = self._answers.get(halt_id, {}).get(oms_id, {})
        return sum(each.data.phase == "REFUSED" for each in answers.values())

    def of(self, halt_id: str, expected: Iterable[str], now_ns: int) -> Covered:
        """Return the coverage of a halt by those who are expected and those who answered."""
        expected = frozenset(expected)
        answers = self._answers.get(halt_id, {})
        asked = self._requested.get(halt_id)
        rows = tuple(
            _row(oms_id, answers.get(oms_id, {}).values(), asked)
            for oms_id in sorted(expected | answers.keys())
        )
        counted = [row for row in rows if row.oms_id in expected]
        missing = tuple(row.oms_id for row in counted if not row.blocking)
        return Covered(halt_id, self._state(halt_id, counted, missing, now_ns), rows, missing)

    def overdue(self, halt_id: str, now_ns: int) -> bool:
        """Whether the time in which everybody has to block is over."""
        asked = self._requested.get(halt_id)
        if asked is None:
            return False
        return now_ns - asked.at_ns >= self._deadlines_ms[halt_id] * MILLION

    def _state(
        self, halt_id: str, counted: list[Row], missing: tuple[str, ...], now_ns: int
    ) -> State:
        if counted and not missing:
            return "ENFORCED"
        answered = counted and all(row.blocking or row.phase == "REFUSED" for row in counted)
        if not answered and not self.overdue(halt_id, now_ns):
            return "PROPAGATING"
        return "PARTIAL" if len(missing) < len(counted) else "UNCONFIRMED"


def _row(oms_id: str, answers: Iterable[Answer], asked: Heard | None) -> Row:
    """A refusal counts until the order system says later that it blocks after all."""
    ordered = sorted(answers, key=lambda each: (each.when.at_ns, each.data.phase == "REFUSED"))
    if not ordered:
        return Row(oms_id, None, False, None, None, ())
    refusals = [place for place, each in enumerate(ordered) if each.data.phase == "REFUSED"]
    since = ordered[refusals[-1] + 1 :] if refusals else ordered
    if not since:
        return Row(oms_id, "REFUSED", False, None, None, tuple(ordered))
    phase = max((each.data.phase for each in since), key=lambda each: ORDER[each])
    blocks = [each for each in since if each.data.phase == "BLOCKING"]
    first = blocks[0] if blocks else None
    to_block_us = first.data.to_block_us if first else None
    return Row(
        oms_id,
        phase,
        first is not None,
        _between_ms(asked, first.when) if first and asked else None,
        None if to_block_us is None else to_block_us / 1000,
        tuple(ordered),
    )


def _between_ms(asked: Heard, answered: Heard) -> float | None:
    """Measure on one clock; two clocks are never subtracted from each other."""
    for start, end in zip(asked, answered, strict=True):
        if start is not None and end is not None:
            return max(0, end - start) / NANOSECONDS * 1000
    return None
