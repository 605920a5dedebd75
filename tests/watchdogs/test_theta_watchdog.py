"""Is a fund that bleeds by theta told from one whose theta nobody knows?"""

from decimal import Decimal

import pytest
from feeding import Tape
from option_fund import fund, mark, option
from real_data import needs_data, rows
from watching import SECOND, assert_cut_into_batches, assert_resumed, engine, run, spoken

from operations.checks import Look, Unit
from operations.clock import now_ns, parse_rfc3339, rfc3339
from operations.events.marketdata import ExchangeRate, FxRateMarked
from operations.watchdogs import feeds
from operations.watchdogs.option_marks import DAY_NS, SPLIT
from operations.watchdogs.theta_watchdog import (
    NAME,
    WATCHDOG,
    Position,
    ThetaLimits,
    canary,
    inspect,
)

pytestmark = pytest.mark.unit
RAISED, CLEARED = f"finding.{NAME}.raised", f"finding.{NAME}.cleared"
NOW = parse_rfc3339("2026-01-05T12:00:00Z")


def state(one):
    return one.standings[NAME, "alpha"]


def test_a_fund_that_loses_too_much_a_day_shall_hedge_to_an_absolute_theta():
    tape = fund()
    mark(tape, "-0.99")
    assert run(engine(WATCHDOG), tape.events) == []
    mark(tape, "-1.00")
    mark(tape, "-5.00")
    said = run(engine(WATCHDOG), tape.events)
    assert spoken(said) == [(RAISED, "alpha"), ("action.requested", said[1].subject_id)]
    assert said[0].data.statistic == pytest.approx(-0.1)
    assert "loses 0.100 %" in said[0].data.title
    action = said[1].data
    assert (action.kind, action.scope, action.scope_id) == ("hedge", "fund", "alpha")
    assert (action.theta_per_day_at_most, action.currency) == (Decimal("100.00"), "USD")
    assert action.until is None


def test_income_by_theta_is_as_large_a_risk():
    tape = fund()
    mark(tape, "1.5", quantity=1)
    said = run(engine(WATCHDOG, mode="observe"), tape.events)
    assert spoken(said) == [(RAISED, "alpha")]
    assert "earns 0.150 %" in said[0].data.title
    assert said[0].data.would_have == "hedge fund alpha to a theta of at most 100.00 USD a day"


def test_it_is_over_below_the_limit_of_the_exit_only_and_when_nothing_is_held():
    tape = fund()
    mark(tape, "-1.2")
    mark(tape, "-0.8")
    assert len(run(engine(WATCHDOG), tape.events)) == 2
    for theta, quantity in (("-0.79", 1), ("-0.9", 0)):
        again = fund()
        mark(again, "-1.2")
        mark(again, theta, quantity=quantity)
        assert spoken(run(engine(WATCHDOG), again.events))[2:] == [(CLEARED, "alpha")]


def position(**values):
    names = {
        "sequence": 1, "account_id": "a", "symbol": "s", "underlying": "AAPL", "marked_ns": NOW,
        "quantity": 1.0, "theta": -0.5, "implied_volatility": 0.3, "spot": 100.0,
        "spot_before": 100.0, "multiplier": 100.0, "expires_ns": NOW + 30 * DAY_NS,
        "currency": "USD", "nav": 100_000.0, "nav_ns": NOW, "nav_currency": "USD", "rate": None,
        "rate_ns": None,
    }  # fmt: skip
    return Position(**{**names, **values})


def judge(*positions, known=None):
    look = Look(9, NOW, NOW, "e", Unit("fund", "alpha", "alpha"))
    return inspect(positions, look, ThetaLimits(), known)


