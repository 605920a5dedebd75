"""Every kind of event there is, and the kind that a subject stands for."""

import re
from functools import cache

from operations.errors import Rejected
from operations.events import (
    actions,
    approvals,
    commands,
    findings,
    halts,
    marketdata,
    news,
    operations,
    orders,
    portfolio,
    positions,
    registry,
    rules,
    strategies,
)
from operations.events.base import Event, read

ALL: tuple[type[Event], ...] = (
    registry.FundRegistered,
    registry.StrategyRegistered,
    registry.AccountRegistered,
    registry.InstrumentDefined,
    registry.CalendarPublished,
    registry.ServiceRegistered,
    registry.ServiceDeregistered,
    orders.OrderSubmitted,
    orders.OrderAccepted,
    orders.OrderAmended,
    orders.OrderPartiallyFilled,
    orders.OrderFilled,
    orders.OrderCancelRequested,
    orders.OrderCanceled,
    orders.OrderRejected,
    orders.OrderExpired,
    orders.GateRejected,
    positions.PositionChanged,
    positions.PositionSnapshotted,
    positions.GreeksMarked,
    positions.ExposureMarked,
    portfolio.NavMarked,
    portfolio.PortfolioBaselinePublished,
    strategies.SignalGenerated,
    strategies.ForecastScored,
    strategies.PnlMarked,
    strategies.StrategyBaselinePublished,
    marketdata.TradePrinted,
    marketdata.QuoteUpdated,
    marketdata.BarClosed,
    marketdata.FxRateMarked,
    news.StoryPublished,
    news.FeedBeat,
    findings.FindingRaised,
    findings.FindingUpdated,
    findings.FindingCleared,
    actions.ActionRequested,
    actions.ActionAnswered,
    actions.ActionAcknowledged,
    actions.ActionCompleted,
    actions.ActionRefused,
    actions.ActionExpired,
    actions.ActionReleased,
    halts.HaltRequested,
    halts.HaltActivated,
    halts.HaltDocumented,
    halts.HaltAcknowledged,
    halts.ResumeRequested,
    halts.ResumeCosigned,
    halts.ResumeDenied,
    halts.HaltLifted,
    commands.HaltCommanded,
    commands.ResumeCommanded,
    commands.CosignCommanded,
    commands.CancelAllCommanded,
    commands.FlattenCommanded,
    commands.DrillCommanded,
    commands.ReleaseCommanded,
    commands.AdoptStreamCommanded,
    commands.ModeCommanded,
    commands.AcknowledgeCommanded,
    commands.CloseAlertCommanded,
    commands.SilenceCommanded,
    commands.ConfigureCommanded,
    approvals.ApprovalRequested,
    approvals.ApprovalGranted,
    approvals.ApprovalDenied,
    approvals.ApprovalExpired,
    approvals.ApprovalConsumed,
    approvals.ApprovalVoided,
    rules.RuleCreated,
    rules.RuleUpdated,
    rules.RuleDeleted,
    rules.ViolationRecorded,
    operations.ConfigChanged,
    operations.ClockTicked,
    operations.ServicePolled,
    operations.DatabaseMeasured,
    operations.DatabaseMaintained,
    operations.WarehouseMeasured,
    operations.WatchReached,
    operations.CanaryPassed,
    operations.ReportGenerated,
    operations.DataPurged,
    operations.RosterPublished,
)


def decode(subject: str, payload: bytes) -> Event:
    """Read a payload as the kind of event that its subject stands for.

    Raises Rejected for an unknown subject, and for everything that breaks the contract.
    """
    event = read(find(subject), payload)
    if event.subject != subject:
        raise Rejected(f"an event for {event.subject[:300]} arrived on {subject[:300]}")
    return event


def find(subject: str) -> type[Event]:
    """Return the kind of event that a subject stands for. Raises Rejected when there is none."""
    exact, patterns = _lookup()
    if kind := exact.get(subject):
        return kind
    for pattern, kind in patterns:
        if pattern.fullmatch(subject):
            return kind
    raise Rejected(f"no event is known for the subject {subject[:300]}; see docs/events.md")


@cache
def _lookup() -> tuple[dict[str, type[Event]], tuple[tuple[re.Pattern[str], type[Event]], ...]]:
    """Subjects without parameters by name; the few with parameters by pattern, in order."""
    exact = {kind.pattern: kind for kind in ALL if "{" not in kind.pattern}
    patterns = [
        (re.compile(re.sub(r"\\\{[^}]*\\\}", "[0-9A-Za-z_-]{1,64}", re.escape(kind.pattern))), kind)
        for kind in ALL
        if "{" in kind.pattern
    ]
    return exact, tuple(patterns)


def wildcard(kind: type[Event]) -> str:
    """Return the NATS subject filter that matches every event of a kind."""
    return re.sub(r"\{[^}]*\}", "*", kind.pattern)
