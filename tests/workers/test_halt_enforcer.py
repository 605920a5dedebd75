"""Does an order system that only speaks NATS get its gate, its cancels and its exits?"""

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from functools import partial

import pytest
from floor import Floor
from halted import commanded, opened_gate
from nats.aio.client import Client
from support import NatsHandle, eventually

from operations.adapters import orders_of_people, roster_files
from operations.errors import Rejected
from operations.halt.book import Order
from operations.halt.gate import Gate
from operations.halt.state import FIRM, Scope
from operations.signing import message
from operations.simulation.order_flow import seats
from workers.halt_enforcer import (
    GATE,
    PERMIT,
    AskedAmend,
    AskedNew,
    Beside,
    Told,
    ToldFill,
    ToldPosition,
    answer,
)

SEAT = next(seat for seat in seats("oms-1") if seat.fund_id == "south")
ONE = ("oms-1",)


def asked(order_id: str = "o-1", side: str = "buy", quantity: int = 10, kind=AskedNew, **more):
    return kind(
        order_id=order_id, strategy_id=SEAT.strategy_id, fund_id=SEAT.fund_id,
        account_id=SEAT.account_id, symbol="AAPL", side=side, quantity=Decimal(quantity), **more,
    )  # fmt: skip


@pytest.fixture
def gate() -> Gate:
    return opened_gate("oms-1", lambda: 0)


@pytest.mark.unit
def test_an_order_is_allowed_until_something_stops_it(gate):
    beside = Beside()
    assert answer(gate, beside, asked()).allowed
    assert answer(gate, beside, asked()).allowed  # asking again changes nothing
    gate.request(commanded("h-1", FIRM))
    refused = answer(gate, beside, asked("o-2"))
    assert (refused.allowed, refused.code, refused.halt_id) == (False, "FIRM_HALTED", "h-1")


@pytest.mark.unit
def test_what_is_told_is_what_reduces_later(gate):
    beside = Beside()
    answer(gate, beside, asked())
    answer(gate, beside, Told(order_id="o-1", what="working"))
    answer(gate, beside, ToldFill(order_id="o-1", quantity=Decimal(10)))
    gate.request(commanded("h-1", FIRM, "REDUCE_ONLY"))
    assert not answer(gate, beside, asked("o-2")).allowed
    assert answer(gate, beside, asked("o-3", "sell", 6)).allowed
    assert not answer(gate, beside, asked("o-4", "sell", 6)).allowed
    answer(gate, beside, Told(order_id="o-3", what="ended"))
    assert answer(gate, beside, asked("o-5", "sell", 6)).allowed
    position = ToldPosition(account_id=SEAT.account_id, symbol="MSFT", quantity=Decimal(-3))
    assert answer(gate, beside, position).allowed


@pytest.mark.unit
def test_an_amend_upwards_is_refused_in_a_halt_and_the_order_stands(gate):
    beside = Beside()
    answer(gate, beside, asked())
    answer(gate, beside, Told(order_id="o-1", what="working"))
    gate.request(commanded("h-1", FIRM, "REDUCE_ONLY"))
    assert not answer(gate, beside, asked(quantity=11, kind=AskedAmend)).allowed
    assert answer(gate, beside, asked(quantity=9, kind=AskedAmend)).allowed
    answer(gate, beside, Told(order_id="o-1", what="amended"))
    assert gate.book.open["o-1"].leaves == 9


@pytest.mark.unit
async def test_cancels_and_exits_are_asked_for_until_the_orders_have_ended(gate):
    beside = Beside()
    await beside.cancel_orders([Order(order_id="o-1")], "h-1")
    await beside.send_exit(Order(order_id="exit-1", exit_of="h-1"))
    assert (list(beside.cancels), list(beside.exits)) == (["o-1"], ["exit-1"])
    for order_id in ("o-1", "exit-1"):
        answer(gate, beside, Told(order_id=order_id, what="ended"))
    assert not beside.cancels
    assert not beside.exits


@pytest.mark.unit
def test_a_fill_of_nothing_is_no_fill(gate):
    with pytest.raises(Rejected, match="unknown order"):
        answer(gate, Beside(), ToldFill(order_id="o-9", quantity=Decimal(1)))


@pytest.fixture
async def floor(nats_server: NatsHandle) -> AsyncIterator[Floor]:
    one = Floor(nats_server)
    try:
        await one.register()
        one.start_halt()
        one.start_oms("oms-1", "-m", "workers", "halt_enforcer")
        yield one
    finally:
        await asyncio.to_thread(one.end)


