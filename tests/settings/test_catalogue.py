"""Is a value read as its setting wants it, and does a refusal help whoever mistyped?"""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from settings_of_tests import CATALOGUE, refusal

from operations.settings.catalogue import Catalogue, text_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("vpin.threshold", "0.5", 0.5),
        ("vpin.threshold", "0", 0.0),
        ("vpin.threshold", "1", 1.0),
        ("vpin.bucket_shares", "100", 100),
        ("vpin.symbols", '["SPY","QQQ"]', ("SPY", "QQQ")),
        ("vpin.mode", "act", "act"),
        ("theta_watchdog.net_theta_pct", "0.10", Decimal("0.10")),
        ("theta_watchdog.net_theta_pct", "null", None),
    ],
)
def test_a_value_is_read_and_written_again(name, text, value):
    setting = CATALOGUE.named(name)
    assert setting.parse(text) == value
    assert setting.parse(text_of(value)) == value


@given(st.floats(0, 1))
def test_every_number_survives_being_written(value):
    assert CATALOGUE.named("vpin.threshold").parse(text_of(value)) == value


def test_every_default_survives_being_written():
    for setting in CATALOGUE.settings():
        assert setting.parse(text_of(setting.default)) == setting.default
        assert setting.description


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("vpin.threshold", "1.01", "at least 0 and at most 1"),
        ("vpin.threshold", "-0.1", "at least 0 and at most 1"),
        ("vpin.threshold", "nan", "nan"),
        ("vpin.threshold", "much", "VPIN above which orders slow"),
        ("vpin.threshold", "", "vpin.threshold cannot be ''"),
        ("vpin.threshold", "null", "vpin.threshold"),
        ("vpin.bucket_shares", "1.5", "it has to be a whole number above 0: "),
        ("vpin.threshold", "0,35", "it has to be a number at least 0 and at most 1: "),
        ("vpin.bucket_shares", "0", "above 0"),
        ("vpin.own_level", "1", "below 1"),
        ("vpin.symbols", "SPY", "vpin.symbols"),
        ("vpin.symbols", "[1", "vpin.symbols"),
        ("vpin.mode", "on", "off, observe, act"),
        ("theta_watchdog.net_theta_pct", "Infinity", "theta_watchdog.net_theta_pct"),
    ],
)
def test_a_value_that_is_none_is_refused_with_what_is_allowed(name, text, words):
    assert words in refusal(CATALOGUE.named(name).parse, text)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vpin.treshold", "did you mean threshold?"),
        ("vpn.threshold", "did you mean vpin?"),
        ("vpin.zzz", "known are bucket_shares, mode, own_level, symbols, threshold"),
        ("threshold", "CHECK.FIELD"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(name, words):
    assert words in refusal(CATALOGUE.named, name)


@pytest.mark.parametrize(
    ("name", "old", "new", "loosens"),
    [
        ("vpin.threshold", "0.4", "0.5", True),
        ("vpin.threshold", "0.4", "0.3", False),
        ("vpin.threshold", "0.4", "0.4", False),
        ("theta_watchdog.least_samples", "20", "19", True),
        ("theta_watchdog.least_samples", "20", "21", False),
        ("theta_watchdog.net_theta_pct", "null", "5", False),
        ("theta_watchdog.net_theta_pct", "5", "null", True),
        ("vpin.own_level", "0.99", "0.98", True),  # nothing declared: either way
        ("vpin.own_level", "0.98", "0.99", True),
        ("vpin.mode", "act", "observe", True),
        ("vpin.mode", "act", "off", True),
        ("vpin.mode", "off", "observe", True),
        ("vpin.mode", "observe", "act", False),
    ],
)
def test_which_direction_lets_more_pass(name, old, new, loosens):
    setting = CATALOGUE.named(name)
    assert setting.loosens(setting.parse(old), setting.parse(new)) is loosens


def test_limits_without_a_default_are_a_mistake_of_ours():
    class Needy(Struct):
        limit: float

    with pytest.raises(TypeError, match=r"x\.limit"):
        Catalogue({"x": Needy})
