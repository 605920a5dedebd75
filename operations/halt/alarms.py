"""What a halt worker finds itself: orders it refused, lifts that do not count, silent systems.

These are findings like those of every check, under the check "halt", so that people are called
and the log says why something that was asked for did not happen.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from operations.clock import rfc3339
from operations.events.base import Event, derived_id
from operations.events.commands import Command
from operations.events.findings import Finding, FindingCleared, FindingRaised, Parameter
from operations.events.halts import HaltLifted
from operations.halt.desk import KIND, MISSING, OWN_CHECK, Desk
from operations.halt.state import Episode, Fact

VERSION = "halt/v1"
REFUSED = "command_refused"
VOID = "lift_does_not_count"
TITLE_LENGTH = 300


def refused(
    fact: Fact, subject: str, signer: str, words: str, *, again: bool = False
) -> FindingRaised:
    """Return the finding that says why an ask moved nothing; the same ask gives the same finding.

    `signer` is who signed it, or who is named as its actor when the signature does not hold.
    `again` is for a message that came before: each time it comes is a finding of its own.
    """
    event = fact.event
    return refused_message(
        subject=subject,
        name=event.event_id,
        signer=signer,
        words=words,
        at=event.timestamp,
        payload_sha256=fact.payload_sha256,
        place=(fact.sequence or 0) if again else 0,
        cause=event,
    )


def refused_message(
    *,
    subject: str,
    name: str,
    signer: str,
    words: str,
    at: str,
    payload_sha256: str,
    place: int = 0,
    cause: Event | None = None,
) -> FindingRaised:
    """Return the same finding for a message that may be no event.

    `name` is its id or its hash, `at` its time in RFC 3339, `place` the place in the stream where
    it came again, 0 for the first time.
    """
    what = subject.removeprefix("mts.v1.operations.")
    named = {KIND: REFUSED, "subject": subject, "payload_sha256": payload_sha256}
    if place:
        named["stream_sequence"] = str(place)
    finding = Finding(
        check=OWN_CHECK,
        episode=derived_id(name, REFUSED, subject, place),
        severity="warning",
        title=f"refused {what} of {signer or 'nobody'}: {words}"[:TITLE_LENGTH],
        looked_at=at,
        rule_version=VERSION,
        details=words,
        parameters=tuple(Parameter(name=key, value=value) for key, value in named.items()),
    )
    return FindingRaised(
        event_id=derived_id(name, REFUSED, payload_sha256, place),
        timestamp=at,
        actor=OWN_CHECK,
        subject_id=_command_id(cause) or name,
        environment=cause.environment if cause else "live",
        fund_id=cause.fund_id if cause else None,
        strategy_id=cause.strategy_id if cause else None,
        correlation_id=cause.correlation_id if cause else None,
        causation_id=cause.event_id if cause else None,
        data=finding,
    )


def _command_id(cause: Event | None) -> str:
    return cause.data.command_id if cause and isinstance(cause.data, Command) else ""


def due(desk: Desk, now_ns: int) -> Iterator[Event]:
    """Return alarms about order systems that do not block in time, and their end."""
    for fact, words in desk.void_lifts.values():
        yield _void(fact, words)
    for halt_id in list(desk.coverage.unsettled):
        if desk.coverage.overdue(halt_id, now_ns):
            for oms_id in desk.silent(halt_id):
                again = desk.coverage.refusals(halt_id, oms_id)
                yield _missing(desk.halts.active[halt_id], oms_id, again, now_ns)
    for halt_id in list(desk.to_clear):
        silent = desk.silent(halt_id) if halt_id in desk.halts.active else frozenset()
        for oms_id, alarm in desk.alarms.get(halt_id, {}).items():
            if oms_id not in silent:
                yield _cleared(alarm, now_ns)


def _missing(episode: Episode, oms_id: str, again: int, now_ns: int) -> FindingRaised:
    name = derived_id(episode.halt_id, MISSING, oms_id, 0)
    scope = episode.scope
    said = f"{oms_id} has not said" if oms_id else "no order system is known that could say"
    finding = Finding(
        check=OWN_CHECK,
        episode=name,
        severity="critical",
        title=f"{said} that it blocks for the halt of {scope}"[:TITLE_LENGTH],
        looked_at=rfc3339(now_ns),
        rule_version=VERSION,
        details=f"halt {episode.halt_id}, requested {episode.requested_at} by "
        f"{episode.requested_by}; stop the order system by its own means, then look why",
        parameters=(
            Parameter(name=KIND, value=MISSING),
            Parameter(name="halt_id", value=episode.halt_id),
            Parameter(name="oms_id", value=oms_id),
        ),
    )
    return FindingRaised(
        event_id=derived_id(name, "raised", oms_id, again),
        timestamp=rfc3339(now_ns),
        actor=OWN_CHECK,
        subject_id=oms_id or episode.halt_id,
        fund_id=scope.id if scope.level == "FUND_HALT" else episode.fund_id or None,
        strategy_id=scope.id if scope.level == "STRATEGY_HALT" else None,
        correlation_id=episode.halt_id,
        data=finding,
    )


def _cleared(alarm: FindingRaised, now_ns: int) -> FindingCleared:
    finding = replace(
        alarm.data,
        severity="info",
        title=f"no longer: {alarm.data.title}"[:TITLE_LENGTH],
        looked_at=rfc3339(now_ns),
        details=None,
    )
    return FindingCleared(
        event_id=derived_id(alarm.event_id, "cleared", alarm.subject_id, 0),
        timestamp=rfc3339(now_ns),
        actor=OWN_CHECK,
        subject_id=alarm.subject_id,
        fund_id=alarm.fund_id,
        strategy_id=alarm.strategy_id,
        correlation_id=alarm.correlation_id,
        causation_id=alarm.event_id,
        data=finding,
    )


def _void(fact: Fact, words: str) -> FindingRaised:
    """A lift that is in the stream and was not signed as it must be: a mistake or an attack."""
    event = fact.event
    assert isinstance(event, HaltLifted)
    finding = Finding(
        check=OWN_CHECK,
        episode=derived_id(event.event_id, VOID, event.subject, 0),
        severity="critical",
        title=f"a lift in the stream does not count: {words}"[:TITLE_LENGTH],
        looked_at=rfc3339(fact.at_ns),
        rule_version=VERSION,
        details=words,
        parameters=(
            Parameter(name=KIND, value=VOID),
            Parameter(name="resume_id", value=event.data.resume_id),
            Parameter(name="stream_sequence", value=str(fact.sequence)),
        ),
    )
    return FindingRaised(
        event_id=derived_id(event.event_id, VOID, fact.payload_sha256, fact.sequence or 0),
        timestamp=rfc3339(fact.at_ns),
        actor=OWN_CHECK,
        subject_id=event.data.resume_id,
        causation_id=event.event_id,
        data=finding,
    )
