"""What an order system hears and reads, judged and folded: which message moves what.

Halts count from anywhere; what frees something counts only from the stream, and a lift only with
the people's signatures in it. A person's halt command is obeyed directly while no halt worker is
heard. What is refused today is judged again when a newer roster comes, because the roster may
arrive after what it makes valid.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from msgspec import Struct

from operations.adapters.judge import Judge, Received, level_of, rights
from operations.adapters.oms_actions import ActionDuties
from operations.adapters.oms_duties import Duties, Via, key_of
from operations.adapters.oms_flatten import Flattener
from operations.adapters.oms_link import BusClock
from operations.clock import NANOSECONDS, monotonic_ns, parse_rfc3339
from operations.errors import Denied, Rejected
from operations.events import subjects
from operations.events.actions import ActionAnswered, ActionRequested
from operations.events.base import Event, derived_id
from operations.events.commands import (
    CancelAllCommanded,
    FlattenCommanded,
    HaltCommanded,
    ReleaseCommanded,
)
from operations.events.halts import Halt, HaltLifted, HaltRequested
from operations.halt.gate import Gate
from operations.halt.lease import LEASE_NS, Lease
from operations.halt.signals import HEARTBEAT, decode_heartbeat
from operations.halt.signoff import Trust, judge_lift
from operations.halt.state import FIRM, Fact, Scope

REGISTRY = "mts.v1.registry."
ROSTER = "mts.v1.operations.roster.published"
HALTS = "mts.v1.operations.halt."
COMMANDS = "mts.v1.operations.command."
PENDING_NS = 60 * NANOSECONDS
REFUSED_KEPT = 1000


class Heard(NamedTuple):
    """An event that counts: what it says, who signed it, and how and when it came."""

    fact: Fact
    signer: str
    via: Via
    received_ns: int


class Pending(Struct, frozen=True):
    """A halt command that a halt worker should answer."""

    event: HaltCommanded
    signer: str
    received_ns: int


class Fold:
    """Takes every message of one order system. For the event loop only.

    `live` says that the stream was read to its end once, so that what comes is new. `problem` says
    why the newest message that was refused was refused; `refused` counts them.
    """

    def __init__(
        self, judge: Judge, gate: Gate, lease: Lease, duties: Duties, flattener: Flattener,
        clock: BusClock, actions: ActionDuties,
    ) -> None:  # fmt: skip
        self.live = False
        self.requests: dict[str, HaltRequested] = {}  # the newest of each active halt
        self.listening_since_ns = 0
        self.problem = ""
        self.refused = 0
        self._judge = judge
        self._gate = gate
        self._lease = lease
        self._duties = duties
        self._flattener = flattener
        self._clock = clock
        self._actions = actions
        self._pending: dict[str, Pending] = {}
        self._deferred: list[Heard] = []
        self._denied: deque[Received] = deque(maxlen=REFUSED_KEPT)
        self._kinds: dict[type[Event], Callable[[Heard], None]] = {
            HaltRequested: self._halt,
            HaltLifted: self._lift,
            HaltCommanded: self._command_halt,
            CancelAllCommanded: self._cancel_all,
            FlattenCommanded: self._flatten,
            ActionRequested: self._act,
            ActionAnswered: self._acted,
            ReleaseCommanded: self._release,
        }

    def take(self, received: Received, received_ns: int) -> None:
        """Fold one message; `received_ns` is when it came, on the monotonic clock."""
        if received.sequence is not None:
            self._clock.saw(received.at_ns)
        try:
            self._take(received, received_ns)
        except (Denied, Rejected) as error:
            self._refuse(received, error)
        if received.sequence is not None:
            self._stands(received, received_ns)

    def go_live(self) -> None:
        """Say that the stream was read to its end: what had to wait for that is done now."""
        self.live = True
        now_ns = monotonic_ns()
        self._lease.begin(self._gate.halts.state_hash, now_ns)
        self._gate.renew(self._lease.until_ns)
        for halt_id, event in self.requests.items():
            if episode := self._gate.halts.active.get(halt_id):
                self._duties.resume(episode, event, now_ns)
        deferred, self._deferred = self._deferred, []
        for heard in deferred:
            self._kinds[type(heard.fact.event)](heard)
        self._actions.go_live()

    def turn(self, now_ns: int) -> None:
        """Do what time brings: obey commands that no halt worker answers."""
        for halt_id, pending in list(self._pending.items()):
            halts = self._gate.halts
            if halt_id in halts.active or halt_id in halts.lifted:
                del self._pending[halt_id]
            elif self.live and self._silent(now_ns):
                del self._pending[halt_id]
                self._obey_command(pending)
            elif now_ns - pending.received_ns > PENDING_NS and not self._silent(now_ns):
                del self._pending[halt_id]

    def reconsider(self) -> None:
        """Judge again what was refused: there is a newer roster."""
        again, self._denied = self._denied, deque(maxlen=REFUSED_KEPT)
        for received in again:
            try:
                self._take(received, monotonic_ns())
            except (Denied, Rejected) as error:
                self._refuse(received, error)
        self._noted(self._gate.halts.sequence, monotonic_ns())

    def _take(self, received: Received, received_ns: int) -> None:
        subject = received.subject
        if subject == HEARTBEAT:
            self._heartbeat(received, received_ns)
        elif subject.startswith(REGISTRY):
            self._gate.register(subjects.decode(subject, received.payload))
        elif subject == ROSTER:
            if self._judge.take_roster(subjects.decode(subject, received.payload)):
                self.reconsider()
        else:
            self._event(received, received_ns)

    def _event(self, received: Received, received_ns: int) -> None:
        # By the subject alone: most of a stream is what others say about halts.
        handle = self._kinds.get(subjects.find(received.subject))
        if handle is None:
            return
        event = subjects.decode(received.subject, received.payload)
        judged = self._judge.judge(event, received, rights(event))
        via: Via = "core" if received.sequence is None else "stream"
        heard = Heard(judged.fact, judged.member.name, via, received_ns)
        if self.live or not isinstance(event, CancelAllCommanded | FlattenCommanded):
            handle(heard)
        else:
            self._deferred.append(heard)

    def _refuse(self, received: Received, error: Exception) -> None:
        self.refused += 1
        self.problem = f"{received.subject[:200]} was refused: {error}"
        if isinstance(error, Rejected):
            return
        if received.sequence is not None:
            self._denied.append(received)
        if self.live and received.subject == HaltRequested.pattern:
            event = subjects.decode(received.subject, received.payload)
            assert isinstance(event, HaltRequested)
            via: Via = "core" if received.sequence is None else "stream"
            self._duties.refuse(event, via, str(error))

    def _stands(self, received: Received, now_ns: int) -> None:
        assert received.sequence is not None
        halts = self._gate.halts
        halts.pass_over(received.sequence)
        if received.subject.startswith((HALTS, COMMANDS)):
            self._noted(received.sequence, now_ns)

    def _noted(self, sequence: int, now_ns: int) -> None:
        self._lease.folded(sequence, self._gate.halts.state_hash, now_ns)
        self._gate.renew(self._lease.until_ns)

    def _heartbeat(self, received: Received, received_ns: int) -> None:
        beat = decode_heartbeat(received.payload)
        self._judge.signer(received, (HEARTBEAT,))
        self._lease.hear(beat, received_ns, self._clock.now_ns())
        self._gate.renew(self._lease.until_ns)

    def _halt(self, heard: Heard) -> None:
        event = heard.fact.event
        assert isinstance(event, HaltRequested)
        if event.data.halt_id not in self._gate.halts.lifted:
            self.requests[event.data.halt_id] = event
        if self.live or heard.fact.sequence is None:
            self._duties.obey(heard.fact, heard.via, heard.received_ns)
        else:
            self._gate.request(heard.fact)

    def _lift(self, heard: Heard) -> None:
        fact = heard.fact
        if fact.sequence is None:
            return
        judge = self._judge
        judge_lift(
            fact, self._gate.halts, Trust(judge.watch.roster, judge.origin, judge.environment)
        )
        freed = self._gate.lift(fact)
        self._duties.lifted(freed)
        for episode in freed:
            self.requests.pop(episode.halt_id, None)

    def _command_halt(self, heard: Heard) -> None:
        event = heard.fact.event
        assert isinstance(event, HaltCommanded)
        pending = Pending(event, heard.signer, heard.received_ns)
        self._pending.setdefault(event.data.halt_id, pending)
        self.turn(monotonic_ns())

    def _obey_command(self, pending: Pending) -> None:
        order = pending.event.data
        request = HaltRequested(
            event_id=derived_id(pending.event.event_id, "oms.direct", order.halt_id, 0),
            timestamp=pending.event.timestamp,
            actor=pending.signer,
            subject_id=order.halt_id,
            environment=pending.event.environment,
            fund_id=pending.event.fund_id,
            strategy_id=pending.event.strategy_id,
            causation_id=pending.event.event_id,
            data=Halt(
                halt_id=order.halt_id,
                level=order.level,
                mode=order.mode,
                reason_code="MANUAL",
                reason=order.reason,
                requested_by=pending.signer,
            ),
        )
        fact = Fact(request, None, self._clock.now_ns(), "")
        self._duties.obey(fact, "core", pending.received_ns)

    def _cancel_all(self, heard: Heard) -> None:
        event = heard.fact.event
        assert isinstance(event, CancelAllCommanded)
        begun = self._duties.was_done(key_of(event), "cancel_all")  # then it goes on
        if not begun and self._expired(event.data.expires_at):
            return
        level = level_of(event)
        name = {"STRATEGY_HALT": event.strategy_id, "FUND_HALT": event.fund_id}.get(level)
        scope = Scope(level, name) if name else FIRM
        self._duties.cancel_all(event, scope, heard.via, heard.received_ns)

    def _flatten(self, heard: Heard) -> None:
        event = heard.fact.event
        assert isinstance(event, FlattenCommanded)
        if heard.fact.sequence is None:
            return
        if self._expired(event.data.expires_at):
            self._flattener.void(event)
        else:
            self._flattener.start(event)

    def _act(self, heard: Heard) -> None:
        fact, event = heard.fact, heard.fact.event
        assert isinstance(event, ActionRequested)
        if fact.sequence is not None:
            self._actions.request(event, heard.signer, fact.sequence, fact.at_ns)

    def _acted(self, heard: Heard) -> None:
        event = heard.fact.event
        assert isinstance(event, ActionAnswered)
        if heard.fact.sequence is not None:
            self._actions.answered(event, heard.fact.at_ns)

    def _release(self, heard: Heard) -> None:
        fact, event = heard.fact, heard.fact.event
        assert isinstance(event, ReleaseCommanded)
        if fact.sequence is not None:
            self._actions.release(event, heard.signer, fact.sequence, fact.at_ns)

    def _silent(self, now_ns: int) -> bool:
        """Whether no halt worker was heard for as long as a heartbeat counts."""
        since_ns = max(self._lease.heard_ns, self.listening_since_ns)
        return now_ns - since_ns >= LEASE_NS

    def _expired(self, expires_at: str) -> bool:
        return self._clock.now_ns() >= parse_rfc3339(expires_at)
