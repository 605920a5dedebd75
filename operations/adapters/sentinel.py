"""The second way to stop an order system: a file named HALT in its folder, whatever the bus does.

That the file exists is enough; what is in it is the reason. A thread of its own looks every 100 ms,
so that neither a lost bus nor a busy event loop is in the way, and what cannot be looked at counts
as there.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

NAME = "HALT"
POLL_SECONDS = 0.1
MOST_BYTES = 2000


def look(folder: Path) -> str | None:
    """Return why the file stops this order system, None when there is no such file.

    An unreadable folder stops it too.
    """
    try:
        if NAME not in os.listdir(folder):  # noqa: PTH208 (names are enough, also of odd files)
            return None
    except OSError as error:
        return f"the folder {folder} cannot be read: {error}"
    try:
        handle = os.open(folder / NAME, os.O_RDONLY | os.O_NONBLOCK)
        try:
            text = os.read(handle, MOST_BYTES).decode(errors="replace").strip()
        finally:
            os.close(handle)
    except OSError as error:
        return f"the file {NAME} exists and cannot be read: {error}"
    return text or f"the file {NAME} exists"


class Sentinel:
    """Looks at the file and says every 100 ms what it saw, in a thread of its own."""

    def __init__(self, folder: Path, saw: Callable[[str | None], None]) -> None:
        self._folder = folder
        self._saw = saw
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="file HALT", daemon=True)

    def start(self) -> None:
        """Look once now, then go on looking."""
        self._saw(look(self._folder))
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self._saw(look(self._folder))
