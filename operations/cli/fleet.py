"""Start, stop and look at the fleet of this data folder.

The fleet itself is `python -m workers up`; these commands start that process, ask it, stop it.
"""

import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec
from rich.console import Console
from rich.table import Table

from operations import config
from operations.adapters import accounts, credentials, fleet_files
from operations.clock import now_ns, rfc3339
from operations.config import Settings
from operations.errors import Retryable

NAME = "mts1b-operations"
READY_SECONDS = 180.0
ASK_SECONDS = 3.0
LONGEST_PAUSE_SECONDS = 5.0
LOG_LINES = 15
Role = Literal["publisher", "oms", "oms-1", "oms-2", "oms-3", "operator", "auditor", "admin"]
FIRST_OMS = accounts.OMS[0]  # what `oms` without a number means
DATABASE_ROLES = {
    "auditor": credentials.READER,
    "operator": credentials.READER,
    "admin": credentials.SUPERUSER,
}


def load() -> Settings:
    """Read the settings with the data folder as a full path."""
    settings = config.load()
    return msgspec.structs.replace(settings, home=str(Path(settings.home).resolve()))


def start(*, seconds: float = READY_SECONDS) -> int:
    """Start the fleet in the background; returns when every part is ready.

    Exit code 0 when it is ready or was running already, 1 with the reason when it is not.

    Example: mts start

    Parameters
    ----------
    seconds
        How long to wait until every part is ready.
    """
    settings = load()
    if running := fleet_files.holder(settings):
        print(f"{NAME} is already running, process {running.pid}, since {running.since}")
        return 0
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "workers", "up"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        if _wait_until_ready(settings, lambda: process.poll() is None, seconds):
            _print_parts(ask(settings))
            return 0
        if process.poll() is None:
            _print_parts(ask(settings))
            print(f"{NAME} runs but is not ready after {seconds:g} s", file=sys.stderr)
            return 1
        errors.seek(0)
        _print_reason(settings, errors.read())
    return 1


def _wait_until_ready(settings: Settings, alive: Callable[[], bool], seconds: float) -> bool:
    """Follow the parts while they become ready, saying each step once."""
    deadline = time.monotonic() + seconds
    said: dict[str, bool] = {}
    while time.monotonic() < deadline and alive():
        page = ask(settings)
        for name, part in page["conditions"].items():
            if part["ok"] and not said.get(name):
                print(f"{name} is ready: {part['detail']}", flush=True)
            said[name] = part["ok"]
        if page["ready"]:
            return True
        time.sleep(0.1)
    return False


def _print_reason(settings: Settings, errors: str) -> None:
    log = fleet_files.newest_log(settings)
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:] if log else []
    reason = "\n".join(filter(None, (errors.strip(), *lines)))
    print(f"{NAME} did not start; its log {log} ends:\n{reason}", file=sys.stderr)


def stop(*, seconds: float | None = None) -> int:
    """Stop the fleet: ask, wait with growing pauses, then kill and say so in the newest log.

    Exit code 0 when it is stopped, also when it was not running.

    Example: mts stop --seconds 30

    Parameters
    ----------
    seconds
        How long to ask before killing; the setting stop_seconds (300) if not given.
    """
    settings = load()
    limit = settings.stop_seconds if seconds is None else seconds
    if running := fleet_files.holder(settings):
        _stop_process(settings, running.pid, limit)
    else:
        print(f"{NAME} is not running.")
    # What a killed supervisor left behind is stopped too.
    return subprocess.run([sys.executable, "-P", "-m", "workers", "down"], check=False).returncode


def _stop_process(settings: Settings, pid: int, limit: float) -> None:
    print(f"asking {NAME}, process {pid}, to stop", flush=True)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)  # a paused process takes its signal only then
    for pause in _growing_pauses(limit):
        time.sleep(pause)
        if not fleet_files.holder(settings):
            print(f"{NAME} has stopped")
            return
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    text = f"{NAME}, process {pid}, did not stop within {limit:g} s and was killed by mts stop"
    print(text)
    if log := fleet_files.newest_log(settings):
        with log.open("a") as file:
            file.write(f"fleet      | {rfc3339(now_ns())} {text}\n")
    while fleet_files.holder(settings):
        time.sleep(0.05)


def _growing_pauses(limit: float) -> Iterator[float]:
    pause, spent = 0.1, 0.0
    while spent < limit:
        step = min(pause, limit - spent)
        yield step
        spent += step
        pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)


def check() -> int:
    """Say whether the fleet runs; exit code 0 when it does, 1 when it does not.

    Example: mts check
    """
    if running := fleet_files.holder(load()):
        print(f"{NAME} is running, process {running.pid}, since {running.since}")
        return 0
    print(f"{NAME} is not running.")
    return 1


def status(*, output: Literal["table", "json"] = "table") -> int:
    """Show every part of the fleet; exit code 0 only when every one is ready.

    Example: mts status --output json

    Parameters
    ----------
    output
        A table for people or JSON for programs.
    """
    settings = load()
    page = ask(settings)
    running = fleet_files.holder(settings)
    if output == "json":
        known = {"process": running.pid, "since": running.since} if running else None
        print(json.dumps({"running": known, **page}, indent=2))
    elif running is None:
        print(f"{NAME} is not running.")
    else:
        print(f"{NAME} is running, process {running.pid}, since {running.since}")
        _print_parts(page)
    return 0 if running and page["ready"] else 1


def ask(settings: Settings) -> dict[str, Any]:
    """Return what the supervisor says about every part; without an answer nothing is ready."""
    host, port = settings.http.host, settings.http.port
    if settings.http.advertised:
        host, port = config.place(settings.http.advertised, port)
    connection = http.client.HTTPConnection(host, port, timeout=ASK_SECONDS)
    try:
        connection.request("GET", "/readyz")
        page: dict[str, Any] = json.load(connection.getresponse())
    except (OSError, http.client.HTTPException, ValueError):
        return {"ready": False, "conditions": {}}
    finally:
        connection.close()
    return page


def _print_parts(page: dict[str, Any]) -> None:
    table = Table("part", "state", "since", "detail")
    for name, part in page["conditions"].items():
        state = "[green]ready" if part["ok"] else "[red]not ready"
        table.add_row(name, state, part["since"][:19] + "Z", part["detail"])
    Console().print(table)


def env(*, role: Role) -> int:
    """Print settings and credentials of the fleet as shell exports.

    Example: eval "$(mts env --role publisher)"

    Parameters
    ----------
    role
        Who you are: publisher and oms get no database, operator and auditor may read it; oms means
        oms-1.
    """
    settings = load()
    if not settings.path("secrets").exists():
        raise Retryable(f"{settings.home} has no credentials yet; run `mts start` first")
    user = FIRST_OMS if role == "oms" else role
    variables = credentials.reader_environment(settings, user, DATABASE_ROLES.get(role, ""))
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0
