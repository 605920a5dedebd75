"""What every worker gets, and the one place that decides what an error means.

A worker is `async def run(runtime: Runtime) -> None` and nothing else: it raises, and this module
waits, reports or ends the process. It may be stopped or called again after any await.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from operations import config
from operations.adapters.tasks import end_tasks
from operations.clock import NANOSECONDS, monotonic_ns
from operations.config import Settings
from operations.errors import Corrupted, OperationsError, Retryable
from workers import health, logs, servers

T = TypeVar("T")
WORKER = "worker"  # the condition that the runtime itself sets
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 5.0
CALM_SECONDS = 30.0  # after working this long, pauses start small again
DRAIN_SECONDS = 10.0
PARENT_SECONDS = 0.5
URGENT = frozenset(("halt", "limits", "paper_oms", "halt_enforcer"))


class Runtime:
    """What a worker works with."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.log = logs.logger(name)
        self.registry = CollectorRegistry()
        self.stopping = asyncio.Event()
        self.conditions = health.Conditions()
        self.trouble = ""  # why our own records cannot be trusted; see workers/alarm.py
        self._built: dict[Callable[[CollectorRegistry], Any], Any] = {}
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        ready = Gauge("ready", "1 when every condition holds, else 0", registry=self.registry)
        ready.set_function(lambda: float(self.conditions.ready))
        self.conditions.set(WORKER, ok=False, detail="starting")

    def condition(self, name: str, *, ok: bool, detail: str) -> None:
        """Say whether something that the work needs holds; shown by /readyz and `mts status`."""
        if self.conditions.set(name, ok=ok, detail=detail):
            write = self.log.info if ok else self.log.warning
            write("ready" if ok else "not ready", condition=name, detail=detail)

    def once(self, build: Callable[[CollectorRegistry], T]) -> T:
        """Return what `build(registry)` made, the first time and every time: metrics live here."""
        if build not in self._built:
            self._built[build] = build(self.registry)
        made: T = self._built[build]
        return made

    async def pause(self, seconds: float) -> None:
        """Wait, or less when the process is asked to stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stopping.wait()


async def first_of(*works: Coroutine[Any, Any, object]) -> None:
    """Run until the first of some works ends, end the others, and raise what it raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await end_tasks(*tasks)


async def all_of(*works: Coroutine[Any, Any, object]) -> None:
    """Run until all works have ended or one fails; then end the others and raise what it raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        await end_tasks(*tasks)


Run = Callable[[Runtime], Coroutine[Any, Any, None]]


def serve(name: str, run: Run, parent: int = 0, beside: Sequence[Run] = ()) -> int:
    """Run a worker until SIGTERM or SIGINT, or until `parent` is gone; returns the exit code.

    What runs `beside` it serves the worker and ends with it.
    """
    settings = config.load()
    logs.configure(settings.log)
    if name not in URGENT:
        os.nice(servers.PATIENT)  # a log that catches up must not delay a halt
    return asyncio.run(_serve(Runtime(name, settings), run, parent, beside))


async def _serve(runtime: Runtime, run: Run, parent: int, beside: Sequence[Run] = ()) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, runtime.stopping.set)
    http = runtime.settings.http
    try:
        async with health.serving(http.host, http.port, runtime.conditions, runtime.registry):
            async with asyncio.TaskGroup() as group:
                others = [group.create_task(_watch_parent(runtime, parent))]
                others += [group.create_task(other(runtime)) for other in beside]
                code = await _run_until_stopped(runtime, run)
                await end_tasks(*others)
            return code
    except OperationsError as error:
        runtime.log.error("cannot start", reason=str(error))  # noqa: TRY400 (it says it all)
        return 1


async def _run_until_stopped(runtime: Runtime, run: Run) -> int:
    pause = FIRST_PAUSE_SECONDS
    while not runtime.stopping.is_set():
        began_ns = monotonic_ns()
        try:
            await _run_once(runtime, run)
        except Retryable as error:
            if monotonic_ns() - began_ns > CALM_SECONDS * NANOSECONDS:
                pause = FIRST_PAUSE_SECONDS
            runtime.condition(WORKER, ok=False, detail=str(error))
            runtime.log.info("trying again", pause_seconds=pause, reason=str(error))
            await runtime.pause(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        except Corrupted as error:
            runtime.condition(WORKER, ok=False, detail=f"stopped: {error}")
            runtime.log.critical("our own records cannot be trusted", reason=str(error))
            runtime.trouble = str(error)
            await runtime.pause(LONGEST_PAUSE_SECONDS)
        except Exception as error:
            runtime.condition(WORKER, ok=False, detail=f"failed: {error!r}")
            runtime.log.critical("failed, the process ends", exc_info=error)
            return 1
        else:
            if not runtime.stopping.is_set():
                runtime.log.critical("the work ended without being asked to, the process ends")
                return 1
    runtime.log.info("stopped")
    return 0


async def _run_once(runtime: Runtime, run: Run) -> None:
    """Run the worker; once it is asked to stop it has some seconds, then it is cancelled.

    Cancelling loses nothing: a worker may be killed at any instruction.
    """
    work = asyncio.ensure_future(run(runtime))
    stopping = asyncio.ensure_future(runtime.stopping.wait())
    try:
        await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            runtime.condition(WORKER, ok=False, detail="stopping")
            await asyncio.wait((work,), timeout=DRAIN_SECONDS)
        if not work.done():
            await end_tasks(work)
            return
        await work
    finally:
        stopping.cancel()


async def _watch_parent(runtime: Runtime, parent: int) -> None:
    """Stop when the supervisor is gone: a new one starts workers of its own."""
    while parent and not runtime.stopping.is_set():
        if os.getppid() != parent:
            runtime.log.warning("the supervisor is gone, stopping", supervisor=parent)
            runtime.stopping.set()
        await runtime.pause(PARENT_SECONDS)
