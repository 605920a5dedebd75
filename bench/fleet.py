"""Does every worker keep its memory, how far do the others lag, how long until all is ready?"""

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from rig import Row, Worker, database, now, prefill

from operations import config
from operations.adapters.ports import free_port
from operations.config import Settings

EVENTS = 1_000_000
NAMES = ("audit", "checkpoint", "projection")
FLAT_MB = 30.0
_SIZES = """
    SELECT (SELECT size FROM audit.head),
           (SELECT max(size) FROM audit.checkpoint),
           (SELECT size FROM audit.projection)
"""


async def measure(settings: Settings) -> list[Row]:
    """Return the table rows."""
    return [*until_ready(), *await under_load(settings)]


async def under_load(settings: Settings) -> list[Row]:
    """Run all workers over a million events and watch their memory and how far they are."""
    await prefill(settings, EVENTS)
    workers = {name: Worker(settings, name) for name in NAMES}
    early, late, lags, caught_up = {}, {}, (0, 0), 0.0
    sealed_at = 0.0
    try:
        async with database(settings) as looking:
            while True:
                sealed, signed, shown = (size or 0 for size in await looking.fetchrow(_SIZES))
                memory = {name: worker.memory_mb() for name, worker in workers.items()}
                for name, size in zip(NAMES, (sealed, signed, shown), strict=True):
                    if size > EVENTS // 5:
                        early.setdefault(name, memory[name])
                    late[name] = memory[name]
                if sealed > EVENTS and not sealed_at:
                    sealed_at, lags = now(), (sealed - signed, sealed - shown)
                if min(signed, shown) > EVENTS:
                    caught_up = now() - sealed_at
                    break
                await asyncio.sleep(0.1)
    finally:
        for worker in workers.values():
            worker.stop()
    rows = [
        Row("checkpoint worker behind, when all was sealed", lags[0], "entries"),
        Row("projection worker behind, when all was sealed", lags[1], "entries"),
        Row("until both had caught up", caught_up, "s", bound_by="two cores for five processes"),
    ]
    for name in NAMES:
        growth = late[name] - early[name]
        rows.append(
            Row(f"memory of {name}, growth from 200 k to 1 M events", growth, "MB",
                f"<= {FLAT_MB:.0f}", growth <= FLAT_MB)
        )  # fmt: skip
        rows.append(Row(f"memory of {name} after 1 M events", late[name], "MB"))
    return rows


def until_ready() -> list[Row]:
    """Time `mts start` on an empty folder, and again on the same one."""
    with tempfile.TemporaryDirectory(prefix="mts-bench-", dir="/var/tmp") as home:
        Path(home).chmod(0o755)
        environment = config.subprocess_environment(
            {
                "MTS_HOME": home,
                "MTS_NATS_PORT": str(free_port()),
                "MTS_NATS_MONITOR_PORT": str(free_port()),
                "MTS_POSTGRES_PORT": str(free_port()),
                "MTS_HTTP_PORT": str(free_port()),
            }
        )
        times = []
        for _ in range(2):
            began = now()
            _mts("start", environment)
            times.append(now() - began)
            _mts("stop", environment)
    return [
        Row("mts start to ready, first time", times[0], "s"),
        Row("mts start to ready, again", times[1], "s"),
    ]


def _mts(command: str, environment: dict[str, str]) -> None:
    program = str(Path(sys.executable).with_name("mts"))
    subprocess.run([program, command], env=environment, check=True, capture_output=True)
