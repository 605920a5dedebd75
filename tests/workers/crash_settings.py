"""The settings worker with the limits of the tests, killing itself: `crash_settings.py STEP N HOW`.

The settings come from the environment, as for the worker itself.
"""

import sys
from functools import partial
from pathlib import Path

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from crash_at import CrashAt
from settings_of_tests import CATALOGUE

from workers import runtime, settings

if __name__ == "__main__":
    step, count, how = sys.argv[1:]
    run = partial(settings.run, at=CrashAt(step, int(count), how), known=CATALOGUE)
    sys.exit(runtime.serve("settings", run))
