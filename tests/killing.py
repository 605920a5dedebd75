"""An order system that kills itself at its own steps, and what it has to get done meanwhile."""

import signal
from decimal import Decimal
from pathlib import Path
from typing import get_args

from floor import Floor
from halting import envelope, times
from support import eventually

from operations.adapters import orders_of_people, roster_files
from operations.adapters.oms_memory import Deed, Memory, MemoryFile
from operations.adapters.publisher import Publisher
from operations.clock import new_event_id, now_ns, rfc3339
from operations.events.actions import ActionAnswered, ActionRequest, ActionRequested
from operations.events.commands import ReleaseCommanded, ReleaseOrder
from operations.events.halts import HaltRequested
from operations.halt.state import Scope
from operations.signing.message import Signer
from operations.simulation.order_flow import seats
from workers.paper_tape import AnyLine

OMS = "oms-1"
CRASHING = Path(__file__).parent / "workers" / "crash_at.py"
SOUTH, NORTH = Scope("FUND_HALT", "south"), Scope("FUND_HALT", "north")
PAPER = tuple(seat.account_id for seat in seats(OMS) if seat.trading == "paper")
HEARD = {"before remember heard", "after remember heard"}
CANCELED = {
    f"{side} {step}" for side in ("before", "after") for step in ("end halt", "remember canceling")
}
# It comes once in the life of a memory, and another step may kill right before it.
ONCE = "after remember stream_created_ns"
MOST = 20  # times that something is tried until chance lets it happen


def start(floor: Floor, times: int, chance: float) -> Path:
    """Start a halt worker and an order system that kills itself; returns where it notes that."""
    kills = floor.home / "kills"
    program = (str(CRASHING), "--each", str(kills), str(times), str(chance), "paper_oms")
    floor.start_halt()
    floor.start_oms(OMS, *program, MTS_PAPER_STEP_MS="20")
    return kills


async def is_told_and_does_it(floor: Floor) -> set[str]:
    """Tell it to reduce, cancel, halt, flatten, obey a file and resume; returns the halts' ids."""
    await eventually(lambda: floor.history_of(OMS).held(OMS, PAPER) > 2, "it holds")
    await it_reduces(floor)
    await it_cancels(floor)
    halt_id = await floor.halt(SOUTH)
    await acknowledged(floor, halt_id, "BLOCKING")
    await floor.order(orders_of_people.flatten("operator", halt_id, "south", PAPER, "a story"))
    await acknowledged(floor, halt_id, "FLAT")
    await eventually(lambda: "FLAT" in memory(floor).done[halt_id], "it is noted")
    assert floor.history_of(OMS).held(OMS, PAPER) == 0
    file_id = await a_file_stops_it(floor)
    halt_ids = [halt_id, file_id]
    # It hears of a halt before that is stored only if it lives, so some may not be enough.
    while len(halt_ids) < 4 or (len(halt_ids) < MOST and HEARD - killed(floor.home / "kills")):
        seat = seats(OMS)[len(halt_ids) % 4]
        halt_ids.append(await floor.halt(Scope("STRATEGY_HALT", seat.strategy_id)))
        await acknowledged(floor, halt_ids[-1], "BLOCKING")
    await floor.ask_to_resume(halt_ids)
    await floor.lifted(file_id)
    await floor.opens(OMS)
    await eventually(lambda: memory(floor).file is None, "the file is over")
    return set(halt_ids)


async def it_dies_at(floor: Floor, *steps: str) -> None:
    """Start the order system once for each step, at which it kills itself."""
    for step in steps:
        floor.start_oms(OMS, str(CRASHING), step, "1", "KILL", "paper_oms", MTS_PAPER_STEP_MS="20")
        await it_died(floor)


async def it_died(floor: Floor) -> None:
    process = floor.processes[OMS]
    await eventually(lambda: process.poll() is not None, "it kills itself")
    assert process.returncode == -signal.SIGKILL, floor.log(OMS)[-2000:]


