"""Do theta_watchdog and data_fault keep their budgets, and is what is calibrated what they say?"""

from decimal import Decimal

import numpy as np
import pytest
from feeding import Tape
from watching import engine, run, spoken

from bench.calibrate_marks import FEED, THETA, feed_episodes, quoted, theta_episodes
from bench.nulls import NULLS
from operations.checks import Watchdog
from operations.events.registry import Instrument, InstrumentDefined
from operations.watchdogs import feeds, theta_watchdog

pytestmark = pytest.mark.unit
UNITS = 300


def raised(watchdog: Watchdog, tape: Tape) -> int:
    said = spoken(run(engine(watchdog), tape.events))
    return sum(kind == f"finding.{watchdog.name}.raised" for kind, _ in said)


@pytest.mark.parametrize("null", NULLS)
def test_funds_within_their_theta_are_found_less_than_once_a_year(null):
    within = quoted(null, UNITS, 0.85)
    assert theta_episodes(within).mean() <= 1.0 + 3 * 1.0 / np.sqrt(UNITS)
    loose = theta_watchdog.ThetaLimits(enter_pct=0.09, exit_pct=0.089)
    assert theta_episodes(within, loose).mean() > 2.0


def test_what_is_calibrated_of_theta_is_what_the_watchdog_says():
    (pct,) = quoted("GARCH(1,1)", 1, 0.99, 120)
    pct[40:60] *= 0.7  # recovers, so that there is more than one episode
    tape = Tape(step_ns=60 * 10**9)
    data = Instrument(
        symbol="AAPL 490C", kind="option", currency="USD", multiplier=Decimal(100),
        underlying="AAPL", expires_on="2026-12-18",
    )  # fmt: skip
    tape.put(InstrumentDefined, "AAPL 490C", data)
    tape.nav("1000000")
    for each in pct.tolist():
        theta = Decimal(str(each * 100))  # 1 % of a million by one contract of 100
        tape.greeks(theta_per_day=theta, implied_volatility=0.3, spot_price=Decimal(500))
    (counted,) = theta_episodes(pct[None, :])
    assert raised(theta_watchdog.WATCHDOG, tape) == counted >= 2


def test_feeds_that_are_wrong_once_in_a_thousand_are_called_at_fault_in_no_day():
    wrong = np.random.default_rng(3).random((UNITS, 10_000), np.float32) < 0.001
    assert feed_episodes(wrong).mean() <= 0.01
    assert feed_episodes(wrong, feeds.FeedLimits(faulty_messages=2)).mean() > 0.1


def test_what_is_calibrated_of_feeds_is_what_the_watchdog_says():
    wrong = np.random.default_rng(4).random((1, 1500)) < 0.02
    wrong[0, :20] = wrong[0, 400:1200] = False
    wrong[0, 500:504] = True  # four beside each other are none
    wrong[0, 1200:1205] = True
    # Shown at the thousandth message, when four are left: the episode goes on all the same.
    wrong[0, 896:904] = wrong[0, 1000:1005] = True
    tape, number = Tape(), 0
    for bad in wrong[0].tolist():
        number += not bad
        tape.trade(number, price=f"{10 + number % 7 / 100:.2f}")
    (counted,) = feed_episodes(wrong)
    assert raised(feeds.WATCHDOG, tape) == counted >= 2
    assert (FEED.faulty_messages, THETA.enter_pct) == (5, 0.10)
