"""Does the board show what holds, who obeys and what to do, at 80 columns and as JSON?"""

import asyncio
import json

import logs
import pytest
from commands import MTS, assert_harmless
from halting import Firm, WorkerProcess, halt_order, loss, ready
from logs import make_log, project_all
from obedient import mts, obeying, register
from terminals import at_a_terminal, plain

from operations.adapters import ledger
from operations.adapters.ledger import SealerLedger
from operations.audit import chain
from operations.config import Postgres, subprocess_environment

pytestmark = pytest.mark.integration
REQUESTED = "mts.v1.operations.halt.requested"


@pytest.fixture
def firm(nats_server) -> Firm:
    return Firm(nats_server, order_systems="oms-1,oms-2")


async def run(firm, *arguments):
    return await asyncio.to_thread(mts(firm), *arguments)


async def board(firm):
    said = await run(firm, "halts", "--output", "json")
    assert said.code == 0, said.err
    return json.loads(said.out)


async def requested(firm, event, key="operator", user="operator"):
    async with firm.connected("operator") as listener, firm.connected(user) as person:
        await listener.listen(REQUESTED)
        await person.send(event, key)
        return await listener.hears(REQUESTED)


async def test_an_empty_board_says_that_nothing_is_halted_and_nobody_works(firm):
    said = await run(firm, "halts")
    assert said.code == 0
    assert said.out.startswith("✓ nothing is halted\n")
    assert "oms-1         says nothing" in said.out
    assert "no halt worker is heard" in said.out


async def test_the_board_shows_evidence_coverage_and_what_lifts_it(firm):
    async with firm.working() as workers, obeying(firm, "oms-1"):
        await ready(*workers)
        found = await requested(firm, loss("alpha"), "service-limits", "limits")
        await requested(firm, halt_order("h-firm"), "operator")
        shown = await board(firm)
        firm_halt, fund_halt = shown["halts"]
        assert (firm_halt["level"], fund_halt["scope"]) == ("FIRM_HALT", "alpha")
        assert fund_halt["reason_code"] == "DAILY_LOSS"
        assert fund_halt["requested_by"] == "daily_loss"
        assert fund_halt["statistic"] == 0.2
        assert fund_halt["evidence"] == [found["causation_id"]]
        assert fund_halt["lift"] == "mts cmd resume alpha"
        systems = {each["oms_id"]: each for each in fund_halt["order_systems"]}
        assert (systems["oms-1"]["blocking"], systems["oms-1"]["to_block_ms"]) == (True, 0.9)
        assert systems["oms-1"]["round_trip_ms"] >= 0
        assert (systems["oms-2"]["phase"], systems["oms-2"]["blocking"]) == ("SILENT", False)
        assert shown["halt_workers"][0]["stream"] == "ok"
        for width in (80, 120):
            code, text = await asyncio.to_thread(at_a_terminal, mts(firm), [], "halts", width=width)
            assert code == 0
            lines = [line.rstrip("\r") for line in plain(text).split("\n")]
            assert max(map(len, lines)) <= width
            assert any("1/2 OMS blocking" in line for line in lines)


async def test_what_nobody_in_the_roster_signed_is_not_on_the_board(firm):
    async with firm.connected("admin") as thief:
        payload = json.dumps({"halt_id": "forged"}).encode()
        await thief.client.publish(REQUESTED, payload)
        await thief.client.flush()
    assert (await board(firm))["halts"] == []


async def test_the_board_is_true_while_every_halt_worker_is_dead(firm):
    async with firm.working() as workers:
        await ready(*workers)
        await requested(firm, halt_order("h-firm"))
    shown = await board(firm)
    assert [each["halt_id"] for each in shown["halts"]] == ["h-firm"]
    assert shown["halt_workers"] == []


async def test_many_halts_are_one_line_each(firm):
    async with firm.working() as workers:
        await ready(*workers)
        for number in range(14):
            event = halt_order(f"h-{number}", "STRATEGY_HALT", strategy_id=f"s-{number}")
            await requested(firm, event)
        said = await run(firm, "halts")
    assert "14 halts hold" in said.out
    assert said.out.count("strategy s-") == 14
    assert len(said.out.splitlines()) < 30


async def test_why_names_every_halt_over_a_strategy_and_its_fund(firm):
    await register(firm)
    async with firm.working() as workers:
        await ready(*workers)
        await requested(firm, loss("alpha"), "service-limits", "limits")
        await requested(firm, halt_order("h-m", "STRATEGY_HALT", strategy_id="alpha-momentum"))
        said = await run(firm, "why", "alpha-momentum", "--output", "json")
        found = json.loads(said.out)
        assert (said.code, found["fund_id"]) == (1, "alpha")
        assert {each["level"] for each in found["halts"]} == {"FUND_HALT", "STRATEGY_HALT"}
        await requested(firm, halt_order("h-x", "FUND_HALT", fund_id="unregistered"))
        said = await run(firm, "why", "unregistered")
        assert (said.code, "mts cmd resume unregistered" in said.out) == (1, True)
        said = await run(firm, "why", "beta-momentum")
        assert (said.code, "no halt stops beta-momentum" in said.out) == (0, True)
        assert_harmless(said.out + said.err)
        assert (await run(firm, "why", "firm")).code == 0


async def test_why_finds_the_strategy_of_an_order_and_what_the_gate_said(firm, database):
    log = await make_log(database, sizes=(5,), unsigned=0)
    settings = Postgres(dsn=database.dsn("mts_sealer"))
    named = {"order_id": "ord-x", "strategy_id": "trend", "fund_id": "alpha"}
    refusal = named | {"timestamp": "2026-11-20T12:00:00Z", "data": {"reason": "fund is halted"}}
    async with ledger.connection(settings, "test") as connected:
        sealer = SealerLedger(connected, logs.ORIGIN)
        head = await sealer.take_over()
        place = head.stream_sequence
        made = [
            (subject, b"$JS.ACK.MTS.audit.1.%d.1.%d.0" % (place + n, logs.NOW_NS), b"", payload)
            for n, (subject, payload) in enumerate(
                (
                    (b"mts.v1.trading.order.submitted", json.dumps(named).encode()),
                    (b"mts.v1.risk.gate.rejected", json.dumps(refusal).encode()),
                ),
                start=1,
            )
        ]
        await sealer.append(head, chain.seal(head, made))
    await project_all(database)
    async with firm.working() as workers:
        await ready(*workers)
        await requested(firm, loss("alpha"), "service-limits", "limits")
    command = mts(firm)
    command.settings["MTS_POSTGRES_DSN"] = log.settings.dsn
    said = await asyncio.to_thread(command, "why", "ord-x")
    assert said.code == 1, said.err
    assert "ord-x is stopped by 1 halt" in said.out
    assert "the gate said: fund is halted" in said.err
    assert (await asyncio.to_thread(command, "why", "ord-unknown")).code == 2


async def test_a_halt_that_happens_while_one_watches_is_shown(firm):
    worker = WorkerProcess(firm).start()
    try:
        await worker.ready()
        watching = await asyncio.create_subprocess_exec(
            MTS, "halts", "--watch", "--output", "jsonl",
            env=subprocess_environment(mts(firm).settings), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        first = json.loads(await watching.stdout.readline())
        await requested(firm, halt_order("h-firm"))
        second = json.loads(await watching.stdout.readline())
        assert (first["halts"], second["halts"][0]["halt_id"]) == ([], "h-firm")
        watching.terminate()
        await watching.wait()
    finally:
        worker.end()
