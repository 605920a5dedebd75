"""Bad days of a firm that is watched, with real processes: from what happens to what people hear.

One floor for all of them: an order system, a halt worker, limits, watchdogs, a measuring process
and the notifications. The watchdogs kill themselves at each of their steps, and others are killed
where it hurts.
"""

from collections import Counter
from collections.abc import Iterator

import pytest
from alert_site import Site
from bad_days import Drifting, Losing, Quiet, registered, served
from receivers import mailing, receiving
from support import (
    NatsHandle,
    Servers,
    eventually,
    make_home,
    remove_home,
    run_blocking,
    settings_for,
)
from watched_firm import put
from watched_floor import ALL_ALIKE, WatchedFloor, variables

from operations.adapters.ports import free_port
from operations.config import Measure, Postgres, Watch
from operations.events.actions import ActionAnswered, ActionRequested
from operations.events.findings import FindingCleared, FindingRaised, FindingUpdated
from operations.events.halts import HaltRequested
from operations.events.operations import ServicePolled
from operations.halt.state import scope_of
from workers.paper_state import PaperState
from workers.paper_tape import Capped, read_tape

pytestmark = pytest.mark.integration
OMS = "oms-1"
PAGERS = ("pagerduty", "telegram")
SAVING = Watch(snapshot_seconds=0.0)
STEPS = {"rewound", "folded", "said", "saved"}


class Day(WatchedFloor):
    """The floor with everybody at work, and what people were told."""

    def __init__(self, nats: NatsHandle, site: Site) -> None:
        super().__init__(nats)
        self.site = site
        self.kills = self.home / "kills"

    def begin(self) -> None:
        """Start everybody and wait until each is ready."""
        database = self.site.database
        self.start_halt(MTS_HALT_ORDER_SYSTEMS=OMS)
        self.start_oms(OMS)
        self.start("limits")
        self.start("watchdogs", watch=SAVING)
        self.start(
            "measure",
            measure=Measure(database_seconds=3600.0),
            postgres=Postgres(dsn=database.dsn("mts_measurer"), database=database.name),
        )
        run_blocking(self.start_day())

    async def start_day(self) -> None:
        await self.publish(*registered(f"day-{self.home}"))
        await self.act("drift_monitor", "strategy_watchdog", "dependency_watchdog")
        await put(self.firm, "position_anomaly.mode", "off")  # paper orders are no story
        self.start_notifications()
        await self.is_ready("limits", "watchdogs", "measure", "notifications")
        await self.trading(OMS)

    def start_notifications(self) -> None:
        settings = self.site.settings()
        self._start("notifications", ("-m", "workers", "notifications"), variables(settings))

    def told(self, episode: str) -> list[str]:
        """Return what the webhook was told of an episode, in order.

        Who was killed after an answer sends the message again under the same key: it counts once.
        """
        hooks = {each.headers["idempotency-key"]: each for each in self.site.receiver.at("/hook")}
        said = [each.json for each in hooks.values()]
        return [each["action"] for each in said if episode in each["episodes"]]

    def paged(self) -> Counter[str]:
        """Return how often each pager rang; the end of something rings nobody."""
        receiver = self.site.receiver
        rung = [each for each in receiver.at("/v2") if each.json["event_action"] == "trigger"]
        texts = [each.json["text"] for each in receiver.at("/bot")]
        loud = [each for each in texts if " over: " not in each.splitlines()[0]]
        return Counter({"pagerduty": len(rung), "telegram": len(loud)})

    def is_at_its_target(self, action_id: str) -> bool:
        """Whether the order system noted targets once, and holds no more than they say."""
        lines, state = list(read_tape(self.tape(OMS))), PaperState(OMS)
        for line in lines:
            state.answers(line.at_ns)
            state.apply(line)
        noted = [each for each in lines if isinstance(each, Capped)]
        (capped,) = [each for each in noted if each.action_id == action_id]
        held = {cap: state.positions.get((cap.owner, cap.symbol), 0) for cap in capped.caps}
        return bool(held) and all(abs(size) <= cap.most for cap, size in held.items())

    def was_killed_at_each_step(self) -> bool:
        """Whether the watchdogs have killed themselves at each of their steps."""
        return self.kills.exists() and {*self.kills.read_text().split()} == STEPS

    async def halts_of(self, scope_id: str) -> list[HaltRequested]:
        """Return the halts of a strategy or a fund, once each."""
        events = await self.events(HaltRequested)
        found = [each for each in events if scope_of(each).id == scope_id]
        return list({each.data.halt_id: each for each in found}.values())

    def start_services(self, *names: str) -> dict[str, int]:
        """Start HTTP servers that answer 200 at /healthz; returns the port of each."""
        ports, folder = {name: free_port() for name in names}, self.home / "served"
        folder.mkdir()
        (folder / "healthz").write_text("ok")
        for name, port in ports.items():
            program = ("-m", "http.server", str(port), "--bind", "127.0.0.1")
            self._start(name, (*program, "--directory", str(folder)), {})
        return ports


@pytest.fixture(scope="module")
def day(servers: Servers) -> Iterator[Day]:
    """One floor for all stories: what each is about is its own."""
    home, database = make_home(), servers.new_database()
    nats = NatsHandle(settings_for(home))
    with receiving() as receiver, mailing() as mail:
        nats.start()
        # Several bad days in a few minutes are no storm of alerts.
        site = Site(nats, database, receiver, mail, halt_seconds=2.0, burst=50)
        floor = Day(nats, site)
        try:
            floor.begin()
            yield floor
        finally:
            floor.end()
            nats.stop()
            remove_home(home)
            servers.drop_database(database)


