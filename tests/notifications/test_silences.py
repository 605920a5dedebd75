"""Do silences and windows hold exactly as long as they say?"""

import pytest
from alert_cases import silence
from msgspec.structs import replace

from operations.clock import MOST_NS, parse_rfc3339
from operations.errors import Rejected
from operations.notifications.silences import silence_of, windows_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "moment", "holds"),
    [
        ("sat 02:00-04:00", "2026-11-21T02:00:00Z", True),
        ("sat 02:00-04:00", "2026-11-21T01:59:59Z", False),
        ("sat 02:00-04:00", "2026-11-21T03:59:59Z", True),
        ("sat 02:00-04:00", "2026-11-21T04:00:00Z", False),
        ("sat 02:00-04:00", "2026-11-22T02:00:00Z", False),
        ("daily 02:00-04:00", "2026-11-22T02:00:00Z", True),
        ("sat 23:00-01:00", "2026-11-21T23:30:00Z", True),
        ("sat 23:00-01:00", "2026-11-22T00:59:00Z", True),
        ("sat 23:00-01:00", "2026-11-22T01:00:00Z", False),
        ("sat 23:00-01:00", "2026-11-21T00:30:00Z", False),
        ("SUN 23:00-01:00, mon 05:00-06:00", "2026-11-23T00:30:00Z", True),
    ],
)
def test_a_window_holds_in_its_time_and_over_midnight(text, moment, holds):
    at_ns = parse_rfc3339(moment)
    assert any(window.holds(at_ns) for window in windows_of(text)) is holds


@pytest.mark.parametrize(
    "text", ["sat", "sat 2:00-4:00", "caturday 02:00-04:00", "sat 24:00-25:00", "sat 02:00-02:00"]
)
def test_what_is_no_window_is_refused_with_an_example(text):
    with pytest.raises(Rejected, match="write: sat 02:00-04:00"):
        windows_of(text)


def test_no_text_is_no_window():
    assert windows_of("") == ()


def test_a_silence_until_the_end_of_time_fits_into_the_database():
    """One that did not fit once kept the worker from writing anything down, so nobody was told."""
    order = silence()
    endless = replace(order, data=replace(order.data, until="9999-12-31T23:59:59Z"))
    assert silence_of(endless, "ann").until_ns == MOST_NS
    assert silence_of(order, "ann").until_ns == parse_rfc3339(order.data.until)
