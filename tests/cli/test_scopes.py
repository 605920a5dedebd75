"""Does a name stop what was meant, and never an account that is not paper?"""

import pytest

from operations.cli import asking, scopes, tables
from operations.errors import Rejected
from operations.events.registry import (
    Account,
    AccountRegistered,
    Fund,
    FundRegistered,
    Strategy,
    StrategyRegistered,
)
from operations.halt.registry import Registry
from operations.halt.state import FIRM, Scope

pytestmark = pytest.mark.unit
STRATEGY, FUND = Scope("STRATEGY_HALT", "carry"), Scope("FUND_HALT", "carry")


def fund(fund_id, trading):
    data = Fund(
        name=fund_id,
        base_currency="USD",
        trading=trading,
        day_end_time="17:00",
        day_end_zone="UTC",
    )
    return FundRegistered(subject_id=fund_id, data=data)


def account(account_id, fund_id, trading):
    return AccountRegistered(subject_id=account_id, data=Account(fund_id=fund_id, trading=trading))


def strategy(name, fund_id):
    data = Strategy(name=name, fund_id=fund_id, account_ids=())
    return StrategyRegistered(subject_id=name, data=data)


KNOWN = Registry(
    (
        fund("live-fund", "live"),
        fund("paper-fund", "paper"),
        fund("carry", "paper"),
        strategy("carry", "live-fund"),
        strategy("trend", "paper-fund"),
        account("l1", "live-fund", "live"),
        account("odd", "live-fund", "paper"),
        account("p1", "paper-fund", "paper"),
        account("p2", "paper-fund", "paper"),
        account("wrong", "paper-fund", "live"),
    )
)


@pytest.mark.parametrize(
    ("name", "level", "found"),
    [
        ("", None, (FIRM,)),
        ("firm", None, (FIRM,)),
        ("", "firm", (FIRM,)),
        ("trend", None, (Scope("STRATEGY_HALT", "trend"),)),
        ("paper-fund", None, (Scope("FUND_HALT", "paper-fund"),)),
        ("carry", None, (STRATEGY, FUND)),
        ("carry", "fund", (FUND,)),
        ("unknown", "strategy", (Scope("STRATEGY_HALT", "unknown"),)),
    ],
)
def test_a_name_means_what_is_registered_under_it(name, level, found):
    assert scopes.resolve(name, level, KNOWN) == found


def test_where_nobody_can_look_a_name_stops_both():
    assert scopes.resolve("carry", None, None) == (STRATEGY, FUND)
    assert scopes.resolve("", None, None) == (FIRM,)


@pytest.mark.parametrize(("name", "level"), [("nonsense", None), ("", "fund"), ("x", "firm")])
def test_a_name_that_means_nothing_is_refused(name, level):
    with pytest.raises(Rejected, match="nothing was done"):
        scopes.resolve(name, level, KNOWN)


def test_live_is_what_is_not_known_to_be_paper():
    assert scopes.environment(FIRM, KNOWN) == "live"
    assert scopes.environment(STRATEGY, KNOWN) == "live"
    assert scopes.environment(FUND, KNOWN) == "paper"
    assert scopes.environment(FUND, None) == "live"
    assert scopes.environment(Scope("STRATEGY_HALT", "unknown"), KNOWN) == "live"


def test_the_prompt_names_live_funds_first():
    assert scopes.trading((FIRM,), KNOWN) == "LIVE: live-fund; PAPER: carry, paper-fund"
    assert scopes.trading((Scope("FUND_HALT", "x"),), KNOWN) == "UNKNOWN: x"
    assert "take it as live" in scopes.trading((FIRM,), None)


def test_only_accounts_that_are_paper_in_a_paper_fund_are_flattened():
    assert scopes.paper_accounts(KNOWN, ()) == {"paper-fund": ("p1", "p2")}
    assert scopes.paper_accounts(KNOWN, ("p2",)) == {"paper-fund": ("p2",)}
    for wrong in ("l1", "odd", "wrong", "nobody"):
        with pytest.raises(Rejected, match="only paper accounts are flattened"):
            scopes.paper_accounts(KNOWN, ("p1", wrong))
    with pytest.raises(Rejected, match="no paper account"):
        scopes.paper_accounts(Registry(), ())


def test_a_word_that_was_given_is_compared_as_it_is():
    assert asking.confirmed("HALT", "HALT", "")
    for given in ("halt", "HALT ", "CANCEL"):
        assert not asking.confirmed("HALT", given, "")
    assert asking.reason_of(" because ", needed=True) == "because"
    for nothing in (None, "", "  "):
        with pytest.raises(Rejected, match="a reason is needed"):
            asking.reason_of(nothing, needed=True)
    assert asking.reason_of(None, needed=False) == ""


def test_nothing_in_a_table_acts_on_the_terminal(capsys):
    tables.write_table([{"a_name": "x\x1b[2Jy", "b": None, "c": ("one", "two")}])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert shown.splitlines()[0].split() == ["a", "name", "b", "c"]
    assert "one, two" in shown
