"""Is a fund that leaves the envelope of its backtest told from one that stays inside?"""

import math
import random
from hashlib import sha256

import numpy as np
import pytest
from recut import said_however_cut
from reduced import answered, asked, released
from tested_fund import DAYS, DEVIATION, HORIZON, MEAN, backtest, live
from volatile_fund import at, fund, mark
from watching import DAY, START_NS, engine, run, spoken, stored

from operations.checks import Look, Unit
from operations.statistics.bands import distance, growth_envelope, moments_sample
from operations.watchdogs import feeds
from operations.watchdogs.predictive_health import (
    NAME,
    WATCHDOG,
    Day,
    HealthLimits,
    inspect,
    spread,
    stretched,
)

pytestmark = pytest.mark.unit
RAISED, CLEARED = (f"finding.{NAME}.raised", "alpha"), (f"finding.{NAME}.cleared", "alpha")


def drawn(days, mean=MEAN, deviation=DEVIATION):
    draw = random.Random(5)
    return [draw.gauss(mean, deviation) for _ in range(days)]


def standing(*events, **options):
    one = engine(WATCHDOG, **options)
    run(one, stored(events))
    return one.standings[NAME, "alpha"]


def test_a_fund_like_its_backtest_is_never_spoken_of():
    events = [fund(), backtest(1), *live(drawn(HORIZON))]
    assert run(engine(WATCHDOG), stored(events)) == []
    found = standing(*events)
    assert (found.state, found.samples) == ("ok", HORIZON)


def test_a_fund_that_falls_out_of_its_envelope_is_said_once_until_it_is_well_inside(tmp_path):
    falls = [*drawn(6), *([-0.04] * 18), *([0.03] * 14)]
    events = [fund(), backtest(1), *live(falls)]
    late = events.pop(9)
    events[12:12] = [late, events[5]]
    said = said_however_cut(WATCHDOG, stored(events), tmp_path)
    assert spoken(said) == [RAISED, CLEARED]
    raised = said[0].data
    assert raised.severity == "warning"
    assert raised.statistic < raised.threshold < 1
    assert "below" in raised.title
    assert "b1" in raised.title


def test_a_fund_that_does_too_well_is_a_warning_and_asks_where_the_error_is():
    said = run(engine(WATCHDOG), stored([fund(), backtest(1), *live([0.04] * 10)]))
    assert spoken(said) == [RAISED]
    assert said[0].data.statistic > said[0].data.threshold > 1
    assert "price" in said[0].data.details
    assert said[0].data.would_have is None


def test_the_canary_is_found():
    said = run(engine(WATCHDOG), stored(WATCHDOG.canary(START_NS, "01JDR")))
    assert spoken(said) == [(f"finding.{NAME}.raised", "canary-01JDR")]


def test_the_envelope_is_that_of_the_returns_or_of_their_moments_and_one_for_each_baseline():
    returns = tuple(drawn(80))
    moments = moments_sample(MEAN, DEVIATION, DAYS)
    for fields, sample, block in (({}, moments, 1), ({"daily_returns": returns}, returns, None)):
        one = engine(WATCHDOG)
        one.take(stored([backtest(1, **fields), backtest(2, **fields), backtest(3, "b2")]))
        rows = one.warehouse._database.execute("SELECT lower FROM growth_envelope").fetchall()
        assert len(rows) == 2
        lower = growth_envelope(sample, HORIZON, 0.99, mean_block=block, seed=seed("b1")).lower
        assert rows[0][0] == np.log(lower).tolist()


def seed(baseline_id):
    return int.from_bytes(sha256(baseline_id.encode()).digest()[:8])


