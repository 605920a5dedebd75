"""Does the value that holds follow from the stream alone, layer by layer and fund by fund?"""

from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from settings_of_tests import CATALOGUE, Stream, VpinLimits, refusal

from operations.settings.book import LAYERS
from operations.settings.catalogue import Catalogue

pytestmark = pytest.mark.unit
PLACES = [*product(LAYERS, ("", "alpha"))]  # in the order in which they win


def test_without_any_change_the_defaults_hold_and_every_check_observes():
    limits, mode = Stream().book.effective("vpin", "alpha")
    assert (limits, mode) == (VpinLimits(), "observe")


@pytest.mark.parametrize("top", range(len(PLACES)))
def test_the_last_layer_wins_and_within_it_the_fund(top):
    stream = Stream()
    for number, (layer, fund) in reversed([*enumerate(PLACES[: top + 1])]):
        stream.put(layer, "vpin.threshold", f"0.0{number + 1}", fund)
    assert stream.value("vpin.threshold", "alpha") == f"0.0{top + 1}"
    firm = [number for number, (_, fund) in enumerate(PLACES[: top + 1]) if not fund]
    assert stream.value("vpin.threshold", "beta") == f"0.0{firm[-1] + 1}"


def test_what_is_taken_away_shows_what_stood_below():
    stream = Stream()
    stream.put("file", "vpin.threshold", "0.3")
    stream.put("kv", "vpin.threshold", "0.2", "alpha")
    assert stream.value("vpin.threshold", "alpha") == "0.2"
    stream.put("kv", "vpin.threshold", None, "alpha")
    assert stream.value("vpin.threshold", "alpha") == "0.3"


def test_the_limits_are_the_struct_of_the_check_with_values_of_its_types():
    stream = Stream()
    stream.put("kv", "theta_watchdog.net_theta_pct", "0.8", "alpha")
    stream.put("kv", "theta_watchdog.mode", "act", "alpha")
    limits, mode = stream.book.effective("theta_watchdog", "alpha")
    assert (limits.net_theta_pct, mode) == (Decimal("0.8"), "act")
    assert stream.book.effective("theta_watchdog", "beta")[1] == "observe"


def test_an_event_counts_once_and_what_is_no_setting_of_a_check_not_at_all():
    stream = Stream()
    assert stream.put("kv", "vpin.threshold", "0.2", event_id="x")
    assert stream.put("kv", "vpin.threshold", "0.3")
    assert not stream.put("kv", "vpin.threshold", "0.2", event_id="x")
    assert stream.value("vpin.threshold") == "0.3"
    assert not stream.put(None, "vpin.threshold", "0.1")
    assert not stream.put("kv", "threshold", "0.1")
    assert [each.value for each in stream.book.history] == ["0.2", "0.3"]


def test_a_setting_of_another_release_is_shown_and_obeyed_by_nobody():
    stream = Stream()
    stream.put("kv", "vpin.gone", "1")
    stream.put("kv", "gone.threshold", None)
    assert [each.place.setting for each in stream.book.unknown()] == ["vpin.gone"]
    assert stream.book.effective("vpin")[0] == VpinLimits()


def test_a_value_that_this_release_does_not_allow_never_becomes_the_default():
    stream = Stream()
    stream.put("kv", "vpin.threshold", "7")
    assert "at most 1" in refusal(stream.book.effective, "vpin")
    stream = Stream()
    stream.put("kv", "theta_watchdog.net_theta_pct", "0.1")
    assert "do not go together" in refusal(stream.book.effective, "theta_watchdog")
    assert "did you mean vpin" in refusal(stream.book.effective, "vpinn")


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(LAYERS),
        st.sampled_from(["vpin.threshold", "vpin.mode"]),
        st.sampled_from(["", "alpha", "beta"]),
        st.booleans(),
        st.floats(0, 1).map(str),
        st.sampled_from(["off", "observe", "act"]),
    ),
    max_size=30,
)


@given(CHANGES, st.integers(0, 30))
def test_a_restart_anywhere_and_every_event_twice_give_the_same(changes, cut):
    once, again = Stream(), Stream()
    for number, (layer, setting, fund, gone, number_text, mode) in enumerate(changes):
        text = number_text if setting.endswith("threshold") else mode
        value = None if gone else text
        once.put(layer, setting, value, fund, event_id=f"e{number}")
        again.put(layer, setting, value, fund, event_id=f"e{number}")
        if number == cut:
            again.put(layer, setting, value, fund, event_id=f"e{number}")
    for fund in ("", "alpha", "beta", "gamma"):
        assert once.book.effective("vpin", fund) == again.book.effective("vpin", fund)


def test_a_check_without_limits_still_has_a_mode():
    first = next(iter(Catalogue({"vpin": VpinLimits}).settings()))
    assert first.full_name == "vpin.mode"
    assert CATALOGUE.named("vpin.mode").default == "observe"
