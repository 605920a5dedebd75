"""Are forecasts that rank worse than before told from those that do not, and halved once?"""

import math
from random import Random

import msgspec
import numpy as np
import pytest
from real_data import needs_data
from real_strategy import momentum
from watching import (
    DAY,
    START_NS,
    assert_cut_into_batches,
    assert_resumed,
    engine,
    event,
    open_episode,
    run,
    spoken,
    stored,
)

from operations.checks import Look, Unit
from operations.clock import rfc3339
from operations.errors import Rejected
from operations.events import subjects
from operations.events.strategies import (
    ForecastScore,
    ForecastScored,
    StrategyBaseline,
    StrategyBaselinePublished,
)
from operations.statistics.newey_west import shift_z
from operations.watchdogs.drift_monitor import (
    MINIMUM_BASELINE_DAYS,
    NAME,
    WATCHDOG,
    Base,
    DriftLimits,
    Score,
    baseline,
    canary,
    inspect,
    zscore,
)

pytestmark = pytest.mark.unit
LIMITS = DriftLimits()
FIRST = LIMITS.looks_in_a_row * LIMITS.look_every_days


def draws(mean, count, seed=1):
    chance = Random(seed)
    return [chance.gauss(mean, 0.1) for _ in range(count)]


def published(daily=None, number=0, **fields):
    daily = None if daily is None else tuple(daily)
    data = StrategyBaseline(
        baseline_id="b", currency="USD", daily_information_coefficients=daily, **fields
    )
    return event(StrategyBaselinePublished, "rev", data, number)


def scored(value, day, number, names=100, horizon_days=1, method="spearman"):
    data = ForecastScore(
        day=rfc3339(START_NS + day * DAY)[:10], horizon_days=horizon_days, method=method,
        information_coefficient=max(-1.0, min(1.0, value)), names=names,
    )  # fmt: skip
    return event(ForecastScored, "rev", data, number, fund_id="alpha", strategy_id="rev")


def history(values, base=None, **fields):
    """A baseline, then one scored day for each value."""
    yield published(draws(0.03, 250) if base is None else base)
    for day, value in enumerate(values):
        yield scored(value, day, day + 1, **fields)


def timed(events):
    """Each event arrives on the day that is scored."""
    return stored(events, at_ns=lambda number: START_NS + number * DAY)


def test_forecasts_that_lost_their_rank_are_halved_once_and_then_said_to_be_halted():
    said = run(engine(WATCHDOG), timed(history(draws(-0.05, 400))))
    assert spoken(said) == [
        (f"finding.{NAME}.raised", "rev"),
        ("action.requested", said[1].subject_id),
    ]
    action = said[1].data
    assert (action.kind, action.scope, action.scope_id) == ("reduce_allocation", "strategy", "rev")
    assert str(action.allocation_factor) == "0.5"
    assert action.until is None
    assert said[0].data.halt_level is None


def test_forecasts_that_rank_as_before_are_never_spoken_of():
    assert run(engine(WATCHDOG), timed(history(draws(0.03, 300, seed=5)))) == []


def test_stage_two_says_who_halts_and_asks_for_nothing_more():
    slowly = draws(0.012, 150, seed=3) + draws(-0.12, 200, seed=4)
    said = run(engine(WATCHDOG), timed(history(slowly)))
    assert [each[0] for each in spoken(said)] == [
        f"finding.{NAME}.raised", "action.requested", f"finding.{NAME}.updated",
    ]  # fmt: skip
    assert "the worker limits halts" in said[2].data.details
    assert said[2].data.halt_level is None


def test_an_episode_ends_when_the_forecasts_rank_again_and_a_new_one_may_halve_again():
    values = (draws(-0.06, 160) + draws(0.1, 200)) * 2
    said = [each[0] for each in spoken(run(engine(WATCHDOG), timed(history(values))))]
    assert said.count(f"finding.{NAME}.cleared") == 2
    assert said.count("action.requested") == 2


