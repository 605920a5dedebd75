"""Which automatic halts are due? The fold of everything that limits are judged from.

Stored events go in, in the order of the stream, and findings come out. Nothing else is known: no
clock, no memory outside, so whoever folds the same stream says the same, byte for byte, however
the stream was cut into batches and wherever a reader was killed and started again. What happened
to a finding (halted, lifted, and how its trigger was treated) is read from the stream as well.
"""

from collections.abc import Iterator
from typing import Protocol

import msgspec
from msgspec import Struct

from operations.events.base import Event
from operations.events.findings import Finding
from operations.events.halts import HaltLifted, HaltRequested, Treatment
from operations.events.news import FeedBeat, StoryPublished
from operations.events.operations import ClockTicked
from operations.events.portfolio import NavMarked
from operations.events.positions import PositionSnapshotted
from operations.events.registry import CalendarPublished, FundRegistered, StrategyRegistered
from operations.events.strategies import ForecastScored, StrategyBaselinePublished
from operations.halt.drift import DRIFT, Drift
from operations.halt.latch import Cause
from operations.halt.losses import DAILY_LOSS, DRAWDOWN, LIMITS, FundLosses
from operations.halt.nav import Bad
from operations.halt.news_volume import NEWS, NewsVolume
from operations.halt.policy import RULES
from operations.halt.state import Fact, Scope, scope_of
from operations.sessions import Sessions

CHECKS = (DRAWDOWN, DAILY_LOSS, DRIFT, NEWS, LIMITS)
JUDGED: tuple[type[Event], ...] = (
    FundRegistered, StrategyRegistered, CalendarPublished, NavMarked, ForecastScored,
    StrategyBaselinePublished, StoryPublished, FeedBeat, PositionSnapshotted, ClockTicked,
    HaltRequested, HaltLifted,
)  # fmt: skip
SIGNED: tuple[type[Event], ...] = (HaltRequested, HaltLifted)  # to be judged before they are taken
APART = ("drill", "canary")  # environments in which nothing real happens
LONGEST_ID = 256
MOST_UNREGISTERED = 1000  # funds that are valued without being registered
_CHECK_OF = {RULES[check].reason_code: check for check in CHECKS}


class Held(Protocol):
    """What a lift lets go."""

    def lift(self, treatment: Treatment, muted_until: str | None, cause: Cause) -> list[Event]:
        """Let go of the episode and treat its trigger as a person decided."""


class Named(Struct, frozen=True):
    """The ids that can be read from a payload that is otherwise no event of its subject."""

    fund_id: str | None = None
    strategy_id: str | None = None
    subject_id: str | None = None


