"""People with keys, signed orders, findings and facts for the tests of deciders about halts."""

from collections.abc import Iterable
from hashlib import sha256

from msgspec.structs import replace

from operations.clock import NANOSECONDS, parse_rfc3339, rfc3339
from operations.events import subjects
from operations.events.base import Event, encode
from operations.events.commands import (
    CosignCommanded,
    CosignOrder,
    DrillCommanded,
    DrillOrder,
    HaltCommanded,
    HaltOrder,
    ResumeCommanded,
    ResumeOrder,
)
from operations.events.findings import Finding, FindingCleared, FindingRaised, Parameter
from operations.events.halts import (
    Acknowledgement,
    Halt,
    HaltAcknowledged,
    HaltRequested,
    Lift,
    SignedOrder,
)
from operations.halt.desk import Desk
from operations.halt.records import Ask
from operations.halt.signoff import Trust
from operations.halt.state import FIRM, Fact, Scope
from operations.signing import keys, roles, roster
from operations.signing.message import Signer
from operations.signing.roster import Body, Key, Member

ORIGIN, ENVIRONMENT = "mts.local/audit", "live"
NOON = parse_rfc3339("2026-11-20T12:00:00Z")
SECOND = NANOSECONDS
ROOT = keys.private_key("root", bytes(32))
PEOPLE = {
    "alice": "risk_manager",
    "bob": "risk_manager",
    "carol": "compliance_officer",
    "dora": "admin",
    "erin": "trader",
}
SERVICES = {"service-halt": "halt_worker", "oms-1": "oms.oms-1", "oms-2": "oms.oms-2"}
KEYS = {
    name: keys.private_key(name, sha256(name.encode()).digest())
    for name in (*PEOPLE, *SERVICES, "mallory", "robot", "twin")
}
STRATEGY, FUND = Scope("STRATEGY_HALT", "mean-rev"), Scope("FUND_HALT", "alpha")
ORDER_SYSTEMS = frozenset(("oms-1", "oms-2"))


def member(name: str, role: str, key: str = "", **changes: str) -> Member:
    times = {"valid_from": "2026-11-20T00:00:00Z", "valid_until": "2026-11-21T00:00:00Z"}
    public = str(KEYS[key or name].public)
    held = (Key(public_key=public, **(times | changes)),)
    return Member(name=name, service=role not in roles.PEOPLE, roles=(role,), keys=held)


def trust(members: Iterable[Member] = (), without: Iterable[str] = ()) -> Trust:
    """Return a roster of everybody, with some replaced or added and some left out."""
    known = {name: member(name, role) for name, role in (PEOPLE | SERVICES).items()}
    known |= {each.name: each for each in members}
    listed = tuple(each for name, each in known.items() if name not in set(without))
    body = Body(
        origin=ORIGIN,
        environment=ENVIRONMENT,
        version=1,
        issued_at="2026-11-20T00:00:00Z",
        roles=roles.roster_roles(role for each in listed for role in each.roles),
        members=listed,
    )
    read = roster.verify(roster.sign(body, ROOT), ROOT.public, 1, ENVIRONMENT)
    return Trust(read, ORIGIN, ENVIRONMENT)


TRUST = trust()


def signed(event: Event, signer: str) -> SignedOrder:
    payload = encode(event)
    value = Signer(KEYS[signer], ORIGIN, ENVIRONMENT)(event.subject, payload)
    return SignedOrder(subject=event.subject, payload=payload.decode(), signature=value)


def digest(order: SignedOrder) -> str:
    return sha256(order.payload.encode()).hexdigest()


def fact(event: Event, sequence: int | None = None, at_ns: int | None = None) -> Fact:
    """Return a fact as it would come off the wire: encoded and decoded again."""
    payload = encode(event)
    when = NOON + (sequence or 0) * SECOND if at_ns is None else at_ns
    return Fact(
        subjects.decode(event.subject, payload), sequence, when, sha256(payload).hexdigest()
    )


def ask(event: Event, signer: str, sequence: int | None = None, at_ns: int | None = None) -> Ask:
    if signer in KEYS:
        order = signed(event, signer)
    else:
        order = SignedOrder(subject=event.subject, payload=encode(event).decode(), signature="-")
    return Ask(fact(event, sequence, at_ns), signer, order)


def requested(
    halt_id: str = "h1",
    scope: Scope = STRATEGY,
    fund_id: str | None = "alpha",
    event_id: str = "",
    **data: object,
) -> HaltRequested:
    fund = scope.id if scope.level == "FUND_HALT" else fund_id
    settings = {"reason_code": "MANUAL", "requested_by": "alice"} | data
    return HaltRequested(
        event_id=event_id or f"requested-{halt_id}",
        timestamp=rfc3339(NOON),
        actor="halt",
        subject_id=halt_id,
        strategy_id=scope.id if scope.level == "STRATEGY_HALT" else None,
        fund_id=None if scope == FIRM else fund,
        data=Halt(halt_id=halt_id, level=scope.level, **settings),
    )


