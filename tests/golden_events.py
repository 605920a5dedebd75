"""The golden samples: one per kind of event, whose bytes never change."""

from pathlib import Path

from operations.events.base import Event
from operations.events.subjects import find

FOLDER = Path(__file__).resolve().parent / "events" / "golden"


def golden() -> dict[str, bytes]:
    """Every sample by the subject that it is published on."""
    return {file.stem: file.read_bytes() for file in sorted(FOLDER.glob("*.json"))}


def sample(kind: type[Event]) -> bytes:
    """Return the sample of one kind of event."""
    return next(payload for subject, payload in golden().items() if find(subject) is kind)
