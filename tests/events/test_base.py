"""What is refused when an event is read, and what may never be built."""

import json
import re
from decimal import Decimal

import msgspec
import pytest
from golden_events import golden
from hypothesis import assume, example, given
from hypothesis import strategies as st

from operations.errors import Rejected
from operations.events.base import (
    DECIMAL_PATTERN,
    MAX_BYTES,
    MAX_DECIMAL_DIGITS,
    _plain,
    check_form,
    derived_id,
    encode,
    read,
)
from operations.events.orders import Order, OrderSubmitted
from operations.events.strategies import Signal
from operations.events.subjects import decode

pytestmark = pytest.mark.unit

SUBJECT = "mts.v1.trading.order.submitted"
VALID = {
    "event_id": "0199a9b1-5c00-7000-8000-000000000001",
    "timestamp": "2026-11-20T20:00:00.123456789Z",
    "actor": "oms-1",
    "subject_id": "ord-42",
    "data": {"symbol": "AAPL", "side": "buy", "quantity": "100"},
}


def payload(**changes: object) -> bytes:
    return json.dumps(VALID | changes).encode()


def with_data(**changes: object) -> bytes:
    return payload(data={**VALID["data"], **changes})


def test_the_example_of_the_contract_is_read():
    event = decode(SUBJECT, payload())
    assert isinstance(event, OrderSubmitted)
    assert event.data.quantity == Decimal(100)
    assert event.environment == "live"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100", "100"),
        ("0.1", "0.1"),
        ("1e2", "100"),
        ("1e-8", "0.00000001"),
        ("-0.00000150", "-0.00000150"),
        ("1.25E+4", "12500"),
        ("0E-8", "0"),
        ("0e5", "0"),
        ("0.00", "0.00"),
        ('"+.5"', "0.5"),
        ('"12.50"', "12.50"),
        ("12345678901234567890.123456789", "12345678901234567890.123456789"),
    ],
)
def test_a_quantity_is_read_from_its_text_and_never_through_a_binary_number(text, value):
    raw = payload().replace(b'"100"', text.encode())
    assert decode(SUBJECT, raw).data.quantity == Decimal(value)
    assert f'"quantity":"{value}"'.encode() in encode(decode(SUBJECT, raw))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not JSON"),
        (b"null", "Expected `object`"),
        (b"[]", "Expected `object`"),
        (b"\xff", "not JSON"),
        (b'\xef\xbb\xbf{"a":1}', "not JSON"),
        (b'{"a":1}{', "not JSON"),
        (b'{"a":1,"a":2}', "stands twice"),
        (payload().replace(b'"side"', b'"symbol": "X", "side"'), "stands twice"),
        (b'{"a":NaN}', "not a JSON number"),
        (b'{"a":-Infinity}', "not a JSON number"),
        (payload(note="x" * MAX_BYTES), "limit is 262144"),
        (payload(note=1) + b" " * MAX_BYTES, "limit is 262144"),
        (b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", "nested 65 deep"),
        (b"[" * 200_000, "nested 200000 deep"),
        (payload(event_id=None), "event_id"),
        (payload(event_id="a\n"), "event_id"),
        (payload(event_id="a" * 65), "event_id"),
        (payload(event_id=""), "event_id"),
        (payload(timestamp="2026-02-30T00:00:00Z"), "does not exist"),
        (payload(timestamp="2026-11-20T20:00:00"), "timestamp"),
        (payload(timestamp="2026-11-20T20:00:00+01:00"), "timestamp"),
        (payload(timestamp="2026-11-20T24:00:00Z"), "does not exist"),
        (payload(environment="Live"), "environment"),
        (payload(subject_id=""), "subject_id"),
        (payload(data=[]), "data"),
        (with_data(quantity=True), "quantity"),
        (with_data(quantity="NaN"), "finite"),
        (with_data(quantity="sNaN"), "finite"),
        (with_data(quantity="Infinity"), "finite"),
        (with_data(quantity="1e999999"), "digits"),
        (with_data(quantity="1" * 5000), "digits"),
        (with_data(limit_price="1.5"), "currency"),
        (with_data(limit_price="1.5", currency="usd"), "currency"),
        (with_data(side="BUY"), "side"),
        (with_data(symbol=7), "symbol"),
    ],
)
def test_what_breaks_the_contract_is_rejected_with_its_reason(raw, reason):
    with pytest.raises(Rejected, match=reason):
        decode(SUBJECT, raw)


