"""What an order system embeds to obey halts: one gate, and everything that keeps it honest.

    async with Oms(configured(settings, "oms-1", folder), system) as oms:
        verdict = oms.gate.check(order)       # at acceptance: counts the order
        ...                                   # queue, throttle, wait for a trigger
        oms.gate.check_and_send(order, send)  # at the last hop: `send` runs only if it may

`system` cancels orders and sends exits when it is told to (see `OrderSystem`). The gate starts
closed and opens when the stream was read to its end; it falls back to REDUCE_ONLY by itself when
no halt worker is heard that holds the same halts. Nothing here raises because the bus is away, and
whatever fails in here closes the gate.
"""

import asyncio
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from msgspec import Struct

from operations.adapters import judge, oms_link, roster_files, wire
from operations.adapters.credentials import nats_url
from operations.adapters.judge import Judge, RosterWatch
from operations.adapters.oms_actions import ActionDuties
from operations.adapters.oms_cancels import OrderSystem
from operations.adapters.oms_duties import Duties, Voice
from operations.adapters.oms_file import FileHalts
from operations.adapters.oms_flatten import Flattener
from operations.adapters.oms_fold import ROSTER, Fold
from operations.adapters.oms_link import BusClock, Outbox
from operations.adapters.oms_memory import MemoryFile
from operations.adapters.sentinel import Sentinel
from operations.adapters.steps import Step, onward
from operations.adapters.stream import Reader
from operations.adapters.tasks import end_tasks
from operations.adapters.wire import WireClient
from operations.audit.chain import Delivery
from operations.clock import NANOSECONDS, monotonic_ns, new_event_id, now_ns, rfc3339
from operations.config import Nats, Settings
from operations.errors import OperationsError, Rejected, Retryable
from operations.events.commands import CancelAllCommanded, HaltCommanded
from operations.events.halts import HaltRequested, Mode
from operations.halt.gate import Gate
from operations.halt.lease import Lease
from operations.halt.signals import (
    BEAT_SECONDS,
    HEARTBEAT,
    HELD_AT_MOST,
    Held,
    Report,
    report_subject,
)
from operations.signing.keys import PrivateKey, PublicKey
from operations.signing.message import Signer

HEARD = (HaltRequested.pattern, HaltCommanded.pattern, CancelAllCommanded.pattern, ROSTER)
TURN_SECONDS = 0.05
RECONNECT_SECONDS = 0.25
READ_SECONDS = 0.5
UNPROTECTED_NS = 60 * NANOSECONDS
MOST_AT_ONCE = 64  # messages folded before the order path gets its turn


class OmsConfig(Struct, frozen=True, kw_only=True):
    """Who this order system is, where the bus is, and whom it believes.

    `root` and `environment` come from the order system's own settings, never from the bus. `folder`
    is its own and survives restarts: memory, newest roster, and the file HALT. Without `hear` it
    reads halts from the stream only, which is slower.
    """

    oms_id: str
    nats: Nats
    key: PrivateKey
    root: PublicKey
    origin: str
    environment: str
    folder: Path
    roster_file: Path | None = None
    build: str = ""
    hear: bool = True


def configured(
    settings: Settings, oms_id: str, folder: Path, *, hear: bool = True, build: str = ""
) -> OmsConfig:
    """Return the configuration of an order system from the settings of this process.

    Raises Rejected when its key or the public root key cannot be read.
    """
    return OmsConfig(
        oms_id=oms_id,
        nats=msgspec.structs.replace(settings.nats, url=nats_url(settings)),
        key=roster_files.read_private(settings.service_key_path),
        root=roster_files.read_public(settings.root_key_path),
        origin=settings.audit.origin,
        environment=settings.environment,
        folder=folder,
        roster_file=settings.roster_path,
        build=build or metadata.version("mts1b-operations"),
        hear=hear,
    )


