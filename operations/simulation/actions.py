"""What the simulated firm does about actions that are asked for during its day.

Asked for at a minute, answered, worked towards by orders of the one order management system, and
over when a person releases it. Strategies go on computing their signals; what they want is cut to
what is allowed. A target that cannot be known is refused with the reason.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import Literal, Protocol

from msgspec import Struct

from operations.events.actions import (
    ActionAnswer,
    ActionAnswered,
    ActionOutcome,
    ActionReleased,
    ActionRequest,
    ActionRequested,
)
from operations.events.base import Event
from operations.simulation.agenda import Agenda
from operations.simulation.ledger import Ledger, Position
from operations.simulation.market import MINUTE
from operations.simulation.marks import call_greeks
from operations.simulation.reduction import Place, caps_of, excess, room
from operations.simulation.world import BASE, TRADERS
from operations.simulation.writer import Writer, base_money, money

OMS = "oms"
SECOND = 1_000_000_000
SPARE = Decimal("0.99")  # of an amount that is reached, so that the next price does not break it
Side = Literal["buy", "sell"]


class Asked(Struct, frozen=True, kw_only=True):
    """An action that is asked for, and perhaps released, at minutes since the first opening."""

    request: ActionRequest
    minute: int = 30
    released_minute: int | None = None


class Orders(Protocol):
    """The open orders of the order management system, and how to send and cancel some."""

    def opened(self, place: Place, side: Side) -> int:
        """Return what open orders of a side may still fill, in units."""

    def work(self, place: Place, side: Side, size: int, at: int) -> Iterator[Event]:
        """Send an order that works a position down."""

    def clear(self, place: Place, at: int) -> Iterator[Event]:
        """Cancel what a strategy has open, except what works its position down."""


class Limit(Struct, kw_only=True):
    """One action in force. `caps` is None where only what reduces passes, whatever the size."""

    request: ActionRequest
    strategy_ids: frozenset[str]
    factor: Decimal = Decimal(1)
    bases: dict[Place, int] = {}
    caps: dict[Place, int] | None = None
    done: bool = False

    def concerns(self, place: Place) -> bool:
        """Whether a position of a strategy in a symbol is in its scope."""
        only = self.request.scope_id if self.request.scope == "instrument" else place[1]
        return place[0] in self.strategy_ids and place[1] == only


class Actions:
    """Every action of one simulated run."""

    def __init__(
        self, writer: Writer, ledger: Ledger, agenda: Agenda, asked: Sequence[Asked]
    ) -> None:
        self._writer = writer
        self._ledger = ledger
        self._agenda = agenda
        self._asked = list(asked)
        self._limits: dict[str, Limit] = {}
        self._closes_ns = 0

    def open(self, orders: Orders, opens_ns: int, closes_ns: int) -> None:
        """Plan a day: what is asked on the first, and what goes on from the day before."""
        self._closes_ns = closes_ns
        for each in self._asked:
            at = opens_ns + each.minute * MINUTE
            self._agenda.plan(at, partial(self._begin, orders, each))
            if each.released_minute is not None:
                at = opens_ns + each.released_minute * MINUTE
                self._agenda.plan(at, partial(self._release, each.request))
        self._asked.clear()
        for limit in self._limits.values():
            self._agenda.plan(opens_ns, partial(self._look, orders, limit))

    def cut(self, orders: Orders, place: Place, side: Side, size: int) -> int:
        """Return how much of what a strategy wants may be sent, in units."""
        held = self._ledger.positions[place].quantity
        for limit in self._limits.values():
            if limit.concerns(place):
                opened = orders.opened(place, side)
                if limit.caps is None:
                    closing = held < 0 if side == "buy" else held > 0
                    size = min(size, max(0, abs(held) - opened) if closing else 0)
                elif place in limit.caps or limit.request.kind != "hedge":
                    most = limit.caps.get(place, 0)
                    left = room(held, most, side, opened) if abs(held) <= most else 0
                    size = min(int(size * limit.factor), left)
        return size

    def _begin(self, orders: Orders, asked: Asked, at: int) -> Iterator[Event]:
        request = asked.request
        yield self._write(ActionRequested, request, at, request, by="watchdogs")
        limit = Limit(request=request, strategy_ids=_strategies(request))
        if reason := self._aim(limit):
            yield self._answer(request, at, "REFUSED", reason=reason)
            return
        self._limits[request.action_id] = limit
        yield self._answer(request, at, "ACKNOWLEDGED")
        for position in self._positions(limit):
            yield from orders.clear(_place(position), at)
        yield from self._look(orders, limit, at)

    def _release(self, request: ActionRequest, at: int) -> Iterator[Event]:
        if self._limits.pop(request.action_id, None) is not None:
            outcome = ActionOutcome(action_id=request.action_id, reason="operator: looked at it")
            yield self._write(ActionReleased, request, at, outcome, by="actions")

    def _look(self, orders: Orders, limit: Limit, at: int) -> Iterator[Event]:
        """Work towards a target, say once that it is reached, and look again in a second."""
        if self._limits.get(limit.request.action_id) is not limit:
            return
        if limit.done and limit.caps and self._measured(limit)[0] > _most(limit.request):
            self._aim(limit)
        reached = True
        for position in self._positions(limit):
            place, held = _place(position), position.quantity
            closing: Side = "sell" if held > 0 else "buy"
            if limit.caps is None:
                reached = reached and not orders.opened(place, "buy" if held >= 0 else "sell")
                continue
            most = limit.caps.get(place, 0)
            if abs(held) > most:
                yield from orders.clear(place, at)
                if size := excess(held, most, orders.opened(place, closing)):
                    yield from orders.work(place, closing, size, at)
            beyond = held + orders.opened(place, "buy"), orders.opened(place, "sell") - held
            reached = reached and max(abs(held), *beyond) <= most
        if reached and not limit.done:
            limit.done = True
            measured, currency = self._measured(limit)
            yield self._answer(limit.request, at, "COMPLETED", measured, currency)
        if at + SECOND < self._closes_ns:
            self._agenda.plan(at + SECOND, partial(self._look, orders, limit))

    def _aim(self, limit: Limit) -> str:
        """Set the caps of an action from what is held now; returns why it is refused."""
        request = limit.request
        held = {_place(each): each.quantity for each in self._positions(limit) if each.quantity}
        limit.bases = limit.bases or {place: abs(size) for place, size in held.items()}
        if request.kind == "shadow":
            return ""
        if request.kind == "reduce_allocation":
            limit.factor = _most(request)
            factor = limit.factor
        elif request.kind not in ("reduce_gross", "hedge"):
            return "the simulated order management system does not count orders"
        elif request.currency != BASE:
            return f"the books are in {BASE} and the target is in {request.currency}"
        elif request.kind == "hedge" and not self._options(limit):
            return "no options are held, so what they lose a day by theta is not known"
        else:
            now, most = self._measured(limit)[0], _most(request)
            factor = SPARE * most / now if now > most else Decimal(1)
        over = limit.bases if request.kind == "reduce_allocation" else held
        if request.kind == "hedge":
            over = {_place(each): each.quantity for each in self._options(limit)}
        limit.caps = {(cap.owner, cap.symbol): cap.most for cap in caps_of(over, factor)}
        return ""

    def _measured(self, limit: Limit) -> tuple[Decimal, str | None]:
        """Return what the target of an action is compared with, as it is now."""
        ledger, kind = self._ledger, limit.request.kind
        if kind == "reduce_gross":
            values = (abs(ledger.value_micros(each)) for each in self._positions(limit))
            return base_money(sum(values)), BASE
        if kind == "hedge":
            return money(abs(sum(map(self._theta_cents, self._options(limit))))), BASE
        parts = [
            Decimal(abs(ledger.positions[place].quantity)) / base
            for place, base in limit.bases.items()
        ]
        return max(parts, default=Decimal(0)).quantize(Decimal("0.0001")), None

    def _theta_cents(self, position: Position) -> int:
        asset = position.asset
        assert asset.underlying is not None
        assert asset.strike_cents is not None
        spot = self._ledger.marks_cents[asset.underlying]
        return position.quantity * asset.multiplier * call_greeks(spot, asset.strike_cents)[1]

    def _options(self, limit: Limit) -> list[Position]:
        held = self._positions(limit)
        return [each for each in held if each.asset.kind == "option" and each.quantity]

    def _positions(self, limit: Limit) -> list[Position]:
        """Return the positions that an action concerns; of a hedge only those it caps."""
        found = [each for each in self._ledger.positions.values() if limit.concerns(_place(each))]
        if limit.request.kind == "hedge":
            found = [each for each in found if each.asset.kind == "option"]
        return found

    def _answer(
        self, request: ActionRequest, at: int,
        phase: Literal["ACKNOWLEDGED", "COMPLETED", "REFUSED"],
        measured: Decimal | None = None, currency: str | None = None, reason: str = "",
    ) -> Event:  # fmt: skip
        answer = ActionAnswer(
            oms_id=OMS, action_id=request.action_id, phase=phase, measured=measured,
            currency=currency, reason=reason or None,
        )  # fmt: skip
        return self._write(ActionAnswered, request, at, answer, by=OMS)

    def _write(
        self, kind: type[Event], request: ActionRequest, at: int,
        data: ActionRequest | ActionAnswer | ActionOutcome, *, by: str,
    ) -> Event:  # fmt: skip
        return self._writer.write(
            kind, at, request.action_id, data, by=by, correlation_id=request.episode,
            fund_id=request.scope_id if request.scope == "fund" else None,
            strategy_id=request.scope_id if request.scope == "strategy" else None,
        )  # fmt: skip


def _place(position: Position) -> Place:
    return position.trader.strategy_id, position.asset.symbol


def _strategies(request: ActionRequest) -> frozenset[str]:
    name = {"strategy": "strategy_id", "fund": "fund_id"}.get(request.scope)
    return frozenset(
        each.strategy_id
        for each in TRADERS
        if name is None or getattr(each, name) == request.scope_id
    )


def _most(request: ActionRequest) -> Decimal:
    """Return the highest value that the target allows."""
    amounts = (
        request.allocation_factor, request.gross_at_most, request.theta_per_day_at_most,
    )  # fmt: skip
    return next((each for each in amounts if each is not None), Decimal(0))