def test_while_observing_it_asks_for_nothing_and_says_what_it_would_have_done():
    said = run(engine(WATCHDOG, mode="observe"), timed(history(draws(-0.05, 200))))
    assert all("finding" in each[0] for each in spoken(said))
    assert said[0].data.would_have == "halve the allocation of strategy rev"


def test_what_drifted_while_observing_is_halved_once_when_it_may_act():
    events, one = timed(history(draws(-0.05, 400))), engine(WATCHDOG, mode="observe")
    assert [each[0] for each in spoken(run(one, events[:250]))] == [f"finding.{NAME}.raised"]
    one._layers.mode = "act"
    said = [each[0] for each in spoken(run(one, events[250:]))]
    assert said == [f"finding.{NAME}.updated", "action.requested"]


def lively():
    return timed(history(draws(-0.06, 145) + draws(0.1, 90)))


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_size_of_a_batch_changes_no_byte(size):
    assert_cut_into_batches(lambda: engine(WATCHDOG), lively(), size, 3)


def test_from_any_snapshot_the_rest_is_said_byte_for_byte(tmp_path):
    assert_resumed(lambda: engine(WATCHDOG), lively(), (0, 1, FIRST, FIRST + 1, 200), tmp_path)


def standing(events):
    one = engine(WATCHDOG)
    run(one, timed(events))
    return one.standings[NAME, "rev"]


def test_a_day_counts_once_and_only_after_the_one_before():
    again = [scored(-0.5 + 0.1 * (number % 3), 7, number + 1) for number in range(2 * FIRST)]
    late = [scored(-0.5 + 0.1 * (number % 3), 3, 500 + number) for number in range(FIRST)]
    found = standing([published(draws(0.03, 250)), *again, *late])
    assert (found.state, found.samples) == ("unknown", None)
    assert "1 of 20 days" in found.title


def test_a_day_that_has_not_come_counts_for_nothing_and_makes_no_later_one_old():
    values = draws(-0.06, FIRST)
    ahead = scored(-1.0, 5000, 1)
    events = [published(draws(0.03, 250)), ahead]
    events += [scored(value, day, day + 2) for day, value in enumerate(values)]
    assert standing(events).samples == LIMITS.window_days


def test_a_new_baseline_begins_a_new_count_and_the_same_one_again_does_not():
    before = [*history(draws(-0.06, FIRST - 1))]
    last = scored(-0.06, FIRST - 1, 900)
    assert standing([*before, published(draws(0.03, 250), 899), last]).state == "breached"
    assert standing([*before, published(draws(0.02, 250), 899), last]).state == "unknown"


@pytest.mark.parametrize(
    ("events", "problem"),
    [
        ([scored(0.1, 0, 1)], "no baseline"),
        ([published(draws(0.03, 59)), scored(0.1, 0, 1)], "59 of 60"),
        ([published([0.03] * 250), scored(0.1, 0, 1)], "that differ"),
        ([published(ic_mean=0.03, ic_standard_deviation=0.1), scored(0.1, 0, 1)], "60 days"),
        (
            [published(ic_mean=0.03, ic_standard_deviation=0.0, days=99), scored(0.1, 0, 1)],
            "positive",
        ),
        (
            [published([0.1, 3.0] * 100), *list(history(draws(0.0, 30)))[1:]],
            "3.0 is no coefficient",
        ),
        (
            [published([0.1, -1e200] * 100), *list(history(draws(0.0, 30)))[1:]],
            "-1e+200 is no coefficient",
        ),
        (
            [
                published(ic_mean=1.5, ic_standard_deviation=0.1, days=99),
                *list(history(draws(0.0, 30)))[1:],
            ],
            "1.5 is no coefficient",
        ),
        (
            [
                published(ic_mean=0.03, ic_standard_deviation=1e200, days=99),
                *list(history(draws(0.0, 30)))[1:],
            ],
            "1e+200 is no coefficient",
        ),
        (list(history(draws(0.0, 19))), "19 of 20"),
        (list(history([0.0] * 30)), "all alike"),
        (list(history(draws(0.0, 30), names=9)), "0 usable days"),
    ],
)
def test_what_is_missing_is_unknown_and_says_what(events, problem):
    found = standing(events)
    assert found.state == "unknown"
    assert problem in found.title


