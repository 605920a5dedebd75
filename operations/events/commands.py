"""What people order. Every command is signed, has an id, a time of issue and an expiry.

The signature is over the bytes as sent, in a header; doing a command twice changes nothing.
"""

from typing import Annotated, Literal

from operations.events.base import Data, Event, Id, Timestamp, Token, doc
from operations.events.halts import Level, Mode, Treatment


class Command(Data, frozen=True, kw_only=True):
    """What all commands have."""

    command_id: Annotated[Id, doc("Id of the command.")]
    issued_at: Annotated[Timestamp, doc("When it was signed.")]
    expires_at: Annotated[Timestamp, doc("When it is void; a halt is obeyed all the same.")]
    reason: Annotated[str, doc("Why; may be empty only for a halt.")] = ""


class HaltOrder(Command, frozen=True, kw_only=True):
    """Stop a strategy, a fund or the firm."""

    halt_id: Annotated[Id, doc("Id of the episode that it opens.")]
    level: Annotated[Level, doc("Strategy, fund or firm; which one is in the envelope.")]
    mode: Annotated[Mode, doc("What still passes.")] = "BLOCK_ALL"


class HaltCommanded(Event, frozen=True, kw_only=True):
    """A person stops something."""

    pattern = "mts.v1.operations.command.halt"
    data: HaltOrder


class ResumeOrder(Command, frozen=True, kw_only=True):
    """Lift the named halts."""

    resume_id: Annotated[Id, doc("Id of the wish.")]
    halt_ids: Annotated[tuple[Id, ...], doc("Episodes to lift, no others.")]
    treatment: Annotated[Treatment, doc("What happens to the trigger.")]
    muted_until: Annotated[Timestamp | None, doc("End of MUTED.")] = None
    as_of_sequence: Annotated[
        int | None, doc("Last sequence of the stream that was looked at; newer evidence voids it.")
    ] = None


class ResumeCommanded(Event, frozen=True, kw_only=True):
    """A person wants halts lifted."""

    pattern = "mts.v1.operations.command.resume"
    data: ResumeOrder


class CosignOrder(Command, frozen=True, kw_only=True):
    """Agree to a lift that another person asked for."""

    resume_id: Annotated[Id, doc("Wish that is cosigned.")]
    resume_sha256: Annotated[str, doc("SHA-256 of its payload, hexadecimal.")]


class CosignCommanded(Event, frozen=True, kw_only=True):
    """A second person agrees."""

    pattern = "mts.v1.operations.command.cosign"
    data: CosignOrder


class CancelAllOrder(Command, frozen=True, kw_only=True):
    """Cancel working orders; which, is in the envelope: none named means all."""

    halt_id: Annotated[Id | None, doc("Halt that it belongs to.")] = None


class CancelAllCommanded(Event, frozen=True, kw_only=True):
    """A person cancels working orders."""

    pattern = "mts.v1.operations.command.cancel_all"
    data: CancelAllOrder


class FlattenOrder(Command, frozen=True, kw_only=True):
    """Close the positions of paper funds."""

    halt_id: Annotated[Id, doc("Halt under which it is done, once.")]
    account_ids: Annotated[tuple[Id, ...], doc("Paper accounts; a live one is refused.")]


class FlattenCommanded(Event, frozen=True, kw_only=True):
    """A person closes paper positions."""

    pattern = "mts.v1.operations.command.flatten"
    data: FlattenOrder


class DrillOrder(Command, frozen=True, kw_only=True):
    """Practise a halt on the reserved strategy."""

    drill_id: Annotated[Id, doc("Id of the drill.")]


class DrillCommanded(Event, frozen=True, kw_only=True):
    """A person practises a halt."""

    pattern = "mts.v1.operations.command.drill"
    data: DrillOrder


class ReleaseOrder(Command, frozen=True, kw_only=True):
    """End an action."""

    action_id: Annotated[Id, doc("Action to end.")]


class ReleaseCommanded(Event, frozen=True, kw_only=True):
    """A person ends an action."""

    pattern = "mts.v1.operations.command.release_action"
    data: ReleaseOrder


class AdoptionOrder(Command, frozen=True, kw_only=True):
    """Let the log go on with a stream that is not the one it was written from."""

    stream_created_at: Annotated[Timestamp, doc("When the new stream was created.")]
    from_sequence: Annotated[int, doc("First sequence of it that the log does not hold yet.")]
    log_size: Annotated[int, doc("Entries in the log when it was ordered.")]
    head_hash: Annotated[str, doc("Hash of its last entry then, in hex.")]


class AdoptStreamCommanded(Event, frozen=True, kw_only=True):
    """A person adopts a stream."""

    pattern = "mts.v1.operations.command.adopt_stream"
    data: AdoptionOrder


class ModeOrder(Command, frozen=True, kw_only=True):
    """Turn a check off, to observe, or to act."""

    check: Annotated[Id, doc("Name of the check.")]
    mode: Annotated[Literal["off", "observe", "act"], doc("What it may do.")]


class ModeCommanded(Event, frozen=True, kw_only=True):
    """A person changes what a check may do."""

    pattern = "mts.v1.operations.command.set_mode"
    data: ModeOrder


class AcknowledgeOrder(Command, frozen=True, kw_only=True):
    """Say that somebody looks after an alert, so that it pages nobody again."""

    episode: Annotated[Id, doc("Episode of the finding, or id of the halt.")]


class AcknowledgeCommanded(Event, frozen=True, kw_only=True):
    """A person looks after an alert."""

    pattern = "mts.v1.operations.command.acknowledge"
    data: AcknowledgeOrder


class CloseAlertOrder(Command, frozen=True, kw_only=True):
    """Take an alert that nobody clears off the list; a finding only, a halt ends by its lift.

    If what it is about goes on and is found again, it is told again.
    """

    episode: Annotated[Id, doc("Episode of the finding.")]


class CloseAlertCommanded(Event, frozen=True, kw_only=True):
    """A person closes an alert."""

    pattern = "mts.v1.operations.command.close_alert"
    data: CloseAlertOrder


class SilenceOrder(Command, frozen=True, kw_only=True):
    """Tell nobody of certain findings for a time; which fund or strategy is in the envelope.

    Never of a halt: that is told whatever is silenced. The same `silence_id` again replaces it.
    """

    silence_id: Annotated[Id, doc("Id of the silence.")]
    until: Annotated[Timestamp, doc("When it ends.")]
    starts_at: Annotated[Timestamp | None, doc("When it begins; null means at once.")] = None
    check: Annotated[Token | None, doc("Only findings of this check.")] = None


class SilenceCommanded(Event, frozen=True, kw_only=True):
    """A person silences findings for a time, or plans a maintenance window."""

    pattern = "mts.v1.operations.command.silence"
    data: SilenceOrder


class ConfigureOrder(Command, frozen=True, kw_only=True):
    """Set one value of a check, for the fund of the envelope or, without one, for the firm."""

    check: Annotated[Id, doc("Name of the check.")]
    setting: Annotated[Id, doc("Name of its setting.")]
    value: Annotated[
        str | None, doc("The value as text; null takes away what was set for this fund or firm.")
    ] = None


class ConfigureCommanded(Event, frozen=True, kw_only=True):
    """A person changes a setting of a check."""

    pattern = "mts.v1.operations.command.configure"
    data: ConfigureOrder
