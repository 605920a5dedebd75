"""What a paper order system sent and when, one line each: the memory of its venue.

The venue of a paper order system lives in its process, and yet orders and positions must outlive
it as those of a real venue do. Answers of the venue follow from the requests and their times
alone, so the requests are enough: played again, they give the venue, the orders and the positions.
A line is written before its request is sent; a line that was cut off by a crash was never sent.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from operations.errors import Corrupted
from operations.events.orders import CancelReason
from operations.simulation.reduction import Cap
from operations.simulation.venue import Quote, Ticket

FILE = "tape.jsonl"


class Line(Struct, frozen=True, kw_only=True, tag_field="do", omit_defaults=True):
    """One thing that was done, at a time in ns since 1970 that never goes back."""

    at_ns: Annotated[int, Meta(ge=0)]


class Started(Line, frozen=True, kw_only=True, tag="start"):
    """A process began to write; from here on messages to and from the venue take so long."""

    request_ns: int
    answer_ns: int


class Wanted(Line, frozen=True, kw_only=True, tag="want"):
    """An order passed the gate at accept; it is not sent yet."""

    ticket: Ticket
    strategy_id: str
    fund_id: str
    at_venue: bool = True
    exit_of: str = ""
    action_id: str = ""  # that it works a position down for


class Sent(Line, frozen=True, kw_only=True, tag="send"):
    """An order passed the gate at the last hop and went to the venue."""

    order_id: str


class Dropped(Line, frozen=True, kw_only=True, tag="drop"):
    """An order ended before it went to the venue."""

    order_id: str
    reason: CancelReason
    halt_id: str = ""


class CancelWanted(Line, frozen=True, kw_only=True, tag="end"):
    """An order is to be canceled; this holds until it has ended."""

    order_id: str
    reason: CancelReason
    halt_id: str = ""


class CancelSent(Line, frozen=True, kw_only=True, tag="cancel"):
    """A cancel went to the venue."""

    order_id: str


class AmendSent(Line, frozen=True, kw_only=True, tag="amend"):
    """An amend went to the venue."""

    order_id: str
    quantity: int
    limit_cents: int | None = None


class Quoted(Line, frozen=True, kw_only=True, tag="quote"):
    """Everybody else bid and offered this."""

    quotes: tuple[Quote, ...]


class Session(Line, frozen=True, kw_only=True, tag="session"):
    """The market opened or closed."""

    is_open: bool


class Capped(Line, frozen=True, kw_only=True, tag="cap"):
    """An action is in force: the accounts that it concerns hold at most their caps of a symbol.

    A symbol without a cap is not to be opened. `factor` scales what strategies want.
    """

    action_id: str
    episode: str
    account_ids: tuple[str, ...]
    caps: tuple[Cap, ...]
    symbol: str = ""  # the only one that it concerns, empty for all
    factor: str = "1"


class Uncapped(Line, frozen=True, kw_only=True, tag="uncap"):
    """An action is over."""

    action_id: str


class Published(Line, frozen=True, kw_only=True, tag="published"):
    """So many events of this tape are in the stream."""

    events: int


AnyLine = (
    Started | Wanted | Sent | Dropped | CancelWanted | CancelSent | AmendSent | Quoted | Session
    | Capped | Uncapped | Published
)  # fmt: skip
_decoder = msgspec.json.Decoder(AnyLine)


class Tape:
    """The lines of one paper order system, in one file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE
        self.last_ns = 0
        self._cut()
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def read(self) -> Iterator[AnyLine]:
        """Yield every line from the first. Raises Corrupted for one that cannot be read."""
        for line in read_tape(self.path):
            self.last_ns = line.at_ns
            yield line

    def write(self, line: AnyLine) -> None:
        """Add a line; it survives the end of this process in any way."""
        self.last_ns = max(self.last_ns, line.at_ns)
        os.write(self._file, msgspec.json.encode(line) + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _cut(self) -> None:
        """Drop what a crash left of a line."""
        if not self.path.exists():
            return
        with self.path.open("r+b") as file:
            text = file.read()
            file.truncate(text.rfind(b"\n") + 1)


def read_tape(path: Path) -> Iterator[Any]:
    """Yield every whole line of a tape. Raises Corrupted for one that cannot be read."""
    with path.open("rb") as file:
        for number, text in enumerate(file, 1):
            if not text.endswith(b"\n"):
                return
            try:
                yield _decoder.decode(text)
            except msgspec.DecodeError as error:
                raise Corrupted(f"line {number} of {path} cannot be read: {error}") from error
