"""A NATS client whose read loop decodes nothing that a publisher chose.

A subject with byte 0xFF, a vertical tab in a subject, or a header block that is not one makes the
read loop of nats-py 2.16 fail or stall, and again after every reconnect: one publisher could
silence every reader. So this client parses message frames itself, by their lengths, and hands the
raw bytes to the reader that subscribed. Everything else stays nats-py's.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.protocol.parser import Parser

from operations.config import Nats, secret
from operations.errors import Retryable

CONNECT_SECONDS = 5
GIVE_UP_SECONDS = 10
CLOSE_SECONDS = 2
PING_SECONDS = 5
PENDING_BYTES = 64 * 1024 * 1024

# Subject, reply subject, header block (empty if none), payload.
Receive = Callable[[bytes, bytes, bytes, bytes], None]


class FrameParser(Parser):
    """Splits the bytes from the server into message frames by length, never by pattern."""

    nc: "WireClient"

    def reset(self) -> None:
        """Forget everything: a new connection starts."""
        super().reset()
        self._rest = bytearray()
        self._wanted = 0

    async def parse(self, data: bytes = b"") -> None:
        """Handle every complete frame in what has arrived so far."""
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._wanted:
                return
            data = bytes(rest)
        consumed, self._wanted = await self._frames(data)
        self._rest = bytearray(data[consumed:])

    async def _frames(self, data: bytes) -> tuple[int, int]:
        """Handle frames; return how many bytes they took and how many the next one needs."""
        receivers = self.nc.receivers
        start = 0
        while True:
            line_end = data.find(b"\r\n", start)
            if line_end < 0:
                return start, 0
            body = line_end + 2
            kind = data[start : start + 4]
            if kind == b"MSG ":
                words = data[start:line_end].split(b" ")
                header_end, end = body, body + int(words[-1])
            elif kind == b"HMSG":
                words = data[start:line_end].split(b" ")
                header_end, end = body + int(words[-2]), body + int(words[-1])
                del words[-1]
            else:
                await super().parse(data[start:body])
                start = body
                continue
            if len(data) < end + 2:
                return start, end + 2 - start
            sid = int(words[2])
            reply = words[3] if len(words) == 5 else b""
            receive = receivers.get(sid)
            if receive is not None:
                receive(words[1], reply, data[body:header_end], data[header_end:end])
            else:
                headers = data[body:header_end]
                await self.nc.deliver(sid, words[1], reply, data[header_end:end], headers)
            start = end + 2


class WireClient(Client):
    """nats-py's client with the frame parser, and receivers that get raw bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.receivers: dict[int, Receive] = {}
        self.problems: list[str] = []
        self._ps = FrameParser(self)

    async def subscribe_raw(self, subject: str, receive: Receive) -> Subscription:
        """Subscribe so that each message calls `receive` from the read loop, undecoded."""
        subscription = await self.subscribe(subject, cb=_never_called)
        self.receivers[subscription._id] = receive  # noqa: SLF001 (the frame carries this number)
        return subscription

    async def unsubscribe_raw(self, subscription: Subscription) -> None:
        """Stop a raw subscription; nothing that arrives later reaches its receiver."""
        self.receivers.pop(subscription._id, None)  # noqa: SLF001 (the frame carries this number)
        await subscription.unsubscribe()

    async def deliver(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        """Hand a message to an ordinary subscription; what cannot be decoded is dropped."""
        try:
            await super()._process_msg(sid, subject, reply, data, headers or None)  # type: ignore[arg-type]
        except (ValueError, KeyError, IndexError, AttributeError) as error:
            self.problems.append(f"dropped a message on {subject!r}: {error}")
            del self.problems[:-100]


async def _never_called(_message: Any) -> None:
    """Stand in for a callback: raw subscriptions are served by the parser."""


async def connect(settings: Nats, name: str, **options: Any) -> WireClient:
    """Connect as the user of the settings; raises Retryable when the server cannot be used.

    The connection is not repaired behind the caller's back: whoever reads a stream has to look
    where it stands after every loss, so a lost connection is a new call of this function.
    """
    client = WireClient()
    url = settings.url or f"nats://127.0.0.1:{settings.port}"

    async def on_error(error: Exception) -> None:
        client.problems.append(str(error) or type(error).__name__)
        del client.problems[:-100]

    choices: dict[str, Any] = {
        "allow_reconnect": False,
        # With 0 attempts nats-py 2.16 would try a server that refuses without end.
        "max_reconnect_attempts": 1,
        "reconnect_time_wait": 0.1,
    }
    try:
        async with asyncio.timeout(GIVE_UP_SECONDS):
            await client.connect(
                servers=[url],
                name=name,
                user=settings.user or None,
                password=secret(settings.password, settings.password_file) or None,
                inbox_prefix=(settings.inbox or f"_INBOX_{settings.user or name}").encode(),
                connect_timeout=CONNECT_SECONDS,
                ping_interval=PING_SECONDS,
                pending_size=PENDING_BYTES,
                error_cb=on_error,
                tls=_tls(settings),
                **(choices | options),
            )
    except (OSError, nats.errors.Error, TimeoutError) as error:
        await close(client)
        reason = str(error) or (client.problems or ["no answer"])[-1]
        raise Retryable(
            f"cannot connect to NATS at {url} as {settings.user!r}: {reason}"
        ) from error
    return client


def _tls(settings: Nats) -> ssl.SSLContext | None:
    return ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else None


@asynccontextmanager
async def connection(settings: Nats, name: str) -> AsyncIterator[WireClient]:
    """Give one connection and close it; what goes wrong with the server becomes Retryable."""
    client = await connect(settings, name)
    try:
        yield client
    except (nats.errors.Error, OSError) as error:
        raise Retryable(f"NATS failed: {error or type(error).__name__}") from error
    finally:
        await close(client)


async def close(client: WireClient) -> None:
    """Close a connection; after a failed TLS handshake nobody would ever say that it is closed."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.close()
