"""TCP ports for servers that are started beside others.

They lie below those that the system gives to connections, so nothing that connects anywhere takes
one before it is listened on. A process is never given the same port twice before it was given all.
"""

import itertools
import os
import socket
from collections.abc import Iterator

FIRST, LAST = 20_000, 32_000


def _around() -> Iterator[int]:
    ports = range(FIRST, LAST)
    start = int.from_bytes(os.urandom(4)) % len(ports)  # another one than the process beside it
    return itertools.islice(itertools.cycle(ports), start, None)


_candidates = _around()


def free_port() -> int:
    """Return a port on 127.0.0.1 that nobody listens on at the moment."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """Return the first of several neighbouring ports that nobody listens on at the moment."""
    found: list[int] = []
    for port in _candidates:
        if found and port != found[-1] + 1:
            found = []
        found = [*found, port] if _is_free(port) else []
        if len(found) == count:
            break
    return found[0]


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