@pytest.mark.parametrize(
    "values",
    [
        {"implied_volatility": None},
        {"implied_volatility": 0.0},
        {"implied_volatility": float("nan")},
        {"theta": None},
        {"multiplier": None},
        {"multiplier": 0.0},
        {"expires_ns": None},
        {"expires_ns": NOW - 1},
        {"marked_ns": NOW - 96 * 3600 * SECOND - 1},
        {"nav_ns": NOW - 96 * 3600 * SECOND - 1},
        {"nav": None},
        {"nav": 0.0},
        {"nav": -5.0},
        {"currency": "EUR"},
        {"currency": "EUR", "rate": 1.1, "rate_ns": NOW - 96 * 3600 * SECOND - 1},
        {"spot_before": 100.0 * SPLIT},
        {"spot": 0.0},
    ],
)
def test_what_is_missing_or_cannot_be_makes_the_fund_unknown(values):
    alone = judge(position(**values))
    assert alone.state == "unknown"
    assert not alone.recovered


@pytest.mark.parametrize(
    "values",
    [
        {"marked_ns": NOW - 96 * 3600 * SECOND},
        {"nav_ns": NOW - 96 * 3600 * SECOND},
        {"currency": "EUR", "rate": 1.1, "rate_ns": NOW},
        {"spot_before": 100.0 * SPLIT - 0.01},
        {"expires_ns": NOW},
    ],
)
def test_what_is_just_usable_is_used(values):
    assert judge(position(**values)).state == "ok"


def test_money_of_another_currency_counts_by_its_rate():
    euro = position(currency="EUR", rate=2.0, rate_ns=NOW)
    assert judge(euro).statistic == pytest.approx(2 * judge(position()).statistic)


def test_options_within_a_day_of_expiry_are_judged_apart():
    soon = NOW + DAY_NS
    verdict = judge(position(theta=-0.9), position(symbol="t", theta=-0.9, expires_ns=soon))
    assert verdict.state == "ok"
    assert "expiring within a day: decay -90.00" in verdict.details
    verdict = judge(position(theta=-0.2), position(symbol="t", theta=-1.0, expires_ns=soon))
    assert verdict.state == "breached"
    assert "on options that expire" in verdict.title
    assert judge(position(theta=-1.0, expires_ns=soon + 1)).title.endswith("by theta")


def test_loss_and_income_stand_apart_in_the_finding():
    verdict = judge(position(theta=-9.0), position(symbol="t", theta=8.5))
    assert verdict.state == "ok"
    assert verdict.statistic == pytest.approx(-0.05)
    assert "decay -900.00, income 850.00" in verdict.details


def test_a_rate_that_arrives_makes_a_fund_known():
    tape = fund()
    mark(tape, "-2.0", currency="EUR")
    one = engine(WATCHDOG)
    run(one, tape.events)
    assert state(one).state == "unknown"
    rate = ExchangeRate(
        base_currency="EUR", quote_currency="USD", rate=Decimal("1.1"),
        as_of=rfc3339(tape.now_ns),
    )  # fmt: skip
    tape.put(FxRateMarked, "EURUSD", rate)
    mark(tape, "-2.0", currency="EUR")
    assert spoken(run(engine(WATCHDOG), tape.events))[:1] == [(RAISED, "alpha")]


def test_a_mark_that_is_stored_twice_counts_once():
    tape = fund()
    option(tape, "AAPL 500C")
    mark(tape, "-0.6")
    last = tape.events[-1]
    tape.events.append(last._replace(sequence=last.sequence + 1))
    mark(tape, "-0.1", symbol="AAPL 500C")
    one = engine(WATCHDOG)
    assert run(one, tape.events) == []
    assert (state(one).samples, state(one).statistic) == (2, pytest.approx(-0.07))


def test_a_mark_that_comes_late_does_not_replace_a_newer_one():
    tape = fund()
    mark(tape, "-0.5")
    tape.wait(60)
    tape.greeks(theta_per_day=Decimal(-9), implied_volatility=0.3, ahead_ns=-600 * SECOND)
    tape.wait(60)
    tape.nav("100000")
    mark(tape, "-0.6")
    assert run(engine(WATCHDOG), tape.events) == []


