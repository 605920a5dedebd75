"""Does every order of a paper desk face the gate twice, and does every cancel go on until done?"""

from collections import Counter
from decimal import Decimal

import pytest
from halted import commanded, lifted
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from paper_trial import FAST, PAPER, STEP_NS, TREND, Trial

from operations.events.orders import GateRejected, OrderCanceled, OrderFilled
from operations.halt.book import Order
from operations.halt.state import FIRM, Scope
from operations.simulation.order_flow import OrderFlow, Wish
from workers.paper_tape import CancelSent, Sent

pytestmark = pytest.mark.unit


@pytest.fixture
def trial(tmp_path):
    return Trial(tmp_path)


def test_an_order_is_accepted_sent_and_filled(trial):
    trial.quote()
    assert trial.buy() is None
    assert trial.stages == ["queued"]
    trial.pass_time(3)
    assert trial.desk.positions == {(TREND.account_id, "AAPL"): 10}
    (filled,) = trial.events(OrderFilled)
    assert filled.strategy_id == "north-trend"
    assert trial.stages == []


def test_an_order_that_waited_through_a_halt_is_stopped_at_the_last_hop(trial):
    trial.buy()
    trial.gate.request(commanded("h-1", Scope("STRATEGY_HALT", "north-trend")))
    trial.pass_time()
    assert trial.stages == []
    assert trial.lines(Sent) == []
    assert [event.data.halt_id for event in trial.desk.scribe.refusals] == ["h-1"]
    (canceled,) = trial.events(OrderCanceled)
    assert canceled.data.halt_id == "h-1"


def test_pitfall_9_a_stop_kept_in_here_faces_the_gate_when_it_wakes(trial):
    trial.quote()
    trial.buy(stop_cents=105_00)
    assert trial.stages == ["armed"]
    trial.gate.request(commanded("h-1", FIRM))
    trial.pass_time()
    trial.quote(bid=105_00, ask=106_00)
    assert trial.lines(Sent) == []
    assert [type(event) for event in trial.desk.scribe.refusals] == [GateRejected]


def test_a_stop_at_the_venue_protects_without_us(trial):
    trial.quote()
    trial.buy()
    trial.pass_time(2)
    trial.desk.want(
        Wish(
            kind="new", seat=TREND, symbol="AAPL", side="sell", quantity=10, stop_cents=95_00,
            at_venue=True,
        )
    )  # fmt: skip
    trial.pass_time(2)
    trial.gate.request(commanded("h-1", FIRM))
    trial.quote(bid=94_00, ask=94_50)
    trial.pass_time(2)
    assert trial.desk.positions == {(TREND.account_id, "AAPL"): 0}


def test_pitfall_7_an_order_that_is_accepted_after_the_halt_is_canceled_at_once(tmp_path):
    trial = Trial(tmp_path, STEP_NS * 3)
    trial.buy(limit=90_00)
    trial.pass_time()
    assert trial.stages == ["sent"]
    trial.gate.request(commanded("h-1", FIRM))
    trial.pass_time(30)
    assert trial.stages == []
    (canceled,) = trial.events(OrderCanceled)
    assert (canceled.data.cancel_reason, canceled.data.halt_id) == ("halt", "h-1")


def test_pitfall_7_a_cancel_goes_on_after_the_lift_until_the_order_has_ended(tmp_path):
    trial = Trial(tmp_path, STEP_NS * 3)
    trial.buy(limit=90_00)
    trial.pass_time()
    halt = commanded("h-1", FIRM)
    trial.gate.request(halt)
    trial.desk.cancel(list(trial.desk.orders), "halt", "h-1")
    trial.gate.lift(lifted("h-1"))
    trial.pass_time(30)
    assert trial.stages == []


def test_pitfall_20_what_a_closed_market_keeps_is_canceled_when_it_opens(trial):
    trial.buy(limit=90_00, time_in_force="gtc")
    trial.pass_time(3)
    trial.desk.session(is_open=False)
    trial.pass_time()
    trial.desk.cancel(list(trial.desk.orders), "halt", "h-1")
    trial.pass_time(20)
    assert trial.stages == ["working"]
    trial.desk.session(is_open=True)
    trial.pass_time(20)
    assert trial.stages == []
    assert len(trial.lines(CancelSent)) > 1


def test_an_amend_that_the_gate_refuses_leaves_the_resting_order_as_it_was(trial):
    trial.buy(limit=90_00)
    trial.pass_time(3)
    (order_id,) = trial.desk.orders
    trial.gate.request(commanded("h-1", FIRM))
    wish = Wish(kind="amend", seat=TREND, order_id=order_id, quantity=20, limit_cents=91_00)
    assert trial.desk.want(wish).code == "FIRM_HALTED"
    order = trial.desk.orders[order_id]
    assert (order.quantity, order.limit_cents, order.amend) == (10, 90_00, None)


