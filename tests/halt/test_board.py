"""Does the board say what the desk holds, and name the way out of every halt?"""

from typing import get_args

import pytest
from halt_cases import (
    FIRM,
    FUND,
    NOON,
    SECOND,
    STRATEGY,
    acknowledged,
    ask,
    fact,
    new_desk,
    requested,
    resume_command,
)

from operations.events.halts import HaltReason
from operations.halt import board

pytestmark = pytest.mark.unit
LATER = NOON + 60 * SECOND


def desk_with(*halts):
    desk = new_desk()
    for place, halt in enumerate(halts, start=1):
        desk.take(fact(halt, place))
    return desk


def test_the_firm_comes_first_then_funds_then_strategies():
    desk = desk_with(
        requested("s", STRATEGY), requested("f", FUND), requested("x", FIRM), requested("s2")
    )
    levels = [each.level for each in board.rows(desk, LATER)]
    assert levels == ["FIRM_HALT", "FUND_HALT", "STRATEGY_HALT", "STRATEGY_HALT"]


def test_coverage_counts_only_who_blocks_and_names_the_others():
    desk = desk_with(requested("h1", FIRM))
    assert board.rows(desk, NOON)[0].covered.endswith("oms-2 has not answered yet")
    desk.hear(ask(acknowledged("h1", "oms-1"), "oms-1", 2))
    (row,) = board.rows(desk, LATER)
    assert row.covered == "1/2 OMS blocking, 4.1 ms; oms-2 says nothing"
    assert row.coverage == "PARTIAL"
    desk.hear(ask(acknowledged("h1", "oms-2", "REFUSED"), "oms-2", 3))
    assert "oms-2 refuses: without a reason" in board.rows(desk, LATER)[0].covered
    desk.hear(ask(acknowledged("h1", "oms-2"), "oms-2", 4))
    assert board.rows(desk, LATER)[0].covered == "2/2 OMS blocking, 4.1/4.1 ms"


def test_nobody_expected_is_not_the_same_as_all_is_well():
    desk = new_desk(frozenset())
    desk.take(fact(requested("h1", FIRM), 1))
    assert board.rows(desk, LATER)[0].covered == "no order system is known"


def test_what_was_only_heard_is_shown_without_a_place():
    desk = new_desk()
    desk.take(fact(requested("h1", FIRM)))
    assert [each.sequence for each in board.rows(desk, LATER)] == [None]


def test_a_request_waits_until_it_expires_or_a_newer_halt_overtakes_it():
    desk = desk_with(requested("h1", FIRM))
    desk.hear(ask(resume_command("h1"), "alice", 2))
    (waits,) = board.waiting(desk, LATER)
    assert (waits.resume_id, waits.asked_by, waits.reason) == ("r1", "alice", "checked")
    (row,) = board.rows(desk, LATER)
    assert board.how_to_lift(row).endswith("\nmts cmd cosign r1")
    assert board.waiting(desk, NOON + 601 * SECOND) == ()
    assert "resume firm" in board.how_to_lift(board.rows(desk, NOON + 601 * SECOND)[0])
    desk.take(fact(requested("h2", FIRM), 3))
    assert board.waiting(desk, LATER) == ()


def test_every_halt_names_the_command_that_lifts_it():
    desk = desk_with(requested("s", STRATEGY), requested("f", FUND), requested("x", FIRM))
    found = [board.how_to_lift(each) for each in board.rows(desk, LATER)]
    assert found == [
        "mts cmd resume firm, then another person cosigns",
        "mts cmd resume alpha",
        "mts cmd resume mean-rev",
    ]


@pytest.mark.parametrize("reason", get_args(HaltReason))
def test_every_reason_has_a_runbook_and_a_blind_firm_its_own(reason):
    desk = desk_with(requested("f", FUND, reason_code=reason), requested("x", FIRM))
    assert board.runbook(board.rows(desk, LATER)[1]) == f"docs/runbooks/{board.RUNBOOKS[reason]}.md"
    blind = desk_with(requested("x", FIRM, reason_code="STALE_DATA"))
    assert board.runbook(board.rows(blind, LATER)[0]) == "docs/runbooks/stream.md"


def test_the_newest_statistic_and_all_evidence_are_shown():
    first = requested("h1", FUND, event_id="one", reason_code="DRAWDOWN", statistic=11.0)
    second = requested("h1", FUND, event_id="two", reason_code="DRAWDOWN", statistic=14.0)
    (row,) = board.rows(desk_with(first, second), LATER)
    assert row.statistic == 14.0
