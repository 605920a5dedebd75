"""Start the fleet or one process of it: `python -m workers up | init | down | <worker>`."""

import argparse
import importlib
import sys

from operations.errors import OperationsError
from workers import WORKERS, alarm, runtime, supervisor

# Started by whoever wants one, with the settings of an order system; no part of the fleet.
BESIDE = ("paper_oms", "halt_enforcer")
FLEET = {"up": supervisor.up, "init": supervisor.initialise, "down": supervisor.down}


def main() -> int:
    """Read the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("what", choices=[*FLEET, *WORKERS, *BESIDE])
    parser.add_argument(
        "--parent", type=int, default=0, help="process without which a worker stops (supervisor)"
    )
    arguments = parser.parse_args()
    try:
        if arguments.what in FLEET:
            return FLEET[arguments.what]()
        module = importlib.import_module(f"workers.{arguments.what}")
        beside = (alarm.watch,) if arguments.what in WORKERS else ()
        return runtime.serve(arguments.what, module.run, arguments.parent, beside)
    except OperationsError as error:
        print(error, file=sys.stderr)  # noqa: T201 (before there is a log)
        return 1


if __name__ == "__main__":
    sys.exit(main())
