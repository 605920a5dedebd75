"""Does `mts audit verify` say what it found, in words, JSON and exit codes?"""

import json
import os
import signal
import subprocess

import logs
import psutil
import pytest
from attacks import disarm
from commands import MTS, Command, command_for
from logs import make_log, project_all
from support import PATIENCE_SECONDS, eventually_blocking, run_blocking

from operations.clock import now_ns
from operations.config import subprocess_environment

pytestmark = pytest.mark.integration
HOUR_NS = 3600 * 10**9


@pytest.fixture(autouse=True)
def _today(monkeypatch):
    monkeypatch.setattr(logs, "NOW_NS", now_ns())


@pytest.fixture
def log(database):
    return run_blocking(make_log(database, sizes=(300, 700), unsigned=0, projected=True))


@pytest.fixture
def mts(log, tmp_path):
    return command_for(log, tmp_path)


def execute(log, *queries):
    """Change the log as a superuser who takes the guards away."""

    async def change():
        db = await log.database.connect()
        try:
            await disarm(db)
            for query in queries:
                await db.execute(query)
        finally:
            await db.close()

    run_blocking(change())


def test_a_log_that_is_what_was_signed_is_proven(mts):
    said = mts("audit", "verify", "--from-sequence", "0")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == "✓ 700 entries, chain integrity OK, no gaps"
    assert [line.split()[0] for line in lines[1:]] == [
        "log", "size", "root", "checkpoint", "unsigned",
    ]  # fmt: skip


def test_the_long_name_of_the_program_is_the_same_program(mts, monkeypatch):
    monkeypatch.setattr("commands.MTS", __import__("commands").MTS.with_name("mts1b-operations"))
    assert mts("audit", "verify").out.startswith("✓ 700 entries")


def test_programs_get_the_same_as_json(mts):
    for form in ("json", "jsonl"):
        said = mts("audit", "verify", "--projection", "--output", form)
        found = json.loads(said.out)
        assert (said.code, found["exit_code"]) == (0, 0)
        assert (found["entries"], found["signed_size"], found["findings"]) == (700, 700, [])
        assert (said.out.count("\n") == 1) == (form == "jsonl")


def test_gaps_are_counted_and_named(database, tmp_path):
    log = run_blocking(make_log(database, sizes=(300, 700), unsigned=0, lost=3))
    said = command_for(log, tmp_path)("audit", "verify")
    assert said.out.splitlines()[0] == (
        f"✓ 700 entries, chain integrity OK, 2 gaps (entries {log.gaps[0]}, {log.gaps[1]})"
    )
    assert said.code == 0


def test_a_part_of_the_log_is_verified_from_a_checkpoint_and_says_from_which(mts):
    said = mts("audit", "verify", "--from-sequence", "650")
    assert said.out.startswith("✓ 400 entries from 300, chain integrity OK, no gaps")
    assert "entry 300, the last proven checkpoint at or before 650" in said.out


def test_tampering_is_named_with_its_place_and_what_to_do(log, mts):
    execute(log, "UPDATE audit.entry SET entry = set_byte(entry, 150, 1) WHERE sequence = 123")
    said = mts("audit", "verify")
    assert said.code == 1
    assert said.out.startswith("✗ edit at sequence 123: ")
    assert "mts audit rebuild" in said.out
    found = json.loads(mts("audit", "verify", "--output", "json").out)
    assert [(each["tampering"], each["sequence"]) for each in found["findings"]] == [("edit", 123)]


def test_a_read_model_that_drifted_is_tampering_only_if_it_is_asked_for(log, mts):
    execute(log, "UPDATE audit.event SET actor = 'somebody' WHERE sequence = 77")
    assert mts("audit", "verify").code == 0
    said = mts("audit", "verify", "--projection")
    assert (said.code, said.out.split(":")[0]) == (1, "✗ drifted projection at sequence 77")
    assert "the log is intact" in said.out


def test_a_checkpoint_from_elsewhere_is_compared(log, mts, database, tmp_path):
    kept = tmp_path / "kept.txt"
    kept.write_text(mts("audit", "proof", "checkpoint").out)
    assert mts("audit", "verify", "--checkpoint", kept).code == 0
    execute(
        log,
        "DELETE FROM audit.entry WHERE sequence >= 650",
        "DELETE FROM audit.checkpoint WHERE size > 300",
        "UPDATE audit.head SET size = 650, stream_sequence = 649, hash = "
        "(SELECT hash FROM audit.entry WHERE sequence = 649)",
    )
    assert mts("audit", "verify").out.startswith("✓ 650 entries")
    said = mts("audit", "verify", "--checkpoint", kept)
    assert (said.code, said.out.split(":")[0]) == (1, "✗ truncation at sequence 650")


