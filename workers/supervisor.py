"""The whole fleet in the foreground: servers, provisioning, workers, and who restarts what.

Workers run in sessions of their own, so that Ctrl-C reaches only the supervisor and everything
stops in order: workers, then Postgres, then NATS. Each worker gets only its own credentials.
"""

import asyncio
import os
import signal
import sys
import traceback
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, Gauge
from rich.console import Console
from rich.table import Table

from operations import config
from operations.adapters import credentials, fleet_files, provision
from operations.config import Settings
from operations.errors import OperationsError
from workers import WORKERS, health, logs, servers
from workers.child import Child, Say, leftover_workers
from workers.nats_server import NatsServer
from workers.postgres_server import PostgresServer

Server = NatsServer | PostgresServer
STATUS_SECONDS = 0.5
PAUSES_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)  # between restarts of a server that keeps dying
EXIT_RUNNING = 1


class Supervisor:
    """One run of the fleet."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self._settings = settings
        self._say = say
        self._stopping = asyncio.Event()
        self._conditions = health.Conditions()
        self._registry = CollectorRegistry()
        self._children: list[Child] = []
        self._servers: dict[str, Server] = {}
        gauge = Gauge("ready", "1 when the part is ready", ["part"], registry=self._registry)
        for part in ("nats", "postgres", *WORKERS):
            gauge.labels(part).set_function(partial(self._holds, part))
            self._conditions.set(part, ok=False, detail="waits for its turn")

    def _holds(self, part: str) -> float:
        condition = self._conditions.get(part)
        return float(condition is not None and condition.ok)

    async def run(self) -> None:
        """Start everything and keep it running until SIGTERM, SIGINT or SIGHUP."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._stopping.set)
        http = self._settings.http
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(
                health.serving(http.host, http.port, self._conditions, self._registry)
            )
            stack.push_async_callback(self._stop_servers)
            await self._start_servers()
            if not self._stopping.is_set():
                self._say("preparing stream, roles, schema and keys")
                await provision.provision(self._settings)
            stack.push_async_callback(self._stop_workers)
            if not self._stopping.is_set():
                await self._start_workers()
            await self._watch()

    async def _start_servers(self) -> None:
        nats, postgres = self._settings.nats, self._settings.postgres
        if nats.url:
            self._conditions.set("nats", ok=True, detail=f"external, {nats.url}")
        else:
            self._servers["nats"] = NatsServer(self._settings)
        if postgres.admin_dsn:
            place = postgres.admin_dsn.rpartition("@")[2]
            self._conditions.set("postgres", ok=True, detail=f"external, {place}")
        else:
            self._servers["postgres"] = PostgresServer(self._settings)
        # One after the other: with two failing at once, the second reason would be lost.
        for name, server in self._servers.items():
            if not self._stopping.is_set():
                await self._start_server(name, server)

    async def _start_server(self, name: str, server: Server) -> None:
        self._conditions.set(name, ok=False, detail="starting")
        self._say(f"starting {name}")
        await asyncio.to_thread(server.start)
        self._conditions.set(name, ok=True, detail=f"process {server.pid}, {server.address}")
        self._say(f"{name} is ready, process {server.pid}, {server.address}")

    async def _start_workers(self) -> None:
        orphans = leftover_workers(self._settings.home)
        if orphans:
            self._say(f"stopping {len(orphans)} workers that an earlier supervisor left behind")
            await asyncio.to_thread(servers.stop_all, orphans, ((signal.SIGTERM, 15.0),))
        for number, name in enumerate(WORKERS, start=1):
            port = self._settings.http.port + number
            environment = credentials.worker_environment(self._settings, name, port)
            address = f"http://{self._settings.http.host}:{port}"
            child = Child(name, config.subprocess_environment(environment), address, self._say)
            self._children.append(child)
            child.start()

    async def _watch(self) -> None:
        """Keep the conditions true to life and restart dead servers until asked to stop."""
        told = False
        while not self._stopping.is_set():
            await asyncio.gather(*(self._look_at(child) for child in self._children))
            for name, server in self._servers.items():
                await self._revive(name, server)
            if not told and self._conditions.ready:
                told = True
                self._say("all parts are ready")
                self._say(state_table(self._conditions))
            await self._pause(STATUS_SECONDS)

    async def _look_at(self, child: Child) -> None:
        ok, detail = await child.look()
        changed = self._conditions.set(child.name, ok=ok, detail=detail)
        if changed:
            self._say(f"{child.name} is {'ready' if ok else 'not ready'}: {detail}")

    async def _revive(self, name: str, server: Server) -> None:
        for seconds in PAUSES_SECONDS:
            if server.is_running() or self._stopping.is_set():
                return
            self._conditions.set(name, ok=False, detail="died, starting again")
            self._say(f"{name} died; starting it again")
            try:
                await self._start_server(name, server)
            except OperationsError as error:
                self._conditions.set(name, ok=False, detail=f"cannot start: {error}")
                self._say(f"{name} cannot start: {error}")
                await self._pause(seconds)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _stop_workers(self) -> None:
        self._say("stopping the workers")
        self._stopping.set()
        await asyncio.gather(*(child.stop() for child in self._children))

    async def _stop_servers(self) -> None:
        for name in ("postgres", "nats"):
            if name in self._servers:
                self._say(f"stopping {name}")
                needed = await asyncio.to_thread(self._servers[name].stop)
                if needed == signal.SIGKILL:
                    self._say(f"{name} did not stop in time and was killed")
        self._say("the fleet has stopped")


