"""Is a feed that lies told from one that is only calm?"""

from decimal import Decimal

import msgspec
import pytest
from feeding import MS, Tape
from real_data import needs_data, rows
from watching import DAY, SECOND, engine, run, spoken

from operations.adapters import warehouse
from operations.checks import Verdict
from operations.clock import now_ns
from operations.events.base import encode
from operations.watchdogs import ALL, portfolio_vol_dd
from operations.watchdogs.conditions import CONDITIONS, EACH_ROW
from operations.watchdogs.feeds import NAME, WATCHDOG, Condition, FeedLimits, canary, faults

pytestmark = pytest.mark.unit
RAISED, CLEARED = f"finding.{NAME}.raised", f"finding.{NAME}.cleared"
FEED = "trades/SPY/XNAS"


def good(tape, count, first):
    for number in range(first, first + count):
        tape.trade(number, price=f"{10 + number % 7 / 100:.2f}")


def state(one, unit):
    return one.standings[NAME, unit].state


def test_it_is_the_first_of_all():
    assert ALL[0] is WATCHDOG


def test_a_feed_that_is_well_is_unknown_at_first_and_well_after_ten_messages():
    tape, one = Tape(), engine(WATCHDOG)
    good(tape, 9, 1)
    tape.wait(120)
    tape.tick()
    assert run(one, tape.events) == []
    assert state(one, FEED) == "unknown"
    good(tape, 1, 10)
    assert run(one, tape.events[10:]) == []
    assert state(one, FEED) == "ok"


def test_five_duplicates_of_a_hundred_are_a_fault_and_a_hundred_good_ones_end_it():
    tape = Tape()
    good(tape, 120, 1)
    for _ in range(4):
        tape.trade(120)
    good(tape, 50, 121)
    assert run(engine(WATCHDOG), tape.events) == []
    tape.trade(120)
    assert spoken(run(engine(WATCHDOG), tape.events)) == [(RAISED, FEED)]
    good(tape, 99, 171)
    assert len(run(engine(WATCHDOG), tape.events)) == 1
    good(tape, 1, 270)
    assert spoken(run(engine(WATCHDOG), tape.events)) == [(RAISED, FEED), (CLEARED, FEED)]


def test_the_window_slides_over_any_hundred_messages():
    tape = Tape()
    good(tape, 98, 1)
    for _ in range(3):  # the 99th to the 101st message
        tape.trade(98)
    good(tape, 20, 99)
    for _ in range(2):
        tape.trade(98)
    assert spoken(run(engine(WATCHDOG), tape.events)) == [(RAISED, FEED)]


def test_the_same_event_stored_twice_is_a_duplicate():
    tape = Tape()
    good(tape, 20, 1)
    for again in tape.events[10:15]:
        last = tape.events[-1]
        tape.events.append(again._replace(sequence=last.sequence + 1, at_ns=last.at_ns + SECOND))
    assert spoken(run(engine(WATCHDOG), tape.events)) == [(RAISED, FEED)]


def test_a_clock_ahead_of_the_bus_is_a_fault_and_says_by_how_much():
    tape = Tape()
    good(tape, 20, 1)
    for number in range(5):
        tape.trade(100 + number, late_ns=-1270 * MS)
    said = run(engine(WATCHDOG), tape.events)
    assert spoken(said) == [(RAISED, FEED)]
    assert "5 of the last 25 messages have an impossible time" in said[0].data.title
    assert "stored -1,270 ms after it happened" in said[0].data.title


def test_an_event_that_says_that_it_comes_from_the_future_is_one_too():
    tape = Tape()
    good(tape, 20, 1)
    for number in range(5):
        tape.trade(100 + number, said_ns=tape.now_ns + 10 * SECOND)
    assert spoken(run(engine(WATCHDOG), tape.events)) == [(RAISED, FEED)]


def test_ids_that_are_missing_are_a_gap_from_the_fifth_on():
    for missing, said in ((4, []), (5, [(RAISED, FEED)])):
        tape = Tape()
        good(tape, 100, 1)
        good(tape, 10, 101 + missing)
        assert spoken(run(engine(WATCHDOG), tape.events)) == said


def test_a_price_and_size_that_stand_still_are_a_fault_at_250_in_a_row():
    tape = Tape(step_ns=MS)
    for number in range(250):
        tape.trade(number)
    assert run(engine(WATCHDOG), tape.events) == []
    tape.trade(250)
    said = run(engine(WATCHDOG), tape.events)
    assert spoken(said) == [(RAISED, FEED)]
    assert "the last 250 messages repeat" in said[0].data.title
    tape.trade(251, price="10.01")
    assert spoken(run(engine(WATCHDOG), tape.events))[1:] == [(CLEARED, FEED)]


