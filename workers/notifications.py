"""Tells people what is the matter: hears the stream, decides, writes down, then sends.

What was decided is in Postgres before it is sent, so a death at any point repeats no decision and
forgets none. While NATS is out of reach the worker says so and goes on sending; while Postgres is,
it can tell nobody anything, and the absence of its ping pages people elsewhere.
"""

from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter, Gauge

from operations.adapters import accounts, judge, outbox, stream, wire
from operations.adapters.alert_desk import CHANNEL, NATS, Desk
from operations.adapters.alert_watch import AlertWatch
from operations.adapters.channels import catalogue, http, sender
from operations.adapters.channels.sender import Outgoing, Sender, Undelivered
from operations.adapters.outbox import Due, Outbox
from operations.adapters.steps import Step, onward
from operations.adapters.stream import Reader
from operations.clock import NANOSECONDS, now_ns
from operations.config import Settings
from operations.errors import Rejected, Retryable
from workers.runtime import WORKER, Runtime, all_of

NAME = accounts.NOTIFICATIONS
FIRST_SEQUENCE = 1
LOOK_SECONDS = 0.5
STUBBORN = 5  # attempts after which people are told that a channel takes nothing


async def run(runtime: Runtime, at: Step = onward) -> None:
    """Hear, decide and send until the process is asked to stop."""
    settings = runtime.settings
    senders, problems = catalogue.senders(settings)
    for name, problem in problems.items():
        runtime.condition(f"channel {name}", ok=False, detail=problem)
    rules, wrong = catalogue.rules(settings.alerts, senders)
    for name, problem in wrong.items():
        runtime.condition(name, ok=False, detail=problem)
    watch = AlertWatch(judge.for_service(settings, settings.path(NAME, "roster.json")))
    async with outbox.opened(settings.postgres) as box:
        desk = Desk(watch, box, rules, settings.alerts.runbooks)
        await desk.begin(now_ns(), senders.keys() | problems.keys())
        office = Office(runtime, desk, box, senders, at)
        await all_of(
            office.hear(),
            office.decide(),
            office.ping(),
            *(office.deliver(name, each) for name, each in senders.items()),
        )


