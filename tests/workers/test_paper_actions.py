"""Do positions end at the absolute target, whatever is delivered twice, killed or refused?"""

from decimal import Decimal
from pathlib import Path

import pytest
from halted import commanded, lifted
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from paper_trial import Trial

from operations.events.actions import ActionRequest
from operations.halt.state import Scope
from operations.simulation.order_flow import (
    OrderFlow,
    Wish,
    seats,
)
from workers.paper_actions import PaperActions
from workers.paper_tape import Capped, Sent, Wanted

pytestmark = pytest.mark.unit
TREND, VALUE = seats("oms-1")[:2]
PLACE = (TREND.account_id, "AAPL")


def action(kind: str = "reduce_allocation", name: str = "act-1", **more) -> ActionRequest:
    fields = {"episode": "epi-1", "scope": "strategy", "scope_id": "north-trend"}
    if kind == "reduce_allocation":
        fields["allocation_factor"] = Decimal("0.5")
    return ActionRequest(
        action_id=name, kind=kind, ack_deadline="2026-11-20T12:00:00Z", **(fields | more)
    )


class Acting(Trial):
    """A desk that also carries out actions; `restart` keeps nothing but the tape."""

    def restart(self) -> None:
        super().restart()
        self.actions = PaperActions("oms-1", self.desk, self.gate.registry)

    def carry_out(self, *actions: ActionRequest):
        self.desk.look(self.now)
        return self.actions.carry_out(actions)

    def until_done(self, *actions: ActionRequest, steps: int = 30):
        for _ in range(steps):
            found = self.carry_out(*actions)
            self.pass_time()
        return found

    def held(self, size: int = 101) -> "Acting":
        """Hold a long position in AAPL."""
        self.quote()
        self.buy(size)
        self.pass_time(4)
        assert self.desk.positions[PLACE] == size
        return self

    def worked(self) -> list[int]:
        """The sizes of the orders that were sent to work a position down."""
        wanted = {line.ticket.order_id: line for line in self.lines(Wanted)}
        lines = [wanted[line.order_id] for line in self.lines(Sent)]
        return [line.ticket.quantity for line in lines if line.action_id]

    def wish(self, **more) -> Wish | None:
        fields = {"kind": "new", "seat": TREND, "symbol": "AAPL", "side": "buy", "quantity": 10}
        return self.actions.allowed(Wish(**(fields | more)))


@pytest.fixture
def trial(tmp_path):
    return Acting(tmp_path).held()


def test_a_halved_strategy_ends_at_half_and_says_so_only_then(trial):
    found = trial.carry_out(action())
    assert found["act-1"].phase == "ACKNOWLEDGED"
    found = trial.until_done(action())
    assert trial.desk.positions[PLACE] == 50
    assert found["act-1"].phase == "COMPLETED"
    assert found["act-1"].measured == Decimal("0.4950")
    assert trial.worked() == [51]


def test_delivered_again_and_again_it_is_halved_once(trial):
    trial.until_done(action(), steps=80)
    trial.until_done(action(), action(), steps=80)
    assert trial.desk.positions[PLACE] == 50
    assert len(trial.lines(Capped)) == 1


def test_killed_at_any_step_it_goes_on_to_the_same_target(tmp_path):
    for step in range(8):
        trial = Acting(tmp_path / str(step)).held()
        for number in range(20):
            trial.carry_out(action())
            trial.pass_time()
            if number == step:
                trial.restart()
        assert trial.desk.positions[PLACE] == 50
        assert sum(trial.worked()) == 51


def test_a_stricter_one_is_a_part_of_the_size_at_the_start_of_the_episode(trial):
    trial.until_done(action())
    later = action(name="act-2", allocation_factor=Decimal("0.25"))
    trial.until_done(later)
    assert trial.desk.positions[PLACE] == 25
    assert list(trial.desk.capped) == ["act-2"]


def test_orders_that_rest_are_canceled_first_and_what_fills_meanwhile_is_worked_down(trial):
    trial.buy(30, 99_00)
    trial.pass_time(4)
    trial.carry_out(action())
    trial.quote(bid=97_00, ask=98_00)  # the resting order is filled before its cancel arrives
    found = trial.until_done(action())
    assert trial.desk.positions[PLACE] == 50
    assert found["act-1"].phase == "COMPLETED"
    assert trial.stages == []


def test_a_halved_strategy_wants_half_and_never_beyond_its_cap(trial):
    trial.until_done(action())
    assert trial.wish() is None  # it is at its cap
    assert trial.wish(side="sell").quantity == 5
    assert trial.wish(side="sell", quantity=1) is None
    assert trial.wish(symbol="KO") is None  # it held none at the start
    assert trial.wish(seat=VALUE).quantity == 10
    assert trial.wish(kind="cancel", order_id="x").order_id == "x"
    trial.desk.want(Wish(kind="new", seat=TREND, symbol="AAPL", side="sell", quantity=20))
    trial.pass_time(4)
    assert trial.desk.positions[PLACE] == 30
    assert trial.wish(quantity=100).quantity == 20
    trial.buy(15, 90_00)
    trial.pass_time(4)
    assert trial.wish(quantity=100).quantity == 5
    (resting,) = trial.desk.orders.values()
    amend = trial.wish(kind="amend", order_id=resting.order_id, quantity=99, limit_cents=91_00)
    assert amend.quantity == 15


