"""How long after its publish was acknowledged is an event committed to the log?

The publisher runs in a process of its own at half the rate it reached alone; times of both sides
come from the one clock of the machine.
"""

import asyncio
import json
import subprocess
import sys

from rig import Row, admin, now, payload, percentile

from operations.adapters import credentials
from operations.adapters.sealer import Committed, Sealer
from operations.clock import now_ns
from operations.config import Nats, Postgres, Settings
from workers import audit
from workers.runtime import Runtime

WINDOW = 64
SECONDS = 5.0
SUBJECT = "mts.v1.trading.order.submitted"


async def publish(settings: Settings, seconds: float, rate: float = 0.0) -> list[tuple[int, int]]:
    """Publish with a window of acknowledged publishes; return (stream sequence, time in ns)."""
    acknowledged: list[tuple[int, int]] = []
    async with admin(settings) as client:
        stream = client.jetstream()
        window = asyncio.Semaphore(WINDOW)

        async def one(number: int) -> None:
            try:
                answer = await stream.publish(SUBJECT, payload(number), headers={"X": "1"})
                acknowledged.append((answer.seq, now_ns()))
            finally:
                window.release()

        tasks, began, number = set(), now(), 0
        while now() - began < seconds:
            if rate and number > (now() - began) * rate:
                await asyncio.sleep(0.001)
                continue
            await window.acquire()
            task = asyncio.create_task(one(number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
        await asyncio.gather(*tasks)
    return acknowledged


class Noting(Sealer):
    """The sealer, telling when each batch was durable."""

    commits: list[tuple[int, int]] = []  # noqa: RUF012 (one run, one list)

    async def _commit(self, before, sealed, newest) -> Committed:
        done = await super()._commit(before, sealed, newest)
        self.commits.append((sealed.head.stream_sequence, now_ns()))
        return done


async def measure(settings: Settings) -> list[Row]:
    """Return the table rows."""
    bare = len(await publish(settings, SECONDS)) / SECONDS
    mine = _as_audit_worker(settings)
    audit.Sealer = Noting  # the same worker, with a clock at its commits
    runtime = Runtime("audit", mine)
    work = asyncio.create_task(audit.run(runtime))
    while not runtime.conditions.ready:
        await asyncio.sleep(0.05)
    await asyncio.sleep(2)  # what the bare run left in the stream is sealed first
    code = [sys.executable, __file__, settings.home, str(settings.nats.port), str(bare / 2)]
    process = await asyncio.create_subprocess_exec(*code, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    acknowledged = [tuple(pair) for pair in json.loads(output)]
    await asyncio.sleep(1)
    runtime.stopping.set()
    await work
    delays = _delays(acknowledged, Noting.commits)
    half = len(acknowledged) / SECONDS
    return [
        Row("publish, acknowledged, window 64, nothing else running", bare, "events/s"),
        Row("publish rate during the measurement", half, "events/s"),
        Row("acknowledged to committed, p50", percentile(delays, 0.5), "ms"),
        Row(
            "acknowledged to committed, p99",
            percentile(delays, 0.99),
            "ms",
            bound_by="one fsync of Postgres, on the cores that also publish and store",
        ),
    ]


def _delays(acknowledged: list[tuple[int, int]], commits: list[tuple[int, int]]) -> list[float]:
    """Return ms from acknowledgement to commit; an event committed first counts as 0."""
    delays, place = [], 0
    for sequence, at_ns in sorted(acknowledged):
        while commits[place][0] < sequence:
            place += 1
        delays.append(max(0.0, (commits[place][1] - at_ns) / 1e6))
    return delays


def _as_audit_worker(settings: Settings) -> Settings:
    return Settings(
        home=settings.home,
        nats=Nats(
            port=settings.nats.port,
            user="audit",
            password=credentials.ensure_secret(credentials.nats_secret_file(settings, "audit")),
        ),
        postgres=Postgres(dsn=credentials.role_dsn(settings, "mts_sealer")),
    )


if __name__ == "__main__":
    home, port, rate = sys.argv[1:]
    there = Settings(home=home, nats=Nats(port=int(port)))
    print(json.dumps(asyncio.run(publish(there, SECONDS, float(rate)))))
