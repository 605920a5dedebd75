"""Does the one-file verifier, with nothing installed beside it, find what was changed?"""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from audit_logs import GOLDEN, KEY, ORIGIN, OTHER_KEY, SimulatedLog, deliveries, sample_log
from support import PATIENCE_SECONDS

from operations.audit import chain, export, merkle, note, proof, standalone
from operations.audit import entry as entries

pytestmark = pytest.mark.integration  # real processes

LOG = sample_log()
SIZE = LOG.size
FIRST, END = 55, 100
PROVEN, TAMPERED, CANNOT = 0, 1, 2


def run(*arguments, key=KEY):
    """Run the file as an auditor would: isolated, without site packages; return its answer."""
    command = [sys.executable, "-I", "-S", standalone.__file__, *map(str, arguments), "--json"]
    if key is not None:
        command += ["--key", str(key.verifier)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE_SECONDS)
    assert done.stderr == b""
    answer = json.loads(done.stdout)
    assert answer["exit_code"] == done.returncode
    return done.returncode, answer["result"]


def expect(code, reason, *arguments, **options):
    found, result = run(*arguments, **options)
    assert (found, reason in result) == (code, True), result


@pytest.fixture
def bundle(tmp_path):
    return LOG.write_bundle(tmp_path / "bundle", FIRST, END, SIZE)


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_entries(folder, changed):
    return write(folder, export.ENTRIES_FILE, b"".join(map(export.frame, changed)))


def write_range(folder, **changed):
    fields = {**json.loads(LOG.range(FIRST, END, SIZE)), **changed}
    kept = {name: value for name, value in fields.items() if value is not None}
    return write(folder, export.RANGE_FILE, json.dumps(kept))


