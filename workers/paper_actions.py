"""How a paper desk carries out actions: caps on its tape, positions worked down, wishes cut.

A target is noted on the tape before anything is sent for it, with the size at the start of the
episode. So a desk that was killed goes on with the same target, and what arrives twice finds it
noted. Whatever is sent passes the gate like every other order.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from msgspec.structs import replace

from operations.actions.targets import target
from operations.adapters.oms_cancels import Progress
from operations.events.actions import ActionRequest
from operations.halt.registry import Registry
from operations.simulation.order_flow import Wish, seats
from operations.simulation.reduction import Place, caps_of, excess, part_held, room
from operations.simulation.venue import Side
from workers.paper_desk import Desk
from workers.paper_orders import CURRENCY, PaperOrder
from workers.paper_tape import Capped, Uncapped

AGAIN_NS = 1_000_000_000  # after the gate refused what works a position down
SPARE = Decimal("0.99")  # of a gross that is reached, so that the next quote does not break it
NO_OPTIONS = "the accounts here hold no options, so what they lose a day by theta is not known"


class PaperActions:
    """Every action that one desk carries out. Call `look` of the desk before."""

    def __init__(self, oms_id: str, desk: Desk, registry: Registry) -> None:
        self._desk = desk
        self._registry = registry
        self._seats = {seat.account_id: seat for seat in seats(oms_id)}
        self._again_ns: dict[Place, int] = {}

    def carry_out(self, actions: Sequence[ActionRequest]) -> dict[str, Progress]:
        """Note the targets, work towards them, and say how far each is."""
        found = {each.action_id: self._begin(each) for each in actions}
        for action_id in [each for each in self._desk.capped if each not in found]:
            self._desk.cap(Uncapped(at_ns=self._desk.now_ns, action_id=action_id))
        self.work()
        return {each.action_id: found[each.action_id] or self._progress(each) for each in actions}

    def work(self) -> None:
        """Send what brings positions down to their caps; nothing that goes beyond."""
        desk = self._desk
        for place, held in list(desk.positions.items()):
            most, action_id = self._most(place)
            if most is None or abs(held) <= most:
                continue
            closing: Side = "sell" if held > 0 else "buy"
            reducing = sum(
                each.leaves for each in self._open(place) if each.wanted.ticket.side == closing
            )
            size = excess(held, most, reducing)
            if size and desk.now_ns >= self._again_ns.get(place, 0):
                seat = self._seats[place[0]]
                if not desk.reduce(seat, place[1], closing, size, action_id):
                    self._again_ns[place] = desk.now_ns + AGAIN_NS

    def allowed(self, wish: Wish) -> Wish | None:
        """Return what is left of a wish of a strategy; None for nothing."""
        if wish.kind == "cancel":
            return wish
        if wish.kind == "amend":
            order = self._desk.orders.get(wish.order_id)
            if order is None or self._most(_place(order))[0] is None:
                return wish
            return replace(wish, quantity=min(wish.quantity, order.quantity))
        place = (wish.seat.account_id, wish.symbol)
        most, _ = self._most(place)
        if most is None:
            return wish
        held = self._desk.positions.get(place, 0)
        if abs(held) > most:
            return None  # it is being worked down
        opened = sum(
            each.leaves for each in self._open(place) if each.wanted.ticket.side == wish.side
        )
        size = min(self._scaled(wish), room(held, most, wish.side, opened))
        return replace(wish, quantity=size) if size else None

    def _begin(self, request: ActionRequest) -> Progress | None:
        """Note the target of a new action; returns why it is refused, None when it is not."""
        if request.kind == "hedge":
            return Progress("REFUSED", reason=NO_OPTIONS)
        accounts = self._accounts(request)
        if request.kind == "reduce_gross":
            return self._begin_gross(request, accounts)
        if request.action_id not in self._desk.capped:
            factor = target(request)[2]
            caps = caps_of(self._bases(request, accounts), factor)
            self._note(request, accounts, Capped(
                at_ns=self._desk.now_ns, action_id=request.action_id, episode=request.episode,
                account_ids=accounts, caps=caps, symbol=_symbol(request), factor=str(factor),
            ))  # fmt: skip
        return None

    def _begin_gross(self, request: ActionRequest, accounts: tuple[str, ...]) -> Progress | None:
        """Note caps under which the accounts are worth at most their share; prices tighten them."""
        if request.currency != CURRENCY:
            reason = f"positions here are in {CURRENCY} and the target is in {request.currency}"
            return Progress("REFUSED", reason=reason)
        held = self._held(request, accounts)
        unknown = sorted({symbol for _, symbol in held if symbol not in self._desk.mids})
        if unknown:
            return Progress("REFUSED", reason=f"no price is known of {', '.join(unknown)}")
        share, gross = self._share(request, accounts), self._gross(held)
        known = self._desk.capped.get(request.action_id)
        if known is None or self._gross(_capped(known, held)) > share:
            factor = SPARE * share / gross if gross > share else Decimal(1)
            self._note(request, accounts, Capped(
                at_ns=self._desk.now_ns, action_id=request.action_id, episode=request.episode,
                account_ids=accounts, caps=caps_of(held, factor), symbol=_symbol(request),
            ))  # fmt: skip
        return None

    def _note(self, request: ActionRequest, accounts: Sequence[str], line: Capped) -> None:
        self._desk.cap(line)
        for order in list(self._desk.orders.values()):
            account_id, symbol = _place(order)
            if account_id in accounts and _symbol(request) in ("", symbol):
                self._desk.cancel([order.order_id], "risk")

    def _progress(self, request: ActionRequest) -> Progress:
        line = self._desk.capped[request.action_id]
        held = self._held(request, line.account_ids)
        caps = {(cap.owner, cap.symbol): cap.most for cap in line.caps}
        done = all(self._reaches(place) <= caps.get(place, 0) for place in held)
        if request.kind == "reduce_gross":
            measured, currency = self._gross(held).quantize(Decimal("0.01")), CURRENCY
            done = done and measured <= self._share(request, line.account_ids)
            return Progress("COMPLETED" if done else "ACKNOWLEDGED", measured, currency)
        return Progress("COMPLETED" if done else "ACKNOWLEDGED", part_held(line.caps, held))

    def _reaches(self, place: Place) -> int:
        """Return how large a position may be when everything open is filled one-sidedly."""
        held = self._desk.positions.get(place, 0)
        sums = {"buy": 0, "sell": 0}
        for order in self._open(place):
            sums[order.wanted.ticket.side] += order.leaves
        return max(abs(held), held + sums["buy"], sums["sell"] - held)

    def _most(self, place: Place) -> tuple[int | None, str]:
        """Return the strictest cap on a position and its action; None without one."""
        account_id, symbol = place
        found: list[tuple[int, str]] = []
        for line in self._desk.capped.values():
            if account_id in line.account_ids and line.symbol in ("", symbol):
                caps = [cap.most for cap in line.caps if (cap.owner, cap.symbol) == place]
                found.append((caps[0] if caps else 0, line.action_id))
        return min(found, default=(None, ""))

    def _scaled(self, wish: Wish) -> int:
        size = Decimal(wish.quantity)
        for line in self._desk.capped.values():
            if wish.seat.account_id in line.account_ids and line.symbol in ("", wish.symbol):
                size *= Decimal(line.factor)
        return int(size)

    def _accounts(self, request: ActionRequest) -> tuple[str, ...]:
        """Return the accounts here that an action concerns."""
        of = {"strategy": "strategy_id", "fund": "fund_id"}.get(request.scope)
        mine = self._seats.values()
        return tuple(
            seat.account_id for seat in mine if not of or getattr(seat, of) == request.scope_id
        )

    def _share(self, request: ActionRequest, accounts: tuple[str, ...]) -> Decimal:
        """Return the part of an amount that is ours: by accounts, of all that are registered.

        Each account belongs to one order system, so the parts of all of them are the whole.
        """
        known = self._registry
        match request.scope:
            case "strategy":
                strategy = known.strategies.get(request.scope_id)
                everyone = frozenset(strategy.account_ids if strategy else ())
            case "fund":
                everyone = frozenset(known.accounts_of(request.scope_id))
            case _:
                everyone = frozenset(known.accounts)
        everyone |= set(accounts)
        amount = target(request)[2]
        return amount * len(accounts) / len(everyone) if everyone else amount

    def _bases(self, request: ActionRequest, accounts: Sequence[str]) -> dict[Place, int]:
        """Return the sizes at the start of the episode: noted before, or those of now."""
        bases = {place: abs(size) for place, size in self._held(request, accounts).items()}
        for line in self._desk.capped.values():
            if line.episode == request.episode and line.account_ids == tuple(accounts):
                return {(cap.owner, cap.symbol): cap.base for cap in line.caps}
        return bases

    def _held(self, request: ActionRequest, accounts: Sequence[str]) -> dict[Place, int]:
        only = _symbol(request)
        return {
            (account_id, symbol): size
            for (account_id, symbol), size in self._desk.positions.items()
            if size and account_id in accounts and only in ("", symbol)
        }

    def _gross(self, held: Mapping[Place, int]) -> Decimal:
        mids = self._desk.mids
        cents = sum((abs(size) * mids[symbol] for (_, symbol), size in held.items()), Decimal(0))
        return cents / 100

    def _open(self, place: Place) -> Iterator[PaperOrder]:
        return (each for each in list(self._desk.orders.values()) if _place(each) == place)


def _place(order: PaperOrder) -> Place:
    ticket = order.wanted.ticket
    return ticket.account_id, ticket.symbol


def _symbol(request: ActionRequest) -> str:
    return request.scope_id if request.scope == "instrument" else ""


def _capped(line: Capped, held: Mapping[Place, int]) -> dict[Place, int]:
    """Return positions as large as they are, and at most as their caps allow."""
    caps = {(cap.owner, cap.symbol): cap.most for cap in line.caps}
    return {place: min(abs(size), caps.get(place, 0)) for place, size in held.items()}
