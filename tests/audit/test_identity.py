"""Does the log read the same names out of a payload by the fast path, the rule, and alone?"""

import runpy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.audit import standalone
from operations.audit.identity import depth, identify, identify_by_the_rule

pytestmark = pytest.mark.unit

FUZZ = runpy.run_path(str(Path(__file__).resolve().parents[2] / "bench" / "fuzz_identity.py"))
ABSENT = (b"", b"")


def everywhere(payload):
    """Return what all three implementations say, which must be one thing."""
    answers = {identify(payload), identify_by_the_rule(payload), standalone.identify(payload)}
    assert len(answers) == 1, payload
    return answers.pop()


def test_the_fast_path_agrees_with_the_rule_on_20000_mutated_payloads():
    assert FUZZ["compare"](20_000, seed=7) is None


def test_the_stand_alone_verifier_agrees_on_5000_mutated_payloads():
    source = __import__("random").Random(11)
    for payload in FUZZ["SEEDS"]:
        everywhere(payload)
    for _ in range(5_000):
        everywhere(FUZZ["mutated"](source))


@given(st.binary(max_size=60) | st.text('{}[]",:\\ua actorsubject_id0123.eE-', max_size=60))
def test_arbitrary_bytes_have_one_answer(payload):
    everywhere(payload if isinstance(payload, bytes) else payload.encode())


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"actor":"oms-1","subject_id":"ord-1"}', (b"oms-1", b"ord-1")),
        (b'{"act\\u006fr":"a","subject\\u005fid":"\\u00e9"}', (b"a", "é".encode())),
        (b'{"actor":"a","actor":"b"}', (b"b", b"")),
        (b'{"actor":"a","actor":1}', ABSENT),
        (b'{"actor":1,"actor":"b"}', (b"b", b"")),
        (b'{"actor":"a","act\\u006fr":"b"}', (b"b", b"")),
        (b'{"actor":"\\ud800","subject_id":"s"}', (b"", b"s")),
        (b'{"actor":"\\ud83d\\ude00"}', ("😀".encode(), b"")),
        (b'{"\\udfff":1,"actor":"a"}', (b"a", b"")),
        (b'\xef\xbb\xbf{"actor":"a"}', ABSENT),
        (b'{"actor":"a","n":NaN}', ABSENT),
        (b'{"actor":"a","n":-Infinity}', ABSENT),
        (b'{"actor":"a","n":1e999,"m":-0.0E-9}', (b"a", b"")),
        (b'{"actor":"a","n":' + b"7" * 100_000 + b"}", (b"a", b"")),
        (b'{"actor":"a","n":01}', ABSENT),
        (b'{"actor":"a","n":1.}', ABSENT),
        (b'{"actor":"a","n":+1}', ABSENT),
        (b'{"actor":"a\x1f"}', ABSENT),
        (b'{"actor":"a\x7f"}', (b"a\x7f", b"")),
        (b'{"actor":"a","x":"\t"}', ABSENT),
        (b'{"actor":"a","x":"\\x"}', ABSENT),
        (b'{"actor":"a"}\x00', ABSENT),
        (b'{"actor":"a"}\x0b', ABSENT),
        (b'{"actor":"a",}', ABSENT),
        (b"{'actor':'a'}", ABSENT),
        (b'{"actor":"a"} // why', ABSENT),
        (b'{"actor":"\xff"}', ABSENT),
        (b'{"actor":"a","x":"\xc0\x80"}', ABSENT),
        (b'{"actor":"a","x":"\xed\xa0\x80"}', ABSENT),
        (b'["actor","a"]', ABSENT),
        (b'"actor"', ABSENT),
        (b"null", ABSENT),
        (b"7", ABSENT),
        (b"", ABSENT),
        (b'{"actor":{"actor":"a"},"subject_id":["s"]}', ABSENT),
        (b'{"Actor":"a","actor ":"b"}', ABSENT),
    ],
)
def test_the_rule_has_one_answer_to_odd_payloads(payload, expected):
    assert everywhere(payload) == expected


def test_a_name_has_at_most_256_bytes_not_characters():
    for text in ("a" * 256, "é" * 128, "😀" * 64):
        assert everywhere(f'{{"actor":"{text}"}}'.encode()) == (text.encode(), b"")
    for text in ("a" * 257, "é" * 128 + "a", "😀" * 64 + "a"):
        assert everywhere(f'{{"actor":"{text}"}}'.encode()) == ABSENT


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"k":', b"}")])
def test_a_payload_is_read_to_depth_64_and_no_deeper(opening, closing):
    for nested, expected in ((63, (b"a", b"")), (64, ABSENT)):
        inside = opening * nested + b"0" + closing * nested
        assert everywhere(b'{"actor":"a","d":' + inside + b"}") == expected


def test_many_shallow_brackets_are_not_depth():
    assert everywhere(b'{"actor":"a","d":[' + b"[]," * 5_000 + b"{}]}") == (b"a", b"")
    assert everywhere(b'{"d":"' + b"[{" * 5_000 + b'\\"[","actor":"a"}') == (b"a", b"")


def test_depth_bombs_are_answered_at_once():
    for bomb in (b"[", b'{"a":', b'["\\"', b'"[\\', b'{"actor":"\\"', b"]["):
        assert everywhere(bomb * 100_000) == ABSENT


def test_brackets_inside_strings_are_not_counted():
    assert depth('{"a":"[[[","b":[{"c":"\\"["}]}') == 3
    assert depth("") == depth("[]") - 1 == 0
