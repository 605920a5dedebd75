"""May this order go on? Asked twice for each: when it is accepted and at the last hop.

In memory, synchronous, for any thread, without I/O and without a switch that turns it off. What
is unknown is denied: an unregistered strategy, a foreign account, a number that is none, and an
exception in here too. Cancels always pass. Under BLOCK_ALL one more thing does: the single order
of a signed exit, which only reduces. Under REDUCE_ONLY passes what reduces net of everything that
is open, and never what opens or turns a position over.

An order is counted from its acceptance until the order system says that it has ended. A denial
takes back only what never left: an order that may be at the venue stays counted, and a denied
amend leaves the resting order as it was.
"""

from collections.abc import Callable
from decimal import Decimal
from itertools import product
from typing import Literal, TypeVar, cast

from operations.events.base import Event
from operations.events.halts import Level, Mode
from operations.events.registry import StrategyRegistered
from operations.halt.book import ZERO, Open, Order
from operations.halt.registry import Place, Registry
from operations.halt.restrictions import Restriction, Restrictions
from operations.halt.state import FIRM, STRICTNESS, Episode, Fact, Halts, Scope, Verdict
from operations.halt.tracked import Tracked
from operations.halt.verdicts import (
    Allowed,
    Code,
    Denial,
    Hold,
    Obstacle,
    Stage,
    as_denial,
    foreign,
    identity,
    own_scope,
    problem,
    stranger,
)

T = TypeVar("T")
_CODES: dict[Level, Code] = {
    "STRATEGY_HALT": "STRATEGY_HALTED", "FUND_HALT": "FUND_HALTED", "FIRM_HALT": "FIRM_HALTED",
}  # fmt: skip
OWN: Code = "OMS_HALTED"
LAPSED: Obstacle = ("REDUCE_ONLY", "LEASE_LAPSED", "")
_ALLOWED: dict[Stage, Allowed] = {"accept": Allowed("accept"), "send": Allowed("send")}


