"""Are trades that are read together read exactly as strictly as one by one?"""

import runpy
from pathlib import Path

import msgspec
import numpy as np
import pytest

from operations.clock import MOST_NS
from operations.events import subjects, trades
from operations.events.base import encode
from operations.events.marketdata import Trade, TradePrinted

pytestmark = pytest.mark.unit
FUZZ = runpy.run_path(str(Path(__file__).resolve().parents[2] / "bench" / "fuzz_market.py"))
SEEDS = FUZZ["SEEDS"]
PAYLOAD = SEEDS[0]


def read(*payloads):
    places = range(1, len(payloads) + 1)
    return trades.read(places, [10 * place for place in places], payloads)


def at_once(*payloads):
    """Whether payloads are read in one step."""
    return trades._together(payloads) is not None


def test_what_our_publisher_writes_is_read_in_one_step():
    assert at_once(*SEEDS)
    found, odd = read(*SEEDS)
    assert odd == 0
    assert found.sequence.tolist() == [1, 2, 3]
    assert found.at_ns.tolist() == [10, 20, 30]
    assert found.side.tolist() == [0, 1, -1]
    assert found.environment == ["live", "live", "paper"]
    assert [encode(found.event(place)) for place in range(3)] == list(SEEDS)


def test_twenty_thousand_mutated_payloads_are_read_or_refused_alike():
    assert FUZZ["compare"](20_000, 20261120) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"size":"100"', b'"size":"100","size":"100"'),
        (b'"symbol":"SPY"', b'"symbol":"SPY","symbol":"QQQ"'),
        (b'"actor":"feed-1"', b'"actor":""'),
        (b"2026-11-20T20", b"2026-11-31T20"),
        (b"2026-11-20T20", b"2026-11-20T24"),
        (b"2026-11-20T20", b"0000-11-20T20"),
        (b"2026-02-28T", b"2026-02-29T"),
        (b'"167.41"', b'"1_67.41"'),
        (b'"167.41"', b'"NaN"'),
        (b'"167.41"', b'"' + b"9" * 60 + b'"'),
        (b'"USD"', b'"usd"'),
        (b'"USD"', b'"USD\\nUSD"'),
        (b'"SPY","trade_id"', b'"SP\xffY","trade_id"'),
        (b'"SPY","trade_id"', b'"\xed\xa0\x80","trade_id"'),
        (b'"0199-a"', b'"0199 a"'),
        (b'"subject_id":"SPY"', b'"subject_id":"' + b"x" * 257 + b'"'),
        (b'"venue":"XNAS"', b'"venue":"' + b"x" * 256 * 1024 + b'"'),
        (b'"data"', b'\n{}\n"data"'),
    ],
)
def test_what_the_contract_forbids_is_refused_and_costs_no_other_trade(before, after):
    assert before in PAYLOAD
    found, odd = read(*SEEDS, PAYLOAD.replace(before, after, 1), *SEEDS)
    assert odd == 1
    assert found.sequence.tolist() == [1, 2, 3, 5, 6, 7]
    assert list(found.payload) == [*SEEDS, *SEEDS]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"167.41"', b"167.41"),
        (b'{"event_id"', b' {"event_id"'),
        (b'"actor":"feed-1"', b'"new":{"field":1},"actor":"feed-1"'),
        (b'"SPY","trade_id"', b'"\\u0053PY","trade_id"'),
        (b'"aggressor":"buy"', b'"aggressor":"buy","conditions":[]'),
    ],
)
def test_what_is_written_in_another_way_is_read_the_strict_way(before, after):
    payload = SEEDS[1].replace(before, after, 1)
    assert payload != SEEDS[1]
    assert not at_once(payload)
    found, odd = read(SEEDS[0], payload)
    assert odd == 0
    assert found.price.tolist() == [167.41, 167.41]
    assert found.symbol == ["SPY", "SPY"]


def test_two_payloads_cannot_hide_a_third_between_them():
    whole, broken = SEEDS[1] + b"\n" + SEEDS[1], b""
    found, odd = read(whole, broken)
    assert len(found) == 0
    assert odd == 2


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59.999999999Z", "0001-01-01T00:00:00Z"])
def test_a_time_that_no_64_bits_hold_stands_as_one_that_is_far_away(time):
    event = msgspec.structs.replace(FUZZ["EVENTS"][0], timestamp=time)
    found, odd = read(encode(event))
    assert odd == 0
    assert abs(int(found.said_ns[0])) == MOST_NS


def test_trades_are_told_apart_by_instrument_and_venue_with_their_places():
    def trade(symbol, venue):
        data = Trade(**(FUZZ["TRADE"] | {"symbol": symbol, "venue": venue}))
        return encode(TradePrinted(**FUZZ["ENVELOPE"], subject_id=symbol, data=data))

    found, _ = read(trade("A", "X"), trade("B", "X"), trade("A", "Y"), trade("A", "X"))
    parts = found.by("symbol", "venue")
    assert {key: part.places.tolist() for key, part in parts.items()} == {
        ("A", "X"): [0, 3], ("B", "X"): [1], ("A", "Y"): [2],
    }  # fmt: skip
    assert parts["A", "X"].trades.sequence.tolist() == [1, 4]
    assert trades.NONE.by("symbol") == {}
    assert [len(found.cut(1, end)) for end in (1, 3, 9)] == [0, 2, 3]
    assert np.array_equal(found.cut(1, 3).sequence, [2, 3])


def test_the_lean_form_has_the_fields_of_the_contract_and_no_other():
    event = subjects.decode(TradePrinted.pattern, SEEDS[2])
    (lean,) = trades._decode(SEEDS[2])
    assert lean.__struct_fields__ == event.__struct_fields__
    assert lean.data.__struct_fields__ == event.data.__struct_fields__


def test_every_field_for_which_the_contract_has_a_form_is_checked():
    checked = [
        [get.__reduce__()[1][0] for get, _ in forms]
        for forms in (trades._FORMS, trades._FORMS_OF_DATA)
    ]
    assert checked == [["event_id"], ["price", "size", "currency"]]
