"""Start, find and stop the processes of the embedded servers.

A server outlives a supervisor that was killed, so a start first looks for what an earlier one left
behind and stops it: two servers on one folder are worse than a moment without one.
"""

import signal
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from operations.errors import Retryable

POLL_SECONDS = 0.02
PATIENT = 10  # added to the nice value of what may wait, so that a halt does not


def refuse_taken_port(port: int, what: str, setting: str) -> None:
    """Raise Retryable, naming the setting to change, when another process listens on a port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise Retryable(
                f"port {port} for {what} is taken ({error.strerror}); stop what listens there, or "
                f"set {setting} to a free port"
            ) from error


def make_patient(process: psutil.Process) -> None:
    """Let a process, and what it starts from now on, wait for those that halt."""
    with suppress(psutil.Error):
        process.nice(min(19, process.nice() + PATIENT))


def wait_until(ready: Callable[[], bool], alive: Callable[[], bool], seconds: float) -> bool:
    """Poll until ready (True) or until the process died or the time is over (False)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if ready():
            return True
        if not alive():
            return False
        time.sleep(POLL_SECONDS)
    return False


def running_with(matches: Callable[[psutil.Process], bool], name: str = "") -> list[psutil.Process]:
    """Return the living processes that match; those that may not be looked at are passed by."""
    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if name not in ("", process.info["name"]) or not is_alive(process):
                continue
            if matches(process):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def is_alive(process: psutil.Process) -> bool:
    """Tell whether a process still runs; a zombie does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def stop_process(
    process: psutil.Process, steps: Sequence[tuple[signal.Signals, float]]
) -> signal.Signals | None:
    """Send signals, each with its patience in seconds, until the process ends; then SIGKILL.

    Returns the last signal that was needed, None when the process had ended before.
    """
    needed: signal.Signals | None = None
    for number, seconds in (*steps, (signal.SIGKILL, 30.0)):
        try:
            if not is_alive(process):
                break
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)  # a paused process takes its signal only then
            needed = number
            process.wait(seconds)
        except psutil.TimeoutExpired:
            continue
        except psutil.NoSuchProcess:
            break
        break
    if isinstance(process, psutil.Popen):
        process.wait()
        process.poll()  # so that it also knows its end when somebody else waited for it
    return needed


def stop_all(
    processes: Iterable[psutil.Process], steps: Sequence[tuple[signal.Signals, float]]
) -> int:
    """Stop several processes one after the other; returns how many there were."""
    return sum(stop_process(process, steps) is not None for process in processes)


def last_lines(file: Path, count: int = 12) -> str:
    """Return the end of a log file for an error message; empty where there is none."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-count:])
