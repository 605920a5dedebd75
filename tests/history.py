"""The checker of whole histories: what the stream holds against what every order system sent.

It asks no process and believes no acknowledgement: an order system said BLOCKING at a time, a
lift was stored at a time, and between the two its tape must hold no order of the halted scope.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from operations.adapters import stored, wire
from operations.adapters.judge import Received
from operations.clock import parse_rfc3339
from operations.config import Nats
from operations.errors import Rejected
from operations.events import subjects
from operations.events.base import Event
from operations.events.halts import HaltAcknowledged, HaltLifted, HaltRequested
from operations.events.orders import OrderFilled, OrderPartiallyFilled
from operations.events.positions import PositionChanged
from operations.halt.state import Scope, scope_of
from workers.paper_state import PaperState
from workers.paper_tape import AmendSent, Sent, Wanted, read_tape


class Told(NamedTuple):
    """One event of the stream, with its place and the time that JetStream gave it."""

    sequence: int
    at_ns: int
    event: Event


class History:
    """Everything that happened: the stream in order, and the tape of each order system."""

    def __init__(
        self,
        told: Sequence[Told],
        tapes: Mapping[str, Sequence[Any]],
        skews_ns: Mapping[str, int] | None = None,
    ) -> None:
        self.told, self.tapes = told, tapes
        self.skews_ns = skews_ns or {}  # how far ahead the clock of an order system was
        self.requested = {
            each.event.data.halt_id: each.event for each in self.of(HaltRequested)
        }  # the latest request of each; scopes do not differ
        self.lifted_ns: dict[str, int] = {}
        for each in self.of(HaltLifted):
            for halt_id in each.event.data.halt_ids:
                self.lifted_ns.setdefault(halt_id, each.at_ns)

    def of(self, kind: type[Event]) -> list[Told]:
        """Every event of a kind, once: the same event under the same id counts one time."""
        seen: set[str] = set()
        found = []
        for each in self.told:
            if isinstance(each.event, kind) and each.event.event_id not in seen:
                seen.add(each.event.event_id)
                found.append(each)
        return found

    def blocking(self, oms_id: str) -> dict[str, int]:
        """When an order system said for the first time that it blocks, by halt, on its clock."""
        found: dict[str, int] = {}
        for each in self.of(HaltAcknowledged):
            said = each.event.data
            if said.oms_id == oms_id and said.phase == "BLOCKING":
                found.setdefault(said.halt_id, parse_rfc3339(each.event.timestamp))
        return found

    def sent_through_halts(self) -> list[str]:
        """Orders that went to the venue although the order system had said that it blocks."""
        wrong = []
        for oms_id, tape in self.tapes.items():
            wanted = {line.ticket.order_id: line for line in tape if isinstance(line, Wanted)}
            for halt_id, since_ns in self.blocking(oms_id).items():
                request = self.requested.get(halt_id)
                if request is None or request.data.mode != "BLOCK_ALL":
                    continue
                until_ns = self.lifted_ns.get(halt_id, 1 << 63) + self.skews_ns.get(oms_id, 0)
                for line in tape:
                    if not isinstance(line, Sent | AmendSent):
                        continue
                    order = wanted[line.order_id]
                    if (
                        since_ns < line.at_ns < until_ns
                        and _concerns(scope_of(request), order, oms_id)
                        and not order.exit_of
                    ):
                        wrong.append(
                            f"{oms_id} sent {line.order_id} of {order.strategy_id} "
                            f"{(line.at_ns - since_ns) / 1e6:.1f} ms after BLOCKING {halt_id}"
                        )
        return wrong

    def sent_twice(self) -> list[str]:
        """Orders and exits that went to the venue more than once."""
        wrong = []
        for oms_id, tape in self.tapes.items():
            wanted = {line.ticket.order_id: line for line in tape if isinstance(line, Wanted)}
            sent = [line.order_id for line in tape if isinstance(line, Sent)]
            wrong += [f"{oms_id}: order {each}" for each, n in Counter(sent).items() if n > 1]
            exits = Counter(
                (wanted[each].exit_of, wanted[each].ticket.account_id, wanted[each].ticket.symbol)
                for each in sent
                if wanted[each].exit_of
            )
            wrong += [f"{oms_id}: exit {each}" for each, n in exits.items() if n > 1]
        return wrong

    def turned_over(self) -> list[str]:
        """Exits that made a position larger or turned it over, by the tape alone."""
        wrong = []
        for oms_id, tape in self.tapes.items():
            state = PaperState(oms_id)
            held: dict[tuple[str, str], int] = {}
            exits: dict[str, tuple[str, str]] = {}
            for line in tape:
                state.answers(line.at_ns)
                state.apply(line)
                if isinstance(line, Wanted) and line.exit_of:
                    place = (line.ticket.account_id, line.ticket.symbol)
                    exits[line.ticket.order_id] = place
                    held[place] = state.positions.get(place, 0)
                    signed = line.ticket.quantity * (1 if line.ticket.side == "buy" else -1)
                    after = held[place] + signed
                    if abs(after) > abs(held[place]) or after * held[place] < 0:
                        wrong.append(f"{oms_id}: {held[place]} and then an exit of {signed}")
        return wrong

    def opened(self, oms_id: str, since_ns: int, until_ns: int) -> list[str]:
        """Orders sent between two times that could open a position or turn one over."""
        state = PaperState(oms_id)
        wanted: dict[str, Wanted] = {}
        found = []
        for line in self.tapes[oms_id]:
            state.answers(line.at_ns)
            if isinstance(line, Wanted):
                wanted[line.ticket.order_id] = line
            if isinstance(line, Sent) and since_ns < line.at_ns < until_ns:
                ticket = wanted[line.order_id].ticket
                held = state.positions.get((ticket.account_id, ticket.symbol), 0)
                room = held if ticket.side == "sell" else -held
                if ticket.quantity > max(0, room):
                    found.append(f"{line.order_id}: {ticket.side} {ticket.quantity}, held {held}")
            state.apply(line)
        return found

    def held(self, oms_id: str, account_ids: Iterable[str]) -> int:
        """Return how many positions an order system has open in accounts, by its tape."""
        state, accounts = PaperState(oms_id), set(account_ids)
        for line in self.tapes[oms_id]:
            state.answers(line.at_ns)
            state.apply(line)
        return sum(held != 0 for (owner, _), held in state.positions.items() if owner in accounts)

    def exits(self) -> int:
        """Return how many orders of flattens went to a venue."""
        sent = 0
        for tape in self.tapes.values():
            exits = {
                line.ticket.order_id for line in tape if isinstance(line, Wanted) and line.exit_of
            }
            sent += sum(isinstance(line, Sent) and line.order_id in exits for line in tape)
        return sent

    def lifted_alone(self) -> list[str]:
        """Lifts that lack the orders of people, and firm halts that one person lifted."""
        wrong = []
        for each in self.of(HaltLifted):
            lift = each.event.data
            levels = {self.requested[one].data.level for one in lift.halt_ids}
            needed = 2 if "FIRM_HALT" in levels else 1
            if len(lift.orders) < needed or len(set(lift.signed_by)) < needed:
                wrong.append(f"{lift.resume_id} by {lift.signed_by} lifted {levels}")
        return wrong

    def broken_positions(self) -> list[str]:
        """Changes of positions that do not follow from the one before, and unpublished fills."""
        wrong = []
        held: dict[tuple[str, str], Any] = {}
        for each in self.of(PositionChanged):
            place, change = (each.event.account_id, each.event.data.symbol), each.event.data
            if held.get(place, 0) != change.before_quantity:
                wrong.append(f"{place} was {held.get(place)} and is told from {change}")
            held[place] = change.after_quantity
        fills: Counter[tuple[str, str]] = Counter()
        for kind in (OrderFilled, OrderPartiallyFilled):
            for each in self.of(kind):
                signed = each.event.data.last_quantity
                place = (each.event.account_id, each.event.data.symbol)
                fills[place] += signed if each.event.data.side == "buy" else -signed
        wrong += [
            f"{place}: fills of {fills[place]}, a position of {held.get(place, 0)}"
            for place in fills
            if fills[place] != held.get(place, 0)
        ]
        return wrong

    def problems(self) -> list[str]:
        """Everything that is wrong, in words; empty when the history holds."""
        return [
            *self.sent_through_halts(), *self.sent_twice(), *self.turned_over(),
            *self.lifted_alone(), *self.broken_positions(),
        ]  # fmt: skip


def _concerns(scope: Scope, order: Wanted, oms_id: str) -> bool:
    if scope.level == "FIRM_HALT" or scope.id == f"oms.{oms_id}":
        return True
    return scope.id == (order.fund_id if scope.level == "FUND_HALT" else order.strategy_id)


async def read_stream(nats: Nats, subject: str = "mts.v1.>") -> list[Told]:
    """Return every event of the stream on a subject; messages that are none are left out."""
    async with wire.connection(nats, "history") as client:
        messages = [each async for each in stored.following(client, "MTS", subject, 1)]
    return list(_events(messages))


def _events(messages: Iterable[Received]) -> Iterable[Told]:
    for message in messages:
        try:
            event = subjects.decode(message.subject, message.payload)
        except Rejected:
            continue
        yield Told(message.sequence or 0, message.at_ns, event)


async def read_history(
    nats: Nats, tapes: Mapping[str, Path], skews_ns: Mapping[str, int] | None = None
) -> History:
    """Read everything that happened."""
    lines = {oms_id: list(read_tape(path)) for oms_id, path in tapes.items() if path.exists()}
    return History(await read_stream(nats), lines, skews_ns)
