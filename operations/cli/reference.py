"""Write docs/settings.md and docs/commands.md from the source: `make contract`.

A setting or a command that exists is documented, and what is documented exists; a test compares.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from cyclopts import App

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


def write(folder: Path) -> None:
    """Write both pages into a folder."""
    (folder / "settings.md").write_text(settings_page())
    (folder / "commands.md").write_text(commands_page())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
