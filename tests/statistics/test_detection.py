"""Are alerts compared with labels as they say, and are the intervals those of another library?"""

import pytest
from scipy.stats import binomtest, chi2

from operations.statistics.detection import detection, rate_interval, share_interval

pytestmark = pytest.mark.unit


def test_windows_are_found_once_and_alerts_outside_of_all_are_false():
    alerts = {"a": [(1, 2), (5, 5), (30, 40)], "b": [(7, 7)]}
    labels = {"a": [(2, 4), (4, 5), (10, 20)], "c": [(1, 9)]}
    found = detection(alerts, labels, 12.5)
    assert (found.found, found.windows, found.false, found.unit_days) == (2, 4, 2, 12.5)


@pytest.mark.parametrize(("found", "of"), [(0, 11), (8, 11), (10, 11), (11, 11)])
def test_the_interval_of_a_share_is_wilsons(found, of):
    wanted = binomtest(found, of).proportion_ci(method="wilson")
    assert share_interval(found, of) == pytest.approx(tuple(wanted), abs=1e-9)
    assert share_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("events", [0, 1, 4, 38, 400])
def test_the_interval_of_a_rate_is_exact(events):
    low = chi2.ppf(0.025, 2 * events) / 2 if events else 0.0
    wanted = low / 205, chi2.ppf(0.975, 2 * events + 2) / 2 / 205
    assert rate_interval(events, 205.0) == pytest.approx(wanted, rel=1e-9)
