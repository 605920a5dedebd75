"""How everything that is watched stands: `mts watchdogs`; what was found: `mts watchdogs report`.

A watchdog of which no process speaks is shown as silent, because silence is no good news.
"""

from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Group
from rich.live import Live
from rich.text import Text

from operations import watchdogs as known_watchdogs
from operations.adapters import halt_line, watch_view, wire
from operations.adapters.watch_board import Part
from operations.adapters.watch_view import BoardView, EpisodeTold
from operations.checks import Standing
from operations.cli import bus, fleet
from operations.cli.output import (
    PROVEN,
    WIDTH_WITHOUT_TERMINAL,
    Flag,
    Output,
    age,
    complain,
    headline,
    run,
    terminal_width,
    write_json,
)
from operations.cli.tables import fitted, write_table
from operations.clock import NANOSECONDS, now_ns, parse_rfc3339
from operations.errors import Rejected
from operations.settings.catalogue import nearest

watchdogs = App(name="watchdogs", help="How everything that is watched stands.")

BOARD_SECONDS = 3.0  # a process says its standings every two
REFRESH_SECONDS = 1.0
LATE_SECONDS = 10.0
DAY_NS = 86_400 * NANOSECONDS
SIGNS = {
    "breached": "✗ breached", "warning": "! warning", "unknown": "? unknown", "ok": "✓ ok",
    "silent": "? silent", "data fault": "? data fault",
}  # fmt: skip
STYLES = {
    SIGNS["breached"]: "bold red", SIGNS["warning"]: "yellow", SIGNS["unknown"]: "yellow",
    SIGNS["silent"]: "yellow", SIGNS["data fault"]: "yellow", SIGNS["ok"]: "green",
}  # fmt: skip
ORDER = tuple(SIGNS)
BELOW = {"unit": "{}", "what": "{}"}
REPORT_BELOW = {"unit": "{}", "what": "{}", "would_have": "would have: {}"}
FEW = 3  # units of a watchdog that are ok and stand in a row of their own


@watchdogs.default
def board(
    *, check: str = "", fund: str = "", unwell: Flag = False, watch: Flag = False,
    output: Output = "table",
) -> int:  # fmt: skip
    """Show every unit that is watched: its state, its statistic against the limit, its sample.

    Many units of a watchdog that are ok are one row, unless --check or --fund names them; JSON
    has each. Exit code 0: shown, and nothing is breached, silent or at fault. 1: something is.
    2: NATS does not answer, or there is no roster.

    Example: mts watchdogs

    Example: mts watchdogs --check portfolio_vol_dd --unwell

    Example: mts watchdogs --watch

    Parameters
    ----------
    check
        Only this watchdog.
    fund
        Only units of this fund.
    unwell
        Only what is not ok.
    watch
        Go on showing until Ctrl-C.
    """

    async def work() -> int:
        if watch and output != "table":
            raise Rejected("a board that has no end cannot be JSON; leave --watch out")
        _require_known(check)
        settings = fleet.load()
        view = BoardView(halt_line.judge_of(settings))
        async with wire.connection(bus.nats(settings, "operator"), "watchdogs") as client:
            await view.listen(client)
            await view.until_whole(BOARD_SECONDS)
            if watch:
                await _show_for_ever(view, check, fund, unwell=unwell)
        found = rows(view, check, fund, unwell=unwell)
        if output == "table":
            write_table(for_people(found, fold=not (check or fund)), STYLES, BELOW)
        else:
            _write(found, output)
        return _verdict(view, found, output)

    return run(work())


async def _show_for_ever(view: BoardView, check: str, fund: str, *, unwell: bool) -> None:
    def drawn() -> Group:
        found = rows(view, check, fund, unwell=unwell)
        words = Text("Ctrl-C ends this.  " + _summary(found))
        shown = for_people(found, fold=not (check or fund))
        width = terminal_width() or WIDTH_WITHOUT_TERMINAL
        return Group(fitted(shown, STYLES, BELOW, width), words)

    with Live(drawn(), auto_refresh=False, screen=True) as live:
        while True:
            await view.turn(REFRESH_SECONDS)
            live.update(drawn(), refresh=True)


