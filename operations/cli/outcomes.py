"""What came of a command, told to people and to scripts: words, JSON, one exit code each."""

from typing import Any

import msgspec
from msgspec import Struct

from operations.cli import halts_shown
from operations.cli.output import Output, headline, write_json
from operations.cli.tables import show, write_table
from operations.halt.outcome import Outcome, Progress, Result

# 2 stays what it is everywhere: nothing was done, or it cannot be told.
CODES: dict[Result, int] = {
    "done": 0,
    "partial": 3,
    "late": 4,
    "refused": 5,
    "lost": 6,
    "waits": 7,
}
# Of several results the last in this row is the one that a script is told.
WEIGHT: tuple[Result, ...] = ("done", "waits", "partial", "late", "lost", "refused")
SIGNS = {
    "done": ("✓", "green"),
    "waits": ("?", "yellow"),
    "partial": ("!", "red"),
    "late": ("?", "red"),
    "refused": ("✗", "red"),
    "lost": ("✗", "red"),
}


class Told(Struct, frozen=True, kw_only=True):
    """A command that was sent and what came of it; `sequence` is its place in the stream."""

    command: str
    command_id: str
    event_id: str
    sequence: int | None
    outcome: Outcome
    order_systems: tuple[Progress, ...] = ()


def finish(told: list[Told], at_ns: int, output: Output) -> int:
    """Print every outcome and return the exit code of the worst."""
    worst = max((each.outcome.result for each in told), key=WEIGHT.index)
    code = CODES[worst]
    if output == "table":
        for each in told:
            _print(each, at_ns)
    else:
        write_json({"exit_code": code, "commands": [_as_json(each) for each in told]}, output)
    return code


def _print(told: Told, at_ns: int) -> None:
    outcome = told.outcome
    sign, colour = SIGNS[outcome.result]
    headline(sign, outcome.words, colour)
    if outcome.next:
        print(f"  {outcome.next}")
    for row in outcome.halts:
        show(halts_shown.block(row, at_ns))
    if told.order_systems:
        write_table(_rows(told.order_systems))
    if told.sequence is None:
        print(f"  command {told.command_id} is not known to be stored")
    else:
        print(f"  command {told.command_id} is message {told.sequence} of the stream")


def _rows(systems: tuple[Progress, ...]) -> list[dict[str, Any]]:
    """Return what order systems said, without the columns about which none said anything."""
    rows: list[dict[str, Any]] = [msgspec.to_builtins(each) for each in systems]
    known = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    return [
        {name: f"{row[name]:.1f}" if isinstance(row[name], float) else row[name] for name in known}
        for row in rows
    ]


def _as_json(told: Told) -> dict[str, Any]:
    return {
        "command": told.command,
        "command_id": told.command_id,
        "event_id": told.event_id,
        "sequence": told.sequence,
        "result": told.outcome.result,
        "words": told.outcome.words,
        "next": told.outcome.next,
        "halts": [halts_shown.row_json(row) for row in told.outcome.halts],
        "order_systems": told.order_systems,
    }