def state_table(conditions: health.Conditions) -> str:
    """Draw the state of every part."""
    table = Table("part", "state", "detail")
    for name in ("nats", "postgres", *WORKERS):
        condition = conditions.get(name)
        if condition:
            table.add_row(name, "ready" if condition.ok else "not ready", condition.detail)
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get().rstrip()


def up() -> int:
    """Run the fleet; returns the exit code: 1 when it runs already or cannot start."""
    try:
        settings = config.load()
        settings = msgspec.structs.replace(settings, home=str(Path(settings.home).resolve()))
        held = fleet_files.take(settings)
    except (OperationsError, OSError) as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return 1
    if held is None:
        running = fleet_files.holder(settings)
        known = f", process {running.pid}, since {running.since}" if running else ""
        print(f"the fleet of {settings.home} is already running{known}", file=sys.stderr)
        return EXIT_RUNNING
    with held:
        return _run_logged(settings)


def _run_logged(settings: Settings) -> int:
    log = logs.FleetLog(settings)
    log.say(f"starting the fleet of {settings.home}, process {os.getpid()}; log {log.path}")
    try:
        asyncio.run(Supervisor(settings, log.say).run())
    except OperationsError as error:
        log.say(f"cannot start: {error}")
        return 1
    except Exception:  # noqa: BLE001 (in the background nobody sees the terminal)
        log.say(f"the fleet failed:\n{traceback.format_exc()}")
        return 1
    finally:
        log.close()
    return 0


def initialise() -> int:
    """Make keys, stream, roles and schema on external servers, and nothing else."""
    try:
        asyncio.run(provision.provision(config.load()))
    except OperationsError as error:
        print(f"cannot prepare: {error}", file=sys.stderr)
        return 1
    print("keys, stream, consumers, roles and schema are ready")
    return 0


def down() -> int:
    """Stop what a killed supervisor left behind; refuses while a supervisor runs."""
    settings = config.load()
    if running := fleet_files.holder(settings):
        print(f"the fleet runs, process {running.pid}; stop it with `mts stop`", file=sys.stderr)
        return EXIT_RUNNING
    settings = msgspec.structs.replace(settings, home=str(Path(settings.home).resolve()))
    stopped = servers.stop_all(leftover_workers(settings.home), ((signal.SIGTERM, 15.0),))
    stopped += PostgresServer(settings).stop_leftovers()
    stopped += NatsServer(settings).stop_leftovers()
    if stopped:
        print(f"stopped {stopped} processes that a killed supervisor had left behind")
    return 0