@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40)
    | st.builds(
        Decimal, st.from_regex(r"-?[0-9]{1,9}(\.[0-9]{1,12})?E[+-]?[0-9]{1,2}", fullmatch=True)
    ),
    st.sampled_from(["AAPL", "E-1", '"E+2"', "1E-8"]),
)
def test_every_decimal_that_is_written_is_read_again_and_has_no_exponent(value, symbol):
    assume(abs(value.adjusted()) <= MAX_DECIMAL_DIGITS)
    order = Order(symbol=symbol, side="buy", quantity=value, limit_price=value, currency="USD")
    event = msgspec.structs.replace(decode(SUBJECT, payload()), data=order)
    raw = encode(event)
    assert read(OrderSubmitted, raw) == event
    written = json.loads(raw)["data"]
    assert written["symbol"] == symbol
    for name in ("quantity", "limit_price"):
        assert re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", written[name])


@pytest.mark.parametrize("subject", golden())
def test_an_event_without_exponents_is_written_the_same_both_ways(subject):
    event = decode(subject, golden()[subject])
    plain = _plain(msgspec.to_builtins(event, builtin_types=(Decimal,)))
    assert msgspec.json.encode(plain) == encode(event) == golden()[subject]


@given(
    st.text("0123456789_+-.eE \t\n\u0661\uff12", min_size=1, max_size=8)
    | st.from_regex(r"[0-9]{1,3}[_. ][0-9]{1,3}", fullmatch=True)
)
@example("1_000").via("read by Python")
@example(" 7").via("read by Python")
@example("7\n").via("read by Python")
@example("\u0661").via("read by Python")
@example("1e1_0").via("read by Python")
@example("+.5e-1").via("allowed")
def test_a_decimal_is_read_exactly_from_the_texts_of_the_contract(text):
    as_it_is = json.dumps(json.loads(with_data(quantity=text)), ensure_ascii=False).encode()
    for raw in (with_data(quantity=text), as_it_is):
        try:
            decode(SUBJECT, raw)
        except Rejected:
            if re.search(DECIMAL_PATTERN, text):
                assert abs(Decimal(text).adjusted()) > MAX_DECIMAL_DIGITS
        else:
            assert re.search(DECIMAL_PATTERN, text)


def test_texts_that_are_no_decimals_may_look_as_they_like():
    event = decode(SUBJECT, with_data(symbol="1_000", tags=["1_000"]))
    assert event.data.symbol == "1_000"


def test_a_decimal_in_a_list_of_parts_is_looked_at_too():
    subject = next(each for each in golden() if b'"holdings":[{' in golden()[each])
    raw = golden()[subject]
    assert decode(subject, raw.replace(b'"quantity":"100"', b'"quantity":"1e2"'))
    with pytest.raises(Rejected, match="quantity is '1_00': not a decimal"):
        decode(subject, raw.replace(b'"quantity":"100"', b'"quantity":"1_00"'))


@pytest.mark.parametrize("name", ["event_id", "timestamp", "actor", "subject_id", "data"])
def test_a_required_field_that_is_missing_is_named(name):
    raw = json.dumps({key: value for key, value in VALID.items() if key != name}).encode()
    with pytest.raises(Rejected, match=name):
        decode(SUBJECT, raw)


@pytest.mark.parametrize("subject", ["", "mts.v1.trading.order", "mts.v1.x.y", SUBJECT + ".z", "é"])
def test_an_unknown_subject_is_rejected(subject):
    with pytest.raises(Rejected, match="no event is known"):
        decode(subject, payload())


