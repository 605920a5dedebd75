"""When do losses of a fund halt, when must they not, and what survives bad values and lifts?"""

from decimal import Decimal

import pytest
from limit_events import MINUTE_NS, Feed, halting, kinds

from operations.clock import rfc3339
from operations.events.portfolio import NavMarked, NetAssetValue
from operations.halt.latch import Cause
from operations.halt.policy import judge

pytestmark = pytest.mark.unit


@pytest.fixture
def feed():
    """A fund whose day began at 100, with one strategy; drawdown limit 10 %, daily loss 4 %."""
    made = Feed()
    made.fund()
    made.strategy()
    made.nav("100")
    return made


def marks(feed, *values, **changes):
    return [event for value in values for event in feed.nav(value, **changes)]


def only_drawdown(feed):
    feed.fund(daily="100")


def test_a_daily_loss_at_the_limit_halts_the_fund_and_one_cent_less_does_not(feed):
    feed.said.clear()
    assert halting(marks(feed, "96.01", "96.01", "96.01", "96.01")) == []
    (raised,) = halting(marks(feed, "96", "96", "96"))
    assert kinds([raised]) == [("daily_loss", "raised")]
    found = raised.data
    assert (found.statistic, found.threshold, found.halt_level) == (4.0, 4.0, "fund")
    assert (raised.fund_id, raised.strategy_id) == ("alpha", None)
    assert (found.severity, found.mode) == ("critical", "act")
    assert found.evidence[0].rows == 3


def test_a_drawdown_at_the_limit_halts_each_strategy_of_the_fund(feed):
    only_drawdown(feed)
    feed.strategy("momentum")
    assert halting(marks(feed, "110", "99.01", "99.01", "99.01")) == []
    said = halting(marks(feed, "99", "99", "99"))
    assert [(each.strategy_id, each.data.halt_level) for each in said] == [
        ("mean-rev", "strategy"),
        ("momentum", "strategy"),
    ]
    assert {each.data.statistic for each in said} == {10.0}
    assert len({each.data.episode for each in said}) == 2


def test_three_marks_in_a_row_confirm_and_a_good_one_between_them_starts_anew(feed):
    assert halting(marks(feed, "95", "95", "99", "95", "95")) == []
    assert halting(marks(feed, "95"))


def test_breaches_of_two_days_are_not_added_up(feed):
    feed.fund(drawdown="100")
    marks(feed, "95", "95")
    feed.pass_minutes(24 * 60)
    assert halting(feed.nav("91", start="95")) == []


def test_the_final_mark_of_a_day_needs_no_confirmation_because_none_will_come(feed):
    assert halting(feed.nav("96.01", final=True)) == []
    feed.pass_minutes(24 * 60)
    (raised,) = halting(feed.nav("92.16", start="96", final=True))
    assert kinds([raised]) == [("daily_loss", "raised")]
    assert raised.data.evidence[0].rows == 1
    assert judge(raised, 1).halts


def test_twice_the_limit_needs_no_confirmation_and_a_cent_less_does(feed):
    assert halting(marks(feed, "92.01")) == []
    (raised,) = halting(marks(feed, "92"))
    assert raised.data.statistic == 8.0


def test_pitfall_4_a_deposit_is_no_gain_and_a_withdrawal_no_loss(feed):
    only_drawdown(feed)
    deposited = {"flow": Decimal(100)}
    assert halting(marks(feed, "200", **deposited)) == []
    assert halting(marks(feed, "181", "181", "181")) == []  # 9.5 % of 200
    assert halting(marks(feed, "81", flow=Decimal(-100))) == []
    assert halting(marks(feed, "81", "81", "81")) == []
    (raised,) = halting(marks(feed, "80", "80", "80"))
    assert raised.data.statistic == pytest.approx(100 * (1 - 0.905 * 80 / 81))


def test_a_deposit_does_not_make_the_days_loss_smaller(feed):
    assert halting(marks(feed, "95")) == []
    assert halting(marks(feed, "195", flow=Decimal(100))) == []
    (raised,) = halting(marks(feed, "195"))
    assert raised.data.statistic == 5.0