def rows(view: BoardView, check: str, fund: str, *, unwell: bool) -> list[dict[str, Any]]:
    """Return what is to be shown, the worst first; watchdogs that nobody speaks of are silent."""
    parts = list(view.parts())
    spoken = {
        name
        for part in parts
        if view.age_seconds(part.process) < LATE_SECONDS
        for name in part.watchdogs
    }
    found = [_row(part, standing) for part in parts for standing in part.standings]
    idle = [
        one.name
        for one in known_watchdogs.ALL
        if one.name in spoken and all(row["watchdog"] != one.name for row in found)
    ]
    silent = [one.name for one in known_watchdogs.ALL if one.name not in spoken]
    found += [_empty(name, "unknown", "nothing to watch has been seen yet") for name in idle]
    found += [_empty(name, "silent", "no process says how it stands") for name in silent]
    kept = [
        row
        for row in found
        if check in ("", row["watchdog"])
        and fund in ("", row["fund"])
        and not (unwell and row["state"] == "ok")
    ]
    return sorted(kept, key=lambda row: (ORDER.index(row["state"]), row["watchdog"], row["unit"]))


def _row(part: Part, standing: Standing) -> dict[str, Any]:
    fault = standing.state == "unknown" and standing.title.startswith("its data is at fault")
    return {
        "state": "data fault" if fault else standing.state,
        "watchdog": standing.watchdog,
        "unit": standing.unit_id,
        "fund": standing.fund_id,
        "mode": standing.mode,
        "statistic": standing.statistic,
        "threshold": standing.threshold,
        "sample": standing.samples,
        "last_look": standing.looked_at,
        "what": standing.title,
        "statistic_name": standing.statistic_name,
        "episode": standing.episode,
        "process": part.process,
    }


def _empty(name: str, state: str, words: str) -> dict[str, Any]:
    blank = dict.fromkeys((
        "fund", "mode", "statistic", "threshold", "sample", "last_look", "statistic_name",
        "episode", "process",
    ))  # fmt: skip
    return {"state": state, "watchdog": name, "unit": "", "what": words} | blank


def for_people(found: list[dict[str, Any]], *, fold: bool) -> list[dict[str, Any]]:
    """Return the columns that fit on a screen; many units that are ok become one row."""
    well: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        if row["state"] == "ok":
            well.setdefault(row["watchdog"], []).append(row)
    many = {name for name, units in well.items() if fold and len(units) > FEW}
    shown = [row for row in found if row["state"] != "ok" or row["watchdog"] not in many]
    shown += [_folded(well[name]) for name in sorted(many)]
    return [_columns(row) for row in shown]


def _folded(units: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one row for several; its look is the one that is longest ago."""
    first = units[0]
    return _empty(
        first["watchdog"],
        "ok",
        f"all within their limits: mts watchdogs --check {first['watchdog']}",
    ) | {
        "unit": f"{len(units)} units",
        "mode": ", ".join(sorted({row["mode"] for row in units})),
        "last_look": min(row["last_look"] for row in units),
    }


def _columns(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its figures short and its times as ages."""
    return {
        "state": SIGNS[row["state"]],
        "watchdog": row["watchdog"],
        "unit": row["unit"],
        "mode": row["mode"],
        "statistic": _short(row["statistic"]),
        "limit": _short(row["threshold"]),
        "sample": row["sample"],
        "last_look": _age(row["last_look"]),
        "what": row["what"],
    }


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"


def _age(at: str | None) -> str | None:
    if at is None:
        return None
    return f"{age((now_ns() - parse_rfc3339(at)) / NANOSECONDS)} ago"


def _summary(found: list[dict[str, Any]]) -> str:
    counts = {state: sum(row["state"] == state for row in found) for state in ORDER}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)