WELL = list(live(drawn(5)))


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([fund(), *WELL], "no published backtest"),
        ([fund(), backtest(1, net_of_costs=False), *WELL], "before costs"),
        ([fund(), backtest(1, horizon_days=0), *WELL], "its horizon is 0 days"),
        ([fund(), backtest(1, horizon_days=1001), *WELL], "its horizon is 1001 days"),
        ([fund(), backtest(1, days=None), *WELL], "no usable returns"),
        ([fund(), backtest(1, days=59), *WELL], "no usable returns"),
        ([fund(), backtest(1, standard_deviation=0.0), *WELL], "no usable returns"),
        ([fund(), backtest(1, daily_returns=(0.01,) * 70), *WELL], "no usable returns"),
        ([fund(), backtest(1), backtest(2, go_live=at(2)[:10]), *WELL], "2 contents"),
        ([fund(), backtest(1), *WELL[:3], *WELL[4:], mark(12, 100, 900)], "is missing"),
        ([fund(), backtest(1), *WELL, mark(7, 0, 900)], "cannot be right"),
        ([fund(), backtest(1), *WELL, mark(7, 100, 900, currency="EUR")], "cannot be right"),
        ([fund(), backtest(1), *WELL[2:]], "no settled value at its go-live"),
        ([fund(), backtest(1, go_live=at(30)[:10]), *WELL], "it is day 0 since"),
        ([fund(), backtest(1, horizon_days=4), *WELL], "it is day 5 since"),
    ],
)
def test_what_is_missing_is_unknown_and_says_what(events, words):
    found = standing(*events)
    assert found.state == "unknown"
    assert words in found.title


