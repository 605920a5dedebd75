"""Do files, the environment and Vault mean what they say, and is everything else refused?"""

import pytest
from settings_of_tests import CATALOGUE, Stream, refusal

from operations.settings import layers
from operations.settings.book import Place
from operations.settings.change import Change

pytestmark = pytest.mark.unit


def test_the_file_has_a_table_for_each_check_and_below_it_one_for_each_fund():
    tables = {
        "vpin": {"threshold": 0.5, "symbols": ["SPY"], "funds": {"alpha": {"threshold": "0.6"}}},
        "theta_watchdog": {"mode": "act"},
    }
    assert layers.of_file(CATALOGUE, tables) == {
        Place("file", "vpin", "threshold", ""): "0.5",
        Place("file", "vpin", "symbols", ""): '["SPY"]',
        Place("file", "vpin", "threshold", "alpha"): "0.6",
        Place("file", "theta_watchdog", "mode", ""): "act",
    }


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"vpn": {}}, "did you mean vpin?"),
        ({"vpin": {"treshold": 0.5}}, "did you mean threshold?"),
        ({"vpin": {"threshold": 2}}, "at most 1"),
        ({"vpin": {"bucket_shares": True}}, "vpin.bucket_shares cannot be 'true'"),
        ({"vpin": {"funds": {"alpha": {"funds": 1}}}}, "has no setting 'funds'"),
        ({"vpin": {"funds": {"alpha": 0.5}}}, "[watchdogs.vpin.funds.alpha] is 0.5"),
        ({"vpin": 0.5}, "[watchdogs.vpin] is 0.5 and must be a table"),
    ],
)
def test_a_file_with_a_mistake_is_refused(tables, words):
    assert words in refusal(layers.of_file, CATALOGUE, tables)


def test_a_variable_is_the_check_and_the_setting_with_underscores():
    found = layers.of_environment(
        CATALOGUE,
        {"MTS_WATCHDOGS_VPIN_THRESHOLD": "0.50", "MTS_WATCHDOGS_THETA_WATCHDOG_MODE": "off"},
    )
    assert found == {
        Place("environment", "vpin", "threshold", ""): "0.5",
        Place("environment", "theta_watchdog", "mode", ""): "off",
    }
    said = refusal(layers.of_environment, CATALOGUE, {"MTS_WATCHDOGS_VPIN_TRESHOLD": "1"})
    assert "did you mean MTS_WATCHDOGS_VPIN_THRESHOLD?" in said


def test_every_variable_means_one_setting():
    names = [layers.variable(each) for each in CATALOGUE.settings()]
    assert len(names) == len(set(names))


def test_a_secret_has_full_names_and_values_of_any_kind():
    found = layers.of_secret(CATALOGUE, "alpha", {"vpin.threshold": "0.5", "vpin.mode": "act"})
    assert found == {
        Place("vault", "vpin", "threshold", "alpha"): "0.5",
        Place("vault", "vpin", "mode", "alpha"): "act",
    }
    assert "CHECK.FIELD" in refusal(layers.of_secret, CATALOGUE, "", {"threshold": 1})


def test_only_what_differs_is_a_change_and_what_is_gone_is_taken_away():
    stream = Stream()
    stream.put("file", "vpin.threshold", "0.5")
    stream.put("file", "vpin.threshold", "0.6", "alpha")
    stream.put("file", "vpin.own_level", None)
    stream.put("kv", "vpin.threshold", "0.1")
    wanted = layers.of_file(CATALOGUE, {"vpin": {"threshold": 0.5, "bucket_shares": 1}})
    assert layers.differences(stream.book, "file", wanted) == (
        Change(Place("file", "vpin", "bucket_shares", ""), "1"),
        Change(Place("file", "vpin", "threshold", "alpha"), None),
    )


def test_a_secret_of_one_fund_takes_nothing_from_another():
    stream = Stream()
    stream.put("vault", "vpin.threshold", "0.5", "alpha")
    stream.put("vault", "vpin.threshold", "0.6", "beta")
    assert layers.differences(stream.book, "vault", {}, "beta") == (
        Change(Place("vault", "vpin", "threshold", "beta"), None),
    )
    assert layers.differences(stream.book, "vault", {}, "") == ()


def test_values_that_do_not_go_together_with_those_of_any_fund_are_refused():
    stream = Stream()
    stream.put("kv", "theta_watchdog.warn_pct", "0.9", "alpha")
    wanted = layers.of_file(CATALOGUE, {"theta_watchdog": {"net_theta_pct": "0.6"}})
    assert "do not go together" in refusal(layers.differences, stream.book, "file", wanted)
    both = {"theta_watchdog": {"net_theta_pct": "0.3", "warn_pct": "0.2"}}
    assert len(layers.differences(Stream().book, "file", layers.of_file(CATALOGUE, both))) == 2


def test_a_setting_of_another_release_can_still_be_taken_away():
    stream = Stream()
    stream.put("file", "gone.threshold", "1")
    stream.put("file", "vpin.gone", "1")
    assert len(layers.differences(stream.book, "file", {})) == 2
