"""What an order system does when a halt reaches it: block, prove it, say so, cancel, remember.

Blocking comes first and waits for nothing. That it blocks is said only after an order of this very
scope was really denied by the gate that all orders pass. What must not be forgotten or done twice
is written by a thread meanwhile.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal

import msgspec

from operations.adapters.oms_cancels import Canceller, Cancels, OrderSystem
from operations.adapters.oms_link import Outbox
from operations.adapters.oms_memory import (
    Deed,
    Memory,
    MemoryFile,
    request_again,
    with_heard,
    without_canceling,
)
from operations.adapters.tasks import end_tasks
from operations.clock import monotonic_ns, now_ns, rfc3339
from operations.events.base import Event
from operations.events.commands import CancelAllCommanded
from operations.events.halts import Acknowledgement, Halt, HaltAcknowledged, HaltRequested, Phase
from operations.halt.book import Open
from operations.halt.gate import Gate
from operations.halt.state import FIRM, Episode, Fact, Scope
from operations.halt.verdicts import HALTED, Denial

Via = Literal["core", "stream", "snapshot", "file"]
Which = Literal["increasing", "all"]
Once = Literal["CANCEL_SENT", "CANCEL_CONFIRMED", "FLAT", "REFUSED"]
REFUSALS_KEPT = 1000
REFUSAL_NS = 200_000_000
CLOSE_SECONDS = 1.0
UNPROTECTED = "unprotected"  # name of the cancels after a long time without a lease


class Voice:
    """Acknowledges in the name of one order system."""

    def __init__(self, oms_id: str, outbox: Outbox) -> None:
        self._oms_id = oms_id
        self._outbox = outbox

    def say(
        self,
        halt_id: str,
        phase: Phase,
        via: Via,
        cause: Event | None,
        *,
        at_ns: int | None = None,
        stored: Callable[[], None] = lambda: None,
        **more: object,
    ) -> None:
        """Acknowledge a phase of a halt; `more` are further fields of the acknowledgement.

        `at_ns` is when it was reached, in ns since 1970, by default now; `stored` is called when
        the stream has it.
        """
        data = msgspec.convert(
            {"oms_id": self._oms_id, "halt_id": halt_id, "phase": phase, "via": via, **more},
            Acknowledgement,
        )
        self._outbox.put(
            HaltAcknowledged(
                timestamp="" if at_ns is None else rfc3339(at_ns),
                subject_id=halt_id,
                fund_id=cause.fund_id if cause else None,
                strategy_id=cause.strategy_id if cause else None,
                environment=cause.environment if cause else "live",
                causation_id=cause.event_id or None if cause else None,
                data=data,
            ),
            stored,
        )


class Duties:
    """Everything that one order system owes to a halt. For the event loop only.

    `problem` says what failed last, for example a disk that is full; empty while nothing did.
    """

    def __init__(self, gate: Gate, memory: MemoryFile, voice: Voice, system: OrderSystem) -> None:
        self.problem = ""
        self.voice = voice
        self.canceller = Canceller(system, gate.is_open)
        self._gate = gate
        self._memory = memory
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refused: dict[str, None] = {}
        self._acknowledged: dict[str, None] = {}  # stored, and not in the memory yet
        self._owed: set[str] = set()  # obeyed again, and perhaps never said to block
        self._said: set[tuple[str, Once]] = set()  # on their way to the stream or the memory
        self._next_refusal_ns = 0

    def obey(self, fact: Fact, via: Via, received_ns: int) -> Episode | None:
        """Take a halt: from now on it blocks. Returns the episode if that changed anything."""
        event = fact.event
        assert isinstance(event, HaltRequested)
        halt_id = event.data.halt_id
        before = self._gate.halts.active.get(halt_id)
        episode = self._gate.request(fact)
        known = before is not None and episode is not None and before.mode == episode.mode
        if episode is None or (known and halt_id not in self._owed):
            return episode
        self.block(episode, event, via, received_ns)
        if fact.sequence is None and via != "file":  # that one has a place of its own
            self.remember(lambda memory: with_heard(memory, episode, event))
        return episode

    def block(self, episode: Episode, event: HaltRequested, via: Via, received_ns: int) -> None:
        """Prove that a halt blocks, acknowledge it, and begin with the cancels that it asks for."""
        halt_id = episode.halt_id
        self._owed.discard(halt_id)
        denied = self._probe(episode.scope)
        denied_ns, to_block_ns = now_ns(), monotonic_ns() - received_ns
        self.voice.say(halt_id, "RECEIVED", via, event)
        if isinstance(denied, Denial):
            entries = self._gate.open_orders(episode.scope, "all")
            self.voice.say(
                halt_id,
                "BLOCKING",
                via,
                event,
                at_ns=denied_ns,
                to_block_us=max(0, to_block_ns) // 1000,
                open_before=len(entries),
                unknown_in_flight=sum(entry.stage == "sent" for entry in entries),
                # Said again after a restart unless the stream has it.
                stored=lambda: self._remember_blocking(halt_id),
            )
        else:
            reason = "an order of the halted scope passed the gate; everything is blocked now"
            self.voice.say(halt_id, "REFUSED", via, event, reason=reason)
        if event.data.cancel_orders != "none":
            self._cancel_for(event.data, episode.scope, event, via, received_ns)

    def resume(self, episode: Episode, event: HaltRequested, now_ns: int) -> None:
        """Obey a halt that was found in the stream at the start, as far as that is not done."""
        if episode.halt_id not in self._memory.now.blocking:
            self.block(episode, event, "stream", now_ns)
        elif event.data.cancel_orders != "none" and not self.was_done(
            episode.halt_id, "CANCEL_CONFIRMED"
        ):
            self._cancel_for(event.data, episode.scope, event, "stream", now_ns)

    def restore(self) -> None:
        """Obey again, before anything is read, the halts that the stream may lack."""
        for heard in self._memory.now.heard:
            self.obey_again(request_again(heard))

    def obey_again(self, event: HaltRequested) -> None:
        """Take a halt that the memory holds; that it blocks is said when it is heard again.

        Unless it was said before: whoever died in between has told nobody.
        """
        self._gate.request(Fact(event, None, now_ns(), ""))
        if event.data.halt_id not in self._memory.now.blocking:
            self._owed.add(event.data.halt_id)

    def refuse(self, event: HaltRequested, via: Via, reason: str) -> None:
        """Say once for each halt that it is not obeyed, and why; not more often than anybody reads.

        Strangers choose how many there are, and each answer is an event in the stream.
        """
        halt_id, now = event.data.halt_id, monotonic_ns()
        if halt_id in self._refused or halt_id in self._gate.halts.active:
            return
        if now < self._next_refusal_ns:
            return
        self._next_refusal_ns = now + REFUSAL_NS
        self._refused[halt_id] = None
        if len(self._refused) > REFUSALS_KEPT:
            del self._refused[next(iter(self._refused))]
        self.voice.say(halt_id, "REFUSED", via, event, reason=reason[:500])

    def lifted(self, episodes: tuple[Episode, ...]) -> None:
        """Note that halts are over: no more orders are looked for in their scopes."""
        for episode in episodes:
            self.canceller.end(episode.halt_id)
            self.canceller.end(f"flatten {episode.halt_id}")

    def cancel_all(self, event: CancelAllCommanded, scope: Scope, via: Via, at_ns: int) -> None:
        """Cancel the orders of a scope that are open now, as a person ordered, once.

        After a restart it goes on with those that were open then.
        """
        key = key_of(event)
        named = tuple(each.order.order_id for each in self._gate.open_orders(scope, "all"))

        async def work() -> None:
            await self.begin(key, "cancel_all", cancel=named)
            left = self._memory.now.canceling.get(key, ())
            if left or not self.was_done(key, "CANCEL_CONFIRMED"):
                entries = self._gate.open_orders(FIRM, "all")
                found = tuple(each for each in entries if each.order.order_id in left)
                name = f"cancel-all {key}"
                self._cancel(key, lambda: found, event, via, at_ns, name=name, fixed=True)

        self.later(work())

    def cancel_unprotected(self) -> None:
        """Cancel what is not protective, because nobody can say any more what is halted."""

        def find() -> tuple[Open, ...]:
            return self._gate.open_orders(FIRM, "increasing")

        self.canceller.start(
            Cancels(
                name=UNPROTECTED,
                halt_id="",
                received_ns=monotonic_ns(),
                find=find,
                sent=_nothing,
                done=_nothing,
                orders={},
            )
        )

    def protected(self) -> None:
        """Stop looking for such orders: it is known again what is halted."""
        self.canceller.end(UNPROTECTED)

    def cancel_accounts(self, halt_id: str, account_ids: frozenset[str], event: Event) -> None:
        """Cancel every open order of some accounts, as the first step of a flatten."""

        def find() -> tuple[Open, ...]:
            entries = self._gate.open_of(account_ids)
            return tuple(entry for entry in entries if entry.order.exit_of != halt_id)

        name = f"flatten {halt_id}"
        self._cancel(halt_id, find, event, "stream", monotonic_ns(), name=name)

    def remember(self, change: Callable[[Memory], Memory]) -> None:
        """Change the memory soon, in a thread: nothing waits for it."""
        self.later(self.write(change))

    async def write(self, change: Callable[[Memory], Memory]) -> None:
        """Change the memory; on the disk when this returns."""
        async with self._writing:
            await asyncio.to_thread(self._memory.save, change(self._memory.now))

    async def begin(self, halt_id: str, deed: Deed, *of: str, cancel: tuple[str, ...] = ()) -> bool:
        """Note on the disk that something is about to be done; False if it was begun before.

        `of` says of what it is done; `cancel` names the orders that have to be canceled for it,
        also after a restart.
        """
        async with self._writing:
            return await asyncio.to_thread(self._memory.do_once, halt_id, deed, *of, cancel=cancel)

    def say_once(self, key: str, phase: Once, via: Via, event: Event, **more: Any) -> None:
        """Acknowledge a phase, also after a restart unless the stream has it by then."""
        if (key, phase) in self._said or self.was_done(key, phase):
            return
        self._said.add((key, phase))

        async def note() -> None:
            await self.begin(key, phase)
            self._said.discard((key, phase))

        self.voice.say(key, phase, via, event, stored=lambda: self.later(note()), **more)

    def was_done(self, halt_id: str, deed: Deed) -> bool:
        """Whether something was begun for a halt, in this run or an earlier one."""
        return self._memory.was_done(halt_id, deed)

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in a task that is kept until it is done."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._did)

    async def close(self) -> None:
        """Finish writing and stop everything else."""
        await self.canceller.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
        await end_tasks(*self._tasks)

    def _did(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.problem = f"what had to be done or remembered for a halt failed: {error!r}"

    def _remember_blocking(self, halt_id: str) -> None:
        """Remember an acknowledgement that the stream has, with others in one writing."""
        self._acknowledged[halt_id] = None
        if len(self._acknowledged) == 1:
            self.remember(self._with_blocking)

    def _with_blocking(self, memory: Memory) -> Memory:
        """Return the memory with the halts acknowledged since, and without what is over."""
        halts, new = self._gate.halts, self._acknowledged
        self._acknowledged = {}
        kept = tuple(each for each in memory.blocking if each in halts.active and each not in new)
        heard = tuple(each for each in memory.heard if halts.stored(each.halt_id) is None)
        heard = tuple(each for each in heard if each.halt_id not in halts.lifted)
        return msgspec.structs.replace(memory, blocking=(*kept, *new), heard=heard)

    def _probe(self, scope: Scope) -> Denial | None:
        verdict = self._gate.probe(scope)
        if isinstance(verdict, Denial) and verdict.code in HALTED:
            return verdict
        self._gate.hold("GATE_ERROR", "BLOCK_ALL", f"the gate let a probe pass in {scope}")
        return None

    def _cancel_for(
        self, halt: Halt, scope: Scope, event: HaltRequested, via: Via, received_ns: int
    ) -> None:
        """Cancel what a halt asks for, and what the venue accepts late.

        Where only reducing orders pass, those that were accepted after the halt may stay.
        """
        which: Which = "all" if halt.cancel_orders == "all" else "increasing"
        before = {entry.order.order_id for entry in self._gate.open_orders(scope, "all")}
        every = halt.mode == "BLOCK_ALL" or which == "increasing"

        def find() -> tuple[Open, ...]:
            return tuple(
                entry
                for entry in self._gate.open_orders(scope, which)
                if not entry.order.exit_of and (every or entry.order.order_id in before)
            )

        self._cancel(halt.halt_id, find, event, via, received_ns)

    def _cancel(
        self,
        key: str,
        find: Callable[[], tuple[Open, ...]],
        event: Event,
        via: Via,
        received_ns: int,
        *,
        name: str = "",
        fixed: bool = False,
    ) -> None:
        def sent(cancels: Cancels) -> None:
            more = {
                "to_cancel_sent_ms": cancels.milliseconds,
                "open_before": cancels.open_before,
                "unknown_in_flight": cancels.unknown_in_flight,
            }
            self.say_once(key, "CANCEL_SENT", via, event, **more)

        def done(cancels: Cancels) -> None:
            more = {
                "to_cancel_confirmed_ms": cancels.milliseconds,
                "canceled": len(cancels.orders),
            }
            self.say_once(key, "CANCEL_CONFIRMED", via, event, **more)
            if fixed:
                self.canceller.end(cancels.name)
                self.remember(without_canceling(key))

        self.canceller.start(
            Cancels(
                name=name or key,
                halt_id=key,
                received_ns=received_ns,
                find=find,
                sent=sent,
                done=done,
                orders={},
            )
        )


def key_of(event: CancelAllCommanded) -> str:
    """Return under which id a cancel-all is done and acknowledged."""
    return event.data.halt_id or event.data.command_id


def _nothing(_cancels: Cancels) -> None:
    """Say nothing: no halt asked for these cancels."""