def test_a_split_is_unknown_until_the_instrument_is_defined_again():
    tape = fund()
    mark(tape, "-0.5", spot="633")
    for _ in range(3):
        mark(tape, "-0.5", spot="92")
    one = engine(WATCHDOG)
    run(one, tape.events, 2)
    assert state(one).state == "unknown"
    assert "a split?" in state(one).title
    option(tape, multiplier=700)
    mark(tape, "-0.5", spot="92")
    one = engine(WATCHDOG)
    run(one, tape.events, 2)
    assert state(one).state == "breached"


def test_while_its_marks_are_at_fault_a_fund_is_unknown():
    tape = fund()
    for _ in range(6):
        tape.wait(5 * 3600)
        mark(tape, "-5")
    one = engine(feeds.WATCHDOG, WATCHDOG)
    run(one, tape.events)
    assert state(one).state == "unknown"
    assert "data is at fault" in state(one).title


def test_marks_that_stop_become_unknown_with_the_clock():
    tape = fund()
    mark(tape, "-0.5")
    tape.wait(97 * 3600)
    tape.nav("100000")
    for _ in range(2):
        tape.wait(3600)
        tape.tick()
    one = engine(WATCHDOG)
    run(one, tape.events)
    assert state(one).state == "unknown"


def test_each_fund_is_judged_by_its_own_options():
    tape = fund()
    tape.nav("1000", fund="beta")
    mark(tape, "-0.5")
    mark(tape, "-50", fund="beta")
    mark(tape, "-0.5")
    one = engine(WATCHDOG)
    said = run(one, tape.events)
    assert spoken(said) == [(RAISED, "beta"), ("action.requested", said[1].subject_id)]
    assert said[0].data.evidence[0].rows == 1
    assert state(one).statistic == pytest.approx(-0.05)


def daily(tape, days, symbol="AAPL 490C", **more):
    for _ in range(days):
        tape.wait(86_400)
        tape.nav("100000")
        mark(tape, "-0.1", symbol=symbol, **more)


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_position_that_is_marked_no_more_is_not_forgotten(size):
    tape = fund()
    option(tape, "AAPL 500C")
    mark(tape, "-5", symbol="AAPL 500C")
    daily(tape, 12)
    one = engine(WATCHDOG)
    assert spoken(run(one, tape.events, size))[:1] == [(RAISED, "alpha")]
    assert state(one).state == "unknown"
    assert state(one).title.endswith(
        "theta of 1 of 2 positions of fund alpha is unknown: AAPL 500C"
    )
    assert state(one).episode
    mark(tape, "0", symbol="AAPL 500C", quantity=0)
    assert spoken(run(one, tape.events[-1:])) == [(CLEARED, "alpha")]


def test_what_expired_days_ago_is_held_no_more():
    tape = fund()
    option(tape, "AAPL 500C", expires_on="2026-01-08")
    mark(tape, "-0.1", symbol="AAPL 500C")
    daily(tape, 8)
    one = engine(WATCHDOG)
    run(one, tape.events)
    assert state(one).state == "unknown"
    daily(tape, 1)
    assert run(one, tape.events[-2:]) == []
    assert (state(one).state, state(one).samples) == ("ok", 1)


def test_what_was_closed_within_a_minute_is_over_at_the_next_full_hour():
    tape = fund()
    mark(tape, "-5")
    one = engine(WATCHDOG)
    assert spoken(run(one, tape.events))[:1] == [(RAISED, "alpha")]
    tape.greeks(quantity=Decimal(0))
    assert run(one, tape.events[-1:]) == []
    tape.wait(3600)
    tape.tick()
    (over,) = run(one, tape.events[-1:])
    assert spoken([over]) == [(CLEARED, "alpha")]
    assert over.fund_id == "alpha"


