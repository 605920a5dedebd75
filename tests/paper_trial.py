"""A paper desk with its gate and tape, moved by hand, for tests of desks and of actions."""

from pathlib import Path

from halted import opened_gate

from operations.adapters.steps import Step, onward
from operations.halt.gate import Gate
from operations.simulation.order_flow import Wish, seats
from operations.simulation.venue import Quote
from workers.paper_desk import Desk
from workers.paper_tape import Tape, read_tape

STEP_NS = 50_000_000
FAST = 2_000_000
TREND = seats("oms-1")[0]
PAPER = next(seat for seat in seats("oms-1") if seat.fund_id == "south")


class Trial:
    """A desk with its gate and tape, moved by hand; `restart` is what kill -9 and a start do."""

    def __init__(self, folder: Path, venue_ns: int = FAST) -> None:
        self.folder, self.venue_ns = folder, venue_ns
        self.now, self.runs = 0, 0
        self.gate = Gate("oms-1", lambda: self.now)
        self.restart()

    def restart(self, at: Step = onward) -> None:
        self.runs += 1
        halts = self.gate.halts
        self.gate = opened_gate("oms-1", lambda: self.now, halts)
        self.desk = Desk("oms-1", f"r{self.runs}", Tape(self.folder), self.gate, at)
        self.desk.restore(self.now, self.venue_ns, self.venue_ns)

    def pass_time(self, steps: int = 1) -> None:
        for _ in range(steps):
            self.now += STEP_NS
            self.desk.look(self.now)
            self.desk.send_queued()

    def quote(self, bid: int = 99_00, ask: int = 101_00, size: int = 1000) -> None:
        self.desk.quote(
            [Quote(symbol="AAPL", bid_cents=bid, bid_size=size, ask_cents=ask, ask_size=size)]
        )

    def buy(self, quantity: int = 10, limit: int | None = None, **more):
        return self.desk.want(
            Wish(
                kind="new", seat=more.pop("seat", TREND), symbol="AAPL", side="buy",
                quantity=quantity, limit_cents=limit, **more,
            )
        )  # fmt: skip

    @property
    def stages(self) -> list[str]:
        return [order.stage for order in self.desk.orders.values()]

    def lines(self, kind: type) -> list:
        return [line for line in read_tape(self.desk._tape.path) if isinstance(line, kind)]

    def events(self, kind: type) -> list:
        return [event for event in self.desk.scribe.events if isinstance(event, kind)]
