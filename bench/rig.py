"""Real servers and real workers for a measurement, below a folder of their own."""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg
import msgspec
import nats
import psutil
from nats.aio.client import Client

from operations import config
from operations.adapters import accounts, credentials, provision
from operations.adapters.ports import free_port
from operations.config import Nats, Postgres, Settings
from operations.process_settings import Http
from workers.nats_server import NatsServer
from workers.postgres_server import PostgresServer

SUBJECT = "mts.v1.trading.order.submitted"
BATCH = 1000


class Row(NamedTuple):
    """One measured value of the table."""

    name: str
    value: float
    unit: str
    target: str = ""
    met: bool | None = None
    bound_by: str = ""


@contextmanager
def servers() -> Iterator[Settings]:
    """NATS and Postgres with stream, schema, users and keys; gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="mts-bench-", dir="/var/tmp"))
    home.chmod(0o755)
    settings = Settings(
        home=str(home),
        nats=Nats(port=free_port(), monitor_port=free_port()),
        postgres=Postgres(port=free_port()),
        http=Http(port=free_port()),
    )
    parts = (NatsServer(settings), PostgresServer(settings))
    try:
        for part in parts:
            part.start()
        asyncio.run(provision.provision(settings))
        yield settings
    finally:
        for part in parts:
            part.stop()
        subprocess.run(["rm", "-rf", str(home)], check=False)


@asynccontextmanager
async def admin(settings: Settings) -> AsyncIterator[Client]:
    """A connection that may do anything on the bus."""
    client = await nats.connect(
        f"nats://127.0.0.1:{settings.nats.port}",
        user=accounts.ADMIN,
        password=credentials.ensure_secret(credentials.nats_secret_file(settings, accounts.ADMIN)),
        inbox_prefix=accounts.inbox(accounts.ADMIN).encode(),
        pending_size=64 * 1024 * 1024,
    )
    try:
        yield client
    finally:
        await client.close()


def payload(number: int) -> bytes:
    """An event of about 300 bytes of JSON."""
    event = {
        "event_id": f"0199aaaa-bbbb-7ccc-8ddd-{number:012d}",
        "timestamp": "2026-11-20T20:00:00.123456789Z",
        "actor": "oms-1",
        "source": "oms@host-3",
        "subject_id": f"ord-{number % 5000}",
        "fund_id": "alpha",
        "strategy_id": "mean-rev",
        "order_id": f"ord-{number % 5000}",
        "data": {"symbol": "AAPL", "side": "buy", "quantity": "100", "limit_price": "187.25"},
    }
    return msgspec.json.encode(event)


async def prefill(settings: Settings, count: int) -> None:
    """Put events into the stream, in atomic batches; each carries one header of its own."""
    async with admin(settings) as client:
        for first in range(0, count, BATCH):
            batch = uuid.uuid4().hex
            for number in range(1, BATCH + 1):
                headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
                data = payload(first + number)
                if number < BATCH:
                    await client.publish(SUBJECT, data, headers=headers)
                else:
                    headers["Nats-Batch-Commit"] = "1"
                    reply = await client.request(SUBJECT, data, headers=headers, timeout=30)
                    if b'"error"' in reply.data:
                        raise RuntimeError(reply.data)


class Worker:
    """One worker process of the fleet."""

    def __init__(self, settings: Settings, name: str) -> None:
        environment = credentials.worker_environment(settings, name, free_port())
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workers", name],
            env=config.subprocess_environment(environment | {"MTS_LOG_LEVEL": "error"}),
        )
        self._watched = psutil.Process(self.process.pid)

    def memory_mb(self) -> float:
        return self._watched.memory_info().rss / 1e6

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection, for looking."""
    connected = await asyncpg.connect(credentials.admin_dsn(settings))
    try:
        yield connected
    finally:
        await connected.close()


async def fresh_log(settings: Settings, number: int) -> Settings:
    """Return the same servers with an empty database and an empty signer's memory."""
    fresh = msgspec.structs.replace(
        settings,
        postgres=msgspec.structs.replace(settings.postgres, database=f"bench_{number}"),
        audit=msgspec.structs.replace(
            settings.audit, checkpoint_dir=str(settings.path(f"checkpoints-{number}"))
        ),
    )
    await provision.provision_database(fresh)
    return fresh


def median(values: list[float]) -> float:
    return statistics.median(values)


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def now() -> float:
    return time.perf_counter()


def save(part: str, rows: list[Row], file: Path) -> None:
    """Write what a part measured as JSON, with the kind of machine; other parts stay."""
    document = json.loads(file.read_text()) if file.exists() else {}
    document[part] = {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": psutil.virtual_memory().total >> 30,
        "rows": [row._asdict() for row in rows],
    }
    file.write_text(json.dumps(document, indent=1) + "\n")
