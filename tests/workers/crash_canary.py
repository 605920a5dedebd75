"""The worker of the canaries that begins at once and kills itself.

`crash_canary.py SECONDS STEP N HOW canary`: it waits so many seconds for what watchdogs find. The
settings come from the environment, as for the worker itself.
"""

import sys
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

from crash_at import parsed

from workers import canary, runtime

if __name__ == "__main__":
    name, at = parsed(sys.argv[2:])
    run = partial(canary.run, first_seconds=0.0, wait_seconds=float(sys.argv[1]), at=at)
    sys.exit(runtime.serve(name, run))