def every_step() -> set[str]:
    """Return what changes the tape or the memory of an order system, before and after it did."""
    lines = {str(kind.__struct_config__.tag) for kind in get_args(AnyLine)}
    lines |= {f"{each} exit" for each in ("want", "send")}
    lines -= {"session"}  # nobody closes the market of a paper order system
    reasons = {"drop": "risk", "end": "halt"}  # a restart, and a cancel-all
    lines = {f"{each} {reasons.get(each, '')}".strip() for each in lines}
    fields = set(Memory.__struct_fields__) - {"done"}
    deeds = set(get_args(Deed)) - {"REFUSED"}  # of a flatten that went void: a story of its own
    remembered = {f"remember {each}" for each in fields | deeds}
    every = {f"{side} {each}" for side in ("before", "after") for each in lines | remembered}
    return every - {ONCE}


def killed(kills: Path) -> set[str]:
    """Return the steps at which it killed itself so far."""
    return set(kills.read_text().splitlines())


def none_is_missing(kills: Path) -> bool:
    missing = every_step() - killed(kills)
    assert not missing, sorted(missing)
    return True


async def it_reduces(floor: Floor) -> None:
    """Let a watchdog halve what a strategy holds, and a person end it."""
    key = roster_files.read_private(floor.home / "keys" / "service-watchdogs.key")
    signer = Signer(key, floor.settings.audit.origin, floor.settings.environment)
    action_id = new_event_id()
    request = ActionRequest(
        action_id=action_id, kind="reduce_allocation", episode=action_id, scope="strategy",
        scope_id=seats(OMS)[0].strategy_id, ack_deadline=rfc3339(now_ns()),
        allocation_factor=Decimal("0.5"),
    )  # fmt: skip
    head = envelope(action_id)
    async with Publisher(floor.access("watchdogs"), actor="watchdogs", signer=signer) as publisher:
        await publisher.confirm(ActionRequested(**head, data=request))

    async def completed() -> bool:
        said = [event.data for event in await floor.events(ActionAnswered)]
        return any((each.action_id, each.phase) == (action_id, "COMPLETED") for each in said)

    await eventually(completed, "it holds half")
    order = ReleaseOrder(action_id=action_id, reason="a story", **times())
    await floor.order(ReleaseCommanded(**envelope(action_id), data=order))
    await eventually(lambda: b'"do":"uncap"' in floor.tape(OMS).read_bytes(), "released")


async def it_cancels(floor: Floor) -> None:
    """Cancel everything, again while nothing was open: then there was nothing to die at."""
    for _ in range(MOST):
        await floor.trading(OMS)
        command = orders_of_people.cancel_all("operator", NORTH, "a story")
        await floor.order(command)
        await acknowledged(floor, command.data.command_id, "CANCEL_CONFIRMED")
        if killed(floor.home / "kills") >= CANCELED:
            return


async def a_file_stops_it(floor: Floor) -> str:
    """Lay down the file HALT and take it away; returns the id of the halt that remains."""
    before = {each.data.halt_id for each in await floor.events(HaltRequested)}
    file = floor.tape(OMS).with_name("HALT")
    file.write_text("smoke in the room")

    async def requested() -> str:
        found = await floor.events(HaltRequested)
        own = (each.data.halt_id for each in found if each.strategy_id == f"oms.{OMS}")
        return next((each for each in own if each not in before), "")

    halt_id = await eventually(requested, "the file becomes a halt")
    await acknowledged(floor, halt_id, "BLOCKING")
    file.unlink()
    await eventually(lambda: not memory(floor).file.present, "it saw the file go")
    return halt_id


def memory(floor: Floor) -> Memory:
    return MemoryFile(floor.tape(OMS).with_name("oms.json")).now


async def acknowledged(floor: Floor, halt_id: str, phase: str) -> None:
    await floor.acknowledged(halt_id, phase, by=(OMS,))
