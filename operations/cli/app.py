"""The command `mts` (also `mts1b-operations`): every command in one list.

A command is imported only when it is run: a halt does not wait until DuckDB is loaded.
"""

import sys
from importlib.metadata import version

from cyclopts import App

from operations.errors import OperationsError

# Name and place of each; what is read by programs and by the test of reachable modules.
COMMANDS: tuple[tuple[str, str], ...] = (
    ("start", "operations.cli.fleet:start"),
    ("stop", "operations.cli.fleet:stop"),
    ("check", "operations.cli.fleet:check"),
    ("status", "operations.cli.fleet:status"),
    ("env", "operations.cli.fleet:env"),
    ("doctor", "operations.cli.doctor:doctor"),
    ("setup", "operations.cli.setup:setup"),
    ("replay", "operations.cli.replay:replay"),
    ("keys", "operations.cli.keys:keys"),
    ("roles", "operations.cli.keys_roster:roles"),
    ("canary", "operations.cli.canary:canary"),
    ("cmd", "operations.cli.cmd:cmd"),
    ("config", "operations.cli.config:config"),
    ("halts", "operations.cli.halts:halts"),
    ("why", "operations.cli.halts:why"),
    ("actions", "operations.cli.actions:actions"),
    ("watchdogs", "operations.cli.watchdogs:watchdogs"),
    ("watch", "operations.cli.watch:watch"),
    ("funds", "operations.cli.registry:funds"),
    ("strategies", "operations.cli.registry:strategies"),
    ("alerts", "operations.cli.alerts:alerts"),
    ("oms", "operations.cli.oms:oms"),
    ("audit", "operations.cli.audit:audit"),
    ("demo", "operations.cli.demo:demo"),
)

app = App(
    name="mts",
    help="Run and operate mts1b-operations: the fleet, its audit log and its proofs.",
    version=lambda: version("mts1b-operations"),
)
for _name, _place in COMMANDS:
    app.command(_place, name=_name)


def main() -> None:
    """Run the command on the command line; what went wrong is said without a traceback."""
    try:
        app()
    except OperationsError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
