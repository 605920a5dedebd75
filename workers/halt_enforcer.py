"""Stands beside an order system that only speaks NATS, and holds its gate.

The order system asks here before each order and says what became of it; it hears once a second,
and at every change, what it may do and what it has to cancel or to close. Start it as
`python -m workers halt_enforcer` with the credentials of that order system: it acknowledges halts
for that one only. Subjects and fields are in docs/oms-enforcer.md.
"""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from operations import oms as library
from operations.adapters import service_bus, wire
from operations.adapters.oms_cancels import OrderSystem
from operations.adapters.tasks import end_tasks
from operations.clock import now_ns, rfc3339
from operations.errors import Rejected
from operations.events.base import Quantity
from operations.halt.book import Order
from operations.halt.gate import Gate
from operations.halt.verdicts import Denial
from operations.oms import Oms
from operations.signing.message import HEADER
from workers.runtime import Runtime

GATE = "ops.v1.oms.gate"  # and the id of the order system
PERMIT = "ops.v1.oms.permit"
PERMIT_SECONDS = 1.0
VALID_MS = 3000
Size = Annotated[Quantity, Meta(description="Units of the instrument.")]


class AskedNew(Struct, frozen=True, kw_only=True, tag_field="ask", tag="new"):
    """May this order go to the venue now? An `order_id` counts once, whatever is asked again."""

    order_id: str
    strategy_id: str
    fund_id: str
    account_id: str
    symbol: str
    side: Literal["buy", "sell"]
    quantity: Size
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    exit_of: str = ""


class AskedAmend(AskedNew, frozen=True, kw_only=True, tag_field="ask", tag="amend"):
    """May this amend go to the venue now? The fields are those of the order after it."""


class Told(Struct, frozen=True, kw_only=True, tag_field="ask", tag="told"):
    """The venue works an order, took or refused its amend, or nothing of it is left."""

    order_id: str
    what: Literal["working", "amended", "amend_refused", "ended"]


class ToldFill(Struct, frozen=True, kw_only=True, tag_field="ask", tag="filled"):
    """An order was filled."""

    order_id: str
    quantity: Size


class ToldPosition(Struct, frozen=True, kw_only=True, tag_field="ask", tag="position"):
    """An account holds this, as the broker says; to be told at the start of the order system."""

    account_id: str
    symbol: str
    quantity: Size


Question = AskedNew | AskedAmend | Told | ToldFill | ToldPosition
_questions = msgspec.json.Decoder(Question)


class Answer(Struct, frozen=True, kw_only=True):
    """Whether it may; what was only told is always allowed. `code` and `words` say why not."""

    allowed: bool
    code: str = ""
    words: str = ""
    halt_id: str = ""


class Permit(Struct, frozen=True, kw_only=True):
    """The state of the gate. Without one for `valid_ms` nothing new may be sent.

    `orders` are to be canceled, again and again until each was told to have ended; `exits` are to
    be sent, each id once and through the gate.
    """

    oms_id: str
    count: int
    issued_at: str
    valid_ms: int
    denied_by: str
    orders: tuple[str, ...]
    exits: tuple[dict[str, Any], ...]


