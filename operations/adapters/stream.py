"""The JetStream stream as the log needs it: raw messages in order, from any sequence.

One durable consumer with overlapping pull requests (nats-py's own `fetch` stalls, nats.py#986).
Ordered consumers never refuse a message: what cannot be handled now is waited for, in place.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
import nats.errors
from nats.aio.subscription import Subscription

from operations.adapters.wire import WireClient
from operations.audit import chain
from operations.audit.chain import Delivery
from operations.clock import parse_rfc3339
from operations.errors import Retryable

PULL_MESSAGES = 4000
PULL_BYTES = 8 * 1024 * 1024
EXPIRES_SECONDS = 30
HEARTBEAT_SECONDS = 5
SILENCE_SECONDS = 2.5 * HEARTBEAT_SECONDS
REQUEST_SECONDS = 5
LOOK_SECONDS = 1.0
NO_MESSAGE = 10037
_NANOSECONDS = 1_000_000_000
# A pull request ends when its time is over or the next message does not fit into its bytes.
_EXPECTED_ENDS = (b"NATS/1.0 408", b"NATS/1.0 409 Message Size Exceeds MaxBytes")
_SERVED = b"NATS/1.0 409 Batch Completed"


class ApiError(Retryable):
    """The JetStream API answered with an error; `code` is its err_code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class State(msgspec.Struct, frozen=True):
    """Which sequences a stream holds."""

    first_seq: int
    last_seq: int
    messages: int


class StreamInfo(msgspec.Struct, frozen=True):
    """What the server says about a stream."""

    created: str
    state: State
    ts: str = ""

    @property
    def created_ns(self) -> int:
        """When the stream was created, in ns since 1970: the identity of a stream."""
        return parse_rfc3339(self.created)

    @property
    def at_ns(self) -> int:
        """When the server said so by its own clock, in ns since 1970."""
        return parse_rfc3339(self.ts)


async def request(client: WireClient, subject: str, body: dict[str, Any] | None = None) -> bytes:
    """Ask the JetStream API; raises ApiError or Retryable with what was asked."""
    payload = msgspec.json.encode(body) if body is not None else b""
    try:
        reply = await client.request(f"$JS.API.{subject}", payload, timeout=REQUEST_SECONDS)
    except (nats.errors.Error, TimeoutError, OSError) as error:
        reason = client.problems[-1] if client.problems else str(error) or type(error).__name__
        raise Retryable(f"JetStream did not answer {subject}: {reason}") from error
    answer = msgspec.json.decode(reply.data)
    if "error" in answer:
        refusal = answer["error"]
        raise ApiError(f"{subject}: {refusal.get('description')}", refusal.get("err_code", 0))
    return reply.data


async def info(client: WireClient, stream: str) -> StreamInfo:
    """Return created time and state of a stream."""
    return msgspec.json.decode(await request(client, f"STREAM.INFO.{stream}"), type=StreamInfo)


class _Found(msgspec.Struct):
    seq: int


class _Answer(msgspec.Struct):
    message: _Found


class _Delivered(msgspec.Struct):
    stream_seq: int


class ConsumerInfo(msgspec.Struct):
    """What the server says about a consumer: what it has given out, and what is left to give.

    `num_waiting` are the open requests of all who read through it.
    """

    delivered: _Delivered
    num_pending: int
    num_waiting: int = 0

    def has_more_than(self, sequence: int) -> bool:
        """Whether there is or was a message for a reader that has come to a stream sequence."""
        return self.num_pending > 0 or self.delivered.stream_seq > sequence


async def consumer_info(client: WireClient, stream: str, consumer: str) -> ConsumerInfo:
    """Return where a consumer is; it knows its own filter."""
    answer = await request(client, f"CONSUMER.INFO.{stream}.{consumer}")
    return msgspec.json.decode(answer, type=ConsumerInfo)


async def first_from(client: WireClient, stream: str, sequence: int) -> int | None:
    """Return the first sequence from `sequence` on that the stream holds, None if there is none."""
    body = {"seq": sequence, "next_by_subj": ">"}
    try:
        answer = await request(client, f"STREAM.MSG.GET.{stream}", body)
    except ApiError as error:
        if error.code == NO_MESSAGE:
            return None
        raise
    return msgspec.json.decode(answer, type=_Answer).message.seq


