"""What the halt workers decide and what order systems answer.

`halt.requested` is the decision: every order management system obeys it, also one that knows no
other subject. Acknowledgements have one subject per order management system.
"""

from typing import Annotated, Literal

from operations.events.base import (
    Currency,
    Data,
    Event,
    Id,
    Money,
    Quantity,
    Timestamp,
    Token,
    doc,
)

Level = Literal["STRATEGY_HALT", "FUND_HALT", "FIRM_HALT"]
Mode = Literal["REDUCE_ONLY", "BLOCK_ALL"]
HaltReason = Literal[
    "MANUAL", "DRAWDOWN", "DAILY_LOSS", "DRIFT_ZSCORE", "NEWS_SPIKE", "COMPLIANCE",
    "RECONCILIATION", "STALE_DATA", "LEASE_LOST", "DRILL",
]  # fmt: skip
Phase = Literal["RECEIVED", "BLOCKING", "CANCEL_SENT", "CANCEL_CONFIRMED", "FLAT", "REFUSED"]
Treatment = Literal["CLEARED", "REBASELINED", "MUTED"]

DRILL_STRATEGY = "drill"  # reserved: nothing trades under it, and drills halt it


class Halt(Data, frozen=True, kw_only=True):
    """One halt episode: what stops, how hard, and why."""

    halt_id: Annotated[Id, doc("Id of the episode; requesting it twice changes nothing.")]
    level: Annotated[Level, doc("Strategy, fund or firm; which one is in the envelope.")]
    mode: Annotated[Mode, doc("What still passes.")] = "BLOCK_ALL"
    reason_code: Annotated[HaltReason, doc("Why.")]
    reason: Annotated[str, doc("Why, in words; may be empty for a halt by a person.")] = ""
    requested_by: Annotated[Id, doc("Person or check that asked.")]
    statistic: Annotated[float | None, doc("Value that was judged.")] = None
    threshold: Annotated[float | None, doc("Value that it was judged against.")] = None
    samples: Annotated[int | None, doc("Observations behind the statistic.")] = None
    rule_version: Annotated[str | None, doc("Version of the rule that asked.")] = None
    cancel_orders: Annotated[
        Literal["none", "increasing", "all"], doc("Working orders that are to be canceled.")
    ] = "none"
    stream_sequence: Annotated[int | None, doc("Place in the stream of what asked.")] = None
    payload_sha256: Annotated[str | None, doc("SHA-256 of what asked, hexadecimal.")] = None
    ack_deadline_ms: Annotated[int, doc("Time in which to block, in milliseconds.")] = 1000


class HaltRequested(Event, frozen=True, kw_only=True):
    """The decision that something stops now."""

    pattern = "mts.v1.operations.halt.requested"
    data: Halt


class Activation(Data, frozen=True, kw_only=True):
    """The state of all halts after one took effect."""

    halt_id: Annotated[Id, doc("Episode.")]
    state_hash: Annotated[str, doc("Number of 256 bits over the active episodes, hexadecimal.")]
    expected_oms_ids: Annotated[tuple[Token, ...], doc("Who has to acknowledge.")]


class HaltActivated(Event, frozen=True, kw_only=True):
    """The episode is part of the halt worker's state."""

    pattern = "mts.v1.operations.halt.activated"
    data: Activation


class PositionHeld(Data, frozen=True, kw_only=True):
    """One position when a halt was requested; an id is empty where the events did not say."""

    fund_id: Annotated[str, doc("Fund that holds it.")]
    strategy_id: Annotated[str, doc("Strategy that holds it.")]
    account_id: Annotated[str, doc("Account that holds it.")]
    symbol: Annotated[Id, doc("Instrument.")]
    quantity: Annotated[Quantity, doc("Held, negative when short.")]


class Documentation(Data, frozen=True, kw_only=True):
    """The evidence around a halt, gathered afterwards."""

    halt_id: Annotated[Id, doc("Episode.")]
    log_sequences: Annotated[tuple[int, ...], doc("Entries of the log that led to it.")]
    entry_hashes: Annotated[tuple[str, ...], doc("Hashes of these entries, hexadecimal.")]
    positions_complete: Annotated[bool, doc("Whether every position is in the snapshot.")]
    positions_age_ms: Annotated[int, doc("Age of the snapshot at the halt, in milliseconds.")]
    positions_sha256: Annotated[
        str,
        doc(
            "SHA-256 over one line a position: the JSON array of its fund, strategy, account, "
            "symbol and plain decimal quantity; hexadecimal."
        ),
    ]
    positions_count: Annotated[int, doc("Positions in the snapshot.")] = 0
    positions: Annotated[
        tuple[PositionHeld, ...], doc("The snapshot, sorted; the first 1000 of them.")
    ] = ()
    gross: Annotated[Money | None, doc("Gross exposure in the snapshot, in `currency`.")] = None
    currency: Annotated[Currency | None, doc("Currency of the amounts.")] = None