class Beside(OrderSystem):
    """What the library asks of the order system, kept until the order system has done it."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.cancels: dict[str, str] = {}
        self.exits: dict[str, Order] = {}

    async def cancel_orders(self, orders: Sequence[Order], halt_id: str) -> None:
        """Ask for cancels with every permit until the orders have ended."""
        self.cancels |= {order.order_id: halt_id for order in orders}
        self.changed.set()

    async def send_exit(self, order: Order) -> None:
        """Ask for the order of a flatten until it has ended."""
        self.exits.setdefault(order.order_id, order)
        self.changed.set()

    def ended(self, order_id: str) -> None:
        """Ask no more for an order that has ended."""
        self.cancels.pop(order_id, None)
        self.exits.pop(order_id, None)


def answer(gate: Gate, beside: Beside, question: Question) -> Answer:
    """Ask the gate, or tell it. Raises Rejected for what cannot be."""
    match question:
        case AskedNew():
            return _verdict(gate, question)
        case ToldFill():
            gate.filled(question.order_id, question.quantity)
        case ToldPosition():
            gate.position(question.account_id, question.symbol, question.quantity)
        case Told(what="working"):
            gate.working(question.order_id)
        case Told(what="ended"):
            gate.ended(question.order_id)
            beside.ended(question.order_id)
        case Told():
            gate.amended(question.order_id, taken=question.what == "amended")
    return Answer(allowed=True)


def _verdict(gate: Gate, question: AskedNew) -> Answer:
    fields = {name: getattr(question, name) for name in AskedNew.__struct_fields__}
    kind: Literal["new", "amend"] = "amend" if isinstance(question, AskedAmend) else "new"
    verdict = gate.check_and_send(Order(kind=kind, **fields), lambda: None)
    if isinstance(verdict, Denial):
        return Answer(
            allowed=False, code=verdict.code, words=verdict.words, halt_id=verdict.halt_id
        )
    return Answer(allowed=True)


class Enforcer:
    """The gate on NATS."""

    def __init__(self, runtime: Runtime, client: wire.WireClient, oms: Oms, beside: Beside) -> None:
        self._runtime, self._client, self._gate, self._beside = runtime, client, oms.gate, beside
        self._oms_id = runtime.settings.paper.oms_id
        self._inbox = f"{service_bus.access(runtime.settings).inbox}.".encode()
        self._sign = service_bus.signer(runtime.settings)
        self._questions: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
        self._count = 0

    def hear(self, _subject: bytes, reply: bytes, _headers: bytes, payload: bytes) -> None:
        """Take a question; only one that is to be answered into the own inbox is one.

        Anybody can let the server deliver a stored message here, but never with such a reply.
        """
        if reply.startswith(self._inbox):
            self._questions.put_nowait((reply, payload))

    async def answer_questions(self) -> None:
        """Answer until cancelled; what cannot be read or done is not allowed."""
        while True:
            reply, payload = await self._questions.get()
            try:
                said = answer(self._gate, self._beside, _questions.decode(payload))
            except (msgspec.DecodeError, UnicodeDecodeError, Rejected) as error:
                said = Answer(allowed=False, code="MALFORMED", words=str(error)[:500])
            await self._client.publish(reply.decode("ascii"), msgspec.json.encode(said))

    async def permit(self) -> None:
        """Say what the order system may and must do."""
        holds = {*self._gate.holds, *(("LEASE_LAPSED",) if self._gate.lapsed else ())}
        self._count += 1
        permit = Permit(
            oms_id=self._oms_id,
            count=self._count,
            issued_at=rfc3339(now_ns()),
            valid_ms=VALID_MS,
            denied_by=", ".join(sorted(holds)),
            orders=tuple(self._beside.cancels),
            exits=tuple(_as_question(order) for order in self._beside.exits.values()),
        )
        subject, payload = f"{PERMIT}.{self._oms_id}", msgspec.json.encode(permit)
        headers = {HEADER: self._sign(subject, payload)}
        await self._client.publish(subject, payload, headers=headers)
        self._beside.changed.clear()


def _as_question(order: Order) -> dict[str, Any]:
    fields = {name: getattr(order, name) for name in AskedNew.__struct_fields__}
    asked: dict[str, Any] = msgspec.to_builtins(AskedNew(**fields))
    return asked


async def run(runtime: Runtime) -> None:
    """Hold the gate until the process is asked to stop."""
    settings = runtime.settings
    oms_id, beside = settings.paper.oms_id, Beside()
    oms = Oms(library.configured(settings, oms_id, settings.paper_path), beside)
    async with oms, wire.connection(settings.nats, oms_id) as client:
        enforcer = Enforcer(runtime, client, oms, beside)
        await client.subscribe_raw(f"{GATE}.{oms_id}", enforcer.hear)
        answering = asyncio.create_task(enforcer.answer_questions())
        runtime.condition("worker", ok=True, detail=f"holds the gate of {oms_id}")
        try:
            while not runtime.stopping.is_set() and not answering.done():
                await enforcer.permit()
                waits = {
                    asyncio.ensure_future(each)
                    for each in (beside.changed.wait(), runtime.stopping.wait())
                }
                await asyncio.wait(
                    {*waits, answering},
                    timeout=PERMIT_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for each in waits:
                    each.cancel()
        finally:
            await end_tasks(answering)
