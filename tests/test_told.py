"""Is history said once, however it is read, by whichever release, and whatever was killed when?"""

from functools import partial

import msgspec
import pytest
from volatile_fund import CALM, WILD, history
from watching import event

from operations.adapters import judge, roster_files, watch_parts
from operations.adapters.watch import MEASURE_MINUTES, Watch
from operations.clock import NANOSECONDS, now_ns, parse_rfc3339, rfc3339
from operations.config import Settings
from operations.config import Watch as WatchSettings
from operations.episodes import ACKNOWLEDGE_SECONDS, DONE_SECONDS
from operations.events import subjects
from operations.events.base import Event, encode
from operations.events.operations import ClockTicked, ConfigChange, ConfigChanged, Tick
from operations.signing.message import HEADER, Signer
from operations.watchdogs.portfolio_vol_dd import NAME

pytestmark = pytest.mark.unit

OLD, CREATED_NS, TODAY_NS = "watchdogs/v0", 1, now_ns()
BREACH = [CALM] * 30 + [WILD] * 8  # raised and not cleared
OVER = BREACH + [CALM] * 45  # cleared in the end


class Stream:
    """A stream in memory, and watches of this release that are killed and start over."""

    def __init__(self, base: Settings) -> None:
        self.base = base
        self.messages: list[tuple[str, bytes, bytes]] = []
        self.began_ns = now_ns()
        self.start()

    def start(self, folder=None, funds=()) -> Watch:
        """Start a process, without a snapshot unless there is a folder."""
        judging = judge.for_service(self.base, self.base.path("watch", "roster.json"))
        build = partial(watch_parts.parts, self.base)
        self.watch = Watch(judging, build, CREATED_NS, frozenset(funds))
        if folder is not None:
            assert self.watch.load(folder)
        return self.watch

    def put(self, said: Event, key: str = "") -> None:
        payload, block = encode(said), b""
        if key:
            private = roster_files.read_private(self.base.path("keys", f"{key}.key"))
            signer = Signer(private, self.base.audit.origin, self.base.environment)
            block = f"NATS/1.0\r\n{HEADER}: {signer(said.subject, payload)}\r\n\r\n".encode()
        self.messages.append((said.subject, block, payload))

    def read(self, size: int = 1 << 30, *, live=False) -> None:
        """Let the watch read everything, in batches of a size."""
        batch = []
        for number, (subject, block, payload) in enumerate(self.messages, start=1):
            at_ns = self.began_ns + number * NANOSECONDS
            reply = f"$JS.ACK.MTS.watchdogs-1.1.{number}.{number}.{at_ns}.0"
            batch.append((subject.encode(), reply.encode(), block, payload))
        for begin in range(0, len(batch), size):
            self.watch.take(batch[begin : begin + size], live=live)

    def say(self, most: int = 1 << 30) -> None:
        """Let the watch publish what waits; killed after so many."""
        for each in list(self.watch.waiting.values())[:most]:
            self.put(each, "service-watchdogs")

    def said(self) -> list[Event]:
        found = [subjects.decode(subject, payload) for subject, _, payload in self.messages]
        return [each for each in found if ".finding." in each.subject or ".action." in each.subject]

    def kinds(self) -> list[str]:
        return [type(each).__name__ for each in self.said()]


def of_another_rule(said: Event) -> Event:
    """Return what a release with another rule would have said of the same."""

    def other(name: str) -> str:
        return f"old-{name}"

    data = said.data
    if "rule_version" in data.__struct_fields__:
        data = msgspec.structs.replace(data, rule_version=OLD)
    if "episode" in data.__struct_fields__:
        data = msgspec.structs.replace(data, episode=other(data.episode))
    if "action_id" in data.__struct_fields__:
        data = msgspec.structs.replace(data, action_id=other(data.action_id))
    return msgspec.structs.replace(
        said, actor="watchdogs", event_id=other(said.event_id), data=data,
        correlation_id=said.correlation_id and other(said.correlation_id),
    )  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    made = Settings(home=str(tmp_path_factory.mktemp("keys")), watch=WatchSettings(only=NAME))
    roster_files.ensure_development(made)
    return made


def acting() -> ConfigChanged:
    change = ConfigChange(
        setting=f"{NAME}.mode", old_value=None, new_value="act", reason="test", layer="file"
    )
    return event(ConfigChanged, change.setting, change)


@pytest.fixture
def stream(base):
    made = Stream(base)
    made.put(acting(), "service-settings")
    return made


def publish(stream, days, start=0):
    for each in list(history(days))[start:]:
        stream.put(each)


def told_by_another_release(stream, days, most=1 << 30):
    """Let a release with another rule watch some days, and be killed after so many words."""
    stream.start()
    publish(stream, days)
    stream.read(live=True)
    words = [of_another_rule(each) for each in stream.watch.waiting.values()]
    for each in words[:most]:
        stream.put(each, "service-watchdogs")
    return words


