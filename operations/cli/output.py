"""How commands speak: tables for people, JSON for programs, progress, exit codes.

Payloads come from anybody, so nothing of them reaches a terminal as it is: what is not printable
(escape sequences, characters that turn the direction of text) is written as an escape.
"""

import asyncio
import io
import json
import os
import select
import sys
import textwrap
import traceback
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal, Self

import msgspec
from cyclopts import Parameter, validators
from rich.cells import set_cell_size
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text as Styled

from operations.audit.identity import MAX_DEPTH, depth
from operations.clock import NANOSECONDS, monotonic_ns
from operations.errors import Corrupted, OperationsError, Rejected, Retryable

Output = Annotated[
    Literal["table", "json", "jsonl"],
    Parameter(help="A table for people; JSON, indented or one value a line, for programs."),
]
Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
Text = Annotated[str, Parameter(show_default=False)]
Count = Annotated[int, Parameter(validator=validators.Number(gte=0))]
PROVEN, TAMPERED, CANNOT, STALE, INTERRUPTED = 0, 1, 2, 3, 130
WIDTH_WITHOUT_TERMINAL = 200
QUIET_SECONDS = 0.7  # work that is done sooner shows no bar
HEX_BYTES = 16
WRAPPING: Any = {"break_long_words": False, "break_on_hyphens": False}
NAME_WIDTH = 16  # leaves room for 64 hexadecimal digits on a terminal of 80 columns


def reader_is_gone() -> bool:
    """Whether whoever read the output has had enough, as `head` has; then nothing more is said."""
    output = sys.stdout.fileno()
    pipe = select.poll()
    pipe.register(output, 0)
    if not any(events & select.POLLERR for _, events in pipe.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return True


def _cannot(error: OperationsError) -> int:
    """Say what could not be done, and return the exit code."""
    if isinstance(error.__cause__, BrokenPipeError) and reader_is_gone():
        return PROVEN
    hint = "; what is down says mts status" if isinstance(error, Retryable) else ""
    complain("?", f"{error}{hint}", "yellow")
    return CANNOT


def run(work: Coroutine[Any, Any, int]) -> int:
    """Do the work of a command and return its exit code.

    Only what is proven to be changed (Corrupted) is 1; whatever else goes wrong, be it a mistake
    of ours, is 2: it could not be told.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = asyncio.run(work)
        sys.stdout.flush()
    except BrokenPipeError:
        reader_is_gone()
        return PROVEN
    except KeyboardInterrupt:
        return INTERRUPTED
    except Corrupted as error:
        complain("✗", str(error), "red")
        return TAMPERED
    except OperationsError as error:
        return _cannot(error)
    except Exception:  # noqa: BLE001 (a mistake of ours must not look like tampering)
        traceback.print_exc()
        return CANNOT
    return code


def line_by_line() -> None:
    """Let whoever reads this output have each line as soon as it is printed."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


def complain(sign: str, message: str, style: str) -> None:
    """Say on stderr what went wrong."""
    sys.stdout.flush()
    headline(sign, message, style, error=True)


def headline(sign: str, message: str, style: str, *, error: bool = False) -> None:
    """Print the line that says it all; the colour repeats what the sign says."""
    text = Styled(f"{sign} {printable(message)}", style)
    console = Console(stderr=error, highlight=False)
    console.print(text, soft_wrap=not console.is_terminal)


def facts(pairs: Iterable[tuple[str, object]], *, exact: bool = False, error: bool = False) -> None:
    """Print names and values, one a line; a value of several lines stays in its column.

    On a terminal long lines are broken between words, unless they are to be shown `exact`.
    """
    file = sys.stderr if error else sys.stdout
    width = terminal_width(error=error)
    for name, value in pairs:
        lines = str(value).split("\n")
        if width and not exact:
            wrapped = (textwrap.wrap(line, width - NAME_WIDTH, **WRAPPING) for line in lines)
            lines = [part for line in wrapped for part in line or [""]]
        for place, line in enumerate(lines):
            shown = "" if place else name
            print(f"{shown:<{NAME_WIDTH}}{printable(line)}".rstrip(), file=file)


def read_text(file: Path) -> str:
    """Return a text file that the user named; raises Rejected."""
    try:
        return file.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise Rejected(f"cannot read {file}: {error}") from error


def terminal_width(*, error: bool = False) -> int:
    """Return how many columns stdout or stderr has; 0 if it is no terminal."""
    console = Console(stderr=error)
    return console.width if console.is_terminal else 0


def printable(text: str) -> str:
    """Return a text with everything that a terminal would act on written as an escape."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def readable(data: bytes) -> str:
    """Return bytes as one line of text; what is not UTF-8 becomes an escape."""
    return printable(data.decode(errors="backslashreplace"))


def parse(data: bytes) -> str | None:
    """Return a payload as text if it is JSON that every reader takes, else None."""
    try:
        text = data.decode()
        if data.count(b"{") + data.count(b"[") > MAX_DEPTH and depth(text) > MAX_DEPTH:
            return None
        json.loads(text, parse_int=str, parse_float=str, parse_constant=int)
        msgspec.json.format(text)  # refuses unpaired surrogates
    except (ValueError, msgspec.DecodeError):
        return None
    return text


def pretty(data: bytes) -> str:
    """Return a payload for people: JSON indented, other text escaped, binary as a hex dump."""
    text = parse(data)
    if text is not None:
        return escape_json(msgspec.json.format(text, indent=2))
    try:
        return printable(data.decode())
    except UnicodeDecodeError:
        return "\n".join(_hex_lines(data))


def _hex_lines(data: bytes) -> Iterable[str]:
    for at in range(0, len(data), HEX_BYTES):
        part = data[at : at + HEX_BYTES]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        yield f"{at:08x}  {part.hex(' '):<{3 * HEX_BYTES}} {shown}"


def escape_json(text: str) -> str:
    """Return the same JSON with every character that a terminal would act on as an escape."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text
    )


