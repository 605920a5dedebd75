"""Does a table fit the terminal, and is nothing in it a command to that terminal?"""

import pytest
from commands import assert_harmless
from rich.console import Console

from operations.cli.tables import fitted

pytestmark = pytest.mark.unit
ROWS = [
    {"state": "open", "what": "the order flow is toxic", "scope": "alpha", "id": "0199003a"},
    {"state": "over", "what": "", "scope": "a-long-name", "id": "0199003b"},
]
BELOW = {"what": "{}", "id": "id {}"}


def drawn(rows, width, below=BELOW):
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(fitted(rows, {}, below, width))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_table_that_fits_is_one_line_a_row():
    lines = drawn(ROWS, 60)
    assert " ".join(lines[2].split()) == "open the order flow is toxic alpha 0199003a"
    assert len(lines) == 4


def test_in_a_narrow_terminal_what_is_long_stands_below_its_row_and_is_not_broken_in_words():
    assert drawn(ROWS, 30) == [
        "state  scope",
        "──────────────────",
        "open   alpha",
        "    the order flow is toxic",
        "    id 0199003a",
        "over   a-long-name",
        "    id 0199003b",
    ]


def test_without_columns_that_may_stand_below_cells_are_broken():
    assert max(map(len, drawn(ROWS, 30, {}))) <= 30


@pytest.mark.parametrize("width", [30, 200])
def test_nothing_in_a_cell_is_a_command_to_the_terminal(width):
    lines = drawn([{"state": "x", "what": "bad\x1b[2J\n\r" * 5, "scope": "a"}], width)
    assert_harmless("\n".join(lines))
