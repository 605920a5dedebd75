"""A paper order system: twelve accounts, a venue in memory, and halts that it obeys for real.

It embeds `operations.oms` as any order system does, so what the demo and the tests see of it is
what a real one would do. Start it as `python -m workers paper_oms` with the settings MTS_PAPER_...;
it is no part of the fleet.
"""

import secrets
from collections.abc import Mapping, Sequence

from operations import oms as library
from operations.adapters import service_bus
from operations.adapters.oms_cancels import OrderSystem, Progress
from operations.adapters.publisher import BufferFull, Publisher
from operations.adapters.steps import Step, onward
from operations.clock import now_ns
from operations.config import Settings
from operations.events.actions import ActionRequest
from operations.events.orders import CancelReason
from operations.halt.book import Order
from operations.oms import Oms
from operations.simulation.order_flow import OrderFlow
from workers.paper_actions import PaperActions
from workers.paper_desk import Desk
from workers.paper_tape import Tape
from workers.runtime import Runtime

MILLISECOND_NS = 1_000_000
MARK_STEPS = 20


class System(OrderSystem):
    """What the library asks of this order system."""

    desk: Desk
    actions: PaperActions

    async def cancel_orders(self, orders: Sequence[Order], halt_id: str) -> None:
        """Cancel orders for a halt and keep on until each has ended."""
        self.desk.look(now_ns())
        why: CancelReason = "halt" if halt_id else "risk"
        self.desk.cancel((order.order_id for order in orders), why, halt_id)

    async def send_exit(self, order: Order) -> None:
        """Send the order of a flatten through the gate and to the venue, once."""
        self.desk.look(now_ns())
        self.desk.exit(order)

    async def carry_out(self, actions: Sequence[ActionRequest]) -> Mapping[str, Progress]:
        """Work towards the targets of actions."""
        self.desk.look(now_ns())
        return self.actions.carry_out(actions)


class Trading:
    """One run of the desk: the market moves, strategies want, and the house hears about it."""

    def __init__(
        self, settings: Settings, desk: Desk, actions: PaperActions, publisher: Publisher
    ) -> None:
        paper = settings.paper
        self._desk = desk
        self._actions = actions
        self._publisher = publisher
        self._flow = OrderFlow(
            paper.seed, paper.oms_id, runaway=paper.runaway, runaway_from=paper.runaway_step
        )
        self._handed = desk.published
        self._steps = 0

    async def step(self) -> None:
        """Let one step of the market pass."""
        desk = self._desk
        desk.look(now_ns())
        desk.send_queued()
        desk.quote(self._flow.quotes())
        self._actions.work()
        # Who cannot tell the house what it does, does nothing new.
        if not desk.scribe.events:
            for wish in self._flow.wishes(desk.positions, desk.working()):
                if (allowed := self._actions.allowed(wish)) is not None:
                    desk.want(allowed)
        await self._publish()

    async def _publish(self) -> None:
        scribe, publisher = self._desk.scribe, self._publisher
        try:
            while scribe.events:
                await publisher.publish(scribe.events[0])
                scribe.events.popleft()
                self._handed += 1
            while scribe.refusals:
                await publisher.publish(scribe.refusals[0])
                scribe.refusals.popleft()
        except BufferFull:
            return
        self._steps += 1
        if self._steps % MARK_STEPS == 0 and not publisher.waiting:
            self._desk.mark_published(self._handed)


async def run(runtime: Runtime, at: Step = onward) -> None:
    """Trade and obey until the process is asked to stop."""
    settings = runtime.settings
    paper = settings.paper
    venue_ns = MILLISECOND_NS * max(1, paper.slow_ms if paper.mode == "slow" else paper.venue_ms)
    system, tape = System(), Tape(settings.paper_path)
    configuration = library.configured(
        settings, paper.oms_id, settings.paper_path, hear=paper.mode != "deaf"
    )
    oms = Oms(configuration, system, at)
    system.desk = Desk(paper.oms_id, secrets.token_hex(4), tape, oms.gate, at)
    system.actions = PaperActions(paper.oms_id, system.desk, oms.gate.registry)
    system.desk.restore(now_ns(), venue_ns, venue_ns)
    publisher = Publisher(service_bus.access(settings), actor=paper.oms_id)
    try:
        async with oms, publisher:
            trading = Trading(settings, system.desk, system.actions, publisher)
            runtime.condition("worker", ok=True, detail=f"{paper.oms_id} trades")
            while not runtime.stopping.is_set():
                await trading.step()
                await runtime.pause(paper.step_ms / 1000)
    finally:
        tape.close()