def minute(number: int) -> ClockTicked:
    """The tick of a minute at which tables are measured."""
    step_ns = MEASURE_MINUTES * 60 * NANOSECONDS
    at = rfc3339((TODAY_NS // step_ns + number) * step_ns)
    tick = event(ClockTicked, "leader", Tick(minute=at, offset_ms=0.0))
    return msgspec.structs.replace(tick, event_id=f"tick-{number}")


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_what_came_back_waits_no_longer_in_whatever_batches_the_stream_is_read(stream, size):
    publish(stream, OVER)
    stream.read()
    stream.say()
    assert stream.kinds() == ["FindingRaised", "ActionRequested", "FindingCleared"]
    stream.start()
    stream.read(size)
    assert stream.watch.waiting == {}


def test_a_finding_waits_until_it_comes_back_with_our_signature(stream):
    publish(stream, BREACH)
    stream.read()
    raised, _ = stream.watch.waiting.values()
    stream.put(raised)
    stream.put(raised, "service-audit")
    stream.read()
    assert raised.event_id in stream.watch.waiting
    assert stream.watch.refused == 2
    stream.put(raised, "service-watchdogs")
    stream.read()
    assert raised.event_id not in stream.watch.waiting


def test_what_a_release_of_the_same_rule_said_in_other_words_is_not_said_again(stream):
    publish(stream, BREACH)
    stream.read()
    for each in stream.watch.waiting.values():
        title = {"title": "other words"} if hasattr(each.data, "title") else {}
        data = msgspec.structs.replace(each.data, **title)
        stream.put(msgspec.structs.replace(each, data=data), "service-watchdogs")
    stream.start()
    stream.read()
    assert stream.watch.waiting == {}


@pytest.mark.parametrize("days", [BREACH, OVER], ids=["raised", "over"])
@pytest.mark.parametrize("size", [1, 1000])
def test_another_rule_says_nothing_of_history_again(stream, days, size):
    words = told_by_another_release(stream, days)
    assert len(words) == len(stream.said()) > 1
    stream.start()
    stream.read(size)
    assert stream.watch.waiting == {}


def test_what_another_rule_raised_goes_on_under_its_episode_until_it_is_over(stream):
    (raised, _) = told_by_another_release(stream, BREACH)
    stream.start()
    stream.read()
    publish(stream, OVER, start=len(list(history(BREACH))))
    stream.read()
    (cleared,) = stream.watch.waiting.values()
    assert cleared.subject.endswith(".cleared")
    assert cleared.data.episode == raised.data.episode
    stream.say()
    for size in (1, 1000):  # and whoever starts later says the same
        stream.start()
        stream.read(size)
        assert stream.watch.waiting == {}


def test_what_another_rule_did_not_find_by_then_is_not_said_of_history(stream):
    publish(stream, OVER)
    stream.put(minute(1))
    stream.read(live=True)
    reached = stream.watch.measures[-1]
    assert reached.data.watchdogs[-1] == NAME
    stream.put(of_another_rule(reached), "service-watchdogs")
    stream.start()
    stream.read()
    assert stream.watch.waiting == {}


def test_what_is_still_so_after_another_rule_did_not_find_it_is_said_with_its_action(stream):
    publish(stream, BREACH)
    stream.put(minute(1))
    stream.read(live=True)
    stream.put(of_another_rule(stream.watch.measures[-1]), "service-watchdogs")
    publish(stream, [*BREACH, WILD], start=len(list(history(BREACH))))
    stream.start()
    stream.read()
    assert [type(each).__name__ for each in stream.watch.waiting.values()] == [
        "FindingRaised", "ActionRequested",
    ]  # fmt: skip


def test_how_far_another_rule_came_says_nothing_about_what_came_later_or_other_watchdogs(stream):
    stream.put(minute(1))
    stream.read(live=True)
    early = of_another_rule(stream.watch.measures[-1])
    stream.put(early, "service-watchdogs")
    publish(stream, BREACH)
    others = msgspec.structs.replace(early.data, watchdogs=("vpin",))
    beta = msgspec.structs.replace(early.data, funds=("beta",))
    for number, data in enumerate((others, beta)):
        later = msgspec.structs.replace(early, event_id=f"reached-{number}", data=data)
        stream.put(later, "service-watchdogs")
    forged = msgspec.structs.replace(early, event_id="forged")
    stream.put(forged)
    stream.put(forged, "service-audit")
    stream.start()
    stream.read()
    assert len(stream.watch.waiting) == 2


def test_an_action_that_another_rule_died_before_asking_for_is_asked_for_once(stream):
    raised, asked = told_by_another_release(stream, BREACH, most=1)
    stream.start()
    stream.read()
    (action,) = stream.watch.waiting.values()
    assert action.data.check == NAME
    late_ns = parse_rfc3339(action.data.done_deadline) - parse_rfc3339(action.data.ack_deadline)
    assert late_ns == (DONE_SECONDS - ACKNOWLEDGE_SECONDS) * NANOSECONDS
    assert action.data.episode == raised.data.episode == asked.data.episode
    stream.say()
    stream.start()
    stream.read()
    assert stream.watch.waiting == {}


def test_from_a_snapshot_the_episode_of_another_rule_goes_on(stream, tmp_path):
    (raised, _) = told_by_another_release(stream, BREACH)
    stream.start()
    stream.read()
    stream.watch.freeze(tmp_path)()
    stream.start(tmp_path)
    stream.put(of_another_rule(minute_reached(stream)), "service-watchdogs")
    publish(stream, OVER, start=len(list(history(BREACH))))
    stream.read()
    (cleared,) = stream.watch.waiting.values()
    assert cleared.data.episode == raised.data.episode


def minute_reached(stream) -> Event:
    stream.put(minute(2))
    stream.read(live=True)
    return stream.watch.measures[-1]
