"""Does the simulated firm do what is asked of it, once, and only as long as it is asked?"""

import hashlib
from collections import defaultdict
from decimal import Decimal

import pytest

from operations.events.actions import ActionAnswered, ActionReleased, ActionRequest
from operations.events.base import encode
from operations.events.orders import OrderAccepted
from operations.events.positions import ExposureMarked, GreeksMarked, PositionChanged
from operations.events.strategies import SignalGenerated
from operations.simulation.actions import Asked
from operations.simulation.faults import RunawayStrategy
from operations.simulation.simulator import simulate

pytestmark = pytest.mark.unit


def action(kind: str, scope: str = "strategy", scope_id: str = "mean-rev", **more) -> ActionRequest:
    if kind == "reduce_allocation":
        more = {"allocation_factor": Decimal("0.5")} | more
    return ActionRequest(
        action_id="act-1",
        episode="epi-1",
        kind=kind,
        scope=scope,
        scope_id=scope_id,
        ack_deadline="2026-11-20T15:30:00Z",
        **more,
    )


def day(request: ActionRequest, released: int | None = None, faults=(), seed: int = 7) -> list:
    asked = Asked(request=request, minute=10, released_minute=released)
    return list(simulate(seed, faults=faults, events=30_000, actions=(asked,)))


def phases(events: list) -> list[str]:
    return [each.data.phase for each in events if isinstance(each, ActionAnswered)]


def when(events: list, phase: str) -> int:
    """The place in the stream of an answer."""
    return next(
        place
        for place, each in enumerate(events)
        if isinstance(each, ActionAnswered) and each.data.phase == phase
    )


def sizes(events: list, strategy_id: str) -> dict[str, Decimal]:
    held: dict[str, Decimal] = defaultdict(Decimal)
    for each in events:
        if isinstance(each, PositionChanged) and each.strategy_id == strategy_id:
            held[each.data.symbol] = each.data.after_quantity
    return held


@pytest.mark.parametrize("seed", [7, 8])
def test_a_halved_strategy_is_at_most_at_half_of_each_position_from_completion_on(seed):
    events = day(action("reduce_allocation"), seed=seed)
    assert phases(events) == ["ACKNOWLEDGED", "COMPLETED"]
    began, done = when(events, "ACKNOWLEDGED"), when(events, "COMPLETED")
    base = sizes(events[:began], "mean-rev")
    at_completion = sizes(events[:done], "mean-rev")
    assert {symbol: abs(size) for symbol, size in at_completion.items()} == {
        symbol: abs(size) // 2 for symbol, size in base.items()
    }
    for each in events[done:]:
        if isinstance(each, PositionChanged) and each.strategy_id == "mean-rev":
            assert abs(each.data.after_quantity) <= abs(base[each.data.symbol]) // 2
    assert sizes(events, "momentum") != {}  # the others go on


def test_a_runaway_strategy_under_a_shadow_goes_on_computing_and_opens_nothing():
    fault = RunawayStrategy(minute=11, minutes=2, strategy_id="mean-rev", orders_per_second=1)
    events = day(action("shadow"), faults=(fault,))
    assert phases(events) == ["ACKNOWLEDGED", "COMPLETED"]
    done = when(events, "COMPLETED")
    later = [each for each in events[done:] if each.strategy_id == "mean-rev"]
    assert any(isinstance(each, SignalGenerated) for each in later)
    for each in later:
        if isinstance(each, PositionChanged):
            before, after = each.data.before_quantity, each.data.after_quantity
            assert abs(after) < abs(before)
            assert before * after >= 0


def test_gross_of_a_fund_goes_down_and_stays_down():
    most = Decimal(5_000_000)
    events = day(action("reduce_gross", "fund", "alpha", gross_at_most=most, currency="USD"))
    done = events[when(events, "COMPLETED")]
    assert done.data.measured <= most
    marks = [
        each.data.gross
        for each in events[when(events, "COMPLETED") :]
        if isinstance(each, ExposureMarked) and each.fund_id == "alpha"
    ]
    assert marks
    # A price may break it until the look of the next second.
    assert all(gross <= most * Decimal("1.001") for gross in marks)


def test_options_are_closed_until_theta_is_low_enough_and_without_options_it_is_refused():
    request = action("hedge", "fund", "alpha", theta_per_day_at_most=Decimal(300), currency="USD")
    events = day(request)
    done = events[when(events, "COMPLETED")]
    assert 0 < done.data.measured <= 300
    greeks = [each.data for each in events if isinstance(each, GreeksMarked)]
    first, last = (
        abs(each.quantity * 100 * each.theta_per_day) for each in (greeks[0], greeks[-1])
    )
    assert first > 300 >= last
    request = action("hedge", "fund", "beta", theta_per_day_at_most=Decimal(300), currency="USD")
    (refused,) = [each for each in day(request) if isinstance(each, ActionAnswered)]
    assert (refused.data.phase, refused.data.measured) == ("REFUSED", None)
    assert "no options are held" in refused.data.reason


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (action("throttle", orders_per_minute_at_most=1), "does not count orders"),
        (action("reduce_gross", gross_at_most=Decimal(1), currency="EUR"), "in USD and the target"),
    ],
)
def test_what_it_cannot_do_is_refused_with_the_reason(request_, words):
    (refused,) = [each for each in day(request_) if isinstance(each, ActionAnswered)]
    assert words in refused.data.reason


def test_a_release_lets_it_grow_again_and_nothing_before_it_does():
    events = day(action("reduce_allocation", allocation_factor=Decimal(0)), released=20)
    (over,) = [place for place, each in enumerate(events) if isinstance(each, ActionReleased)]
    done = when(events, "COMPLETED")
    assert set(sizes(events[:over], "mean-rev").values()) == {Decimal(0)}

    def accepted(part: list) -> int:
        return sum(isinstance(e, OrderAccepted) and e.strategy_id == "mean-rev" for e in part)

    assert accepted(events[done:over]) == 0
    assert accepted(events[over:]) > 0


def test_a_day_without_actions_has_the_bytes_that_it_always_had():
    whole = hashlib.sha256()
    for event in simulate(7, events=5_000):
        whole.update(encode(event))
    assert whole.hexdigest() == BYTES


BYTES = "b9dd94855a669ea9d6c99b8221d2f9329c3bbd0d6b534d37f3d9ef5939b7d302"