class Oms:
    """Obeys halts in the name of one order system. Use it as an async context manager.

    `gate` may be used before it is entered, to state positions and restore working orders.
    `problem` says in words why the bus is not used at the moment; empty while it is.
    """

    def __init__(self, configuration: OmsConfig, system: OrderSystem, at: Step = onward) -> None:
        """Read memory and roster. Raises Corrupted, Denied or Rejected when one cannot be used."""
        self.problem = "not started"
        oms_id = configuration.oms_id
        signer = Signer(configuration.key, configuration.origin, configuration.environment)
        self.gate = Gate(oms_id, monotonic_ns)
        self._configuration = configuration
        self._memory = MemoryFile(configuration.folder / "oms.json", at)
        self._watch = RosterWatch(
            configuration.root,
            configuration.environment,
            configuration.folder / "roster.json",
            configuration.roster_file,
        )
        self._judge = Judge(configuration.origin, configuration.environment, self._watch)
        self._clock, self._lease = BusClock(), Lease()
        self._outbox = Outbox(oms_id, signer)
        self._duties = Duties(self.gate, self._memory, Voice(oms_id, self._outbox), system)
        flattener = Flattener(self.gate, self._duties, system)
        self._actions = ActionDuties(
            oms_id, self.gate, self._duties, system, self._clock, self._outbox
        )
        self._fold = Fold(
            self._judge, self.gate, self._lease, self._duties, flattener, self._clock, self._actions
        )
        self._files = FileHalts(oms_id, self.gate, self._duties, self._memory, self._outbox)
        self._sentinel = Sentinel(configuration.folder, self._files.saw)
        self._run, self._reports = new_event_id(), 0
        self._opened = asyncio.Event()
        self._opened_ns = 0
        self._client: WireClient | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start. Does not wait for the bus: the gate denies until the halts are known."""
        self._configuration.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sentinel.start()
        self._duties.restore()
        self._files.restore()
        for work in (self._stay_connected(), self._take_turns(), self._actions.work()):
            task = asyncio.create_task(work, name=f"oms {self._configuration.oms_id}")
            task.add_done_callback(self._ended)
            self._tasks.append(task)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, and close the gate for good."""
        self.gate.hold("BOOTING", "BLOCK_ALL", "the order system is stopping")
        self._sentinel.stop()
        await end_tasks(*self._tasks)
        await self._duties.close()

    async def opened(self) -> None:
        """Return when the halts of the stream are known and the gate lets pass what may."""
        await self._opened.wait()

    @property
    def refused(self) -> int:
        """How many messages were refused: unsigned, foreign or malformed."""
        return self._fold.refused

    def report(self) -> Report:
        """Return what this order system obeys at this moment."""
        halts = self.gate.halts
        why = [words for _, words in self.gate.holds.values()]
        mode: Mode | None = "BLOCK_ALL" if why else None
        if self.gate.lapsed:
            why.append(f"no lease: {self._lease.problem or 'no heartbeat came in time'}")
            mode = mode or "REDUCE_ONLY"
        why += filter(
            None, (self._duties.problem, self._duties.canceller.problem, self._actions.problem)
        )
        newest = list(halts.active.values())[-HELD_AT_MOST:]
        self._reports += 1
        return Report(
            oms_id=self._configuration.oms_id,
            run=self._run,
            count=self._reports,
            issued_at=rfc3339(now_ns()),
            build=self._configuration.build,
            sequence=halts.sequence,
            state_hash=halts.state_hash,
            mode=mode,
            why=tuple(why),
            held_count=len(halts.active),
            held=tuple(
                Held(
                    halt_id=each.halt_id,
                    level=each.scope.level,
                    scope_id=each.scope.id,
                    mode=each.mode,
                )
                for each in newest
            ),
            roster_version=self._watch.roster.body.version,
        )

    async def _stay_connected(self) -> None:
        """Read and speak on one connection after the other; what is heard is never waited for."""
        while True:
            try:
                nats = self._configuration.nats
                async with wire.connection(nats, self._configuration.oms_id) as client:
                    await self._serve(client)
            except OperationsError as error:
                self.problem = str(error)
            finally:
                self._client = None
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _serve(self, client: WireClient) -> None:
        configuration = self._configuration
        stream = configuration.nats.stream
        state = await oms_link.stream_state(client, stream, self._clock)
        await self._check_stream(state.created_ns)
        subjects = (HEARTBEAT, *HEARD) if configuration.hear else (HEARTBEAT,)
        for subject in subjects:
            await client.subscribe_raw(subject, self._hear)
        reader = Reader(client, stream, configuration.oms_id)
        await reader.rewind(self.gate.halts.sequence + 1)
        sending = asyncio.create_task(self._outbox.serve(client))
        self._fold.listening_since_ns = monotonic_ns()
        self._client, self.problem = client, ""
        try:
            while True:
                await self._read(client, reader)
                if sending.done():
                    raise Retryable(f"sending failed: {sending.exception()!r}")
        finally:
            self._client = None
            await end_tasks(sending)

    async def _read(self, client: WireClient, reader: Reader) -> None:
        deliveries = await reader.read(MOST_AT_ONCE, READ_SECONDS)
        for delivery in deliveries:
            self._take(delivery)
        if self._fold.live:
            return
        stream, consumer = self._configuration.nats.stream, self._configuration.oms_id
        at_end = deliveries and not _behind(deliveries[-1])
        if at_end or (not deliveries and await oms_link.is_drained(client, stream, consumer)):
            self._open()

    def _open(self) -> None:
        self._fold.go_live()
        self._opened_ns = monotonic_ns()
        self.gate.unhold("BOOTING")
        self._opened.set()

    async def _check_stream(self, created_ns: int) -> None:
        """Stay closed on another stream: it lacks lifts and halts that this one had."""
        known = self._memory.now.stream_created_ns
        if known in (0, created_ns):
            if not known:
                await self._duties.write(
                    lambda memory: msgspec.structs.replace(memory, stream_created_ns=created_ns)
                )
            return
        words = (
            f"the stream was created at {rfc3339(created_ns)}, and the one whose halts are obeyed "
            f"here at {rfc3339(known)}; find out what was lost, then remove "
            f"{self._configuration.folder / 'oms.json'} and start again"
        )
        self.gate.hold("BOOTING", "BLOCK_ALL", words)
        raise Rejected(words)

    def _take(self, delivery: Delivery) -> None:
        try:
            received = judge.stored(delivery)
        except Rejected:
            return
        self._guarded(received)

    def _hear(self, subject: bytes, _reply: bytes, headers: bytes, payload: bytes) -> None:
        try:
            received = judge.heard(subject, headers, payload)
        except Rejected:
            return
        # By the time of the bus: a clock that is minutes wrong must not make a key look invalid.
        self._guarded(received._replace(at_ns=self._clock.now_ns()))

    def _guarded(self, received: judge.Received) -> None:
        """Fold a message; what fails in an unforeseen way closes the gate."""
        try:
            self._fold.take(received, monotonic_ns())
        except Exception as error:  # noqa: BLE001 (a halt may be what could not be folded)
            words = f"a message on {received.subject[:200]} could not be folded: {error!r}"
            self.gate.hold("GATE_ERROR", "BLOCK_ALL", words)

    async def _take_turns(self) -> None:
        """Do what time brings, whether there is a connection or not."""
        next_report_ns = 0
        while True:
            now = monotonic_ns()
            self._fold.turn(now)
            self._protect(now)
            if now >= next_report_ns:
                next_report_ns = now + int(BEAT_SECONDS * NANOSECONDS)
                if self._watch.refresh():
                    self._fold.reconsider()
                await self._say_report()
            # Last, so that it is remembered before a report names it and others take it up.
            self._files.turn()
            await asyncio.sleep(TURN_SECONDS)

    def _protect(self, now: int) -> None:
        """Ask for cancels once the lease has been lapsed for a minute."""
        if not self._opened_ns:
            return
        if not self.gate.lapsed:
            self._duties.protected()
        elif now - max(self._lease.until_ns, self._opened_ns) >= UNPROTECTED_NS:
            self._duties.cancel_unprotected()

    async def _say_report(self) -> None:
        client = self._client
        if client is None:
            return
        subject = report_subject(self._configuration.oms_id)
        try:
            await self._outbox.say(client, subject, msgspec.json.encode(self.report()))
        except Exception as error:  # noqa: BLE001 (a connection may end in any way; it is renewed)
            self.problem = f"the report was not sent: {error!r}"

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            words = f"the order system's own part failed: {task.exception()!r}"
            self.gate.hold("GATE_ERROR", "BLOCK_ALL", words)
            self.problem = words


def _behind(delivery: Delivery) -> bool:
    """Whether the stream had more for this consumer when it delivered a message."""
    tokens = delivery[1].split(b".")
    return int(tokens[8 if len(tokens) == 9 else 10]) > 0
