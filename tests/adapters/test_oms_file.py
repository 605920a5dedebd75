"""Is a file HALT one halt, told once, however slow the disk and the event loop are?"""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from halted import lifted, opened_gate
from support import eventually

from operations.adapters.oms_duties import Duties, Voice
from operations.adapters.oms_file import FileHalts
from operations.adapters.oms_link import Outbox
from operations.adapters.oms_memory import MemoryFile
from operations.adapters.steps import Step, onward
from operations.clock import monotonic_ns, now_ns
from operations.events import subjects
from operations.events.halts import HaltAcknowledged
from operations.halt.state import Episode, Fact
from operations.halt.verdicts import own_scope
from operations.signing.keys import new_key
from operations.signing.message import Signer

pytestmark = pytest.mark.unit


class NoOrders:
    """An order system without orders."""

    async def cancel_orders(self, orders, halt_id) -> None:
        """Cancel nothing."""

    async def send_exit(self, order) -> None:
        """Send nothing."""


class Trial:
    """The file part of an order system, turned by hand; `at` stands where its disk does."""

    def __init__(self, folder: Path, at: Step = onward) -> None:
        self.gate = opened_gate("oms-1", monotonic_ns)
        self.memory = MemoryFile(folder / "oms.json", at)
        self.outbox = Outbox("oms-1", Signer(new_key("oms-1"), "test", "development"))
        self.duties = Duties(self.gate, self.memory, Voice("oms-1", self.outbox), NoOrders())
        self.files = FileHalts("oms-1", self.gate, self.duties, self.memory, self.outbox)

    @property
    def halts(self) -> list[Episode]:
        active = self.gate.halts.active.values()
        return [each for each in active if each.scope == own_scope("oms-1")]

    @property
    def findings(self) -> int:
        waiting = self.outbox._waiting.values()
        return sum(each.subject.startswith("mts.v1.operations.finding.") for each in waiting)

    @property
    def acknowledged(self) -> list[str]:
        waiting = self.outbox._waiting.values()
        events = [subjects.decode(each.subject, each.payload) for each in waiting]
        return [each.data.phase for each in events if isinstance(each, HaltAcknowledged)]

    async def turn_until(self, holds: Callable[[], bool]) -> None:
        def turned() -> bool:
            self.files.turn()
            return holds()

        await eventually(turned)


async def test_a_file_is_one_halt_when_the_disk_takes_longer_than_a_turn(tmp_path):
    disk = threading.Event()
    trial = Trial(tmp_path, lambda _step: disk.wait(10))
    trial.files.saw("smoke in the room")
    for _ in range(20):
        trial.files.turn()
        await asyncio.sleep(0)
    assert (len(trial.halts), trial.findings) == (1, 0)
    disk.set()
    await trial.turn_until(lambda: trial.findings == 1)
    assert [each.halt_id for each in trial.halts] == [trial.memory.now.file.halt_id]
    await trial.duties.close()


async def test_a_file_that_cannot_be_remembered_is_one_halt_and_told_all_the_same(tmp_path):
    def full(_step: str) -> None:
        raise OSError("no space left")

    trial = Trial(tmp_path, full)
    trial.files.saw("smoke in the room")
    await trial.turn_until(lambda: trial.findings > 0 and bool(trial.duties.problem))
    for _ in range(20):
        trial.files.turn()
        await asyncio.sleep(0)
    assert (len(trial.halts), trial.findings) == (1, 1)
    await trial.duties.close()


async def test_a_file_that_is_gone_before_the_loop_gets_its_turn_is_a_halt(tmp_path):
    trial = Trial(tmp_path)
    trial.files.saw("smoke in the room")
    trial.files.saw(None)
    await trial.turn_until(lambda: trial.findings == 1)
    assert len(trial.halts) == 1
    await trial.turn_until(lambda: not trial.memory.now.file.present)
    await trial.duties.close()


async def test_after_a_restart_a_file_is_the_halt_that_it_was_until_it_is_lifted(tmp_path):
    first = Trial(tmp_path)
    first.files.saw("smoke in the room")
    await first.turn_until(lambda: first.findings == 1)
    await first.duties.close()
    (halt,) = first.halts
    again = Trial(tmp_path)
    again.files.restore()
    again.files.saw("smoke in the room")
    again.files.turn()
    assert [each.halt_id for each in again.halts] == [halt.halt_id]
    assert again.findings == 1
    again.gate.lift(lifted(halt.halt_id))
    again.files.saw(None)
    await again.turn_until(lambda: again.memory.now.file is None)
    assert again.halts == []
    await again.duties.close()


async def test_who_died_before_it_said_that_a_file_blocks_says_so_when_the_halt_comes_back(
    tmp_path,
):
    first = Trial(tmp_path)
    first.files.saw("smoke in the room")
    await first.turn_until(lambda: first.findings == 1)
    await first.duties.close()  # and nothing left the outbox
    again = Trial(tmp_path)
    again.files.restore()
    assert again.acknowledged == []
    request = again.files._request(again.memory.now.file)
    for sequence in (7, 8):  # once, however often it is read
        again.duties.obey(Fact(request, sequence, now_ns(), ""), "stream", monotonic_ns())
        assert again.acknowledged == ["RECEIVED", "BLOCKING"]
    await again.duties.close()
