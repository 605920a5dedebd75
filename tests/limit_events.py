"""What tests of limits share: events in the order of a stream, and a fold that is fed with them."""

from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256

from operations.clock import NANOSECONDS, parse_rfc3339, rfc3339
from operations.events.base import Event, encode
from operations.events.halts import Halt, HaltLifted, HaltRequested, Lift
from operations.events.portfolio import NavMarked, NetAssetValue
from operations.events.registry import Fund, FundRegistered, Strategy, StrategyRegistered
from operations.events.strategies import (
    ForecastScore,
    ForecastScored,
    StrategyBaseline,
    StrategyBaselinePublished,
)
from operations.halt.policy import RULES
from operations.halt.state import Fact
from operations.halt.triggers import Triggers

START_NS = parse_rfc3339("2026-11-20T15:00:00Z")
MINUTE_NS = 60 * NANOSECONDS
LEVELS = {"drawdown": "STRATEGY_HALT", "drift_zscore": "STRATEGY_HALT"}


def fact_of(event: Event, sequence: int, at_ns: int) -> Fact:
    return Fact(event, sequence, at_ns, sha256(encode(event)).hexdigest())


@dataclass
class Feed:
    """Makes events one minute apart and folds them; `said` holds every finding so far."""

    triggers: Triggers = field(default_factory=Triggers)
    sequence: int = 0
    at_ns: int = START_NS
    said: list[Event] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)

    def take(self, event: Event, *, at_ns: int | None = None) -> list[Event]:
        self.sequence += 1
        fact = fact_of(event, self.sequence, self.at_ns if at_ns is None else at_ns)
        self.facts.append(fact)
        said = self.triggers.take(fact)
        self.said += said
        return said

    def put(self, kind, subject_id, data, **keys) -> list[Event]:
        event = kind(
            event_id=f"e-{self.sequence + 1}",
            timestamp=rfc3339(self.at_ns),
            actor="test",
            subject_id=subject_id,
            data=data,
            **keys,
        )
        return self.take(event)

    def pass_minutes(self, minutes: float) -> None:
        self.at_ns += int(minutes * MINUTE_NS)

    def fund(self, fund_id="alpha", drawdown="10", daily="4", **changes) -> list[Event]:
        fields = {
            "name": fund_id,
            "base_currency": "USD",
            "trading": "live",
            "day_end_time": "17:00",
            "day_end_zone": "America/New_York",
            "drawdown_halt_pct": drawdown and Decimal(drawdown),
            "daily_loss_halt_pct": daily and Decimal(daily),
        }
        return self.put(FundRegistered, fund_id, Fund(**(fields | changes)), fund_id=fund_id)

    def strategy(self, strategy_id="mean-rev", fund_id="alpha") -> list[Event]:
        data = Strategy(name=strategy_id, fund_id=fund_id, account_ids=())
        return self.put(
            StrategyRegistered, strategy_id, data, fund_id=fund_id, strategy_id=strategy_id
        )

    def nav(self, nav, start="100", *, fund_id="alpha", as_of=None, **changes) -> list[Event]:
        """One mark, a minute after the one before unless `as_of` (ns) says otherwise."""
        self.pass_minutes(1)
        data = NetAssetValue(
            **{
                "as_of": rfc3339(self.at_ns if as_of is None else as_of),
                "nav": Decimal(nav),
                "currency": "USD",
                "start_of_day_nav": Decimal(start),
                **changes,
            }
        )
        return self.put(NavMarked, fund_id, data, fund_id=fund_id)

    def baseline(self, strategy_id="mean-rev", **fields) -> list[Event]:
        fields = fields or {"ic_mean": 0.5, "ic_standard_deviation": 0.5}
        data = StrategyBaseline(baseline_id="b", currency="USD", **fields)
        return self.put(StrategyBaselinePublished, strategy_id, data, strategy_id=strategy_id)

    def score(self, value, day, strategy_id="mean-rev", **changes) -> list[Event]:
        """The score of the given day, counted from 2026-01-01."""
        self.at_ns = max(self.at_ns, parse_rfc3339("2026-12-31T00:00:00Z"))
        fields = {"horizon_days": 1, "method": "spearman", "names": 100}
        data = ForecastScore(
            day=rfc3339(parse_rfc3339("2026-01-01T00:00:00Z") + day * 86_400 * NANOSECONDS)[:10],
            information_coefficient=value,
            **(fields | changes),
        )
        return self.put(ForecastScored, strategy_id, data, strategy_id=strategy_id)

    def halted(self, check, name, halt_id="h-1") -> None:
        """The halt that a finding led to."""
        level = LEVELS.get(check, "FUND_HALT" if name else "FIRM_HALT")
        data = Halt(
            halt_id=halt_id,
            level=level,
            reason_code=RULES[check].reason_code,
            requested_by="service-limits",
        )
        keys = {"STRATEGY_HALT": {"strategy_id": name}, "FUND_HALT": {"fund_id": name}}
        self.put(HaltRequested, name or "firm", data, **keys.get(level, {}))

    def lifted(self, treatment, halt_id="h-1", muted_until=None) -> list[Event]:
        data = Lift(
            halt_ids=(halt_id,),
            resume_id="r-1",
            treatment=treatment,
            remaining_halt_ids=(),
            signed_by=("ann",),
            muted_until=muted_until,
        )
        return self.put(HaltLifted, halt_id, data)


def kinds(said: list[Event]) -> list[tuple[str, str]]:
    """Check and verb of each finding."""
    return [tuple(event.subject.split(".")[4:]) for event in said]


def halting(said: list[Event]) -> list[Event]:
    """The findings that ask for a halt."""
    return [event for event in said if event.data.halt_level and "cleared" not in event.subject]
