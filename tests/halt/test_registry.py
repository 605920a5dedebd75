"""The fold of what was registered."""

import pytest
from msgspec.structs import replace
from oms_cases import REGISTERED, account, fund, strategy

from operations.halt.registry import Registry

pytestmark = pytest.mark.unit


def test_a_strategy_belongs_to_the_fund_and_accounts_that_it_was_registered_with():
    known = Registry(REGISTERED)
    assert known.fund_of("mean-rev") == "alpha"
    assert known.places["mean-rev"].account_ids == {"acc-1"}
    assert known.strategies_of("alpha") == ("mean-rev",)
    assert known.accounts_of("beta") == ("acc-2",)


def test_what_nobody_registered_is_unknown_and_counts_as_live():
    known = Registry([account("acc-7", "nowhere")])
    assert known.fund_of("nobody") is None
    assert not known.is_paper("acc-7")
    assert not known.is_paper("acc-8")


def test_an_account_is_paper_only_in_a_paper_fund():
    assert Registry([fund("a", "paper"), account("x", "a", "paper")]).is_paper("x")
    assert not Registry([fund("a", "live"), account("x", "a", "paper")]).is_paper("x")
    assert not Registry([fund("a", "paper"), account("x", "a", "live")]).is_paper("x")


def test_what_a_canary_registers_does_not_exist():
    assert Registry([replace(fund("alpha"), environment="canary")]).funds == {}


def test_a_later_registration_replaces_and_says_whether_it_changed_anything():
    known = Registry(REGISTERED)
    assert not known.take(strategy())
    assert known.take(strategy("mean-rev", "beta", ("acc-2",)))
    assert known.fund_of("mean-rev") == "beta"
