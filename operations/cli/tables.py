"""Tables for people: a header of words, one row a thing, long cells broken between words.

Where a terminal is too narrow for that, the columns that are `below` stand as a paragraph under
their row.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from operations.cli.output import WIDTH_WITHOUT_TERMINAL, printable, terminal_width

Rows = Sequence[Mapping[str, Any]]
Names = Mapping[str, str]
INDENT, GAP = 4, 2
NOTHING: Names = {}


def write_table(rows: Rows, styles: Names = NOTHING, below: Names = NOTHING) -> None:
    """Print rows that all have the keys of the first; a key is a column, its `_` a space.

    `styles` maps a text in a cell to its colour; `below` a column to the words in which its value
    stands below its row where the table is too wide: `told {}`. Nothing in a cell reaches the
    terminal as a command. Prints nothing without rows.
    """
    if rows:
        show(fitted(rows, styles, below, terminal_width() or WIDTH_WITHOUT_TERMINAL))


def fitted(rows: Rows, styles: Names, below: Names, width: int) -> RenderableType:
    """Return the table, or where it is wider than the terminal and may be, its narrow form."""
    wide = table(rows, styles)
    if not rows or not below or _width(wide) <= width:
        return wide
    return _narrow(rows, styles, below)


def table(rows: Rows, styles: Names = NOTHING) -> Table:
    """Return something that rich can draw; without rows an empty table."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name in rows[0] if rows else ():
        drawn.add_column(name.replace("_", " "), overflow="fold", vertical="top")
    for row in rows:
        drawn.add_row(*(_cell(row[name], styles) for name in rows[0]))
    return drawn


def show(what: RenderableType) -> None:
    """Print something that fits itself to the terminal, without blanks at the ends of lines."""
    console = Console(width=terminal_width() or WIDTH_WITHOUT_TERMINAL, highlight=False)
    with console.capture() as captured:
        console.print(what)
    for line in captured.get().splitlines():
        print(line.rstrip())


def _width(wide: Table) -> int:
    """Return how wide a table is whose cells are not broken."""
    console = Console(width=10_000)
    return Measurement.get(console, console.options, wide).maximum


def _narrow(rows: Rows, styles: Names, below: Names) -> Group:
    names = [name for name in rows[0] if name not in below]
    cells = [[_plain(row[name]) for name in names] for row in rows]
    heads = [name.replace("_", " ") for name in names]
    widths = [max(map(cell_len, column)) for column in zip(heads, *cells, strict=True)]
    drawn: list[RenderableType] = [
        _line(heads, widths, NOTHING),
        Text("─" * (sum(widths) + GAP * (len(widths) - 1))),
    ]
    for row, line in zip(rows, cells, strict=True):
        said = (form.format(_plain(row[name])) for name, form in below.items() if row[name])
        drawn += [_line(line, widths, styles), Padding(Text("  ".join(said)), (0, 0, 0, INDENT))]
    return Group(*drawn)


def _line(cells: Sequence[str], widths: Sequence[int], styles: Names) -> Text:
    line = Text(overflow="fold")
    for text, width in zip(cells, widths, strict=True):
        line.append(set_cell_size(text, width + GAP), styles.get(text, ""))
    return line


def _cell(value: Any, styles: Names) -> Text:
    lines = words(value).split("\n")
    shown = "\n".join(map(printable, lines))
    return Text(shown, styles.get(shown, ""))


def _plain(value: Any) -> str:
    return printable(words(value).replace("\n", " "))


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
