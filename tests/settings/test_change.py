"""Does a plan say for whom something changes, and is anything looser called looser?"""

import pytest
from settings_of_tests import Stream, refusal

from operations.settings.book import Place
from operations.settings.change import Change, plan, plan_of_person

pytestmark = pytest.mark.unit
FUNDS = frozenset(("alpha", "beta"))


def change(setting, value, fund="", layer="kv"):
    check, _, name = setting.partition(".")
    return Change(Place(layer, check, name, fund), value)


def effects(made):
    return [(each.fund_id, each.old, each.new, each.loosens) for each in made.effects]


def test_a_change_for_the_firm_reaches_every_fund_that_has_nothing_of_its_own():
    stream = Stream()
    stream.put("kv", "vpin.threshold", "0.2", "alpha")
    made = plan_of_person(stream.book, change("vpin.threshold", "0.30"), FUNDS)
    assert made.change.value == "0.3"
    assert effects(made) == [("", "0.4", "0.3", False), ("beta", "0.4", "0.3", False)]
    assert made.pinned == ("alpha",)
    assert not made.loosens


def test_a_change_that_is_looser_for_one_fund_is_looser():
    stream = Stream()
    stream.put("file", "vpin.threshold", "0.2", "alpha")
    made = plan_of_person(stream.book, change("vpin.threshold", "0.3"), FUNDS)
    assert ("alpha", "0.2", "0.3", True) in effects(made)
    assert made.loosens


def test_taking_away_a_tighter_value_is_looser():
    stream = Stream()
    stream.put("kv", "vpin.threshold", "0.2", "alpha")
    made = plan_of_person(stream.book, change("vpin.threshold", None, "alpha"), FUNDS)
    assert effects(made) == [("alpha", "0.2", "0.4", True)]


def test_the_same_value_again_changes_nothing_and_is_not_looser():
    made = plan_of_person(Stream().book, change("vpin.threshold", "0.4", "alpha"), FUNDS)
    assert (made.effects, made.loosens) == ((), False)


def test_turning_off_or_to_observe_is_looser_and_to_act_is_not():
    stream = Stream()
    assert not plan_of_person(stream.book, change("vpin.mode", "act"), FUNDS).loosens
    assert plan_of_person(stream.book, change("vpin.mode", "off"), FUNDS).loosens
    stream.put("kv", "vpin.mode", "off")
    assert plan_of_person(stream.book, change("vpin.mode", "observe"), FUNDS).loosens


@pytest.mark.parametrize("fund", ["", "alpha"])
def test_what_vault_owns_a_command_cannot_set(fund):
    stream = Stream()
    stream.put("vault", "vpin.threshold", "0.2", fund)
    said = refusal(plan_of_person, stream.book, change("vpin.threshold", "0.1", "alpha"), FUNDS)
    assert "is 0.2 in Vault for " + (f"fund {fund}" if fund else "the firm") in said
    assert "change it there" in said
    if fund:  # the firm's value is not Vault's
        assert plan_of_person(stream.book, change("vpin.threshold", "0.1"), FUNDS).pinned == (fund,)
    stream.put("vault", "vpin.threshold", None, fund)
    assert plan_of_person(stream.book, change("vpin.threshold", "0.1", "alpha"), FUNDS).effects


def test_a_fund_that_nobody_registered_is_refused_and_only_for_people():
    wanted = change("vpin.threshold", "0.3", "alpa")
    assert "did you mean alpha?" in refusal(plan_of_person, Stream().book, wanted, FUNDS)
    assert plan(Stream().book, wanted, FUNDS).effects


def test_values_that_do_not_go_together_are_refused_for_whomever_they_would_meet():
    stream = Stream()
    stream.put("kv", "theta_watchdog.warn_pct", "0.9", "alpha")
    wanted = change("theta_watchdog.net_theta_pct", "0.6")
    assert "do not go together" in refusal(plan_of_person, stream.book, wanted, FUNDS)
    assert plan_of_person(stream.book, change("theta_watchdog.net_theta_pct", "0.9"), FUNDS)


def test_an_unknown_key_is_refused():
    said = refusal(plan_of_person, Stream().book, change("vpin.treshold", "0.3"), FUNDS)
    assert "did you mean threshold?" in said
