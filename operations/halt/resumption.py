"""What becomes of a resume: lifted, waiting for a second person, or denied and why.

A resume is settled from the set of what is stored: by itself it must hold, nothing newer in its
scope may have been requested, and `signoff` must find in it all that a lift needs. The lift that
is published is judged by exactly the function that every order system judges it with.
"""

from collections.abc import Iterator
from hashlib import sha256

from operations.clock import parse_rfc3339, rfc3339
from operations.errors import Denied
from operations.events import halts as kinds
from operations.events.base import Event, derived_id
from operations.events.commands import CosignCommanded, ResumeCommanded
from operations.events.halts import Lift
from operations.halt import alarms, signoff
from operations.halt.desk import Desk
from operations.halt.records import Ask, Wish

ACTOR = "halt"
REMAINING_AT_MOST = 500


def answer(desk: Desk, ask: Ask, now_ns: int) -> Iterator[Event]:
    """Return what to publish about a resume or cosign command that the desk has heard."""
    event, fact = ask.fact.event, ask.fact
    assert isinstance(event, ResumeCommanded | CosignCommanded)
    if fact.sequence is None:
        return
    wish = desk.wishes[event.data.resume_id]
    if isinstance(event, ResumeCommanded):
        if wish.resume is None or wish.resume.fact.event.event_id != event.event_id:
            words = f"the id {event.data.resume_id} is that of another resume; choose a new one"
            yield alarms.refused(fact, ask.order.subject, ask.signer, words)
            return
    elif wish.resume is None:
        words = f"there is no resume {event.data.resume_id}"
        yield alarms.refused(fact, ask.order.subject, ask.signer, words)
        return
    elif not wish.open:
        if fact.sequence < (wish.closed_at or fact.sequence):
            return  # it was judged while the resume was open; this is the stream read once more
        words = f"resume {event.data.resume_id} is closed: {wish.denial or 'its halts are lifted'}"
        yield alarms.refused(fact, ask.order.subject, ask.signer, words)
        return
    yield from settle(desk, wish, now_ns)


def settle(desk: Desk, wish: Wish, now_ns: int) -> Iterator[Event]:
    """Return what to publish about an open resume as things stand."""
    ask = wish.resume
    if ask is None or not wish.open:
        return
    event = ask.fact.event
    assert isinstance(event, ResumeCommanded)
    problem = _problem(desk, wish, event, ask)
    if problem:
        yield _denied(ask, event, problem)
        return
    now_ns = max(now_ns, ask.fact.at_ns)
    if now_ns >= parse_rfc3339(event.data.expires_at):
        yield _denied(ask, event, f"it expired at {event.data.expires_at} before it was lifted")
        return
    if "FIRM_HALT" not in signoff.levels_of(event.data.halt_ids, desk.halts):
        if desk.racing(wish) is None:
            yield _lifted(desk, event, (ask,))
        return
    yield _opened(ask, event)
    for cosign in sorted(wish.cosigns.values(), key=lambda each: each.fact.sequence or 0):
        lift = _lifted(desk, event, (ask, cosign))
        at_ns = max(now_ns, cosign.fact.at_ns)
        try:
            signoff.judge_orders(lift.data, desk.halts, desk.trust, at_ns)
        except Denied as error:
            yield alarms.refused(cosign.fact, cosign.order.subject, cosign.signer, str(error))
            continue
        yield _cosigned(event, cosign)
        if desk.racing(wish) is None:
            yield lift
        return


def _problem(desk: Desk, wish: Wish, event: ResumeCommanded, ask: Ask) -> str:
    """Return why a resume cannot lift anything, judged at the time when it was stored."""
    order = event.data
    for halt_id in order.halt_ids:
        if halt_id in desk.halts.lifted:
            return f"halt {halt_id} is lifted already; look at the halts and ask for the others"
        if halt_id not in desk.halts.active:
            return f"there is no halt {halt_id}; look at the halts and ask again"
    try:
        signoff.judge_resume(ask.order, desk.halts, desk.trust, ask.fact.at_ns)
    except Denied as error:
        return str(error)
    newer = desk.overtaken_by(wish)
    if newer is not None:
        return (
            f"halt {newer.halt_id} of {newer.scope} was requested at {newer.sequence}, after this "
            "resume was signed; look at the halts and ask again"
        )
    return ""


