"""Can people read the log, and can nothing that is in it reach their terminal?"""

import base64
import json
import os
import pty
import subprocess
import time

import logs
import pytest
from commands import MTS, Command, assert_harmless, command_for
from logs import ORIGIN, make_log, project_all
from support import eventually_blocking, run_blocking

from operations.adapters import ledger
from operations.adapters.ledger import SealerLedger
from operations.audit import chain
from operations.clock import now_ns
from operations.config import Postgres, subprocess_environment

pytestmark = pytest.mark.integration

CLEAR = "\x1b[2J\x1b]0;owned\x07"
HOSTILE = (
    (b"mts.v1.a.b", b"", json.dumps({"actor": CLEAR, "order_id": "x"}).encode()),
    (b"mts.v1.a.\xff\x9b2J", b"NATS/1.0\r\nA: \x1b[2J\r\n\r\n", b"\x1b[2J plain text\n"),
    (b"mts.v1.a.c", b"", b"\x00\xff\x1b[2J binary"),
    (b"mts.v1.a.d", b"", '{"order_id":"x","a":"\u009b2J \u202e \x7f","b":1.10}'.encode()),
    (b"mts.v1.a.e", b"", b"[" * 5000),
    (b"mts.v1.a.f", b"", b""),
    (b"mts.v1.a.g", b"", b'{"order_id":"x","data":"[red]no markup[/red]\\ud800"}'),
)


@pytest.fixture
def log(database, monkeypatch):
    monkeypatch.setattr(logs, "NOW_NS", now_ns())
    made = run_blocking(make_log(database, sizes=(120,), unsigned=0))
    run_blocking(add(made, HOSTILE))
    run_blocking(project_all(database))
    return made


@pytest.fixture
def mts(log, tmp_path):
    return command_for(log, tmp_path)


async def add(log, messages):
    """Seal more messages."""
    settings = Postgres(dsn=log.database.dsn("mts_sealer"))
    async with ledger.connection(settings, "test") as connected:
        sealer = SealerLedger(connected, ORIGIN)
        head = await sealer.take_over()
        first = head.stream_sequence + 1
        made = [
            (subject, b"$JS.ACK.MTS.audit.1.%d.1.%d.0" % (first + n, logs.NOW_NS), headers, data)
            for n, (subject, headers, data) in enumerate(messages)
        ]
        await sealer.append(head, chain.seal(head, made))


def sequences(said):
    return [json.loads(line)["sequence"] for line in said.out.splitlines()]


def test_one_entry_is_shown_in_full(mts):
    said = mts("audit", "show", "7")
    assert (said.code, said.err) == (0, "")
    shown = {(line[:16].strip(), line[16:]) for line in said.out.splitlines()}
    assert shown >= {
        ("subject", "mts.v1.trading.order.submitted"),
        ("action", "trading.order.submitted"),
        ("actor", "oms-1"),
        ("subject id", "ord-7"),
        ("stream sequence", "7"),
    }
    assert '"subject_id": "ord-7"' in said.out
    genesis = json.loads(mts("audit", "show", "0", "--output", "json").out)
    assert (genesis["subject"], genesis["linked"]) == ("audit.genesis", True)
    assert genesis["payload"]["origin"] == ORIGIN


def test_all_of_an_order_is_shown_in_the_order_in_which_it_happened(mts):
    assert sequences(mts("audit", "show", "--order", "ord-7", "--output", "jsonl")) == [7, 57, 107]
    assert sequences(mts("audit", "show", "--order", "x", "--output", "jsonl")) == [120, 123, 126]
    limited = mts("audit", "show", "--order", "ord-7", "--limit", "2", "--output", "json")
    assert [each["sequence"] for each in json.loads(limited.out)] == [7, 57]
    both = mts("audit", "show", "--order", "ord-7", "--fund", "alpha", "--output", "json")
    assert (both.code, json.loads(both.out)) == (2, [])
    table = mts("audit", "show", "--order", "ord-7").out.splitlines()
    assert [line.split()[0] for line in table] == ["sequence", "7", "57", "107"]


