"""What tests of halts share: a bus with keys and a roster, people and checks who sign, workers."""

import asyncio
import http.client
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

import msgspec
from support import PATIENCE_SECONDS, NatsHandle, eventually

from operations.adapters import accounts, judge, roster_files, stored, wire
from operations.adapters.ports import free_port
from operations.clock import NANOSECONDS, new_event_id, now_ns, rfc3339
from operations.config import Halt, Nats, Settings, subprocess_environment
from operations.errors import Denied, Rejected
from operations.events.base import Event, encode
from operations.events.commands import (
    CosignCommanded,
    CosignOrder,
    HaltCommanded,
    HaltOrder,
    ResumeCommanded,
    ResumeOrder,
)
from operations.events.findings import Finding, FindingRaised, Parameter
from operations.process_settings import Http
from operations.signing.message import HEADER, Signer
from workers import halt, runtime

ROOT = Path(__file__).resolve().parents[1]
HALTS = "mts.v1.operations.halt.>"
REQUESTED = "mts.v1.operations.halt.requested"


class Firm:
    """A NATS server with the development keys and roster of a firm below the same folder."""

    def __init__(self, nats: NatsHandle, **halt: Any) -> None:
        self.nats = nats
        self.halt = Halt(**({"order_systems": ""} | halt))
        self.max_age_days = 0
        self.base = Settings(home=nats.settings.home)
        roster_files.ensure_development(self.base)

    def settings(self, user: str, instance: int = 1) -> Settings:
        """Return the settings of a service or order system with its own credentials."""
        name = f"service-{user}" if user not in accounts.OMS else user
        return msgspec.structs.replace(
            self.base,
            nats=Nats(
                url=self.nats.url,
                user=user,
                password=self.nats.password(user),
                inbox=accounts.inbox(user),
                max_age_days=self.max_age_days,
            ),
            halt=msgspec.structs.replace(self.halt, instance=instance),
            http=Http(port=free_port()),
            service_key_file=str(self.base.path("keys", f"{name}.key")),
        )

    def signer(self, key: str) -> Signer:
        """Return what signs with one of the keys: operator, cosigner, service-halt, oms-1, ..."""
        private = roster_files.read_private(self.base.path("keys", f"{key}.key"))
        return Signer(private, self.base.audit.origin, self.base.environment)

    @asynccontextmanager
    async def connected(self, user: str) -> AsyncIterator["Person"]:
        """Connect as a user of the bus."""
        async with wire.connection(self.settings(user).nats, "test") as client:
            yield Person(self, client)

    @asynccontextmanager
    async def working(self, *instances: int) -> AsyncIterator[list[runtime.Runtime]]:
        """Run halt workers in this loop under the runtime's own rules, ready to work."""
        running, tasks = [], []
        for instance in instances or (1,):
            worker = runtime.Runtime("halt", self.settings("halt", instance))
            tasks.append(asyncio.create_task(runtime._run_until_stopped(worker, halt.run)))
            running.append(worker)
        try:
            yield running
        finally:
            for worker in running:
                worker.stopping.set()
            await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_SECONDS)

    async def stored(self, subject: str = HALTS) -> list[Event]:
        """Return the events of the stream on a subject that count."""
        judging = judge.for_service(self.base, self.base.path("halts", "test-roster.json"))
        async with self.connected("operator") as person:
            found = stored.following(person.client, "MTS", subject, 1)
            events = []
            async for each in found:
                with suppress(Rejected, Denied):
                    events.append(judging.ask(each).fact.event)
            return events

    async def active(self) -> set[str]:
        """Return the ids of the halts that the stream has and no lift has ended."""
        held: set[str] = set()
        for event in await self.stored():
            if event.subject.endswith(".requested"):
                held.add(event.data.halt_id)
            elif event.subject.endswith(".lifted"):
                held -= set(event.data.halt_ids)
        return held


class Person:
    """A connection to the bus that signs what it sends, and hears what it listens to."""

    def __init__(self, firm: Firm, client: wire.WireClient) -> None:
        self.firm, self.client = firm, client
        self.heard: list[tuple[str, dict[str, Any]]] = []

    async def listen(self, subject: str) -> None:
        def take(subject: bytes, _reply: bytes, _headers: bytes, payload: bytes) -> None:
            self.heard.append((subject.decode(), json.loads(payload or b"{}")))

        await self.client.subscribe_raw(subject, take)
        await self.client.flush()

    async def send(self, event: Event, key: str, **headers: str) -> str:
        """Publish an event signed with a key; returns its event id."""
        payload = encode(event)
        signed = {HEADER: self.firm.signer(key)(event.subject, payload), **headers}
        await self.client.publish(event.subject, payload, headers=signed)
        await self.client.flush()
        return event.event_id

    async def hears(self, subject: str, **data: Any) -> dict[str, Any]:
        """Wait until an event on a subject with such data was heard."""

        def found() -> dict[str, Any] | None:
            for name, event in self.heard:
                known = event.get("data", {})
                if name == subject and all(known.get(key) == data[key] for key in data):
                    return event
            return None

        return await eventually(found, f"{subject} {data} is heard")


