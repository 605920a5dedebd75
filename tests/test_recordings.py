"""Does a recording become the same messages every time, and every wrong line a reason?"""

import base64
import json
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations import recordings
from operations.errors import Rejected
from operations.events.subjects import decode
from operations.recordings import Recorded

pytestmark = pytest.mark.unit

HEADER = ",".join(recordings.COLUMNS).encode() + b"\n"
ROW = b"1430438404518000000,BITSTAMP,BTCUSD,1,65595247,submitted,BUY,236.47,2.00000000,2.00000000,"
PART = b"1430438404635000000,BITSTAMP,BTCUSD,2,65595247,partially_filled,BUY,236.47,0.5,1.5,BUY"
REST = b"1430438406337000000,BITSTAMP,BTCUSD,3,65595247,filled,BUY,236.47,1.5,0,SELL"
CANCEL = b"1430438406338000000,BITSTAMP,BTCUSD,4,9,cancelled,SELL,236.08,2.5,0,"
AMEND = b"1430438406338000000,BITSTAMP,BTCUSD,5,9,modified,SELL,236.08,3,3,"
LINE = b'{"subject":"mts.v1.a.b","payload":{"event_id":"id-1","n": 1.0}}\n'


def rows(*lines):
    reader = recordings.reader(HEADER)
    assert reader.read(HEADER) is None
    return [reader.read(line) for line in lines]


def events(*lines):
    return [decode(found.subject, found.payload) for found in rows(*lines)]


def json_line(line):
    return recordings.reader(b"{}").read(line)


def test_a_json_payload_is_kept_byte_for_byte():
    assert json_line(LINE) == Recorded("mts.v1.a.b", b'{"event_id":"id-1","n": 1.0}', "id-1", 0)


@given(st.binary())
def test_any_bytes_survive_in_base64(payload):
    line = {"subject": "mts.v1.a", "payload_base64": base64.b64encode(payload).decode()}
    assert json_line(json.dumps(line).encode()).payload == payload


def test_the_time_of_the_line_goes_before_that_of_the_payload():
    inner = '"payload":{"timestamp":"1970-01-01T00:00:01Z"}'
    assert json_line(f'{{"subject":"s",{inner}}}'.encode()).timestamp_ns == 10**9
    outer = f'{{"subject":"s","timestamp":"1970-01-01T00:00:02Z",{inner}}}'
    assert json_line(outer.encode()).timestamp_ns == 2 * 10**9


def test_an_event_without_an_id_always_gets_the_same():
    line = b'{"subject":"s","payload":1}'
    assert json_line(line) == json_line(line + b"\r\n")
    assert json_line(line).event_id != json_line(line.replace(b"1", b"2")).event_id
    strange = b'{"subject":"s","payload":{"event_id":"a b"}}'
    assert json_line(strange).event_id.count("-") == 4


@pytest.mark.parametrize(
    "line",
    [
        b'{"subject":"s"}',
        b'{"payload":1}',
        b'{"subject":"s","payload":1,"payload_base64":"AA=="}',
        b'{"subject":"s","payload_base64":"A"}',
        b'{"subject":"s","payload":1,"other":1}',
        b'{"subject":"s","payload":1,"timestamp":"noon"}',
        b'{"subject":"s","payload":}',
        b'{"subject":"s","payload":"\xff"',
        b"[" * 5000,
        b"x",
    ],
)
def test_a_line_that_is_no_message_is_rejected(line):
    with pytest.raises(Rejected):
        json_line(line)


def test_the_life_of_an_order_adds_up():
    submitted, part, rest = events(ROW, PART, REST)
    assert submitted.data.quantity == part.data.quantity == rest.data.quantity == 2
    assert submitted.timestamp == "2015-05-01T00:00:04.518000000Z"
    assert (part.data.last_quantity, part.data.leaves_quantity) == (Decimal("0.5"), Decimal("1.5"))
    assert (part.data.liquidity, rest.data.liquidity) == ("taker", "maker")
    assert submitted.data.currency == "USD"
    assert submitted.environment == "drill"
    assert {event.order_id for event in (submitted, part, rest)} == {"BITSTAMP-65595247"}
    assert len({event.account_id for event in (submitted, part, rest)}) == 1
    assert len({event.event_id for event in (submitted, part, rest)}) == 3


def test_an_order_from_before_the_recording_has_the_quantity_that_its_rows_prove():
    rest, canceled = events(REST, CANCEL)
    assert rest.data.quantity == Decimal("1.5")
    assert canceled.data.quantity == Decimal("2.5")
    amended, canceled = events(AMEND, CANCEL)
    assert amended.data.quantity == canceled.data.quantity == 3


def test_a_fill_without_a_quantity_is_what_the_order_lost():
    empty = PART.replace(b",0.5,1.5,", b",,1.5,")
    _, part = events(ROW, empty)
    assert (part.data.last_quantity, part.data.quantity) == (Decimal("0.5"), 2)
    (part,) = events(empty)  # nothing was known about the order before
    assert (part.data.last_quantity, part.data.quantity) == (0, Decimal("1.5"))
    with pytest.raises(Rejected, match="cannot be read"):
        events(ROW.replace(b",2.00000000,2.00000000,", b",,2,"))


def test_rows_always_give_the_same_bytes():
    assert rows(ROW, PART) == rows(ROW, PART)
    assert rows(ROW)[0].event_id == "7e5dec68-e75b-5bad-8ec9-a519c46466a6"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"BUY", b"UP", "'UP' is none of BUY, SELL"),
        (b"submitted", b"sent", "'sent' is none of submitted"),
        (b"236.47", b"cheap", "cannot be read"),
        (b"236.47", b"NaN", "not a finite number"),
        (b"1430438404518000000", b"noon", "cannot be read"),
        (b"1430438404518000000", b"9" * 40, "cannot be read"),
        (b"BTCUSD", b"AAPL", "use --currency"),
        (b"65595247", b"6,5", "12 cells, the header 11"),
        (b"BITSTAMP", b"\xff", "cannot be read"),
    ],
)
def test_a_wrong_row_is_rejected_with_the_reason(old, new, reason):
    with pytest.raises(Rejected, match=reason):
        rows(ROW.replace(old, new, 1))


@given(st.binary(max_size=200))
def test_any_row_is_an_event_or_nothing_or_rejected(line):
    with suppress(Rejected):
        assert all(found is None or found.event_id for found in rows(line))


@given(st.integers(0, len(ROW) - 1), st.binary(max_size=3))
def test_any_changed_row_is_an_event_or_rejected(place, change):
    with suppress(Rejected):
        assert rows(ROW[:place] + change + ROW[place + 1 :])


def test_a_currency_can_be_given():
    reader = recordings.reader(HEADER, currency="EUR")
    found = reader.read(ROW.replace(b"BTCUSD", b"SAP"))
    assert decode(found.subject, found.payload).data.currency == "EUR"


def test_columns_may_stand_in_any_order():
    names = list(reversed(recordings.COLUMNS))
    reader = recordings.reader(",".join(names).encode())
    line = b",".join(reversed(ROW.split(b",")))
    assert reader.read(line) == rows(ROW)[0]


def test_a_file_of_another_form_is_rejected():
    with pytest.raises(Rejected, match="neither JSON Lines nor CSV"):
        recordings.reader(b"a,b,c\n")
