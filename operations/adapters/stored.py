"""What the stream holds, read without a consumer: many people may look at once.

A durable consumer has one reader, and the right to make one could deliver any stored message to
any subject. So commands ask for one message after the other, each the next that fits a filter.
"""

import base64
from collections.abc import AsyncIterator

import msgspec

from operations.adapters import stream
from operations.adapters.judge import Received
from operations.adapters.stream import NO_MESSAGE, ApiError
from operations.adapters.wire import WireClient
from operations.clock import parse_rfc3339


class _Message(msgspec.Struct):
    subject: str
    seq: int
    time: str
    data: str = ""
    hdrs: str = ""


class _Answer(msgspec.Struct):
    message: _Message


async def following(
    client: WireClient, name: str, subjects: str, sequence: int
) -> AsyncIterator[Received]:
    """Give the messages of a stream on a subject pattern from a sequence on, up to the newest.

    Raises Retryable when NATS does not answer.
    """
    while True:
        body = {"seq": sequence, "next_by_subj": subjects}
        try:
            answer = await stream.request(client, f"STREAM.MSG.GET.{name}", body)
        except ApiError as error:
            if error.code == NO_MESSAGE:
                return
            raise
        found = msgspec.json.decode(answer, type=_Answer).message
        yield Received(
            subject=found.subject,
            payload=base64.b64decode(found.data),
            headers=base64.b64decode(found.hdrs),
            sequence=found.seq,
            at_ns=parse_rfc3339(found.time),
        )
        sequence = found.seq + 1
