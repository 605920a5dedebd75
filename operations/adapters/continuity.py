"""Is this still the stream that the log was made from?

Asked at every start and after every lost connection. A stream that was recreated, restored from a
copy or rewritten must never be appended to the log as if nothing had happened: its sequences mean
other messages. The answer needs three facts: the stream was created when the log says, it reaches
as far as the log does, and the message at that place still hashes to the sealed entry.
"""

from operations.adapters import stream
from operations.adapters.stream import Reader
from operations.adapters.wire import WireClient
from operations.audit import chain, entry
from operations.audit.chain import Tail
from operations.clock import rfc3339
from operations.errors import Corrupted, Retryable

FIRST_MESSAGE_SECONDS = 10


class StreamChanged(Corrupted):
    """The stream is not the one the log was made from; a person has to decide."""


async def resume(client: WireClient, reader: Reader, name: str, tail: Tail) -> None:
    """Rewind the reader to the head of the log, or raise StreamChanged saying what differs."""
    head = tail.head
    found = await stream.info(client, name)
    if found.created_ns != head.stream_created_ns:
        raise StreamChanged(
            f"stream {name} was created {found.created}, the log was made from one created "
            f"{rfc3339(head.stream_created_ns)}; {ADVICE}"
        )
    if found.state.last_seq < head.stream_sequence:
        raise StreamChanged(
            f"stream {name} ends at sequence {found.state.last_seq}, the log holds messages up to "
            f"{head.stream_sequence}: the stream was restored from an older copy; {ADVICE}"
        )
    comparable = tail.previous_hash is not None and found.state.first_seq <= head.stream_sequence
    if not comparable:
        await reader.rewind(head.stream_sequence + 1)
        return
    await reader.rewind(head.stream_sequence)
    deliveries = await reader.read(most=1, wait_seconds=FIRST_MESSAGE_SECONDS)
    if not deliveries:
        raise Retryable(f"stream {name} did not deliver sequence {head.stream_sequence}")
    arrived = chain.position(deliveries[0][1])[0]
    if arrived != await stream.first_from(client, name, head.stream_sequence):
        raise Retryable(
            f"stream {name} delivered sequence {arrived} instead of {head.stream_sequence}: "
            "another reader of this consumer was given the messages before"
        )
    if not _is_sealed(deliveries[0], tail):
        raise StreamChanged(
            f"the message at sequence {head.stream_sequence} of stream {name} is not the one that "
            f"entry {head.size - 1} of the log was made from; {ADVICE}"
        )


ADVICE = "nothing is written until a person runs `mts audit adopt-stream --reason ...`"


def _is_sealed(delivery: chain.Delivery, tail: Tail) -> bool:
    if tail.previous_hash is None or chain.position(delivery[1])[0] != tail.head.stream_sequence:
        return False
    made = chain.message_entry(tail.head.size - 1, delivery)
    return entry.link(tail.previous_hash, made) == tail.head.hash
