"""How is one bad value told from a breach, and what is said about a breach, once?

A check looks at each good value. `Streak` counts the looks in a row that were beyond the limit;
values that are no good are not looks, so they neither advance it nor set it back, and a real crash
between them is still counted. `Latch` turns a confirmed streak into one episode that stays raised,
whatever comes, until a person lifts its halt. Every id follows from the event that caused it.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Literal, NamedTuple, Self

from msgspec import Struct

from operations.clock import parse_rfc3339, rfc3339
from operations.events.base import Environment, Event, derived_id
from operations.events.findings import (
    Evidence,
    Finding,
    FindingCleared,
    FindingRaised,
    FindingUpdated,
    Parameter,
)
from operations.events.halts import Level, Treatment
from operations.halt.policy import CONFIRMATIONS, RULES
from operations.halt.state import Fact, Scope

RULE = "limits/v1"
ACTOR = "limits"
HaltLevel = Literal["strategy", "fund", "firm"]
LEVELS: Mapping[HaltLevel, Level] = {
    "strategy": "STRATEGY_HALT",
    "fund": "FUND_HALT",
    "firm": "FIRM_HALT",
}
UPDATE_STEP = 0.1  # an episode is said again when it is worse by this part of the limit


class Cause(NamedTuple):
    """The stored event at which a look is made. `at_ns` is the time that JetStream gave it."""

    event_id: str
    sequence: int
    at_ns: int
    payload_sha256: str
    environment: Environment

    @classmethod
    def of(cls, fact: Fact) -> Self:
        """Return the cause that a stored fact is. Raises TypeError for one only heard."""
        if fact.sequence is None:
            raise TypeError("limits are judged on stored events only")
        event = fact.event
        return cls(
            event.event_id, fact.sequence, fact.at_ns, fact.payload_sha256, event.environment
        )


class Measure(Struct, frozen=True, kw_only=True):
    """One look: the value that was judged, its limit, and how the two compare.

    `times` is the value as a multiple of its limit, so that larger is worse for every check.
    `final` is a value that was settled before it was published, so it stands for all that would
    confirm it: none may follow.
    """

    hit: bool
    hard: bool
    final: bool = False
    times: float
    statistic: float
    threshold: float
    statistic_name: str
    title: str
    looked_at: str
    samples: int | None = None
    parameters: tuple[Parameter, ...] = ()


class Row(NamedTuple):
    """What a streak keeps of one look."""

    sequence: int
    payload_sha256: str
    times: float


class Streak:
    """The looks in a row that were beyond one limit, at most as many as have to confirm it."""

    def __init__(self, needed: int) -> None:
        self.needed = needed
        self.rows: list[Row] = []

    def add(self, cause: Cause, *, hit: bool, times: float = 0.0) -> bool:
        """Count one look; return whether the breach is confirmed."""
        if not hit:
            self.rows.clear()
            return False
        self.rows.append(Row(cause.sequence, cause.payload_sha256, times))
        del self.rows[: -self.needed]
        return len(self.rows) >= self.needed

    def evidence(self) -> tuple[Evidence, ...]:
        """Return the range of the stream and the hash of the rows that were counted.

        The hash is SHA-256 over one line `<sequence> <SHA-256 of the payload>` for each row.
        """
        if not self.rows:
            return ()
        lines = "".join(f"{row.sequence} {row.payload_sha256}\n" for row in self.rows)
        return (
            Evidence(
                first_stream_sequence=self.rows[0].sequence,
                last_stream_sequence=self.rows[-1].sequence,
                rows=len(self.rows),
                sha256=sha256(lines.encode()).hexdigest(),
            ),
        )


class Place(Struct, frozen=True, kw_only=True):
    """What a finding is about: a scope, and the fund that it belongs to."""

    check: str
    scope: Scope
    fund_id: str | None = None

    @property
    def strategy_id(self) -> str | None:
        """The strategy, when it is one."""
        return self.scope.id if self.scope.level == "STRATEGY_HALT" else None

    @property
    def level(self) -> HaltLevel:
        """The level of a halt over this scope, as findings name it."""
        return next(name for name, level in LEVELS.items() if level == self.scope.level)


def write(
    kind: type[FindingRaised | FindingUpdated | FindingCleared],
    cause: Cause,
    place: Place,
    data: Finding,
) -> Event:
    """Return a finding whose every byte follows from its cause, so a replay gives it again."""
    verb = kind.__name__.removeprefix("Finding").lower()
    about = f"{place.check}.{verb} {place.scope} {data.episode}"
    return kind(
        event_id=derived_id(cause.event_id, RULE, about, cause.sequence),
        timestamp=rfc3339(cause.at_ns),
        actor=ACTOR,
        source=ACTOR,
        subject_id=place.scope.id or "firm",
        environment=cause.environment,
        fund_id=place.fund_id,
        strategy_id=place.strategy_id,
        correlation_id=data.episode,
        causation_id=cause.event_id,
        data=data,
    )


def episode_id(cause: Cause, place: Place, ordinal: int = 0) -> str:
    """Return the id of an episode that this cause opens."""
    about = f"{place.check} {place.scope}"
    return derived_id(f"{cause.event_id}:{cause.sequence}", RULE, about, ordinal)


class Latch:
    """One check over one scope: what it has said, and what a person has done about it.

    `episode` is the finding that is raised now, None when there is none.
    """

    def __init__(self, place: Place, needed: int | None = None) -> None:
        self.place = place
        self.episode: Finding | None = None
        self._streak = Streak(needed or RULES[place.check].confirmations)
        self._muted_until_ns = 0
        self._said = 0.0

    def look(self, measure: Measure, cause: Cause) -> list[Event]:
        """Judge one good value; return what has to be said now."""
        if cause.at_ns < self._muted_until_ns:
            self._streak.rows.clear()
            return []
        streak = self._streak
        times = measure.times
        alone = measure.hit and (measure.hard or measure.final)
        if not streak.add(cause, hit=measure.hit, times=times) and not alone:
            return []
        steady = times if alone else min(row.times for row in streak.rows)
        if self.episode is None:
            return [self._raise(measure, cause, steady)]
        if steady < self._said + UPDATE_STEP:
            return []
        self._said = steady
        self.episode = self._finding(measure, self.episode.episode)
        return [write(FindingUpdated, cause, self.place, self.episode)]

    def miss(self) -> list[Event]:
        """Take note of a good value within the limit, which says nothing."""
        self._streak.rows.clear()
        return []

    def lift(self, treatment: Treatment, muted_until: str | None, cause: Cause) -> list[Event]:
        """Let go of the episode as a person decided; only what comes later counts from here."""
        self._streak.rows.clear()
        if treatment == "MUTED" and muted_until:
            self._muted_until_ns = parse_rfc3339(muted_until)
        return self.clear(cause)

    def clear(self, cause: Cause) -> list[Event]:
        """End the episode, if there is one."""
        if self.episode is None:
            return []
        over = self.episode
        self.episode = None
        return [write(FindingCleared, cause, self.place, over)]

    def _raise(self, measure: Measure, cause: Cause, times: float) -> Event:
        self._said = times
        self.episode = self._finding(measure, episode_id(cause, self.place))
        return write(FindingRaised, cause, self.place, self.episode)

    def _finding(self, measure: Measure, episode: str) -> Finding:
        streak = self._streak
        confirmations = streak.needed if measure.final else len(streak.rows)
        return Finding(
            check=self.place.check,
            episode=episode,
            severity="critical",
            title=measure.title,
            looked_at=measure.looked_at,
            rule_version=RULE,
            statistic=measure.statistic,
            statistic_name=measure.statistic_name,
            threshold=measure.threshold,
            samples=measure.samples,
            parameters=(
                Parameter(name=CONFIRMATIONS, value=str(confirmations)),
                *measure.parameters,
            ),
            evidence=streak.evidence(),
            mode="act",
            halt_level=self.place.level,
        )


class Notice:
    """Something that a person should know and that halts nothing: said once, cleared when over."""

    def __init__(self, place: Place, ordinal: int = 0) -> None:
        self.place = place
        self.episode: Finding | None = None
        self._ordinal = ordinal

    def say(
        self,
        problem: str | None,
        cause: Cause,
        looked_at: str = "",
        judged: tuple[float, float] | None = None,
    ) -> list[Event]:
        """Raise when there is a problem, update when it is another one, clear when it is over.

        `judged` is a value and what it was compared with, where there is such a thing.
        """
        if problem is None:
            over, self.episode = self.episode, None
            return [write(FindingCleared, cause, self.place, over)] if over else []
        known = self.episode
        if known is not None and known.title == problem:
            return []
        episode = known.episode if known else episode_id(cause, self.place, 1 + self._ordinal)
        self.episode = Finding(
            check=self.place.check,
            episode=episode,
            severity="warning",
            title=problem,
            looked_at=looked_at or rfc3339(cause.at_ns),
            rule_version=RULE,
            statistic=judged[0] if judged else None,
            threshold=judged[1] if judged else None,
            mode="act",
        )
        kind = FindingUpdated if known else FindingRaised
        return [write(kind, cause, self.place, self.episode)]
