"""A person's order to go on with another stream: found in that stream, judged, bound to one log.

The order names the stream (by its time of creation), the exact head of the log it continues and
the first sequence that is new. So it is valid once, for one log, and for nothing else; it stays in
the log, signature and all, as the entry that explains why stream sequences start over.
"""

import base64
from typing import Any

import msgspec

from operations.adapters import roster_files, stream
from operations.adapters.continuity import StreamChanged
from operations.adapters.judge import header
from operations.adapters.stream import ApiError
from operations.adapters.wire import WireClient
from operations.audit import chain
from operations.audit.chain import Adoption, Head, Sealed
from operations.clock import parse_rfc3339
from operations.config import Settings
from operations.errors import Denied, Rejected
from operations.events import subjects
from operations.events.commands import AdoptStreamCommanded
from operations.signing import message, roster

SUBJECT = AdoptStreamCommanded.pattern
NO_MESSAGE = 10037


async def find(client: WireClient, settings: Settings, head: Head) -> Sealed | None:
    """Return the entry that continues this log on the stream as it is, if a person ordered it.

    Raises StreamChanged when there is such an order and its signature does not count.
    """
    name = settings.nats.stream
    try:
        answer = await stream.request(client, f"STREAM.MSG.GET.{name}", {"last_by_subj": SUBJECT})
    except ApiError as error:
        if error.code == NO_MESSAGE:
            return None
        raise
    found = msgspec.json.decode(answer)["message"]
    headers, data = _bytes(found.get("hdrs")), _bytes(found.get("data"))
    try:
        event = subjects.decode(SUBJECT, data)
    except Rejected:
        return None
    assert isinstance(event, AdoptStreamCommanded)
    order = event.data
    created_ns = (await stream.info(client, name)).created_ns
    bound_to = (parse_rfc3339(order.stream_created_at), order.log_size, order.head_hash)
    if bound_to != (created_ns, head.size, head.hash.hex()):
        return None
    at_ns = parse_rfc3339(found["time"])
    try:
        actor = _judge(settings, headers, data, at_ns)
    except (Denied, Rejected) as error:
        raise StreamChanged(f"the order to adopt stream {name} does not count: {error}") from error
    command = Adoption(SUBJECT.encode(), actor.encode(), at_ns, headers, data)
    return chain.adopted(head, command, order.from_sequence, created_ns)


def _judge(settings: Settings, headers: bytes, data: bytes, at_ns: int) -> str:
    """Return who signed; raises Denied."""
    root = roster_files.read_public(settings.root_key_path)
    known = roster_files.read_roster(settings.roster_path, root, 0, settings.environment)
    value = header(headers, message.HEADER)
    if value is None:
        raise Denied(f"a command on {SUBJECT} is not signed")
    try:
        signature = message.parse(value)
    except Rejected as error:
        raise Denied(f"a command on {SUBJECT} has no valid signature header: {error}") from error
    signed = message.Message(settings.audit.origin, settings.environment, SUBJECT, data)
    return roster.judge(signature, signed, known, at_ns).name


def _bytes(text: Any) -> bytes:
    return base64.b64decode(text) if text else b""
