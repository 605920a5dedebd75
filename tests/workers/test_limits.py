"""Is a broken limit in the stream once, signed, whatever is killed, and does it stop the fund?"""

import asyncio
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from hashlib import sha256
from itertools import count

import msgspec
import pytest
from halting import HALTS, REQUESTED, ROOT, Firm, in_this_loop, ready, resume_order
from support import eventually

from operations.adapters import judge, stored
from operations.clock import NANOSECONDS, new_event_id, now_ns, rfc3339
from operations.config import subprocess_environment
from operations.errors import OperationsError
from operations.events import subjects
from operations.events.base import encode
from operations.events.findings import FindingCleared, FindingRaised
from operations.events.halts import HaltLifted, Lift
from operations.events.portfolio import NavMarked, NetAssetValue
from operations.events.registry import Fund, FundRegistered, Strategy, StrategyRegistered
from operations.halt.state import Fact
from operations.halt.triggers import JUDGED, Triggers
from workers import limits

pytestmark = pytest.mark.integration
FINDINGS = "mts.v1.operations.finding.>"
LIMITS = "mts.v1.operations.finding.limits.*"


class Fundhouse:
    """A fund of 100 whose values are published; its day ends far from now."""

    def __init__(self, firm: Firm) -> None:
        self.firm = firm
        self._seconds = count(1)
        self._began_ns = now_ns() - 3600 * NANOSECONDS

    async def publish(self, *events) -> None:
        client = await self.firm.nats.connect("publisher")
        try:
            for event in events:
                headers = {"Nats-Msg-Id": f"{event.subject}:{event.event_id}"}
                await client.jetstream().publish(event.subject, encode(event), headers=headers)
        finally:
            await client.close()

    async def register(self) -> None:
        fund = Fund(
            name="alpha",
            base_currency="USD",
            trading="live",
            day_end_time=rfc3339(self._began_ns + 12 * 3600 * NANOSECONDS)[11:16],
            day_end_zone="UTC",
            drawdown_halt_pct=Decimal(10),
            daily_loss_halt_pct=Decimal(4),
        )
        strategy = Strategy(name="mean-rev", fund_id="alpha", account_ids=("acc-1",))
        await self.publish(
            self._event(FundRegistered, "alpha", fund),
            self._event(StrategyRegistered, "mean-rev", strategy),
        )

    async def marks(self, *navs) -> None:
        await self.publish(*(self.mark(nav) for nav in navs))

    def mark(self, nav):
        data = NetAssetValue(
            as_of=rfc3339(self._began_ns + next(self._seconds) * NANOSECONDS),
            nav=Decimal(nav),
            currency="USD",
            start_of_day_nav=Decimal(100),
        )
        return self._event(NavMarked, "alpha", data)

    def _event(self, kind, subject_id, data):
        return kind(
            event_id=new_event_id(),
            timestamp=rfc3339(now_ns()),
            actor="test",
            subject_id=subject_id,
            fund_id="alpha",
            data=data,
        )

    @asynccontextmanager
    async def watched(self):
        """Run the limits worker in this loop until it has read everything."""
        async with in_this_loop("limits", self.firm.settings("limits"), limits.run) as worker:
            await ready(worker)
            yield worker

    async def findings(self):
        """Every finding in the stream that asks for a halt, by check and verb; all signed."""
        found = await self.firm.stored(FINDINGS)
        return [
            tuple(event.subject.split(".")[4:])
            for event in found
            if event.data.check != "limits"
            and (event.data.halt_level or event.subject.endswith("cleared"))
        ]

    async def hold(self, *expected) -> None:
        async def there() -> bool:
            return await self.findings() == [*expected]

        await eventually(there, f"the stream holds {expected}")


@pytest.fixture
async def house(nats_server):
    made = Fundhouse(Firm(nats_server))
    await made.register()
    return made


BOTH = [("drawdown", "raised"), ("daily_loss", "raised")]


