"""Does the fast reader of market data accept and refuse exactly what the strict one does?"""

import runpy
from decimal import Decimal
from pathlib import Path

import pytest

from operations.errors import Rejected
from operations.events import fast, subjects
from operations.events.base import encode
from operations.events.marketdata import Trade, TradePrinted

pytestmark = pytest.mark.unit
FUZZ = runpy.run_path(str(Path(__file__).resolve().parents[2] / "bench" / "fuzz_market.py"))
SUBJECT, PAYLOAD = FUZZ["SEEDS"][0]


def fits(payload):
    """Whether the fast way alone reads a payload."""
    return fast._READERS[SUBJECT][0](payload) is not None


def test_what_our_publisher_writes_is_read_the_fast_way_and_is_the_same_event():
    for subject, payload in FUZZ["SEEDS"]:
        assert fast._READERS[subject][0](payload)
        event = fast.decode(subject, payload)
        assert isinstance(event, subjects.find(subject))
        assert encode(event) == payload


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
        (b"2026-02-28T", b"2026-02-29T"),
        (b'"167.41"', b'"1_67.41"'),
        (b'"167.41"', b'"NaN"'),
        (b'"167.41"', b'"' + b"9" * 60 + b'"'),
        (b'"USD"', b'"usd"'),
        (b'"SPY","trade_id"', b'"SP\xffY","trade_id"'),
        (b'"0199-a"', b'"0199 a"'),
        (b'"subject_id":"SPY"', b'"subject_id":"' + b"x" * 257 + b'"'),
    ],
)
def test_what_the_contract_forbids_is_refused(before, after):
    assert before in PAYLOAD
    payload = PAYLOAD.replace(before, after, 1)
    with pytest.raises(Rejected):
        fast.decode(SUBJECT, payload)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"167.41"', b"167.41"),
        (b'{"event_id"', b' {"event_id"'),
        (b'"actor":"feed-1"', b'"new":{"field":1},"actor":"feed-1"'),
        (b'"SPY","trade_id"', b'"\\u0053PY","trade_id"'),
        (b'"XNAS"', '"Zürich"'.encode()),
    ],
)
def test_what_is_written_in_another_way_is_read_the_strict_way(before, after):
    payload = PAYLOAD.replace(before, after, 1)
    assert not fits(payload)
    event = fast.decode(SUBJECT, payload)
    assert event.data.price == Decimal("167.41")


def test_an_event_of_any_other_kind_is_read_as_ever():
    subject, payload = FUZZ["SEEDS"][2]
    with pytest.raises(Rejected):
        fast.decode("mts.v1.no.such.thing", payload)
    with pytest.raises(Rejected):
        fast.decode(SUBJECT, payload)  # a quote is no trade
    assert fast.decode(subject, payload).data.symbol == "SPY"


def test_the_kinds_that_are_read_fast_have_the_fields_of_the_contract_and_no_other():
    event = TradePrinted(**FUZZ["ENVELOPE"], subject_id="SPY", data=Trade(**FUZZ["TRADE"]))
    read = fast.decode(SUBJECT, encode(event))
    assert read.__struct_fields__ == event.__struct_fields__
    assert read.data.__struct_fields__ == event.data.__struct_fields__
