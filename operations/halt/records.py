"""The pieces that the desk of a halt worker keeps: asks, requests, lifts, evidence and wishes."""

from typing import NamedTuple

from msgspec import Struct

from operations.events.commands import ResumeCommanded
from operations.events.halts import DRILL_STRATEGY, SignedOrder
from operations.halt.state import Episode, Fact, Scope


class Ask(NamedTuple):
    """A finding, command or acknowledgement whose signature was judged.

    `signer` is the name of the member of the roster who signed it, `order` the message as sent.
    """

    fact: Fact
    signer: str
    order: SignedOrder


class Request(NamedTuple):
    """A stored or heard `halt.requested`, as far as lifts compare themselves with it."""

    sequence: int
    event_id: str
    halt_id: str
    scope: Scope
    fund_id: str


class Lifted(NamedTuple):
    """How a halt ended, and what that means for its trigger."""

    sequence: int
    resume_id: str
    muted_until_ns: int


class Trigger(NamedTuple):
    """What raises automatic halts: a check over a scope."""

    check: str
    scope: Scope


class Evidence(NamedTuple):
    """What a request for a halt rested on, and its place in the stream.

    `cause` is the event that asked and `check` who found it, empty for a person.
    """

    cause: str
    check: str
    statistic: float | None
    sequence: int | None


class Wish(Struct):
    """A resume and what became of it; open until it was denied or lifted."""

    resume: Ask | None = None
    cosigns: dict[str, Ask] = {}
    denial: str | None = None
    denied_at: int | None = None
    lifted_at: int | None = None

    @property
    def open(self) -> bool:
        """Whether it may still lift something."""
        return self.resume is not None and self.denial is None and self.lifted_at is None

    @property
    def closed_at(self) -> int | None:
        """Place in the stream of what closed it, None while it is open or only heard of."""
        return self.lifted_at or self.denied_at


def touches(request: Request, episode: Episode) -> bool:
    """Whether a request concerns what the lift of an episode would free.

    One scope contains the other, as far as is known: a strategy whose fund nobody named may belong
    to any fund, and a firm contains all. Drills concern drills alone.
    """
    ours, theirs = request.scope, episode.scope
    drills = [_is_drill(ours), _is_drill(theirs)]
    if any(drills):
        return all(drills)
    if "FIRM_HALT" in (ours.level, theirs.level):
        return True
    if ours.level == theirs.level:
        return ours == theirs
    funds = (_fund(ours, request.fund_id), _fund(theirs, episode.fund_id))
    return funds[0] == funds[1] or "" in funds


def halt_ids_of(wish: Wish) -> tuple[str, ...]:
    """Return the halts that a resume names."""
    event = wish.resume.fact.event if wish.resume else None
    return event.data.halt_ids if isinstance(event, ResumeCommanded) else ()


def as_of(resume: Ask) -> int:
    """Return the place up to which who asked for a resume had looked, as he said or at most."""
    event, place = resume.fact.event, resume.fact.sequence or 0
    said = event.data.as_of_sequence if isinstance(event, ResumeCommanded) else None
    return place if said is None else min(said, place)


def _is_drill(scope: Scope) -> bool:
    return scope == Scope("STRATEGY_HALT", DRILL_STRATEGY)


def _fund(scope: Scope, fund_id: str) -> str:
    return scope.id if scope.level == "FUND_HALT" else fund_id
