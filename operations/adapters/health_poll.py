"""Asks services over HTTP how they are: no redirect is followed, and every wait has an end."""

import asyncio
import ssl
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from operations.clock import monotonic_ns
from operations.measuring import DEFAULT_PORTS

LONGEST_LINE_BYTES = 8192


class Answer(NamedTuple):
    """How a service answered: `reason` says why that is not well, else it is None."""

    status: int | None
    latency_ms: float
    reason: str | None

    @property
    def healthy(self) -> bool:
        """Whether it answered 200 in time."""
        return self.reason is None


async def ask(url: str, timeout_ms: int) -> Answer:
    """Ask an address that may be fetched; never raises for what the other side does."""
    began_ns = monotonic_ns()
    status, reason = None, None
    try:
        async with asyncio.timeout(max(1, timeout_ms) / 1000):
            status = await _status(urlsplit(url))
    except TimeoutError:
        reason = f"no answer in {timeout_ms} ms"
    except (OSError, ValueError, EOFError) as error:  # the last two: no HTTP, or half of it
        reason = str(error) or type(error).__name__
    if status is not None and 300 <= status < 400:
        reason = f"answers {status}, and redirects are not followed"
    elif status not in (None, 200):
        reason = f"answers {status}"
    return Answer(status, (monotonic_ns() - began_ns) / 1e6, reason)


async def _status(parts: SplitResult) -> int:
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    reader, writer = await asyncio.open_connection(
        parts.hostname, port, ssl=tls, limit=LONGEST_LINE_BYTES
    )
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: mts-measure\r\n"
            "Connection: close\r\n\r\n".encode("ascii")
        )
        await writer.drain()
        line = await reader.readline()
        words = line.split(maxsplit=2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise ValueError(f"not an HTTP answer: {line[:60]!r}")
        return int(words[1])
    finally:
        writer.transport.abort()