def envelope(subject_id: str, **more: Any) -> dict[str, Any]:
    return {
        "event_id": new_event_id(),
        "timestamp": rfc3339(now_ns()),
        "actor": "test",
        "subject_id": subject_id,
        **more,
    }


def times(seconds: float = 600) -> dict[str, str]:
    now = now_ns()
    return {
        "command_id": new_event_id(),
        "issued_at": rfc3339(now),
        "expires_at": rfc3339(now + int(seconds * NANOSECONDS)),
    }


def halt_order(halt_id: str, level: str = "FIRM_HALT", **more: Any) -> HaltCommanded:
    data = HaltOrder(halt_id=halt_id, level=level, **times())
    return HaltCommanded(**envelope(halt_id, **more), data=data)


def resume_order(resume_id: str, *halt_ids: str) -> ResumeCommanded:
    data = ResumeOrder(
        resume_id=resume_id, halt_ids=halt_ids, treatment="CLEARED", reason="checked", **times()
    )
    return ResumeCommanded(**envelope(resume_id), data=data)


def cosign_order(resume_id: str, sha256: str) -> CosignCommanded:
    data = CosignOrder(resume_id=resume_id, resume_sha256=sha256, reason="checked too", **times())
    return CosignCommanded(**envelope(resume_id), data=data)


def loss(fund_id: str, episode: str = "", statistic: float = 0.2) -> FindingRaised:
    """Return a finding of the check daily_loss that is enough to stop a fund."""
    data = Finding(
        check="daily_loss",
        episode=episode or new_event_id(),
        severity="critical",
        title=f"{fund_id} lost too much today",
        looked_at=rfc3339(now_ns()),
        rule_version="1",
        statistic=statistic,
        statistic_name="loss_ratio",
        threshold=0.05,
        samples=100,
        parameters=(Parameter(name="confirmations", value="3"),),
        mode="act",
        halt_level="fund",
    )
    return FindingRaised(**envelope(fund_id, fund_id=fund_id), data=data)


class WorkerProcess:
    """A halt worker as a process: kill it, pause it."""

    def __init__(self, firm: Firm, instance: int = 1) -> None:
        settings = firm.settings("halt", instance)
        self._environment = {**subprocess_environment({}), "MTS_HOME": settings.home}
        self._environment["MTS_SERVICE_KEY_FILE"] = settings.service_key_file
        for section in ("nats", "halt", "http"):
            for name, value in msgspec.structs.asdict(getattr(settings, section)).items():
                self._environment[f"MTS_{section}_{name}".upper()] = str(value)
        self.port = settings.http.port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *crash: str) -> Self:
        """Start it; with a step, a count and KILL or STOP it does that to itself there."""
        program = ["-m", "workers", "halt"]
        if crash:
            program = [str(ROOT / "tests/workers/crash_at.py"), *crash, "halt"]
        self._process = subprocess.Popen(
            [sys.executable, "-P", *program],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()

    def send(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)

    async def died(self) -> None:
        """Wait until it has killed itself."""
        await eventually(lambda: self._process.poll() is not None, "it dies")
        assert self._process.returncode == -signal.SIGKILL

    async def paused(self) -> None:
        """Wait until it is stopped."""
        stat = Path(f"/proc/{self._process.pid}/stat")
        await eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")

    async def ready(self) -> None:
        """Wait until it says that it is ready."""
        await eventually(lambda: asyncio.to_thread(self._is_ready), "it is ready")

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        finally:
            connection.close()

    def end(self) -> None:
        if self._process and self._process.poll() is None:
            self.kill()


@asynccontextmanager
async def in_this_loop(
    name: str, settings: Settings, run: Callable[[runtime.Runtime], Awaitable[None]]
) -> AsyncIterator[runtime.Runtime]:
    """Run a worker in this loop under the runtime's own rules, and stop it at the end."""
    worker = runtime.Runtime(name, settings)
    task = asyncio.create_task(runtime._run_until_stopped(worker, run))
    try:
        yield worker
    finally:
        worker.stopping.set()
        await asyncio.wait_for(task, PATIENCE_SECONDS)


async def ready(*workers: runtime.Runtime) -> None:
    """Wait until halt workers have read everything and say so."""
    for worker in workers:
        await eventually(partial(_is_ready, worker), "the halt worker is ready")


def _is_ready(worker: runtime.Runtime) -> bool:
    return worker.conditions.ready
