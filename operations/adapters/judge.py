"""Who sent a message that moves something? The one place where a received message is judged.

A message counts when it is an event of the subject that it arrived on, and when a key of the
roster signed exactly these bytes for this place, whose holder may sign that. Halt workers, order
systems and commands of people ask here, so that all of them believe the same. The roster is the
newest that was ever seen, from the file or from the stream, and this receiver keeps it on its own
disk: nobody can take it back to an older one.
"""

from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, get_args

from operations.adapters.credentials import private_folder, write_private
from operations.adapters.roster_files import read_public
from operations.audit import chain
from operations.clock import now_ns
from operations.config import Settings
from operations.errors import Denied, Rejected
from operations.events import subjects
from operations.events.base import Event
from operations.events.commands import (
    CancelAllCommanded,
    ConfigureCommanded,
    CosignCommanded,
    HaltCommanded,
    ModeCommanded,
    ResumeCommanded,
)
from operations.events.halts import Level
from operations.events.operations import RosterPublished
from operations.halt.state import Fact
from operations.signing import message, roster
from operations.signing.keys import PublicKey
from operations.signing.message import Message, Signature
from operations.signing.roles import right_at, right_to_set
from operations.signing.roster import Member, Roster

LEVELS: tuple[Level, ...] = get_args(Level)
HELD_AT_MOST = 4096  # signatures that are remembered


class Received(NamedTuple):
    """A message as it arrived: `sequence` is None while it was only heard.

    `at_ns` is the JetStream time of a stored message and the receiver's own clock otherwise.
    """

    subject: str
    payload: bytes
    headers: bytes
    sequence: int | None
    at_ns: int


class Judged(NamedTuple):
    """A message that counts: what it says, who signed it, and how everybody can check it again."""

    fact: Fact
    member: Member
    signature: str  # value of the header
    key_label: str
    message: Received


def heard(subject: bytes, headers: bytes, payload: bytes) -> Received:
    """Return a message of a core subscription. Raises Rejected when its subject is not ASCII."""
    return Received(_text(subject), payload, headers, None, now_ns())


def stored(delivery: chain.Delivery) -> Received:
    """Return a message that the stream delivered. Raises Rejected when its subject is not ASCII."""
    return received(delivery, *chain.position(delivery[1]))


def received(delivery: chain.Delivery, sequence: int, at_ns: int) -> Received:
    """Return a message that the stream delivered, whose place is known, as `stored` does."""
    subject, _, headers, payload = delivery
    return Received(_text(subject), payload, headers, sequence, at_ns)


def _text(subject: bytes) -> str:
    try:
        return subject.decode("ascii")
    except UnicodeDecodeError as error:
        raise Rejected(f"the subject {subject[:100]!r} is not ASCII") from error


def header(block: bytes, name: str) -> str | None:
    """Return the value of a header, None when there is none.

    Raises Rejected when there are two: whoever reads the first and whoever reads the last would
    judge two different messages.
    """
    found = None
    for line in block.decode("latin-1").split("\r\n"):
        key, colon, value = line.partition(":")
        if colon and key.strip().lower() == name.lower():
            if found is not None:
                raise Rejected(f"the message has the header {name} twice")
            found = value.strip()
    return found


def rights(event: Event) -> tuple[str, ...]:
    """Return what a role must cover, one of them, to sign an event.

    For a resume and a cosign that is any level: which one counts follows from the halts that they
    concern, so whoever knows these halts asks again with the level. For a change of a setting it
    is either direction: whoever knows the value before asks again with the one that it is.
    """
    subject = event.subject
    if isinstance(event, HaltCommanded):
        return (right_at(subject, event.data.level),)
    if isinstance(event, CancelAllCommanded):
        return (right_at(subject, level_of(event)),)
    if isinstance(event, ResumeCommanded | CosignCommanded):
        return tuple(right_at(subject, level) for level in LEVELS)
    if isinstance(event, ConfigureCommanded | ModeCommanded):
        return tuple(right_to_set(subject, loosens=loosens) for loosens in (True, False))
    return (subject,)


def level_of(event: Event) -> Level:
    """Return the level of what the envelope names: a strategy, else a fund, else the firm."""
    if event.strategy_id:
        return "STRATEGY_HALT"
    return "FUND_HALT" if event.fund_id else "FIRM_HALT"


