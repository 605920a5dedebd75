"""Twenty strategies that nothing is wrong with page at most once in a shift of eight hours."""

from collections import Counter
from random import Random

import pytest
from alert_cases import MINUTE, START_NS, Office, finding
from limit_events import Feed

from operations.events.findings import FindingCleared, FindingRaised

pytestmark = pytest.mark.unit
SHIFT_MINUTES = 8 * 60
DAY_MINUTES = 24 * 60
STRATEGIES = 20
MEAN, DEVIATION = 0.03, 0.1  # of the daily information coefficient


def pages_by_shift(office):
    """How many times a pager rang in each shift."""
    return Counter(
        (each.thread.paged_ns - START_NS) // (SHIFT_MINUTES * MINUTE) for each in office.pages()
    )


@pytest.mark.parametrize("seed", range(2))
def test_strategies_that_are_only_observed_page_nobody_however_they_flicker(seed):
    office, chance = Office(), Random(seed)
    raised = set()
    for _ in range(10 * SHIFT_MINUTES // 5):
        name = f"s-{chance.randrange(STRATEGIES)}"
        kind = FindingCleared if name in raised else FindingRaised
        raised ^= {name}
        severity = chance.choice(["info", "warning", "critical"])
        office.hear(finding(kind, name, severity, strategy_id=name, mode="observe"))
        office.pass_(5 * MINUTE)
    assert office.pages() == []
    assert len(office.sent) > STRATEGIES  # info channels hear of it


@pytest.mark.parametrize("seed", range(2))
def test_a_year_of_twenty_strategies_as_good_as_promised_pages_at_most_once_in_a_shift(seed):
    """Pure noise around the promise, through the check of drift that may halt, and its alerts."""
    office, chance, feed = Office(), Random(seed), Feed()
    feed.fund()
    names = [f"s-{number}" for number in range(STRATEGIES)]
    for name in names:
        feed.strategy(name)
        feed.baseline(name, ic_mean=MEAN, ic_standard_deviation=DEVIATION)
    for day in range(250):
        for name in names:
            for said in feed.score(chance.gauss(MEAN, DEVIATION), day, name):
                office.hear(said)
        office.pass_(DAY_MINUTES * MINUTE)
    assert len(office.pages()) <= 2 * 3  # 1.3 % of well strategies in a year, on two pagers
    first = [each for each in office.pages() if each.action == "raise"]
    assert max(Counter(each.thread.paged_ns for each in first).values(), default=0) <= 2


def test_the_same_strategies_are_heard_when_they_are_no_longer_quiet():
    """The same twenty, but one forecasts nothing any more: the pager rings, in one shift once."""
    office, chance, feed = Office(), Random(1), Feed()
    feed.fund()
    feed.strategy("s-0")
    feed.baseline("s-0", ic_mean=MEAN, ic_standard_deviation=0.01)
    for day in range(100):
        for said in feed.score(chance.gauss(0.0, 0.01), day, "s-0"):
            office.hear(said)
        office.pass_(MINUTE)
    assert [each.thread.channel for each in office.pages() if each.action == "raise"] == [
        "pagerduty",
        "telegram",
    ]


def test_a_feed_that_breaks_for_all_of_them_is_five_messages_and_a_digest():
    office = Office()
    office.hear(*(finding(episode=f"s-{number}", severity="warning") for number in range(20)))
    for _ in range(SHIFT_MINUTES):
        office.pass_(MINUTE)
    phone = [each for each in office.pages() if each.thread.channel == "telegram"]
    assert [each.reason for each in phone] == ["first_message"] * 5 + ["digest"]
    assert sum(len(each.thread.episodes) for each in phone) == STRATEGIES
    assert pages_by_shift(office) == {0: 6}