def test_the_same_settled_value_on_six_days_is_frozen_and_a_new_value_ends_it():
    tape = Tape(step_ns=DAY)
    for nav in ("100", "101", "101", "101", "101", "101"):
        tape.nav(nav)
    assert run(engine(WATCHDOG), tape.events) == []
    tape.nav("101")
    tape.nav("102")
    said = run(engine(WATCHDOG), tape.events, 1)
    assert spoken(said) == [(RAISED, "nav/alpha"), (CLEARED, "nav/alpha")]


def test_one_mark_of_a_fund_from_the_future_is_a_fault_until_the_next():
    tape = Tape(step_ns=DAY)
    tape.nav("100")
    tape.nav("101", ahead_ns=101 * MS)
    assert spoken(run(engine(WATCHDOG), tape.events)) == [(RAISED, "nav/alpha")]
    tape.nav("102", ahead_ns=100 * MS)
    assert spoken(run(engine(WATCHDOG), tape.events))[1:] == [(CLEARED, "nav/alpha")]


def test_greeks_that_repeat_are_stopped_after_a_day_and_not_in_a_quiet_hour():
    for hours, said in ((3, []), (5, [(RAISED, "greeks/alpha/acc-1")])):
        tape = Tape(step_ns=hours * 3600 * SECOND)
        for _ in range(6):
            tape.greeks(theta_per_day=Decimal("-0.05"), implied_volatility=0.2)
        assert spoken(run(engine(WATCHDOG), tape.events)) == said, hours


def test_a_chain_of_the_day_before_is_found_though_each_option_has_other_values():
    tape = Tape()
    for day in range(2):
        for number in range(5):
            tape.greeks(f"option {number}", theta_per_day=Decimal(f"-0.{number}5"))
        tape.wait(86_400 - 5)
        assert spoken(run(engine(WATCHDOG), tape.events)) == (
            [(RAISED, "greeks/alpha/acc-1")] if day else []
        )


def test_stories_that_a_beat_says_and_that_never_came_are_missing():
    tape = Tape()
    tape.beat(100)  # the first beat: what was before it is not known
    tape.story(1)
    tape.beat(5)
    assert run(engine(WATCHDOG), tape.events) == []
    tape.beat(1)
    said = run(engine(WATCHDOG), tape.events)
    assert spoken(said) == [(RAISED, "news/wire")]
    assert "5 messages are missing" in said[0].data.title


def test_a_news_feed_is_silent_after_three_intervals_without_a_beat():
    tape = Tape()
    tape.beat(0)
    tape.wait(178)
    tape.tick()  # 179 s
    assert run(engine(WATCHDOG), tape.events) == []
    tape.tick()
    assert spoken(run(engine(WATCHDOG), tape.events)) == [(RAISED, "news/wire")]
    for number in range(10):
        tape.story(number)
    assert spoken(run(engine(WATCHDOG), tape.events))[1:] == [(CLEARED, "news/wire")]


def test_silence_of_five_days_is_a_fault_and_a_long_weekend_is_none():
    tape = Tape()
    tape.nav("100")
    for _hour in range(119):
        tape.wait(3599)
        tape.tick()
    assert run(engine(WATCHDOG), tape.events) == []
    tape.wait(3599)
    tape.tick()
    assert spoken(run(engine(WATCHDOG), tape.events)) == [(RAISED, "nav/alpha")]


def busy():
    """Every kind of feed, with every kind of fault, over hours."""
    tape = Tape(step_ns=20 * SECOND)
    for round_ in range(4):
        for number in range(40):
            tape.trade(round_ * 60 + number, price=f"{10 + number % 3}")
            if number % 7 == 0:
                tape.story(round_ * 60 + number)
                tape.greeks(theta_per_day=Decimal(number % 2), implied_volatility=0.2)
            if number % 20 == 0:
                tape.nav(str(100 + number))
                tape.beat(3)
                tape.tick()
        if round_ % 2:
            for _ in range(7):
                tape.trade(round_ * 60 + 30)
                tape.story(1)
            tape.trade(10_000 + round_, late_ns=-SECOND)
            tape.nav("1", ahead_ns=SECOND)
        tape.wait(1200)
        tape.tick()
    return tape.events


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_size_of_a_batch_changes_no_byte(size):
    said = [encode(each) for each in run(engine(WATCHDOG), busy())]
    assert len(said) >= 5
    assert [encode(each) for each in run(engine(WATCHDOG), busy(), size)] == said


def test_from_any_snapshot_the_rest_is_said_byte_for_byte(tmp_path):
    events = busy()
    whole = [encode(each) for each in run(engine(WATCHDOG), events)]
    for place in (1, 90, 131, len(events) - 1):
        first, second = engine(WATCHDOG), engine(WATCHDOG)
        before = run(first, events[:place], 50)
        first.warehouse.save(tmp_path / "one", first.snapshot())
        second.warehouse.load(tmp_path / "one")
        second.restore(warehouse.read_state(tmp_path / "one"))
        rest = run(second, events[place:], 11)
        assert [encode(each) for each in (*before, *rest)] == whole