def test_money_that_came_before_the_day_began_is_in_its_start_already():
    feed = Feed()
    feed.fund()
    feed.nav("100")
    feed.pass_minutes(24 * 60)
    before = rfc3339(feed.at_ns - 20 * 60 * MINUTE_NS)
    feed.nav("200", start="200", flow=Decimal(100), flow_time=before)
    assert halting(marks(feed, "193", "193", "193", start="200")) == []
    assert halting(marks(feed, "192", "192", "192", start="200"))


@pytest.mark.parametrize(
    "bad",
    [
        {"nav": "0"},
        {"nav": "-50"},
        {"nav": "40", "currency": "EUR"},
        {"nav": "40", "ahead_minutes": 10},
        {"nav": "40", "flow": Decimal(60)},
    ],
    ids=["zero", "negative", "currency", "future", "impossible flow"],
)
def test_pitfall_11_bad_marks_neither_confirm_nor_hide_a_crash(feed, bad):
    fields = dict(bad)
    value, ahead = fields.pop("nav"), fields.pop("ahead_minutes", None)

    def spoil():
        as_of = feed.at_ns + ahead * MINUTE_NS if ahead else None
        return feed.nav(value, as_of=as_of, **fields)

    assert halting(feed.nav("95") + spoil() + spoil() + feed.nav("95") + spoil()) == []
    (raised,) = halting(feed.nav("95"))
    assert raised.data.evidence[0].rows == 3
    assert raised.data.statistic == 5.0


def test_pitfall_11_one_phantom_mark_halts_nothing_and_is_no_new_highest_value(feed):
    assert halting(marks(feed, "94", "100", "95", "95", "100")) == []


def test_pitfall_12_an_unreadable_value_disables_nothing_and_is_said(feed):
    marks(feed, "95", "95")
    feed.sequence += 1
    cause = Cause("nav:9", feed.sequence, feed.at_ns, "", "live")
    payload = b'{"fund_id":"alpha","data":{"nav":"NaN"}}'
    said = feed.triggers.unreadable(
        "mts.v1.portfolio.nav.marked", payload, cause, "nav is not finite"
    )
    assert kinds(said) == [("limits", "raised")]
    assert said[0].data.halt_level is None
    assert "nav is not finite" in said[0].data.title
    assert halting(marks(feed, "95"))


def test_values_that_stay_unknown_become_a_finding_that_may_halt(feed):
    first = feed.nav("0")
    assert kinds(first) == [("limits", "raised")]
    said = []
    for _ in range(4):
        said += feed.nav("0")
    assert said == []
    (stale,) = feed.nav("0")
    assert kinds([stale]) == [("limits", "updated")]
    assert (stale.data.halt_level, stale.data.statistic) == ("fund", None)
    assert stale.data.episode == first[0].data.episode
    assert feed.nav("0") == []
    assert marks(feed, "100", "100") == []
    assert kinds(marks(feed, "100")) == [("limits", "cleared")]


def test_a_value_that_never_moves_on_is_stale_too(feed):
    stuck = feed.at_ns
    said = [event for _ in range(6) for event in feed.nav("100", as_of=stuck)]
    assert kinds(said) == [("limits", "raised")] * bool(said)
    feed.nav("100", as_of=stuck)
    assert any(check == "limits" for check, _ in kinds(feed.said))


def test_marks_that_come_late_or_twice_are_no_evidence(feed):
    old = feed.at_ns
    feed.nav("99")
    assert halting(marks(feed, "90", "90", "90", as_of=old)) == []
    at = feed.at_ns + MINUTE_NS
    assert halting(feed.nav("95", as_of=at) + feed.nav("95", as_of=at)) == []


def test_warnings_come_at_half_three_quarters_and_nine_tenths_once_a_day(feed):
    said = marks(feed, "98", "98", "98", "98")
    assert kinds(said) == [("daily_loss", "raised")]
    assert "50 %" in said[0].data.title
    assert (said[0].data.severity, said[0].data.halt_level) == ("warning", None)
    assert (said[0].data.statistic, said[0].data.threshold) == (2.0, 2.0)
    said = marks(feed, "97", "97", "97", "96.4", "96.4", "96.4", "99", "96.4", "96.4", "96.4")
    assert kinds(said) == [("daily_loss", "updated")] * 2
    assert ["75 %" in said[0].data.title, "90 %" in said[1].data.title] == [True, True]
    feed.pass_minutes(24 * 60)
    assert kinds(feed.nav("96.4", start="96.4")) == [("daily_loss", "cleared")]


