"""What has to be said about actions: their end, who does not answer or complete, void releases.

Everything follows from the fold and a time, under ids that follow from its cause: whoever says it
again after a crash says the same bytes. What the stream holds of it already is passed over.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from msgspec.structs import replace

from operations.actions.state import Action, Refused, severity
from operations.clock import parse_rfc3339, rfc3339
from operations.events.actions import ActionExpired, ActionOutcome, ActionReleased
from operations.events.base import Event, derived_id
from operations.events.findings import Finding, FindingCleared, FindingRaised, Parameter

CHECK = "actions"
VERSION = "actions/v1"
KIND, ACTION, SYSTEM = "kind", "action_id", "oms_id"  # parameters of its findings
UNANSWERED, UNDONE, REFUSED = "unanswered", "undone", "refused"
NO_RELEASE = "release_refused"
KINDS = (UNANSWERED, UNDONE, REFUSED, NO_RELEASE)
TITLE_LENGTH = 300
SCOPES = ("strategy", "fund")  # that have a field of their own in the envelope
NEXT = "mts actions list shows it; what it asks for is not done there, so see to it by hand"


def of_action(
    action: Action, order_systems: frozenset[str], said: AbstractSet[str], now_ns: int
) -> Iterator[Event]:
    """Yield what is due about one action at a time and not said.

    `said` are the ids of all our events that the stream holds.
    """
    for event in _about(action, order_systems, now_ns):
        if event.event_id not in said:
            yield event


def cleared(
    known: Mapping[str, Action],
    raised: Iterable[FindingRaised],
    order_systems: frozenset[str],
) -> Iterator[FindingCleared]:
    """Yield the end of every finding, of those that are not cleared, whose reason is gone."""
    for finding in raised:
        named = {each.name: each.value for each in finding.data.parameters}
        action = known.get(named.get(ACTION, ""))
        if action is None or named[KIND] == NO_RELEASE:
            continue
        over_ns = _over_ns(action, named[KIND], named.get(SYSTEM, ""), order_systems)
        if over_ns is not None:
            yield _end(finding, over_ns)


def _over_ns(action: Action, kind: str, oms_id: str, order_systems: frozenset[str]) -> int | None:
    """Return when the reason of a finding was gone, None while it is there."""
    if action.end is not None:
        return action.end.at_ns
    said = action.answers.get(oms_id)
    if kind == UNDONE and said and said.answer.phase != "ACKNOWLEDGED":
        return said.at_ns
    if kind == UNANSWERED and oms_id not in action.silent(order_systems):
        answers = [each for name, each in action.answers.items() if oms_id in ("", name)]
        return min((each.first_ns for each in answers), default=action.at_ns)
    return None


def no_release(refused: Refused) -> FindingRaised:
    """Return why an order to end an action, by somebody who may give it, ended nothing."""
    event, words = refused.event, refused.reason
    finding = Finding(
        check=CHECK,
        episode=derived_id(event.event_id, NO_RELEASE, event.data.action_id, refused.sequence),
        severity="warning",
        title=f"the release by {refused.signer} ends nothing: {words}"[:TITLE_LENGTH],
        looked_at=event.timestamp,
        rule_version=VERSION,
        details=words,
        parameters=_named(NO_RELEASE, event.data.action_id, ""),
    )
    return FindingRaised(
        event_id=derived_id(finding.episode, "raised", "", 0),
        timestamp=event.timestamp,
        actor=CHECK,
        subject_id=event.data.command_id,
        environment=event.environment,
        causation_id=event.event_id,
        data=finding,
    )


def _about(action: Action, order_systems: frozenset[str], now_ns: int) -> Iterator[Event]:
    if action.end is not None:
        yield from _ended(action)
        return
    deadline = action.request.ack_deadline
    if now_ns >= parse_rfc3339(deadline):
        for oms_id in sorted(action.silent(order_systems)):
            who = oms_id or "no order system"
            words = f"{who} has not answered that it does" if oms_id else f"{who} has answered"
            yield _alarm(action, UNANSWERED, oms_id, deadline, words)
    done_deadline = action.request.done_deadline
    for oms_id, said in sorted(action.answers.items()):
        if said.answer.phase == "ACKNOWLEDGED" and done_deadline is not None:
            late_ns = max(parse_rfc3339(done_deadline), said.first_ns)
            if now_ns >= late_ns:
                words = f"{oms_id} has acknowledged and not completed"
                yield _alarm(action, UNDONE, oms_id, rfc3339(late_ns), words, said.answer.reason)
        elif said.answer.phase == "REFUSED":
            words = f"{oms_id} refuses"
            yield _alarm(action, REFUSED, oms_id, rfc3339(said.at_ns), words, said.answer.reason)


def _ended(action: Action) -> Iterator[Event]:
    end, request = action.end, action.request
    assert end is not None
    if end.how == "expired":
        outcome = ActionOutcome(
            action_id=request.action_id, reason=f"its time was over at {request.until}"
        )
        envelope = _envelope(action, "expired", rfc3339(end.at_ns), action.event.event_id)
        yield ActionExpired(data=outcome, **envelope)
    elif end.how == "released":
        outcome = ActionOutcome(action_id=request.action_id, reason=f"{end.by}: {end.reason}")
        envelope = _envelope(action, "released", rfc3339(end.at_ns), end.cause)
        yield ActionReleased(data=outcome, **envelope)


def _alarm(
    action: Action, kind: str, oms_id: str, at: str, who: str, reason: str | None = None
) -> FindingRaised:
    request = action.request
    episode = derived_id(request.action_id, kind, oms_id, 0)
    what = f"{who} {request.kind} of {request.scope} {request.scope_id}"
    finding = Finding(
        check=CHECK,
        episode=episode,
        severity=severity(action),
        title=f"{what}{f': {reason}' if reason else ''}"[:TITLE_LENGTH],
        looked_at=at,
        rule_version=VERSION,
        details=f"action {request.action_id}, asked for by {action.signer} at "
        f"{action.event.timestamp}; {NEXT}",
        parameters=_named(kind, request.action_id, oms_id),
    )
    return FindingRaised(
        data=finding, **_envelope(action, f"{kind} {oms_id}", at, action.event.event_id)
    )


def _end(alarm: FindingRaised, at_ns: int) -> FindingCleared:
    finding = replace(
        alarm.data,
        severity="info",
        title=f"no longer: {alarm.data.title}"[:TITLE_LENGTH],
        looked_at=rfc3339(at_ns),
        details=None,
    )
    return FindingCleared(
        event_id=derived_id(alarm.event_id, "cleared", alarm.data.episode, 0),
        timestamp=rfc3339(at_ns),
        actor=CHECK,
        subject_id=alarm.subject_id,
        environment=alarm.environment,
        fund_id=alarm.fund_id,
        strategy_id=alarm.strategy_id,
        correlation_id=alarm.correlation_id,
        causation_id=alarm.event_id,
        data=finding,
    )


def _named(kind: str, action_id: str, oms_id: str) -> tuple[Parameter, ...]:
    pairs = ((KIND, kind), (ACTION, action_id), (SYSTEM, oms_id))
    return tuple(Parameter(name=name, value=value) for name, value in pairs if value)


def _envelope(action: Action, what: str, at: str, cause: str) -> dict[str, Any]:
    event, request = action.event, action.request
    named = {f"{request.scope}_id": request.scope_id} if request.scope in SCOPES else {}
    known = {"fund_id": event.fund_id, "strategy_id": event.strategy_id} | named
    return {
        "event_id": derived_id(request.action_id, CHECK, what, 0),
        "timestamp": at,
        "actor": CHECK,
        "subject_id": request.action_id,
        "environment": event.environment,
        "correlation_id": request.episode,
        "causation_id": cause,
        **known,
    }