class RosterWatch:
    """The newest roster that was ever seen, kept in a file of this receiver.

    `problem` says in words why the newest one that was shown was not taken; empty while all is
    well.
    """

    def __init__(
        self, root: PublicKey, environment: str, memory: Path, file: Path | None = None
    ) -> None:
        """Read the memory, then the roster file. Raises Denied or Rejected without any roster."""
        self.problem = ""
        self._root, self._environment = root, environment
        self._memory, self._file = memory, file
        self._seen: tuple[int, int] | None = None
        self._roster: Roster | None = None
        if memory.exists():
            self._roster = roster.verify(memory.read_bytes(), root, 1, environment)
        self.refresh()
        if self._roster is None:
            raise Rejected(self.problem or "there is no roster: give the path of a roster file")

    @property
    def roster(self) -> Roster:
        """The roster to judge by."""
        assert self._roster is not None
        return self._roster

    def refresh(self) -> bool:
        """Look at the roster file; returns whether a newer roster was taken from it."""
        if self._file is None:
            return False
        try:
            found = self._file.stat()
            if (found.st_mtime_ns, found.st_ino) == self._seen:
                return False
            taken = self.offer(self._file.read_bytes())
        except OSError as error:
            self.problem = f"cannot read the roster {self._file}: {error}"
            return False
        self._seen = found.st_mtime_ns, found.st_ino
        return taken

    def offer(self, document: bytes) -> bool:
        """Take a roster if it is newer and the root key signed it; returns whether it was taken."""
        lowest = self._roster.body.version if self._roster else 1
        try:
            found = roster.verify(document, self._root, lowest, self._environment)
            best = roster.newer(self._roster, found) if self._roster else found
        except (Denied, Rejected) as error:
            self.problem = str(error)
            return False
        self.problem = ""
        if best is self._roster:
            return False
        # On the disk before it counts: what was once believed stays the lowest that is believed.
        private_folder(self._memory.parent)
        write_private(self._memory, document.decode())
        self._roster = best
        return True


class Judge:
    """Judges messages for one origin and environment by the newest roster."""

    def __init__(self, origin: str, environment: str, watch: RosterWatch) -> None:
        self.origin, self.environment = origin, environment
        self.watch = watch
        self._held: dict[bytes, None] = {}  # what held before, the oldest first

    def ask(self, received: Received, right: str = "") -> Judged:
        """Return a message that counts. Raises Rejected for what is no event, Denied otherwise.

        `right` replaces what the kind of event asks for (see `rights`).
        """
        event = subjects.decode(received.subject, received.payload)
        return self.judge(event, received, (right,) if right else rights(event))

    def judge(self, event: Event, received: Received, wanted: tuple[str, ...]) -> Judged:
        """Judge the signature of an event that was decoded already."""
        member, value, signature = self.signer(received, wanted)
        digest = sha256(received.payload).hexdigest()
        fact = Fact(event, received.sequence, received.at_ns, digest)
        label = f"{signature.key_name}+{signature.key_id}"
        return Judged(fact, member, value, label, received)

    def signer(self, received: Received, wanted: tuple[str, ...]) -> tuple[Member, str, Signature]:
        """Return who signed any message, the header value and the signature. Raises Denied."""
        try:
            value = header(received.headers, message.HEADER)
            if value is None:
                raise Denied(f"not signed: the message on {received.subject} has no signature")
            signature = message.parse(value)
        except Rejected as error:
            raise Denied(f"no valid signature on {received.subject}: {error}") from error
        signed = Message(self.origin, self.environment, received.subject, received.payload)
        known = self.watch.roster
        denial: Denied | None = None
        for right in wanted:
            try:
                member = roster.judge(
                    signature, signed, known, received.at_ns, right, self._verifies
                )
            except Denied as error:
                denial = error
            else:
                return member, value, signature
        assert denial is not None
        raise denial

    def _verifies(self, key: PublicKey, signature: bytes, signed: bytes) -> bool:
        """Check a signature, or know that it held: most are heard and then read once more.

        That is half of what a halt costs. What else makes a message count is judged every time.
        """
        name = sha256(key.raw + signature + signed).digest()
        if name in self._held:
            return True
        if not key.verifies(signature, signed):
            return False
        self._held[name] = None
        if len(self._held) > HELD_AT_MOST:
            del self._held[next(iter(self._held))]
        return True

    def take_roster(self, event: Event) -> bool:
        """Take a published roster; the signature of the root key in it is all that counts."""
        if not isinstance(event, RosterPublished):
            return False
        return self.watch.offer(event.data.roster.encode())


def for_service(settings: Settings, memory: Path) -> Judge:
    """Return the judge of a service of ours; it remembers the roster in the given file."""
    root = read_public(settings.root_key_path)
    watch = RosterWatch(root, settings.environment, memory, settings.roster_path)
    return Judge(settings.audit.origin, settings.environment, watch)
