"""An open gate, halts and lifts of it, and a clock that a test moves."""

from decimal import Decimal

from oms_cases import ACCOUNT, FUND, REGISTERED, STRATEGY, code

from operations.events.halts import Halt, HaltLifted, HaltRequested, Lift
from operations.halt.book import Order
from operations.halt.gate import Gate
from operations.halt.state import Fact

AT = "2026-11-20T20:00:00Z"


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.ns = 1

    def __call__(self) -> int:
        return self.ns


def open_gate(clock: Clock) -> Gate:
    """Return a gate with a lease that knows two funds."""
    opened = Gate("oms-1", clock)
    for event in REGISTERED:
        opened.register(event)
    opened.unhold("BOOTING")
    opened.renew(10**18)
    return opened


def halt(gate, halt_id="h-1", level="STRATEGY_HALT", mode="BLOCK_ALL", sequence=1, **ids):
    if not ids and level != "FIRM_HALT":
        ids = {"strategy_id": STRATEGY} if level == "STRATEGY_HALT" else {"fund_id": FUND}
    data = Halt(halt_id=halt_id, level=level, mode=mode, reason_code="MANUAL", requested_by="risk")
    event = HaltRequested(
        event_id=halt_id, timestamp=AT, actor="halt", subject_id=halt_id, data=data, **ids
    )
    return gate.request(Fact(event, sequence, 0, ""))


def lift(gate, *halt_ids, sequence=99):
    data = Lift(
        halt_ids=halt_ids,
        resume_id="r",
        treatment="CLEARED",
        remaining_halt_ids=(),
        signed_by=("risk",),
    )
    event = HaltLifted(event_id="l", timestamp=AT, actor="halt", subject_id="r", data=data)
    return gate.lift(Fact(event, sequence, 0, ""))


def passes(gate, wanted: Order) -> str:
    """Ask twice as an order system does; returns the code of the first denial, or "send"."""
    first = gate.check(wanted)
    return code(first) if code(first) != "accept" else code(gate.check(wanted))


def held(gate, quantity: str, symbol: str = "AAPL") -> None:
    gate.position(ACCOUNT, symbol, Decimal(quantity))
