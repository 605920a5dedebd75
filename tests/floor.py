"""A trading floor of real processes: a NATS server, halt workers and three paper order systems.

Processes are started as people start them, and killed, paused and cut off as machines do it to
them. What happened is read afterwards from the stream and the tapes (see `history.py`).
"""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
from history import History, read_history, read_stream
from support import PATIENCE_SECONDS, NatsHandle, eventually

from operations.adapters import (
    accounts,
    credentials,
    orders_of_people,
    roster_files,
    stored,
    wire,
)
from operations.adapters.link import Access
from operations.adapters.orders_of_people import Person
from operations.adapters.ports import free_port
from operations.adapters.publisher import Publisher
from operations.clock import now_ns, rfc3339
from operations.config import Nats, Settings, subprocess_environment
from operations.events import subjects
from operations.events.base import Event
from operations.events.commands import ResumeCommanded
from operations.events.halts import HaltAcknowledged, HaltLifted
from operations.events.orders import GateRejected
from operations.halt.state import Scope
from operations.simulation.order_flow import OMS_IDS, registrations
from operations.simulation.writer import Writer
from workers.paper_tape import FILE, read_tape

STORE_SECONDS = 60.0


class Floor:
    """The processes of one test; `end` stops all of them."""

    def __init__(self, nats: NatsHandle) -> None:
        self.nats = nats
        self.settings: Settings = nats.settings
        self.home = Path(self.settings.home)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, tuple[Sequence[str], dict[str, str]]] = {}
        roster_files.ensure_development(self.settings)

    # Processes.

    def start_halt(self, instance: int = 1, **more: str) -> None:
        """Start a halt worker."""
        environment = credentials.worker_environment(self.settings, "halt", free_port())
        environment |= {
            "MTS_HALT_INSTANCE": str(instance),
            "MTS_HALT_JOURNAL_DIR": str(self.home / f"halts-{instance}"),
        }
        self._start(f"halt-{instance}", ("-m", "workers", "halt"), environment | more)

    def start_oms(self, oms_id: str = "oms-1", *program: str, **more: str) -> None:
        """Start a paper order system, or another `program` as it; `more` are settings for it."""
        environment = credentials.order_system_environment(self.settings, oms_id, free_port())
        environment |= {"MTS_PAPER_OMS_ID": oms_id, "MTS_PAPER_SEED": "7"}
        self._start(oms_id, program or ("-m", "workers", "paper_oms"), environment | more)

    def start_all(self, **more: str) -> None:
        """Start one halt worker and three order systems."""
        self.start_halt()
        for oms_id in OMS_IDS:
            self.start_oms(oms_id, **more)

    def _start(self, name: str, program: Sequence[str], environment: dict[str, str]) -> None:
        self._started[name] = program, environment
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-P", *program],
                env=subprocess_environment(environment),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """Kill -9."""
        self.processes[name].kill()
        self.processes[name].wait()

    def stop(self, name: str) -> None:
        """Ask a process to end, and wait until it has."""
        self.processes[name].terminate()
        self.processes[name].wait(PATIENCE_SECONDS)

    def restart(self, name: str) -> None:
        """Kill -9 and start again with the same settings."""
        self.kill(name)
        self._start(name, *self._started[name])

    def pause(self, name: str) -> None:
        """SIGSTOP."""
        self.processes[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self.processes[name].send_signal(signal.SIGCONT)

    @asynccontextmanager
    async def revived(self, *names: str) -> AsyncIterator[None]:
        """Start workers again whenever they have killed themselves."""

        async def watch() -> None:
            while True:
                for name in names:
                    code = self.processes[name].poll()
                    assert code in (None, -signal.SIGKILL), self.log(name)[-2000:]
                    if code is not None:
                        self.restart(name)
                await asyncio.sleep(0.02)  # how often it is looked at

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            if not watching.cancelled():
                watching.result()

    def log(self, name: str) -> str:
        """Return what a process wrote."""
        return (self.home / f"{name}.log").read_text(errors="replace")

    def end(self) -> None:
        """Stop every process."""
        for process in self.processes.values():
            if process.poll() is None:
                psutil.Process(process.pid).resume()
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # People.

    def access(self, user: str) -> Access:
        """Return how a user reaches the server itself, past every proxy."""
        return Access(url=self.nats.url, user=user, password=self.nats.password(user))

    def person(self, name: str = "operator") -> Person:
        """Return a person with a key of the development roster."""
        access = self.access("operator")
        nats = Nats(url=access.url, user=access.user, password=access.password)
        return orders_of_people.person(self.settings, nats, self.home / "keys" / f"{name}.key")

    async def order(self, event: Event, name: str = "operator") -> int:
        """Send a signed command; returns its place in the stream."""
        return await orders_of_people.store(self.person(name), event, STORE_SECONDS)

    async def register(self) -> None:
        """Publish the registry of the paper firm."""
        async with Publisher(self.access("publisher"), actor="registry") as publisher:
            for event in registrations(Writer(f"floor-{self.home}"), now_ns()):
                await publisher.publish(event)

    async def halt(self, scope: Scope, mode: str = "BLOCK_ALL") -> str:
        """Let the operator halt something; returns the id of the halt."""
        command = orders_of_people.halt("operator", scope, mode, "a story", environment="live")
        await self.order(command)
        return command.data.halt_id

    async def ask_to_resume(self, halt_ids: Sequence[str]) -> ResumeCommanded:
        """Let the operator ask for a lift; returns the command as it was sent."""
        command = orders_of_people.resume(
            "operator", tuple(halt_ids), "CLEARED", None, "the story is over"
        )
        await self.order(command)
        return command

    async def cosign(self, resume: ResumeCommanded) -> None:
        """Let a second person agree to exactly the bytes that the first one signed."""
        subject = ResumeCommanded.pattern
        async with wire.connection(self.admin, "cosigner") as client:
            sent = [each async for each in stored.following(client, "MTS", subject, 1)]
        payload = next(each.payload for each in sent if resume.event_id.encode() in each.payload)
        resume_id = resume.data.resume_id
        command = orders_of_people.cosign("cosigner", resume_id, payload, "looked at by a second")
        await self.order(command, "cosigner")

    # What happened.

    @property
    def admin(self) -> Nats:
        """How the checker reaches the server."""
        user = accounts.ADMIN
        return Nats(url=self.nats.url, user=user, password=self.nats.password(user))

    async def events(self, kind: type[Event]) -> list[Any]:
        """Return every event of a kind that the stream holds."""
        return [each.event for each in await read_stream(self.admin, subjects.wildcard(kind))]

    async def acknowledged(
        self, halt_id: str, phase: str = "BLOCKING", by: Sequence[str] = OMS_IDS,
    ) -> None:  # fmt: skip
        """Wait until order systems are so far with a halt."""

        async def there() -> bool:
            return set(by) <= await self.who(halt_id, phase)

        await eventually(there, f"{phase} of {halt_id} by {', '.join(by)}")

    async def who(self, halt_id: str, phase: str) -> set[str]:
        """Return the order systems that said so much of a halt."""
        said = [event.data for event in await self.events(HaltAcknowledged)]
        return {each.oms_id for each in said if (each.halt_id, each.phase) == (halt_id, phase)}

    async def denied(self, oms_id: str, code: str) -> None:
        """Wait until the gate of an order system refuses an order with a code, from now on."""
        since = rfc3339(now_ns())

        async def there() -> bool:
            found = [each for each in await self.events(GateRejected) if each.timestamp > since]
            return any((each.actor, each.data.rule_id) == (oms_id, code) for each in found)

        await eventually(there, f"{oms_id} refuses with {code}")

    async def lifted(self, halt_id: str) -> None:
        """Wait until the stream holds a lift of a halt."""

        async def there() -> bool:
            return any(halt_id in each.data.halt_ids for each in await self.events(HaltLifted))

        await eventually(there, f"the lift of {halt_id}")

    def tape(self, oms_id: str) -> Path:
        """Return where an order system keeps its tape."""
        return self.home / "paper" / oms_id / FILE

    async def trading(self, *oms_ids: str) -> None:
        """Wait until order systems send orders that they did not send before."""
        for oms_id in oms_ids or OMS_IDS:
            before = self.sent(oms_id)
            await eventually(
                lambda oms_id=oms_id, before=before: self.sent(oms_id) > before,
                f"{oms_id} trades",
            )  # fmt: skip

    def opened(self, oms_id: str, since_ns: int, until_ns: int) -> list[str]:
        """Return the orders that an order system sent meanwhile and that could open a position."""
        return self.history_of(oms_id).opened(oms_id, since_ns, until_ns)

    def history_of(self, oms_id: str) -> History:
        """Return what an order system has sent so far, by its tape alone."""
        path = self.tape(oms_id)
        return History([], {oms_id: list(read_tape(path)) if path.exists() else []})

    async def opens(self, oms_id: str) -> None:
        """Wait until an order system sends orders that open positions, from now on."""
        since_ns = now_ns()
        await eventually(
            lambda: self.opened(oms_id, since_ns, 1 << 63), f"{oms_id} opens positions"
        )

    async def holds(self, account_ids: Sequence[str]) -> None:
        """Wait until every order system has positions in some of these accounts."""

        def everywhere() -> bool:
            tapes = {oms_id: list(read_tape(self.tape(oms_id))) for oms_id in OMS_IDS}
            return all(History([], tapes).held(oms_id, account_ids) for oms_id in OMS_IDS)

        await eventually(everywhere, "every order system holds something")

    def sent(self, oms_id: str) -> int:
        """Return how many orders went to the venue."""
        path = self.tape(oms_id)
        return path.read_bytes().count(b'"do":"send"') if path.exists() else 0

    async def history(self, skews_ns: Mapping[str, int] | None = None) -> History:
        """Stop the order systems in order and read everything that happened."""
        for name, process in self.processes.items():
            if name in OMS_IDS and process.poll() is None:
                psutil.Process(process.pid).resume()
                process.terminate()
                await asyncio.to_thread(process.wait, PATIENCE_SECONDS)
        tapes = {oms_id: self.tape(oms_id) for oms_id in OMS_IDS}
        return await read_history(self.admin, tapes, skews_ns)
