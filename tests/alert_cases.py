"""What tests of alerts share: rules, findings and halts as they come out of the stream."""

from itertools import count

from msgspec.structs import replace

from operations.clock import NANOSECONDS, parse_rfc3339, rfc3339
from operations.events.commands import (
    AcknowledgeCommanded,
    AcknowledgeOrder,
    CloseAlertCommanded,
    CloseAlertOrder,
    SilenceCommanded,
    SilenceOrder,
)
from operations.events.findings import Finding, FindingCleared, FindingRaised, FindingUpdated
from operations.events.halts import (
    Acknowledgement,
    Halt,
    HaltAcknowledged,
    HaltLifted,
    HaltRequested,
    Lift,
)
from operations.events.registry import (
    Calendar,
    CalendarPublished,
    Fund,
    FundRegistered,
    Session,
    Strategy,
    StrategyRegistered,
)
from operations.notifications.decision import decide, is_settled
from operations.notifications.episodes import Episodes, Stored
from operations.notifications.rules import Channel, Rules, inhibitions_of
from operations.notifications.told import Told

START_NS = parse_rfc3339("2026-11-20T16:00:00Z")  # a Friday, 11 in the morning in New York
SECOND = NANOSECONDS
MINUTE = 60 * SECOND
PAGER = Channel(name="pagerduty", least="critical", pages=True, acknowledges=True)
PHONE = Channel(name="telegram", least="warning", pages=True)
CHAT = Channel(name="slack")
MAIL = Channel(name="email", ends=False)
RULES = Rules(
    channels=(PAGER, PHONE, CHAT, MAIL),
    inhibitions=inhibitions_of("nats>*"),
    repage_ns=15 * MINUTE,
    burst=5,
    burst_ns=10 * MINUTE,
    digest_ns=MINUTE,
    grace_ns=2 * MINUTE,
    halt_wait_ns=2 * SECOND,
)
DATES = {
    "command_id": "c-1",
    "issued_at": rfc3339(START_NS),
    "expires_at": rfc3339(START_NS + 600 * SECOND),
    "reason": "known",
}


class Office:
    """The fold and the decisions over it, as the worker asks them, with a clock that is moved."""

    def __init__(self, rules=RULES):
        self.rules = rules
        self.episodes = Episodes()
        self.told = Told()
        self.now_ns = START_NS
        self.sent = []  # every decision that sent something
        self.verdicts = []
        self._sequence = count(1)

    def hear(self, *events, signer="ann", runbook="drawdown"):
        for event in events:
            stored = Stored(event, next(self._sequence), self.now_ns, signer, runbook)
            self.episodes.take(stored)
        return self.look()

    def pass_(self, ns):
        self.now_ns += ns
        return self.look()

    def look(self):
        """Decide; return channel, action and reason of what is sent now."""
        decisions, self.verdicts = decide(self.episodes, self.told, self.rules, self.now_ns)
        for each in decisions:
            self.told.note(each.thread, each.reason, self.now_ns)
        settled = [
            each.id
            for each in self.episodes.by_id.values()
            if is_settled(each, self.verdicts, self.episodes, self.rules, self.now_ns)
        ]
        self.episodes.forget(settled)
        self.told.forget({each.name for each in self.episodes.by_id.values()})
        made = [each for each in decisions if each.action]
        self.sent += made
        return [(each.thread.channel, each.action, each.reason) for each in made]

    def why(self, episode, channel):
        """Why a channel is or is not told of an episode."""
        return next(
            each.reason
            for each in self.verdicts
            if (each.episode, each.channel) == (episode, channel)
        )

    def pages(self):
        """Every message that rang a pager."""
        ringing = ("raise", "update", "page_again")
        pagers = {each.name for each in self.rules.channels if each.pages}
        return [
            each for each in self.sent if each.thread.channel in pagers and each.action in ringing
        ]


def first(channel):
    """What `look` returns of a first message."""
    return (channel, "raise", "first_message")


def with_rules(**changes):
    return replace(RULES, **changes)