class Gate(Tracked):
    """The gate of one order system. It starts closed: somebody has to know what is halted.

    `clock` gives ns that never go back. Only the class that folds the stream opens the gate, by
    `unhold`; whoever trades calls `check` or `check_and_send` and says what became of each order.
    """

    def __init__(self, oms_id: str, clock: Callable[[], int]) -> None:
        super().__init__()
        self.halts = Halts()
        self._verdicts = cast("dict[tuple[str, str], Verdict]", self.halts.verdicts)
        self.registry = Registry()
        self.denied = self.errors = 0
        self.holds: dict[Hold, tuple[Mode, str]] = {}
        self._own = own_scope(oms_id)
        self._clock = clock
        self._lease_until_ns = 0
        self._strictest: Obstacle | None = None  # of the own holds
        self.restrictions = Restrictions()
        self._exits: dict[tuple[str, str, str], str] = {}
        self._former: dict[str, tuple[str, ...]] = {}
        self._denials: dict[Obstacle, Denial] = {}  # the words of one cost more than the look
        self.hold("BOOTING", "BLOCK_ALL", "the halts of the stream are not known yet")

    def check(self, order: Order) -> Allowed | Denial:
        """Say whether an order may go on; call it at acceptance and again at the last hop.

        The first call with an order id counts it, so it has to be told when that order ends.
        """
        try:
            with self._lock:
                verdict = self._check(order)
                if verdict.__class__ is Denial:
                    self.denied += 1
                return verdict
        except Exception as error:  # noqa: BLE001 (whatever goes wrong in here must deny)
            self.errors += 1
            self.denied += 1
            return Denial(code="GATE_ERROR", words=f"the gate failed: {error!r}")

    def check_and_send(self, order: Order, send: Callable[[], T]) -> T | Denial:
        """Do the last check and hand over to the venue with no halt in between.

        A halt that another thread takes waits until `send` returns: once the order system has said
        BLOCKING, nothing that passed before is still on its way to `send`.
        """
        with self._lock:
            verdict = self.check(order)
            if isinstance(verdict, Denial):
                return verdict
            if verdict.stage == "accept":
                verdict = self.check(order)
                if isinstance(verdict, Denial):
                    return verdict
            return send()

    def request(self, fact: Fact) -> Episode | None:
        """Take a halt; see `Halts.request`."""
        with self._lock:
            episode = self.halts.request(fact)
            if episode is not None:
                self._forget_words(episode.halt_id)
                code = _CODES[episode.scope.level] if episode.scope != self._own else OWN
                self._as_denial((episode.mode, code, episode.halt_id))
            return episode

    def lift(self, fact: Fact) -> tuple[Episode, ...]:
        """Take a lift that is stored and whose signatures hold; see `Halts.lift`."""
        with self._lock:
            freed = self.halts.lift(fact)
            for episode in freed:
                self._forget_words(episode.halt_id)
            return freed

    def register(self, event: Event) -> bool:
        """Take an event of the registry.

        A strategy that leaves a halted fund takes the halts of that fund along: who registers
        something must not lift anything.
        """
        with self._lock:
            name = event.subject_id
            before = self.registry.fund_of(name) if isinstance(event, StrategyRegistered) else None
            changed = self.registry.take(event)
            if before and before != self.registry.fund_of(name):
                former = {*self._former.get(name, ()), before}
                self._former[name] = tuple(
                    fund for fund in sorted(former) if ("FUND_HALT", fund) in self._verdicts
                )
            return changed

    def hold(self, code: Hold, mode: Mode, words: str) -> None:
        """Stop the whole order system for a reason of its own."""
        with self._lock:
            if self.holds.get(code) != (mode, words):
                self._set_holds({**self.holds, code: (mode, words)})

    def unhold(self, code: Hold) -> None:
        """End a reason of its own; the halts hold on."""
        with self._lock:
            if code in self.holds:
                self._set_holds({name: one for name, one in self.holds.items() if name != code})

    def renew(self, until_ns: int) -> None:
        """Let the order system open positions until a time of the gate's clock.

        Whoever renews has seen that a halt worker lives and holds the same halts.
        """
        with self._lock:
            self._lease_until_ns = max(self._lease_until_ns, until_ns)

    @property
    def lapsed(self) -> bool:
        """Whether nobody has renewed in time, so that only what reduces passes."""
        return self._clock() >= self._lease_until_ns

    def restrict(self, restriction: Restriction) -> None:
        """Enforce an action from now on; the same action again replaces it."""
        with self._lock:
            self.restrictions.add(restriction)

    def unrestrict(self, action_id: str) -> bool:
        """End an action; returns whether it was in force."""
        with self._lock:
            return self.restrictions.remove(action_id)

    def permit_exit(self, halt_id: str, account_id: str, symbol: str) -> None:
        """Let one order of a signed exit through the halts; it only reduces, and only once."""
        with self._lock:
            self._exits.setdefault((halt_id, account_id, symbol), "")

    def probe(self, scope: Scope) -> Allowed | Denial:
        """Ask with a real order in a scope, whether it would pass; nothing is counted."""
        order = Order(
            order_id=f"mts-probe.{scope.level}.{scope.id}",
            strategy_id=scope.id if scope.level == "STRATEGY_HALT" else "mts-probe",
            fund_id=scope.id if scope.level == "FUND_HALT" else "mts-probe",
            account_id="mts-probe",
            symbol="mts-probe",
            quantity=Decimal(1),
        )
        if scope == self._own:
            order = Order(order_id=order.order_id, quantity=Decimal(1))
        with self._lock:
            verdict = self.check(order)
            self.book.end(order.order_id)
            return verdict

    def open_orders(self, scope: Scope, which: Literal["increasing", "all"]) -> tuple[Open, ...]:
        """Return the open orders that a halt of a scope stops: all, or those that may increase."""
        with self._lock:
            chosen = self.book.increasing() if which == "increasing" else self.book.open.values()
            return tuple(entry for entry in chosen if self._concerns(scope, entry.order))

    def _check(self, order: Order) -> Allowed | Denial:
        if order.kind == "cancel":
            return _ALLOWED["send"]
        if wrong := problem(order):
            return Denial(code="MALFORMED", words=wrong)
        entry = self.book.open.get(order.order_id)
        if order.kind == "amend":
            return self._check_amend(order, entry)
        if entry is None:
            return self._accept(order)
        return self._pass_on(order, entry)

    def _pass_on(self, order: Order, entry: Open) -> Allowed | Denial:
        if entry.order != order:
            return Denial(
                code="ORDER_CHANGED", words=f"order {order.order_id!r} is another one than before"
            )
        denial = self._denial(order, entry)
        if denial is None:
            entry.stage = "sent" if entry.stage == "accepted" else entry.stage
            return _ALLOWED["send"]
        if entry.stage == "accepted":
            self.book.end(order.order_id)
        return denial

    def _accept(self, order: Order) -> Allowed | Denial:
        if self.book.ended(order.order_id):
            return Denial(code="ORDER_ENDED", words=f"order {order.order_id!r} has ended already")
        denial = self._denial(order, None)
        if denial is None:
            self.book.add(order, order.quantity, "accepted")
            if order.exit_of:
                self._exits[order.exit_of, order.account_id, order.symbol] = order.order_id
        return denial or _ALLOWED["accept"]

    def _denial(self, order: Order, entry: Open | None) -> Denial | None:
        place = self.registry.places.get(order.strategy_id)
        obstacle = self._obstacle(order, place)
        if order.exit_of:
            return self._denied_exit(order, entry, obstacle)
        if obstacle is not None and (obstacle[0] == "BLOCK_ALL" or not self._reduces(order, entry)):
            return self._as_denial(obstacle)
        if denial := stranger(order, place, self.registry):
            return denial
        if self.restrictions:
            return self._denied_by_action(
                order, count=entry is None, reduces=lambda: self._reduces(order, entry)
            )
        return None

    def _check_amend(self, order: Order, entry: Open | None) -> Allowed | Denial:
        if entry is None:
            return Denial(
                code="UNKNOWN_ORDER", words=f"no open order {order.order_id!r} to amend is known"
            )
        resting = entry.order
        if entry.amend is not None and entry.amend != order:
            return Denial(code="ORDER_CHANGED", words="another amend of it has no answer yet")
        if identity(order) != identity(resting):
            return Denial(code="ORDER_CHANGED", words="an amend changes quantity and prices only")
        denial = self._denied_amend(order, entry)
        if denial is not None:
            if entry.amend is not None and not entry.amend_sent:
                self.book.settle(order.order_id, taken=False)
            return denial
        if entry.amend is None:
            self.book.amend(order.order_id, order)
            return _ALLOWED["accept"]
        entry.amend_sent = True
        return _ALLOWED["send"]

    def _obstacle(self, order: Order, place: Place | None) -> Obstacle | None:
        """Return the strictest that stands against an order, over all scopes that it is in."""
        worst = self._strictest
        if worst is not None and worst[0] == "BLOCK_ALL":
            return worst
        if worst is None and self._clock() >= self._lease_until_ns:
            worst = LAPSED
        if not self._verdicts:
            return worst
        look = self._verdicts.get
        if found := look(FIRM):
            worst = _stricter(worst, found, "FIRM_HALTED")
        if found := look(("STRATEGY_HALT", order.strategy_id)):
            worst = _stricter(worst, found, "STRATEGY_HALTED")
        if found := look(("FUND_HALT", order.fund_id)):
            worst = _stricter(worst, found, "FUND_HALTED")
        if found := look(self._own):
            worst = _stricter(worst, found, "OMS_HALTED")
        if self._former or (place is not None and place.fund_id != order.fund_id):
            return self._in_other_funds(worst, order, place)
        return worst

    def _in_other_funds(
        self, worst: Obstacle | None, order: Order, place: Place | None
    ) -> Obstacle | None:
        """Look also at the fund that the strategy is registered in, and at those it fled from."""
        others = self._former.get(order.strategy_id, ())
        for fund_id in others if place is None else (place.fund_id, *others):
            if found := self._verdicts.get(("FUND_HALT", fund_id)):
                worst = _stricter(worst, found, "FUND_HALTED")
        return worst

    def _denied_amend(self, order: Order, entry: Open) -> Denial | None:
        obstacle = self._obstacle(order, self.registry.places.get(order.strategy_id))
        if obstacle is not None and (
            obstacle[0] == "BLOCK_ALL" or not self._only_downwards(order, entry)
        ):
            return self._as_denial(obstacle)
        if self.restrictions:
            return self._denied_by_action(
                order,
                count=entry.amend is None,
                reduces=lambda: self._only_downwards(order, entry),
            )
        return None

    def _denied_exit(
        self, order: Order, entry: Open | None, obstacle: Obstacle | None
    ) -> Denial | None:
        """Judge the single order of a signed exit: it must reduce, whatever else is allowed."""
        key = (order.exit_of, order.account_id, order.symbol)
        used_by = self._exits.get(key)
        halt = self.halts.active.get(order.exit_of)
        if used_by is None or used_by not in ("", order.order_id) or halt is None:
            reason = "is not permitted" if used_by is None else "was done already"
            if used_by is not None and halt is None:
                reason = "is void: that halt is over"
            return Denial(
                code="NO_EXIT",
                words=f"an exit of account {order.account_id!r} from {order.symbol!r} {reason}",
                halt_id=order.exit_of,
            )
        if "BOOTING" in self.holds or "GATE_ERROR" in self.holds:
            return self._as_denial(obstacle) if obstacle else None
        account = self.registry.accounts.get(order.account_id)
        if account is None or account.fund_id != order.fund_id:
            return Denial(code="UNKNOWN_ACCOUNT", words=foreign(order))
        if not self._reduces(order, entry):
            return Denial(
                code="NO_EXIT",
                words=f"{order.side} {order.quantity} {order.symbol} does more than reduce",
                halt_id=order.exit_of,
            )
        return None

    def _denied_by_action(
        self, order: Order, *, count: bool, reduces: Callable[[], bool]
    ) -> Denial | None:
        refusal = self.restrictions.against(order, self._clock(), count=count, reduces=reduces)
        return Denial(code=refusal.code, words=refusal.words) if refusal else None

    def _reduces(self, order: Order, entry: Open | None) -> bool:
        own = entry.exposed if entry is not None else ZERO
        room = self.book.room(order.account_id, order.symbol, order.side, own)
        return (entry.leaves if entry is not None else order.quantity) <= room

    def _only_downwards(self, order: Order, entry: Open) -> bool:
        """Whether an amend makes an order smaller only, or moves the price of one that reduces."""
        resting = entry.order
        if order.quantity > resting.quantity:
            return False
        if (order.limit_price, order.stop_price) == (resting.limit_price, resting.stop_price):
            return True
        room = self.book.room(order.account_id, order.symbol, order.side, entry.exposed)
        return order.quantity - entry.filled <= room

    def _as_denial(self, obstacle: Obstacle) -> Denial:
        denial = self._denials.get(obstacle)
        if denial is None:
            denial = self._denials[obstacle] = as_denial(obstacle, self.halts, self.holds)
        return denial

    def _forget_words(self, halt_id: str) -> None:
        for mode, code in product(STRICTNESS, (*_CODES.values(), OWN)):
            self._denials.pop((mode, code, halt_id), None)

    def _concerns(self, scope: Scope, order: Order) -> bool:
        if scope in (FIRM, self._own):
            return True
        if scope.level == "STRATEGY_HALT":
            return order.strategy_id == scope.id
        funds = (order.fund_id, *self._former.get(order.strategy_id, ()))
        return scope.id in funds or self.registry.fund_of(order.strategy_id) == scope.id

    def _set_holds(self, holds: dict[Hold, tuple[Mode, str]]) -> None:
        self.holds = holds  # never changed in place: others read it without the lock
        self._denials.clear()
        obstacles: list[Obstacle] = [(mode, code, "") for code, (mode, _) in self.holds.items()]
        self._strictest = max(obstacles, key=lambda one: STRICTNESS[one[0]], default=None)


def _stricter(worst: Obstacle | None, found: Verdict, code: Code) -> Obstacle:
    if worst is None or (found[0] == "BLOCK_ALL" and worst[0] != "BLOCK_ALL"):
        return (found[0], code, found[1])
    return worst
