"""Once a day: puts a known case before every watchdog, and says which of them are silent.

Which watchdogs found their case today is read from the stream, so a restart repeats nothing, and a
death in the middle of a run leaves out nobody; a watchdog that was silent is tried again every hour
until it finds its case.
"""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Gauge

from operations import watchdogs
from operations.adapters import accounts, judge, service_bus, stored, wire
from operations.adapters.canary_run import CanaryRun, Outcome
from operations.adapters.judge import Judge
from operations.adapters.steps import Step, onward
from operations.adapters.wire import WireClient
from operations.checks import Watchdog
from operations.clock import NANOSECONDS, now_ns, rfc3339
from operations.config import Settings
from operations.errors import Denied, Rejected
from operations.events.base import derived_id
from operations.events.findings import Finding, FindingCleared, FindingRaised
from operations.events.operations import CanaryPassed
from workers.runtime import WORKER, Runtime

NAME = accounts.CANARY
RULE = "canary/v1"
WAIT_SECONDS = 60.0
DAY_NS = 86_400 * NANOSECONDS
HOUR_NS = 3600 * NANOSECONDS
LOOK_SECONDS = 30.0
FIRST_SECONDS = 900.0  # after a start, so that nobody is tried who is still reading
READ = ("mts.v1.operations.canary.passed", "mts.v1.operations.finding.canary.*")


async def run(
    runtime: Runtime,
    first_seconds: float = FIRST_SECONDS,
    wait_seconds: float = WAIT_SECONDS,
    at: Step = onward,
) -> None:
    """Run canaries until the process is asked to stop."""
    settings = runtime.settings
    judging = judge.for_service(settings, settings.path("canary", "roster.json"))
    async with (
        wire.connection(settings.nats, NAME) as client,
        service_bus.publisher(settings, NAME) as publisher,
    ):
        known = await Known.read(client, settings, judging)
        tried_ns = now_ns() - HOUR_NS + int(first_seconds * NANOSECONDS)
        while not runtime.stopping.is_set():
            at_ns = now_ns()
            if due := known.due(watchdogs.ALL, at_ns, tried_ns):
                tried_ns = at_ns
                runtime.condition(WORKER, ok=True, detail="waiting for what watchdogs find")
                judging.watch.refresh()
                trial = CanaryRun(client, publisher, judging)
                outcomes = await trial.run(due, wait_seconds)
                at("ran")
                for event in (*trial.passed(outcomes), *known.after(outcomes, now_ns())):
                    await publisher.confirm(event)
                    at("said")
            runtime.once(Metrics).note(known)
            runtime.condition(WORKER, ok=True, detail=known.detail)
            await runtime.pause(LOOK_SECONDS)


class Known:
    """What the stream says about canaries: when each last passed, and who is silent."""

    def __init__(self) -> None:
        self.passed_ns: dict[str, int] = {}  # by check
        self.silent: dict[str, str] = {}  # check: episode

    @classmethod
    async def read(cls, client: WireClient, settings: Settings, judging: Judge) -> "Known":
        """Read what counts from the stream: who could say that a canary passed would hush it."""
        known = cls()
        for subject in READ:
            async for message in stored.following(client, settings.nats.stream, subject, 1):
                try:
                    event = judging.ask(message).fact.event
                except (Denied, Rejected):
                    continue
                if isinstance(event, CanaryPassed):
                    known.passed_ns[event.data.check] = message.at_ns
                elif isinstance(event, FindingRaised):
                    known.silent[event.subject_id] = event.data.episode
                elif isinstance(event, FindingCleared):
                    known.silent.pop(event.subject_id, None)
        return known

    @property
    def last_ns(self) -> int:
        """When one last passed; 0 when none ever did."""
        return max(self.passed_ns.values(), default=0)

    @property
    def detail(self) -> str:
        """How it is, in a line."""
        last = f"last passed {rfc3339(self.last_ns)[:16]}Z" if self.last_ns else "not tried yet"
        quiet = f"; silent: {', '.join(sorted(self.silent))}" if self.silent else ""
        return f"canaries {last}{quiet}"

    def due(self, known: Sequence[Watchdog], at_ns: int, tried_ns: int) -> list[Watchdog]:
        """Return whom to try now: a day after it last passed, an hour after it was silent."""
        if at_ns - tried_ns < HOUR_NS:
            return []
        return [
            each
            for each in known
            if each.canary is not None
            and (each.name in self.silent or at_ns - self.passed_ns.get(each.name, 0) >= DAY_NS)
        ]

    def after(self, outcomes: list[Outcome], at_ns: int) -> list[FindingRaised | FindingCleared]:
        """Take what came of a run; return what has to be said: raised once, cleared once."""
        said: list[FindingRaised | FindingCleared] = []
        for each in outcomes:
            if each.result == "passed":
                self.passed_ns[each.check] = at_ns
                if episode := self.silent.pop(each.check, ""):
                    said.append(_finding(FindingCleared, each, episode, at_ns))
            elif each.result != "none" and each.check not in self.silent:
                episode = derived_id(each.check, RULE, "silent", at_ns)
                self.silent[each.check] = episode
                said.append(_finding(FindingRaised, each, episode, at_ns))
        return said


def _finding(
    kind: type[FindingRaised | FindingCleared], outcome: Outcome, episode: str, at_ns: int
) -> FindingRaised | FindingCleared:
    over = kind is FindingCleared
    words = "finds its canary again" if over else f"did not find its canary: {outcome.words}"
    data = Finding(
        check=NAME,
        episode=episode,
        severity="info" if over else "warning",
        title=f"{outcome.check} {words}",
        looked_at=rfc3339(at_ns),
        rule_version=RULE,
        mode="act",
    )
    return kind(
        timestamp=rfc3339(at_ns), subject_id=outcome.check, correlation_id=episode, data=data
    )


class Metrics:
    """What the canaries tell Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._passed = Gauge(
            "canary_passed_timestamp_seconds", "When a canary last passed", registry=registry
        )
        self._silent = Gauge(
            "canary_silent", "1 when a watchdog did not find it", ["watchdog"], registry=registry
        )

    def note(self, known: Known) -> None:
        """Record how it is now."""
        self._passed.set(known.last_ns / NANOSECONDS)
        for watchdog in watchdogs.ALL:
            self._silent.labels(watchdog.name).set(watchdog.name in known.silent)