def finding(kind=FindingRaised, episode="e-1", severity="critical", **changes):
    envelope = {
        name: changes.pop(name)
        for name in ("fund_id", "strategy_id", "environment", "event_id", "subject_id")
        if name in changes
    }
    data = Finding(
        **(
            {
                "check": "vpin",
                "episode": episode,
                "severity": severity,
                "title": f"{episode} is the matter",
                "looked_at": rfc3339(START_NS),
                "rule_version": "1",
                "mode": "act",
            }
            | changes
        )
    )
    return kind(
        **(
            {
                "event_id": f"{episode}-{severity}-{kind.__name__}",
                "timestamp": rfc3339(START_NS),
                "actor": "check",
                "subject_id": "thing",
            }
            | envelope
        ),
        data=data,
    )


def updated(episode="e-1", severity="critical", **changes):
    return finding(FindingUpdated, episode, severity, **changes)


def cleared(episode="e-1", **changes):
    return finding(FindingCleared, episode, "info", **changes)


def halt(halt_id="h-1", fund_id="alpha", reason_code="DAILY_LOSS", **envelope):
    level = "FUND_HALT" if fund_id else "STRATEGY_HALT"
    data = Halt(halt_id=halt_id, level=level, reason_code=reason_code, requested_by="limits")
    return HaltRequested(
        event_id=f"r-{halt_id}",
        timestamp=rfc3339(START_NS),
        actor="halt",
        subject_id=fund_id or envelope["strategy_id"],
        fund_id=fund_id,
        data=data,
        **envelope,
    )


def lifted(*halt_ids):
    data = Lift(
        halt_ids=halt_ids,
        resume_id="w-1",
        treatment="CLEARED",
        remaining_halt_ids=(),
        signed_by=("ann",),
    )
    return HaltLifted(
        event_id=f"l-{halt_ids[0]}",
        timestamp=rfc3339(START_NS),
        actor="halt",
        subject_id="w-1",
        data=data,
    )


def blocking(halt_id="h-1", oms_id="oms-1", phase="BLOCKING"):
    data = Acknowledgement(oms_id=oms_id, halt_id=halt_id, phase=phase, via="core")
    return HaltAcknowledged(
        event_id=f"a-{halt_id}-{oms_id}",
        timestamp=rfc3339(START_NS),
        actor=oms_id,
        subject_id=halt_id,
        data=data,
    )


def acknowledgement(episode="e-1"):
    return AcknowledgeCommanded(
        event_id=f"k-{episode}",
        timestamp=rfc3339(START_NS),
        actor="ann",
        subject_id=episode,
        data=AcknowledgeOrder(episode=episode, **DATES),
    )


def closing(episode="e-1"):
    return CloseAlertCommanded(
        event_id=f"c-{episode}",
        timestamp=rfc3339(START_NS),
        actor="ann",
        subject_id=episode,
        data=CloseAlertOrder(episode=episode, **DATES),
    )


def silence(seconds=3600, silence_id="s-1", starts_at=None, check=None, **envelope):
    order = SilenceOrder(
        silence_id=silence_id,
        until=rfc3339(START_NS + seconds * SECOND),
        starts_at=starts_at,
        check=check,
        **DATES,
    )
    return SilenceCommanded(
        event_id=f"k-{silence_id}",
        timestamp=rfc3339(START_NS),
        actor="ann",
        subject_id=silence_id,
        data=order,
        **envelope,
    )


def registered(calendar_id="XNYS"):
    """A fund with a strategy, whose market is open on Friday the 20th from 9:30 to 16:00."""
    day = {"event_id": "x", "timestamp": rfc3339(START_NS), "actor": "registry"}
    fund = Fund(
        name="Alpha",
        base_currency="USD",
        trading="live",
        day_end_time="17:00",
        day_end_zone="America/New_York",
        calendar_id=calendar_id,
    )
    calendar = Calendar(
        calendar_id="XNYS",
        zone="America/New_York",
        first_day="2026-11-16",
        last_day="2026-11-27",
        sessions=tuple(
            Session(day=f"2026-11-{number}", opens_at="09:30", closes_at="16:00")
            for number in (20, 23)
        ),
    )
    strategy = Strategy(name="m", fund_id="alpha", account_ids=("acc-1",))
    return (
        FundRegistered(subject_id="alpha", data=fund, **day),
        CalendarPublished(subject_id="XNYS", data=calendar, **day),
        StrategyRegistered(subject_id="momentum", data=strategy, **day),
    )