async def test_twenty_quiet_strategies_page_at_most_once_in_a_shift_and_one_that_breaks_does(day):
    quiet, before = Quiet(), day.paged()
    await day.publish(*quiet.before())
    await day.judged(await day.publish(*quiet.shift()))
    await day.site.quiet()
    for watchdog in ("drift_monitor", "strategy_watchdog"):
        standings = day.standings(watchdog)
        assert standings["ok"] + standings.get("warning", 0) == len(quiet.NAMES), standings
        assert "unknown" not in standings
    assert all(count <= 1 for count in (day.paged() - before).values())
    calm = day.paged()
    await day.judged(await day.publish(*quiet.breaks()))
    await eventually(lambda: set(day.paged() - calm) == {*PAGERS}, "both pagers ring")
    await day.site.quiet()
    assert day.paged() - calm == Counter(PAGERS)


async def test_a_drifting_strategy_is_halved_once_and_then_halted_whatever_kills_the_watchdogs(day):
    drifting = Drifting("south-trend", "south")
    day.stop("watchdogs")
    day.start("watchdogs", "--each", day.kills, 1, 1, watch=SAVING)
    async with day.revived("watchdogs"):
        await day.publish(*drifting.drifts())
        (asked,) = await day.said(ActionRequested, scope_id="south-trend")
        action_id = asked.data.action_id
        await day.said(ActionAnswered, action_id=action_id, phase="ACKNOWLEDGED")
        await day.said(ActionAnswered, action_id=action_id, phase="COMPLETED")
        await eventually(day.was_killed_at_each_step, "it was killed at each step")
    assert (asked.data.kind, str(asked.data.allocation_factor)) == ("reduce_allocation", "0.5")
    assert day.is_at_its_target(action_id)
    assert await day.halts_of("south-trend") == []
    day.restart("watchdogs")
    await day.is_ready("watchdogs")
    day.stop("watchdogs")  # so that the next one goes on from a snapshot with an open episode
    await day.publish(*drifting.fails())
    await eventually(lambda: day.halts_of("south-trend"), "it is halted")
    day.restart("watchdogs")
    (halt,) = await day.halts_of("south-trend")
    assert (halt.data.level, halt.data.reason_code) == ("STRATEGY_HALT", "DRIFT_ZSCORE")
    await day.acknowledged(halt.data.halt_id, by=(OMS,))
    await day.denied(OMS, "STRATEGY_HALTED")
    await day.is_ready("watchdogs")
    assert await day.of(ActionRequested, scope_id="south-trend") == [asked]
    assert day.history_of(OMS).sent_twice() == []
    assert await day.unlike_one_that_never_died("drift_monitor") == ALL_ALIKE


async def test_a_fund_beyond_its_daily_loss_is_warned_and_halted_and_each_is_told_once(day):
    losing = Losing("north")
    await day.publish(*losing.at("100"), *losing.at("98"))
    (warned,) = await day.said(FindingRaised, check="daily_loss")
    await eventually(lambda: day.told(warned.data.episode), "the warning is told")
    for name in ("notifications", "limits"):
        day.restart(name)
    await day.publish(*losing.at("97"), *losing.at("96.4"))
    worse = await day.said(FindingUpdated, 2, check="daily_loss")
    used = [each.data.title.split(" of ")[0] for each in (warned, *worse)]
    assert used == [f"fund north has used {stage} %" for stage in (50, 75, 90)]
    assert {each.data.episode for each in worse} == {warned.data.episode}
    assert await day.halts_of("north") == []
    day.kill("notifications")
    await day.publish(*losing.at("95.9"))
    await eventually(lambda: day.halts_of("north"), "it is halted")
    (halt,) = await day.halts_of("north")
    assert (halt.data.level, halt.data.reason_code) == ("FUND_HALT", "DAILY_LOSS")
    await day.acknowledged(halt.data.halt_id, by=(OMS,))
    await day.denied(OMS, "FUND_HALTED")
    day.restart("notifications")
    await eventually(lambda: day.told(halt.data.halt_id), "the halt is told")
    day.restart("notifications")
    await day.publish(*losing.at("95.8"))
    await day.is_ready("notifications")
    await day.site.quiet()
    assert day.told(warned.data.episode) == ["raise"]
    assert day.told(halt.data.halt_id) == ["raise"]
    assert day.history_of(OMS).sent_twice() == []


async def test_a_dead_service_is_told_after_three_polls_and_told_again_when_it_answers(day):
    ports = day.start_services("pricing", "risk")
    before = await day.of(ServicePolled)
    assert before == []
    for name, port in ports.items():
        await day.publish(served(name, f"http://127.0.0.1:{port}/healthz"))
        await day.said(ServicePolled, service=name, healthy=True)
    day.kill("pricing")
    await day.said(ServicePolled, 2, service="pricing", healthy=False)
    day.restart("measure")
    day.restart("watchdogs")
    (raised,) = await day.said(FindingRaised, check="dependency_watchdog")
    assert (raised.subject_id, raised.data.statistic, raised.data.severity) == (
        "pricing", 3.0, "critical",
    )  # fmt: skip
    await eventually(lambda: day.told(raised.data.episode) == ["raise"], "it is told")
    day.restart("notifications")
    day.restart("pricing")
    (cleared,) = await day.said(FindingCleared, check="dependency_watchdog")
    assert cleared.data.episode == raised.data.episode
    await eventually(lambda: day.told(raised.data.episode) == ["raise", "end"], "it is over")
    await day.site.quiet()
    assert day.told(raised.data.episode) == ["raise", "end"]
    assert await day.of(FindingRaised, check="dependency_watchdog") == [raised]
    assert await day.unlike_one_that_never_died("dependency_watchdog") == ALL_ALIKE