def test_an_event_on_the_subject_of_another_check_is_rejected(golden_findings):
    subject, raw = golden_findings
    with pytest.raises(Rejected, match="arrived on"):
        decode(subject.replace("vpin", "news_spike"), raw)


@pytest.fixture
def golden_findings():
    subject = "mts.v1.operations.finding.vpin.raised"
    return subject, golden()[subject]


def test_a_newer_publisher_with_more_fields_is_read():
    assert decode(SUBJECT, with_data(colour="green")) == decode(SUBJECT, payload(more={"a": [1]}))


def test_brackets_inside_texts_do_not_count_as_depth():
    check_form(json.dumps({"text": "[{" * 500, "quote": '\\"[' * 100}).encode())


def test_depth_is_counted_in_linear_time_on_quotes_that_never_close():
    with pytest.raises(Rejected):
        check_form(b"[" * 65 + b'\\"' * 130_000)


def test_exactly_the_limits_are_accepted():
    check_form(b"[" * 64 + b"]" * 64)
    check_form(b'"' + b"x" * (MAX_BYTES - 2) + b'"')


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1E+41"])
def test_no_event_can_be_built_with_a_number_that_is_none(value):
    with pytest.raises(Rejected):
        Order(symbol="AAPL", side="buy", quantity=Decimal(value))


def test_no_event_can_be_built_with_a_float_that_is_not_finite():
    with pytest.raises(Rejected, match="finite"):
        Signal(
            symbol="AAPL",
            direction="long",
            confidence=float("nan"),
            rationale="x" * 20,
            generation_latency_ms=1.0,
            created_at="2026-11-20T20:00:00Z",
        )


def test_no_event_can_be_built_with_money_that_has_no_currency():
    with pytest.raises(Rejected, match="without a currency"):
        Order(symbol="AAPL", side="buy", quantity=Decimal(1), limit_price=Decimal(5))


def test_an_event_that_the_publisher_has_not_completed_cannot_be_written():
    event = OrderSubmitted(
        subject_id="o", data=Order(symbol="AAPL", side="buy", quantity=Decimal(1))
    )
    with pytest.raises(Rejected, match="lacks event_id, timestamp, actor"):
        encode(event)


def test_a_text_that_is_not_unicode_cannot_be_written():
    event = read(OrderSubmitted, payload())
    broken = type(event)(
        event_id="a", timestamp=event.timestamp, actor="\ud800", subject_id="o", data=event.data
    )
    with pytest.raises(Rejected, match="cannot be written"):
        encode(broken)


def test_a_derived_id_is_the_same_for_the_same_cause_and_frozen():
    assert derived_id("cause", "rule", "subject", 0) == "31aa431b-ce75-599f-b3ff-3127ac218c4c"


@given(
    st.tuples(st.text(), st.text(), st.text(), st.integers(0, 9)).flatmap(
        lambda a: st.tuples(
            st.just(a), st.tuples(st.text(), st.text(), st.text(), st.integers(0, 9))
        )
    )
)
def test_derived_ids_of_different_causes_differ(pair):
    left, right = pair
    assert (derived_id(*left) == derived_id(*right)) == (left == right)


def test_the_parts_of_a_derived_id_cannot_run_into_each_other():
    assert derived_id("a", "bc", "d", 0) != derived_id("ab", "c", "d", 0)
    assert derived_id("a1:b", "", "", 0) != derived_id("a", "b", "", 0)


def test_one_key_among_very_many_that_stands_twice_is_found_in_time():
    many = ",".join(f'"{number:x}":0' for number in range(20_000))
    with pytest.raises(Rejected, match="'4e1f' stands twice"):
        check_form(f'{{{many},"4e1f":0}}'.encode())


def test_a_key_written_in_two_ways_stands_twice():
    with pytest.raises(Rejected, match="stands twice"):
        check_form(rb'{"a":1,"\u0061":2}')
