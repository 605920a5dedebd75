"""Actions that stop short of a halt and that the gate enforces: throttle, cooldown, shadow.

Each has a scope (instrument, strategy, fund or firm) and an end, and only ever makes less pass. A
cooldown and a shadowed strategy may still reduce; a throttle limits how many orders and amends are
accepted in any sixty seconds, counts those that reduce, and never refuses them.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from msgspec import Struct

from operations.events.actions import ActionRequest
from operations.halt.book import Order

Kind = Literal["throttle", "cooldown", "shadow"]
Code = Literal["THROTTLED", "COOLDOWN", "SHADOW"]
KINDS: tuple[Kind, ...] = ("throttle", "cooldown", "shadow")
MINUTE_NS = 60_000_000_000
_CODES: dict[Kind, Code] = {"throttle": "THROTTLED", "cooldown": "COOLDOWN", "shadow": "SHADOW"}


class Restriction(Struct, kw_only=True):
    """One action in force. `until_ns` is in ns of the gate's clock; None: until it is released."""

    action_id: str
    kind: Kind
    scope: tuple[str, str]
    until_ns: int | None
    per_minute: int = 0
    times: deque[int]


class Refusal(NamedTuple):
    """Which action stands against an order, in words."""

    code: Code
    words: str


def restriction(request: ActionRequest, until_ns: int | None) -> Restriction | None:
    """Return what the gate enforces of a request; None for actions that are not the gate's.

    A throttle that names no rate lets nothing pass but what reduces.
    """
    kind = next((kind for kind in KINDS if kind == request.kind), None)
    if kind is None:
        return None
    return Restriction(
        action_id=request.action_id,
        kind=kind,
        scope=(request.scope, "" if request.scope == "firm" else request.scope_id),
        until_ns=until_ns,
        per_minute=max(0, request.orders_per_minute_at_most or 0),
        times=deque(),
    )


class Restrictions:
    """All actions in force, by id and by scope. Not thread-safe: the gate locks."""

    def __init__(self) -> None:
        self._by_id: dict[str, Restriction] = {}
        self._by_scope: dict[tuple[str, str], list[Restriction]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_id)

    def __iter__(self) -> Iterator[Restriction]:
        return iter(tuple(self._by_id.values()))

    def __contains__(self, action_id: object) -> bool:
        return action_id in self._by_id

    def add(self, one: Restriction) -> None:
        """Enforce an action from now on; asked for twice it keeps what it has counted."""
        before = self._by_id.get(one.action_id)
        if before is not None:
            one.times = before.times
            self.remove(one.action_id)
        self._by_id[one.action_id] = one
        self._by_scope.setdefault(one.scope, []).append(one)

    def remove(self, action_id: str) -> bool:
        """End an action; returns whether it was in force."""
        found = self._by_id.pop(action_id, None)
        if found is None:
            return False
        here = self._by_scope[found.scope]
        here.remove(found)
        if not here:
            del self._by_scope[found.scope]
        return True

    def against(
        self, order: Order, now_ns: int, *, count: bool, reduces: Callable[[], bool]
    ) -> Refusal | None:
        """Return what stands against an order at a time of the gate's clock, None for nothing.

        `count` says that this order is accepted now and counts in every throttle of its scopes.
        """
        found = list(self._over(order, now_ns))
        refusal = None
        for one in found:
            if one.kind != "throttle" or (count and _full(one, now_ns)):
                refusal = refusal or Refusal(_CODES[one.kind], _words(one))
        if refusal is not None and not reduces():
            return refusal
        if count:
            for one in found:
                if one.kind == "throttle":
                    one.times.append(now_ns)
        return None

    def _over(self, order: Order, now_ns: int) -> Iterator[Restriction]:
        for key in (
            ("firm", ""),
            ("fund", order.fund_id),
            ("strategy", order.strategy_id),
            ("instrument", order.symbol),
        ):
            for one in tuple(self._by_scope.get(key, ())):
                if one.until_ns is not None and now_ns >= one.until_ns:
                    self.remove(one.action_id)
                else:
                    yield one


def _full(one: Restriction, now_ns: int) -> bool:
    """Whether the rate of a throttle is used up; forgets what is older than a minute."""
    times = one.times
    while times and times[0] <= now_ns - MINUTE_NS:
        times.popleft()
    return len(times) >= one.per_minute


def _words(one: Restriction) -> str:
    where = " ".join(filter(None, one.scope))
    if one.kind == "throttle":
        return f"action {one.action_id} lets {one.per_minute} orders a minute pass for {where}"
    return f"action {one.action_id} ({one.kind}) lets only what reduces pass for {where}"