class Office:
    """The tasks of the worker; they share the desk and the outbox."""

    def __init__(
        self, runtime: Runtime, desk: Desk, box: Outbox, channels: Collection[str], at: Step
    ) -> None:
        self._runtime = runtime
        self._settings: Settings = runtime.settings
        self._metrics = runtime.once(Metrics)
        self._desk = desk
        self._box = box
        self._at = at
        self._heard_ns = now_ns()  # when NATS last answered
        self._deaf = "the stream was not read yet"
        self._anew = False
        names = ", ".join(channels)
        self._detail = f"telling {names}" if names else "no channel is turned on: nobody is told"

    async def hear(self) -> None:
        """Read the stream, and connect again however long that takes."""
        while not (self._runtime.stopping.is_set() or self._anew):
            try:
                await self._read()
            except Retryable as error:
                self._deaf = str(error)
                await self._runtime.pause(1.0)

    async def _read(self) -> None:
        nats, watch = self._settings.nats, self._desk.watch
        async with wire.connection(nats, NAME) as client:
            found = await stream.info(client, nats.stream)
            if not await self._desk.open_stream(found):
                self._anew = True
                return
            reader = Reader(client, nats.stream, NAME, filtered=True)
            await reader.rewind(max(watch.reached + 1, found.state.first_seq, FIRST_SEQUENCE))
            self._at("rewound")
            while not self._runtime.stopping.is_set():
                for delivery in await reader.read():
                    watch.take(delivery)
                    self._at("folded")
                watch.refresh()
                if self._desk.ready or not (reader.waiting or await reader.has_more()):
                    self._desk.caught_up(now_ns())
                    self._deaf = ""
                self._heard_ns = now_ns()

    async def decide(self) -> None:
        """Look at everything again and again."""
        while not self._runtime.stopping.is_set():
            if self._anew:
                raise Retryable("the stream was made anew; reading it from its beginning")
            at_ns = now_ns()
            self._look_at_nats(at_ns)
            decided = await self._desk.look(at_ns, self._at)
            self._metrics.decided.inc(decided)
            self._metrics.refused.set(self._desk.watch.refused)
            self._metrics.looked.set(at_ns / NANOSECONDS)
            detail = self._deaf or self._detail
            self._runtime.condition(WORKER, ok=not self._deaf, detail=detail)
            await self._runtime.pause(LOOK_SECONDS)

    def _look_at_nats(self, at_ns: int) -> None:
        silent_seconds = (at_ns - self._heard_ns) / NANOSECONDS
        if not self._deaf:
            self._desk.clear_own(NATS, NATS, at_ns)
        elif silent_seconds > self._settings.alerts.outage_seconds:
            title = f"NATS is out of reach, so nobody hears findings and halts: {self._deaf}"
            self._desk.raise_own(NATS, NATS, title, at_ns)

    async def deliver(self, channel: str, to: Sender) -> None:
        """Send what is due on one channel, one message at a time."""
        while not self._runtime.stopping.is_set():
            due = await self._box.next_due(channel, now_ns())
            if due is None:
                await self._runtime.pause(LOOK_SECONDS)
                continue
            self._at("sending")
            problem = await self._send(channel, to, due)
            words = problem or "takes messages"
            self._runtime.condition(f"channel {channel}", ok=not problem, detail=words)

    async def _send(self, channel: str, to: Sender, due: Due) -> str:
        """Send one message and write down what came of it; returns what is wrong, if anything."""
        message = due.message
        try:
            await to.send(Outgoing(message, due.repeated))
        except Undelivered as error:
            self._at("undelivered")
            await self._box.later(due, now_ns(), error)
            if due.attempts >= STUBBORN:
                self._desk.raise_own(CHANNEL, channel, f"{channel}: {error}", now_ns())
            self._metrics.failed.labels(channel).inc()
            return str(error)
        except Rejected as error:
            return await self._refused(channel, due, str(error))
        except Exception as error:  # noqa: BLE001 (one message must not end all others)
            return await self._refused(channel, due, f"failed: {type(error).__name__}")
        self._at("answered")
        await self._box.sent(message.message_id, now_ns())
        self._at("sent")
        self._desk.clear_own(CHANNEL, channel, now_ns())
        self._metrics.sent.labels(channel).inc()
        return ""

    async def _refused(self, channel: str, due: Due, problem: str) -> str:
        await self._box.refused(due.message.message_id, now_ns(), problem)
        title = f"{channel} will never take {due.message.headline!r}: {problem}"
        self._desk.raise_own(CHANNEL, channel, title, now_ns())
        self._metrics.failed.labels(channel).inc()
        return problem

    def _is_well(self) -> bool:
        """Whether findings are heard and decided on, and at least one channel takes messages."""
        conditions = self._runtime.conditions
        heard = conditions.get(WORKER)
        channels = [conditions.get(f"channel {name}") for name in catalogue.NAMES]
        known = [each for each in channels if each is not None]
        return bool(heard and heard.ok) and (not known or any(each.ok for each in known))

    async def ping(self) -> None:
        """Call an address elsewhere while all is well; who does not hear us pages people."""
        alerts = self._settings.alerts
        try:
            url = sender.secret(alerts.ping_url, alerts.ping_url_file)
            if not url:
                return
            where = http.address(url, "alerts.ping_url")
        except Rejected as error:
            self._runtime.condition("alerts.ping_url", ok=False, detail=str(error))
            return
        while not self._runtime.stopping.is_set():
            if self._is_well():
                try:
                    answer = await http.post(where, b"", {}, alerts.timeout_seconds, method="GET")
                    http.judge(where, answer)
                    self._metrics.pinged.set(now_ns() / NANOSECONDS)
                except (Retryable, Rejected) as error:
                    self._runtime.log.warning("the ping did not arrive", reason=str(error))
            await self._runtime.pause(alerts.ping_seconds)


class Metrics:
    """What the notifications worker tells Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.decided = Counter("alert_decisions", "Messages decided on", registry=registry)
        self.sent = Counter("alert_messages_sent", "Sent", ["channel"], registry=registry)
        self.failed = Counter(
            "alert_attempts_failed", "Attempts that failed", ["channel"], registry=registry
        )
        self.refused = Gauge(
            "alert_events_refused", "Events without a valid signature", registry=registry
        )
        self.looked = Gauge(
            "alert_look_timestamp_seconds", "When was last decided", registry=registry
        )
        self.pinged = Gauge(
            "alert_ping_timestamp_seconds", "When the ping last arrived", registry=registry
        )
