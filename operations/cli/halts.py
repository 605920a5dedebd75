"""What is halted, by whom, since when and who obeys: `mts halts`; what stops one thing: `mts why`.

Folded from the stream by this command itself and judged by the roster, so it is true also while
every halt worker is dead.
"""

import json
from contextlib import suppress
from typing import Any, NamedTuple

from rich.live import Live

from operations.adapters import halt_line, halt_view
from operations.adapters import wire as wires
from operations.adapters.halt_line import HALTS, SIGNALS, HaltLine
from operations.adapters.log_queries import Found
from operations.cli import access, bus, fleet, halts_shown
from operations.cli.halts_shown import View
from operations.cli.output import (
    CANNOT,
    PROVEN,
    Flag,
    Output,
    complain,
    headline,
    line_by_line,
    run,
    write_json,
)
from operations.cli.tables import show
from operations.clock import monotonic_ns
from operations.errors import OperationsError, Rejected
from operations.events.orders import GateRejected
from operations.halt import board
from operations.halt.registry import Registry
from operations.halt.state import Scope
from operations.halt.verdicts import OWN_PREFIX

STOPPED = 1
GATE_REJECTED = GateRejected.pattern.encode()
SIGNAL_SECONDS = 1.6  # reports and heartbeats come every second
REFRESH_SECONDS = 0.5


class Place(NamedTuple):
    """What a name means: strategy and fund, empty where there is none, and past rejections."""

    strategy_id: str
    fund_id: str
    rejections: tuple[dict[str, str], ...]


def halts(*, watch: Flag = False, output: Output = "table") -> int:
    """Show what is halted: who, why, since when, on what evidence, and who obeys in how many ms.

    Below it the order systems and halt workers as they report themselves. What only was heard and
    is not stored is shown too. Exit code 0: shown. 2: NATS does not answer, or there is no roster.

    Example: mts halts

    Example: mts halts --watch

    Parameters
    ----------
    watch
        Go on showing until Ctrl-C; with --output jsonl one line for each change.
    """

    async def work() -> int:
        if watch and output == "json":
            raise Rejected("a board that has no end cannot be one JSON; use --output jsonl")
        settings = fleet.load()
        async with halt_line.opened(settings, bus.nats(settings, "operator")) as line:
            await line.hear(HALTS, *SIGNALS)
            await line.catch_up()
            await line.until(lambda: _everybody_spoke(line), SIGNAL_SECONDS)
            if watch:
                await _watch(line, output)
            _show(view_of(line), output)
        return PROVEN

    return run(work())


def view_of(line: HaltLine) -> View:
    """Return everything that the board shows, as it is now."""
    at_ns, clock_ns = line.clock.now_ns(), monotonic_ns()
    return View(
        halts=board.rows(line.desk, at_ns),
        waiting=board.waiting(line.desk, at_ns),
        order_systems=halts_shown.systems(line, clock_ns),
        halt_workers=halts_shown.workers(line, clock_ns),
        at_ns=at_ns,
    )


def _everybody_spoke(line: HaltLine) -> bool:
    return bool(line.heartbeats) and line.desk.expected <= line.reports.keys()


def _show(view: View, output: Output) -> None:
    if output != "table":
        write_json(halts_shown.as_json(view), output)
        return
    show(halts_shown.render(view))


async def _watch(line: HaltLine, output: Output) -> None:
    """Show the board again and again until interrupted."""
    if output == "jsonl":
        line_by_line()
        before = ""
        while True:
            found = halts_shown.as_json(view_of(line))
            now = json.dumps([found["halts"], found["waiting"]], default=str)
            if now != before:
                write_json(found, output)
            before = now
            await line.until(lambda: False, REFRESH_SECONDS)
    with Live(halts_shown.render(view_of(line)), auto_refresh=False, screen=True) as live:
        while True:
            await line.until(lambda: False, REFRESH_SECONDS)
            live.update(halts_shown.render(view_of(line)), refresh=True)


