"""How long is it until halts are obeyed after a start, and until silence is noticed?

The stream holds the life of 10,000 halts as signed: what asked for each, its request, what every
order system answered; nine in ten were lifted by a person. Timed are the state alone, everything a
halt worker keeps, a halt worker until its first heartbeat and an order system until its gate opens.
Then one of three order systems is killed before a halt, and at last the only halt worker is paused.
"""

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import msgspec
from halting import NoOrders, finding, open_for_trade, user
from rig import BATCH, Row, Worker, admin, now

from operations import config
from operations.adapters import accounts, credentials, roster_files, wire
from operations.adapters.ports import free_port
from operations.clock import NANOSECONDS, new_event_id, now_ns, rfc3339
from operations.config import Settings
from operations.events.base import Event, derived_id, encode
from operations.events.commands import ResumeCommanded, ResumeOrder
from operations.events.findings import FindingCleared
from operations.events.halts import (
    Acknowledgement,
    Activation,
    HaltAcknowledged,
    HaltActivated,
    HaltLifted,
    HaltRequested,
    Lift,
    SignedOrder,
)
from operations.halt import manager
from operations.halt.desk import KIND, MISSING, Desk
from operations.halt.records import Ask
from operations.halt.signals import HEARTBEAT, LEASE_SECONDS
from operations.halt.signoff import Trust
from operations.halt.state import FIRM, Fact, Halts
from operations.oms import Oms, configured
from operations.signing.message import HEADER, Signer

EPISODES, ACTIVE, IN_ONE_LIFT = 10_000, 1_000, 100
HALT, LIMITS, PERSON = "service-halt", "service-limits", "operator"
SILENT = "fund-silent"  # the fund that is halted while an order system is dead
FOUND = "mts.v1.operations.finding.halt.raised"
DEADLINE_SECONDS, SHOWN_SECONDS, LOOK_SECONDS = 1.0, 1.0, 0.001
SLACK_SECONDS = 0.05  # two connections hear one heartbeat, and asking takes a turn of the loop


def envelope(subject_id: str) -> dict:
    """The part that all events have; the actor is who signs."""
    at = rfc3339(now_ns())
    return {"event_id": new_event_id(), "timestamp": at, "actor": HALT, "subject_id": subject_id}


