"""Are proofs made from the log, and judged from files alone?"""

import json
import subprocess
import sys

import logs
import pytest
from commands import Command, command_for
from logs import NOW_NS, ORIGIN, deliveries, make_log
from support import run_blocking

from operations.adapters import ledger
from operations.adapters.signer import Signer
from operations.adapters.signer_memory import MemoryFile
from operations.audit import note, rotation
from operations.clock import now_ns

pytestmark = pytest.mark.integration


@pytest.fixture
def log(database, monkeypatch, tmp_path):
    monkeypatch.setattr(logs, "NOW_NS", now_ns())
    folder = tmp_path / "checkpoints"
    return run_blocking(make_log(database, sizes=(300, 700), unsigned=9, folder=folder))


@pytest.fixture
def mts(log, tmp_path):
    return command_for(log, tmp_path)


@pytest.fixture
def offline(mts, tmp_path):
    """`mts` in a place without a fleet, a database or a network."""
    return Command(tmp_path, MTS_POSTGRES_DSN="postgres://nobody@127.0.0.1:1/none")


@pytest.mark.parametrize("sequence", [0, 1, 255, 256, 299, 300, 699])
def test_an_entry_is_proven_from_files_alone(mts, offline, sequence):
    made = mts("audit", "proof", "inclusion", sequence, "-o", "proof")
    assert made.code == 0, made.err
    said = offline("audit", "proof", "check", "proof", "--key", "audit.vkey")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"✓ entry {sequence} is in the log mts.local/audit")
    found = json.loads(
        offline("audit", "proof", "check", "proof", "--key", "audit.vkey", "--output", "json").out
    )
    assert (found["sequence"], found["size"]) == (sequence, 700)


def test_growth_is_proven_to_whoever_kept_a_checkpoint(log, mts, offline, tmp_path):
    (tmp_path / "kept").write_text(run_blocking(kept_checkpoint(log, 300)))
    assert mts("audit", "proof", "consistency", "--old", "300", "-o", "grown").code == 0
    check = ("audit", "proof", "check", "grown", "--key", "audit.vkey")
    said = offline(*check, "--old-checkpoint", "kept")
    assert (said.code, said.out.splitlines()[0]) == (
        0,
        "✓ the log mts.local/audit only grew from 300 to 700 entries",
    )
    assert offline(*check).code == 2
    (tmp_path / "newest").write_text(mts("audit", "proof", "checkpoint").out)
    assert offline(*check, "--old-checkpoint", "newest").code == 1


async def kept_checkpoint(log, size):
    db = await log.database.connect()
    try:
        return await db.fetchval("SELECT note FROM audit.checkpoint WHERE size = $1", size)
    finally:
        await db.close()


@pytest.mark.parametrize("old", [1, 255, 256, 299, 699, 700])
def test_growth_is_proven_from_every_size(mts, old):
    assert mts("audit", "proof", "consistency", "--old", old).code == 0


def test_growth_up_to_an_older_checkpoint_is_proven(mts):
    said = mts("audit", "proof", "consistency", "--old", "120", "--new", "300")
    assert (said.code, said.out.splitlines()[0]) == (0, "old 120")
    assert mts("audit", "proof", "consistency", "--old", "120", "--new", "301").code == 2
    assert mts("audit", "proof", "consistency", "--old", "701").code == 2
    assert mts("audit", "proof", "consistency", "--old", "0").code == 2


def test_what_is_not_signed_yet_is_not_proven(mts):
    said = mts("audit", "proof", "inclusion", "705")
    assert said.code == 2
    assert "not covered by the newest checkpoint, which signs entries 0 to 699" in said.err
    assert mts("audit", "export", "--from", "690", "--to", "700", "bundle").code == 2


def test_a_proof_that_was_changed_does_not_hold(mts, offline, tmp_path):
    text = mts("audit", "proof", "inclusion", "7").out
    check = ("audit", "proof", "check", "proof", "--key", "audit.vkey")
    for old, new, code in (
        ("index 7", "index 8", 1),
        ("index 7", "index 07", 2),
        ("\n700\n", "\n701\n", 1),
        ("c2sp.org", "c2sp.com", 2),
    ):
        assert old in text
        (tmp_path / "proof").write_text(text.replace(old, new))
        assert offline(*check).code == code
    (tmp_path / "proof").write_text(text)
    (tmp_path / "other.vkey").write_text(f"{note.generate_key(logs.ORIGIN).verifier}\n")
    for arguments in (("nowhere", "--key", "audit.vkey"), ("proof", "--key", "nowhere")):
        assert offline("audit", "proof", "check", *arguments).code == 2
    said = offline("audit", "proof", "check", "proof", "--key", "other.vkey")
    assert (said.code, "none of the given keys signed" in said.err) == (2, True)