async def test_a_falling_value_halts_the_fund_and_its_strategy_and_people_lift_both(house):
    firm = house.firm
    async with firm.working() as halting, house.watched(), firm.connected("operator") as person:
        await ready(*halting)
        await person.listen(HALTS)
        await house.marks("100", "95", "95")
        await house.marks("95")
        fund = await person.hears(REQUESTED, reason_code="DAILY_LOSS")
        assert (fund["fund_id"], fund["data"]["level"]) == ("alpha", "FUND_HALT")
        await house.marks("89", "89", "89")
        strategy = await person.hears(REQUESTED, reason_code="DRAWDOWN")
        assert strategy["strategy_id"] == "mean-rev"
        assert strategy["data"]["statistic"] == 11.0

        halt_ids = fund["data"]["halt_id"], strategy["data"]["halt_id"]
        await eventually(partial(active, firm, set(halt_ids)))
        resume = resume_order("r1", *halt_ids)
        changed = msgspec.structs.replace(resume.data, treatment="REBASELINED")
        await person.send(msgspec.structs.replace(resume, data=changed), "operator")
        await eventually(partial(active, firm, set()))

        async def cleared() -> bool:
            said = await house.findings()
            return {(check, "cleared") for check, _ in BOTH} <= set(said)

        await eventually(cleared)
        await house.marks("88", "88", "88")  # the day's loss is not erased, the drawdown is
        await eventually(partial(active_reasons, firm, {"DAILY_LOSS"}))


async def active(firm, halt_ids) -> bool:
    return await firm.active() == halt_ids


async def active_reasons(firm, reasons) -> bool:
    held = await firm.active()
    requested = [event.data for event in await firm.stored(REQUESTED)]
    return {each.reason_code for each in requested if each.halt_id in held} == reasons


async def test_what_happened_while_nobody_watched_is_said_once_at_the_start(house):
    await house.marks("100", "80")
    async with house.watched():
        await house.hold(*BOTH)
    before = [event.event_id for event in await house.firm.stored(FINDINGS)]
    async with house.watched():
        await house.marks("80")
    async with house.watched():
        pass
    assert [event.event_id for event in await house.firm.stored(FINDINGS)] == before


async def test_a_restart_between_two_confirmations_loses_neither(house):
    await house.marks("100")
    for _ in range(3):
        assert await house.findings() == []
        async with house.watched():
            await house.marks("95")
    async with house.watched():
        await house.hold(("daily_loss", "raised"))


STEPS = [("rewound", 1), ("folded", 1), ("folded", 5), ("said", 1), ("said", 2), ("said", 3)]


@pytest.mark.parametrize(("step", "number"), STEPS)
async def test_killed_at_any_step_the_next_one_says_what_is_left_once(house, step, number):
    settings = house.firm.settings("limits")
    environment = {**subprocess_environment({}), "MTS_HOME": settings.home}
    environment["MTS_SERVICE_KEY_FILE"] = settings.service_key_file
    for section in ("nats", "http"):
        for name, value in msgspec.structs.asdict(getattr(settings, section)).items():
            environment[f"MTS_{section}_{name}".upper()] = str(value)
    program = [ROOT / "tests/workers/crash_at.py", step, str(number), "KILL", "limits"]
    await house.marks("100", "95", "95", "80", "70")
    process = await asyncio.to_thread(
        subprocess.Popen, [sys.executable, "-P", *program], env=environment
    )
    try:
        await eventually(lambda: process.poll() is not None, "it dies")
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    async with house.watched():
        await house.hold(*BOTH, ("drawdown", "updated"), ("daily_loss", "updated"))


async def test_a_server_that_was_away_changes_nothing(house):
    async with house.watched() as worker:
        await house.marks("100", "95", "95")
        await asyncio.to_thread(house.firm.nats.restart)
        await house.marks("95")
        await house.hold(("daily_loss", "raised"))
        await ready(worker)


