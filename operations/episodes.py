"""What has to be said about a verdict: raised once, updated when worse, cleared when over.

An episode is what is raised now for one unit of a watchdog. What is unknown raises nothing and ends
nothing. Every byte of a finding and of a request follows from the event that caused the look, so a
replay says the same under the same ids.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import msgspec

from operations.checks import Episode, Look, Mode, Unit, Verdict, Watchdog
from operations.clock import NANOSECONDS, rfc3339
from operations.events.actions import ActionRequest, ActionRequested
from operations.events.base import Event, derived_id
from operations.events.findings import (
    Evidence,
    Finding,
    FindingCleared,
    FindingRaised,
    FindingUpdated,
)

RULE = "watchdogs/v1"
ACTOR = "watchdogs"
ACKNOWLEDGE_SECONDS = 60  # after which an action that nobody answered is escalated
DONE_SECONDS = 15 * 60  # after which it is where somebody acknowledged it and does not complete it


def evidence(
    names: Sequence[str], rows: Sequence[Sequence[Any]], look: Look
) -> tuple[Evidence, ...]:
    """Return the range of the stream that rows came from and the hash over them.

    Each row is one line of JSON in the order of the query. A column `sequence`, or the columns
    `first_sequence` and `last_sequence`, give the range; without them it is the look's own event.
    """
    if not rows:
        return ()
    lines = b"".join(_json(list(row)) + b"\n" for row in rows)
    firsts = _column(names, rows, "first_sequence") or _column(names, rows, "sequence")
    lasts = _column(names, rows, "last_sequence") or _column(names, rows, "sequence")
    return (
        Evidence(
            first_stream_sequence=min(firsts, default=look.sequence),
            last_stream_sequence=max(lasts, default=look.sequence),
            rows=len(rows),
            sha256=sha256(lines).hexdigest(),
        ),
    )


_json = msgspec.json.Encoder(decimal_format="string").encode


def _column(names: Sequence[str], rows: Sequence[Sequence[Any]], name: str) -> list[int]:
    if name not in names:
        return []
    place = names.index(name)
    return [int(row[place]) for row in rows if row[place] is not None]


class Judgement(NamedTuple):
    """A verdict with everything that its finding is made of."""

    watchdog: Watchdog
    unit: Unit
    look: Look
    verdict: Verdict
    mode: Mode
    evidence: tuple[Evidence, ...]


def advance(known: Episode | None, judged: Judgement) -> tuple[Episode | None, list[Event]]:
    """Return the episode after a verdict, and what has to be said, in order.

    Raised once; updated when it is worse than it has been, or when what was only observed may be
    acted on from now on; cleared when it has recovered. A stage that is reached for the first time
    in an episode, or for the first time since it acts, asks for its action, once.
    """
    verdict, look = judged.verdict, judged.look
    if verdict.state == "unknown" and not verdict.recovered:
        return known, []
    if known is None:
        if not verdict.stage:
            return None, []
        episode = derived_id(look.cause_id, RULE, _about(judged), look.sequence)
        finding = _finding(judged, episode)
        opened = Episode(episode, verdict.stage, look.at_ns, finding)
        return opened, [_event(FindingRaised, judged, finding), *_asked(judged, finding)]
    if verdict.recovered and not verdict.stage:
        return None, [_event(FindingCleared, judged, _finding(judged, known.id))]
    acts_now = judged.mode == "act" and known.finding.mode == "observe"
    if verdict.stage > (0 if acts_now else known.stage):
        finding = _finding(judged, known.id)
        worse = Episode(known.id, verdict.stage, known.since_ns, finding)
        return worse, [_event(FindingUpdated, judged, finding), *_asked(judged, finding)]
    return known, []


def _about(judged: Judgement) -> str:
    return f"{judged.watchdog.name} {judged.unit.kind} {judged.unit.id} {judged.look.at_ns}"


def _finding(judged: Judgement, episode: str) -> Finding:
    verdict = judged.verdict
    acts = judged.mode == "act"
    words = verdict.proposal.words if verdict.proposal else verdict.maintenance
    severity: Literal["info", "warning", "critical"] = "warning"
    if verdict.listed or verdict.recovered:
        severity = "info"
    elif verdict.state == "breached":
        severity = "critical"
    return Finding(
        check=judged.watchdog.name,
        episode=episode,
        severity=severity,
        title=verdict.title,
        looked_at=rfc3339(judged.look.at_ns),
        rule_version=RULE,
        statistic=verdict.statistic,
        statistic_name=verdict.statistic_name,
        threshold=verdict.threshold,
        samples=verdict.samples,
        details=verdict.details,
        parameters=verdict.parameters,
        evidence=judged.evidence,
        mode="act" if acts else "observe",
        would_have=None if acts else words,
        halt_level=verdict.halt_level if acts and not verdict.recovered else None,
        stage=verdict.stage or None,
    )


def _event(
    kind: type[FindingRaised | FindingUpdated | FindingCleared], judged: Judgement, data: Finding
) -> Event:
    look, unit = judged.look, judged.unit
    verb = kind.__name__.removeprefix("Finding").lower()
    return kind(
        event_id=derived_id(look.cause_id, RULE, f"{verb} {_about(judged)}", look.sequence),
        timestamp=rfc3339(look.at_ns),
        actor=ACTOR,
        source=ACTOR,
        subject_id=unit.id,
        environment=look.environment,
        fund_id=unit.fund_id,
        strategy_id=unit.strategy_id,
        correlation_id=data.episode,
        causation_id=look.cause_id,
        data=data,
    )


def _asked(judged: Judgement, finding: Finding) -> list[Event]:
    """Return the request of the action that a verdict proposes; nothing while only observing.

    Nothing for a canary either: what it has to show is the finding.
    """
    look, unit, proposal = judged.look, judged.unit, judged.verdict.proposal
    if proposal is None or judged.mode != "act" or look.environment == "canary":
        return []
    about = f"action {judged.verdict.stage} {proposal.kind} {_about(judged)}"
    action_id = derived_id(look.cause_id, RULE, about, look.sequence)
    until_ns = None if proposal.seconds is None else look.bus_ns + proposal.seconds * NANOSECONDS
    request = ActionRequest(
        action_id=action_id,
        episode=finding.episode,
        kind=proposal.kind,
        scope=proposal.scope,
        scope_id=proposal.scope_id,
        ack_deadline=rfc3339(look.bus_ns + ACKNOWLEDGE_SECONDS * NANOSECONDS),
        until=None if until_ns is None else rfc3339(until_ns),
        allocation_factor=proposal.allocation_factor,
        gross_at_most=proposal.gross_at_most,
        theta_per_day_at_most=proposal.theta_per_day_at_most,
        orders_per_minute_at_most=proposal.orders_per_minute_at_most,
        currency=proposal.currency,
        check=judged.watchdog.name,
        done_deadline=rfc3339(look.bus_ns + DONE_SECONDS * NANOSECONDS),
    )
    return [
        ActionRequested(
            event_id=action_id,
            timestamp=rfc3339(look.at_ns),
            actor=ACTOR,
            source=ACTOR,
            subject_id=action_id,
            environment=look.environment,
            fund_id=unit.fund_id,
            strategy_id=unit.strategy_id,
            correlation_id=finding.episode,
            causation_id=look.cause_id,
            data=request,
        )
    ]