class HaltDocumented(Event, frozen=True, kw_only=True):
    """The evidence of a halt is complete."""

    pattern = "mts.v1.operations.halt.documented"
    data: Documentation


class Acknowledgement(Data, frozen=True, kw_only=True):
    """How far one order management system is; durations are from its own monotonic clock."""

    oms_id: Annotated[Token, doc("Order management system.")]
    halt_id: Annotated[Id, doc("Episode that it obeys.")]
    phase: Annotated[Phase, doc("How far it is.")]
    via: Annotated[Literal["core", "stream", "snapshot", "file"], doc("How it heard of it.")]
    to_block_us: Annotated[
        int | None, doc("From receipt until a probe order was denied, in microseconds.")
    ] = None
    to_cancel_sent_ms: Annotated[
        float | None, doc("From receipt until every cancel was sent, in milliseconds.")
    ] = None
    to_cancel_confirmed_ms: Annotated[
        float | None, doc("From receipt until every cancel was confirmed, in milliseconds.")
    ] = None
    open_before: Annotated[int | None, doc("Orders that worked when it arrived.")] = None
    canceled: Annotated[int | None, doc("Orders canceled.")] = None
    unknown_in_flight: Annotated[int | None, doc("Orders sent and not answered.")] = None
    reason: Annotated[str | None, doc("Why it was refused.")] = None


class HaltAcknowledged(Event, frozen=True, kw_only=True):
    """An order management system says how far it is."""

    pattern = "mts.v1.operations.halt.acknowledged.{data.oms_id}"
    data: Acknowledgement


class Resume(Data, frozen=True, kw_only=True):
    """A wish to lift certain halts."""

    resume_id: Annotated[Id, doc("Id of the wish.")]
    halt_ids: Annotated[tuple[Id, ...], doc("Episodes to lift, no others.")]
    treatment: Annotated[Treatment, doc("What happens to the trigger.")]
    muted_until: Annotated[Timestamp | None, doc("End of MUTED.")] = None
    reason: Annotated[str, doc("Why it is safe.")]
    requested_by: Annotated[Id, doc("Person who asks.")]
    expires_at: Annotated[Timestamp, doc("When the wish is void.")]
    payload_sha256: Annotated[
        str | None, doc("SHA-256 of the resume command, hexadecimal: what a cosign names.")
    ] = None


class ResumeRequested(Event, frozen=True, kw_only=True):
    """A lift is asked for; a firm halt needs a second person."""

    pattern = "mts.v1.operations.halt.resume_requested"
    data: Resume


class Cosignature(Data, frozen=True, kw_only=True):
    """A second person's yes."""

    resume_id: Annotated[Id, doc("Wish that is cosigned.")]
    resume_sha256: Annotated[str, doc("SHA-256 of its payload, hexadecimal.")]
    cosigned_by: Annotated[Id, doc("Second person.")]


class ResumeCosigned(Event, frozen=True, kw_only=True):
    """A second person agreed to the lift."""

    pattern = "mts.v1.operations.halt.cosigned"
    data: Cosignature


class ResumeDenial(Data, frozen=True, kw_only=True):
    """Why a lift did not happen."""

    resume_id: Annotated[Id, doc("Wish that is denied.")]
    halt_ids: Annotated[tuple[Id, ...], doc("Episodes that stay active.")]
    reason: Annotated[str, doc("Why, in words.")]


class ResumeDenied(Event, frozen=True, kw_only=True):
    """The halts stay."""

    pattern = "mts.v1.operations.halt.resume_denied"
    data: ResumeDenial


class SignedOrder(Data, frozen=True, kw_only=True):
    """A command as a person sent it, so that everybody can check the signature again."""

    subject: Annotated[str, doc("Subject on which it was sent.")]
    payload: Annotated[str, doc("The payload as sent, byte for byte.")]
    signature: Annotated[str, doc("Value of its Mts-Signature header.")]


class Lift(Data, frozen=True, kw_only=True):
    """Which halts are over, with the orders of the people who lifted them."""

    halt_ids: Annotated[tuple[Id, ...], doc("Episodes lifted.")]
    resume_id: Annotated[Id, doc("Wish that was granted.")]
    treatment: Annotated[Treatment, doc("What happened to the trigger.")]
    remaining_halt_ids: Annotated[tuple[Id, ...], doc("Episodes still active.")]
    signed_by: Annotated[tuple[Id, ...], doc("People who signed.")]
    muted_until: Annotated[Timestamp | None, doc("End of MUTED.")] = None
    orders: Annotated[
        tuple[SignedOrder, ...],
        doc("The resume command, and for a firm halt the cosign command; without, it lifts none."),
    ] = ()


class HaltLifted(Event, frozen=True, kw_only=True):
    """The named halts are over; no others."""

    pattern = "mts.v1.operations.halt.lifted"
    data: Lift
