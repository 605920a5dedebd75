"""What may be asked, when it is asked again, and what of it is said: the rules of measuring.

What is measured outside the stream becomes an event before anybody judges it. Said is every failed
poll, every change, the first good ones after failures, and one a minute, so that silence means
something. What the stream orders here (services, a vacuum) is folded from it.
"""

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

from operations.clock import NANOSECONDS
from operations.errors import Rejected
from operations.events.base import Event
from operations.events.findings import FindingCleared, FindingRaised, FindingUpdated
from operations.events.operations import DatabaseMaintained
from operations.events.registry import Service, ServiceDeregistered, ServiceRegistered

DATABASE_CHECK = "db_watchdog"
VACUUM_TABLE = "vacuum_table"  # the parameter by which a finding asks for a vacuum
# What may be vacuumed, and nothing else: tables that can be filled again from the log. The right to
# vacuum is also the right to lock, and whoever locks the head of the log stops it.
VACUUMED = ("audit.event", "audit.projection")
REAL = ("live", "paper")

SOON_FAILURES = 3  # failed polls after which the pauses grow
LONGEST_PAUSE_SECONDS = 60.0
JITTER = 0.1  # part of a pause by which it varies, so that not all are asked at once
SETTLING_POLLS = 3  # good polls after failures that are said one by one
SAY_AGAIN_NS = 60 * NANOSECONDS
NOTABLE_STATEMENT_MS = 1000.0

DEFAULT_PORTS = {"http": 80, "https": 443}


class Allowed:
    """The addresses that may be fetched; anybody can register a service, and nobody may aim us."""

    def __init__(self, patterns: str) -> None:
        """Read HOST:PORT with commas between; a port may be *. Raises Rejected."""
        self._places = {_pattern(each.strip()) for each in patterns.split(",") if each.strip()}

    def refusal(self, url: str) -> str:
        """Say why an address may not be fetched; empty when it may."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError as error:
            return f"{url[:200]!r} is not an address: {error}"
        if parts.scheme not in DEFAULT_PORTS or not host or "@" in parts.netloc:
            return f"{url[:200]!r} is not http://HOST:PORT/PATH"
        if not url.isascii() or not url.isprintable() or " " in url:
            return f"{url[:200]!r} has characters that no address has"
        places = (host, str(port or DEFAULT_PORTS[parts.scheme])), (host, "*")
        if self._places.isdisjoint(places):
            return f"{host}:{places[0][1]} is not among MTS_MEASURE_ALLOWED"
        return ""


def _pattern(text: str) -> tuple[str, str]:
    host, colon, port = text.rpartition(":")
    host = host.strip("[]").lower()
    if not colon or not host or not (port == "*" or port.isdecimal()):
        raise Rejected(f"{text!r} in MTS_MEASURE_ALLOWED is not HOST:PORT or HOST:*")
    return host, port


def pause_seconds(service: Service, failures: int, chance: float) -> float:
    """Return how long to wait before the next poll; `chance` is between 0 and 1.

    What stays down is asked at twice the pause each time, at most every minute or as seldom as it
    is asked anyway.
    """
    pause = max(1.0, service.poll_seconds)
    longest = max(pause, LONGEST_PAUSE_SECONDS)
    doubled = min(longest, pause * 2.0 ** min(max(0, failures - SOON_FAILURES), 10))
    return doubled * (1 + JITTER * (2 * chance - 1))


class Course(NamedTuple):
    """What one service answered so far: polls in a row, and when something was last said."""

    goods: int = 0
    reds: int = 0
    said_ns: int = 0

    def after(self, *, healthy: bool, now_ns: int) -> tuple["Course", bool]:
        """Return the course after a poll, and whether that poll is said."""
        goods = self.goods + 1 if healthy else 0
        reds = 0 if healthy else self.reds + 1
        said = bool(reds) or goods <= SETTLING_POLLS or now_ns - self.said_ns >= SAY_AGAIN_NS
        return Course(goods, reds, now_ns if said else self.said_ns), said


class Wanted(NamedTuple):
    """A vacuum that a finding asks for."""

    episode: str
    table: str
    cause_id: str


class Orders:
    """What the stream orders: services to poll, and tables to vacuum, once in an episode."""

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self.wanted: dict[str, Wanted] = {}
        self._done: set[str] = set()

    def take(self, event: Event) -> None:
        """Fold an event that counts; canaries and drills order nothing."""
        if event.environment not in REAL:
            return
        match event:
            case ServiceRegistered():
                self.services[event.data.name] = event.data
            case ServiceDeregistered():
                self.services.pop(event.data.name, None)
            case FindingRaised() | FindingUpdated():
                self._ask(event)
            case FindingCleared():
                self.wanted.pop(event.data.episode, None)
                self._done.discard(event.data.episode)
            case DatabaseMaintained():
                self.wanted.pop(event.data.episode, None)
                self._done.add(event.data.episode)
            case _:
                pass

    def _ask(self, event: FindingRaised | FindingUpdated) -> None:
        finding = event.data
        table = _named(finding.parameters) if finding.check == DATABASE_CHECK else ""
        if table in VACUUMED and finding.mode == "act" and finding.episode not in self._done:
            self.wanted.setdefault(finding.episode, Wanted(finding.episode, table, event.event_id))


def _named(parameters: Iterable[object]) -> str:
    return next(
        (
            str(getattr(each, "value", ""))
            for each in parameters
            if getattr(each, "name", "") == VACUUM_TABLE
        ),
        "",
    )
