"""The part of the demonstration that halts: three order systems, a runaway strategy, two people.

The order systems are processes of their own beside the fleet, as those of a trading firm are. What
they sent is counted on their tapes and not asked of them.
"""

import asyncio
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from time import sleep
from typing import Protocol

from operations import config
from operations.adapters import credentials, stored, stream, wire
from operations.adapters.publisher import Publisher
from operations.cli.bus import nats
from operations.cli.replay import USER, access
from operations.clock import NANOSECONDS, monotonic_ns, now_ns
from operations.config import Settings
from operations.errors import Corrupted, Retryable
from operations.events import subjects
from operations.events.halts import Documentation, HaltDocumented
from operations.simulation.order_flow import OMS_IDS, registrations
from operations.simulation.writer import Writer

RUNAWAY = "north-trend"
RUNAWAY_STEP = 20
ORDERS = 150  # that the runaway sends through each order system before somebody stops it
REASON = "it buys without end"
WAIT_SECONDS = 60.0
QUIET_SECONDS = 1.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.2
WAITS_FOR_COSIGN = 7  # exit code of `mts cmd resume`


class Run(Protocol):
    """Runs `mts` with arguments; what it says is shown and returned."""

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Run it; raises Corrupted when it ends with another exit code."""


Step = Callable[[str], AbstractContextManager[None]]


class Floor:
    """Three paper order systems on the fleet of the demonstration."""

    def __init__(self, settings: Settings, first_port: int, run: Run) -> None:
        self._settings = settings
        self._first_port = first_port
        self._run = run
        self._processes: list[subprocess.Popen[bytes]] = []

    def show(self, step: Step) -> None:
        """Do every step; raises when one does not do what it says."""
        with step(f"6  Start three order systems; in each of them {RUNAWAY} runs away"):
            asyncio.run(self._register())
            self._start()
            self._until(self._runs_away, f"{RUNAWAY} runs away")
            print(f"  orders of {RUNAWAY} at the venues: {_said(self._sent(RUNAWAY))}")
        with step("7  Halt it: each order system says in how many ms it blocked"):
            self._run("cmd", "halt", RUNAWAY, "--confirm", "HALT", "--reason", REASON)
            self._stays(RUNAWAY)
        with step("8  Halt the firm, and lift that: one person asks, a second one has to agree"):
            self._run("cmd", "halt", "--confirm", "HALT", "--reason", REASON)
            self._stays("")
            asked = ("cmd", "resume", "firm", "--confirm", "RESUME", "--reason", "only one ran")
            said = self._run(*asked, code=WAITS_FOR_COSIGN)
            self._stays("")
            self._cosign(said)
            before = self._sent("")
            self._until(lambda: self._sent("") > before, "the other strategies trade again")
            print(f"  the others trade again: {_said(self._sent(''))} orders")
            self._stays(RUNAWAY)
            self._run("halts")
        self.stop()

    def stop(self) -> None:
        """Stop the order systems."""
        processes, self._processes = self._processes, []
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    async def documented(self, count: int) -> list[Documentation]:
        """Return what is documented of the halts; raises Retryable when too few are."""
        deadline_ns = monotonic_ns() + int(WAIT_SECONDS * NANOSECONDS)
        async with wire.connection(nats(self._settings, "operator"), "operator") as client:
            while True:
                name, pattern = self._settings.nats.stream, HaltDocumented.pattern
                found = [
                    subjects.decode(each.subject, each.payload).data
                    async for each in stored.following(client, name, pattern, 1)
                ]
                records = [each for each in found if isinstance(each, Documentation)]
                if len(records) >= count:
                    return records
                if monotonic_ns() > deadline_ns:
                    raise Retryable(f"only {len(records)} of {count} halts are documented")
                await asyncio.sleep(POLL_SECONDS)

    async def last_sequence(self) -> int:
        """Return the last sequence of the stream."""
        async with wire.connection(nats(self._settings, "operator"), "operator") as client:
            return (await stream.info(client, self._settings.nats.stream)).state.last_seq

    async def _register(self) -> None:
        async with Publisher(access(self._settings), actor=USER) as publisher:
            for event in registrations(Writer("demonstration"), now_ns()):
                await publisher.publish(event)

    def _start(self) -> None:
        for number, oms_id in enumerate(OMS_IDS):
            port = self._first_port + number
            environment = credentials.order_system_environment(self._settings, oms_id, port)
            environment |= {
                "MTS_PAPER_OMS_ID": oms_id,
                "MTS_PAPER_RUNAWAY": RUNAWAY,
                "MTS_PAPER_RUNAWAY_STEP": str(RUNAWAY_STEP),
            }
            with self._settings.path(f"{oms_id}.log").open("ab") as log:
                self._processes.append(
                    subprocess.Popen(
                        [sys.executable, "-P", "-m", "workers", "paper_oms"],
                        env=config.subprocess_environment(environment),
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                )

    def _cosign(self, said: str) -> None:
        found = re.search(r"mts cmd cosign (\S+)", said)
        if not found:
            raise Corrupted("the answer to the resume does not say what to cosign")
        key = str(self._settings.path("keys", "cosigner.key"))
        options = ("--confirm", "COSIGN", "--reason", "looked at the positions", "--key", key)
        self._run("cmd", "cosign", found[1], *options)

    def _sent(self, strategy_id: str) -> list[int]:
        """Return how many orders of a strategy, or of all, each order system sent to its venue."""
        return [_sent(self._tape(oms_id), strategy_id) for oms_id in OMS_IDS]

    def _tape(self, oms_id: str) -> Path:
        return self._settings.path("paper", oms_id, "tape.jsonl")

    def _runs_away(self) -> bool:
        return min(self._sent(RUNAWAY)) >= ORDERS

    def _stays(self, strategy_id: str) -> None:
        """Show that nothing more reaches a venue; raises Corrupted when something does."""
        before = self._sent(strategy_id)
        sleep(QUIET_SECONDS)
        after = self._sent(strategy_id)
        who = strategy_id or "anybody"
        if after != before:
            raise Corrupted(f"orders of {who} reached a venue in spite of the halt: {_said(after)}")
        print(f"  {QUIET_SECONDS:g} s later there are no more orders of {who}: {_said(after)}")

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline_ns = monotonic_ns() + int(WAIT_SECONDS * NANOSECONDS)
        while not holds():
            if monotonic_ns() > deadline_ns:
                raise Retryable(f"after {WAIT_SECONDS:g} s it is still not so that {what}")
            sleep(POLL_SECONDS)


def _said(counts: list[int]) -> str:
    return ", ".join(f"{oms_id} {count}" for oms_id, count in zip(OMS_IDS, counts, strict=True))


def _sent(tape: Path, strategy_id: str) -> int:
    """Count the orders that went to a venue, by the tape of an order system."""
    strategies: dict[str, str] = {}
    sent: Counter[str] = Counter()
    for text in tape.read_bytes().splitlines(keepends=True) if tape.exists() else ():
        if not text.endswith(b"\n"):
            continue
        line = json.loads(text)
        if line["do"] == "want":
            strategies[line["ticket"]["order_id"]] = line["strategy_id"]
        elif line["do"] == "send":
            sent[strategies[line["order_id"]]] += 1
    return sent[strategy_id] if strategy_id else sent.total()
