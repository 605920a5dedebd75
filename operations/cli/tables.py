"""Tables for people: a header of words, one row a thing, long cells broken between words."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from operations.cli.output import WIDTH_WITHOUT_TERMINAL, printable, terminal_width


def write_table(rows: Sequence[Mapping[str, Any]], styles: Mapping[str, str] | None = None) -> None:
    """Print rows that all have the keys of the first; a key is a column, its `_` a space.

    `styles` maps a text in a cell to its colour. Nothing in a cell reaches the terminal as a
    command. Prints nothing without rows.
    """
    if rows:
        show(table(rows, styles))


def table(rows: Sequence[Mapping[str, Any]], styles: Mapping[str, str] | None = None) -> Table:
    """Return the same as something that rich can draw; without rows an empty table."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name in rows[0] if rows else ():
        drawn.add_column(name.replace("_", " "), overflow="fold", vertical="top")
    for row in rows:
        drawn.add_row(*(_cell(row[name], styles or {}) for name in rows[0]))
    return drawn


def show(what: RenderableType) -> None:
    """Print something that fits itself to the terminal, without blanks at the ends of lines."""
    console = Console(width=terminal_width() or WIDTH_WITHOUT_TERMINAL, highlight=False)
    with console.capture() as captured:
        console.print(what)
    for line in captured.get().splitlines():
        print(line.rstrip())


def _cell(value: Any, styles: Mapping[str, str]) -> Text:
    lines = words(value).split("\n")
    shown = "\n".join(map(printable, lines))
    return Text(shown, styles.get(shown, ""))


def words(value: Any) -> str:
    """Return a value as people read it; what is absent is a dash."""
    match value:
        case None | "" | () | []:
            return "-"
        case bool():
            return "yes" if value else "-"
        case Decimal():
            return f"{value.normalize():f}"
        case list() | tuple():
            return ", ".join(map(words, value))
    return str(value)
