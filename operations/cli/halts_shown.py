"""How the halts look: blocks of words for people, the same as JSON for programs.

At three in the morning somebody reads this who did not start it: each halt says what stops, why,
since when, who obeys and which command ends it, in that order.
"""

from typing import Any

import msgspec
from msgspec import Struct
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from operations.adapters.halt_line import HaltLine
from operations.cli.output import age, printable
from operations.clock import NANOSECONDS, parse_rfc3339
from operations.halt.board import Row, Waiting, how_to_lift, runbook
from operations.halt.signals import BEAT_SECONDS

SILENT_SECONDS = 2.5 * BEAT_SECONDS
BLOCKS = 12  # more halts than this are shown as a table
EVIDENCE = 3
COLOURS = {"ENFORCED": "green", "PROPAGATING": "yellow", "PARTIAL": "red", "UNCONFIRMED": "red"}


class SystemState(Struct, frozen=True, kw_only=True):
    """What an order system reports about itself. `age_seconds` is None when it says nothing."""

    oms_id: str
    mode: str | None
    words: str
    obeys: int | None
    sequence: int | None
    roster_version: int | None
    age_seconds: float | None


class WorkerState(Struct, frozen=True, kw_only=True):
    """What a halt worker says about itself and about the stream."""

    worker: str
    stream: str
    active: int
    sequence: int
    age_seconds: float


class View(Struct, frozen=True, kw_only=True):
    """Everything on the board at one moment, `at_ns` in ns since 1970."""

    halts: tuple[Row, ...]
    waiting: tuple[Waiting, ...]
    order_systems: tuple[SystemState, ...]
    halt_workers: tuple[WorkerState, ...]
    at_ns: int


def systems(line: HaltLine, clock_ns: int) -> tuple[SystemState, ...]:
    """Return how every expected or reporting order system is, at a monotonic time in ns."""
    found = []
    for oms_id in sorted(line.desk.expected | line.reports.keys()):
        if oms_id not in line.reports:
            found.append(
                SystemState(
                    oms_id=oms_id,
                    mode=None,
                    words="says nothing",
                    obeys=None,
                    sequence=None,
                    roster_version=None,
                    age_seconds=None,
                )
            )
            continue
        report, heard_ns = line.reports[oms_id]
        seconds = (clock_ns - heard_ns) / NANOSECONDS
        silent = (f"silent for {age(seconds)}",) if seconds > SILENT_SECONDS else ()
        found.append(
            SystemState(
                oms_id=oms_id,
                mode=report.mode,
                words="; ".join((*silent, *report.why)),
                obeys=report.held_count,
                sequence=report.sequence,
                roster_version=report.roster_version,
                age_seconds=round(seconds, 3),
            )
        )
    return tuple(found)


def workers(line: HaltLine, clock_ns: int) -> tuple[WorkerState, ...]:
    """Return what every halt worker that was heard says, at a monotonic time in ns."""
    return tuple(
        WorkerState(
            worker=name,
            stream=beat.stream,
            active=beat.active,
            sequence=beat.sequence,
            age_seconds=round((clock_ns - heard_ns) / NANOSECONDS, 3),
        )
        for name, (beat, heard_ns) in sorted(line.heartbeats.items())
    )


def row_json(row: Row) -> dict[str, Any]:
    """Return a halt with what the board says about it in words."""
    words = {"covered": row.covered, "lift": how_to_lift(row), "runbook": runbook(row)}
    found: dict[str, Any] = msgspec.to_builtins(row)
    return found | words


def as_json(view: View) -> dict[str, Any]:
    """Return the board for programs."""
    return {
        "halts": [row_json(each) for each in view.halts],
        "waiting": view.waiting,
        "order_systems": view.order_systems,
        "halt_workers": view.halt_workers,
    }


def render(view: View) -> RenderableType:
    """Return the board for people."""
    parts: list[RenderableType] = [_headline(view)]
    if len(view.halts) > BLOCKS:
        parts.append(_table(view))
    else:
        parts += [block(each, view.at_ns) for each in view.halts]
    parts += [_waiting(each, view.at_ns) for each in view.waiting]
    parts.append(Text(""))
    if view.order_systems:
        parts.append(_systems(view))
    parts.append(_workers(view))
    return Group(*parts)