def test_one_bad_mark_warns_of_nothing(feed):
    assert marks(feed, "97", "100", "97", "100", "97", "97", "100") == []


def test_a_good_mark_between_two_drawdowns_starts_the_count_anew(feed):
    only_drawdown(feed)
    assert halting(marks(feed, "89", "100", "89", "100", "89", "89", "100")) == []


def test_a_limit_that_changes_counts_from_the_next_mark_on(feed):
    assert halting(marks(feed, "99", "97", "97", "97")) == []
    feed.fund(daily="3", drawdown="2")
    said = halting(marks(feed, "97", "97", "97"))
    assert [check for check, _ in kinds(said)] == ["drawdown", "daily_loss"]


def test_an_end_of_day_that_changes_counts_from_the_next_mark_on(feed):
    marks(feed, "95", "95")
    feed.fund(day_end_time="10:03")  # the marks so far were of the day that ends then
    feed.pass_minutes(1)
    assert halting(feed.nav("91", start="95")) == []


def test_a_day_roll_neither_lifts_nor_clears_a_daily_loss(feed):
    marks(feed, "95", "95", "95")
    feed.said.clear()
    feed.pass_minutes(24 * 60)
    marks(feed, "95", "96", "97", start="95")
    assert ("daily_loss", "cleared") not in [
        kind for kind, event in zip(kinds(feed.said), feed.said, strict=True)
        if event.data.halt_level
    ]  # fmt: skip
    assert [each.check for each in feed.triggers.raised()] == ["daily_loss"]


def test_the_days_loss_is_counted_from_the_start_of_the_new_day(feed):
    marks(feed, "97")
    feed.pass_minutes(24 * 60)
    assert halting(marks(feed, "95", "95", "95", start="97")) == []
    assert halting(marks(feed, "93.12", "93.12", "93.12", start="97"))


def test_a_start_of_day_that_is_lowered_during_the_day_erases_no_loss(feed):
    assert halting(marks(feed, "95", "95", "95", start="95"))


def test_without_a_good_start_of_day_the_drawdown_is_judged_all_the_same(feed):
    feed.pass_minutes(24 * 60)
    said = marks(feed, "89", "89", "89", start="0")
    assert [check for check, _ in kinds(halting(said))] == ["drawdown"]
    assert any("start of the day is 0" in event.data.title for event in said)


def test_an_episode_is_said_again_only_when_it_is_worse_by_a_tenth_of_the_limit(feed):
    marks(feed, "96", "96", "96")
    assert halting(marks(feed, "95.7", "95.7", "95.7", "98", "95.7")) == []
    (again,) = halting(marks(feed, "95.6", "95.6", "95.6"))
    assert kinds([again]) == [("daily_loss", "updated")]


def test_pitfall_5_a_cleared_halt_latches_again_on_newer_evidence_only(feed):
    first = halting(marks(feed, "95", "95", "95"))[0]
    feed.halted("daily_loss", "alpha")
    assert kinds(feed.lifted("CLEARED")) == [("daily_loss", "cleared")]
    assert halting(marks(feed, "95", "95")) == []
    (again,) = halting(marks(feed, "95"))
    assert kinds([again]) == [("daily_loss", "raised")]
    assert again.data.episode != first.data.episode


def test_a_rebaselined_drawdown_counts_from_the_value_at_the_lift(feed):
    only_drawdown(feed)
    marks(feed, "89", "89", "89")
    feed.halted("drawdown", "mean-rev")
    assert kinds(feed.lifted("REBASELINED")) == [("drawdown", "cleared")]
    assert halting(marks(feed, "89", "85", "85", "85")) == []
    (again,) = halting(marks(feed, "80.1", "80.1", "80.1"))
    assert again.data.statistic == 10.0


def test_rebaselining_one_strategy_leaves_the_others_as_they_were(feed):
    only_drawdown(feed)
    feed.strategy("momentum")
    marks(feed, "91")
    marks(feed, "89", "89", "89")
    feed.halted("drawdown", "mean-rev")
    feed.lifted("REBASELINED")
    raised = [each.check for each in feed.triggers.raised()]
    assert raised == ["drawdown"]
    assert feed.triggers.funds["alpha"].trackers["momentum"].latch.episode


