"""What people order, as signed commands: built here, signed with a person's key, sent once.

Every command has a fresh id, a time of issue and an expiry. A halt is obeyed whatever its clock
says; everything that lifts or trades is void ten minutes after it was signed. `issued_ns` is the
time of the bus where the caller knows it, in ns since 1970: a slow clock would void it at once.
"""

import asyncio
import socket
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, NamedTuple

from msgspec import convert

from operations.adapters import roster_files
from operations.adapters.link import Access
from operations.adapters.publisher import Publisher
from operations.clock import NANOSECONDS, new_event_id, now_ns, rfc3339
from operations.config import Nats, Settings, secret
from operations.errors import Rejected, Retryable
from operations.events.base import Environment, Event
from operations.events.commands import (
    AcknowledgeCommanded,
    AcknowledgeOrder,
    CancelAllCommanded,
    CancelAllOrder,
    CloseAlertCommanded,
    CloseAlertOrder,
    ConfigureCommanded,
    ConfigureOrder,
    CosignCommanded,
    CosignOrder,
    DrillCommanded,
    DrillOrder,
    FlattenCommanded,
    FlattenOrder,
    HaltCommanded,
    HaltOrder,
    ModeCommanded,
    ModeOrder,
    ReleaseCommanded,
    ReleaseOrder,
    ResumeCommanded,
    ResumeOrder,
    SilenceCommanded,
    SilenceOrder,
)
from operations.events.halts import DRILL_STRATEGY, Treatment
from operations.events.halts import Mode as HaltMode
from operations.events.operations import RosterPublication, RosterPublished
from operations.halt.state import Scope
from operations.settings.catalogue import MODE, Mode
from operations.settings.change import Change
from operations.signing.message import Signer
from operations.signing.roster import Roster

VALID_SECONDS = 600


class Person(NamedTuple):
    """Who orders: a key that signs, and how this person reaches the bus."""

    access: Access
    signer: Signer

    @property
    def name(self) -> str:
        """The name that the key has in the roster."""
        return self.signer.key.public.name


def person(settings: Settings, nats: Nats, key: Path | None) -> Person:
    """Return the person whose private key lies in a file, by default that of the settings.

    Raises Rejected when the file is missing or others may read it.
    """
    private = roster_files.read_private(key or settings.person_key_path)
    access = Access(
        url=nats.url,
        user=nats.user,
        password=secret(nats.password, nats.password_file),
        inbox=nats.inbox,
        ca_file=nats.ca_file,
    )
    return Person(access, Signer(private, settings.audit.origin, settings.environment))


def halt(
    actor: str,
    scope: Scope,
    mode: HaltMode,
    reason: str,
    *,
    environment: Environment = "live",
    fund_id: str | None = None,
    halt_id: str = "",
) -> HaltCommanded:
    """Return the command that stops a scope; `fund_id` is that of a strategy, where it is known.

    The same `halt_id` again changes nothing.
    """
    head = _head()
    halt_id = halt_id or head["command_id"]
    data = HaltOrder(halt_id=halt_id, level=scope.level, mode=mode, reason=reason, **head)
    named = ({"fund_id": fund_id} if fund_id else {}) | _named(scope)
    return HaltCommanded(
        data=data, environment=environment, **_envelope(actor, halt_id, head), **named
    )


def resume(
    actor: str,
    halt_ids: tuple[str, ...],
    treatment: Treatment,
    muted_until: str | None,
    reason: str,
    as_of_sequence: int | None = None,
    issued_ns: int | None = None,
) -> ResumeCommanded:
    """Return the command that asks to lift halts. Raises Rejected without a reason or halts.

    `as_of_sequence` is the last message of the stream that the person's board had folded: a halt
    that came after it, and that nobody has looked at, voids the lift.
    """
    if not halt_ids:
        raise Rejected("there is no halt to lift")
    if (treatment == "MUTED") != (muted_until is not None):
        raise Rejected("--until TIME says until when a trigger is muted, and belongs to muted only")
    head = _head(issued_ns)
    data = ResumeOrder(
        resume_id=head["command_id"],
        halt_ids=halt_ids,
        treatment=treatment,
        muted_until=muted_until,
        as_of_sequence=as_of_sequence,
        reason=_stated(reason),
        **head,
    )
    return ResumeCommanded(data=data, **_envelope(actor, head["command_id"], head))


def cosign(
    actor: str, resume_id: str, payload: bytes, reason: str, issued_ns: int | None = None
) -> CosignCommanded:
    """Return the agreement to a resume command, given its payload as sent."""
    head = _head(issued_ns)
    data = CosignOrder(
        resume_id=resume_id,
        resume_sha256=sha256(payload).hexdigest(),
        reason=_stated(reason),
        **head,
    )
    return CosignCommanded(data=data, **_envelope(actor, resume_id, head))


def cancel_all(
    actor: str, scope: Scope, reason: str, issued_ns: int | None = None
) -> CancelAllCommanded:
    """Return the command that cancels every working order of a scope."""
    head = _head(issued_ns)
    data = CancelAllOrder(reason=reason, **head)
    envelope = _envelope(actor, scope.id or "firm", head)
    return CancelAllCommanded(data=data, **envelope, **_named(scope))


def flatten(
    actor: str,
    halt_id: str,
    fund_id: str,
    account_ids: tuple[str, ...],
    reason: str,
    issued_ns: int | None = None,
) -> FlattenCommanded:
    """Return the command that closes the positions of paper accounts, under a halt."""
    head = _head(issued_ns)
    data = FlattenOrder(halt_id=halt_id, account_ids=account_ids, reason=reason, **head)
    envelope = _envelope(actor, halt_id, head)
    return FlattenCommanded(data=data, environment="paper", fund_id=fund_id, **envelope)


