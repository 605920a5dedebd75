"""What a halt worker answers: to each ask, and to the passing of time.

Halting needs no leader, no lock and no storage: whoever hears an ask decides it, and everybody who
decides the same ask makes the same event, byte for byte, under the same id. Lifting waits: for the
stream, for a second person where the firm is concerned, and it loses against every newer request
in its scope. Nothing is published here and nothing remembered; who calls folds what he publishes
as soon as he has sent it, and is then not told the same again.
"""

from collections.abc import Iterator
from itertools import islice

from operations.clock import parse_rfc3339, rfc3339
from operations.events import commands as orders
from operations.events import halts as kinds
from operations.events.base import Environment, Event, derived_id
from operations.events.findings import FindingRaised, FindingUpdated
from operations.events.halts import Halt, HaltRequested, Level, Mode
from operations.halt import alarms, policy, resumption
from operations.halt.desk import OWN_CHECK, Desk
from operations.halt.records import Ask, Trigger
from operations.halt.signals import Report
from operations.halt.state import FIRM, Scope

ACTOR = "halt"  # in every answer, whichever halt worker gives it
BLIND = "stream"  # name of the rule that reduces the firm while the stream is not to be trusted
AT_ONCE = 256  # of one kind, so that what is due never keeps a halt waiting
LEVELS: dict[str, Level] = {level: level for level in policy.HEIGHT}


def decide(desk: Desk, ask: Ask, now_ns: int) -> tuple[Event, ...]:
    """Return what to publish about an ask that the desk has heard.

    Called when an ask is heard and again when it comes out of the stream: the same answer is not
    given twice, and a resume, which needs its place in the stream, is answered only then.
    `now_ns` is the time in ns since 1970, best taken from JetStream's times.
    """
    return tuple(_new(desk, _answers(desk, ask, now_ns)))


def due(desk: Desk, now_ns: int) -> tuple[Event, ...]:
    """Return what time alone brings, and what was decided and is not in the stream yet.

    Halts that took effect, resumes that expired or were overtaken, lifts whose publication was
    refused because the stream had moved on, order systems that have not said in time that they
    block, and triggers whose mute is over. The same comes again until it is folded. After an
    outage thousands may be due, so those of one kind come in parts.
    """
    return tuple(_new(desk, _due(desk, now_ns)))


def blind(desk: Desk, what: str, since_ns: int) -> tuple[Event, ...]:
    """Return the request that reduces the firm because the stream cannot be trusted.

    `what` says in words what is wrong with it, `since_ns` since when. Every watchdog reads the
    stream, so nobody would notice what goes wrong meanwhile.
    """
    halt_id = _automatic_id(desk, Trigger(ACTOR, FIRM), "")
    if halt_id in desk.halts.active:
        return ()
    event = HaltRequested(
        event_id=derived_id(halt_id, BLIND, "", 0),
        timestamp=rfc3339(since_ns),
        actor=ACTOR,
        subject_id=halt_id,
        data=Halt(
            halt_id=halt_id,
            level="FIRM_HALT",
            mode="REDUCE_ONLY",
            reason_code="STALE_DATA",
            reason=what,
            requested_by=ACTOR,
            rule_version=f"{BLIND}/v1",
        ),
    )
    return tuple(_new(desk, iter((event,))))


def recovered(desk: Desk, report: Report) -> tuple[Event, ...]:
    """Return requests for what an order system obeys and this desk has never heard of.

    The report is one that the order system signed. Such an episode was requested, and the stream
    and every journal lost it; nobody lifted it, so it holds.
    """
    made = []
    for held in report.held:
        if held.halt_id in desk.halts.active or held.halt_id in desk.halts.lifted:
            continue
        level = LEVELS.get(held.level)
        scope = Scope(level, held.scope_id) if level and held.scope_id else FIRM
        event = _request(
            Halt(
                halt_id=held.halt_id,
                level=scope.level,
                mode=held.mode,
                reason_code="LEASE_LOST",
                reason=f"{report.oms_id} obeys it and the stream does not have it",
                requested_by=report.oms_id,
            ),
            scope,
            derived_id(held.halt_id, "recovered", str(scope), 0),
            report.issued_at,
        )
        made.append(event)
    return tuple(_new(desk, iter(made)))


def _new(desk: Desk, events: Iterator[Event]) -> Iterator[Event]:
    return (event for event in events if event.event_id not in desk.said)


