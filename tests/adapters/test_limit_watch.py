"""Is everything said once through any crash, and does nobody move the fold who may not?"""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limit_events import Feed

from operations.adapters import judge, roster_files
from operations.adapters.limit_watch import LimitWatch
from operations.clock import now_ns, rfc3339
from operations.config import Settings
from operations.events import subjects
from operations.events.base import encode
from operations.events.halts import Halt, HaltLifted, HaltRequested, Lift, SignedOrder
from operations.signing.message import HEADER, Signer

pytestmark = pytest.mark.unit


class Stream:
    """A stream in memory, and watches that are killed and start over."""

    def __init__(self, base: Settings) -> None:
        self.base = base
        self.messages: list[tuple[bytes, int, bytes, bytes]] = []
        self.taken = 0
        self.watch = self.start()

    def start(self) -> LimitWatch:
        self.taken = 0
        self.watch = LimitWatch(judge.for_service(self.base, self.base.path("limits", "r.json")))
        return self.watch

    def put(self, subject: str, payload: bytes, key: str = "") -> None:
        block = b""
        if key:
            private = roster_files.read_private(self.base.path("keys", f"{key}.key"))
            signer = Signer(private, self.base.audit.origin, self.base.environment)
            block = f"NATS/1.0\r\n{HEADER}: {signer(subject, payload)}\r\n\r\n".encode()
        self.messages.append((subject.encode(), now_ns(), block, payload))

    def add(self, event, key: str = "") -> None:
        self.put(event.subject, encode(event), key)

    def read(self, most: int = 1 << 30) -> None:
        """Let the watch read on."""
        for number, (subject, at_ns, block, payload) in enumerate(self.messages, start=1):
            if number > self.taken and most > 0:
                reply = f"$JS.ACK.MTS.limits.1.{number}.{number}.{at_ns}.0"
                self.watch.take((subject, reply.encode(), block, payload))
                self.taken, most = number, most - 1

    def say(self, most: int = 1 << 30) -> None:
        """Let the watch publish what waits; killed after so many."""
        for event in list(self.watch.waiting.values())[:most]:
            self.add(event, "service-limits")

    def findings(self):
        return [
            subjects.decode(subject.decode(), payload)
            for subject, *_, payload in self.messages
            if b".finding." in subject
        ]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    made = Settings(home=str(tmp_path_factory.mktemp("keys")))
    roster_files.ensure_development(made)
    return made


@pytest.fixture
def stream(base):
    return Stream(base)


def falling(*navs):
    feed = Feed(at_ns=now_ns() - 3600 * 10**9)
    feed.fund(day_end_time=rfc3339(now_ns() + 4 * 3600 * 10**9)[11:16], day_end_zone="UTC")
    feed.strategy()
    for nav in navs:
        feed.nav(nav)
    return [fact.event for fact in feed.facts]


STORY = falling("100", "95", "95", "95", "0", "89", "85", "80", "70", "100", "100", "60")


@settings(max_examples=40)
@given(cuts=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=6))
def test_however_often_it_is_killed_the_stream_holds_each_finding_once(base, cuts):
    """Killed after reading some messages and publishing some findings, again and again."""
    stream = Stream(base)
    for event in STORY:
        stream.add(event)
    for read, said in cuts:
        stream.start()
        stream.read(len(STORY) + read if said else read)
        if said:
            stream.read()  # it says nothing before it has read everything
            stream.say(said)
    stream.start()
    stream.read()
    stream.say()
    stream.read()
    assert stream.watch.waiting == {}
    once = Stream(base)
    for event in STORY:
        once.add(event)
    once.read()
    once.say()
    said = [each.event_id for each in stream.findings()]
    assert len(said) == len(set(said))
    assert len(said) == len(once.findings()) > 4


def test_a_finding_waits_until_it_comes_back_with_our_signature(stream):
    for event in STORY[:6]:
        stream.add(event)
    stream.read()
    waiting = dict(stream.watch.waiting)
    (forged,) = [each for each in waiting.values() if each.data.halt_level]
    stream.add(forged)
    stream.add(forged, "service-audit")
    changed = msgspec.structs.replace(forged, data=msgspec.structs.replace(forged.data, title="x"))
    stream.add(changed, "service-limits")
    stream.read()
    assert forged.event_id in stream.watch.waiting
    assert stream.watch.refused == 2
    stream.add(forged, "service-limits")
    stream.read()
    assert forged.event_id not in stream.watch.waiting


def test_a_lift_needs_the_orders_of_people_and_a_halt_its_worker(stream):
    for event in STORY[:6]:
        stream.add(event)
    halt = Halt(
        halt_id="h-1", level="FUND_HALT", reason_code="DAILY_LOSS", requested_by="service-limits"
    )
    envelope = {"timestamp": rfc3339(now_ns()), "actor": "halt"}
    asked = HaltRequested(event_id="r", subject_id="alpha", fund_id="alpha", data=halt, **envelope)
    order = SignedOrder(subject="mts.v1.operations.command.resume", payload="{}", signature="x")
    lift = Lift(
        halt_ids=("h-1",), resume_id="r", treatment="CLEARED", remaining_halt_ids=(),
        signed_by=("ann",), orders=(order,),
    )  # fmt: skip
    lifted = HaltLifted(event_id="l", subject_id="r", data=lift, **envelope)
    stream.add(asked)
    stream.add(asked, "service-limits")
    stream.read()
    assert stream.watch.refused == 2
    stream.add(asked, "service-halt")
    stream.add(lifted, "service-halt")
    stream.add(lifted, "operator")
    stream.read()
    assert stream.watch.refused == 4
    assert [each.check for each in stream.watch.triggers.raised()] == ["daily_loss"]


def test_pitfall_1_an_event_that_the_fold_cannot_take_does_not_end_the_watch(stream, monkeypatch):
    take = stream.watch.triggers.take

    def fails_once(fact):
        if fact.sequence == 3:
            raise OverflowError("a mistake")
        return take(fact)

    monkeypatch.setattr(stream.watch.triggers, "take", fails_once)
    for event in STORY[:6]:
        stream.add(event)
    stream.read()
    assert "sequence 3 could not be judged" in stream.watch.failed
    assert stream.watch.waiting


@pytest.mark.parametrize("payload", [b"", b"\xff", b"[" * 100_000, b'{"fund_id":"\\ud800"}', b"9"])
def test_what_cannot_be_read_is_passed_over(stream, payload):
    stream.add(STORY[0])
    stream.put("mts.v1.portfolio.nav.marked", payload)
    stream.put("mts.v1.strategy.forecast.scored", payload)
    stream.put("mts.v1.operations.halt.lifted", payload)
    stream.read()
    assert (stream.watch.failed, stream.watch.reached) == ("", 4)
