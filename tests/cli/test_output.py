"""Does what is printed stay in its place, and say what it means without colours?"""

import asyncio
import json
import subprocess
import sys

import pytest
from commands import assert_harmless
from hypothesis import given
from hypothesis import strategies as st
from support import PATIENCE_SECONDS

from operations.cli import output
from operations.errors import Corrupted, Denied, Rejected, Retryable

pytestmark = pytest.mark.unit


@given(st.text())
def test_no_text_reaches_a_terminal_as_a_command(text):
    shown = output.printable(text)
    assert_harmless(shown)
    assert "\n" not in shown
    assert shown == text or not text.isprintable()


@given(st.binary())
def test_no_bytes_reach_a_terminal_as_a_command(data):
    assert_harmless(output.readable(data))
    assert_harmless(output.pretty(data))


@given(st.recursive(st.text() | st.integers(), lambda inner: st.dictionaries(st.text(), inner)))
def test_json_with_escapes_is_the_same_json(value):
    text = json.dumps(value, ensure_ascii=False)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return
    if output.parse(data) is not None:
        assert_harmless(output.pretty(data))
        assert json.loads(output.pretty(data)) == value


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"NaN", b'{"a":\xff}', b"[" * 65 + b"]" * 65, b'"\\ud800"', b"\xef\xbb\xbf{}"],
)
def test_what_not_every_reader_takes_is_no_json(data):
    assert output.parse(data) is None


def test_numbers_stay_as_they_were_written():
    text = '{"price": 1.10, "n": 123456789012345678901234567890, "e": 1E400}'
    assert output.pretty(text.encode()).replace("\n", "").replace("  ", "") == (
        '{"price": 1.10,"n": 123456789012345678901234567890,"e": 1E400}'
    )


def test_binary_is_shown_as_bytes_with_their_places():
    lines = output.pretty(bytes(range(250, 256)) + b"hello world, 1234").split("\n")
    assert [line[:8] for line in lines] == ["00000000", "00000010"]
    assert lines[0].endswith("......hello worl")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Corrupted("x"), output.TAMPERED, "✗ x"),
        (Rejected("x"), output.CANNOT, "? x"),
        (Retryable("x"), output.CANNOT, "? x; what is down says mts status"),
        (Denied("x"), output.CANNOT, "? x"),
    ],
)
def test_an_error_is_a_sign_a_sentence_and_an_exit_code(error, code, said, capsys):
    async def work():
        raise error

    assert output.run(work()) == code
    assert capsys.readouterr().err == f"{said}\n"


def test_a_mistake_of_ours_is_never_taken_for_tampering(capsys):
    async def work():
        raise ZeroDivisionError

    assert output.run(work()) == output.CANNOT
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_ctrl_c_is_the_exit_code_that_a_shell_expects():
    async def work():
        await asyncio.sleep(0)
        raise KeyboardInterrupt

    assert output.run(work()) == output.INTERRUPTED


def test_lines_are_cut_only_at_their_end(capsys):
    rows = output.Rows((("a", 3), ("b", 5), ("c", 0)))
    rows.write(("1", "too long", "\x1b[2J" + "x" * 500))
    first, second = capsys.readouterr().out.splitlines()
    assert first == "a    b      c"
    assert second.startswith("1    too long  \\x1b[2Jxxx")
    assert len(second) == output.WIDTH_WITHOUT_TERMINAL


def test_values_of_several_lines_stay_in_their_column(capsys):
    output.facts([("name", "one\ntwo"), ("other", 3)])
    assert capsys.readouterr().out.splitlines() == [
        f"{'name':<16}one",
        f"{'':<16}two",
        f"{'other':<16}3",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (3.4, "3 s"), (119, "119 s"), (120, "2 minutes"), (7200, "2 hours")],
)
def test_ages_are_told_as_people_would(seconds, text):
    assert output.age(seconds) == text


def test_no_bar_is_drawn_where_nobody_looks(capsys, monkeypatch):
    monkeypatch.setattr(output, "QUIET_SECONDS", -1.0)
    with output.Bar("working") as bar:
        bar(1, 10)
        bar(10, 10)
    assert capsys.readouterr().err.strip() == ""


@pytest.mark.parametrize(("shown", "code", "words"), [(10**6, 0, ""), (0, 2, "NATS failed")])
def test_a_reader_that_has_had_enough_is_no_failure_of_a_server(shown, code, words):
    """A connection makes every broken pipe a failure of its server; that of the output is none."""
    program = f"""
import sys
from operations.cli import output
from operations.errors import Retryable
async def work():
    try:
        print("x" * {shown})
        raise BrokenPipeError("of the server")
    except BrokenPipeError as error:
        raise Retryable("NATS failed: Broken pipe") from error
sys.exit(output.run(work()))
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        if shown:
            process.stdout.close()
        said = process.stderr.read()
        assert process.wait(PATIENCE_SECONDS) == code
    assert words in said
    assert bool(words) == bool(said)
