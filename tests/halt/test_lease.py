"""The lease: which heartbeats renew it, and until when."""

import pytest

from operations.clock import NANOSECONDS, rfc3339
from operations.halt.lease import LEASE_NS, Lease
from operations.halt.signals import Heartbeat

pytestmark = pytest.mark.unit

BUS = 1_760_000_000 * NANOSECONDS
SECOND = NANOSECONDS


def beat(count=1, sequence=10, state="a", run="r-1", issued_ns=BUS, worker="halt-1") -> Heartbeat:
    return Heartbeat(
        worker=worker,
        run=run,
        count=count,
        issued_at=rfc3339(issued_ns),
        sequence=sequence,
        state_hash=state,
        active=0,
        stream="ok",
        stream_since=rfc3339(BUS),
    )


@pytest.fixture
def lease() -> Lease:
    """A lease of a system that has folded up to place 10, ten seconds ago."""
    made = Lease()
    made.folded(10, "a", 10 * SECOND)
    return made


def test_a_heartbeat_that_agrees_counts_for_three_seconds_from_its_arrival(lease):
    assert lease.hear(beat(), 20 * SECOND, BUS)
    assert lease.until_ns == 20 * SECOND + LEASE_NS


def test_a_worker_that_holds_other_halts_renews_nothing(lease):
    assert not lease.hear(beat(state="b"), 20 * SECOND, BUS)
    assert lease.until_ns == 0
    assert "other halts" in lease.problem


def test_a_worker_that_is_ahead_counts_once_this_system_has_caught_up(lease):
    assert not lease.hear(beat(sequence=12, state="b"), 20 * SECOND, BUS)
    lease.folded(12, "b", 21 * SECOND)
    assert lease.until_ns == 20 * SECOND + LEASE_NS


def test_catching_up_after_more_than_three_seconds_is_too_late(lease):
    lease.hear(beat(sequence=12, state="b"), 20 * SECOND, BUS)
    lease.folded(12, "b", 20 * SECOND + LEASE_NS)
    assert lease.until_ns == 0


def test_a_worker_that_is_a_little_behind_agrees_at_its_own_place(lease):
    lease.folded(11, "b", 20 * SECOND)
    assert lease.hear(beat(sequence=10, state="a"), 21 * SECOND, BUS)


def test_a_worker_that_is_more_than_three_seconds_behind_is_not_alive(lease):
    lease.folded(11, "b", 20 * SECOND)
    assert not lease.hear(beat(sequence=10, state="a"), 20 * SECOND + LEASE_NS, BUS)
    assert "behind" in lease.problem


def test_places_that_hold_nothing_about_halts_do_not_matter(lease):
    assert lease.hear(beat(sequence=9_999, state="a"), 20 * SECOND, BUS)


def test_heartbeats_that_were_heard_before_renew_nothing(lease):
    assert lease.hear(beat(count=5), 20 * SECOND, BUS)
    assert not lease.hear(beat(count=5), 22 * SECOND, BUS)
    assert not lease.hear(beat(count=4), 22 * SECOND, BUS)
    assert lease.until_ns == 20 * SECOND + LEASE_NS
    assert lease.hear(beat(count=1, run="r-2"), 22 * SECOND, BUS)


@pytest.mark.parametrize("minutes", [-10, 10])
def test_clocks_that_differ_by_minutes_do_not_matter(lease, minutes):
    assert lease.hear(beat(issued_ns=BUS + minutes * 60 * SECOND), 20 * SECOND, BUS)


def test_a_heartbeat_of_hours_ago_is_not_one_of_today(lease):
    assert not lease.hear(beat(issued_ns=BUS - 7200 * SECOND), 20 * SECOND, BUS)


def test_before_the_stream_was_read_nothing_renews_and_then_what_was_heard_does():
    lease = Lease()
    assert not lease.hear(beat(state="a"), 20 * SECOND, BUS)
    lease.begin("a", 21 * SECOND)
    assert lease.until_ns == 20 * SECOND + LEASE_NS


def test_any_of_several_halt_workers_is_enough(lease):
    lease.hear(beat(state="b", worker="halt-2"), 20 * SECOND, BUS)
    assert lease.hear(beat(worker="halt-1"), 21 * SECOND, BUS)