def _verdict(view: BoardView, found: list[dict[str, Any]], output: Output) -> int:
    late = [part for part in view.parts() if part.number == 1 and not part.ready]
    for part in late:
        complain("?", f"{part.process} still reads the stream, at {part.reached}", "yellow")
    for part in view.parts():
        for name, problem in part.problems.items():
            complain("?", f"{name} on {part.process}: {problem}", "yellow")
    bad = [row for row in found if row["state"] in ("breached", "silent", "data fault")]
    if output == "table":
        calm = all(row["state"] == "ok" for row in found)
        sign, style = ("✗", "red") if bad else ("✓", "green") if calm else ("!", "yellow")
        headline(sign, _summary(found) or "nothing is watched", style)
    return 1 if bad else PROVEN


@watchdogs.command
def report(
    *, days: Annotated[int, Parameter(help="How far to look back.")] = 30,
    check: str = "", fund: str = "", output: Output = "table",
) -> int:  # fmt: skip
    """Show what watchdogs found, and what those that only observe would have done.

    Read from the stream itself, so no watchdog process is needed. Exit code 0: shown. 2: NATS does
    not answer, or there is no roster.

    Example: mts watchdogs report --days 30

    Example: mts watchdogs report --check drift_monitor --output json

    Parameters
    ----------
    check
        Only this watchdog.
    fund
        Only findings about this fund.
    """

    async def work() -> int:
        if days < 1:
            raise Rejected(f"--days is {days}; say 1 or more")
        _require_known(check)
        settings = fleet.load()
        nats = bus.nats(settings, "operator")
        checks = [one.name for one in known_watchdogs.ALL if check in ("", one.name)]
        since_ns = now_ns() - days * DAY_NS
        async with wire.connection(nats, "watchdogs") as client:
            judging = halt_line.judge_of(settings)
            found = watch_view.findings(client, nats.stream, judging, checks, since_ns)
            told = watch_view.fold_episodes([each async for each in found])
        episodes = [each for each in told.values() if fund in ("", each.fund_id)]
        _show_report(episodes, checks, days, output)
        return PROVEN

    return run(work())


def _show_report(episodes: list[EpisodeTold], checks: list[str], days: int, output: Output) -> None:
    lines = [episode_row(each, now_ns()) for each in episodes]
    totals = [total_row(name, [row for row in lines if row["watchdog"] == name]) for name in checks]
    if output != "table":
        write_json({"days": days, "watchdogs": totals, "episodes": lines}, output)
        return
    write_table(totals)
    if lines:
        print()
        columns = ("raised_at", "watchdog", "mode", "lasted", "unit", "what", "would_have")
        write_table([{name: row[name] for name in columns} for row in lines], {}, REPORT_BELOW)
    what = "1 episode" if len(lines) == 1 else f"{len(lines)} episodes"
    headline("✓", f"{what} in {days} days", "green")


def episode_row(episode: EpisodeTold, at_ns: int) -> dict[str, Any]:
    """Return an episode by column; times are those of events."""
    worst = episode.worst.data
    seconds = watch_view.open_seconds(episode, at_ns)
    return {
        "raised_at": episode.raised_at[:19] + "Z",
        "watchdog": episode.check,
        "unit": episode.subject_id,
        "fund": episode.fund_id,
        "mode": worst.mode,
        "open": episode.cleared_at is None,
        "seconds": seconds,
        "lasted": ("open, " if episode.cleared_at is None else "") + age(seconds),
        "severity": worst.severity,
        "what": worst.title,
        "would_have": worst.would_have,
        "statistic": worst.statistic,
        "threshold": worst.threshold,
        "updates": episode.updates,
        "episode": worst.episode,
    }


def total_row(name: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what one watchdog found in all."""
    return {
        "watchdog": name,
        "episodes": len(lines),
        "open": sum(row["open"] for row in lines),
        "acted": sum(row["mode"] == "act" for row in lines),
        "would_have_acted": sum(row["would_have"] is not None for row in lines),
        "units": len({row["unit"] for row in lines}),
    }


def _require_known(check: str) -> None:
    names = [one.name for one in known_watchdogs.ALL]
    if check and check not in names:
        raise Rejected(f"there is no watchdog {check!r}{nearest(check, names)}")


def _write(found: list[dict[str, Any]], output: Output) -> None:
    if output == "json":
        write_json(found, output)
        return
    for row in found:
        write_json(row, output)