def test_a_feed_that_is_well_makes_few_rows():
    tape = Tape(step_ns=MS)
    good(tape, EACH_ROW + 1, 1)
    one = engine(WATCHDOG)
    run(one, tape.events)
    assert one.warehouse.measure(CONDITIONS)[0] == 2  # the tenth and the last but one


def test_whoever_depends_on_a_feed_at_fault_is_unknown_by_its_path():
    dependent = msgspec.structs.replace(
        portfolio_vol_dd.WATCHDOG,
        feeds=lambda _unit: ("trades/SPY",),
        inspect=lambda *_: Verdict(state="ok", title=""),
    )
    for duplicates, wanted in ((4, "ok"), (5, "unknown")):
        tape = Tape()
        good(tape, 20, 1)
        for _ in range(duplicates):
            tape.trade(20)
        tape.nav("100")
        one = engine(WATCHDOG, dependent)
        run(one, tape.events, 100)
        assert one.standings[dependent.name, "alpha"].state == wanted


def test_another_symbol_of_a_similar_name_is_another_feed():
    dependent = msgspec.structs.replace(
        portfolio_vol_dd.WATCHDOG,
        feeds=lambda _unit: ("trades/SP",),
        inspect=lambda *_: Verdict(state="ok", title=""),
    )
    tape = Tape()
    for _ in range(10):
        tape.trade(20)
    tape.nav("100")
    one = engine(WATCHDOG, dependent)
    run(one, tape.events, 100)
    assert one.standings[dependent.name, "alpha"].state == "ok"


def condition(**values):
    names = dict.fromkeys(Condition._fields, 0)
    return Condition(**{**names, "messages": 200, "window": 100, **values})


@pytest.mark.parametrize(
    ("feed", "values", "words"),
    [
        (FEED, {"duplicates": 4}, []),
        (FEED, {"duplicates": 5}, ["5 of the last 100 messages came before"]),
        (FEED, {"duplicates": 2, "missing": 3}, ["2 of", "3 messages are missing"]),
        (FEED, {"unchanged": 249}, []),
        (FEED, {"unchanged": 250}, ["the last 250"]),
        ("nav/alpha", {"clock": 1, "latency_ns": -5_000_000}, ["-5 ms"]),
        ("nav/alpha", {"unchanged": 5}, ["the last 5"]),
        ("greeks/a/b", {"unchanged": 5, "unchanged_ns": 20 * 3600 * SECOND - 1}, []),
        ("greeks/a/b", {"unchanged": 5, "unchanged_ns": 20 * 3600 * SECOND}, ["the last 5"]),
        ("news/wire", {"silent_ns": 180 * SECOND - 1, "beat_ns": 60 * SECOND}, []),
        ("news/wire", {"silent_ns": 180 * SECOND, "beat_ns": 60 * SECOND}, ["silent for 180 s"]),
        (FEED, {"silent_ns": 5 * DAY - 1}, []),
        (FEED, {"silent_ns": 5 * DAY}, ["silent for 432,000 s"]),
    ],
)
def test_each_limit_holds_at_its_value_and_not_just_below(feed, values, words):
    found = faults(feed, condition(**values), FeedLimits())
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))


def test_the_canary_is_found():
    tape = Tape(start_ns=now_ns())
    for each in canary(tape.now_ns, "run-1"):
        assert each.environment == "canary"
        assert "run-1" in each.event_id
        tape.put(type(each), each.subject_id, each.data, environment="canary")
    said = run(engine(WATCHDOG), tape.events)
    assert spoken(said) == [(RAISED, "trades/canary-run-1/canary")]
    assert said[0].environment == "canary"


@needs_data
def test_real_trades_that_were_received_before_they_happened_are_a_fault_of_the_clock():
    tape = Tape()
    for row in rows("trades/h_spot_btcusdt_20240808_trades.csv.gz")[:200]:
        stored_ns = int(row["local_ns"])
        tape.now_ns = stored_ns - tape.step_ns
        late_ns = stored_ns - int(row["event_ms"]) * MS
        tape.trade(row["trade_id"], row["price"], row["qty"], late_ns, said_ns=stored_ns)
    said = run(engine(WATCHDOG), tape.events)
    assert spoken(said) == [(RAISED, FEED)]
    assert "impossible time" in said[0].data.title


@needs_data
def test_two_real_hours_of_trades_on_a_clock_that_is_right_are_well():
    tape = Tape()
    for row in rows("trades/h_usdm_btcusdt_20240808_trades.csv.gz"):
        tape.now_ns = int(row["event_ms"]) * MS - tape.step_ns
        tape.trade(row["trade_id"], row["price"], row["qty"])
    one = engine(WATCHDOG)
    assert run(one, tape.events) == []
    assert state(one, FEED) == "ok"
