"""What a fleet keeps in its data folder for whoever asks: which process it is, and its newest log.

For the process a lock decides, not the number in the file: the system frees the lock when the
process dies in any way, and gives the number to somebody else sooner or later.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import NamedTuple, TextIO

from operations.clock import now_ns, rfc3339
from operations.config import Settings

LOG_PATTERN = "srv_*.log"
LOOKS = 10
LOOK_SECONDS = 0.02


class Holder(NamedTuple):
    """The process that runs the fleet, and since when."""

    pid: int
    since: str


def pid_file(settings: Settings) -> Path:
    """Where the file is that names the process."""
    return settings.path("mts.pid")


def holder(settings: Settings) -> Holder | None:
    """Return the living process that runs the fleet, None when there is none."""
    try:
        file = pid_file(settings).open()
    except FileNotFoundError:
        return None
    with file:
        if _lock(file, fcntl.LOCK_SH):
            return None
        lines = file.read().splitlines()
    return Holder(int(lines[0]), lines[1]) if len(lines) >= 2 and lines[0].isdigit() else None


def take(settings: Settings) -> TextIO | None:
    """Become the fleet until the returned file is closed; None when another process is."""
    pid_file(settings).parent.mkdir(parents=True, exist_ok=True)
    file = pid_file(settings).open("a+")
    for _ in range(LOOKS):  # somebody who only looks holds the lock for a moment
        if _lock(file, fcntl.LOCK_EX):
            break
        time.sleep(LOOK_SECONDS)
    else:
        file.close()
        return None
    file.truncate(0)
    file.write(f"{os.getpid()}\n{rfc3339(now_ns())}\n")
    file.flush()
    return file


def _lock(file: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def newest_log(settings: Settings) -> Path | None:
    """Return the log of the newest start, None when there was none."""
    files = sorted(Path(settings.home).glob(LOG_PATTERN))
    return files[-1] if files else None
