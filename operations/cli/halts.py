"""What is halted, by whom, since when and who obeys: `mts halts`; what stops one thing: `mts why`.

Folded from the stream by this command itself and judged by the roster, so it is true also while
every halt worker is dead.
"""

import json
from contextlib import suppress
from typing import Any

from rich.live import Live

from operations.adapters import halt_line, halt_view
from operations.adapters import wire as wires
from operations.adapters.halt_line import FOLDED, HALTS, SIGNALS, HaltLine
from operations.cli import access, fleet, halts_shown
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
from operations.clock import monotonic_ns, now_ns
from operations.errors import OperationsError, Rejected
from operations.halt import board
from operations.halt.registry import Registry

STOPPED = 1
SIGNAL_SECONDS = 1.6  # reports and heartbeats come every second
REFRESH_SECONDS = 0.5


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
        async with halt_line.opened(settings, access.nats(settings, "operator")) as line:
            await line.hear(HALTS, *SIGNALS)
            await line.read(*FOLDED)
            await line.until(lambda: _everybody_spoke(line), SIGNAL_SECONDS)
            if watch:
                await _watch(line, output)
            _show(view_of(line), output)
        return PROVEN

    return run(work())


def view_of(line: HaltLine) -> View:
    """Return everything that the board shows, as it is now."""
    at_ns, clock_ns = now_ns(), monotonic_ns()
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
            await line.until(lambda: False, REFRESH_SECONDS, FOLDED)
    with Live(halts_shown.render(view_of(line)), auto_refresh=False, screen=True) as live:
        while True:
            await line.until(lambda: False, REFRESH_SECONDS, FOLDED)
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
        nats = access.nats(settings, "operator")
        async with wires.connection(nats, "registry") as client:
            known = await halt_view.registry(client, nats.stream)
        place = await _place(name, known)
        if place is None:
            complain(
                "?",
                f"{name!r} is no registered strategy or fund and no order in the log; orders of "
                "an unknown strategy are denied: `mts strategies list`",
                "yellow",
            )
            return CANNOT
        strategy_id, fund_id, rejections = place
        async with halt_line.opened(settings, nats) as line:
            await line.hear(HALTS, *SIGNALS)
            await line.read(*FOLDED)
            await line.until(lambda: _everybody_spoke(line), SIGNAL_SECONDS)
            at_ns = now_ns()
            episodes = line.desk.halts.over(strategy_id, fund_id)
            rows = tuple(board.row(line.desk, each, at_ns) for each in episodes)
            systems = [
                each
                for each in halts_shown.systems(line, monotonic_ns())
                if each.mode is not None or each.words
            ]
        found: dict[str, Any] = {
            "name": name,
            "strategy_id": strategy_id or None,
            "fund_id": fund_id or None,
            "halts": [halts_shown.row_json(each) for each in rows],
            "order_systems": systems,
            "rejections": rejections,
        }
        if output != "table":
            write_json(found, output)
        else:
            _print_why(name, rows, systems, rejections, at_ns)
        return STOPPED if rows else PROVEN

    return run(work())


def _print_why(
    name: str,
    rows: tuple[board.Row, ...],
    systems: list[halts_shown.SystemState],
    rejections: list[dict[str, Any]],
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


async def _place(name: str, known: Registry) -> tuple[str, str, list[dict[str, Any]]] | None:
    """Return strategy, fund and past rejections of what a name means; None when it is unknown."""
    if name == "firm":
        return "", "", []
    if name in known.strategies:
        return name, known.strategies[name].fund_id, []
    if name in known.funds:
        return "", name, []
    return await _order(name)


async def _order(order_id: str) -> tuple[str, str, list[dict[str, Any]]] | None:
    """Look an order up in the log, as far as there is one to ask."""
    strategy_id = fund_id = ""
    rejections: list[dict[str, Any]] = []
    found = False
    with suppress(OperationsError):
        log = access.open_unproven("", None)
        async for each in log.matching({"order": order_id}, None):
            if each.entry is None:
                continue
            try:
                event = json.loads(each.entry.data)
                strategy_id = str(event.get("strategy_id") or strategy_id)
                fund_id = str(event.get("fund_id") or fund_id)
            except (ValueError, AttributeError):
                continue
            found = True
            if each.entry.subject == b"mts.v1.risk.gate.rejected":
                rejections.append(_rejection(event))
    return (strategy_id, fund_id, rejections) if found else None


def _rejection(event: dict[str, Any]) -> dict[str, Any]:
    data = event.get("data")
    reason = data.get("reason") if isinstance(data, dict) else None
    return {"timestamp": str(event.get("timestamp")), "reason": str(reason or "no reason")}