def exit_order(trial: Trial, quantity: int = 25) -> Order:
    trial.gate.permit_exit("h-1", PAPER.account_id, "AAPL")
    return Order(
        order_id="exit-1", strategy_id=PAPER.strategy_id, fund_id=PAPER.fund_id,
        account_id=PAPER.account_id, symbol="AAPL", side="sell", quantity=Decimal(quantity),
        exit_of="h-1",
    )  # fmt: skip


@pytest.mark.parametrize("killed_after", range(6))
def test_an_exit_is_sent_once_whenever_the_order_system_is_killed(trial, killed_after):
    trial.quote()
    trial.buy(25, seat=PAPER)
    trial.pass_time(3)
    trial.gate.request(commanded("h-1", Scope("FUND_HALT", "south")))
    for step in range(10):
        if step == killed_after:
            trial.restart()
        assert trial.desk.exit(exit_order(trial)) is None
        trial.pass_time()
    assert trial.desk.is_flat([PAPER.account_id])
    assert [line.order_id for line in trial.lines(Sent)].count("exit-1") == 1


class KilledError(Exception):
    """What a kill is to a desk in this process."""


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("step", ["want exit", "send exit"])
def test_an_exit_is_sent_once_when_the_order_system_is_killed_at_one_of_its_lines(
    trial, side, step
):
    def killed(name: str) -> None:
        if name == f"{side} {step}":
            raise KilledError

    trial.quote()
    trial.buy(25, seat=PAPER)
    trial.pass_time(3)
    trial.gate.request(commanded("h-1", Scope("FUND_HALT", "south")))
    trial.restart(killed)
    with pytest.raises(KilledError):
        trial.desk.exit(exit_order(trial))
    trial.restart()
    assert trial.desk.exit(exit_order(trial)) is None
    trial.pass_time(3)
    assert trial.desk.is_flat([PAPER.account_id])
    assert [line.order_id for line in trial.lines(Sent)].count("exit-1") == 1


def test_an_exit_that_would_turn_the_position_over_is_refused(trial):
    trial.quote()
    trial.buy(25, seat=PAPER)
    trial.pass_time(3)
    trial.gate.request(commanded("h-1", Scope("FUND_HALT", "south")))
    assert trial.desk.exit(exit_order(trial, 26)).code == "NO_EXIT"


def test_another_speed_after_a_restart_changes_nothing_of_what_was_before(tmp_path):
    trial = Trial(tmp_path, STEP_NS * 3)
    trial.quote()
    trial.buy(25)
    trial.buy(5, limit=90_00)
    trial.pass_time(3)
    trial.venue_ns = FAST
    trial.restart()
    trial.pass_time(10)
    trial.desk.cancel(list(trial.desk.orders), "halt", "h-1")
    trial.pass_time(2)
    trial.venue_ns = STEP_NS * 5
    trial.restart()
    assert trial.stages == []
    assert trial.desk.positions == {(TREND.account_id, "AAPL"): 25}


def test_a_line_that_a_crash_cut_off_was_never_sent(trial):
    trial.buy(limit=90_00)
    trial.pass_time(3)
    with trial.desk._tape.path.open("ab") as file:
        file.write(b'{"do":"send","at_ns":999')
    trial.restart()
    assert trial.stages == ["working"]


@hypothesis_settings(max_examples=30)
@given(
    seed=st.integers(0, 1000),
    stops=st.lists(st.integers(1, 59), max_size=3),
    halt_at=st.integers(0, 59),
)
def test_a_desk_that_is_killed_at_any_step_goes_on_as_if_it_had_not_been(
    tmp_path_factory, seed, stops, halt_at
):
    def played(restarts: list[int]) -> tuple:
        trial = Trial(tmp_path_factory.mktemp("desk"))
        flow = OrderFlow(seed, "oms-1")
        for step in range(60):
            trial.now += STEP_NS
            trial.desk.look(trial.now)
            trial.desk.send_queued()
            if step in restarts:
                trial.restart()
            trial.desk.quote(flow.quotes())
            for wish in flow.wishes(trial.desk.positions, trial.desk.working()):
                trial.desk.want(wish)
            if step == halt_at:
                trial.gate.request(commanded("h-1", FIRM))
                trial.desk.cancel(list(trial.desk.orders), "halt", "h-1")
        trial.pass_time(20)
        told = Counter(type(event) for event in trial.desk.scribe.events)
        book = {(line.account_id, line.symbol): line.position for line in trial.gate.book}
        return (
            told,
            dict(trial.desk.positions),
            len(trial.desk.orders),
            {place: int(held or 0) for place, held in book.items() if held},
        )

    told, held, still_open, book = played(stops)
    assert still_open == 0
    assert (told, held) == played([])[:2]
    assert {place: size for place, size in held.items() if size} == book