def test_what_is_not_there_is_said_with_exit_code_2(mts):
    said = mts("audit", "show", "999")
    assert (said.code, said.out) == (2, "")
    assert said.err == "? there is no entry 999: the log has entries 0 to 126\n"
    for arguments in ((), ("7", "--order", "x")):
        assert "say which" in mts("audit", "show", *arguments).err
    said = mts("audit", "show", "--strategy", CLEAR)
    assert said.code == 2
    assert_harmless(said.err)


def test_nothing_that_was_published_reaches_a_terminal(mts):
    for sequence in range(120, 127):
        for form in ("table", "json"):
            said = mts("audit", "show", sequence, "--output", form)
            assert (said.code, said.err) == (0, "")
            assert_harmless(said.out)
    for form in ("table", "json", "jsonl"):
        said = mts("audit", "tail", "--output", form)
        assert said.code == 0
        assert_harmless(said.out)


def test_programs_get_every_payload_exactly(mts):
    lines = mts("audit", "tail", "-n", "7", "--output", "jsonl").out.splitlines()
    for line, (_, _, data) in zip(lines, HOSTILE, strict=True):
        found = json.loads(line)
        if "payload_base64" in found:
            assert base64.b64decode(found["payload_base64"]) == data
        else:
            assert found["payload"] == json.loads(data)
    assert '"b":1.10' in lines[3]
    assert json.loads(lines[1])["subject"] == r"mts.v1.a.\xff\x9b2J"


def test_a_changed_entry_is_shown_and_called_what_it_is(log, mts):
    async def change():
        db = await log.database.connect()
        for table in ("entry", "entry_000000"):
            await db.execute(f"ALTER TABLE audit.{table} DISABLE TRIGGER ALL")
        await db.execute("UPDATE audit.entry SET entry = '\\x1b5b324a' WHERE sequence = 7")
        await db.close()

    run_blocking(change())
    said = mts("audit", "show", "7")
    assert said.code == 1
    assert "not an entry" in said.out
    assert "run `mts audit verify`" in said.err
    assert_harmless(said.out + said.err)
    said = mts("audit", "show", "--order", "ord-7")
    assert (said.code, said.out.count("\n")) == (1, 4)


def test_tail_follows_what_is_sealed(log, mts):
    with subprocess.Popen(
        [MTS, "audit", "tail", "-n", "1", "--follow", "--output", "jsonl"],
        env=subprocess_environment(mts.settings),
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert json.loads(process.stdout.readline())["sequence"] == 126
            run_blocking(add(log, HOSTILE[:2]))
            assert [json.loads(process.stdout.readline())["sequence"] for _ in "ab"] == [127, 128]
        finally:
            process.kill()
    assert mts("audit", "tail", "--follow", "--output", "json").code == 2


def test_whoever_reads_may_stop_reading(mts):
    pipe = f"{MTS} audit tail -n 100 --output jsonl | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", pipe],
        env=subprocess_environment(mts.settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_ends_quietly_on_a_terminal_of_80_columns(mts):
    here, there = pty.openpty()
    with subprocess.Popen(
        [MTS, "audit", "tail", "-n", "3", "-f"],
        env=subprocess_environment(mts.settings) | {"COLUMNS": "80", "TERM": "xterm"},
        stdin=there,
        stdout=there,
        stderr=there,
        start_new_session=True,
    ) as process:
        os.close(there)
        text = b""
        deadline = time.monotonic() + 30
        while text.count(b"\n") < 4 and time.monotonic() < deadline:
            text += os.read(here, 4096)
        process.send_signal(2)
        eventually_blocking(lambda: process.poll() is not None)
    os.close(here)
    assert process.returncode == 130
    assert max(map(len, text.decode().splitlines())) <= 80
    assert_harmless(text.decode().replace("\r", ""))


def test_reading_needs_no_key(log, tmp_path):
    bare = Command(tmp_path, MTS_POSTGRES_DSN=log.settings.dsn)
    assert bare("audit", "show", "7").code == 0
    assert bare("audit", "verify").code == 2