def block(row: Row, at_ns: int) -> RenderableType:
    """Return one halt in words."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(min_width=9)
    grid.add_column(overflow="fold")
    evidence = [f"message {row.sequence} of the stream" if row.sequence else "heard, being stored"]
    if row.statistic is not None:
        evidence.append(f"statistic {row.statistic:g}")
    evidence += [f"event {each}" for each in row.evidence[:EVIDENCE]]
    if len(row.evidence) > EVIDENCE:
        evidence.append(f"and {len(row.evidence) - EVIDENCE} more")
    by = f"{row.reason_code} by {row.requested_by}"
    grid.add_row("why", _plain(f"{by}: {row.reason}" if row.reason else by))
    grid.add_row("since", _plain(f"{row.since[:19]}Z, {_ago(row.since, at_ns)}"))
    grid.add_row("obeyed", Text(printable(row.covered), COLOURS[row.coverage]))
    grid.add_row("evidence", _plain(", ".join(evidence)))
    grid.add_row("halt id", _plain(row.halt_id))
    grid.add_row("lift", Text("\n").join(map(_plain, how_to_lift(row).split("\n"))))
    grid.add_row("runbook", _plain(runbook(row)))
    title = f"{row.what} halted, {row.mode}"
    drill = " (drill)" if row.environment == "drill" else ""
    return Group(Text(f"■ {printable(title)}{drill}", "bold"), Padding(grid, (0, 0, 0, 2)))


def _headline(view: View) -> Text:
    if not view.halts:
        return Text("✓ nothing is halted", "green")
    firm = any(each.level == "FIRM_HALT" for each in view.halts)
    count = "1 halt holds" if len(view.halts) == 1 else f"{len(view.halts)} halts hold"
    return Text(f"✗ {'the firm is halted; ' if firm else ''}{count}", "red")


def _table(view: View) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name in ("what", "mode", "since", "why", "by", "obeyed"):
        table.add_column(name, overflow="fold")
    for row in view.halts:
        table.add_row(
            _plain(row.what),
            row.mode,
            _plain(f"{row.since[11:19]}Z"),
            row.reason_code,
            _plain(row.requested_by),
            Text(printable(row.covered), COLOURS[row.coverage]),
        )
    return table


def _waiting(each: Waiting, at_ns: int) -> Text:
    count = "1 halt" if len(each.halt_ids) == 1 else f"{len(each.halt_ids)} halts"
    words = f"? {each.asked_by} asked {_ago(each.asked_at, at_ns)} to lift {count}: {each.reason}"
    return Text(f"{printable(words)}\n  mts cmd cosign {printable(each.resume_id)}", "yellow")


def _systems(view: View) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name in ("order system", "state", "obeys", "stream", "roster", "heard"):
        table.add_column(name, overflow="fold")
    for each in view.order_systems:
        state = each.words or each.mode or "open"
        if each.mode and each.words:
            state = f"{each.mode}: {each.words}"
        colour = "green" if state == "open" else "red" if each.age_seconds is None else "yellow"
        table.add_row(
            _plain(each.oms_id),
            Text(printable(state), colour),
            _count(each.obeys),
            _count(each.sequence),
            _count(each.roster_version),
            "-" if each.age_seconds is None else f"{each.age_seconds:.1f} s ago",
        )
    return table


def _workers(view: View) -> Text:
    if not view.halt_workers:
        return Text("! no halt worker is heard; order systems obey signed halts directly", "red")
    each = ", ".join(
        f"{one.worker} (stream {one.stream}, {one.age_seconds:.1f} s ago)"
        for one in view.halt_workers
    )
    well = all(one.stream == "ok" for one in view.halt_workers)
    return Text(printable(f"halt workers: {each}"), "" if well else "red")


def _count(number: int | None) -> str:
    return "-" if number is None else str(number)


def _ago(timestamp: str, at_ns: int) -> str:
    return f"{age((at_ns - parse_rfc3339(timestamp)) / NANOSECONDS)} ago"


def _plain(text: str) -> Text:
    return Text(printable(text))