class Triggers:
    """Everything that was folded, by fund, by strategy, and for the firm."""

    def __init__(self) -> None:
        self.funds: dict[str, FundLosses] = {}
        self.drifts: dict[str, Drift] = {}
        self.news = NewsVolume()
        self.sequence = 0
        self._sessions = Sessions()
        self._unregistered = 0
        self._fund_of: dict[str, str] = {}
        self._halts: dict[str, tuple[str, Scope]] = {}  # halt id to the check that it came from

    def take(self, fact: Fact) -> list[Event]:
        """Fold one stored event and return the findings that it causes, in order.

        An event that is folded already changes nothing. Raises TypeError for one that was only
        heard. Who calls has checked the signatures of the kinds in SIGNED.
        """
        cause = Cause.of(fact)
        if cause.sequence <= self.sequence:
            return []
        self.sequence = cause.sequence
        event = fact.event
        if cause.environment in APART or _is_absurd(event):
            return []
        return self._fold(event, cause) + self._passed(cause)

    def unreadable(self, subject: str, payload: bytes, cause: Cause, reason: str) -> list[Event]:
        """Take note of a stored message that is no event: a value that is unknown, never none."""
        if cause.sequence <= self.sequence:
            return []
        self.sequence = cause.sequence
        try:
            named = msgspec.json.decode(payload, type=Named)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            named = Named()
        if subject == NavMarked.pattern and (fund_id := named.fund_id or named.subject_id):
            known = self.funds.get(fund_id)
            return (
                known.bad(Bad(f"it cannot be read: {reason[:LONGEST_ID]}"), cause) if known else []
            )
        if subject == ForecastScored.pattern and (name := named.strategy_id or named.subject_id):
            drift = self.drifts.get(name)
            return drift.unreadable(reason[:LONGEST_ID], cause) if drift else []
        return []

    def raised(self) -> Iterator[Finding]:
        """Every finding that is raised now and asks for a halt."""
        for fund in self.funds.values():
            yield from fund.raised()
        latches = [drift.latch for drift in self.drifts.values()] + [self.news.latch]
        yield from (latch.episode for latch in latches if latch.episode)

    def _fold(self, event: Event, cause: Cause) -> list[Event]:
        match event:
            case NavMarked():
                return self._mark(event, cause)
            case ForecastScored():
                return self._drift(event).score(event.data, cause)
            case StoryPublished():
                return self.news.story(event.data, cause)
            case HaltLifted():
                return self._lift(event, cause)
        return self._learn(event, cause)

    def _learn(self, event: Event, cause: Cause) -> list[Event]:
        """Take what values are judged against, and what is known about them."""
        match event:
            case FundRegistered():
                return self._fund(event.subject_id).register(event.data, cause)
            case StrategyBaselinePublished():
                return self._drift(event).rebase(event.data, cause)
            case StrategyRegistered():
                self._join(event)
            case CalendarPublished():
                self._sessions.take(event.data)
            case FeedBeat():
                self.news.beat(event.data, cause)
            case PositionSnapshotted():
                self.news.hold((event.account_id, event.strategy_id), event.data)
            case HaltRequested():
                self._note(event)
        return []

    def _mark(self, event: NavMarked, cause: Cause) -> list[Event]:
        fund_id = event.fund_id or event.subject_id
        if fund_id not in self.funds:
            # Whoever makes up names of funds must not fill our memory and the stream.
            self._unregistered += 1
            if self._unregistered > MOST_UNREGISTERED:
                return []
        return self._fund(fund_id).mark(event.data, cause)

    def _fund(self, fund_id: str) -> FundLosses:
        if fund_id not in self.funds:
            self.funds[fund_id] = FundLosses(fund_id)
        return self.funds[fund_id]

    def _drift(self, event: Event) -> Drift:
        strategy_id = event.strategy_id or event.subject_id
        if strategy_id not in self.drifts:
            fund_id = self._fund_of.get(strategy_id, event.fund_id)
            self.drifts[strategy_id] = Drift(strategy_id, fund_id)
        return self.drifts[strategy_id]

    def _join(self, event: StrategyRegistered) -> None:
        """Let a strategy answer for its fund; what is raised already is not forgotten."""
        before = self.funds.get(self._fund_of.get(event.subject_id, ""))
        if before is not None and before.fund_id != event.data.fund_id:
            before.leave(event.subject_id)
        self._fund_of[event.subject_id] = event.data.fund_id
        self._fund(event.data.fund_id).join(event.subject_id)

    def _note(self, event: HaltRequested) -> None:
        """Remember which of our findings a halt came from; a person's halt is none of ours."""
        check = _CHECK_OF.get(event.data.reason_code)
        if check:
            self._halts[event.data.halt_id] = (check, scope_of(event))

    def _lift(self, event: HaltLifted, cause: Cause) -> list[Event]:
        said = []
        for halt_id in event.data.halt_ids:
            check, scope = self._halts.get(halt_id, ("", None))
            for held in self._held(check, scope):
                said += held.lift(event.data.treatment, event.data.muted_until, cause)
        return said

    def _held(self, check: str, scope: Scope | None) -> Iterator[Held]:
        """Return what is latched for a check over a scope."""
        if scope is None:
            return
        if check == NEWS:
            yield self.news
        elif check == DRIFT and scope.id in self.drifts:
            yield self.drifts[scope.id]
        elif check in (DAILY_LOSS, LIMITS) and scope.id in self.funds:
            fund = self.funds[scope.id]
            yield fund.daily if check == DAILY_LOSS else fund.doubt
        elif check == DRAWDOWN:
            for fund in self.funds.values():
                if scope.id in fund.trackers:
                    yield fund.trackers[scope.id]

    def _passed(self, cause: Cause) -> list[Event]:
        """Let time pass for the values of funds: any stored event says what time it is."""
        funds = (self.funds[name] for name in sorted(self.funds))
        return [event for fund in funds for event in fund.passed(cause, self._sessions)]


def _is_absurd(event: Event) -> bool:
    """Whether an id in the envelope is longer than our own findings may carry."""
    ids = (event.fund_id, event.strategy_id, event.account_id)
    return any(len(each) > LONGEST_ID for each in ids if each)