SCORED = (
    b'{"event_id":"e%d","timestamp":"2026-01-05T00:00:00Z","actor":"t","subject_id":"rev",'
    b'"strategy_id":"rev","data":{"day":"2026-01-%02d","horizon_days":1,"method":"spearman",'
    b'"information_coefficient":%s,"names":100}}'
)


@pytest.mark.parametrize("value", [b"NaN", b"1e999", b"-1.01", b'"0.1"', b"null"])
def test_a_day_whose_coefficient_is_no_number_of_the_contract_is_no_day(value):
    read = [subjects.decode(ForecastScored.pattern, SCORED % (n, n, b"0.1")) for n in range(1, 20)]
    one = engine(WATCHDOG)
    one.take(timed([published(draws(0.03, 250)), *read]))
    with pytest.raises(Rejected):
        subjects.decode(ForecastScored.pattern, SCORED % (20, 20, value))
    found = one.standings[NAME, "rev"]
    assert found.state == "unknown"
    assert "19 of 20 days" in found.title


def test_a_baseline_in_another_currency_or_with_other_sizes_changes_no_count():
    """Coefficients have no currency; a baseline whose sizes are told anew each day is one."""
    before, ranked = [*history(draws(-0.06, FIRST - 1))], draws(0.03, 250)
    last = scored(-0.06, FIRST - 1, 900)
    for other in ({"currency": "EUR"}, {"order_log_sizes": (1.0, 2.0)}, {"baseline_id": "c"}):
        again = msgspec.structs.replace(published(ranked).data, **other)
        events = [*before, event(StrategyBaselinePublished, "rev", again, 899), last]
        assert standing(events).state == "breached"


def test_enough_names_are_enough():
    assert standing(history(draws(0.03, 30), names=10)).state == "ok"


