"""What halt workers and order systems tell each other every second, outside the stream.

A heartbeat gives every order system the right to trade for three more seconds; a report says what
an order system obeys, so that operators see it and a halt that the stream lost is found again.
Both are signed like commands (see `operations/signing/message.py`), and neither is an event:
inside `mts.v1.>` each would be an entry of the log.
"""

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Struct

from operations.errors import Rejected
from operations.events.base import Timestamp, Token, doc
from operations.events.halts import Mode

T = TypeVar("T")
HEARTBEAT = "ops.v1.halt.heartbeat"
REPORT = "ops.v1.oms.lease"  # and the id of the order system
BEAT_SECONDS = 1.0
LEASE_SECONDS = 3.0

Stream = Literal["ok", "frozen", "full", "unreachable"]


class Heartbeat(Struct, frozen=True, kw_only=True):
    """One halt worker is alive, and this is what it holds to be halted.

    `sequence` is the last place of the stream that it folded and `state_hash` what is active
    there; `count` numbers the heartbeats of one run of one worker, so that an old one is known.
    """

    worker: Annotated[Token, doc("Name of the halt worker.")]
    run: Annotated[str, doc("Random id of this run of it.")]
    count: Annotated[int, doc("Number of this heartbeat in its run, from 1.")]
    issued_at: Annotated[Timestamp, doc("Its own clock.")]
    sequence: Annotated[int, doc("Last sequence of the stream that it folded.")]
    state_hash: Annotated[str, doc("Halts.state_hash at that sequence.")]
    active: Annotated[int, doc("Number of active episodes.")]
    stream: Annotated[Stream, doc("What its probe of the stream came to.")]
    stream_since: Annotated[Timestamp, doc("Since when the stream has been like that.")]


class Held(Struct, frozen=True, kw_only=True, array_like=True):
    """One episode that an order system obeys."""

    halt_id: str
    level: str
    scope_id: str
    mode: Mode


class Report(Struct, frozen=True, kw_only=True):
    """What one order system obeys at this moment.

    `mode` is how strictly it is stopped as a whole and `why` its own reasons in words (booting,
    lapsed lease, file HALT), null and empty when only the halts count. `held` lists the newest
    active episodes, at most `HELD_AT_MOST`; `held_count` says how many there are.
    """

    oms_id: Annotated[Token, doc("Order system.")]
    run: Annotated[str, doc("Random id of this run of it.")]
    count: Annotated[int, doc("Number of this report in its run, from 1.")]
    issued_at: Annotated[Timestamp, doc("Its own clock.")]
    build: Annotated[str, doc("Version of the order system.")]
    sequence: Annotated[int, doc("Last sequence of the stream that it folded.")]
    state_hash: Annotated[str, doc("Halts.state_hash at that sequence.")]
    mode: Annotated[Mode | None, doc("How strictly all of it is stopped.")]
    why: Annotated[tuple[str, ...], doc("Its own reasons.")]
    held_count: Annotated[int, doc("Number of active episodes that it obeys.")]
    held: Annotated[tuple[Held, ...], doc("The newest of them.")]
    roster_version: Annotated[int, doc("Highest roster version that it has seen.")]


HELD_AT_MOST = 1000


def report_subject(oms_id: str) -> str:
    """Return the subject on which one order system reports."""
    return f"{REPORT}.{oms_id}"


def decode_heartbeat(payload: bytes) -> Heartbeat:
    """Read a heartbeat. Raises Rejected."""
    return _decode(payload, Heartbeat)


def decode_report(payload: bytes) -> Report:
    """Read a report. Raises Rejected."""
    return _decode(payload, Report)


def _decode(payload: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected(f"not a {kind.__name__.lower()}: {error}") from error
