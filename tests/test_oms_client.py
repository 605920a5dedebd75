"""Does an order system that was written from the protocol's document alone keep the protocol?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import oms_client_state
import pytest
from floor import Floor
from oms_client import Client
from oms_client_state import Settings
from oms_client_wire import Key, Signer, signed_bytes
from support import Fleet, NatsHandle, eventually

from operations.adapters import orders_of_people
from operations.events.halts import ResumeRequested
from operations.halt.state import FIRM, Scope
from operations.simulation.order_flow import seats

SEAT = next(seat for seat in seats("oms-1") if seat.fund_id == "south")
TREND = Scope("STRATEGY_HALT", SEAT.strategy_id)


@pytest.mark.unit
def test_the_worked_example_of_the_document_comes_out():
    payload = (
        b'{"event_id":"0199d1f2-0000-7000-8000-000000000001",'
        b'"timestamp":"2026-11-20T20:00:00.000000000Z","actor":"halt","subject_id":"h-1",'
        b'"strategy_id":"mean-rev","data":{"halt_id":"h-1","level":"STRATEGY_HALT",'
        b'"reason_code":"MANUAL","requested_by":"operator"}}'
    )
    subject = "mts.v1.operations.halt.requested"
    signed = signed_bytes("mts.local/audit", "development", subject, payload)
    key = Key("PRIVATE+KEY+service-halt+e07656ed+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
    assert (len(payload), len(signed)) == (253, 341)
    assert key.header(signed) == (
        "service-halt+e07656ed V8NWXXmwnkCA2Ihs/UHz3jmec0U0nwPmA/EFm+devuhq+HmR+j5aB2Gtfdd8A84bv78"
        "6dWBU4jM3F5i+kk+dAw=="
    )


@pytest.fixture
async def floor(nats_server: NatsHandle) -> AsyncIterator[Floor]:
    one = Floor(nats_server)
    try:
        await one.register()
        one.start_halt()
        yield one
    finally:
        await asyncio.to_thread(one.end)


@asynccontextmanager
async def running(floor: Floor, kind: type[Client]) -> AsyncIterator[Client]:
    keys, settings = floor.home / "keys", floor.settings
    folder = floor.home / "foreign"
    folder.mkdir()
    one = kind(
        Settings(
            oms_id="oms-1",
            port=settings.nats.port,
            password=floor.nats.password("oms-1"),
            origin=settings.audit.origin,
            environment=settings.environment,
            key=(keys / "oms-1.key").read_text(),
            root=(keys / "root.vkey").read_text(),
            roster=(keys / "roster.json").read_text(),
            folder=folder,
        )
    )
    task = asyncio.create_task(one.run())
    try:
        await eventually(lambda: not denied(one), "it may trade")
        yield one
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def client(floor: Floor) -> AsyncIterator[Client]:
    async with running(floor, Client) as one:
        yield one


class Credulous(Client):
    """Believes whoever says something."""

    def _judged(self, *_):
        return Signer({"name": "anybody"}, "a+b+c")


class Silent(Client):
    """Does not report."""

    async def _report(self, _bus):
        await asyncio.sleep(3600)


def denied(client: Client) -> str:
    return client.denied(SEAT.strategy_id, SEAT.fund_id, SEAT.account_id, "1")


@pytest.mark.integration
async def test_a_foreign_order_system_keeps_the_protocol(floor, client):
    fleet = Fleet(floor.settings)
    said = await asyncio.to_thread(fleet.mts, "oms", "conformance", "oms-1", code=None)
    assert "✓ oms-1 keeps the protocol" in said, said + "\n".join(client.refused[-20:])


@pytest.mark.integration
@pytest.mark.parametrize("kind", [Credulous, Silent], ids=lambda kind: kind.__name__)
async def test_an_order_system_that_does_not_keep_the_protocol_is_found_out(floor, kind):
    async with running(floor, kind):
        fleet = Fleet(floor.settings)
        said = await asyncio.to_thread(fleet.mts, "oms", "conformance", "oms-1", code=1)
    assert "does not keep the protocol" in said


@pytest.mark.integration
async def test_our_order_system_keeps_the_protocol(floor):
    floor.start_oms("oms-1")
    await floor.trading("oms-1")
    fleet = Fleet(floor.settings)
    said = await asyncio.to_thread(fleet.mts, "oms", "conformance", "oms-1", code=None)
    assert "✓ oms-1 keeps the protocol" in said, said


@pytest.mark.integration
async def test_a_foreign_order_system_is_halted_and_lifted_by_signed_orders_only(floor, client):
    halt_id = await floor.halt(TREND)
    firm_id = await floor.halt(FIRM)
    for each in (halt_id, firm_id):
        await floor.acknowledged(each, by=("oms-1",))
    await eventually(lambda: denied(client) == "STRATEGY_HALTED")
    await floor.ask_to_resume([halt_id])
    await eventually(lambda: denied(client) == "FIRM_HALTED")
    resume = await floor.ask_to_resume([firm_id])
    await eventually(lambda: floor.events(ResumeRequested), "the co-sign request is open")
    assert denied(client) == "FIRM_HALTED"
    await floor.cosign(resume)
    await eventually(lambda: not denied(client))


@pytest.mark.integration
async def test_a_foreign_order_system_without_a_halt_worker_opens_nothing(floor, client):
    floor.kill("halt-1")
    await eventually(lambda: denied(client) == "LEASE_LAPSED")
    halt_id = await floor.halt(FIRM)
    await floor.acknowledged(halt_id, by=("oms-1",))
    assert denied(client) == "FIRM_HALTED"


@pytest.mark.integration
async def test_the_file_of_a_foreign_order_system_becomes_the_halt_that_it_computed(floor, client):
    file = floor.home / "foreign" / "HALT"
    file.touch()
    await eventually(lambda: denied(client) in ("FILE_HALT", "OMS_HALTED"))
    (halt_id,) = await eventually(lambda: [*client.halts])
    await floor.acknowledged(halt_id, by=("oms-1",))
    file.unlink()
    await eventually(lambda: client.halts[halt_id].stored, "the halt worker decides the same")
    assert denied(client) == "OMS_HALTED"
    await floor.ask_to_resume([halt_id])
    await eventually(lambda: not denied(client))


@pytest.mark.unit
def test_the_client_imports_nothing_of_the_product():
    for module in (oms_client_state, Client, Key):
        names = vars(module if isinstance(module, type(pytest)) else __import__(module.__module__))
        found = {getattr(each, "__module__", "") or "" for each in names.values()}
        assert not [each for each in found if str(each).startswith(("operations", "workers"))]


@pytest.mark.integration
async def test_a_flatten_and_a_cancel_of_a_foreign_order_system_are_acknowledged(floor, client):
    halt_id = await floor.halt(Scope("FUND_HALT", "south"))
    await floor.acknowledged(halt_id, by=("oms-1",))
    accounts = (SEAT.account_id,)
    await floor.order(orders_of_people.flatten("operator", halt_id, "south", accounts, "a story"))
    await floor.acknowledged(halt_id, "FLAT", by=("oms-1",))
    command = orders_of_people.cancel_all("operator", FIRM, "a story")
    await floor.order(command)
    await floor.acknowledged(command.data.command_id, "CANCEL_CONFIRMED", by=("oms-1",))
