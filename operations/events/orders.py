"""What order management systems say: the life of an order, and what the risk gate refused.

Words as in FIX: `quantity` is that of the whole order, `last_quantity` and `price` are those of
one fill, `leaves_quantity` is what may still be filled. At every step leaves = quantity - filled
while the order works, and 0 when it has ended.
"""

from typing import Annotated, Literal

from operations.events.base import Currency, Data, Event, Id, Money, Quantity, doc

Side = Literal["buy", "sell"]
OrderType = Literal["market", "limit", "stop", "stop_limit", "pegged", "market_on_close"]
TimeInForce = Literal["day", "gtc", "ioc", "fok", "gtd", "opg", "cls"]
Liquidity = Literal["maker", "taker", "auction"]
CancelReason = Literal[
    "requested", "strategy", "replaced", "halt", "risk", "venue", "self_match", "end_of_day"
]


class Order(Data, frozen=True, kw_only=True):
    """What an order asks for, as it stands after the event."""

    symbol: Annotated[Id, doc("Instrument.")]
    side: Annotated[Side, doc("Buy or sell.")]
    quantity: Annotated[Quantity, doc("Quantity of the whole order, in units of the instrument.")]
    type: Annotated[OrderType | None, doc("How its price is set.")] = None
    limit_price: Annotated[Money | None, doc("Worst price per unit, in `currency`.")] = None
    stop_price: Annotated[Money | None, doc("Price per unit that wakes it, in `currency`.")] = None
    currency: Annotated[Currency | None, doc("Currency of all its prices and fees.")] = None
    time_in_force: Annotated[TimeInForce | None, doc("How long it works.")] = None
    leaves_quantity: Annotated[
        Quantity | None, doc("What may still be filled, in units of the instrument.")
    ] = None
    parent_id: Annotated[Id | None, doc("Order of which this is a slice.")] = None
    arrival_price: Annotated[Money | None, doc("Mid price when it was decided, in `currency`.")] = (
        None
    )
    venue: Annotated[str | None, doc("Where it works.")] = None


class OrderSubmitted(Event, frozen=True, kw_only=True):
    """A strategy or a person asked for an order."""

    pattern = "mts.v1.trading.order.submitted"
    data: Order


class OrderAccepted(Event, frozen=True, kw_only=True):
    """The venue works the order."""

    pattern = "mts.v1.trading.order.accepted"
    data: Order


class OrderAmended(Event, frozen=True, kw_only=True):
    """Price or quantity changed; the data are the new ones."""

    pattern = "mts.v1.trading.order.amended"
    data: Order


class Fill(Order, frozen=True, kw_only=True):
    """One execution of an order."""

    price: Annotated[Money, doc("Price per unit of this fill, in `currency`.")]
    last_quantity: Annotated[Quantity, doc("Quantity of this fill, in units of the instrument.")]
    leaves_quantity: Annotated[
        Quantity, doc("What may still be filled, in units of the instrument.")
    ]
    currency: Annotated[Currency, doc("Currency of all its prices and fees.")]
    execution_id: Annotated[Id | None, doc("Id of the fill at the venue.")] = None
    fee: Annotated[Money | None, doc("Fee paid, negative for a rebate, in `currency`.")] = None
    liquidity: Annotated[Liquidity | None, doc("Whether it gave or took liquidity.")] = None


class OrderPartiallyFilled(Event, frozen=True, kw_only=True):
    """A part was executed and the rest still works."""

    pattern = "mts.v1.trading.order.partially_filled"
    data: Fill


class OrderFilled(Event, frozen=True, kw_only=True):
    """The last part was executed; nothing is left."""

    pattern = "mts.v1.trading.order.filled"
    data: Fill


class Cancel(Order, frozen=True, kw_only=True):
    """An order with the reason why it ends."""

    cancel_reason: Annotated[CancelReason | None, doc("Why it is canceled.")] = None
    halt_id: Annotated[Id | None, doc("Halt that ordered the cancel.")] = None


class OrderCancelRequested(Event, frozen=True, kw_only=True):
    """Somebody asked to cancel the order; it may still be filled."""

    pattern = "mts.v1.trading.order.cancel_requested"
    data: Cancel


class OrderCanceled(Event, frozen=True, kw_only=True):
    """The order ended by a cancel."""

    pattern = "mts.v1.trading.order.canceled"
    data: Cancel


class Refusal(Order, frozen=True, kw_only=True):
    """An order with the reason why it was refused."""

    reason: Annotated[str, doc("Why it was refused, in words.")]
    halt_id: Annotated[Id | None, doc("Halt that refused it.")] = None


class OrderRejected(Event, frozen=True, kw_only=True):
    """The venue or the broker refused the order."""

    pattern = "mts.v1.trading.order.rejected"
    data: Refusal


class OrderExpired(Event, frozen=True, kw_only=True):
    """The order ended because its time in force was over."""

    pattern = "mts.v1.trading.order.expired"
    data: Order


class GateRefusal(Refusal, frozen=True, kw_only=True):
    """An order that never left the house."""

    rule_id: Annotated[Id | None, doc("Rule that refused it.")] = None
    rule_version: Annotated[int | None, doc("Version of the rule.")] = None


class GateRejected(Event, frozen=True, kw_only=True):
    """The risk gate refused an order before it was sent."""

    pattern = "mts.v1.risk.gate.rejected"
    data: GateRefusal
