"""Going on with another stream: what a person has to know, and the signed order itself.

A log may only follow the stream it was made from. Where that is gone (recreated, or restored from
an older copy) a person decides; the order names the stream, the log as it stands and the first
message to seal, so it cannot be used for any other situation. The audit worker judges it.
"""

import asyncio

import asyncpg
import msgspec

from operations.adapters import ledger, log_queries, stream
from operations.adapters.link import Access
from operations.adapters.publisher import Publisher
from operations.adapters.stream import NO_MESSAGE, ApiError
from operations.adapters.wire import WireClient
from operations.audit import chain, entry
from operations.audit.chain import Delivery, Head
from operations.clock import NANOSECONDS, new_event_id, now_ns, parse_rfc3339, rfc3339
from operations.errors import Rejected, Retryable
from operations.events.base import encode
from operations.events.commands import AdoptionOrder, AdoptStreamCommanded
from operations.signing.message import Signer

VALID_SECONDS = 300
LOOK_SECONDS = 0.2


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What adopting would do: the log as it stands, the stream, and where sealing goes on."""

    stream: str
    stream_created: str
    last_sequence: int
    from_sequence: int
    head: Head

    @property
    def is_needed(self) -> bool:
        """Whether the log cannot simply go on with this stream."""
        same = parse_rfc3339(self.stream_created) == self.head.stream_created_ns
        return not same or self.from_sequence <= self.head.stream_sequence


class _Stored(msgspec.Struct):
    subject: str
    seq: int
    time: str
    data: bytes = b""
    hdrs: bytes = b""


class _Reply(msgspec.Struct):
    message: _Stored


async def plan(
    connected: asyncpg.Connection, client: WireClient, stream_name: str, origin: str
) -> Plan:
    """Look at stream and log; raises Rejected if there is no log, Retryable if NATS is silent."""
    head = await ledger.head(connected, origin)
    if head is None:
        raise Rejected(f"there is no log {origin!r} yet; it begins with the stream that is there")
    found = await stream.info(client, stream_name)
    low = max(0, found.state.first_seq - 1)
    high = min(found.state.last_seq, head.stream_sequence)
    newest = await _newest_equal(connected, client, stream_name, head, low, high)
    return Plan(
        stream=stream_name,
        stream_created=found.created,
        last_sequence=found.state.last_seq,
        from_sequence=newest + 1,
        head=head,
    )


async def _newest_equal(
    connected: asyncpg.Connection, client: WireClient, name: str, head: Head, low: int, high: int
) -> int:
    """Return the last stream sequence up to `high` whose message is the sealed one; 0 for none.

    A stream only grows, so a copy agrees with the log up to some message and differs after it:
    halving finds that place.
    """
    newest = 0
    while low < high:
        middle = (low + high + 1) // 2
        delivery = await _message_from(client, name, middle)
        place = chain.position(delivery[1])[0] if delivery else high + 1
        if delivery and place <= high and await _is_sealed(connected, head, place, delivery):
            newest = low = place
        else:
            high = middle - 1
    return newest


async def _message_from(client: WireClient, name: str, sequence: int) -> Delivery | None:
    """Return the first message from a sequence on, as a reader would be given it."""
    body = {"seq": sequence, "next_by_subj": ">"}
    try:
        answer = await stream.request(client, f"STREAM.MSG.GET.{name}", body)
    except ApiError as error:
        if error.code == NO_MESSAGE:
            return None
        raise
    found = msgspec.json.decode(answer, type=_Reply).message
    time_ns = parse_rfc3339(found.time)
    reply = f"$JS.ACK.{name}.adopt.1.{found.seq}.{found.seq}.{time_ns}.0".encode()
    return found.subject.encode(), reply, found.hdrs, found.data


async def _is_sealed(
    connected: asyncpg.Connection, head: Head, place: int, delivery: Delivery
) -> bool:
    sequence = await _entry_at(connected, head.size, place)
    row = await ledger.entry_row(connected, sequence)
    if row is None:
        return False
    try:
        # The API shows a subject that is not UTF-8 with replacement characters.
        subject = entry.decode(row[0]).subject
    except ValueError:
        return False
    if subject.decode(errors="replace") == delivery[0].decode():
        delivery = (subject, *delivery[1:])
    return chain.message_entry(sequence, delivery) == row[0]


async def _entry_at(connected: asyncpg.Connection, size: int, place: int) -> int:
    """Return the first entry near the end of the log whose stream sequence is not below `place`."""
    step, low, high = 1, size - 1, size - 1
    while low > 0 and (await log_queries.stream_position(connected, low) or 0) > place:
        high, low, step = low, max(0, low - step), step * 2
    while low < high:
        middle = (low + high) // 2
        if (await log_queries.stream_position(connected, middle) or 0) < place:
            low = middle + 1
        else:
            high = middle
    return low


def order(planned: Plan, actor: str, reason: str) -> AdoptStreamCommanded:
    """Return the order that adopts a stream. Raises Rejected without a reason."""
    if not reason.strip():
        raise Rejected("say why the log goes on with another stream: --reason TEXT")
    issued_ns = now_ns()
    return AdoptStreamCommanded(
        event_id=new_event_id(issued_ns),
        timestamp=rfc3339(issued_ns),
        actor=actor,
        subject_id=planned.stream,
        data=AdoptionOrder(
            command_id=new_event_id(issued_ns),
            issued_at=rfc3339(issued_ns),
            expires_at=rfc3339(issued_ns + VALID_SECONDS * NANOSECONDS),
            reason=reason,
            stream_created_at=rfc3339(parse_rfc3339(planned.stream_created)),
            from_sequence=planned.from_sequence,
            log_size=planned.head.size,
            head_hash=planned.head.hash.hex(),
        ),
    )


async def publish(
    access: Access, signer: Signer, event: AdoptStreamCommanded, seconds: float
) -> int:
    """Publish a signed order; return its stream sequence. Raises Retryable and Denied."""
    try:
        async with (
            asyncio.timeout(seconds),
            Publisher(access, actor=event.actor, signer=signer, drain_seconds=0) as publisher,
        ):
            return (await publisher.confirm(event)).sequence
    except TimeoutError as error:
        raise Retryable(f"NATS did not acknowledge the order within {seconds:g} s") from error


async def adopted(
    connected: asyncpg.Connection, planned: Plan, event: AdoptStreamCommanded, seconds: float
) -> bool:
    """Wait until the log holds this order as an entry; say whether it came in time."""
    payload = encode(event)
    async with asyncio.timeout(seconds) as limit:
        while True:
            row = await ledger.entry_row(connected, planned.head.size)
            if row is not None:
                made = entry.decode(row[0])
                return made.subject == chain.ADOPTED and made.data == payload
            remaining = (limit.when() or 0) - asyncio.get_running_loop().time()
            if remaining <= LOOK_SECONDS:
                return False
            await asyncio.sleep(LOOK_SECONDS)