def _command(name: str, **changes: object) -> dict[str, object]:
    return {
        "command_id": f"command-{name}",
        "issued_at": rfc3339(NOON),
        "expires_at": rfc3339(NOON + 600 * SECOND),
        "reason": "checked",
    } | changes


def halt_command(
    halt_id: str = "h1", scope: Scope = STRATEGY, event_id: str = "", **data: object
) -> HaltCommanded:
    return HaltCommanded(
        event_id=event_id or f"halt-{halt_id}",
        timestamp=rfc3339(NOON),
        actor="alice",
        subject_id=halt_id,
        strategy_id=scope.id if scope.level == "STRATEGY_HALT" else None,
        fund_id=scope.id if scope.level == "FUND_HALT" else None,
        data=HaltOrder(
            halt_id=halt_id, level=scope.level, **_command(event_id or f"halt-{halt_id}", **data)
        ),
    )


def drill_command(drill_id: str = "d1", **data: object) -> DrillCommanded:
    return DrillCommanded(
        event_id=f"drill-{drill_id}",
        timestamp=rfc3339(NOON),
        actor="alice",
        subject_id=drill_id,
        data=DrillOrder(drill_id=drill_id, **_command(f"drill-{drill_id}", **data)),
    )


def resume_command(
    *halt_ids: str, resume_id: str = "r1", event_id: str = "", **data: object
) -> ResumeCommanded:
    settings = {"treatment": "CLEARED"} | data
    return ResumeCommanded(
        event_id=event_id or f"resume-{resume_id}",
        timestamp=rfc3339(NOON),
        actor="alice",
        subject_id=resume_id,
        data=ResumeOrder(
            resume_id=resume_id,
            halt_ids=halt_ids or ("h1",),
            **_command(event_id or f"resume-{resume_id}", **settings),
        ),
    )


def cosign_command(
    resume: SignedOrder, resume_id: str = "r1", event_id: str = "", **data: object
) -> CosignCommanded:
    settings = {"resume_sha256": digest(resume)} | data
    return CosignCommanded(
        event_id=event_id or f"cosign-{resume_id}",
        timestamp=rfc3339(NOON),
        actor="bob",
        subject_id=resume_id,
        data=CosignOrder(
            resume_id=resume_id, **_command(event_id or f"cosign-{resume_id}", **settings)
        ),
    )


def lift_of(*orders: SignedOrder, **changes: object) -> Lift:
    """Return the lift that a resume order asks for, carrying the given orders."""
    resume = subjects.decode(orders[0].subject, orders[0].payload.encode()).data
    settings = {
        "halt_ids": resume.halt_ids,
        "resume_id": resume.resume_id,
        "treatment": resume.treatment,
        "muted_until": resume.muted_until,
        "remaining_halt_ids": (),
        "signed_by": ("alice",),
        "orders": orders,
    }
    return Lift(**(settings | changes))


def finding(
    check: str = "drawdown",
    name: str = "f1",
    kind: type = FindingRaised,
    scope: Scope = FUND,
    environment: str = "live",
    **data: object,
) -> FindingRaised | FindingCleared:
    """Return a finding that asks to halt a scope; the third in a row, so it is enough."""
    settings = {
        "episode": "episode-1",
        "severity": "critical",
        "title": "the drawdown is 12 %",
        "looked_at": rfc3339(NOON),
        "rule_version": "v1",
        "statistic": 12.0,
        "threshold": 10.0,
        "samples": 3,
        "mode": "act",
        "halt_level": scope.level.removesuffix("_HALT").lower(),
        "parameters": (Parameter(name="confirmations", value="3"),),
    } | data
    return kind(
        event_id=name,
        timestamp=rfc3339(NOON),
        actor=f"service-{check}",
        subject_id=scope.id or "firm",
        environment=environment,
        strategy_id=scope.id if scope.level == "STRATEGY_HALT" else None,
        fund_id=scope.id if scope.level == "FUND_HALT" else None,
        data=Finding(check=check, **settings),
    )


def acknowledged(
    halt_id: str = "h1", oms_id: str = "oms-1", phase: str = "BLOCKING", event_id: str = ""
) -> HaltAcknowledged:
    return HaltAcknowledged(
        event_id=event_id or f"{phase}-{oms_id}-{halt_id}",
        timestamp=rfc3339(NOON),
        actor=oms_id,
        subject_id=halt_id,
        data=Acknowledgement(
            oms_id=oms_id, halt_id=halt_id, phase=phase, via="core", to_block_us=4100
        ),
    )


def new_desk(expected: frozenset[str] = ORDER_SYSTEMS, known: Trust = TRUST) -> Desk:
    return Desk(known, expected)


def changed(event: Event, **changes: object) -> Event:
    return replace(event, **changes)
