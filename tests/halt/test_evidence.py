"""The snapshot of a halt is what the events before it say, and it says where they disagree."""

from decimal import Decimal

import pytest

from operations.events.halts import Halt, HaltRequested
from operations.events.positions import (
    Exposure,
    ExposureMarked,
    Holding,
    PositionChange,
    PositionChanged,
    PositionSnapshotted,
    Snapshot,
)
from operations.halt.evidence import Positions, Proof, digest, document
from operations.halt.state import FIRM, Scope

pytestmark = pytest.mark.unit

ALPHA = Scope("FUND_HALT", "alpha")
MEAN_REV = Scope("STRATEGY_HALT", "mean-rev")


def changed(before, after, *, symbol="AAPL", fund="alpha", strategy="mean-rev", at="20:00:00Z"):
    change = PositionChange(
        symbol=symbol,
        before_quantity=Decimal(before),
        after_quantity=Decimal(after),
        cause="order",
    )
    return PositionChanged(
        timestamp=f"2026-11-20T{at}",
        subject_id=symbol,
        fund_id=fund,
        strategy_id=strategy,
        account_id="acc-1",
        data=change,
    )


def snapshotted(quantity, *, complete=True):
    holding = Holding(symbol="AAPL", quantity=Decimal(quantity))
    data = Snapshot(as_of="2026-11-20T20:01:00Z", holdings=(holding,), complete=complete)
    return PositionSnapshotted(
        subject_id="mean-rev",
        fund_id="alpha",
        strategy_id="mean-rev",
        account_id="acc-1",
        data=data,
    )


def exposed(gross, *, fund="alpha", strategy=None, currency="USD"):
    data = Exposure(
        as_of="2026-11-20T20:00:00Z", gross=Decimal(gross), net=Decimal(0), currency=currency
    )
    return ExposureMarked(subject_id=fund, fund_id=fund, strategy_id=strategy, data=data)


def requested(level="FUND_HALT"):
    halt = Halt(halt_id="h-1", level=level, reason_code="MANUAL", requested_by="ann")
    return HaltRequested(
        event_id="0199aaaa-bbbb-7ccc-8ddd-000000000001",
        timestamp="2026-11-20T20:00:10Z",
        actor="halt",
        subject_id="alpha",
        fund_id="alpha",
        strategy_id="mean-rev",
        data=halt,
    )


def folded(*events):
    positions = Positions()
    for event in events:
        positions.take(event)
    return positions


def test_positions_are_those_of_the_scope_and_flat_ones_are_left_out():
    positions = folded(
        changed("0", "100"),
        changed("0", "5", symbol="KO"),
        changed("5", "0", symbol="KO"),
        changed("0", "-7", fund="beta", strategy="momentum"),
    )
    assert [(each.symbol, each.quantity) for each in positions.of(ALPHA)] == [("AAPL", 100)]
    assert [each.fund_id for each in positions.of(FIRM)] == ["alpha", "beta"]
    assert positions.of(Scope("STRATEGY_HALT", "momentum"))[0].quantity == -7
    assert positions.of(Scope("FUND_HALT", "gamma")) == ()


def test_a_change_that_does_not_start_where_the_last_one_ended_makes_the_snapshot_incomplete():
    assert folded(changed("0", "100"), changed("100", "50")).is_complete(MEAN_REV)
    assert not folded(changed("0", "100"), changed("80", "50")).is_complete(MEAN_REV)
    assert not folded(changed("80", "50")).is_complete(MEAN_REV)


def test_a_complete_snapshot_settles_the_doubt_and_an_incomplete_one_raises_it():
    doubtful = (changed("80", "50"),)
    assert folded(*doubtful, snapshotted("50")).is_complete(MEAN_REV)
    assert not folded(changed("0", "1"), snapshotted("1", complete=False)).is_complete(MEAN_REV)


def test_nothing_known_is_not_complete():
    assert not folded().is_complete(FIRM)


def test_the_gross_exposure_of_the_firm_is_the_sum_of_its_funds():
    positions = folded(exposed("100"), exposed("50", fund="beta"), exposed("7", strategy="s"))
    assert positions.gross(FIRM) == (Decimal(150), "USD")
    assert positions.gross(ALPHA) == (Decimal(100), "USD")
    assert positions.gross(Scope("STRATEGY_HALT", "s")) == (Decimal(7), "USD")


def test_two_currencies_are_never_added_up():
    assert folded(exposed("1"), exposed("1", fund="beta", currency="EUR")).gross(FIRM) is None
    assert folded().gross(FIRM) is None


def test_the_record_names_its_entries_and_the_age_of_what_was_held():
    positions = folded(changed("0", "100", at="20:00:08.500Z"), exposed("18740"))
    proofs = [Proof(42, b"\x02" * 32), Proof(41, b"\x01" * 32)]
    event = document(requested(), positions, proofs, "evidence")
    said = event.data
    assert said.log_sequences == (41, 42)
    assert said.entry_hashes == ("01" * 32, "02" * 32)
    assert (said.positions_age_ms, said.positions_complete, said.positions_count) == (1500, True, 1)
    assert (said.gross, said.currency) == (Decimal(18740), "USD")
    assert said.positions_sha256 == digest(said.positions)
    assert event == document(requested(), positions, proofs, "evidence")


def test_the_digest_does_not_depend_on_how_a_quantity_is_written():
    one, other = folded(changed("0", "1E+2")), folded(changed("0", "100.00"))
    assert digest(one.of(FIRM)) == digest(other.of(FIRM))
    assert digest(one.of(FIRM)) != digest(folded(changed("0", "101")).of(FIRM))