def raw_json(text: str) -> msgspec.Raw:
    """Return JSON that is put into other JSON digit by digit, on one line."""
    return msgspec.Raw(text.replace("\n", " ").replace("\r", " ").replace("\t", " ").encode())


def write_json(value: Any, output: Output) -> None:
    """Print one value: indented for json, on one line for jsonl."""
    text = msgspec.json.encode(value).decode()
    print(escape_json(msgspec.json.format(text, indent=2) if output == "json" else text))


class Rows:
    """Rows that are printed as they come, in columns of fixed width; the last one is cut."""

    def __init__(self, columns: Sequence[tuple[str, int]]) -> None:
        self._widths = [width for _, width in columns]
        self._width = terminal_width() or WIDTH_WITHOUT_TERMINAL
        self.write(name for name, _ in columns)

    def write(self, values: Iterable[str]) -> None:
        """Print a row; a value that is too wide for its column moves the others to the right."""
        cells = [
            value if len(value) >= width else set_cell_size(value, width)
            for value, width in zip(map(printable, values), self._widths, strict=True)
        ]
        print(set_cell_size("  ".join(cells), self._width).rstrip())


class Bar:
    """A progress bar on the terminal, for work that takes longer than a moment."""

    def __init__(self, what: str, of: str = "entries") -> None:
        console = Console(stderr=True)
        self._what = what
        self._began_ns = monotonic_ns()
        self._task: TaskID | None = None
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(of),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        self._progress.stop()

    def __call__(self, done: int, total: int) -> None:
        """Show how far the work is."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total)
        elif monotonic_ns() - self._began_ns > QUIET_SECONDS * NANOSECONDS:
            self._task = self._progress.add_task(self._what, total=total, completed=done)
            self._progress.start()


def age(seconds: float) -> str:
    """Return how long ago something was, in the unit that people would use."""
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
