"""Does a finding stop exactly what its row of the table allows, on exactly enough evidence?"""

import pytest
from halt_cases import FUND, STRATEGY, changed, finding
from hypothesis import given
from hypothesis import strategies as st

from operations.events.findings import FindingCleared, FindingUpdated, Parameter
from operations.halt import policy
from operations.halt.state import FIRM, Scope

pytestmark = pytest.mark.unit


def drift(**data):
    return finding("drift_zscore", scope=STRATEGY, **({"threshold": -2.0} | data))


def test_a_finding_that_observes_or_asks_for_nothing_stops_nothing():
    assert not policy.judge(finding(mode="observe"), 9).halts
    assert not policy.judge(finding(halt_level=None), 9).halts
    assert not policy.judge(finding(kind=FindingCleared), 9).halts


def test_a_check_that_the_table_does_not_name_stops_nothing():
    ruling = policy.judge(finding("vpin"), 9)
    assert not ruling.halts
    assert ruling.refusal == "the check vpin may stop nothing"


@pytest.mark.parametrize(
    ("statistic", "halts"), [(9.999, False), (10.0, True), (10.001, True), (-20.0, False)]
)
def test_a_loss_at_its_limit_is_a_breach(statistic, halts):
    for check in ("drawdown", "daily_loss"):
        assert policy.judge(finding(check, statistic=statistic), 0).halts is halts


@pytest.mark.parametrize(
    ("statistic", "halts"), [(-2.0, False), (-2.0000001, True), (-1.9, False), (5.0, False)]
)
def test_a_drift_is_a_breach_strictly_below_its_limit(statistic, halts):
    assert policy.judge(drift(statistic=statistic), 8).halts is halts
    assert not policy.judge(drift(statistic=statistic), 7).halts


def test_one_bad_tick_stops_nothing_and_three_in_a_row_do():
    """Pitfall 11: one bad tick halts."""
    alone = finding(parameters=())
    assert policy.judge(alone, 1).waits == "seen 1 of 3 times in a row"
    assert not policy.judge(alone, 2).halts
    assert policy.judge(alone, 3).halts


def test_what_the_check_itself_counted_is_enough():
    assert policy.judge(finding(), 1).halts
    for value in ("2", "-3", "many", "", "3.0"):
        stated = finding(parameters=(Parameter(name="confirmations", value=value),))
        assert not policy.judge(stated, 1).halts


@pytest.mark.parametrize(("statistic", "halts"), [(19.9, False), (20.0, True), (80.0, True)])
def test_a_crash_far_beyond_the_limit_waits_for_no_second_look(statistic, halts):
    """Pitfall 11: the cure against bad ticks suppresses a real halt."""
    assert policy.judge(finding(statistic=statistic, parameters=()), 1).halts is halts
    for drifted in (-2.9, -2.9000001):
        ruling = policy.judge(drift(statistic=drifted, parameters=()), 1)
        assert ruling.halts is (drifted < -2.9)


def test_a_multiple_of_a_limit_of_zero_means_nothing():
    assert not policy.judge(finding(threshold=0.0, statistic=5.0, parameters=()), 1).halts
    assert policy.judge(finding(threshold=0.0, statistic=5.0, parameters=()), 3).halts


def test_what_is_unknown_is_neither_a_breach_nor_its_end():
    """Pitfalls 11 and 12: a degraded tick resets the streak; NaN disables the limit for good."""
    for missing in ({"statistic": None}, {"threshold": None}):
        assert policy.seen(finding(**missing)) == "unknown"
    assert policy.streak(["breach", "unknown", "breach", "unknown", "breach"]) == 3
    assert policy.streak(["breach", "unknown", "unknown"]) == 1
    assert policy.streak(["unknown"] * 9) == 0


def test_a_statistic_within_its_limit_and_a_cleared_finding_end_a_streak():
    assert policy.seen(finding(statistic=1.0)) == "fine"
    assert policy.seen(finding(kind=FindingCleared)) == "fine"
    assert policy.streak(["breach", "hard", "fine", "breach"]) == 1


def test_a_check_without_its_figure_only_reduces_and_only_when_it_asks():
    ruling = policy.judge(finding(statistic=None), 0)
    assert (ruling.reason_code, ruling.mode, ruling.halts) == ("STALE_DATA", "REDUCE_ONLY", True)
    assert not policy.judge(finding(statistic=None, halt_level=None), 9).halts
    assert not policy.judge(finding("news_aggregate", scope=FIRM, statistic=None), 9).halts


