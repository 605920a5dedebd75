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
from operations.events.commands import AdoptionOrder, AdoptStreamCommanded
from operations.signing.message import Signer

VALID_SECONDS = 300
LOOK_SECONDS = 0.2


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What adopting would do: the log as it stands, the stream, and where sealing goes on.

    `is_needed` says that the log cannot simply go on with this stream.
    """

    stream: str
    stream_created: str
    last_sequence: int
    from_sequence: int
    head: Head
    is_needed: bool


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
    first, last = found.state.first_seq, found.state.last_seq
    search = _Search(connected, client, stream_name, head)
    newest = await search.newest_equal(first, min(last, head.stream_sequence))
    tail = await ledger.tail(connected, head)
    same_stream = found.created_ns == head.stream_created_ns and last >= head.stream_sequence
    comparable = tail.previous_hash is not None and first <= head.stream_sequence
    return Plan(
        stream=stream_name,
        stream_created=found.created,
        last_sequence=last,
        from_sequence=newest + 1,
        head=head,
        is_needed=not same_stream or (comparable and newest < head.stream_sequence),
    )


class _Search:
    """Finds out up to where a stream holds the messages that were sealed."""

    def __init__(
        self, connected: asyncpg.Connection, client: WireClient, name: str, head: Head
    ) -> None:
        self._connected = connected
        self._client = client
        self._name = name
        self._head = head
        self._begin = 0  # the entry at which the log went over to the stream it follows now

    async def newest_equal(self, first: int, high: int) -> int:
        """Return the last stream sequence up to `high` whose message is the sealed one, or 0.

        A stream only grows, so a copy agrees with the log up to some message and differs after
        it: halving finds that place.
        """
        self._begin = await log_queries.last_adoption(self._connected)
        newest, low = 0, max(0, first - 1)
        middle = high  # almost always equal, or the end of an older copy
        while low < high:
            delivery = await self._message_from(middle)
            place = chain.position(delivery[1])[0] if delivery else high + 1
            if delivery and place <= high and await self._is_sealed(place, delivery):
                newest = low = place
            else:
                high = middle - 1
            middle = (low + high + 1) // 2
        return newest

    async def _message_from(self, sequence: int) -> Delivery | None:
        """Return the first message from a sequence on, as a reader would be given it."""
        body = {"seq": sequence, "next_by_subj": ">"}
        try:
            answer = await stream.request(self._client, f"STREAM.MSG.GET.{self._name}", body)
        except ApiError as error:
            if error.code == NO_MESSAGE:
                return None
            raise
        found = msgspec.json.decode(answer, type=_Reply).message
        time_ns = parse_rfc3339(found.time)
        reply = f"$JS.ACK.{self._name}.adopt.1.{found.seq}.{found.seq}.{time_ns}.0".encode()
        return found.subject.encode(), reply, found.hdrs, found.data

    async def _is_sealed(self, place: int, delivery: Delivery) -> bool:
        sequence = await self._entry_at(place)
        row = await ledger.entry_row(self._connected, sequence)
        if row is None:
            return False
        subject = entry.decode(row[0]).subject
        # The API shows a subject that is not UTF-8 with replacement characters.
        if subject.decode(errors="replace") == delivery[0].decode():
            delivery = (subject, *delivery[1:])
        return chain.message_entry(sequence, delivery) == row[0]

    async def _entry_at(self, place: int) -> int:
        """Return the first entry of the stream followed now whose sequence is not below `place`."""
        low, high = self._begin, self._head.size - 1
        while low < high:
            middle = (low + high) // 2
            if (await log_queries.stream_position(self._connected, middle) or 0) < place:
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
    event_id = event.event_id.encode()
    async with asyncio.timeout(seconds) as limit:
        while True:
            row = await ledger.entry_row(connected, planned.head.size)
            if row is not None:
                made = entry.decode(row[0])
                return made.subject == chain.ADOPTED and event_id in made.data
            remaining = (limit.when() or 0) - asyncio.get_running_loop().time()
            if remaining <= LOOK_SECONDS:
                return False
            await asyncio.sleep(LOOK_SECONDS)
