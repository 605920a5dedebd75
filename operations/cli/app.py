"""The command `mts` (also `mts1b-operations`): every command group in one list."""

import sys
from importlib.metadata import version

from cyclopts import App

from operations.cli import (
    audit,
    cmd,
    demo,
    doctor,
    fleet,
    halts,
    keys,
    keys_roster,
    registry,
    replay,
    setup,
)
from operations.errors import OperationsError

app = App(
    name="mts",
    help="Run and operate mts1b-operations: the fleet, its audit log and its proofs.",
    version=lambda: version("mts1b-operations"),
)
app.command(fleet.start)
app.command(fleet.stop)
app.command(fleet.check)
app.command(fleet.status)
app.command(fleet.env)
app.command(doctor.doctor)
app.command(setup.setup)
app.command(replay.replay)
app.command(keys.keys)
keys.keys.command(keys_roster.show)
keys.keys.command(keys_roster.revoke)
keys.keys.command(keys_roster.publish_roster, name="publish-roster")
app.command(keys_roster.roles)
app.command(cmd.cmd)
app.command(halts.halts)
app.command(halts.why)
app.command(registry.funds)
app.command(registry.strategies)
app.command(audit.audit)
app.command(demo.demo)


def main() -> None:
    """Run the command on the command line; what went wrong is said without a traceback."""
    try:
        app()
    except OperationsError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