class Plain:
    """An order system that only speaks NATS."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.permits: list[tuple[bytes, str]] = []

    async def listen(self) -> None:
        async def hear(permit):
            self.permits.append((permit.data, permit.headers[message.HEADER]))

        self.subscription = await self.client.subscribe(f"{PERMIT}.oms-1", cb=hear)
        await self.client.flush()

    @property
    def permit(self) -> dict:
        return json.loads(self.permits[-1][0])

    async def ask(self, ask: str, **fields) -> dict:
        body = json.dumps({"ask": ask, **fields}).encode()
        return json.loads((await self.client.request(f"{GATE}.oms-1", body, timeout=30)).data)

    async def buy(self, order_id: str) -> dict:
        return await self.ask(
            "new", order_id=order_id, strategy_id=SEAT.strategy_id, fund_id=SEAT.fund_id,
            account_id=SEAT.account_id, symbol="AAPL", side="buy", quantity="10",
        )  # fmt: skip


@pytest.fixture
async def plain(floor: Floor) -> AsyncIterator[Plain]:
    client = await floor.nats.connect("oms-1")
    one = Plain(client)
    await one.listen()
    try:
        yield one
    finally:
        await client.close()


async def allowed(plain: Plain) -> bool:
    order_id = f"try-{len(plain.permits)}"
    verdict = await plain.buy(order_id)
    await plain.ask("told", order_id=order_id, what="ended")
    return bool(verdict["allowed"])


async def bought(plain: Plain, order_id: str) -> bool:
    return bool((await plain.buy(order_id))["allowed"])


@pytest.mark.integration
async def test_a_plain_order_system_is_halted_cancels_flattens_and_goes_on(floor, plain):
    await eventually(lambda: allowed(plain), "it may trade")
    for order_id, fill in (("o-1", "10"), ("o-2", "")):
        await eventually(partial(bought, plain, order_id), f"{order_id} may go")
        await plain.ask("told", order_id=order_id, what="working")
        if fill:
            await plain.ask("filled", order_id=order_id, quantity=fill)
    halt_id = await floor.halt(Scope("FUND_HALT", "south"))
    await floor.acknowledged(halt_id, by=ONE)
    assert (await plain.buy("o-3"))["code"] == "FUND_HALTED"
    accounts = (SEAT.account_id,)
    await floor.order(orders_of_people.flatten("operator", halt_id, "south", accounts, "a story"))
    await eventually(lambda: plain.permit["orders"] == ["o-2"], "a cancel is asked for")
    await plain.ask("told", order_id="o-2", what="ended")
    (exit_order,) = await eventually(lambda: plain.permit["exits"], "an exit is asked for")
    assert (exit_order["side"], exit_order["quantity"], exit_order["exit_of"]) == (
        "sell", "10", halt_id,
    )  # fmt: skip
    verdict = await plain.ask(**{"ask": "new"} | exit_order)
    assert verdict["allowed"], verdict
    await plain.ask("filled", order_id=exit_order["order_id"], quantity="10")
    await plain.ask("told", order_id=exit_order["order_id"], what="ended")
    await floor.acknowledged(halt_id, "FLAT", by=ONE)
    await floor.ask_to_resume([halt_id])
    await eventually(lambda: allowed(plain), "it may trade again")


@pytest.mark.integration
async def test_permits_are_signed_and_end_with_the_enforcer(floor, plain):
    await eventually(lambda: plain.permits)
    key = roster_files.read_public(floor.home / "keys" / "oms-1.vkey")
    for payload, header in plain.permits:
        signed = message.Message(
            floor.settings.audit.origin, floor.settings.environment, f"{PERMIT}.oms-1", payload
        )
        assert key.verifies(message.parse(header).raw, signed.signed_bytes())
    floor.kill("oms-1")
    await plain.client.flush()
    await eventually(lambda: not plain.subscription.pending_msgs, "what was on its way came")
    count = len(plain.permits)
    await asyncio.sleep(2)  # the time in which a permit would come
    assert len(plain.permits) <= count + 1


@pytest.mark.integration
async def test_a_question_that_wants_its_answer_elsewhere_is_none(floor, plain):
    await eventually(lambda: allowed(plain), "it may trade")
    heard = []
    admin = await floor.nats.connect()

    async def hear(each):
        heard.append(each)

    await admin.subscribe("elsewhere", cb=hear)
    body = json.dumps({"ask": "told", "order_id": "o-1", "what": "working"}).encode()
    await admin.publish(f"{GATE}.oms-1", body, reply="elsewhere")
    await admin.publish(f"{GATE}.oms-1", body)
    await admin.flush()
    assert (await plain.ask("told", order_id="o-1", what="working"))["allowed"]
    assert heard == []
    assert (await plain.ask("nothing"))["code"] == "MALFORMED"
    await admin.close()