def test_old_proofs_are_stale(log, database, tmp_path, monkeypatch, servers):
    fresh = servers.new_database()
    monkeypatch.setattr(logs, "NOW_NS", now_ns() - 3 * HOUR_NS)
    old = run_blocking(make_log(fresh, sizes=(300,), unsigned=0))
    said = command_for(old, tmp_path)("audit", "verify")
    servers.drop_database(fresh)
    assert said.code == 3
    assert said.out.startswith("✓ 300 entries, chain integrity OK")
    assert "! intact, but stale: the newest checkpoint is old" in said.out


def test_entries_that_nobody_signs_are_stale(servers, tmp_path, monkeypatch):
    fresh = servers.new_database()
    monkeypatch.setattr(logs, "NOW_NS", now_ns() - HOUR_NS)
    old = run_blocking(make_log(fresh, sizes=(300,), unsigned=5))
    said = command_for(old, tmp_path)("audit", "verify")
    servers.drop_database(fresh)
    assert said.code == 3
    assert "5 linked, not signed yet" in said.out
    assert "entries are not being signed" in said.out


def test_what_cannot_be_verified_is_neither_proven_nor_tampering(log, mts, database, tmp_path):
    assert mts("audit", "verify", "--key", tmp_path / "nowhere").code == 2
    assert mts("audit", "verify", "--checkpoint", tmp_path / "nowhere").code == 2
    assert mts("audit", "verify", "--dsn", "postgres://nobody@127.0.0.1:1/x").code == 2
    assert mts("audit", "verify", "--dsn", "not an address").code == 2
    assert mts("audit", "verify", "--nonsense").code == 2
    execute(log, "DELETE FROM audit.checkpoint")
    said = mts("audit", "verify")
    assert said.code == 2
    assert said.out.startswith("? cannot verify: the log has no checkpoint signed by this key")
    unknown = Command(tmp_path)("audit", "verify", "--key", tmp_path / "audit.vkey")
    assert unknown.code == 2
    assert "give its address with --dsn or MTS_POSTGRES_DSN" in unknown.err


def test_an_empty_database_cannot_be_verified(servers, log, tmp_path):
    fresh = servers.new_database()
    said = command_for(log, tmp_path)("audit", "verify", "--dsn", fresh.dsn("mts_reader"))
    servers.drop_database(fresh)
    assert (said.code, said.out) == (
        2,
        "? cannot verify: log 'mts.local/audit' has no entries to verify\n",
    )


def test_no_failure_shows_a_password_or_a_traceback(mts):
    said = mts("audit", "verify", "--dsn", "postgres://reader:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in said.out + said.err
    assert "Traceback" not in said.err


def test_ctrl_c_ends_a_long_verification_quietly(servers, tmp_path):
    fresh = servers.new_database()
    log = run_blocking(make_log(fresh, sizes=(140_000,), unsigned=0))
    mts = command_for(log, tmp_path)
    with subprocess.Popen(
        [MTS, "audit", "verify", "--jobs", "2"],
        env=subprocess_environment(mts.settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        # The two processes that scan, and the one that looks after their semaphores.
        children = psutil.Process(process.pid).children
        eventually_blocking(lambda: len(children()) >= 3, "two processes scan")
        os.killpg(process.pid, signal.SIGINT)
        said = process.stdout.read().decode()
        code = process.wait(PATIENCE_SECONDS)
    servers.drop_database(fresh)
    assert (code, said) == (130, "")


def test_status_shows_how_far_everything_is(log, mts):
    found = json.loads(mts("audit", "status", "--output", "json").out)
    assert (found["size"], found["signed_size"], found["projected"]) == (700, 700, 700)
    assert found["signature"] == "holds"
    assert found["stream_lag"] is None
    assert "nats-auditor" in found["stream_problem"]
    assert "size 700" in mts("audit", "status").out
    other = logs.note.generate_key(logs.ORIGIN)
    (mts.folder / "other.vkey").write_text(f"{other.verifier}\n")
    said = mts("audit", "status", "--key", mts.folder / "other.vkey")
    assert (said.code, "does not hold" in said.out) == (1, True)


def test_the_read_model_may_be_filled_later(servers, tmp_path):
    fresh = servers.new_database()
    log = run_blocking(make_log(fresh, sizes=(300,), unsigned=0))
    mts = command_for(log, tmp_path)
    said = mts("audit", "show", "--order", "ord-7")
    assert said.code == 2
    assert "the newest 300 entries are not searchable yet" in said.err
    run_blocking(project_all(fresh))
    assert mts("audit", "show", "--order", "ord-7").code == 0
    servers.drop_database(fresh)
