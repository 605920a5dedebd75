"""A signed order to close paper positions: block, cancel, confirmed, exit, verified flat, once.

Each step waits for the one before, because a resting order that is forgotten fills later and opens
what was just closed. The id of an exit follows from halt, account and symbol, and an order system
sends an id once in its life: so a restart in the middle goes on, and no exit is sent twice.
"""

import asyncio
from collections.abc import Callable

from operations.adapters.oms_cancels import OrderSystem
from operations.adapters.oms_duties import Duties
from operations.errors import OperationsError
from operations.events.base import derived_id
from operations.events.commands import FlattenCommanded
from operations.halt.book import Line, Order
from operations.halt.gate import Gate

POLL_SECONDS = 0.02
CANCEL_SECONDS = 60.0
FLAT_SECONDS = 60.0


class Flattener:
    """Carries out flattens of one order system."""

    def __init__(self, gate: Gate, duties: Duties, system: OrderSystem) -> None:
        self._gate = gate
        self._duties = duties
        self._system = system
        self._running: set[str] = set()

    def start(self, event: FlattenCommanded) -> None:
        """Begin, or go on after a restart; a flatten that was finished is not begun again."""
        halt_id = event.data.halt_id
        if halt_id not in self._running:
            self._running.add(halt_id)
            self._duties.later(self._run(event))

    def void(self, event: FlattenCommanded) -> None:
        """Say of an order that is void now, and was begun before a restart, how it ended."""
        halt_id, accounts = event.data.halt_id, frozenset(event.data.account_ids)
        done = self._duties.was_done
        if halt_id in self._running or not done(halt_id, "flatten") or done(halt_id, "FLAT"):
            return
        if self._flat(accounts):
            self._duties.say_once(halt_id, "FLAT", "stream", event)
            return
        left = self._problem(event) or self._held(accounts) or "orders are open"
        reason = f"the order was void at {event.data.expires_at} before all was closed: {left}"
        self._duties.say_once(halt_id, "REFUSED", "stream", event, reason=reason)

    async def _run(self, event: FlattenCommanded) -> None:
        halt_id = event.data.halt_id
        voice = self._duties.voice
        if self._duties.was_done(halt_id, "FLAT"):
            return
        problem = self._problem(event)
        if not problem:
            await self._duties.begin(halt_id, "flatten")
            problem = await self._flatten(event)
        if problem:
            self._running.discard(halt_id)
            voice.say(halt_id, "REFUSED", "stream", event, reason=problem)
        else:
            self._duties.say_once(halt_id, "FLAT", "stream", event)

    def _problem(self, event: FlattenCommanded) -> str:
        """Say why nothing is flattened, or nothing."""
        order = event.data
        if order.halt_id in self._gate.halts.lifted:
            return f"halt {order.halt_id} was lifted; nothing more is closed for it"
        if order.halt_id not in self._gate.halts.active:
            return f"halt {order.halt_id} is not active; halt first, then flatten"
        live = [each for each in order.account_ids if not self._gate.registry.is_paper(each)]
        if live:
            return f"not paper accounts: {', '.join(live[:10])}; nothing was done"
        if not order.account_ids:
            return "the order names no account"
        return ""

    async def _flatten(self, event: FlattenCommanded) -> str:
        halt_id, accounts = event.data.halt_id, frozenset(event.data.account_ids)
        self._duties.cancel_accounts(halt_id, accounts, event)
        if not await _until(lambda: not self._resting(halt_id, accounts), CANCEL_SECONDS):
            left = len(self._resting(halt_id, accounts))
            return f"{left} orders are not canceled after {CANCEL_SECONDS:.0f} s; nothing was sent"
        for line in self._gate.lines(accounts):
            if line.position is None:
                return f"the position in {line.symbol} of account {line.account_id} is unknown"
        for line in self._gate.lines(accounts):
            if line.position and (problem := await self._exit(halt_id, line)):
                return problem
        if not await _until(lambda: self._flat(accounts), FLAT_SECONDS):
            return f"not flat after {FLAT_SECONDS:.0f} s: {self._held(accounts)}"
        return ""

    async def _exit(self, halt_id: str, line: Line) -> str:
        """Send the one order that closes a position; returns what went wrong."""
        account, position = self._gate.registry.accounts[line.account_id], line.position
        assert position is not None
        await self._duties.begin(halt_id, "exit", line.account_id, line.symbol)
        self._gate.permit_exit(halt_id, line.account_id, line.symbol)
        order = Order(
            order_id=derived_id(halt_id, "exit", f"{line.account_id} {line.symbol}", 0),
            fund_id=account.fund_id,
            account_id=line.account_id,
            symbol=line.symbol,
            side="sell" if position > 0 else "buy",
            quantity=abs(position),
            exit_of=halt_id,
        )
        try:
            await self._system.send_exit(order)
        except (OperationsError, OSError, RuntimeError, ValueError, LookupError) as error:
            return f"the exit from {line.symbol} of account {line.account_id} failed: {error!r}"
        return ""

    def _resting(self, halt_id: str, accounts: frozenset[str]) -> tuple[str, ...]:
        entries = self._gate.open_of(accounts)
        return tuple(entry.order.order_id for entry in entries if entry.order.exit_of != halt_id)

    def _flat(self, accounts: frozenset[str]) -> bool:
        lines = self._gate.lines(accounts)
        return not self._gate.open_of(accounts) and all(line.position == 0 for line in lines)

    def _held(self, accounts: frozenset[str]) -> str:
        lines = [line for line in self._gate.lines(accounts) if line.position != 0]
        return ", ".join(f"{line.position} {line.symbol}" for line in lines[:10])


async def _until(holds: Callable[[], bool], seconds: float) -> bool:
    """Wait until something holds; returns whether it did in time."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                if holds():
                    return True
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        return False
