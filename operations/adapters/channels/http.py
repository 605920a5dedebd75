"""POST to a service on the web, with a time limit, and what its answer means.

The address and the headers may be secrets, so an error names the host and nothing more of them.
"""

import asyncio
import http.client
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from operations.adapters.channels.sender import Undelivered
from operations.errors import Rejected

MOST_BYTES = 64 * 1024
TOO_MANY = 429
LONGEST_WAIT_SECONDS = 3600.0
# What a server may say for now, beside every 5xx: time-out, too early, too many requests.
FOR_NOW = frozenset((408, 425, TOO_MANY))


class Answer(NamedTuple):
    """What a server said."""

    status: int
    retry_after: str
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the body where it is a JSON object, else an empty one."""
        try:
            return msgspec.json.decode(self.body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}


class Address(NamedTuple):
    """Where to post, taken apart once; `place` may be shown."""

    tls: bool
    host: str
    port: int
    path: str

    @property
    def place(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"


class _Request(NamedTuple):
    """What is sent, and where."""

    method: str
    where: Address
    body: bytes
    headers: dict[str, str]


def address(url: str, setting: str) -> Address:
    """Take an address apart. Raises Rejected, which names the setting and not the address."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in ("http", "https") or not host or not plain:
        raise Rejected(f"{setting} is no http or https address in plain ASCII")
    if "@" in parts.netloc:
        raise Rejected(f"{setting} has a user in its address, who would not be sent; leave it out")
    tls = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(tls, host, port or (443 if tls else 80), path)


async def post(
    where: Address, body: bytes, headers: Mapping[str, str], seconds: float, method: str = "POST"
) -> Answer:
    """Send a request and return the answer, whatever its status. Raises Undelivered.

    A server that was not reached took nothing; of any later failure nobody knows.
    """
    connection = _connection(where, seconds)
    request = _Request(method, where, body, dict(headers))
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.to_thread(_exchange, connection, request)
    except TimeoutError as error:
        _cut_off(connection.sock)
        raise Undelivered(
            f"{where.place} did not answer within {seconds:g} s", unknown=True
        ) from error


def _cut_off(connected: socket.socket | None) -> None:
    """End the thread that waits on a connection: a server that trickles would keep it for ever.

    There are few such threads, and all channels share them.
    """
    if connected is not None:
        with suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)


def _exchange(connection: http.client.HTTPConnection, request: _Request) -> Answer:
    where = request.where
    try:
        try:
            connection.connect()
        except (OSError, UnicodeError) as error:  # a name that no DNS can hold is the second
            raise Undelivered(f"{where.place} cannot be reached: {_words(error)}") from None
        try:
            connection.request(request.method, where.path, request.body, request.headers)
            answer = connection.getresponse()
            return Answer(
                answer.status, answer.getheader("Retry-After", ""), answer.read(MOST_BYTES)
            )
        except (OSError, http.client.HTTPException) as error:
            raise Undelivered(
                f"{where.place} broke off: {type(error).__name__}", unknown=True
            ) from None
    finally:
        connection.close()


def _connection(where: Address, seconds: float) -> http.client.HTTPConnection:
    if where.tls:
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(where.host, where.port, timeout=seconds, context=context)
    return http.client.HTTPConnection(where.host, where.port, timeout=seconds)


def _words(error: OSError | UnicodeError) -> str:
    """Return what the system says: these texts hold no address but the host's."""
    return getattr(error, "strerror", None) or type(error).__name__


def judge(where: Address, answer: Answer, wait_seconds: float = 0.0) -> None:
    """Raise what an answer that is no success means.

    Undelivered where it may be tried again, not before the server wants it; Rejected where the
    same request can never be taken.
    """
    if 200 <= answer.status < 300:
        return
    said = f"{where.place} answered {answer.status}"
    if answer.status in FOR_NOW or answer.status >= 500:
        wanted = wait_seconds or _seconds(answer.retry_after)
        raise Undelivered(said, min(wanted, LONGEST_WAIT_SECONDS))
    raise Rejected(said)


def _seconds(retry_after: str) -> float:
    """Return what Retry-After asks for; a date is taken as a minute, what is no number as none."""
    if retry_after.strip().isdigit():
        return float(retry_after)
    return 60.0 if retry_after else 0.0