def release(
    actor: str, action_id: str, reason: str, issued_ns: int | None = None
) -> ReleaseCommanded:
    """Return the command that ends an action. Raises Rejected without a reason."""
    head = _head(issued_ns)
    data = ReleaseOrder(action_id=action_id, reason=_stated(reason), **head)
    return ReleaseCommanded(data=data, **_envelope(actor, action_id, head))


def configure(
    actor: str, change: Change, reason: str, issued_ns: int | None = None
) -> ConfigureCommanded | ModeCommanded:
    """Return the command that sets a value of a check. Raises Rejected without a reason."""
    place, head = change.place, _head(issued_ns)
    if not reason.strip():
        raise Rejected("say why it changes: --reason TEXT")
    envelope = _envelope(actor, place.setting, head) | {"fund_id": place.fund_id or None}
    if place.name == MODE and change.value is not None:
        mode = convert(change.value, Mode)
        order = ModeOrder(check=place.check, mode=mode, reason=reason, **head)
        return ModeCommanded(data=order, **envelope)
    data = ConfigureOrder(
        check=place.check, setting=place.name, value=change.value, reason=reason, **head
    )
    return ConfigureCommanded(data=data, **envelope)


def drill(actor: str, reason: str, issued_ns: int | None = None) -> DrillCommanded:
    """Return the command that practises a halt on the reserved strategy."""
    head = _head(issued_ns)
    drill_id = head["command_id"]
    data = DrillOrder(drill_id=drill_id, reason=reason, **head)
    envelope = _envelope(actor, drill_id, head)
    return DrillCommanded(data=data, environment="drill", strategy_id=DRILL_STRATEGY, **envelope)


def acknowledge(
    actor: str, episode: str, reason: str, issued_ns: int | None = None
) -> AcknowledgeCommanded:
    """Return the command that says that this person looks after an alert."""
    head = _head(issued_ns)
    data = AcknowledgeOrder(episode=episode, reason=reason, **head)
    return AcknowledgeCommanded(data=data, **_envelope(actor, episode, head))


def close_alert(
    actor: str, episode: str, reason: str, issued_ns: int | None = None
) -> CloseAlertCommanded:
    """Return the command that ends an alert that nobody clears."""
    head = _head(issued_ns)
    data = CloseAlertOrder(episode=episode, reason=reason, **head)
    return CloseAlertCommanded(data=data, **_envelope(actor, episode, head))


def silence(
    actor: str,
    scope: dict[str, Any],
    until: str,
    reason: str,
    issued_ns: int | None = None,
    *,
    starts_at: str | None = None,
    check: str | None = None,
    silence_id: str = "",
) -> SilenceCommanded:
    """Return the command that silences findings; `scope` may name fund_id and strategy_id.

    The same `silence_id` again replaces what it said before.
    """
    head = _head(issued_ns)
    silence_id = silence_id or head["command_id"]
    data = SilenceOrder(
        silence_id=silence_id,
        until=until,
        starts_at=starts_at,
        check=check,
        reason=reason,
        **head,
    )
    return SilenceCommanded(data=data, **_envelope(actor, silence_id, head), **scope)


def roster_publication(known: Roster, actor: str, at_ns: int) -> RosterPublished:
    """Return the event by which a roster holds; it proves itself by its root signature."""
    body = known.body
    purpose: Literal["production", "development"]
    purpose = "development" if body.development else "production"
    at = rfc3339(at_ns)
    return RosterPublished(
        event_id=new_event_id(at_ns),
        timestamp=at,
        actor=actor,
        subject_id=f"roster-{body.version}",
        data=RosterPublication(
            version=body.version,
            roster=known.document.decode(),
            sha256=sha256(known.document).hexdigest(),
            purpose=purpose,
        ),
    )


async def store(sender: Person, event: Event, seconds: float) -> int:
    """Publish one event signed and return its place in the stream. Raises Retryable, Denied."""
    try:
        async with (
            asyncio.timeout(seconds),
            Publisher(
                sender.access, actor=sender.name, signer=sender.signer, drain_seconds=0
            ) as publisher,
        ):
            return (await publisher.confirm(event)).sequence
    except TimeoutError as error:
        raise Retryable(f"NATS did not store {event.subject} within {seconds:g} s") from error


def _head(issued_ns: int | None = None) -> dict[str, Any]:
    issued_ns = now_ns() if issued_ns is None else issued_ns
    return {
        "command_id": new_event_id(issued_ns),
        "issued_at": rfc3339(issued_ns),
        "expires_at": rfc3339(issued_ns + VALID_SECONDS * NANOSECONDS),
    }


def _envelope(actor: str, subject_id: str, head: dict[str, Any]) -> dict[str, Any]:
    return {
        "event_id": new_event_id(),
        "timestamp": head["issued_at"],
        "actor": actor,
        "subject_id": subject_id,
        "source": f"mts@{socket.gethostname()}",
    }


def _named(scope: Scope) -> dict[str, Any]:
    """Return the field of the envelope that says which strategy or fund."""
    if scope.level == "STRATEGY_HALT":
        return {"strategy_id": scope.id}
    return {"fund_id": scope.id} if scope.level == "FUND_HALT" else {}


def _stated(reason: str) -> str:
    if not reason.strip():
        raise Rejected("say why it is safe to go on: --reason TEXT")
    return reason
