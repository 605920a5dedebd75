"""Write docs/settings.md, commands.md and watchdogs.md from the source: `make contract`.

What exists is documented, and what is documented exists; a test compares.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from cyclopts import App

from operations import watchdogs
from operations.adapters import settable
from operations.cli.app import app
from operations.config import Setting, catalogue

SETTINGS = """# Settings

Made by `make contract` from operations/config.py. The later wins: default, `settings.toml` in the
data folder (`[section]` and `name`), the variable. An unknown key is refused in both.
"""
COMMANDS = """# Commands

Made by `make contract` from the commands themselves; `mts COMMAND --help` shows their arguments.
`mts1b-operations` is the same program under another name.
"""
WATCHDOGS = """# Watchdogs

Made by `make contract` from operations/watchdogs. Each looks at one thing from the stream. A new
installation observes: it says what it would have done, and asks for nothing. `mts watchdogs` shows
how everything stands, `mts watchdogs report --days 30` what was found and what would have been
done, `mts config set NAME.mode act` lets one act, for the firm or with `--fund` for one fund
([configuration.md](configuration.md)). It then also acts, at its next look, on what it has found
while it observed and still finds. With `mode off` what is raised is over at the next look, and what
is done already stays done: `mts actions list`.

Below its smallest sample, without a limit that has no default, and while a feed that it needs is at
fault, a unit is unknown: it raises nothing and clears nothing, and it is shown with the reason.
Drawdown, daily loss, drift below -2 and a spike of news over the whole firm halt through the worker
`limits`, at once and from the first day ([18](decisions/0018-limits-are-folded-from-the-stream.md),
[20](decisions/0020-a-watchdog-is-one-question.md)). How often each is wrong when nothing is:
[calibration.md](calibration.md).
"""
HELP_ARGUMENTS = ("--help", "-h", "--version")


def settings_page() -> str:
    """Return the list of every setting, a table for each section."""
    lines = [SETTINGS.rstrip()]
    section = None
    for setting in catalogue():
        if setting.section != section:
            section = setting.section
            lines += ["", f"## [{section}]" if section else "## At the top level", ""]
            lines += ["| name | variable | default | what it does |", "|---|---|---|---|"]
        lines.append(
            f"| {setting.name} | {setting.variable} | {_default(setting)} | {_cell(setting)} |"
        )
    return "\n".join(lines) + "\n"


def _default(setting: Setting) -> str:
    if setting.variable == "MTS_HOME":
        return "see README"
    return f"`{setting.default}`" if setting.default != "" else "empty"


def _cell(setting: Setting) -> str:
    return setting.description.replace("|", "\\|")


def commands_page() -> str:
    """Return the list of every command with what it does."""
    rows = [f"| `{name}` | {text} |" for name, text in commands(app, "mts")]
    return "\n".join((COMMANDS, "| command | what it does |", "|---|---|", *rows)) + "\n"


def commands(group: App, name: str) -> Iterator[tuple[str, str]]:
    """Give every command below a group: its full name and the first line of its help."""
    for part in sorted(set(group) - set(HELP_ARGUMENTS)):
        command = group[part]
        below = list(commands(command, f"{name} {part}"))
        if command.default_command is not None or not below:
            first = (command.help or "").strip().splitlines()
            yield f"{name} {part}", first[0] if first else ""
        yield from below


def watchdogs_page() -> str:
    """Return what every watchdog is for, and its limits."""
    lines = [
        WATCHDOGS,
        "| watchdog | looks at each | when acting | false alarms at most |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| [{one.name}](runbooks/{one.name}.md) | {one.unit} | {one.action} | {one.budget} |"
        for one in watchdogs.ALL
    ]
    limits = settable.catalogue()
    for one in watchdogs.ALL:
        lines += ["", f"## {one.name}", "", one.why, "", "| limit | default | what it is |"]
        lines.append("|---|---|---|")
        for limit in limits.settings(one.name):
            lines.append(f"| {limit.name} | `{limit.default}` | {limit.description} |")
    return "\n".join(lines) + "\n"


def write(folder: Path) -> None:
    """Write all pages into a folder."""
    (folder / "watchdogs.md").write_text(watchdogs_page())
    (folder / "settings.md").write_text(settings_page())
    (folder / "commands.md").write_text(commands_page())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
