"""A worker as a process that kills or pauses itself.

`crash_at.py STEP COUNT KILL|STOP [WORKER]`: once, when it comes to a step for the n-th time.
`crash_at.py --each FILE TIMES CHANCE WORKER`: kills itself at each kind of step, as many times in
the life of a file that lists the kills; each time it comes to one, only with a chance.

The settings come from the environment, as for the worker itself.
"""

import importlib
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

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


class CrashAtEach:
    """Kills this process at each kind of step that the file does not name often enough."""

    def __init__(self, file: Path, times: int, chance: float) -> None:
        self._file, self._times, self._chance = file, times, chance
        self._killed = Counter(file.read_text().splitlines() if file.exists() else ())
        self._random = Random(self._killed.total())

    def __call__(self, step: str) -> None:
        if self._killed[step] < self._times and self._random.random() < self._chance:
            with self._file.open("a") as file:
                file.write(f"{step}\n")
            os.kill(os.getpid(), signal.SIGKILL)


def parsed(arguments: list[str]) -> tuple[str, Callable[[str], None]]:
    if arguments[0] == "--each":
        _, file, times, chance, name = arguments
        return name, CrashAtEach(Path(file), int(times), float(chance))
    step, count, how, *names = arguments
    return (names or ["audit"])[0], CrashAt(step, int(count), how)


if __name__ == "__main__":
    name, at = parsed(sys.argv[1:])
    work = importlib.import_module(f"workers.{name}").run
    sys.exit(runtime.serve(name, partial(work, at=at)))