def _answers(desk: Desk, ask: Ask, now_ns: int) -> Iterator[Event]:
    event = ask.fact.event
    if isinstance(event, FindingRaised | FindingUpdated):
        yield from _finding(desk, ask, ask.fact.at_ns)
    elif not isinstance(event.data, orders.Command):
        return
    elif desk.replayed(ask):
        yield _refused(ask, "it was sent before", again=True)
    elif isinstance(event, orders.HaltCommanded):
        yield from _halt(desk, ask, event)
    elif isinstance(event, orders.ResumeCommanded | orders.CosignCommanded):
        yield from resumption.answer(desk, ask, now_ns)
    elif isinstance(event, orders.DrillCommanded):
        yield _drill(desk, ask, event, now_ns)
    elif ask.fact.at_ns >= parse_rfc3339(event.data.expires_at):
        yield _refused(ask, f"it expired at {event.data.expires_at}")


def _refused(ask: Ask, words: str, *, again: bool = False) -> Event:
    return alarms.refused(ask.fact, ask.order.subject, ask.signer, words, again=again)


def _due(desk: Desk, now_ns: int) -> Iterator[Event]:
    yield from islice(_new(desk, _activations(desk)), AT_ONCE)
    for resume_id in list(desk.open_wishes):
        yield from resumption.settle(desk, desk.wishes[resume_id], now_ns)
    for ask in desk.to_revisit():
        yield from _finding(desk, ask, now_ns)
    yield from islice(_new(desk, alarms.due(desk, now_ns)), AT_ONCE)


def _activations(desk: Desk) -> Iterator[Event]:
    for fact, state_hash in list(desk.activations.values()):
        assert isinstance(fact.event, HaltRequested)
        yield _activated(desk, fact.event, fact.at_ns, state_hash)


def _halt(desk: Desk, ask: Ask, event: orders.HaltCommanded) -> Iterator[Event]:
    """A halt by a person is obeyed whatever its clock says; its id is the one it chose.

    A new command that names a halt which is over already gets an id of its own: it must stop.
    """
    order = event.data
    halt_id = order.halt_id
    lifted_at = desk.halts.lifted.get(halt_id)
    if lifted_at is not None:
        stored_at = desk.commands.get(order.command_id)
        if stored_at is not None and stored_at < lifted_at:
            return
        halt_id = derived_id(order.command_id, "halt", order.halt_id, 1)
    scope = _scope(order.level, event)
    halt = Halt(
        halt_id=halt_id,
        level=scope.level,
        mode=order.mode,
        reason_code="MANUAL",
        reason=order.reason,
        requested_by=ask.signer,
        payload_sha256=ask.fact.payload_sha256,
    )
    yield _request(
        halt,
        scope,
        derived_id(order.command_id, "halt", halt_id, 0),
        event.timestamp,
        event,
    )


def _drill(desk: Desk, ask: Ask, event: orders.DrillCommanded, now_ns: int) -> Event:
    """Practise once and in time; what was practised already is said again, whenever it is asked."""
    drill = event.data
    event_id = derived_id(drill.command_id, "halt", drill.drill_id, 0)
    if now_ns >= parse_rfc3339(drill.expires_at) and event_id not in desk.said:
        return _refused(ask, f"it expired at {drill.expires_at}")
    scope = Scope("STRATEGY_HALT", kinds.DRILL_STRATEGY)
    halt = Halt(
        halt_id=drill.drill_id,
        level=scope.level,
        reason_code="DRILL",
        reason=drill.reason,
        requested_by=ask.signer,
        payload_sha256=ask.fact.payload_sha256,
    )
    return _request(halt, scope, event_id, event.timestamp, event, environment="drill")


def _finding(desk: Desk, ask: Ask, at_ns: int) -> Iterator[Event]:
    event = ask.fact.event
    assert isinstance(event, FindingRaised | FindingUpdated)
    finding = event.data
    if finding.check == OWN_CHECK or event.environment == "canary":
        return
    ruling = policy.judge(event, desk.streak(event))
    if ruling.refusal:
        yield _refused(ask, ruling.refusal)
    if not ruling.halts:
        return
    assert ruling.scope is not None
    assert ruling.rule is not None
    trigger = Trigger(finding.check, ruling.scope)
    episode = finding.episode if ruling.rule.each_episode else ""
    halt_id = _automatic_id(desk, trigger, episode)
    if (not episode and _muted(desk, trigger, at_ns)) or not _is_new(desk, ask, trigger, halt_id):
        return
    halt = Halt(
        halt_id=halt_id,
        level=ruling.scope.level,
        mode=_mode(desk, ruling, event.fund_id or ""),
        reason_code=ruling.reason_code,
        reason=finding.title,
        requested_by=finding.check,
        statistic=finding.statistic,
        threshold=finding.threshold,
        samples=finding.samples,
        rule_version=finding.rule_version,
        cancel_orders=ruling.rule.cancel_orders,
        payload_sha256=ask.fact.payload_sha256,
    )
    event_id = derived_id(event.event_id, "halt", halt_id, 0)
    yield _request(halt, ruling.scope, event_id, event.timestamp, event)