async def test_a_lift_that_no_person_signed_lets_nothing_go(house):
    await house.marks("100", "95", "95", "95")
    async with house.watched(), house.firm.connected("halt") as thief:
        await house.hold(("daily_loss", "raised"))
        lift = Lift(
            halt_ids=("h-1",), resume_id="r-1", treatment="MUTED", remaining_halt_ids=(),
            signed_by=("ann",), muted_until="2099-01-01T00:00:00Z",
        )  # fmt: skip
        forged = HaltLifted(
            event_id=new_event_id(), timestamp=rfc3339(now_ns()), actor="halt",
            subject_id="r-1", data=lift,
        )  # fmt: skip
        await thief.send(forged, "service-halt")
        await house.marks("90", "90", "90")
        await house.hold(("daily_loss", "raised"), ("daily_loss", "updated"),
                         ("drawdown", "raised"))  # fmt: skip


async def test_who_burns_the_id_of_a_finding_does_not_keep_it_out_of_the_stream(house):
    """An id that can be foreseen is taken by a message of somebody else, without a signature."""
    await house.marks("100", "95", "95", "95")
    async with house.watched():
        await house.hold(("daily_loss", "raised"))
    mark = house.mark("80")
    known = await foreseen(house, mark)
    client = await house.firm.nats.connect()
    try:
        for subject, event_id in known:
            headers = {"Nats-Msg-Id": f"{subject}:{event_id}"}
            await client.jetstream().publish(subject, b"{}", headers=headers)
    finally:
        await client.close()
    await house.publish(mark)
    async with house.watched():

        async def updated() -> bool:
            judged = [each async for each in signed(house, FINDINGS)]
            return {each.event_id for each in judged} >= {event_id for _, event_id in known}

        await eventually(updated, "ours are stored beside what burned their ids")


async def foreseen(house, mark):
    """The subjects and ids of the findings that a mark will cause, as an attacker computes them."""
    triggers, last = Triggers(), 0
    async with house.firm.connected("operator") as person:
        async for each in stored.following(person.client, "MTS", ">", 1):
            last = each.sequence
            event = subjects.decode(each.subject, each.payload)
            if isinstance(event, JUDGED):
                digest = sha256(each.payload).hexdigest()
                triggers.take(Fact(event, each.sequence, each.at_ns, digest))
    burned = 2  # messages that the attacker will put before the mark
    fact = Fact(mark, last + burned + 1, now_ns(), sha256(encode(mark)).hexdigest())
    said = triggers.take(fact)
    assert len(said) == burned
    return [(event.subject, event.event_id) for event in said]


async def signed(house, subject):
    base = house.firm.base
    judging = judge.for_service(base, base.path("halts", "test-roster.json"))
    async with house.firm.connected("operator") as person:
        async for each in stored.following(person.client, "MTS", subject, 1):
            try:
                yield judging.ask(each).fact.event
            except OperationsError:
                continue


async def test_a_message_that_cannot_be_read_is_noted_and_stops_nothing(house):
    async with house.watched() as worker:
        await house.marks("100")
        client = await house.firm.nats.connect("publisher")
        try:
            unreadable = b"\xff", b"{}", b'{"fund_id":"alpha","data":{"nav":NaN}}'
            for payload in (*unreadable, b'{"fund_id":"alpha","data":{"nav":"NaN"}}'):
                await client.jetstream().publish(NavMarked.pattern, payload)
        finally:
            await client.close()
        await house.marks("95", "95", "95")
        await house.hold(("daily_loss", "raised"))

        async def cleared() -> bool:
            return len(await house.firm.stored(LIMITS)) == 2

        await eventually(cleared)
        said = await house.firm.stored(LIMITS)
        assert [type(each) for each in said] == [FindingRaised, FindingCleared]
        assert all(each.data.halt_level is None for each in said)
        assert worker.conditions.ready
        assert "1 limits broken" in worker.conditions.get("worker").detail
