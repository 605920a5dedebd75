"""Is this process alive, and can it do its work? Answered over HTTP to people and orchestrators.

/livez    200 while the event loop runs
/readyz   200 when every condition holds, else 503; the conditions as JSON either way
/healthz  the same as /readyz
/metrics  what Prometheus scrapes
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct
from prometheus_client import CollectorRegistry, generate_latest

from operations.clock import now_ns, rfc3339
from operations.errors import Retryable

REQUEST_SECONDS = 5.0
LONGEST_REQUEST_BYTES = 16_384
PHRASES = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}
JSON = "application/json"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Condition(Struct, frozen=True):
    """Something that must hold for the process to do its work, and since when it does or not."""

    ok: bool
    detail: str
    since_ns: int


class Conditions:
    """All conditions of one process."""

    def __init__(self) -> None:
        self._conditions: dict[str, Condition] = {}

    def set(self, name: str, *, ok: bool, detail: str) -> bool:
        """Record a condition; returns whether it changed between holding and not holding."""
        before = self._conditions.get(name)
        changed = before is None or before.ok != ok
        since_ns = now_ns() if before is None or changed else before.since_ns
        self._conditions[name] = Condition(ok, detail, since_ns)
        return changed

    def get(self, name: str) -> Condition | None:
        """Return a condition, None when it was never set."""
        return self._conditions.get(name)

    def remove(self, name: str) -> None:
        """Forget a condition."""
        self._conditions.pop(name, None)

    @property
    def ready(self) -> bool:
        """Whether there is a condition and every one holds."""
        values = self._conditions.values()
        return bool(values) and all(condition.ok for condition in values)

    def as_json(self) -> bytes:
        """Write the answer of /readyz."""
        conditions = {
            name: {"ok": one.ok, "detail": one.detail, "since": rfc3339(one.since_ns)}
            for name, one in self._conditions.items()
        }
        return json.dumps({"ready": self.ready, "conditions": conditions}).encode()


@asynccontextmanager
async def serving(
    host: str, port: int, conditions: Conditions, registry: CollectorRegistry
) -> AsyncIterator[None]:
    """Answer while the block runs; Retryable when another process has the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_respond(head, conditions, registry))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, TimeoutError):
            pass  # whoever asked went away or asked for something else
        finally:
            writer.close()

    try:
        server = await asyncio.start_server(answer, host, port, limit=LONGEST_REQUEST_BYTES)
    except OSError as error:
        raise Retryable(
            f"cannot listen on {host}:{port} for health and metrics ({error.strerror}); stop what "
            "listens there, or set MTS_HTTP_PORT"
        ) from error
    async with server:
        yield


def _respond(head: bytes, conditions: Conditions, registry: CollectorRegistry) -> bytes:
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if method not in (b"GET", b"HEAD"):
        return _response(405, JSON, b"{}", method)
    if path == b"/livez":
        return _response(200, JSON, b'{"alive": true}', method)
    if path in (b"/readyz", b"/healthz"):
        return _response(200 if conditions.ready else 503, JSON, conditions.as_json(), method)
    if path == b"/metrics":
        return _response(200, PROMETHEUS, generate_latest(registry), method)
    return _response(404, JSON, b"{}", method)


def _response(status: int, kind: str, body: bytes, method: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} {PHRASES[status]}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == b"HEAD" else body)