def _lifted(desk: Desk, event: ResumeCommanded, signed: tuple[Ask, ...]) -> kinds.HaltLifted:
    order = event.data
    return kinds.HaltLifted(
        event_id=derived_id(event.event_id, "lift", order.resume_id, 0),
        timestamp=rfc3339(signed[-1].fact.at_ns),
        actor=ACTOR,
        subject_id=order.resume_id,
        environment=event.environment,
        fund_id=event.fund_id,
        strategy_id=event.strategy_id,
        correlation_id=event.correlation_id or event.event_id,
        causation_id=signed[-1].fact.event.event_id,
        data=Lift(
            halt_ids=order.halt_ids,
            resume_id=order.resume_id,
            treatment=order.treatment,
            muted_until=order.muted_until,
            remaining_halt_ids=_remaining(desk, order.halt_ids),
            signed_by=tuple(each.signer for each in signed),
            orders=tuple(each.order for each in signed),
        ),
    )


def _remaining(desk: Desk, halt_ids: tuple[str, ...]) -> tuple[str, ...]:
    """Return what still stops the scopes that a lift frees, the first of them if there are many."""
    found: dict[str, None] = {}
    for halt_id in halt_ids:
        episode = desk.halts.active.get(halt_id)
        if episode is None:
            continue
        scope = episode.scope
        fund_id = scope.id if scope.level == "FUND_HALT" else episode.fund_id
        strategy_id = scope.id if scope.level == "STRATEGY_HALT" else ""
        found |= dict.fromkeys(each.halt_id for each in desk.halts.over(strategy_id, fund_id))
    lifted = frozenset(halt_ids)
    return tuple(sorted(each for each in found if each not in lifted))[:REMAINING_AT_MOST]


def _opened(ask: Ask, event: ResumeCommanded) -> Event:
    order = event.data
    return kinds.ResumeRequested(
        event_id=derived_id(event.event_id, "resume_requested", order.resume_id, 0),
        timestamp=event.timestamp,
        actor=ACTOR,
        subject_id=order.resume_id,
        environment=event.environment,
        fund_id=event.fund_id,
        strategy_id=event.strategy_id,
        correlation_id=event.correlation_id or event.event_id,
        causation_id=event.event_id,
        data=kinds.Resume(
            resume_id=order.resume_id,
            halt_ids=order.halt_ids,
            treatment=order.treatment,
            muted_until=order.muted_until,
            reason=order.reason,
            requested_by=ask.signer,
            expires_at=order.expires_at,
            payload_sha256=_digest(ask),
        ),
    )


def _cosigned(event: ResumeCommanded, cosign: Ask) -> Event:
    order = cosign.fact.event
    assert isinstance(order, CosignCommanded)
    return kinds.ResumeCosigned(
        event_id=derived_id(order.event_id, "cosigned", order.data.resume_id, 0),
        timestamp=order.timestamp,
        actor=ACTOR,
        subject_id=order.data.resume_id,
        environment=order.environment,
        correlation_id=event.correlation_id or event.event_id,
        causation_id=order.event_id,
        data=kinds.Cosignature(
            resume_id=order.data.resume_id,
            resume_sha256=order.data.resume_sha256,
            cosigned_by=cosign.signer,
        ),
    )


def _denied(ask: Ask, event: ResumeCommanded, reason: str) -> Event:
    order = event.data
    return kinds.ResumeDenied(
        event_id=derived_id(event.event_id, "resume_denied", order.resume_id, 0),
        timestamp=rfc3339(ask.fact.at_ns),
        actor=ACTOR,
        subject_id=order.resume_id,
        environment=event.environment,
        fund_id=event.fund_id,
        strategy_id=event.strategy_id,
        correlation_id=event.correlation_id or event.event_id,
        causation_id=event.event_id,
        data=kinds.ResumeDenial(resume_id=order.resume_id, halt_ids=order.halt_ids, reason=reason),
    )


def _digest(ask: Ask) -> str:
    return sha256(ask.order.payload.encode()).hexdigest()
