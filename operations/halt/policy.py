"""Which check may stop what, and on how much evidence: the one declared table.

A check says what it saw and what it would like to stop. Whether that is enough stands here, so
that a check that is wrong, or whose key was stolen, stops at most what its row allows, and so
that one bad tick stops nothing while a crash far beyond the limit waits for no second look.
What is unknown is neither a breach nor its absence: it never ends a streak.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from msgspec import Struct

from operations.events.base import derived_id
from operations.events.findings import Finding, FindingCleared, FindingRaised, FindingUpdated
from operations.events.halts import HaltReason, Level, Mode
from operations.halt.state import FIRM, Scope

Comparator = Literal["at_least", "below"]
Cancel = Literal["none", "increasing", "all"]
Judged = FindingRaised | FindingUpdated | FindingCleared
Seen = Literal["hard", "breach", "fine", "unknown"]

LEVELS: dict[str, Level] = {
    "strategy": "STRATEGY_HALT",
    "fund": "FUND_HALT",
    "firm": "FIRM_HALT",
}
HEIGHT: dict[Level, int] = {"STRATEGY_HALT": 1, "FUND_HALT": 2, "FIRM_HALT": 3}
CONFIRMATIONS = "confirmations"  # parameter in which a check says how often in a row it saw it
ORDER_SYSTEM = "oms_"  # an order system asks under oms_<id>, for strategy oms.<id> alone


class Rule(Struct, frozen=True, kw_only=True):
    """What findings of one check may cause.

    `confirmations` is how many breaches in a row it takes, `hard_multiple` the multiple of the
    threshold from which one is enough. Without a `comparator` the check's own word counts, and
    no statistic is needed. `when_unknown` is the reason of a halt that the check asks for although
    it has no statistic; such a halt only reduces. `each_episode` gives each episode of findings a
    halt of its own; otherwise a check has at most one active halt over a scope.
    """

    reason_code: HaltReason
    highest: Level
    comparator: Comparator | None
    confirmations: int = 1
    hard_multiple: float | None = None
    mode: Mode = "BLOCK_ALL"
    cancel_orders: Cancel = "none"
    when_unknown: HaltReason | None = None
    each_episode: bool = False


_DRAWDOWN = Rule(
    reason_code="DRAWDOWN",
    highest="FUND_HALT",
    comparator="at_least",
    confirmations=3,
    hard_multiple=2.0,
    when_unknown="STALE_DATA",
)
_DRIFT = Rule(
    reason_code="DRIFT_ZSCORE",
    highest="STRATEGY_HALT",
    comparator="below",
    confirmations=8,
    hard_multiple=1.45,
    when_unknown="STALE_DATA",
)
_NEWS = Rule(reason_code="NEWS_SPIKE", highest="FIRM_HALT", comparator="at_least")

RULES: Mapping[str, Rule] = {
    "drawdown": _DRAWDOWN,
    "daily_loss": Rule(
        reason_code="DAILY_LOSS",
        highest="FUND_HALT",
        comparator="at_least",
        confirmations=3,
        hard_multiple=2.0,
        cancel_orders="increasing",
        when_unknown="STALE_DATA",
    ),
    "drift_zscore": _DRIFT,
    "news_aggregate": _NEWS,
    "limits": Rule(
        reason_code="STALE_DATA", highest="FUND_HALT", comparator=None, mode="REDUCE_ONLY"
    ),
    "drift_monitor": _DRIFT,
    "news_spike": _NEWS,
    "portfolio_vol_dd": _DRAWDOWN,
}
_OF_ORDER_SYSTEMS = Rule(
    reason_code="MANUAL", highest="STRATEGY_HALT", comparator=None, each_episode=True
)


class Ruling(NamedTuple):
    """What a finding comes to: a halt of a scope for a reason, or why it stops nothing.

    `refusal` is for what the check may not ask; `waits` for what is not enough yet. Both are empty
    when it halts, and both are empty with `scope` None when the finding asks for nothing.
    """

    rule: Rule | None
    scope: Scope | None
    reason_code: HaltReason
    mode: Mode
    refusal: str = ""
    waits: str = ""

    @property
    def halts(self) -> bool:
        """Whether this is enough to stop the scope."""
        return self.scope is not None and not self.refusal and not self.waits


def rule_of(check: str) -> Rule | None:
    """Return what the findings of a check may cause; None for one that may stop nothing."""
    if check.startswith(ORDER_SYSTEM):
        return _OF_ORDER_SYSTEMS
    return RULES.get(check)


def seen(event: Judged) -> Seen:
    """Say what one finding means for a streak of breaches: at the limit is a breach of at_least.

    A missing statistic or threshold is unknown, never fine; only a check that says "cleared", or
    a statistic within its threshold, ends a streak.
    """
    finding, rule = event.data, rule_of(event.data.check)
    if isinstance(event, FindingCleared):
        return "fine"
    if rule is None or rule.comparator is None:
        return "breach"
    value, limit = finding.statistic, finding.threshold
    if value is None or limit is None:
        return "unknown"
    if not _beyond(rule.comparator, value, limit):
        return "fine"
    return "hard" if _hard(rule, value, limit) else "breach"


def judge(event: Judged, streak: int) -> Ruling:
    """Return what a finding asks for and whether it is enough.

    `streak` is the number of breaches in a row in its episode as the caller counted them, this one
    included; what the check itself states as the parameter `confirmations` counts as well.
    """
    finding, rule = event.data, rule_of(event.data.check)
    nothing = Ruling(rule, None, "MANUAL", "BLOCK_ALL")
    if isinstance(event, FindingCleared) or finding.mode != "act" or finding.halt_level is None:
        return nothing
    if rule is None:
        return nothing._replace(refusal=f"the check {finding.check} may stop nothing")
    scope = _scope(event, rule)
    if isinstance(scope, str):
        return nothing._replace(refusal=scope)
    return _weighed(
        event.data, seen(event), streak, Ruling(rule, scope, rule.reason_code, rule.mode)
    )


def streak(seen_in_order: Iterable[Seen]) -> int:
    """Count the breaches in a row at the end; what is unknown neither adds to it nor ends it."""
    count = 0
    for each in seen_in_order:
        if each == "fine":
            count = 0
        elif each != "unknown":
            count += 1
    return count


def stated(finding: Finding) -> int:
    """Return how often in a row the check itself saw the breach, 0 when it does not say."""
    for parameter in finding.parameters:
        if parameter.name == CONFIRMATIONS and parameter.value.isdecimal():
            return int(parameter.value[:9])
    return 0


def worse(finding: Finding, statistic: float | None) -> bool:
    """Whether a finding shows more than a statistic that was seen before; unknown never does."""
    rule = rule_of(finding.check)
    if rule is None or rule.comparator is None or finding.statistic is None:
        return False
    if statistic is None:
        return True
    if rule.comparator == "below":
        return finding.statistic < statistic
    return finding.statistic > statistic


def halt_id_of(check: str, scope: Scope, episode: str = "", after: str = "") -> str:
    """Return the id of an automatic halt, which everybody who has heard the same derives alike.

    `episode` is that of the findings for a rule with `each_episode`, else empty; `after` is the
    resume that last ended a halt of this check over this scope, empty before the first.
    """
    return derived_id(f"{episode} {after}", f"halt.{check}", f"{scope.level} {scope.id}", 0)


def _weighed(finding: Finding, found: Seen, streak: int, made: Ruling) -> Ruling:
    rule = made.rule
    assert rule is not None
    if found == "unknown":
        if rule.when_unknown is None:
            return made._replace(waits="the statistic or its threshold is missing")
        return made._replace(reason_code=rule.when_unknown, mode="REDUCE_ONLY")
    if found == "fine":
        return made._replace(waits=f"{finding.statistic} is within {finding.threshold}")
    count = max(streak, stated(finding))
    if found == "breach" and count < rule.confirmations:
        return made._replace(waits=f"seen {count} of {rule.confirmations} times in a row")
    return made


def _beyond(comparator: Comparator, value: float, limit: float) -> bool:
    return value < limit if comparator == "below" else value >= limit


def _hard(rule: Rule, value: float, limit: float) -> bool:
    """A multiple of a limit that is zero, or on the other side of it, means nothing."""
    if rule.hard_multiple is None or rule.comparator is None:
        return False
    sensible = limit < 0 if rule.comparator == "below" else limit > 0
    return sensible and _beyond(rule.comparator, value, rule.hard_multiple * limit)


def _scope(event: Judged, rule: Rule) -> Scope | str:
    """Return what the finding may stop, or why it may stop nothing.

    It is never more than what the finding is about: a figure of one strategy stops no fund.
    """
    finding = event.data
    assert finding.halt_level is not None
    if finding.check.startswith(ORDER_SYSTEM):
        own = f"oms.{finding.check.removeprefix(ORDER_SYSTEM)}"
        if event.strategy_id == own:
            return Scope("STRATEGY_HALT", own)
        return f"the check {finding.check} may stop the strategy {own} only"
    about: Level = "FIRM_HALT"
    if event.strategy_id:
        about = "STRATEGY_HALT"
    elif event.fund_id:
        about = "FUND_HALT"
    level = min((LEVELS[finding.halt_level], rule.highest, about), key=lambda each: HEIGHT[each])
    if level == "FIRM_HALT":
        return FIRM
    name = event.strategy_id if level == "STRATEGY_HALT" else event.fund_id
    return Scope(level, name) if name else f"the finding names no {_word(level)} to stop"


def _word(level: Level) -> str:
    return level.removesuffix("_HALT").lower()
