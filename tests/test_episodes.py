"""Is a verdict said once, again when it is worse or may be acted on, and over when it is over?"""

from decimal import Decimal

import pytest
from volatile_fund import CALM, WILD, history
from watching import FixedLayers, run, spoken, stored

from operations.adapters.warehouse import Warehouse
from operations.adapters.watch_engine import Engine
from operations.checks import Look, Proposal, Unit, Verdict
from operations.episodes import Judgement, advance
from operations.watchdogs.portfolio_vol_dd import NAME, WATCHDOG, VolatilityLimits

pytestmark = pytest.mark.unit
HALF = Proposal(
    kind="reduce_gross", scope="fund", scope_id="alpha", gross_at_most=Decimal(5), currency="USD",
    words="halve it",
)  # fmt: skip


def judged(number, mode="act", **verdict):
    """The verdict of a look; each look has an event of its own."""
    unit = Unit("fund", "alpha", "alpha")
    look = Look(number, number, number, f"cause-{number}", unit)
    made = Verdict(
        **{"state": "breached" if verdict.get("stage") else "ok", "title": "t"} | verdict
    )
    return Judgement(WATCHDOG, unit, look, made, mode, ())


def course(*verdicts):
    """What is said by one verdict after the other."""
    known, said = None, []
    for number, each in enumerate(verdicts, start=1):
        known, new = advance(known, judged(number, **each))
        said.append([name.rpartition(".")[2] for name, _ in spoken(new)])
    return known, said


def test_each_stage_is_said_once_and_an_end_once():
    one, two = {"stage": 1}, {"stage": 2, "proposal": HALF}
    known, said = course(one, one, two, one, two, {"recovered": True}, {"stage": 0}, one)
    wanted = [["raised"], [], ["updated", "requested"], [], [], ["cleared"], [], ["raised"]]
    assert said == wanted
    assert known is not None


def test_what_is_unknown_raises_nothing_and_ends_nothing():
    unknown = {"state": "unknown"}
    assert course(unknown, {"stage": 1}, unknown, {"stage": 1})[1] == [[], ["raised"], [], []]


def test_nothing_is_over_at_a_look_that_finds_it():
    """As with a limit to leave that somebody set above the limit to enter."""
    again = {"stage": 1, "recovered": True}
    known, said = course({"stage": 1}, again, again)
    assert said == [["raised"], [], []]
    assert known is not None


def test_what_was_observed_is_acted_on_as_soon_as_it_may_be_and_then_no_more():
    seen = {"stage": 1, "proposal": HALF}
    observed = seen | {"mode": "observe"}
    inside = {"stage": 0}
    known, said = course(observed, observed, inside, seen, seen, observed, seen)
    assert said == [["raised"], [], [], ["updated", "requested"], [], [], []]
    assert known.finding.mode == "act"
    assert known.since_ns == 1


def test_a_lower_stage_than_was_observed_is_what_is_acted_on_and_the_higher_one_when_it_comes():
    low, high = {"stage": 1, "proposal": HALF}, {"stage": 2, "proposal": HALF}
    said = course(high | {"mode": "observe"}, low, high, high)[1]
    assert said == [["raised"], ["updated", "requested"], ["updated", "requested"], []]


def wild(days=12):
    return stored(history([CALM] * 25 + [WILD] * days))


def watched(mode):
    layers = FixedLayers((WATCHDOG,), mode)
    return layers, Engine((WATCHDOG,), layers, Warehouse(WATCHDOG.tables))


def test_a_fund_that_is_found_while_observing_is_reduced_once_when_its_mode_is_act():
    events, (layers, one) = wild(), watched("observe")
    assert spoken(run(one, events[:-4])) == [(f"finding.{NAME}.raised", "alpha")]
    layers.mode = "act"
    said = run(one, events[-4:])
    assert [each for each, _ in spoken(said)] == [f"finding.{NAME}.updated", "action.requested"]
    assert said[1].data.episode == said[0].data.episode


@pytest.mark.parametrize("again", ["act", "observe"])
def test_what_is_switched_off_is_over_and_begins_anew_when_it_looks_again(again):
    events, (layers, one) = wild(), watched("act")
    first = run(one, events[:-6])
    layers.mode = "off"
    (over,) = run(one, events[-6:-4])
    assert over.subject.endswith(".cleared")
    assert over.data.episode == first[0].data.episode
    standing = one.standings[NAME, "alpha"]
    assert (standing.mode, standing.state, standing.episode) == ("off", "unknown", None)
    layers.mode = again
    said = run(one, events[-4:])
    assert said[0].subject.endswith(".raised")
    assert len(said) == (2 if again == "act" else 1)
    assert said[0].data.episode != first[0].data.episode


def test_a_limit_that_is_loosened_ends_what_it_lets_pass():
    events, (layers, one) = wild(), watched("act")
    run(one, events[:-4])
    layers.limits[NAME] = VolatilityLimits(enter_multiple=90.0, exit_multiple=80.0)
    assert [each for each, _ in spoken(run(one, events[-4:]))] == [f"finding.{NAME}.cleared"]