def test_what_is_over_frees_it_also_when_it_ended_while_the_process_was_down(trial):
    trial.until_done(action())
    trial.restart()
    assert trial.wish(quantity=100) is None
    assert trial.carry_out() == {}
    assert trial.wish(quantity=100).quantity == 100
    trial.restart()
    assert trial.desk.capped == {}


def test_a_halt_stands_above_an_action_and_it_is_done_when_the_halt_is_lifted(trial):
    trial.gate.request(commanded("h-1", Scope("STRATEGY_HALT", "north-trend")))
    found = trial.until_done(action())
    assert found["act-1"].phase == "ACKNOWLEDGED"
    assert trial.desk.positions[PLACE] == 101
    refused = [each.data.rule_id for each in trial.desk.scribe.refusals]
    assert refused == ["STRATEGY_HALTED"] * 2  # once a second, in a second and a half
    trial.gate.lift(lifted("h-1"))
    trial.until_done(action())
    assert trial.desk.positions[PLACE] == 50


def gross(most: int, **more) -> ActionRequest:
    fields = {"scope": "fund", "scope_id": "north", "currency": "USD"}
    return action("reduce_gross", gross_at_most=Decimal(most), **(fields | more))


def test_gross_goes_down_to_the_share_of_our_accounts_and_below_it_when_prices_rise(trial):
    found = trial.until_done(gross(24_000))  # six accounts of the fund, two of them ours: 8,000
    assert (found["act-1"].phase, found["act-1"].measured) == ("COMPLETED", 7900)
    held = trial.desk.positions[PLACE]
    assert held == 79  # 0.99 of 8,000 at 100
    trial.quote(bid=109_00, ask=111_00)
    found = trial.until_done(gross(24_000))
    assert trial.desk.positions[PLACE] * 110 <= 8000
    assert found["act-1"].measured == trial.desk.positions[PLACE] * 110
    trial.quote(bid=49_00, ask=51_00)
    trial.until_done(gross(24_000))
    assert trial.desk.positions[PLACE] <= held


def test_gross_that_is_low_enough_is_complete_at_once_and_may_not_grow(trial):
    found = trial.carry_out(gross(1_000_000))
    assert found["act-1"].phase == "COMPLETED"
    assert found["act-1"].measured == 10_100
    assert trial.wish() is None
    assert trial.worked() == []


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (action("hedge", theta_per_day_at_most=Decimal(10), currency="USD"), "hold no options"),
        (gross(1, currency="EUR"), "in USD and the target is in EUR"),
    ],
)
def test_what_cannot_be_known_here_is_refused_with_the_reason(trial, request_, words):
    found = trial.carry_out(request_)
    assert found["act-1"].phase == "REFUSED"
    assert words in found["act-1"].reason
    assert trial.desk.capped == {}


def test_a_strategy_that_does_not_trade_here_is_done_at_once(trial):
    found = trial.carry_out(action(scope_id="elsewhere"))
    assert found["act-1"] == ("COMPLETED", Decimal(0), None, "")
    assert trial.wish(quantity=100).quantity == 100


def test_an_instrument_is_reduced_in_every_account_and_nothing_else_is(trial):
    trial.buy(20, seat=VALUE)
    trial.pass_time(4)
    trial.until_done(action(scope="instrument", scope_id="AAPL"))
    assert trial.desk.positions == {PLACE: 50, (VALUE.account_id, "AAPL"): 10}
    assert trial.wish(symbol="KO").quantity == 10


@given(st.integers(0, 10_000), st.sampled_from(("0", "0.1", "0.5", "0.9")))
@hypothesis_settings(max_examples=12)
def test_in_a_trading_desk_no_position_is_ever_beyond_its_cap_again(tmp_path, seed, factor):
    folder = Path(tmp_path, f"{seed}-{factor}")
    trial, flow = Acting(folder), OrderFlow(seed, "oms-1")
    request = action(allocation_factor=Decimal(factor), name=f"act-{factor}")
    complete = False
    for step in range(160):
        trial.pass_time()
        trial.desk.quote(flow.quotes())
        trial.actions.work()
        for wish in flow.wishes(trial.desk.positions, trial.desk.working()):
            if (allowed := trial.actions.allowed(wish)) is not None:
                trial.desk.want(allowed)
        if step >= 80:
            (found,) = trial.carry_out(request).values()
            complete = complete or found.phase == "COMPLETED"
            assert not complete or found.phase == "COMPLETED"
    assert complete
    caps = {(cap.owner, cap.symbol): cap for cap in trial.desk.capped[request.action_id].caps}
    for place, size in trial.desk.positions.items():
        if place[0] == TREND.account_id:
            cap = caps.get(place)
            assert abs(size) <= (int(cap.base * Decimal(factor)) if cap else 0)
