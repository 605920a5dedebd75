"""Does every entry give a row that a database takes, and always the same one?"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.audit.entry import Entry
from operations.audit.projection import KEYS, MAX_INDEXED_BYTES, project

pytestmark = pytest.mark.unit


def row(data: bytes, subject: bytes = b"mts.v1.a.b", subject_id: bytes = b"x"):
    return project(Entry(1, 2, 3, subject, b"me", subject[7:], subject_id, b"", data))


def test_the_keys_people_search_by_are_columns():
    made = row(json.dumps({key: f"{key}-1" for key in KEYS}).encode())
    assert [getattr(made, key) for key in KEYS] == [f"{key}-1" for key in KEYS]
    assert (made.sequence, made.stream_sequence, made.time_ns, made.actor) == (1, 2, 3, "me")
    assert made.problem is None


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\xff", "not UTF-8: invalid start byte at byte 0"),
        (b"{", "not JSON"),
        (b"NaN", "not JSON: NaN is not JSON"),
        (b'"\\u0000"', "U+0000"),
        (b'{"\\u0000":1}', "U+0000"),
        (b'["\\ud800"]', "unpaired surrogate"),
        (b'{"a":1e1001}', "holds a number"),
        (b"[" * 65 + b"]" * 65, "nested deeper than 64"),
        (b"", "not JSON"),
    ],
)
def test_what_a_database_does_not_take_is_left_out_with_the_reason(data, problem):
    made = row(data)
    assert made.data is None
    assert problem in made.problem


@pytest.mark.parametrize("data", [b"{}", b"[]", b'"text"', b"1e1000", b'"\\ud83d\\ude00"', b"null"])
def test_json_that_a_database_takes_is_kept_as_it_was_written(data):
    assert (row(data).data, row(data).problem) == (data.decode(), None)


@pytest.mark.parametrize(
    "value", ['""', "7", "null", '"\\u0000"', '"\\ud800"', '"' + "o" * 1025 + '"']
)
def test_a_key_that_nobody_could_look_up_is_null(value):
    assert row(b'{"order_id":%s}' % value.encode()).order_id is None


def test_a_key_beside_a_value_that_cannot_be_stored_is_kept():
    made = row(b'{"order_id":"o-1","data":"\\u0000"}')
    assert (made.order_id, made.data) == ("o-1", None)


def test_names_that_are_not_text_become_readable_and_short():
    made = row(b"{}", subject=b"mts.v1.\xff\x00", subject_id=b"s" * 5000)
    assert made.subject == "mts.v1.\ufffd\ufffd"
    assert len(made.subject_id) == MAX_INDEXED_BYTES


@given(st.binary() | st.text().map(str.encode), st.binary(), st.binary())
def test_it_never_fails_and_never_gives_text_that_a_database_refuses(data, subject, subject_id):
    made = row(data, subject, subject_id)
    assert made == row(data, subject, subject_id)
    for text in made:
        if isinstance(text, str):
            assert "\0" not in text
            text.encode()


@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_json_is_kept_or_has_a_problem(value):
    made = row(json.dumps(value).encode())
    assert (made.data is None) == (made.problem is not None)
