"""Does the stream take messages at this moment? Tried every second, without filling it.

Three things are tried at once, because each one alone would miss something. A message that the
stream has to refuse goes the whole way into it and is judged there: a stream that is gone, sealed
or stuck gives no such refusal. A message into a small stream that keeps only the newest is really
written and synced to the same disk: a full disk shows there. What the server says about the stream
shows a limit that somebody set and that is reached. Asking for that alone would not do: the server
answers it from memory while nothing can be stored.
"""

import asyncio
from typing import Any, NamedTuple

import msgspec
import nats.errors

from operations.adapters import accounts
from operations.adapters.wire import WireClient
from operations.clock import parse_rfc3339
from operations.halt.signals import Stream

PROBE_SECONDS = 0.9
WRONG_STREAM = 10060  # error code of a message that expects to be in another stream
NOWHERE = "no-such-stream"
# Error codes of: insufficient resources, no storage, a limit is reached.
FULL = frozenset((10023, 10047, 10077))


class Probed(NamedTuple):
    """What the stream is good for, and the server's own time, None when it gave none.

    The time is in ns since 1970: JetStream's times come from that clock, whatever ours says.
    `silent` says that an answer did not come in time, which may also be our own fault, or that the
    stream has much to store; `last_sequence` shows whether it does, None when that is not known.
    """

    stream: Stream
    server_ns: int | None
    silent: bool
    last_sequence: int | None


async def probe(client: WireClient, stream: str, who: str) -> Probed:
    """Try the stream; `who` names this prober among others."""
    refused, stored, info = await asyncio.gather(
        _ask(client, accounts.PROBE_REFUSED, {"Nats-Expected-Stream": NOWHERE}),
        _ask(client, f"{accounts.PROBE_STORED}.{who}", None),
        _ask(client, f"$JS.API.STREAM.INFO.{stream}", None),
    )
    server_ns = parse_rfc3339(info["ts"]) if info and "ts" in info else None
    last_sequence = info["state"]["last_seq"] if info and "state" in info else None
    silent = None in (refused, stored, info)
    return Probed(_state(refused, stored, info), server_ns, silent, last_sequence)


def _state(
    refused: dict[str, Any] | None, stored: dict[str, Any] | None, info: dict[str, Any] | None
) -> Stream:
    if refused is None and stored is None and info is None:
        return "unreachable"
    if stored is not None and _code(stored) in FULL:
        return "full"
    if info is not None and "error" not in info and _limit_reached(info):
        return "full"
    taken = refused is not None and _code(refused) == WRONG_STREAM
    written = stored is not None and "seq" in stored
    return "ok" if taken and written and info is not None and "error" not in info else "frozen"


async def _ask(
    client: WireClient, subject: str, headers: dict[str, str] | None
) -> dict[str, Any] | None:
    """Return the answer of the server, None when there is none in time.

    A server that says that nobody listens there has answered.
    """
    try:
        reply = await client.request(subject, b"", timeout=PROBE_SECONDS, headers=headers)
        answer: dict[str, Any] = msgspec.json.decode(reply.data)
    except nats.errors.NoRespondersError:
        return {"error": {}}
    except (nats.errors.Error, OSError, TimeoutError, msgspec.DecodeError):
        return None
    return answer


def _code(answer: dict[str, Any]) -> int:
    return int(answer.get("error", {}).get("err_code", 0))


def _limit_reached(info: dict[str, Any]) -> bool:
    config, state = info["config"], info["state"]
    return any(
        0 < config.get(limit, -1) <= state.get(what, 0)
        for limit, what in (("max_msgs", "messages"), ("max_bytes", "bytes"))
    )
