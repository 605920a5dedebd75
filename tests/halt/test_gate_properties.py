"""The gate under any sequence of orders, fills, amends, halts and lifts.

The model keeps its own books in the plainest way: a list of orders and one sum per question.
"""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from oms_cases import REGISTERED, STRATEGY, code, order

from operations.events.halts import Halt, HaltLifted, HaltRequested, Lift
from operations.halt.book import Order
from operations.halt.gate import Gate
from operations.halt.state import Fact

pytestmark = pytest.mark.unit

AT = "2026-11-20T20:00:00Z"
SCOPES = (
    ("FIRM_HALT", {}),
    ("FUND_HALT", {"fund_id": "alpha"}),
    ("STRATEGY_HALT", {"strategy_id": STRATEGY}),
    ("STRATEGY_HALT", {"strategy_id": "oms.oms-1"}),
    ("FUND_HALT", {"fund_id": "beta"}),  # a fund that these orders are not in
)
quantities = st.integers(min_value=1, max_value=8).map(Decimal)
symbols = st.sampled_from(["AAPL", "AAPL", "MSFT"])
sides = st.sampled_from(["buy", "sell"])


class Sent:
    """What the model knows of an order."""

    def __init__(self, wanted) -> None:
        self.order = wanted
        self.filled = Decimal(0)
        self.most = wanted.quantity  # with a pending amend upwards, the larger quantity
        self.pending = None
        self.stage = "accept"

    @property
    def left(self) -> Decimal:
        return self.most - self.filled


class GateMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1
        self.gate = Gate("oms-1", lambda: self.now)
        for event in REGISTERED:
            self.gate.register(event)
        self.gate.unhold("BOOTING")
        self.until = 1_000_000
        self.gate.renew(self.until)
        self.open: dict[str, Sent] = {}
        self.positions = {"AAPL": Decimal(0), "MSFT": Decimal(0)}
        self.halts: dict[str, tuple[str, int]] = {}  # id to mode and number of its scope
        self.number = 0
        self.swept: dict[str, Decimal] | None = None  # positions when only closers were left

    def fresh(self, kind: str) -> str:
        self.number += 1
        return f"{kind}-{self.number}"

    @initialize(aapl=st.sampled_from([-10, 0, 10, 10]), msft=st.sampled_from([-10, 0, 10]))
    def hold(self, aapl, msft) -> None:
        for symbol, quantity in (("AAPL", aapl), ("MSFT", msft)):
            self.positions[symbol] = Decimal(quantity)
            self.gate.position("acc-1", symbol, Decimal(quantity))

    @property
    def mode(self) -> str:
        modes = {mode for mode, scope in self.halts.values() if scope != 4}
        if self.now >= self.until:
            modes.add("REDUCE_ONLY")
        return "BLOCK_ALL" if "BLOCK_ALL" in modes else "REDUCE_ONLY" if modes else ""

    @property
    def unamended(self) -> list[str]:
        return [
            name
            for name, sent in sorted(self.open.items())
            if sent.stage == "send" and not sent.pending
        ]

    def may_reduce(self, wanted, own: str = "") -> bool:
        position = self.positions[wanted.symbol]
        if position == 0 or (position > 0) == (wanted.side == "buy"):
            return False
        others = sum(
            sent.left
            for name, sent in self.open.items()
            if name != own and (sent.order.symbol, sent.order.side) == (wanted.symbol, wanted.side)
        )
        left = wanted.quantity - (self.open[own].filled if own else 0)
        return others + left <= abs(position)

    @rule(quantity=quantities, symbol=symbols, side=sides)
    def accept(self, quantity, symbol, side) -> None:
        self.accept_one(order(self.fresh("o"), str(quantity), symbol=symbol, side=side))

    def accept_one(self, wanted) -> None:
        expected = self.mode == "" or (self.mode == "REDUCE_ONLY" and self.may_reduce(wanted))
        passed = code(self.gate.check(wanted)) == "accept"
        assert passed == expected
        if passed:
            self.open[wanted.order_id] = Sent(wanted)

    @precondition(lambda self: any(self.positions.values()))
    @rule(quantity=quantities, data=st.data())
    def close(self, quantity, data) -> None:
        """Accept an order against a position: what REDUCE_ONLY is about."""
        held = sorted(symbol for symbol, position in self.positions.items() if position)
        symbol = data.draw(st.sampled_from(held))
        side = "sell" if self.positions[symbol] > 0 else "buy"
        self.accept_one(order(self.fresh("c"), str(quantity), symbol=symbol, side=side))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def send(self, data) -> None:
        name = data.draw(st.sampled_from(sorted(self.open)))
        sent = self.open[name]
        passed = code(self.gate.check(sent.order)) == "send"
        if self.mode == "BLOCK_ALL":
            assert not passed
        elif self.mode == "REDUCE_ONLY" and not sent.pending:
            assert passed == self.may_reduce(sent.order, name)
        elif not self.mode:
            assert passed
        if passed:
            sent.stage = "send"
        elif sent.stage == "accept":
            del self.open[name]

    @precondition(lambda self: any(sent.stage == "send" for sent in self.open.values()))
    @rule(data=st.data(), part=quantities)
    def fill(self, data, part) -> None:
        working = [name for name in sorted(self.open) if self.open[name].stage == "send"]
        name = data.draw(st.sampled_from(working))
        sent = self.open[name]
        part = min(part, sent.order.quantity - sent.filled)
        if part <= 0:
            return
        sent.filled += part
        self.positions[sent.order.symbol] += part if sent.order.side == "buy" else -part
        self.gate.filled(name, part)
        if sent.left <= 0:
            del self.open[name]

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def end(self, data) -> None:
        name = data.draw(st.sampled_from(sorted(self.open)))
        del self.open[name]
        self.gate.ended(name)

    @precondition(lambda self: self.unamended)
    @rule(data=st.data(), quantity=quantities)
    def amend(self, data, quantity) -> None:
        working = self.unamended
        name = data.draw(st.sampled_from(working))
        sent = self.open[name]
        wanted = msgspec.structs.replace(sent.order, kind="amend", quantity=quantity)
        passed = code(self.gate.check(wanted)) == "accept"
        if self.mode == "BLOCK_ALL":
            assert not passed
        if self.mode == "REDUCE_ONLY":
            assert passed == (quantity <= sent.order.quantity)
        if passed:
            assert code(self.gate.check(wanted)) == "send"
            sent.pending, sent.most = wanted, max(sent.order.quantity, quantity)

    @precondition(lambda self: any(sent.pending for sent in self.open.values()))
    @rule(data=st.data(), taken=st.booleans())
    def answer(self, data, taken) -> None:
        waiting = [name for name in sorted(self.open) if self.open[name].pending]
        name = data.draw(st.sampled_from(waiting))
        sent = self.open[name]
        self.gate.amended(name, taken=taken)
        if taken:
            sent.order = msgspec.structs.replace(sent.order, quantity=sent.pending.quantity)
        sent.pending, sent.most = None, max(sent.order.quantity, sent.filled)
        if sent.left <= 0:
            del self.open[name]
            self.gate.ended(name)

    @rule(
        scope=st.integers(0, 4),
        mode=st.sampled_from(["REDUCE_ONLY", "REDUCE_ONLY", "REDUCE_ONLY", "BLOCK_ALL"]),
    )
    def halt(self, scope, mode) -> None:
        halt_id = self.fresh("h")
        level, ids = SCOPES[scope]
        data = Halt(halt_id=halt_id, level=level, mode=mode, reason_code="MANUAL", requested_by="r")
        event = HaltRequested(
            event_id=halt_id, timestamp=AT, actor="h", subject_id=halt_id, data=data, **ids
        )
        self.gate.request(Fact(event, self.number, 0, ""))
        self.halts[halt_id] = (mode, scope)

    @precondition(lambda self: self.halts)
    @rule(data=st.data())
    def lift(self, data) -> None:
        halt_id = data.draw(st.sampled_from(sorted(self.halts)))
        del self.halts[halt_id]
        lifted = Lift(
            halt_ids=(halt_id,),
            resume_id="r",
            treatment="CLEARED",
            remaining_halt_ids=(),
            signed_by=("r",),
        )
        self.number += 1
        event = HaltLifted(event_id="l", timestamp=AT, actor="h", subject_id="r", data=lifted)
        self.gate.lift(Fact(event, self.number, 0, ""))
        if not self.mode:
            self.swept = None

    @rule(renewed=st.booleans())
    def lease(self, renewed) -> None:
        self.now = max(self.now, self.until)
        if renewed:
            self.until = self.now + 1_000_000
            self.gate.renew(self.until)
            if not self.mode:
                self.swept = None

    @precondition(lambda self: self.mode)
    @rule()
    def cancel_everything(self) -> None:
        """What a halt with cancels does: from here on only closers can be open."""
        for name in list(self.open):
            self.gate.ended(name)
        self.open.clear()
        self.swept = dict(self.positions)

    @invariant()
    def no_position_grows_or_turns_over_under_a_halt(self) -> None:
        for symbol, before in (self.swept or {}).items():
            now = self.positions[symbol]
            assert abs(now) <= abs(before)
            assert now * before >= 0

    @invariant()
    def the_books_agree(self) -> None:
        for line in self.gate.lines(["acc-1"]):
            if line.position is not None:
                assert line.position == self.positions[line.symbol]
            for side, total in (("buy", line.buys), ("sell", line.sells)):
                sums = [
                    sent.left
                    for sent in self.open.values()
                    if (sent.order.symbol, sent.order.side) == (line.symbol, side)
                ]
                assert total == sum(sums, Decimal(0))

    @invariant()
    def a_cancel_always_passes(self) -> None:
        assert code(self.gate.check(Order(order_id="any", kind="cancel"))) == "send"


TestGate = GateMachine.TestCase
TestGate.settings = settings(max_examples=200, stateful_step_count=40)