class Reader:
    """Reads a stream in order through one durable consumer.

    Nobody else should use that consumer. If somebody does (a reader that was paused and replaced),
    it holds messages that it was given: that is noticed, and they are read again. `filtered` says
    that the consumer passes over subjects, so that what it left out is not taken as missed.
    `modest` is one that stands by while somebody else reads, instead of reading again: one who
    died is gone at once, one who was paused or cut off after EXPIRES_SECONDS.
    """

    def __init__(
        self,
        client: WireClient,
        stream: str,
        consumer: str,
        *,
        filtered: bool = False,
        modest: bool = False,
    ) -> None:
        self._client = client
        self._stream = stream
        self._consumer = consumer
        self._filtered = filtered
        self._modest = modest
        self._buffer: deque[Delivery] = deque()
        self._buffered_bytes = 0
        self._requests: deque[int] = deque()  # messages still owed, one number per open request
        self._arrived = asyncio.Event()
        self._heard_at = time.monotonic()
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._refusal = ""
        self._reached = 0
        self._looked_at = 0.0
        self._missed = -1  # how far reading had come when a message was there and did not come

    async def rewind(self, sequence: int) -> None:
        """Read again from a stream sequence; what was in flight is dropped."""
        await self.close()
        if self._modest:
            self._require_alone(await consumer_info(self._client, self._stream, self._consumer))
        # Unsubscribing first lets the server drop the old requests before it rewinds.
        await request(
            self._client, f"CONSUMER.RESET.{self._stream}.{self._consumer}", {"seq": sequence}
        )
        self._inbox = self._client.new_inbox()
        self._subscription = await self._client.subscribe_raw(self._inbox, self._receive)
        self._reached, self._missed = sequence - 1, -1
        await self._ask()

    async def close(self) -> None:
        """Stop receiving and forget what was not read."""
        if self._subscription is not None:
            await self._client.unsubscribe_raw(self._subscription)
            self._subscription = None
        self._buffer.clear()
        self._requests.clear()
        self._buffered_bytes = 0

    async def read(self, most: int = PULL_MESSAGES, wait_seconds: float = 1.0) -> list[Delivery]:
        """Return up to `most` messages as soon as there are any; empty after `wait_seconds`.

        Raises Retryable when the connection is lost.
        """
        if not self._buffer:
            self._arrived.clear()
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._arrived.wait()
            except TimeoutError:
                self._check()
                await self._look()
        if self._client.is_closed or not self._client.is_connected:
            raise Retryable("the connection to NATS is lost")
        if self._refusal:
            raise Retryable(
                f"NATS refused to deliver to consumer {self._consumer}: {self._refusal}"
            )
        buffer = self._buffer
        taken = [buffer.popleft() for _ in range(min(most, len(buffer)))]
        self._buffered_bytes -= sum(len(message[3]) for message in taken)
        if taken:
            self._reached = chain.position(taken[-1][1])[0]
        await self._ask()
        return taken

    async def is_gap(self, expected: int, deliveries: Sequence[Delivery]) -> bool:
        """Say whether the stream holds nothing from `expected` to the first newer message.

        Only the stream can tell. A jump also looks like that when another reader of the consumer
        was given what lies between, and it may be given it again after a rewind.
        """
        sequences = (chain.position(message[1])[0] for message in deliveries)
        arrived = next(sequence for sequence in sequences if sequence >= expected)
        return await first_from(self._client, self._stream, expected) == arrived

    async def has_more(self) -> bool:
        """Whether the stream holds something for this reader that it was not given yet."""
        if not self._filtered:
            return await first_from(self._client, self._stream, self._reached + 1) is not None
        found = await consumer_info(self._client, self._stream, self._consumer)
        if self._modest:
            self._require_alone(found)
        return found.has_more_than(self._reached)

    def _require_alone(self, found: ConsumerInfo) -> None:
        if found.num_waiting > len(self._requests):
            raise Retryable(f"another process reads the stream as {self._consumer}; standing by")

    async def ack(self, message: Delivery) -> None:
        """Tell the server that everything up to this message is safe."""
        await self._client.publish(message[1].decode("ascii"), b"+ACK")

    def wake(self) -> None:
        """Let a waiting `read` return now, with nothing if nothing has arrived."""
        self._arrived.set()

    @property
    def waiting(self) -> int:
        """How many messages have arrived and were not read yet."""
        return len(self._buffer)

    def _receive(self, subject: bytes, reply: bytes, headers: bytes, data: bytes) -> None:
        self._heard_at = time.monotonic()
        requests = self._requests
        if reply.startswith(b"$JS.ACK."):
            self._buffer.append((subject, reply, headers, data))
            self._buffered_bytes += len(data)
            if requests:
                requests[0] -= 1
                if not requests[0]:
                    requests.popleft()
            self._arrived.set()
        elif headers.startswith(_EXPECTED_ENDS):
            if requests:
                requests.popleft()
            self._arrived.set()
        elif headers.startswith((b"NATS/1.0 4", b"NATS/1.0 5")) and not headers.startswith(_SERVED):
            self._refusal = headers.partition(b"\r\n")[0].decode("latin-1")
            self._arrived.set()

    async def _ask(self) -> None:
        """Keep two requests open while there is room for what they may bring."""
        while (
            len(self._requests) < 2  # one is served while one waits
            and len(self._buffer) < PULL_MESSAGES
            and self._buffered_bytes < PULL_BYTES
        ):
            self._requests.append(PULL_MESSAGES)
            body = {
                "batch": PULL_MESSAGES,
                "max_bytes": PULL_BYTES,
                "expires": EXPIRES_SECONDS * _NANOSECONDS,
                "idle_heartbeat": HEARTBEAT_SECONDS * _NANOSECONDS,
            }
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
            try:
                await self._client.publish(subject, msgspec.json.encode(body), reply=self._inbox)
            except (nats.errors.Error, OSError) as error:
                raise Retryable(f"the connection to NATS is lost: {error}") from error

    async def _look(self) -> None:
        """Read again if the stream has had more for a second look's time and nothing came."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        if not await self.has_more():
            self._missed = -1
        elif self._missed != self._reached:
            self._missed = self._reached
        elif not self._buffer:
            await self.rewind(self._reached + 1)

    def _check(self) -> None:
        """Notice requests that the server forgot."""
        if time.monotonic() - self._heard_at > SILENCE_SECONDS:
            raise Retryable(f"NATS was silent for {SILENCE_SECONDS} s; starting over")
