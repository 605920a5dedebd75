"""Does a running order system keep the protocol? Asked from outside, by nothing but messages.

It is watched while it is told things that it must obey (a drill) and things that it must not:
halts without signature or by the wrong hand, a lift that the stream refused, a halt that is over
and is heard again. Everything happens on the reserved strategy, under which nobody trades.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec

from operations.adapters import orders_of_people
from operations.adapters.judge import Judge, Received, heard
from operations.adapters.wire import WireClient
from operations.clock import NANOSECONDS, monotonic_ns, new_event_id, now_ns, rfc3339
from operations.errors import Denied, Rejected
from operations.events.actions import ActionAnswered, ActionRequest, ActionRequested
from operations.events.base import Event, encode
from operations.events.halts import (
    DRILL_STRATEGY,
    Acknowledgement,
    Halt,
    HaltAcknowledged,
    HaltLifted,
    HaltRequested,
    Lift,
    SignedOrder,
)
from operations.halt.signals import (
    HEARTBEAT,
    Heartbeat,
    Report,
    decode_heartbeat,
    decode_report,
    report_subject,
)
from operations.signing import keys, message
from operations.signing.message import Signer

Result = Literal["passed", "failed", "skipped"]
WAIT_SECONDS = 5.0
POLL_SECONDS = 0.02
# A header that the stream answers with a refusal, while everybody who listens hears the message.
UNSTORED = {"Nats-Expected-Stream": "no-such-stream"}


class Finding(NamedTuple):
    """What one check came to; `milliseconds` is None where nothing was measured."""

    check: str
    result: Result
    milliseconds: float | None
    words: str


class Said(NamedTuple):
    """A message of the order system, with the monotonic time in ns at which it was heard."""

    at_ns: int
    body: Any


class Examiner:
    """Watches and tests one order system.

    `person` signs what people sign; `halt_worker` and `watchdogs` sign as these services do, and
    are None where their keys are, rightly, not at hand.
    """

    def __init__(
        self,
        client: WireClient,
        judge: Judge,
        oms_id: str,
        person: Signer,
        halt_worker: Signer | None,
        watchdogs: Signer | None,
    ) -> None:
        self.found: list[Finding] = []
        self._client = client
        self._judge = judge
        self._oms_id = oms_id
        self._person = person
        self._halt_worker = halt_worker
        self._watchdogs = watchdogs
        self._reports: list[Said] = []
        self._beats: list[Said] = []
        self._acknowledged: list[Said] = []
        self._answered: list[Said] = []
        self._requests: dict[str, tuple[bytes, str]] = {}
        self._unsigned = 0

    async def examine(self) -> tuple[Finding, ...]:
        """Ask everything, in order; what follows from a failure is skipped."""
        await self._listen()
        if await self._says_every_second():
            await self._agrees_about_the_halts()
            await self._ignores_what_does_not_count()
            await self._obeys_a_drill()
            await self._answers_an_action()
        return tuple(self.found)

    async def _listen(self) -> None:
        acknowledged = f"mts.v1.operations.halt.acknowledged.{self._oms_id}"
        for subject, take in (
            (report_subject(self._oms_id), self._take_report),
            (acknowledged, self._take_acknowledgement),
            (f"mts.v1.operations.action.answered.{self._oms_id}", self._take_answer),
            (HEARTBEAT, self._take_heartbeat),
            (HaltRequested.pattern, self._take_request),
        ):
            await self._client.subscribe_raw(subject, _guarded(take))
        await self._client.flush()

    async def _says_every_second(self) -> bool:
        began = monotonic_ns()
        if not await self._until(lambda: len(self._reports) >= 3, WAIT_SECONDS):
            words = f"{len(self._reports)} signed reports in {WAIT_SECONDS:g} s"
            if self._unsigned:
                words += f", and {self._unsigned} whose signature does not count"
            self._note("reports each second", None, words, ok=False)
            return False
        gaps = [
            (later.at_ns - earlier.at_ns) / 1e6
            for earlier, later in zip(self._reports, self._reports[1:], strict=False)
        ]
        counts = [said.body.count for said in self._reports]
        own = all(said.body.oms_id == self._oms_id for said in self._reports)
        in_order = counts == sorted(set(counts))
        self._note(
            "reports each second",
            max(gaps),
            f"signed, {len(gaps) + 1} in {(monotonic_ns() - began) / 1e9:.1f} s, numbered "
            f"{counts[0]} to {counts[-1]}",
            ok=own and in_order and max(gaps) < 2500,
        )
        return True

    async def _agrees_about_the_halts(self) -> None:
        def agrees() -> bool:
            hashes = {said.body.state_hash for said in self._beats[-3:]}
            return self._report.state_hash in hashes

        agreed = await self._until(agrees, WAIT_SECONDS)
        if not self._beats:
            self._skip("holds the same halts", "no halt worker is heard")
            return
        beat: Heartbeat = self._beats[-1].body
        words = f"{self._report.held_count} held here, {beat.active} by {beat.worker}"
        self._note("holds the same halts", None, words, ok=agreed)
        free = await self._until(lambda: self._report.mode is None, WAIT_SECONDS)
        why = "; ".join(self._report.why)
        self._note("has a lease", None, why or "nothing but halts stops it", ok=free)

    async def _ignores_what_does_not_count(self) -> None:
        thief = Signer(keys.new_key("service-halt"), self._judge.origin, self._judge.environment)
        abroad = msgspec.structs.replace(
            self._halt_worker or self._person, environment=f"{self._judge.environment}-other"
        )
        for name, signer in (
            ("ignores a halt without signature", None),
            ("ignores a halt by a key that is not in the roster", thief),
            ("ignores a halt by a person, who may not decide", self._person),
            ("ignores a halt signed for another environment", abroad),
        ):
            halt_id = new_event_id()
            await self._tell(self._request(halt_id), signer, UNSTORED)
            await self._must_not_hold(name, halt_id)

    async def _obeys_a_drill(self) -> None:
        drill = orders_of_people.drill(self._person.key.public.name, "conformance")
        halt_id, sent_ns = drill.data.drill_id, monotonic_ns()
        await self._tell(drill, self._person, {})
        blocking = await self._phase(halt_id, "BLOCKING")
        if blocking is None:
            refused = await self._phase(halt_id, "REFUSED", 0.1)
            why = refused.body.reason if refused else "nothing was acknowledged"
            self._note("blocks a drill after a denied probe", None, str(why), ok=False)
            return
        said: Acknowledgement = blocking.body
        self._note(
            "blocks a drill after a denied probe",
            (blocking.at_ns - sent_ns) / 1e6,
            f"heard by {said.via}; it says {said.to_block_us} us from receipt",
            ok=said.to_block_us is not None,
        )
        received = await self._phase(halt_id, "RECEIVED", 1.0)
        order = received is not None and received.at_ns <= blocking.at_ns
        self._note("says RECEIVED before BLOCKING", None, "", ok=order)
        holds = await self._until(lambda: self._holds(halt_id), 3.0)
        self._note("reports the halt that it obeys", None, f"halt {halt_id}", ok=holds)
        await self._keeps_it_until_a_stored_lift(halt_id)

    async def _keeps_it_until_a_stored_lift(self, halt_id: str) -> None:
        name = self._person.key.public.name
        resume = orders_of_people.resume(name, (halt_id,), "CLEARED", None, "conformance")
        if self._halt_worker is None:
            self._skip("ignores a lift that is not stored", "no key of a halt worker is at hand")
        else:
            await self._tell(self._lift(resume, halt_id), self._halt_worker, UNSTORED)
            await self._must_hold("ignores a lift that is not stored", halt_id)
            bare = msgspec.structs.replace(resume, event_id=new_event_id())
            await self._tell(self._lift(bare, halt_id, orders=()), self._halt_worker, UNSTORED)
            await self._must_hold("ignores a lift without the people's orders", halt_id)
        sent_ns = monotonic_ns()
        await self._tell(resume, self._person, {})
        freed = await self._until(lambda: not self._holds(halt_id), WAIT_SECONDS)
        took = (monotonic_ns() - sent_ns) / 1e6
        self._note("obeys a signed lift from the stream", took, "seen in its report", ok=freed)
        if freed and (again := self._requests.get(halt_id)):
            payload, value = again
            await self._publish(HaltRequested.pattern, payload, {message.HEADER: value, **UNSTORED})
            await self._must_not_hold("a halt that is over stays over when heard again", halt_id)

    async def _answers_an_action(self) -> None:
        """Ask for a cooldown of the reserved strategy: first by a wrong hand, then by the right."""
        if self._watchdogs is None:
            self._skip("answers an action", "no key of the watchdogs is at hand")
            return
        forged, wanted = _cooldown(), _cooldown()
        await self._tell(forged, self._person, {})
        sent_ns = monotonic_ns()
        await self._tell(wanted, self._watchdogs, {})
        phases = ("ACKNOWLEDGED", "COMPLETED")
        done = await self._until(lambda: self._phases(wanted) == phases, WAIT_SECONDS)
        said = ", ".join(self._phases(wanted)) or "nothing"
        took = (monotonic_ns() - sent_ns) / 1e6
        self._note("answers an action when it is true", took, f"it said {said}", ok=done)
        ignored = not self._phases(forged)
        self._note("ignores an action by a person, who may not ask", None, "", ok=ignored)
        again = msgspec.structs.replace(wanted, event_id=new_event_id())
        await self._tell(again, self._watchdogs, {})
        count = len(self._reports)
        await self._until(lambda: len(self._reports) >= count + 2, WAIT_SECONDS)
        once = self._phases(wanted) == phases
        self._note("answers an action that comes again once", None, "", ok=once or not done)

    def _phases(self, action: ActionRequested) -> tuple[str, ...]:
        return tuple(
            each.body.phase
            for each in self._answered
            if each.body.action_id == action.data.action_id
        )

    async def _must_not_hold(self, check: str, halt_id: str) -> None:
        count = len(self._reports)
        await self._until(lambda: len(self._reports) >= count + 2, WAIT_SECONDS)
        blocked = await self._phase(halt_id, "BLOCKING", 0.01) if "over" not in check else None
        held = self._holds(halt_id) or blocked is not None
        self._note(check, None, "it obeyed" if held else "two reports later not held", ok=not held)

    async def _must_hold(self, check: str, halt_id: str) -> None:
        count = len(self._reports)
        await self._until(lambda: len(self._reports) >= count + 2, WAIT_SECONDS)
        held = self._holds(halt_id)
        self._note(check, None, "two reports later held" if held else "it was freed", ok=held)

    @property
    def _report(self) -> Report:
        report: Report = self._reports[-1].body
        return report

    def _holds(self, halt_id: str) -> bool:
        return any(each.halt_id == halt_id for each in self._report.held)

    async def _phase(self, halt_id: str, phase: str, seconds: float = WAIT_SECONDS) -> Said | None:
        def found() -> Said | None:
            for said in self._acknowledged:
                if (said.body.halt_id, said.body.phase) == (halt_id, phase):
                    return said
            return None

        await self._until(lambda: found() is not None, seconds)
        return found()

    async def _until(self, holds: Callable[[], bool], seconds: float) -> bool:
        end = monotonic_ns() + int(seconds * 1e9)
        while not holds():
            if monotonic_ns() >= end:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True

    async def _tell(self, event: Event, signer: Signer | None, headers: dict[str, str]) -> None:
        payload, subject = encode(event), event.subject
        signed = {message.HEADER: signer(subject, payload)} if signer else {}
        name = {"Nats-Msg-Id": f"{subject}:{event.event_id}"}
        await self._publish(subject, payload, {**name, **signed, **headers})

    async def _publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        await self._client.publish(subject, payload, headers=headers)
        await self._client.flush()

    def _request(self, halt_id: str) -> HaltRequested:
        data = Halt(
            halt_id=halt_id,
            level="STRATEGY_HALT",
            reason_code="DRILL",
            reason="conformance",
            requested_by="conformance",
        )
        return HaltRequested(**_head(halt_id), strategy_id=DRILL_STRATEGY, data=data)

    def _lift(
        self, resume: Event, halt_id: str, orders: tuple[SignedOrder, ...] | None = None
    ) -> HaltLifted:
        payload = encode(resume)
        order = SignedOrder(
            subject=resume.subject,
            payload=payload.decode(),
            signature=self._person(resume.subject, payload),
        )
        data = Lift(
            halt_ids=(halt_id,),
            resume_id=resume.subject_id,
            treatment="CLEARED",
            remaining_halt_ids=(),
            signed_by=(self._person.key.public.name,),
            orders=(order,) if orders is None else orders,
        )
        return HaltLifted(**_head(resume.subject_id), data=data)

    def _take_report(self, received: Received) -> None:
        try:
            self._judge.signer(received, (received.subject,))
        except Denied:
            self._unsigned += 1
            raise
        self._reports.append(Said(monotonic_ns(), decode_report(received.payload)))

    def _take_heartbeat(self, received: Received) -> None:
        self._judge.signer(received, (HEARTBEAT,))
        self._beats.append(Said(monotonic_ns(), decode_heartbeat(received.payload)))

    def _take_acknowledgement(self, received: Received) -> None:
        event = self._judge.ask(received).fact.event
        assert isinstance(event, HaltAcknowledged)
        self._acknowledged.append(Said(monotonic_ns(), event.data))

    def _take_answer(self, received: Received) -> None:
        event = self._judge.ask(received).fact.event
        assert isinstance(event, ActionAnswered)
        self._answered.append(Said(monotonic_ns(), event.data))

    def _take_request(self, received: Received) -> None:
        judged = self._judge.ask(received)
        event = judged.fact.event
        assert isinstance(event, HaltRequested)
        self._requests[event.data.halt_id] = (received.payload, judged.signature)

    def _note(self, check: str, milliseconds: float | None, words: str, *, ok: bool) -> None:
        result: Result = "passed" if ok else "failed"
        self.found.append(Finding(check, result, milliseconds, words))

    def _skip(self, check: str, words: str) -> None:
        self.found.append(Finding(check, "skipped", None, words))


def _guarded(take: Callable[[Received], None]) -> Callable[[bytes, bytes, bytes, bytes], None]:
    """Return a receiver of raw messages that passes over what does not count."""

    def receive(subject: bytes, _reply: bytes, headers: bytes, payload: bytes) -> None:
        try:
            take(heard(subject, headers, payload))
        except (Denied, Rejected):
            return

    return receive


def _cooldown() -> ActionRequested:
    """Return a cooldown of the reserved strategy that is over by itself."""
    action_id, at_ns = new_event_id(), now_ns()
    data = ActionRequest(
        action_id=action_id,
        episode=action_id,
        kind="cooldown",
        scope="strategy",
        scope_id=DRILL_STRATEGY,
        ack_deadline=rfc3339(at_ns + int(WAIT_SECONDS * NANOSECONDS)),
        until=rfc3339(at_ns + int(4 * WAIT_SECONDS * NANOSECONDS)),
    )
    envelope = _head(action_id) | {"environment": "drill"}
    return ActionRequested(**envelope, strategy_id=DRILL_STRATEGY, data=data)


def _head(subject_id: str) -> dict[str, Any]:
    return {
        "event_id": new_event_id(),
        "timestamp": rfc3339(now_ns()),
        "actor": "conformance",
        "subject_id": subject_id,
    }