def why(name: str, /, *, output: Output = "table") -> int:
    """Say what stops a strategy, a fund, an order or the firm, since when, and how to lift it.

    An order is looked up in the log. Exit code 0: nothing stops it. 1: something stops it. 2: it
    is unknown, which stops it too, or nobody can tell.

    Example: mts why momentum

    Parameters
    ----------
    name
        Id of a strategy, a fund or an order; `firm` for the firm.
    """

    async def work() -> int:
        settings = fleet.load()
        nats = bus.nats(settings, "operator")
        async with wires.connection(nats, "registry") as client:
            known = await halt_view.registry(client, nats.stream)
        async with halt_line.opened(settings, nats) as line:
            await line.hear(HALTS, *SIGNALS)
            await line.catch_up()
            await line.until(lambda: _everybody_spoke(line), SIGNAL_SECONDS)
        place = _registered(name, known) or _halted(name, line) or await _order(name)
        if place is None:
            complain(
                "?",
                f"{name!r} is no registered strategy or fund and no order in the log; orders of "
                "an unknown strategy are denied: `mts strategies list`",
                "yellow",
            )
            return CANNOT
        return _answer_why(name, place, line, output)

    return run(work())


def _answer_why(name: str, place: Place, line: HaltLine, output: Output) -> int:
    at_ns = line.clock.now_ns()
    episodes = line.desk.halts.over(place.strategy_id, place.fund_id)
    rows = tuple(board.row(line.desk, each, at_ns) for each in episodes)
    states = halts_shown.systems(line, monotonic_ns())
    systems = [each for each in states if each.mode is not None or each.words]
    if output == "table":
        _print_why(name, rows, systems, place.rejections, at_ns)
    else:
        found: dict[str, Any] = {
            "name": name,
            "strategy_id": place.strategy_id or None,
            "fund_id": place.fund_id or None,
            "halts": [halts_shown.row_json(each) for each in rows],
            "order_systems": systems,
            "rejections": place.rejections,
        }
        write_json(found, output)
    return STOPPED if rows else PROVEN


def _print_why(
    name: str,
    rows: tuple[board.Row, ...],
    systems: list[halts_shown.SystemState],
    rejections: tuple[dict[str, str], ...],
    at_ns: int,
) -> None:
    if rows:
        count = "1 halt" if len(rows) == 1 else f"{len(rows)} halts"
        headline("✗", f"{name} is stopped by {count}", "red")
    else:
        headline("✓", f"no halt stops {name}", "green")
    for each in rows:
        show(halts_shown.block(each, at_ns))
    for system in systems:
        complain("!", f"{system.oms_id} by itself: {system.words or system.mode}", "yellow")
    for rejection in rejections:
        complain("!", f"at {rejection['timestamp']} the gate said: {rejection['reason']}", "yellow")


def _registered(name: str, known: Registry) -> Place | None:
    """Return what a name means in the registry, None when it means nothing there."""
    if name == "firm":
        return Place("", "", ())
    if name in known.strategies:
        return Place(name, known.strategies[name].fund_id, ())
    return Place("", name, ()) if name in known.funds else None


def _halted(name: str, line: HaltLine) -> Place | None:
    """Return what a name means because something of that name is halted or reports itself."""
    if name in line.reports:
        return Place(f"{OWN_PREFIX}{name}", "", ())
    if line.desk.halts.in_scope(Scope("STRATEGY_HALT", name)):
        return Place(name, "", ())
    return Place("", name, ()) if line.desk.halts.in_scope(Scope("FUND_HALT", name)) else None


async def _order(order_id: str) -> Place | None:
    """Look an order up in the log, as far as there is one to ask."""
    strategy_id = fund_id = ""
    rejections: list[dict[str, str]] = []
    found = False
    with suppress(OperationsError):
        log = access.open_unproven("", None)
        async for each in log.matching({"order": order_id}, None):
            event = _decoded(each)
            strategy_id = str(event.get("strategy_id") or strategy_id)
            fund_id = str(event.get("fund_id") or fund_id)
            found = found or bool(event)
            if each.entry and each.entry.subject == GATE_REJECTED:
                rejections.append(_rejection(event))
    return Place(strategy_id, fund_id, tuple(rejections)) if found else None


def _decoded(found: Found) -> dict[str, Any]:
    """Return the event of an entry; empty when it is none."""
    try:
        event = json.loads(found.entry.data) if found.entry else {}
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _rejection(event: dict[str, Any]) -> dict[str, str]:
    data = event.get("data")
    reason = data.get("reason") if isinstance(data, dict) else None
    return {"timestamp": str(event.get("timestamp")), "reason": str(reason or "no reason")}
