"""Steps run in the order of their time, then of their planning."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.simulation.agenda import Agenda

pytestmark = pytest.mark.unit


@given(st.lists(st.integers(0, 20)))
def test_steps_run_by_time_and_equal_times_in_the_order_planned(times):
    agenda, ran = Agenda(), []
    for number, at in enumerate(times):
        agenda.plan(at, lambda now, number=number: ran.append((now, number)) or ())
    assert list(agenda.run()) == []
    assert ran == sorted((at, number) for number, at in enumerate(times))


def test_a_step_may_plan_another_one():
    agenda, ran = Agenda(), []
    agenda.plan(5, lambda now: agenda.plan(now + 1, lambda later: ran.append(later) or ()) or ())
    list(agenda.run())
    assert ran == [6]