def test_a_mark_from_the_future_hides_nothing_that_follows_it():
    tape = fund()
    tape.wait(60)
    ahead = {"ahead_ns": 400 * DAY_NS}
    tape.greeks(theta_per_day=Decimal("-0.1"), implied_volatility=0.3, **ahead)
    tape.nav("100000000", **ahead)
    tape.nav("100000")
    mark(tape, "-5")
    one = engine(WATCHDOG)
    assert spoken(run(one, tape.events))[:1] == [(RAISED, "alpha")]


def lively():
    tape = fund()
    option(tape, "MSFT 50P", "2026-01-06")
    for number in range(60):
        mark(tape, f"-{0.2 + 0.3 * (number % 9)}", spot="100" if number < 40 else "20")
        tape.greeks(
            "MSFT 50P", theta_per_day=Decimal(number % 5) / 4,
            implied_volatility=0.0 if number % 11 == 3 else 0.2,
        )  # fmt: skip
        if number == 50:
            option(tape)
        tape.nav("100000")
    return tape.events


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_size_of_a_batch_changes_no_byte(size):
    assert_cut_into_batches(lambda: engine(WATCHDOG), lively(), size, 4)


def test_from_any_snapshot_the_rest_is_said_byte_for_byte(tmp_path):
    assert_resumed(lambda: engine(WATCHDOG), lively(), (1, 40, 125), tmp_path)


def test_the_canary_is_found():
    tape = Tape(start_ns=now_ns(), step_ns=0)
    for each in canary(tape.now_ns, "run-1"):
        assert each.environment == "canary"
        assert "run-1" in each.event_id
        named = {"fund_id": each.fund_id, "account_id": each.account_id}
        tape.put(type(each), each.subject_id, each.data, environment="canary", **named)
    said = run(engine(WATCHDOG), tape.events)
    assert spoken(said)[0] == (RAISED, "canary-run-1")


def chain(tape, day, many=40):
    """Marks of a real chain: the first row is the underlying, the others its options."""
    table = rows(f"options/option_usa_universes_aapl_{day.replace('-', '')}.csv")
    spot = table[0]["close"]
    tape.now_ns = max(tape.now_ns, parse_rfc3339(f"{day}T20:00:00Z"))
    tape.nav("1000000000")
    for row in table[1 : many + 1]:
        expiry = f"{row['#expiry'][:4]}-{row['#expiry'][4:6]}-{row['#expiry'][6:]}"
        symbol = f"AAPL {expiry} {row['strike']}{row['right']}"
        option(tape, symbol, expiry)
        tape.greeks(
            symbol, quantity=Decimal(1), theta_per_day=Decimal(row["theta"]),
            implied_volatility=float(row["implied_volatility"]), spot_price=Decimal(spot),
        )  # fmt: skip
    return table


@needs_data
def test_a_real_chain_with_a_zero_volatility_beside_a_quoted_theta_is_unknown():
    tape = Tape(start_ns=parse_rfc3339("2014-06-09T20:00:00Z"))
    table = chain(tape, "2014-06-09")
    assert any(
        float(row["implied_volatility"]) == 0 and float(row["theta"]) != 0 for row in table[1:41]
    )
    tape.wait(60)
    tape.nav("1000000000")
    chain(tape, "2014-06-09")
    one = engine(WATCHDOG)
    assert run(one, tape.events) == []
    assert state(one).state == "unknown"
    assert "positions of fund alpha is unknown" in state(one).title


@needs_data
def test_the_real_split_between_two_chains_is_unknown_and_no_change_of_theta():
    tape = Tape(start_ns=parse_rfc3339("2014-06-02T00:00:00Z"))
    option(tape, expires_on="2015-01-17")
    for day in ("2014-06-02", "2014-06-09"):
        tape.now_ns = parse_rfc3339(f"{day}T20:00:00Z")
        table = rows(f"options/option_usa_universes_aapl_{day.replace('-', '')}.csv")
        tape.nav("100000")
        mark(tape, "-0.2", spot=table[0]["close"])
    one = engine(WATCHDOG)
    assert run(one, tape.events) == []
    assert "a split?" in state(one).title
