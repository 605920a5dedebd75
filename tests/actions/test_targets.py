"""Which of two actions asks for more, and which one nobody can do?"""

from decimal import Decimal

import pytest

from operations.actions.targets import asks_for_more, problem, until_ns
from operations.events.actions import ActionRequest

pytestmark = pytest.mark.unit
NOON, ONE = "2026-11-20T12:00:00Z", "2026-11-20T13:00:00Z"


def action(kind: str, **more) -> ActionRequest:
    fields = {"action_id": "a", "episode": "e", "scope": "strategy", "scope_id": "s"}
    return ActionRequest(kind=kind, ack_deadline=NOON, **(fields | more))


def half(factor: str = "0.5", **more) -> ActionRequest:
    return action("reduce_allocation", allocation_factor=Decimal(factor), **more)


def gross(most: str, currency: str | None = "USD") -> ActionRequest:
    return action("reduce_gross", gross_at_most=Decimal(most), currency=currency)


@pytest.mark.parametrize(
    ("later", "earlier", "more"),
    [
        (half("0.25"), half("0.5"), True),
        (half("0.5"), half("0.5"), False),
        (half("0.75"), half("0.5"), False),
        (gross("100"), gross("101"), True),
        (gross("100", "EUR"), gross("101"), False),
        (action("shadow"), action("shadow"), False),
        (action("cooldown", until=ONE), action("cooldown", until=NOON), True),
        (action("cooldown", until=NOON), action("cooldown", until=ONE), False),
        (action("cooldown"), action("cooldown", until=ONE), True),
        (action("cooldown", until=ONE), action("cooldown"), False),
        (
            action("throttle", until=NOON, orders_per_minute_at_most=1),
            action("throttle", until=ONE, orders_per_minute_at_most=9),
            False,  # less for longer: in one thing it asks for less
        ),
        (
            action("throttle", until=ONE, orders_per_minute_at_most=9),
            action("throttle", until=NOON, orders_per_minute_at_most=1),
            False,  # more for longer: the same
        ),
        (
            action("throttle", until=ONE, orders_per_minute_at_most=1),
            action("throttle", until=ONE, orders_per_minute_at_most=2),
            True,
        ),
    ],
)
def test_a_later_action_counts_when_it_asks_for_more_and_in_nothing_for_less(later, earlier, more):
    assert asks_for_more(later, earlier) is more


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (half("0"), ""),
        (half("1"), ""),
        (half("1.01"), "from 0 to 1"),
        (half("-0.1"), "from 0 to 1"),
        (action("reduce_allocation"), "allocation_factor is None"),
        (gross("0"), ""),
        (action("reduce_gross"), "gross_at_most is None"),
        (action("hedge"), "theta_per_day_at_most is None"),
        (
            action("hedge", theta_per_day_at_most=Decimal(-1), currency="USD"),
            "must be 0 or more",
        ),
        (action("throttle"), ""),  # no rate: nothing passes but what reduces
        (action("shadow"), ""),
    ],
)
def test_what_nobody_can_do_is_said_with_its_values(request_, words):
    assert words in problem(request_)
    assert bool(problem(request_)) is bool(words)


def test_what_a_person_has_to_end_has_no_end_of_its_own_whatever_the_request_says():
    for kind in ("shadow", "hedge", "reduce_gross", "reduce_allocation"):
        assert until_ns(action(kind, until=NOON)) is None
    assert until_ns(action("throttle", until=NOON)) == 1795176000000000000
    assert until_ns(action("throttle")) is None