def test_no_proof_is_made_from_a_changed_log(log, mts, tmp_path):
    async def change():
        db = await log.database.connect()
        for table in ("entry", "entry_000000"):
            await db.execute(f"ALTER TABLE audit.{table} DISABLE TRIGGER ALL")
        await db.execute("UPDATE audit.entry SET entry = set_byte(entry, 150, 1) WHERE sequence=7")
        await db.close()

    run_blocking(change())
    said = mts("audit", "proof", "inclusion", "7")
    assert (said.code, said.out) == (1, "")
    assert mts("audit", "export", "--from", "0", "--to", "9", "bundle").code == 1
    assert list((tmp_path / "bundle").iterdir()) == []


@pytest.mark.parametrize(("first", "last"), [(0, 699), (0, 0), (256, 511), (301, 333)])
def test_an_export_is_accepted_by_the_verifier_that_comes_with_it(mts, tmp_path, first, last):
    said = mts("audit", "export", "--from", first, "--to", last, "bundle")
    assert said.code == 0, said.err
    assert "python3 verify.py . --key KEYFILE" in (tmp_path / "bundle" / "README.txt").read_text()
    done = subprocess.run(
        [sys.executable, "-I", "verify.py", ".", "--key", "../audit.vkey"],
        cwd=tmp_path / "bundle",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert f"{last - first + 1} entries from {first}, chain integrity OK" in done.stdout


def test_an_export_covers_all_that_is_signed_and_overwrites_nothing(mts, tmp_path):
    assert mts("audit", "export", "bundle").out.startswith("✓ 700 entries from 0 in bundle")
    said = mts("audit", "export", "bundle")
    assert (said.code, "is not empty" in said.err) == (2, True)
    assert mts("audit", "export", "--from", "9", "--to", "8", "empty").code == 2
    assert mts("audit", "export", "audit.vkey").code == 2


async def rotate(log, folder):
    """Give the log another key at size 700; it signs size 709."""
    new = note.generate_key(ORIGIN)
    change = rotation.Rotation(ORIGIN, 700, log.key.verifier, new.verifier)
    file = MemoryFile(folder)
    memory = file.load()
    signer = Signer(memory, file, new)
    signer.follow(deliveries(memory.stream_sequence + 1, 9), gap_is_real=False)
    db = await log.database.connect("mts_signer")
    await ledger.store_rotation(db, 0, rotation.sign(change, log.key, new))
    assert await signer.sign(db, NOW_NS)
    await db.close()


def test_who_keeps_the_first_key_checks_what_was_made_after_a_rotation(log, mts, offline, tmp_path):
    (tmp_path / "kept").write_text(run_blocking(kept_checkpoint(log, 300)))
    run_blocking(rotate(log, tmp_path / "checkpoints"))
    assert mts("audit", "proof", "inclusion", "705", "-o", "proof").code == 0
    assert mts("audit", "proof", "consistency", "--old", "300", "-o", "grown").code == 0
    assert mts("audit", "export", "--from", "690", "--to", "708", "bundle").code == 0
    check = ("--key", "audit.vkey")
    assert offline("audit", "proof", "check", "proof", *check).code == 0
    grown = ("audit", "proof", "check", "grown", *check, "--old-checkpoint", "kept")
    assert offline(*grown).code == 0
    for arguments in (["."], ["--proof", "../proof"]):
        command = [sys.executable, "-I", "verify.py", *arguments, "--key", "../audit.vkey"]
        done = subprocess.run(
            command, cwd=tmp_path / "bundle", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
    text = (tmp_path / "proof").read_text()
    (tmp_path / "proof").write_text(text.partition(f"\n{rotation.MAGIC}")[0])
    assert offline("audit", "proof", "check", "proof", *check).code == 2