def test_a_check_of_stale_data_needs_no_figure():
    ruling = policy.judge(finding("limits", statistic=None, threshold=None, parameters=()), 1)
    assert (ruling.reason_code, ruling.mode, ruling.halts) == ("STALE_DATA", "REDUCE_ONLY", True)


@pytest.mark.parametrize("wanted", ["strategy", "fund", "firm"])
def test_a_figure_of_one_strategy_never_stops_a_fund(wanted):
    """Pitfall 13: a small signal halts the whole book."""
    for check in policy.RULES:
        event = finding(check, scope=STRATEGY, halt_level=wanted, statistic=-99.0, threshold=-1.0)
        event = changed(event, fund_id="alpha")
        assert policy.judge(event, 9).scope in (STRATEGY, None)


@pytest.mark.parametrize(
    ("check", "wanted", "scope"),
    [
        ("drawdown", "firm", FUND),
        ("daily_loss", "firm", FUND),
        ("limits", "firm", FUND),
        ("news_aggregate", "firm", FUND),
        ("drift_zscore", "fund", None),
    ],
)
def test_nothing_is_stopped_above_the_highest_level_of_its_row(check, wanted, scope):
    assert policy.judge(finding(check, halt_level=wanted), 9).scope == scope


def test_news_about_everything_stops_the_firm():
    ruling = policy.judge(finding("news_aggregate", scope=FIRM), 9)
    assert (ruling.scope, ruling.reason_code, ruling.halts) == (FIRM, "NEWS_SPIKE", True)


def test_a_finding_that_does_not_say_what_it_is_about_is_refused():
    ruling = policy.judge(finding(scope=FIRM, halt_level="fund"), 9)
    assert not ruling.halts
    assert ruling.refusal == "the finding names no fund to stop"


def test_an_order_system_stops_itself_and_nothing_else():
    own = Scope("STRATEGY_HALT", "oms.oms-1")
    for level in ("strategy", "fund", "firm"):
        ruling = policy.judge(finding("oms_oms-1", scope=own, halt_level=level), 0)
        assert (ruling.scope, ruling.mode, ruling.halts) == (own, "BLOCK_ALL", True)
    for scope in (STRATEGY, FUND, FIRM, Scope("STRATEGY_HALT", "oms.oms-2")):
        ruling = policy.judge(finding("oms_oms-1", scope=scope), 9)
        assert not ruling.halts
        assert "may stop the strategy oms.oms-1 only" in ruling.refusal


def test_worse_is_further_beyond_the_limit():
    assert policy.worse(finding(statistic=12.1).data, 12.0)
    assert not policy.worse(finding(statistic=12.0).data, 12.0)
    assert policy.worse(drift(statistic=-3.1).data, -3.0)
    assert not policy.worse(drift(statistic=-2.9).data, -3.0)
    assert not policy.worse(finding(statistic=None).data, 12.0)
    assert policy.worse(finding(statistic=12.0).data, None)
    assert not policy.worse(finding("vpin", statistic=99.0).data, None)


def test_ids_differ_where_the_halts_do():
    ids = [
        policy.halt_id_of("drawdown", FUND),
        policy.halt_id_of("daily_loss", FUND),
        policy.halt_id_of("drawdown", STRATEGY),
        policy.halt_id_of("drawdown", Scope("STRATEGY_HALT", "alpha")),
        policy.halt_id_of("drawdown", FUND, after="r1"),
        policy.halt_id_of("drawdown", FUND, episode="r1"),
    ]
    assert len(set(ids)) == len(ids)


@given(
    st.sampled_from(sorted(policy.RULES)),
    st.sampled_from([STRATEGY, FUND, FIRM]),
    st.sampled_from(["strategy", "fund", "firm", None]),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.integers(0, 20),
)
def test_any_finding_gets_a_ruling_within_its_row(check, scope, level, statistic, threshold, seen):
    event = finding(
        check,
        kind=FindingUpdated,
        scope=scope,
        halt_level=level,
        statistic=statistic,
        threshold=threshold,
        parameters=(),
    )
    ruling, rule = policy.judge(event, seen), policy.RULES[check]
    if ruling.halts:
        assert level is not None
        assert policy.HEIGHT[ruling.scope.level] <= policy.HEIGHT[rule.highest]
        assert policy.HEIGHT[ruling.scope.level] <= policy.HEIGHT[scope.level]
        assert policy.seen(event) in ("breach", "hard") or ruling.mode == "REDUCE_ONLY"