def _is_new(desk: Desk, ask: Ask, trigger: Trigger, halt_id: str) -> bool:
    """Whether a finding says something that the halt, or the people who lifted it, did not know.

    A trigger latches again only on a finding newer than the lift. A finding between the resume and
    its lift was decided by somebody who did not know of the lift, and people did not know of it:
    it counts if it started an episode or was worse than all before.
    """
    event = ask.fact.event
    assert isinstance(event, FindingRaised | FindingUpdated)
    known = desk.evidence_of(halt_id)
    last = desk.last_lift(trigger)
    place = desk.findings.get(event.event_id)
    if last is not None and place is not None and place < last.sequence:
        asked_at = desk.asked_at(last.resume_id)
        if asked_at is None or place < asked_at:
            return False
        known = desk.evidence_before(trigger, last.resume_id, asked_at)
    if halt_id in desk.halts.lifted:
        return False
    if isinstance(event, FindingRaised) or not known:
        return True
    return all(policy.worse(event.data, each.statistic) for each in known)


def _automatic_id(desk: Desk, trigger: Trigger, episode: str) -> str:
    last = None if episode else desk.last_lift(trigger)
    after = last.resume_id if last else ""
    return policy.halt_id_of(trigger.check, trigger.scope, episode, after)


def _muted(desk: Desk, trigger: Trigger, at_ns: int) -> bool:
    last = desk.last_lift(trigger)
    return last is not None and at_ns < last.muted_until_ns


def _mode(desk: Desk, ruling: policy.Ruling, fund_id: str) -> Mode:
    """A rule that only reduces stays so; others have what the settings say for level and fund."""
    scope = ruling.scope
    assert scope is not None
    if ruling.mode == "REDUCE_ONLY":
        return ruling.mode
    for name in (fund_id, ""):
        if found := desk.modes.get(Scope(scope.level, name)):
            return found
    return ruling.mode


def _scope(level: Level, event: Event) -> Scope:
    """Return what a person stops; what names nothing that can be found stops the firm."""
    if level == "STRATEGY_HALT" and event.strategy_id:
        return Scope(level, event.strategy_id)
    if level == "FUND_HALT" and event.fund_id:
        return Scope(level, event.fund_id)
    return FIRM


def _request(
    halt: Halt,
    scope: Scope,
    event_id: str,
    timestamp: str,
    cause: Event | None = None,
    environment: Environment | None = None,
) -> HaltRequested:
    """Build a decision. Its time is that of what asked, so that all who decide it agree."""
    fund_id = scope.id if scope.level == "FUND_HALT" else None
    if scope.level == "STRATEGY_HALT" and cause is not None:
        fund_id = cause.fund_id
    return HaltRequested(
        event_id=event_id,
        timestamp=timestamp,
        actor=ACTOR,
        subject_id=halt.halt_id,
        environment=environment or (cause.environment if cause else "live"),
        fund_id=fund_id,
        strategy_id=scope.id if scope.level == "STRATEGY_HALT" else None,
        correlation_id=_story(cause) if cause else None,
        causation_id=cause.event_id if cause else None,
        data=halt,
    )


def _story(cause: Event) -> str:
    """Return the id under which people find all that belongs together."""
    if isinstance(cause, FindingRaised | FindingUpdated):
        return cause.correlation_id or cause.data.episode
    return cause.correlation_id or cause.event_id


def _activated(desk: Desk, event: HaltRequested, at_ns: int, state_hash: str) -> Event:
    halt_id = event.data.halt_id
    return kinds.HaltActivated(
        event_id=derived_id(event.event_id, "activated", halt_id, 0),
        timestamp=rfc3339(at_ns),
        actor=ACTOR,
        subject_id=halt_id,
        environment=event.environment,
        fund_id=event.fund_id,
        strategy_id=event.strategy_id,
        correlation_id=event.correlation_id,
        causation_id=event.event_id,
        data=kinds.Activation(
            halt_id=halt_id,
            state_hash=state_hash,
            expected_oms_ids=tuple(sorted(desk.expected)),
        ),
    )