class History:
    """The events of 10,000 halts in the order of the stream, each with who signed it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._signers = {name: self._signer(name) for name in (HALT, LIMITS, PERSON, *accounts.OMS)}
        root = roster_files.read_public(settings.root_key_path)
        known = roster_files.read_roster(settings.roster_path, root, 1, settings.environment)
        self.trust = Trust(known, settings.audit.origin, settings.environment)
        self.facts: list[tuple[Fact, str]] = []
        self.messages: list[tuple[str, bytes, str]] = []  # subject, payload, signature
        requests = [self._episode(number) for number in range(EPISODES)]
        over = requests[:-ACTIVE]
        for first in range(0, len(over), IN_ONE_LIFT):
            self._lift(tuple(each.data.halt_id for each in over[first : first + IN_ONE_LIFT]))

    def _signer(self, name: str) -> Signer:
        key = roster_files.read_private(self._settings.path("keys", f"{name}.key"))
        return Signer(key, self._settings.audit.origin, self._settings.environment)

    def _add(self, event: Event, name: str) -> SignedOrder:
        payload = encode(event)
        signature = self._signers[name](event.subject, payload)
        place = len(self.messages) + 1
        self.facts.append((Fact(event, place, now_ns(), sha256(payload).hexdigest()), name))
        self.messages.append((event.subject, payload, signature))
        return SignedOrder(subject=event.subject, payload=payload.decode(), signature=signature)

    def _episode(self, number: int) -> HaltRequested:
        raised = finding(f"fund-{number}")
        order = self._add(raised, LIMITS)
        desk = Desk(self.trust)
        ask = Ask(self.facts[-1][0], LIMITS, order)
        desk.hear(ask)
        (request,) = manager.decide(desk, ask, now_ns())
        assert isinstance(request, HaltRequested)
        self._add(request, HALT)
        halt_id = request.data.halt_id
        took_effect = Activation(
            halt_id=halt_id, state_hash="0" * 64, expected_oms_ids=accounts.OMS
        )
        event_id = derived_id(request.event_id, "activated", halt_id, 0)
        event = HaltActivated(**envelope(halt_id) | {"event_id": event_id}, data=took_effect)
        self._add(event, HALT)
        for oms_id in accounts.OMS:
            answer = Acknowledgement(oms_id=oms_id, halt_id=halt_id, phase="BLOCKING", via="core")
            self._add(HaltAcknowledged(**envelope(halt_id), data=answer), oms_id)
        if number < EPISODES - ACTIVE:
            fund = f"fund-{number}"
            self._add(FindingCleared(**envelope(fund), fund_id=fund, data=raised.data), LIMITS)
        return request

    def _lift(self, halt_ids: tuple[str, ...]) -> None:
        resume_id, at = new_event_id(), now_ns()
        order = ResumeOrder(
            command_id=new_event_id(),
            issued_at=rfc3339(at),
            expires_at=rfc3339(at + 1800 * NANOSECONDS),
            resume_id=resume_id,
            halt_ids=halt_ids,
            treatment="CLEARED",
            reason="the cause is gone",
        )
        signed = self._add(ResumeCommanded(**envelope(resume_id), data=order), PERSON)
        lift = Lift(
            halt_ids=halt_ids,
            resume_id=resume_id,
            treatment="CLEARED",
            remaining_halt_ids=(),
            signed_by=(PERSON,),
            orders=(signed,),
        )
        self._add(HaltLifted(**envelope(resume_id), data=lift), HALT)

    async def publish(self, settings: Settings) -> None:
        """Put everything into the stream, in atomic batches."""
        async with admin(settings) as client:
            for first in range(0, len(self.messages), BATCH):
                part = self.messages[first : first + BATCH]
                batch = uuid.uuid4().hex
                for number, (subject, payload, signature) in enumerate(part, 1):
                    headers = {
                        "Nats-Batch-Id": batch,
                        "Nats-Batch-Sequence": str(number),
                        HEADER: signature,
                    }
                    if number < len(part):
                        await client.publish(subject, payload, headers=headers)
                        continue
                    headers["Nats-Batch-Commit"] = "1"
                    reply = await client.request(subject, payload, headers=headers, timeout=30)
                    if b'"error"' in reply.data:
                        raise RuntimeError(reply.data)


def fold_state(history: History) -> float:
    """Time of requests and lifts alone, in seconds."""
    halts = Halts()
    began = now()
    for fact, _ in history.facts:
        if isinstance(fact.event, HaltRequested):
            halts.request(fact)
        elif isinstance(fact.event, HaltLifted):
            halts.lift(fact)
    assert len(halts.active) == ACTIVE
    return now() - began


def fold_desk(history: History) -> float:
    """Time of everything that a halt worker keeps, lifts judged, in seconds."""
    desk = Desk(history.trust, frozenset(accounts.OMS))
    order = SignedOrder(subject="", payload="", signature="")
    began = now()
    for fact, signer in history.facts:
        if isinstance(fact.event, HaltAcknowledged) or not fact.event.subject.startswith(
            "mts.v1.operations.halt."
        ):
            desk.hear(Ask(fact, signer, order))
        else:
            desk.take(fact)
    assert len(desk.halts.active) == ACTIVE
    return now() - began


class Ear:
    """Hears heartbeats and findings of halt workers, each with when it came."""

    def __init__(self, client) -> None:
        self._client = client
        self.beat_at = 0.0
        self.missing: dict[str, float] = {}  # by order system
        self.changed = asyncio.Event()

    async def listen(self) -> None:
        await self._client.subscribe_raw(HEARTBEAT, self._beat)
        await self._client.subscribe_raw(FOUND, self._finding)
        await self._client.flush()

    def _beat(self, *_message) -> None:
        self.beat_at = now()
        self.changed.set()

    def _finding(self, _subject, _reply, _headers, payload) -> None:
        found = msgspec.json.decode(payload)
        named = {each["name"]: each["value"] for each in found["data"]["parameters"]}
        if named.get(KIND) == MISSING and found.get("fund_id") == SILENT:
            self.missing.setdefault(named["oms_id"], now())
            self.changed.set()

    async def next_beat(self) -> float:
        before = self.beat_at
        while self.beat_at == before:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 60)
        return self.beat_at

    async def hears_of(self, oms_id: str) -> float:
        while oms_id not in self.missing:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 60)
        return self.missing[oms_id]


def environment_of(settings: Settings, oms_id: str) -> dict[str, str]:
    made = credentials.order_system_environment(settings, oms_id, free_port())
    return config.subprocess_environment(made)


async def boot(oms_id: str) -> None:
    """Start one order system and print how many seconds it took to open, and its restart."""
    settings = config.load()
    folder = Path(settings.home) / f"bench-{oms_id}"
    for _ in range(2):
        began = now()
        async with Oms(configured(settings, oms_id, folder), NoOrders()) as oms:
            await oms.opened()
            print(now() - began, flush=True)
            while len(_remembered(folder)) < ACTIVE:
                await asyncio.sleep(0.05)


def _remembered(folder: Path) -> list[str]:
    """Halts that an order system knows to have acknowledged."""
    file = folder / "oms.json"
    return msgspec.json.decode(file.read_bytes()).get("blocking", []) if file.exists() else []


async def booted(settings: Settings, oms_id: str) -> tuple[float, float]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "boot", oms_id,
        env=environment_of(settings, oms_id), stdout=subprocess.PIPE,
    )  # fmt: skip
    answer, _ = await asyncio.wait_for(process.communicate(), 60)
    first, again = map(float, answer.split())
    return first, again


@asynccontextmanager
async def order_systems(settings: Settings) -> AsyncIterator[dict[str, subprocess.Popen]]:
    program = str(Path(__file__).with_name("halting.py"))
    processes = {
        oms_id: subprocess.Popen(
            [sys.executable, program, "oms", oms_id], env=environment_of(settings, oms_id)
        )
        for oms_id in accounts.OMS
    }
    try:
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


async def missing(settings: Settings, client, ear: Ear) -> float:
    """Kill one of three order systems, halt a fund, and return when that is said, in seconds."""
    key = roster_files.read_private(settings.path("keys", f"{LIMITS}.key"))
    signer = Signer(key, settings.audit.origin, settings.environment)
    async with order_systems(settings) as processes:
        await open_for_trade(client)
        # Two of them start for the first time, and acknowledge every halt before this one.
        for oms_id in accounts.OMS:
            while len(_remembered(Path(settings.home) / f"bench-{oms_id}")) < ACTIVE:
                await asyncio.sleep(0.05)
        await ear.next_beat()
        await ear.next_beat()
        *_, victim = processes
        processes[victim].kill()
        event = finding(SILENT)
        payload = encode(event)
        began = now()
        await client.publish(
            event.subject, payload, headers={HEADER: signer(event.subject, payload)}
        )
        return await ear.hears_of(victim) - began


async def lapsed(settings: Settings, worker: Worker, ear: Ear) -> float:
    """Pause the only halt worker; return when a gate says so, in seconds after a heartbeat."""
    oms_id = accounts.OMS[0]
    mine = config.load(credentials.order_system_environment(settings, oms_id, free_port()))
    folder = Path(settings.home) / f"bench-{oms_id}"
    async with Oms(configured(mine, oms_id, folder), NoOrders()) as oms:
        await oms.opened()
        while oms.gate.lapsed:
            await asyncio.sleep(LOOK_SECONDS)
        await ear.next_beat()
        os.kill(worker.process.pid, signal.SIGSTOP)
        try:
            while oms.gate.probe(FIRM).code != "LEASE_LAPSED":
                await asyncio.sleep(LOOK_SECONDS)
            return now() - ear.beat_at
        finally:
            os.kill(worker.process.pid, signal.SIGCONT)


async def measure(settings: Settings) -> list[Row]:
    """Return the table rows."""
    history = History(settings)
    state, desk, count = fold_state(history), fold_desk(history), len(history.messages)
    await history.publish(settings)
    del history
    async with (
        wire.connection(user(settings, accounts.ADMIN), "bench") as speaker,
        wire.connection(user(settings, accounts.ADMIN), "bench") as listener,
    ):
        ear = Ear(listener)
        await ear.listen()
        began = now()
        worker = Worker(settings, "halt")
        try:
            beat = await ear.next_beat() - began
            first, again = await booted(settings, accounts.OMS[0])
            shown = await missing(settings, speaker, ear) - DEADLINE_SECONDS
            lost = await lapsed(settings, worker, ear)
        finally:
            worker.process.kill()
            worker.process.wait()
    return [
        *_rows(count, state, desk, beat, first, again),
        Row(
            "missing acknowledgement, shown after its deadline",
            shown,
            "s",
            f"<= {SHOWN_SECONDS:g}",
            shown <= SHOWN_SECONDS,
            "a halt worker looks five times a second",
        ),
        Row(
            "halt worker paused, from its last heartbeat to LEASE_LAPSED",
            lost,
            "s",
            f"<= {LEASE_SECONDS:g}, and {SLACK_SECONDS * 1000:g} ms to see it",
            lost <= LEASE_SECONDS + SLACK_SECONDS,
            "the lease itself",
        ),
    ]


def _rows(
    count: int, state: float, desk: float, beat: float, first: float, again: float
) -> list[Row]:
    what = f"{EPISODES:,} halts"
    signatures = f"signatures and decoding in one Python process; {count:,} messages"
    return [
        Row(f"{what}, state folded", state, "s", "< 1", state < 1, "one core: Python itself"),
        Row(f"{what}, everything of a halt worker folded", desk, "s", "", None, f"{count:,} facts"),
        Row(f"{what}, halt worker: process to first heartbeat", beat, "s", "", None, signatures),
        Row(
            f"{what}, order system opens for the first time", first, "s", "", None,
            f"signatures, and {ACTIVE:,} halts to acknowledge",
        ),
        Row(f"{what}, order system opens again", again, "s", "", None, signatures),
    ]  # fmt: skip


if __name__ == "__main__":
    asyncio.run(boot(sys.argv[2]))
