"""Ids, times and amounts are made from integers alone."""

import uuid
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.clock import parse_rfc3339, rfc3339
from operations.simulation.writer import Writer, base_money, money, timestamp

pytestmark = pytest.mark.unit


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_a_time_is_written_as_the_clock_writes_it(at_ns):
    assert timestamp(at_ns) == rfc3339(at_ns)
    assert parse_rfc3339(timestamp(at_ns)) == at_ns


def test_ids_are_of_version_seven_and_differ():
    writer = Writer("seed")
    ids = [uuid.UUID(writer.event_id(1_795_000_000_000_000_000)) for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    assert {(value.version, value.variant) for value in ids} == {(7, uuid.RFC_4122)}


@given(st.integers(-(10**15), 10**15))
def test_amounts_are_exact(amount):
    assert money(amount) * 100 == amount
    assert base_money(amount) * 1_000_000 == amount


def test_amounts_have_two_places_and_six_only_where_they_are_needed():
    assert str(money(1)) == "0.01"
    assert base_money(1_500_000) == Decimal("1.50")
    assert str(base_money(1_500_000)) == "1.50"
    assert str(base_money(1_500_001)) == "1.500001"
