"""Does every kind of error lead to what the house demands, and does a worker stop when asked?"""

import asyncio
import os
import signal
import subprocess
import sys

import msgspec
import pytest
from support import PATIENCE_SECONDS, eventually

from operations.adapters.ports import free_port
from operations.config import Settings, subprocess_environment
from operations.errors import Corrupted, Retryable
from operations.process_settings import Http
from workers import runtime
from workers.runtime import WORKER, Runtime

pytestmark = pytest.mark.integration


@pytest.fixture
def fresh(tmp_path) -> Runtime:
    settings = Settings(home=str(tmp_path))
    return Runtime("audit", msgspec.structs.replace(settings, http=Http(port=free_port())))


def detail(one: Runtime) -> str:
    return one.conditions.get(WORKER).detail


async def test_a_worker_starts_not_ready_and_is_ready_when_it_says_so(fresh: Runtime):
    async def run(one: Runtime):
        assert not one.conditions.ready
        one.condition(WORKER, ok=True, detail="works")
        await one.stopping.wait()

    serving = asyncio.create_task(runtime._serve(fresh, run, 0))
    await eventually(lambda: fresh.conditions.ready)
    fresh.stopping.set()
    assert await serving == 0


async def test_what_may_succeed_later_is_tried_again_in_the_same_process(fresh: Runtime):
    calls = []

    async def run(one: Runtime):
        calls.append(detail(one))
        if len(calls) < 3:
            raise Retryable(f"database away {len(calls)}")
        one.stopping.set()

    assert await runtime._serve(fresh, run, 0) == 0
    assert calls == ["starting", "database away 1", "database away 2"]


async def test_records_that_cannot_be_trusted_keep_the_worker_down_but_reporting(fresh: Runtime):
    async def run(one: Runtime):
        raise Corrupted("entry 7 does not hash to its hash")

    serving = asyncio.create_task(runtime._serve(fresh, run, 0))
    await eventually(lambda: "entry 7" in detail(fresh))
    assert not serving.done()
    assert not fresh.conditions.ready
    fresh.stopping.set()
    assert await serving == 0


async def test_a_mistake_in_the_program_ends_the_process(fresh: Runtime):
    async def run(one: Runtime):
        raise KeyError("order_id")

    assert await runtime._serve(fresh, run, 0) == 1


async def test_work_that_ends_by_itself_is_a_mistake(fresh: Runtime):
    async def run(one: Runtime):
        return

    assert await runtime._serve(fresh, run, 0) == 1


async def test_a_worker_that_does_not_end_is_cancelled(fresh: Runtime, monkeypatch):
    monkeypatch.setattr(runtime, "DRAIN_SECONDS", 0.05)

    async def run(one: Runtime):
        one.stopping.set()
        await asyncio.Event().wait()

    assert await runtime._serve(fresh, run, 0) == 0


async def test_metrics_are_made_once_however_often_the_worker_is_called(fresh: Runtime):
    class Metrics:
        def __init__(self, registry):
            self.registry = registry

    assert fresh.once(Metrics) is fresh.once(Metrics)
    assert fresh.once(Metrics).registry is fresh.registry


SCRIPT = """
import asyncio, sys
from workers import runtime

async def run(one):
    one.condition("worker", ok=True, detail="works")
    await one.stopping.wait()

sys.exit(runtime.serve("audit", run, int(sys.argv[1])))
"""


def start_worker(home, parent: int) -> subprocess.Popen:
    changes = {"MTS_HOME": str(home), "MTS_HTTP_PORT": str(free_port())}
    environment = subprocess_environment(changes)
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(parent)], env=environment, stdout=subprocess.PIPE
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_process_stops_on_the_signals_of_people_and_supervisors(tmp_path, number):
    with start_worker(tmp_path, os.getpid()) as process:
        assert b"works" in process.stdout.readline()
        process.send_signal(number)
        assert process.wait(PATIENCE_SECONDS) == 0


def test_a_worker_whose_supervisor_is_gone_stops_by_itself(tmp_path):
    somebody_else = 1
    with start_worker(tmp_path, somebody_else) as process:
        assert process.wait(PATIENCE_SECONDS) == 0