def test_it_is_one_file_of_the_standard_library_in_the_syntax_of_python_3_9():
    source = Path(standalone.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 9))
    imported = {
        name.partition(".")[0]
        for item in ast.walk(tree)
        for name in (
            [item.module or ""]
            if isinstance(item, ast.ImportFrom)
            else [alias.name for alias in item.names]
            if isinstance(item, ast.Import)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names | {"__future__"}


def test_a_genuine_bundle_is_proven(bundle, tmp_path):
    code, result = run(bundle)
    assert code == PROVEN
    assert result.startswith(
        "45 entries from 55, chain integrity OK, recorded gaps: 1; log example"
    )
    key_file = write(tmp_path, "audit.vkey", f"{OTHER_KEY.verifier}\n{KEY.verifier}\n")
    expect(PROVEN, "chain integrity OK", bundle, "--key", key_file, key=None)
    LOG.write_bundle(bundle, 0, SIZE, SIZE)
    expect(PROVEN, f"{SIZE} entries from 0, chain integrity OK", bundle)
    LOG.write_bundle(bundle, 1, 2, 2)
    expect(PROVEN, "1 entries from 1, chain integrity OK, no gaps", bundle)


def test_it_says_so_in_one_calm_line_for_people(bundle):
    command = [sys.executable, "-I", "-S", standalone.__file__, str(bundle)]
    command += ["--key", str(KEY.verifier)]
    done = subprocess.run(command, capture_output=True, check=True, env={"LC_ALL": "C"})
    line = done.stdout.decode()
    assert line.startswith("✓ 45 entries from 55, chain integrity OK")
    assert (line.count("\n"), done.stderr) == (1, b"")
    (bundle / export.ENTRIES_FILE).write_bytes(b"")
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stdout.decode()[0]) == (TAMPERED, "✗")


def test_the_golden_files_are_proven_by_it_and_by_the_library():
    key_text = (GOLDEN / "audit.vkey").read_text()
    key = note.parse_verifier(key_text)
    old = GOLDEN / "checkpoint-3.txt"
    arguments = {"key": None}
    expect(PROVEN, "4 entries from 3", GOLDEN / "bundle", "--key", key_text, **arguments)
    for file, *more in (("entry-2.tlog-proof",), ("consistency-3.txt", "--checkpoint", old)):
        expect(PROVEN, "", "--proof", GOLDEN / file, "--key", key_text, *more, **arguments)
    files = (GOLDEN / "bundle" / name for name in (export.RANGE_FILE, export.CHECKPOINT_FILE))
    described, signed = (file.read_text() for file in files)
    data = (GOLDEN / "bundle" / export.ENTRIES_FILE).read_bytes()
    assert export.check(described, [data], signed, ORIGIN, [key])[1].size == 8
    assert str(export.parse(described)) == described
    inclusion = (GOLDEN / "entry-2.tlog-proof").read_text()
    assert proof.check_inclusion(inclusion, ORIGIN, [key]).sequence == 2
    growth = (GOLDEN / "consistency-3.txt").read_text()
    assert proof.check_consistency(growth, old.read_text(), ORIGIN, [key])[0].size == 3


def test_changed_entries_are_tampering(bundle):
    kept = LOG.entries[FIRST:END]
    entry = entries.decode(kept[9])
    edited = entries.encode(entry._replace(headers=entry.headers + b"x"))
    renamed = entries.encode(entry._replace(actor=b"mallory"))
    for reason, changed in (
        ("do not lead to the signed root", [*kept[:9], edited, *kept[10:]]),
        ("names [", [*kept[:9], renamed, *kept[10:]]),
        ("where entry 64 belongs stands entry 65", [*kept[:9], *kept[10:]]),
        ("where entry 65 belongs stands entry 64", [*kept[:10], kept[9], *kept[10:]]),
        ("where entry 64 belongs stands entry 65", [*kept[:9], kept[10], kept[9], *kept[11:]]),
        ("entries.bin ends at entry 99, the range at 100", kept[:-1]),
        ("where entry 100 belongs stands entry 100", [*kept, LOG.entries[END]]),
        ("entries.bin ends at entry 55", []),
        ("is not an entry", [*kept[:9], kept[9][:-1], *kept[10:]]),
        ("is not an entry", [*kept[:9], kept[9] + b"\x00", *kept[10:]]),
        ("is not an entry", [*kept[:9], b"", *kept[10:]]),
        ("is not an entry", [*kept[:9], b"x" + kept[9][1:], *kept[10:]]),
    ):
        write_entries(bundle, changed)
        expect(TAMPERED, reason, bundle)
    write(bundle, export.ENTRIES_FILE, LOG.frames(FIRST, END)[:-3])
    expect(TAMPERED, "cut off", bundle)
    write(bundle, export.ENTRIES_FILE, LOG.frames(FIRST, END) + b"\xff\xff\xff\xff")
    expect(TAMPERED, "cut off", bundle)


def test_any_flipped_bit_of_the_entries_is_tampering(bundle):
    # In this process, so that every byte has its turn.
    LOG.write_bundle(bundle, 70, 73, SIZE)
    keys = standalone.parse_keys(str(KEY.verifier))
    data = LOG.frames(70, 73)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        write(bundle, export.ENTRIES_FILE, bytes(changed))
        with pytest.raises(standalone.Tampering):
            standalone.check_bundle(str(bundle), keys, "")


def test_a_range_that_was_touched_is_never_proven(bundle):
    good = json.loads(LOG.range(FIRST, END, SIZE))
    left, right, zero = good["left"], good["right"], bytes(32).hex()
    for code, changed in (
        (TAMPERED, {"previous_hash": zero}),
        (TAMPERED, {"left": left[1:]}),
        (TAMPERED, {"left": [*left, zero]}),
        (TAMPERED, {"left": [zero, *left[1:]]}),
        (TAMPERED, {"right": right[:-1]}),
        (TAMPERED, {"right": right[1:]}),
        (TAMPERED, {"right": right[::-1]}),
        (TAMPERED, {"right": [*right[:-1], [0, zero]]}),
        (TAMPERED, {"right": [[63, zero]]}),
        (TAMPERED, {"right": [[-1, zero]]}),
        (TAMPERED, {"end": END + 1}),
        (TAMPERED, {"end": END - 1}),
        (TAMPERED, {"first": FIRST - 1, "left": left[1:]}),
        (CANNOT, {"end": SIZE + 1}),
        (CANNOT, {"end": FIRST}),
        (CANNOT, {"first": -1}),
        (CANNOT, {"format": "mts-audit/range/v2"}),
        (CANNOT, {"origin": "another"}),
        (CANNOT, {"first": None}),
        (CANNOT, {"left": ["zz"]}),
        (CANNOT, {"left": 7}),
        (CANNOT, {"right": [7]}),
        (CANNOT, {"right": [[1, 7]]}),
    ):
        write_range(bundle, **changed)
        found, result = run(bundle)
        assert found == code, (changed, result)
    for text in ("", "[]", "{", "[" * 100_000, b"\xff"):
        write(bundle, export.RANGE_FILE, text)
        expect(CANNOT, "cannot verify", bundle)


def test_a_checkpoint_that_was_touched_is_never_proven(bundle):
    good = LOG.note(SIZE)
    for code, text in (
        (TAMPERED, good.replace(f"\n{SIZE}\n", f"\n{SIZE + 1}\n")),
        (TAMPERED, LOG.note(SIZE - 1)),
        (TAMPERED, good.replace("\n\n", "\nextension\n\n")),
        (CANNOT, LOG.note(SIZE, OTHER_KEY)),
        (CANNOT, LOG.note(END - 1)),
        (CANNOT, good.rpartition("\n\n")[0] + "\n"),
        (CANNOT, good.replace("\u2014", "-")),
        (CANNOT, good[:-1]),
        (CANNOT, KEY.sign("example.com/other\n" + good.partition("\n")[2].split("\n\n")[0] + "\n")),
        (CANNOT, KEY.sign(f"{ORIGIN}\n0{SIZE}\n{good.split()[2]}\n")),
        (CANNOT, KEY.sign(f"{ORIGIN}\n{SIZE}\nAAAA\n")),
        (CANNOT, KEY.sign(f"{ORIGIN}\n")),
        (CANNOT, ""),
    ):
        write(bundle, export.CHECKPOINT_FILE, text)
        found, result = run(bundle)
        assert found == code, (text, result)


def test_a_forged_log_is_not_proven_by_the_key_of_the_real_one(bundle):
    forged = SimulatedLog(key=OTHER_KEY)
    forged.seal(deliveries(SIZE - 1, seed=9))
    forged.write_bundle(bundle, FIRST, END, SIZE)
    expect(PROVEN, "chain integrity OK", bundle, key=OTHER_KEY)
    expect(CANNOT, "no key given signed this", bundle)
    write(bundle, export.CHECKPOINT_FILE, LOG.note(SIZE))
    expect(TAMPERED, "do not lead to the signed root", bundle)


def test_without_entries_checkpoint_or_key_nothing_is_proven(bundle, tmp_path):
    for name in (export.ENTRIES_FILE, export.RANGE_FILE, export.CHECKPOINT_FILE):
        content = (bundle / name).read_bytes()
        (bundle / name).unlink()
        expect(CANNOT, "No such file", bundle)
        write(bundle, name, content)
    expect(CANNOT, "No such file", tmp_path / "nowhere")
    expect(CANNOT, "No such file", bundle, "--key", tmp_path / "nowhere", key=None)
    for text in ("\n", "nonsense", "a+b+c", str(KEY.verifier)[:-4], str(KEY)):
        key_file = write(tmp_path, "audit.vkey", text)
        expect(CANNOT, "cannot verify", bundle, "--key", key_file, key=None)


def test_a_log_that_does_not_start_from_its_origin_is_tampering(bundle):
    LOG.write_bundle(bundle, 0, 5, SIZE)
    text = (bundle / export.RANGE_FILE).read_text()
    genesis = entries.genesis_hash(ORIGIN).hex()
    write(bundle, export.RANGE_FILE, text.replace(genesis, bytes(32).hex()))
    expect(TAMPERED, "genesis hash", bundle)


def test_messages_that_are_missing_without_a_gap_entry_are_tampering(bundle):
    log = SimulatedLog()
    log.seal(deliveries(5))
    log.add(chain.seal(log.head._replace(stream_sequence=6), deliveries(3, first=7)))
    log.write_bundle(bundle, 1, 8, 9)
    expect(TAMPERED, "messages are missing", bundle)
    log = SimulatedLog()
    log.seal(deliveries(5))
    log.seal(deliveries(3, first=9), gap_is_real=True)
    lie = entries.decode(log.entries[6])._replace(data=b'{"first_missing":8,"last_missing":8}')
    log.entries[6] = entries.encode(lie)
    for place in range(6, log.size):
        log.hashes[place] = entries.link(log.previous(place), log.entries[place])
    log.write_bundle(bundle, 1, log.size, log.size)
    expect(TAMPERED, "messages are missing", bundle)


def test_a_checkpoint_from_elsewhere_must_be_of_the_same_history(bundle, tmp_path):
    other = tmp_path / "other.txt"
    for size in (FIRST, 70, END, SIZE):
        other.write_text(LOG.note(size))
        expect(PROVEN, "chain integrity OK", bundle, "--checkpoint", other)
    for size in (FIRST - 1, END + 1):
        other.write_text(LOG.note(size))
        expect(CANNOT, f"size {size} of log", bundle, "--checkpoint", other)
    forged = SimulatedLog()
    forged.seal(deliveries(SIZE, seed=9))
    for size in (70, SIZE):
        other.write_text(forged.note(size))
        expect(TAMPERED, f"fork: at size {size}", bundle, "--checkpoint", other)
    other.write_text(LOG.note(70, OTHER_KEY))
    expect(CANNOT, "no key given signed this", bundle, "--checkpoint", other)
    stranger = SimulatedLog("example.com/other", note._signer("example.com/other", bytes(32)))
    stranger.seal(deliveries(69))
    other.write_text(stranger.note(70))
    keys = tmp_path / "both.vkey"
    keys.write_text(f"{KEY.verifier}\n{stranger.key.verifier}\n")
    reason = "of log 'example.com/other' is not covered"
    expect(CANNOT, reason, bundle, "--checkpoint", other, "--key", keys, key=None)


def test_single_proofs_of_entries_are_checked(tmp_path):
    file = tmp_path / "proof"
    for index, size in ((0, 1), (0, SIZE), (30, SIZE), (SIZE - 1, SIZE), (64, 65)):
        file.write_text(LOG.inclusion(index, size))
        expect(PROVEN, f"entry {index} is in the log", "--proof", file)
    parsed = proof.parse_inclusion(LOG.inclusion(30, SIZE))
    extra = parsed.extra[:-1] + bytes([parsed.extra[-1] ^ 1])
    for code, changed in (
        (TAMPERED, parsed._replace(extra=extra)),
        (TAMPERED, parsed._replace(extra=bytes(32) + parsed.extra[32:])),
        (TAMPERED, parsed._replace(extra=bytes(40))),
        (TAMPERED, parsed._replace(leaf_index=31)),
        (TAMPERED, parsed._replace(hashes=parsed.hashes[:-1])),
        (TAMPERED, parsed._replace(hashes=(bytes(32), *parsed.hashes))),
        (TAMPERED, parsed._replace(hashes=(*parsed.hashes, bytes(32)))),
        (TAMPERED, parsed._replace(hashes=parsed.hashes[::-1])),
        (TAMPERED, parsed._replace(hashes=())),
        (TAMPERED, parsed._replace(checkpoint=LOG.note(SIZE - 1))),
        (TAMPERED, parsed._replace(checkpoint=LOG.note(30))),
        (CANNOT, parsed._replace(checkpoint=LOG.note(SIZE, OTHER_KEY))),
        (CANNOT, parsed._replace(extra=None)),
        (CANNOT, parsed._replace(hashes=(bytes(32),) * 64)),
    ):
        file.write_text(str(changed))
        found, result = run("--proof", file)
        assert found == code, (changed, result)


def test_a_proof_of_an_entry_is_held_against_names_and_other_checkpoints(tmp_path):
    file, other = tmp_path / "proof", tmp_path / "other.txt"
    forged = SimulatedLog()
    forged.seal(deliveries(SIZE - 1, seed=9))
    file.write_text(LOG.inclusion(30, SIZE))
    for code, text in (
        (PROVEN, LOG.note(SIZE)),
        (TAMPERED, forged.note(SIZE)),
        (CANNOT, LOG.note(SIZE - 1)),
    ):
        other.write_text(text)
        expect(code, "", "--proof", file, "--checkpoint", other)
    forged.entries[5] = entries.encode(entries.decode(forged.entries[5])._replace(actor=b"mallory"))
    forged.hashes[5] = entries.link(forged.previous(5), forged.entries[5])
    file.write_text(forged.inclusion(5, 6))
    expect(TAMPERED, "names [", "--proof", file)


def test_a_signed_entry_that_lies_about_its_place_is_tampering(tmp_path):
    file = tmp_path / "proof"
    log = SimulatedLog()
    log.seal(deliveries(5))
    log.entries[5] = entries.encode(entries.decode(log.entries[5])._replace(sequence=3))
    log.hashes[5] = entries.link(log.previous(5), log.entries[5])
    path = tuple(merkle.inclusion_proof(5, 6, log.node))
    lie = proof.Inclusion(5, path, log.note(6), log.previous(5) + log.entries[5])
    file.write_text(str(lie))
    expect(TAMPERED, "entry 3 is not entry 5 of 6", "--proof", file)
    log.previous = lambda _: bytes(32)
    log.hashes[0] = entries.link(bytes(32), log.entries[0])
    file.write_text(log.inclusion(0, 1))
    expect(TAMPERED, "entry 0 is not entry 0 of 1", "--proof", file)
    for text in ("", "\n\n", "x\n\n" + LOG.note(SIZE), LOG.note(SIZE)):
        file.write_text(text)
        expect(CANNOT, "cannot verify", "--proof", file)
    file.write_text("old x\n\n" + LOG.note(SIZE))
    expect(CANNOT, "no proof of an entry of this log", "--proof", file)


def test_single_proofs_of_growth_are_checked(tmp_path):
    file, kept = tmp_path / "proof", tmp_path / "old.txt"
    for old, new in ((1, 2), (50, SIZE), (64, SIZE), (64, 65), (SIZE, SIZE), (1, SIZE)):
        file.write_text(LOG.consistency(old, new))
        kept.write_text(LOG.note(old))
        expect(PROVEN, f"from {old} to {new}", "--proof", file, "--checkpoint", kept)
    parsed = proof.parse_consistency(LOG.consistency(50, SIZE))
    forged = SimulatedLog()
    forged.seal(deliveries(SIZE, seed=9))
    for code, changed, old_note in (
        (TAMPERED, parsed, forged.note(50)),
        (TAMPERED, parsed._replace(hashes=parsed.hashes[1:]), LOG.note(50)),
        (TAMPERED, parsed._replace(hashes=(bytes(32), *parsed.hashes)), LOG.note(50)),
        (TAMPERED, parsed._replace(hashes=parsed.hashes[::-1]), LOG.note(50)),
        (TAMPERED, parsed._replace(hashes=()), LOG.note(50)),
        (TAMPERED, parsed._replace(hashes=(*parsed.hashes, bytes(32))), LOG.note(50)),
        (TAMPERED, parsed._replace(checkpoint=forged.note(SIZE)), LOG.note(50)),
        (TAMPERED, proof.Consistency(SIZE, (), forged.note(SIZE)), LOG.note(SIZE)),
        (CANNOT, parsed, LOG.note(49)),
        (CANNOT, parsed._replace(old=0, hashes=()), LOG.note(50)),
        (CANNOT, parsed._replace(checkpoint=LOG.note(49)), LOG.note(50)),
        (CANNOT, parsed, LOG.note(50, OTHER_KEY)),
    ):
        file.write_text(str(changed))
        kept.write_text(old_note)
        found, result = run("--proof", file, "--checkpoint", kept)
        assert found == code, (changed, result)
    file.write_text(str(parsed))
    expect(CANNOT, "older checkpoint", "--proof", file)


def test_wrong_arguments_are_not_a_proof():
    for arguments in ((), ("a", "--proof", "b", "--key", "c"), ("a",)):
        command = [sys.executable, "-I", "-S", standalone.__file__, *arguments]
        assert subprocess.run(command, capture_output=True, check=False).returncode == CANNOT
