"""What every channel is: something that takes a message, or says why not and when to try again.

Nothing that is secret (an address with a token in it, a key, a password) stands in an error: these
texts are stored, logged and shown.
"""

from pathlib import Path
from typing import NamedTuple, Protocol

from operations.adapters import credentials
from operations.errors import Retryable
from operations.notifications.message import REPEATED, Message

ROOM = 50  # for the words that say what is missing


class Undelivered(Retryable):
    """The channel did not take the message for now.

    `seconds` is how long it wants to be left alone; `unknown` says that the message may have
    arrived all the same, as after a time-out.
    """

    def __init__(self, reason: str, seconds: float = 0.0, *, unknown: bool = False) -> None:
        super().__init__(reason)
        self.seconds = seconds
        self.unknown = unknown


class Outgoing(NamedTuple):
    """A message on its way; `repeated` when it may have arrived before."""

    message: Message
    repeated: bool

    @property
    def text(self) -> str:
        """The message as plain text, for channels that cannot recognise a second copy."""
        message = self.message
        return "\n".join((message.headline, *[REPEATED] * self.repeated, *message.lines))


class Sender(Protocol):
    """One channel that is configured."""

    async def send(self, outgoing: Outgoing) -> None:
        """Deliver a message. Raises Undelivered for now, Rejected when it never can be."""


def secret(value: str, file: str) -> str:
    """Return a secret that stands in the settings or in a file that only its owner may read.

    Raises Rejected for a file that is missing or that others may read.
    """
    return value or (credentials.read_secret(Path(file)) if file else "")


def cut(text: str, longest: int) -> str:
    """Return a text of at most so many characters, counted in UTF-16 as services count them.

    What is missing is said.
    """
    encoded = text.encode("utf-16-le")
    if len(encoded) <= 2 * longest:
        return text
    kept = encoded[: 2 * (longest - ROOM)].decode("utf-16-le", "ignore")
    missing = text.count("\n") - kept.count("\n")
    return f"{kept}\n... (shorter by {missing} lines: mts alerts list)"
