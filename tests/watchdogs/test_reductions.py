"""Is what we made smaller known as long as it is smaller, and no longer?"""

import pytest

from operations.watchdogs.reductions import factor_at

pytestmark = pytest.mark.unit


def held(begun, ended, factor):
    return {"begun_ns": begun, "ended_ns": ended, "factor": factor}


def test_nothing_reduced_is_full_size():
    assert factor_at(None, 5) == factor_at([], 5) == 1


@pytest.mark.parametrize(("at_ns", "factor"), [(9, 1), (10, 0.5), (19, 0.5), (20, 1)])
def test_a_reduction_holds_from_its_acknowledgement_until_its_end(at_ns, factor):
    assert factor_at([held(10, 20, 0.5)], at_ns) == factor


def test_what_a_person_has_not_ended_goes_on_and_several_multiply():
    assert factor_at([held(1, None, 0.5), held(5, None, 0.4)], 7) == pytest.approx(0.2)
