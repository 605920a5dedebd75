"""Every kind of event there is, and the kind that a subject stands for."""

import re
from functools import cache

from operations.errors import Rejected
from operations.events.base import Event, read

ALL: tuple[type[Event], ...] = ()


def decode(subject: str, payload: bytes) -> Event:
    """Read a payload as the kind of event that its subject stands for.

    Raises Rejected for an unknown subject, and for everything that breaks the contract.
    """
    event = read(find(subject), payload)
    if event.subject != subject:
        raise Rejected(f"an event for {event.subject[:300]} arrived on {subject[:300]}")
    return event


def find(subject: str) -> type[Event]:
    """Return the kind of event that a subject stands for. Raises Rejected when there is none."""
    exact, patterns = _lookup()
    if kind := exact.get(subject):
        return kind
    for pattern, kind in patterns:
        if pattern.fullmatch(subject):
            return kind
    raise Rejected(f"no event is known for the subject {subject[:300]}; see docs/events.md")


@cache
def _lookup() -> tuple[dict[str, type[Event]], tuple[tuple[re.Pattern[str], type[Event]], ...]]:
    """Subjects without parameters by name; the few with parameters by pattern, in order."""
    exact = {kind.pattern: kind for kind in ALL if "{" not in kind.pattern}
    patterns = [
        (re.compile(re.sub(r"\\\{[^}]*\\\}", "[0-9A-Za-z_-]{1,64}", re.escape(kind.pattern))), kind)
        for kind in ALL
        if "{" in kind.pattern
    ]
    return exact, tuple(patterns)


def wildcard(kind: type[Event]) -> str:
    """Return the NATS subject filter that matches every event of a kind."""
    return re.sub(r"\{[^}]*\}", "*", kind.pattern)