def test_a_fund_that_is_valued_no_more_is_unknown():
    last = stored([fund(), backtest(1), *WELL])
    one = engine(WATCHDOG)
    run(one, last)
    for days, state in ((11, "ok"), (12, "unknown")):
        later = [each._replace(at_ns=START_NS + days * DAY + DAY // 4) for each in last[:1]]
        one.take([later[0]._replace(sequence=100 + days)])
        assert one.standings[NAME, "alpha"].state == state


def test_a_day_that_was_missing_counts_when_its_mark_comes():
    missing = [fund(), backtest(1), *WELL[:2], mark(12, 101, 900)]
    assert standing(*missing).state == "unknown"
    between = [mark(day, 100, 900 + day) for day in range(3, 12)]
    assert standing(*missing, *between, mark(13, 101, 950)).state == "ok"


def test_money_that_comes_and_goes_is_no_growth():
    doubled = mark(7, 200, 900, flow=100)
    steady = [fund(), backtest(1), *live([0.0] * 5), doubled]
    assert standing(*steady).statistic == 1


@pytest.mark.parametrize(("zone", "days"), [("UTC", 3), ("America/New_York", 2)])
def test_the_anchor_is_the_last_value_before_go_live_in_the_zone_of_the_fund(zone, days):
    """The first day in New York begins five hours after that in London."""
    marks = [mark(day + 0.125, 100, 90 + day) for day in range(4)]
    found = standing(fund(day_end_zone=zone), backtest(1), *marks)
    assert found.samples == days


def test_a_fund_without_a_value_before_its_first_day_begins_at_the_end_of_that_day():
    assert standing(fund(), backtest(1), *WELL[1:]).samples == 4


def test_another_baseline_moves_the_anchor_and_is_named():
    falls = [fund(), backtest(1), *live([-0.04] * 8)]
    again = [backtest(2, "b2", go_live=at(9)[:10]), mark(10, 72, 900)]
    said = run(engine(WATCHDOG), stored([*falls, *again]))
    assert spoken(said) == [RAISED, CLEARED]
    assert "of backtest b2" in said[1].data.title
    assert f"go-live {at(9)[:10]}" in said[1].data.title


def test_what_we_reduced_ourselves_is_counted_at_full_size():
    request = asked(2, "reduce_gross", "fund", "alpha", 0.5)
    begun, ended = answered("ACKNOWLEDGED", 3, 3), released(5, 4)
    returns = list(live([0.01] * 6))
    full = standing(fund(), backtest(1), *returns)
    half = standing(fund(), backtest(1), request, begun, *returns)
    ended = standing(fund(), backtest(1), request, begun, ended, *returns)
    assert full.statistic == pytest.approx(1.01**6)
    assert half.statistic == pytest.approx(1.01**2 * 1.02**4)
    assert ended.statistic == pytest.approx(1.01**4 * 1.02**2)


def test_a_reduction_that_every_order_system_refused_in_the_end_changed_nothing():
    request = asked(2, "reduce_gross", "fund", "alpha", 0.5)
    begun, refused = answered("ACKNOWLEDGED", 1, 3), answered("REFUSED", 1.5, 4)
    other = answered("COMPLETED", 4, 5, oms_id="oms-2")
    returns = list(live([0.01] * 6))
    full = standing(fund(), backtest(1), request, begun, refused, *returns)
    late = standing(fund(), backtest(1), request, begun, refused, other, *returns)
    assert full.statistic == pytest.approx(1.01**6)
    assert late.statistic == pytest.approx(1.01**3 * 1.02**3)


def test_a_reduction_that_nobody_acknowledged_changed_nothing():
    request = asked(2, "reduce_gross", "fund", "alpha", 0.5)
    others = asked(3, "reduce_gross", "fund", "beta", 0.5, "a2")
    events = [fund(), backtest(1), request, others, answered("ACKNOWLEDGED", 1, 4, "a2")]
    assert standing(*events, *live([0.01] * 6)).statistic == pytest.approx(1.01**6)


def two_days(nav, lower, upper):
    row = Day(
        1, 1, START_NS + DAY, 100.0, 0.0, "USD", None, None, "UTC", "b1", at(1)[:10], 1, None,
        None, [math.log(lower)], [math.log(upper)], 0.01,
    )  # fmt: skip
    return [row, row._replace(as_of_ns=START_NS + 2 * DAY, nav=nav)]


LOOK = Look(1, START_NS + 2 * DAY, 0, "e", Unit("fund", "alpha", "alpha"))


@pytest.mark.parametrize("nav", [88, 112])
def test_on_the_edge_is_inside_and_beyond_it_is_outside(nav):
    way = distance(math.log1p(nav / 100 - 1), math.log(0.9), math.log(1.1))
    for limit, stage in ((way, 0), (math.nextafter(way, 0), 1), (math.nextafter(way, 9), 0)):
        limits = HealthLimits(enter_multiple=limit)
        assert inspect(two_days(nav, 0.9, 1.1), LOOK, limits, None).stage == stage


def test_a_finding_is_over_within_its_exit_and_not_at_it():
    one = engine(WATCHDOG)
    run(one, stored([fund(), backtest(1), *live([-0.04] * 8)]))
    (known,) = one._episodes.values()
    way = distance(math.log1p(95 / 100 - 1), math.log(0.8), math.log(1.25))
    for exit_at, over in ((way, False), (math.nextafter(way, 9), True)):
        limits = HealthLimits(enter_multiple=9, exit_multiple=exit_at)
        assert inspect(two_days(95, 0.8, 1.25), LOOK, limits, known).recovered is over


def test_the_envelope_is_wider_by_as_much_as_the_fund_varies_more_than_its_backtest():
    assert stretched(-0.1, 0.3, 0.5) == (pytest.approx(-0.1), pytest.approx(0.3))
    assert stretched(-0.1, 0.3, 2.0) == (pytest.approx(-0.3), pytest.approx(0.5))
    assert spread([0.5]) == 0
    assert spread([0.01, -0.01]) == pytest.approx(0.01 * math.sqrt(2))
    wild = [0.2, -0.2] * 4
    found = standing(fund(), backtest(1), *live([*wild, -0.2]))
    assert (found.state, found.statistic < 0.75) == ("ok", True)


def test_while_the_feed_of_its_values_is_at_fault_a_fund_is_unknown():
    one = engine(feeds.WATCHDOG, WATCHDOG)
    run(one, stored([fund(), backtest(1), *live([0.0] * 10)]))
    found = one.standings[NAME, "alpha"]
    assert found.state == "unknown"
    assert "data is at fault" in found.title
