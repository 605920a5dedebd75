"""What an order system does about actions: the gate enforces some, the order system the others.

An answer is said when it is true: ACKNOWLEDGED when it will be done, COMPLETED when the target was
looked at and holds, REFUSED with the reason. What was said already is read from the stream, so a
restart says only the rest. Only a stored order of a person ends what a person has to end.
"""

import asyncio
from contextlib import suppress

from operations.actions.state import Action, Actions
from operations.actions.targets import BY_PERSON, WORKED
from operations.adapters.oms_cancels import Cancels, OrderSystem, Progress
from operations.adapters.oms_duties import Duties
from operations.adapters.oms_link import BusClock, Outbox
from operations.clock import monotonic_ns, parse_rfc3339
from operations.events.actions import ActionAnswer, ActionAnswered, ActionRequested
from operations.events.base import derived_id
from operations.events.commands import ReleaseCommanded
from operations.halt.gate import Gate
from operations.halt.policy import LEVELS
from operations.halt.restrictions import restriction
from operations.halt.state import Scope

LOOK_SECONDS = 0.1
FAILED_SECONDS = 1.0
RULE = "oms.action"
_PLACE = {"ACKNOWLEDGED": 0, "COMPLETED": 1, "REFUSED": 2}


class ActionDuties:
    """Everything that one order system owes to actions. For the event loop only.

    `problem` says what the order system failed at last; empty while nothing does.
    """

    def __init__(
        self, oms_id: str, gate: Gate, duties: Duties, system: OrderSystem, clock: BusClock,
        outbox: Outbox,
    ) -> None:  # fmt: skip
        self.problem = ""
        self.actions = Actions()
        self._oms_id = oms_id
        self._gate = gate
        self._duties = duties
        self._system = system
        self._clock = clock
        self._outbox = outbox
        self._live = False
        self._changed = asyncio.Event()

    def request(self, event: ActionRequested, signer: str, sequence: int, at_ns: int) -> None:
        """Take a stored request; what the gate enforces holds from now on."""
        before = {each.request.action_id for each in self.actions.active()}
        if not self.actions.request(event, signer, sequence, at_ns):
            return
        for action_id in before:
            if self.actions.known[action_id].end is not None:
                self._over(action_id)
        action = self.actions.known[event.data.action_id]
        if action.end is None:
            self._enforce(action)
        self._changed.set()

    def release(self, event: ReleaseCommanded, signer: str, sequence: int, at_ns: int) -> None:
        """Take a stored order of a person that ends an action."""
        if self.actions.release(event, signer, sequence, at_ns) is None:
            self._over(event.data.action_id)
            self._changed.set()

    def answered(self, event: ActionAnswered, at_ns: int) -> None:
        """Take what this order system said itself, now or before a restart."""
        if event.data.oms_id == self._oms_id:
            self.actions.answer(event.data, at_ns)

    def go_live(self) -> None:
        """Say that the stream was read to its end: what is in force is done from now on."""
        self._live = True
        self._changed.set()

    async def work(self) -> None:
        """Do what is in force, again and again, until it is cancelled."""
        while True:
            self._changed.clear()
            pause = LOOK_SECONDS
            if self._live:
                self.actions.pass_time(self._clock.now_ns())
                try:
                    await self._look()
                    self.problem = ""
                except Exception as error:  # noqa: BLE001 (foreign code; it must not end this)
                    self.problem = f"the order system cannot say how far actions are: {error!r}"
                    pause = FAILED_SECONDS
            waits = pause if self.problem or any(True for _ in self.actions.active()) else None
            with suppress(TimeoutError):
                async with asyncio.timeout(waits):
                    await self._changed.wait()

    async def _look(self) -> None:
        for action in self.actions.known.values():
            if action.end is not None and action.end.how == "refused":
                self._say(action, Progress("REFUSED", reason=action.end.reason))
        active = list(self.actions.active())
        for action in active:
            if action.request.kind not in WORKED:
                self._say(action, self._enforced(action))
        worked = [each for each in active if each.request.kind in WORKED]
        found = await self._system.carry_out([each.request for each in worked])
        for action in worked:
            if progress := found.get(action.request.action_id):
                self._say(action, progress)

    def _enforce(self, action: Action) -> None:
        """Let the gate enforce what is the gate's, and cancel what a shadow has no use for."""
        request = action.request
        ends_ns = None
        if request.until is not None and request.kind not in BY_PERSON:
            left_ns = parse_rfc3339(request.until) - self._clock.now_ns()
            ends_ns = monotonic_ns() + left_ns
        found = restriction(request, ends_ns)
        if found is None or (ends_ns is not None and ends_ns <= monotonic_ns()):
            return
        self._gate.restrict(found)

    def _enforced(self, action: Action) -> Progress:
        """Say how far the gate is: in force, and a shadow has no order left that increases."""
        request = action.request
        if request.action_id not in self._gate.restrictions:
            return Progress("ACKNOWLEDGED")
        if request.kind == "shadow" and request.scope in LEVELS:
            scope = Scope(
                LEVELS[request.scope], "" if request.scope == "firm" else request.scope_id
            )
            self._cancel_increasing(request.action_id, scope)
            if self._gate.open_orders(scope, "increasing"):
                return Progress("ACKNOWLEDGED")
        return Progress("COMPLETED")

    def _cancel_increasing(self, action_id: str, scope: Scope) -> None:
        def nothing(_cancels: Cancels) -> None:
            """Say nothing: COMPLETED says it."""

        self._duties.canceller.start(
            Cancels(
                name=f"action {action_id}",
                halt_id="",
                received_ns=monotonic_ns(),
                find=lambda: self._gate.open_orders(scope, "increasing"),
                sent=nothing,
                done=nothing,
                orders={},
            )
        )

    def _over(self, action_id: str) -> None:
        self._gate.unrestrict(action_id)
        self._duties.canceller.end(f"action {action_id}")

    def _say(self, action: Action, progress: Progress) -> None:
        """Say a phase that was not said; before COMPLETED it was acknowledged."""
        said = action.answers.get(self._oms_id)
        before = said.answer.phase if said else ""
        if before in (progress.phase, "COMPLETED", "REFUSED"):
            return
        if progress.phase == "COMPLETED" and not before:
            self._say(action, Progress("ACKNOWLEDGED"))
        answer = ActionAnswer(
            oms_id=self._oms_id,
            action_id=action.request.action_id,
            phase=progress.phase,
            measured=progress.measured,
            currency=progress.currency,
            reason=progress.reason or None,
        )
        self.actions.answer(answer, self._clock.now_ns())
        event = action.event
        self._outbox.put(
            ActionAnswered(
                event_id=derived_id(answer.action_id, RULE, self._oms_id, _PLACE[answer.phase]),
                subject_id=answer.action_id,
                environment=event.environment,
                fund_id=event.fund_id,
                strategy_id=event.strategy_id,
                correlation_id=event.data.episode,
                causation_id=event.event_id,
                data=answer,
            )
        )