def test_rebaselining_does_not_erase_the_days_loss(feed):
    marks(feed, "95", "95", "95")
    feed.halted("daily_loss", "alpha")
    feed.lifted("REBASELINED")
    (again,) = halting(marks(feed, "95", "95", "95"))
    assert again.data.statistic == 5.0


def test_a_muted_limit_is_silent_until_then_and_latches_afterwards(feed):
    feed.fund(drawdown="100")
    marks(feed, "95", "95", "95")
    feed.halted("daily_loss", "alpha")
    until = feed.at_ns + 11 * MINUTE_NS
    feed.lifted("MUTED", muted_until=rfc3339(until))
    assert halting(marks(feed, *["80"] * 9)) == []
    assert feed.at_ns < until
    feed.pass_minutes(1)
    assert halting(feed.nav("80"))
    assert feed.at_ns == until


def test_a_mute_without_an_end_mutes_nothing(feed):
    marks(feed, "95", "95", "95")
    feed.halted("daily_loss", "alpha")
    feed.lifted("MUTED")
    assert halting(marks(feed, "95", "95", "95"))


def test_lifting_the_halt_of_something_else_lets_nothing_go(feed):
    marks(feed, "95", "95", "95")
    feed.halted("daily_loss", "beta", "h-2")
    feed.halted("drawdown", "mean-rev", "h-3")
    assert feed.lifted("CLEARED", "h-2") == feed.lifted("CLEARED", "h-3") == []
    assert feed.lifted("CLEARED", "h-unknown") == []
    assert [each.check for each in feed.triggers.raised()] == ["daily_loss"]


def test_a_fund_without_a_limit_is_said_once_and_no_more_when_it_has_one():
    feed = Feed()
    said = feed.fund(drawdown=None, daily=None)
    assert sorted(kinds(said)) == [("daily_loss", "raised"), ("drawdown", "raised")]
    assert all("has no limit" in each.data.title for each in said)
    assert feed.fund(drawdown=None, daily=None) == []
    assert halting(marks(feed, "100", "10", "10", "10")) == []
    assert kinds(feed.fund(drawdown=None)) == [("daily_loss", "cleared")]


@pytest.mark.parametrize("limit", ["0", "-4", "100.01"])
def test_a_limit_that_nothing_can_reach_or_everything_does_is_no_limit(limit):
    feed = Feed()
    said = feed.fund(daily=limit)
    assert kinds(said) == [("daily_loss", "raised")]
    assert "must be above 0" in said[0].data.title
    assert halting(marks(feed, "100", "100", "100", "100")) == []


def test_a_fund_that_nobody_registered_is_said_once():
    feed = Feed()
    said = marks(feed, "100", "50", "50", "50")
    assert kinds(said) == [("limits", "raised")]
    assert "not registered" in said[0].data.title
    assert ("limits", "cleared") in kinds(feed.fund())


def test_a_highest_value_from_before_the_registration_counts():
    feed = Feed()
    marks(feed, "200", start="200")
    feed.fund(daily="100")
    feed.strategy()
    assert halting(marks(feed, "180", "180", "180", start="180"))


def test_pitfall_13_one_fund_never_halts_another(feed):
    feed.fund("beta")
    feed.nav("100", fund_id="beta")
    said = marks(feed, "50", "50", "50", fund_id="beta")
    assert {event.fund_id for event in said} == {"beta"}


def test_drills_and_canaries_lose_nothing(feed):
    for _ in range(4):
        feed.pass_minutes(1)
        data = NetAssetValue(
            as_of=rfc3339(feed.at_ns), nav=Decimal(1), currency="USD", start_of_day_nav=Decimal(100)
        )
        assert feed.put(NavMarked, "alpha", data, fund_id="alpha", environment="canary") == []


def test_an_unknown_zone_is_said_and_the_day_ends_at_midnight_utc():
    feed = Feed()
    said = feed.fund(day_end_zone="Mars/Olympus")
    assert kinds(said) == [("daily_loss", "raised")]
    assert "Mars/Olympus" in said[0].data.title
    feed.nav("100")
    assert halting(marks(feed, "95", "95", "95"))