def test_a_series_that_drifts_is_found_beside_one_that_does_not():
    """Of two horizons the worse one counts, also when the other speaks last."""
    days = list(enumerate(zip(draws(-0.06, 145), draws(0.04, 145, seed=2), strict=True)))
    events = [published(draws(0.03, 250))]
    for day, (one, five) in days:
        events += [
            scored(one, day, 2 * day + 1), scored(five, day, 2 * day + 2, horizon_days=5),
        ]  # fmt: skip
    found = engine(WATCHDOG)
    said = run(found, stored(events, at_ns=lambda number: START_NS + number // 2 * DAY))
    assert spoken(said)[0] == (f"finding.{NAME}.raised", "rev")
    assert found.standings[NAME, "rev"].state == "breached"


def rows(z, looks=LIMITS.looks_in_a_row, error=0.01):
    """Scores whose newest window has this z: its baseline stands where it must for that."""
    values = [0.1 if number % 2 else -0.1 for number in range(looks * LIMITS.look_every_days)]
    live = values[-LIMITS.window_days :]
    mean = float(np.mean(live)) - z * math.hypot(error, _live_error(live))
    return [
        Score(number, 1, "spearman", number, f"d{number}", value, 100, mean, error, None)
        for number, value in enumerate(values, 1)
    ]


def _live_error(live):
    return -1.0 / zscore(live, 1, 2, Base(float(np.mean(live)) + 1.0, 1e-12))


def one_look(scores, known=None, **limits):
    unit = Unit("strategy", "rev", "alpha", "rev")
    return inspect(scores, Look(1, START_NS, START_NS, "e", unit), DriftLimits(**limits), known)


@pytest.mark.parametrize(("field", "stage"), [("halve_below", 1), ("halt_below", 2)])
def test_exactly_at_a_threshold_nothing_is_found_and_just_below_it_is(field, stage):
    scores = rows(-3.0, looks=1)
    z = one_look(scores, looks_in_a_row=1).statistic
    other = {"halve_below": {"halt_below": -9.0}, "halt_below": {"halve_below": -1.0}}[field]
    at = one_look(scores, looks_in_a_row=1, **{field: z}, **other)
    above = one_look(scores, looks_in_a_row=1, **{field: math.nextafter(z, -9)}, **other)
    below = one_look(scores, looks_in_a_row=1, **{field: math.nextafter(z, 0)}, **other)
    assert (at.stage, above.stage, below.stage) == (stage - 1, stage - 1, stage)


def test_exactly_at_the_recovery_threshold_an_episode_goes_on_and_above_it_is_over():
    scores = rows(-0.4, looks=1)
    z = one_look(scores, looks_in_a_row=1).statistic
    known = open_episode(NAME)
    assert not one_look(scores, known, looks_in_a_row=1, recover_above=z).recovered
    assert one_look(scores, known, looks_in_a_row=1, recover_above=math.nextafter(z, -1)).recovered


def test_one_look_fewer_than_needed_is_a_warning_and_no_finding():
    verdict = one_look(rows(-3.0, looks=LIMITS.looks_in_a_row - 1))
    assert (verdict.state, verdict.stage) == ("warning", 0)
    assert one_look(rows(-3.0)).stage >= 1


def test_a_look_that_is_not_known_does_not_count_as_one_that_is():
    scores = [
        each._replace(names=1) if LIMITS.look_every_days >= each.number else each
        for each in rows(-3.0)
    ]
    assert one_look(scores).stage == 0


def test_the_window_slides_by_days_and_not_by_blocks():
    """A day counts in each look until it is older than the window."""
    scores = rows(0.0, looks=8)
    samples = [one_look(scores[: end * LIMITS.look_every_days]).samples for end in range(1, 9)]
    assert samples == [20, 40, 60, 80, 80, 80, 80, 80]


def test_the_zscore_is_that_of_the_statistics_for_one_day_ahead():
    live, daily = draws(0.0, 80), draws(0.03, 250)
    found = baseline(StrategyBaseline(
        baseline_id="b", currency="USD", daily_information_coefficients=tuple(daily)
    ), 1)  # fmt: skip
    assert zscore(live, 1, 20, found) == pytest.approx(shift_z(live, daily), rel=1e-12)


def test_the_size_of_the_positions_changes_no_zscore():
    """Forecasts and returns may be scaled: the rank correlation of a day stays, so this does."""
    assert zscore([0.1, -0.1] * 20, 1, 20, Base(0.0, 0.01)) == 0.0


def test_a_canary_is_found_when_its_events_are_read_in_order():
    said = run(engine(WATCHDOG), stored(canary(START_NS, "run-7")))
    assert spoken(said)[0] == (f"finding.{NAME}.raised", "canary-run-7")
    assert all(each.environment == "canary" for each in said)
    assert len(list(canary(START_NS, "r"))) == FIRST + 1
    assert MINIMUM_BASELINE_DAYS <= 60


@needs_data
def test_real_forecasts_are_left_alone_and_the_same_decayed_are_halved_once():
    """Momentum on 20 stocks: baseline 1999 to 2003, live 2004 to 2007; then its IC taken away."""
    base = momentum(1999, 2003).information_coefficients
    live = momentum(2004, 2007).information_coefficients
    assert run(engine(WATCHDOG), timed(history(live, base, names=20))) == []
    decayed = live - 0.15
    said = run(engine(WATCHDOG), timed(history(decayed, base, names=20)))
    assert [each.subject for each in said].count("mts.v1.operations.action.requested") == 1
