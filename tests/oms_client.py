"""An order system that obeys halts, written from docs/oms-protocol.md and from nothing else.

It imports nothing of the product: what it needs and the document lacks, is a mistake of the
document. It trades nothing by itself; its gate answers as section 9 says.
"""

import asyncio
import json
import threading
import time
import uuid
from contextlib import suppress
from typing import Any

from oms_client_actions import Actions
from oms_client_state import OPS, Obedience, Settings, parse
from oms_client_wire import Bus, Key, Message, nanoseconds, signed_bytes

NAMESPACE = uuid.UUID("6f1ad0c2-5a3e-5b0c-9d8e-0d6d74732e31")
HEARD = (
    "ops.v1.halt.heartbeat", f"{OPS}.halt.requested", f"{OPS}.command.halt",
    f"{OPS}.command.cancel_all", f"{OPS}.roster.published",
)  # fmt: skip


def now() -> str:
    """Return the time as it stands in events."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Client(Obedience):
    """The order system. `run` it until cancelled."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.key = Key(settings.key)
        self._run, self._count = uuid.uuid4().hex, 0
        self._outbox: list[tuple[str, bytes, dict[str, str]]] = []
        self._stop = threading.Event()
        self._actions = Actions()

    async def run(self) -> None:
        """Obey until cancelled, on one connection after the other (sections 5, 8 and 10)."""
        loop = asyncio.get_running_loop()
        looking = threading.Thread(target=self._look, args=(loop,))
        looking.start()
        for event in [*self.memory["heard"].values()]:
            self.request(event, stored=False, via="snapshot")
        try:
            while True:
                settings = self.settings
                bus = Bus(settings.port, settings.oms_id, settings.password)
                with suppress(OSError, TimeoutError):
                    await bus.connect()
                    try:
                        await self._serve(bus)
                    finally:
                        await bus.close()
                await asyncio.sleep(0.25)
        finally:
            self._stop.set()
            await asyncio.to_thread(looking.join)

    async def _serve(self, bus: Bus) -> None:
        found = await bus.request("$JS.API.STREAM.INFO.MTS")
        if self.memory["stream"] not in ("", found["created"]):
            self.refused.append("another stream")
            await asyncio.sleep(3600)
        self.memory["stream"] = found["created"]
        self.save()
        self.saw_now(found["ts"])
        for subject in HEARD:
            bus.subscribe(subject, self._hear)
        works = (self._read(bus), self._send(bus), self._report(bus), self._turn(), bus.reading)
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    self.refused.append(f"connection: {result!r}")

    def _hear(self, message: Message) -> None:
        self.take(message, None, self.bus_time())

    async def _read(self, bus: Bus) -> None:
        name = self.settings.oms_id
        await bus.request(f"$JS.API.CONSUMER.RESET.MTS.{name}", {"seq": self.sequence + 1})
        arrived: asyncio.Queue[Message] = asyncio.Queue()
        inbox = bus.new_inbox() + ".pull"
        bus.subscribe(inbox, arrived.put_nowait)
        pull = json.dumps({"batch": 256, "expires": 30_000_000_000}).encode()
        owed = 0
        while True:
            if owed <= 0:
                bus.publish(f"$JS.API.CONSUMER.MSG.NEXT.MTS.{name}", pull, inbox)
                owed = 256
            try:
                message = await asyncio.wait_for(arrived.get(), 0.5)
            except TimeoutError:
                info = await bus.request(f"$JS.API.CONSUMER.INFO.MTS.{name}")
                if not info["num_pending"]:
                    self._open()
                continue
            if not message.reply.startswith("$JS.ACK."):
                owed = 0
                continue
            owed -= 1
            tokens = message.reply.split(".")
            shift = 2 if len(tokens) in (11, 12) else 0
            sequence, at_ns = int(tokens[5 + shift]), int(tokens[7 + shift])
            self.saw(at_ns)
            self.take(message, sequence, at_ns)
            self.folded(sequence, message.subject)
            if tokens[8 + shift] == "0":
                self._open()

    def _open(self) -> None:
        if self.holds.pop("BOOTING", None) is None:
            return
        for halt_id, event in self.requests.items():
            if halt_id not in self.lifted and halt_id not in self.memory["acknowledged"]:
                self.obey(halt_id, event, "stream", time.monotonic())

    async def _turn(self) -> None:
        """Obey a person directly while no halt worker is heard."""
        began = time.monotonic()
        while True:
            silent = time.monotonic() - max(self.heard_at, began) >= 3
            for halt_id, event in list(self.pending.items()):
                if halt_id in self.halts or halt_id in self.lifted:
                    del self.pending[halt_id]
                elif silent and "BOOTING" not in self.holds:
                    self.request(event, stored=False, via="core")
            await asyncio.sleep(0.05)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look for the file HALT every 100 ms, in a thread of its own."""
        there = False
        while not self._stop.wait(0.1):
            try:
                there, before = (
                    "HALT" in [each.name for each in self.settings.folder.iterdir()],
                    there,
                )
            except OSError:
                there, before = True, there
            if there:
                self.holds["FILE_HALT"] = "BLOCK_ALL"
            else:
                self.holds.pop("FILE_HALT", None)
            if there and not before:
                loop.call_soon_threadsafe(self._begin_own)

    def _begin_own(self) -> None:
        """Halt everything in here in the own name (section 10)."""
        check, oms_id = f"oms_{self.settings.oms_id}", self.settings.oms_id
        if self.memory["episode"]:
            return
        episode = self.memory["episode"] = uuid.uuid4().hex
        self.save()
        parts = (f"{episode} ", f"halt.{check}", f"STRATEGY_HALT oms.{oms_id}", "0")
        halt_id = str(uuid.uuid5(NAMESPACE, "".join(f"{len(each)}:{each}" for each in parts)))
        cause = {"strategy_id": f"oms.{oms_id}"}
        data = {"halt_id": halt_id, "level": "STRATEGY_HALT"}
        self.request({**cause, "data": data}, stored=False, via="file")
        finding = {
            "check": check, "episode": episode, "severity": "critical", "title": "the file HALT",
            "looked_at": now(), "rule_version": "1", "mode": "act", "halt_level": "strategy",
        }  # fmt: skip
        self._tell(f"{OPS}.finding.{check}.raised", oms_id, finding, cause)

    # Actions, section 12.

    def denied(self, strategy_id: str, fund_id: str, account_id: str, quantity: Any) -> str:
        """Return the code of the denial of a new order: of a halt, else of an action."""
        code = super().denied(strategy_id, fund_id, account_id, quantity)
        return code or self._actions.against(strategy_id, fund_id, self.bus_time())

    def _fold(self, message: Message, sequence: int | None, at_ns: int) -> None:
        verbs = {f"{OPS}.action.requested": self._asked, f"{OPS}.command.release_action": self._end}
        if message.subject not in verbs:
            super()._fold(message, sequence, at_ns)
        elif sequence is not None:  # believed only from the stream
            header = message.header("Mts-Signature")
            self._judged(message.subject, message.payload, header, at_ns, (message.subject,))
            verbs[message.subject](parse(message.payload)["data"], at_ns)

    def _asked(self, data: dict[str, Any], _at_ns: int) -> None:
        oms_id, action_id = self.settings.oms_id, data["action_id"]
        for answer in self._actions.take(data):
            key = f"{action_id} {answer['phase']}"
            if key not in self.memory["acknowledged"]:
                self.memory["acknowledged"].append(key)
                self.save()
                said = {"oms_id": oms_id, "action_id": action_id, **answer}
                self._tell(f"{OPS}.action.answered.{oms_id}", action_id, said, {})

    def _end(self, data: dict[str, Any], at_ns: int) -> None:
        if at_ns < nanoseconds(data["expires_at"]):
            self._actions.release(data["action_id"])

    # What is said, section 8.

    def say(self, halt_id: str, phase: str, via: str, event: dict[str, Any], **more: Any) -> None:
        oms_id = self.settings.oms_id
        data = {"oms_id": oms_id, "halt_id": halt_id, "phase": phase, "via": via, **more}
        self._tell(f"{OPS}.halt.acknowledged.{oms_id}", halt_id, data, event)

    def _tell(
        self, subject: str, subject_id: str, data: dict[str, Any], cause: dict[str, Any]
    ) -> None:
        event = {
            "event_id": str(uuid.uuid4()), "timestamp": now(), "actor": self.settings.oms_id,
            "subject_id": subject_id, "data": data,
        }  # fmt: skip
        event |= {name: cause[name] for name in ("strategy_id", "fund_id") if cause.get(name)}
        payload = json.dumps(event).encode()
        headers = self._signature(subject, payload)
        headers["Nats-Msg-Id"] = f"{subject}:{event['event_id']}"
        self._outbox.append((subject, payload, headers))

    def _signature(self, subject: str, payload: bytes) -> dict[str, str]:
        settings = self.settings
        signed = signed_bytes(settings.origin, settings.environment, subject, payload)
        return {"Mts-Signature": self.key.header(signed)}

    async def _send(self, bus: Bus) -> None:
        """Publish each until it has a sequence; nothing waits for this."""
        while True:
            while self._outbox:
                subject, payload, headers = self._outbox[0]
                with suppress(TimeoutError):
                    answer = await bus.request(subject, None, headers, payload, seconds=1)
                    if answer.get("seq"):
                        self._outbox.pop(0)
            await asyncio.sleep(0.005)

    async def _report(self, bus: Bus) -> None:
        subject = f"ops.v1.oms.lease.{self.settings.oms_id}"
        while True:
            active = {i: halt for i, halt in self.halts.items() if i not in self.lifted}
            lapsed = time.monotonic() >= self.lease_until
            self._count += 1
            report = {
                "oms_id": self.settings.oms_id, "run": self._run, "count": self._count,
                "issued_at": now(), "build": "protocol", "sequence": self.sequence,
                "state_hash": self.state_hash(), "why": [*self.holds, *["no lease"] * lapsed],
                "mode": "BLOCK_ALL" if self.holds else "REDUCE_ONLY" if lapsed else None,
                "held_count": len(active), "roster_version": self.roster.version,
                "held": [[i, *halt.scope, halt.mode] for i, halt in [*active.items()][-1000:]],
            }  # fmt: skip
            payload = json.dumps(report).encode()
            bus.publish(subject, payload, headers=self._signature(subject, payload))
            await asyncio.sleep(1)
