"""A worker as a process that kills or pauses itself: `crash_at.py STEP COUNT KILL|STOP [WORKER]`.

The settings come from the environment, as for the worker itself.
"""

import importlib
import os
import signal
import sys
from functools import partial

from workers import runtime


class CrashAt:
    """Sends the signal when the step is reached for the n-th time; once."""

    def __init__(self, step: str, count: int, how: str) -> None:
        self._step, self._count = step, count
        self._signal = signal.Signals[f"SIG{how}"]

    def __call__(self, step: str) -> None:
        if step == self._step:
            self._count -= 1
            if not self._count:
                os.kill(os.getpid(), self._signal)


if __name__ == "__main__":
    step, count, how, *names = sys.argv[1:]
    name = names[0] if names else "audit"
    work = importlib.import_module(f"workers.{name}").run
    sys.exit(runtime.serve(name, partial(work, at=CrashAt(step, int(count), how))))
