"""One worker process as the supervisor sees it: started, looked at, restarted, stopped."""

import asyncio
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

import psutil

from operations.clock import NANOSECONDS, monotonic_ns
from workers import WORKERS, servers

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
CALM_SECONDS = 60.0  # after living this long, pauses start small again
LOOK_SECONDS = 2.0
STOP_PAUSES_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
LONGEST_LINE_BYTES = 1024 * 1024


class Say(Protocol):
    """Where a line goes; `source` names the worker that wrote it."""

    def __call__(self, text: str, source: str = ...) -> None:
        """Record a line."""


class Child:
    """A worker that is kept running until `stop`."""

    def __init__(self, name: str, environment: Mapping[str, str], url: str, say: Say) -> None:
        self.name = name
        self._environment = environment
        self._url = url
        self._say = say
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._trouble = "starting"

    @property
    def pid(self) -> int:
        """Process id; 0 while there is none."""
        process = self._process
        return process.pid if process and process.returncode is None else 0

    def start(self) -> None:
        """Start the process and keep it running."""
        self._keeping = asyncio.create_task(self._keep())

    async def look(self) -> tuple[bool, str]:
        """Ask the process whether it can do its work; returns that and the detail."""
        if not self.pid:
            return False, self._trouble
        return await asyncio.to_thread(self._ask)

    async def stop(self) -> None:
        """Ask the process to stop, wait with growing pauses, then kill it and say so."""
        self._stopping.set()
        process = self._process
        if process and process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGCONT)  # a paused process takes its signal only then
            for seconds in STOP_PAUSES_SECONDS:
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await process.wait()
                    break
            else:
                self._say(f"{self.name} did not stop in {sum(STOP_PAUSES_SECONDS)} s: killed")
                process.kill()
        if self._keeping:
            await self._keeping

    async def _keep(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            began_ns = monotonic_ns()
            code = await self._run()
            if self._stopping.is_set():
                return
            if monotonic_ns() - began_ns > CALM_SECONDS * NANOSECONDS:
                pause = FIRST_PAUSE_SECONDS
            self._trouble = f"ended with exit code {code}, starts again in {pause:g} s"
            self._say(f"{self.name} {self._trouble}")
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _run(self) -> int:
        process = await asyncio.create_subprocess_exec(
            *command(self.name),
            "--parent",
            str(os.getpid()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment,
            limit=LONGEST_LINE_BYTES,
            start_new_session=True,
        )
        self._process = process
        assert process.stdout
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # a line longer than the limit: the rest follows as lines
                continue
            if not line:
                break
            self._say(line.decode(errors="replace").rstrip(), self.name)
        return await process.wait()

    def _ask(self) -> tuple[bool, str]:
        try:
            with urllib.request.urlopen(  # noqa: S310 (http)
                f"{self._url}/readyz", timeout=LOOK_SECONDS
            ) as answer:
                page = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                page = json.load(error)
        except (urllib.error.URLError, OSError, ValueError) as error:
            return False, f"process {self.pid} does not answer {self._url}/readyz: {error}"
        conditions = page["conditions"]
        bad = [f"{name}: {one['detail']}" for name, one in conditions.items() if not one["ok"]]
        good = [one["detail"] for one in conditions.values()]
        return bool(page["ready"]), f"process {self.pid}; " + "; ".join(bad or good)


def command(name: str) -> list[str]:
    """Return how a worker is started."""
    return [sys.executable, "-P", "-m", "workers", name]


def leftover_workers(home: str) -> list[psutil.Process]:
    """Return workers on this data folder whose supervisor is gone."""

    def matches(process: psutil.Process) -> bool:
        line = process.cmdline()
        if line[1:4] != ["-P", "-m", "workers"] or not {*line[4:5]} & {*WORKERS}:
            return False
        return process.environ().get("MTS_HOME") == home

    return servers.running_with(matches)
