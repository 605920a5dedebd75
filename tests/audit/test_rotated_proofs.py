"""Who holds one public key of a log follows its rotations offline, and nobody else's."""

import subprocess
import sys

import pytest
from audit_logs import GOLDEN, KEY, ORIGIN, OTHER_KEY, sample_log

from operations import service
from operations.audit import export, note, proof, rotation, standalone
from operations.audit.rotation import Rotation
from operations.errors import Corrupted, Rejected

pytestmark = pytest.mark.unit

LOG = sample_log()
SIZE = LOG.size
FIRST, SECOND, THIRD = KEY, *(note._signer(ORIGIN, bytes([n]) * 32) for n in (7, 8))
THIEF = OTHER_KEY
PROVEN, TAMPERED, CANNOT = 0, 1, 2
KINDS = ("entry", "growth", "range")


def rotate(old, new, size, origin=ORIGIN):
    return rotation.sign(Rotation(origin, size, old.verifier, new.verifier), old, new)


def signed_by_both(text):
    return FIRST.sign(text) + note.signature_line(SECOND, text)


CHAIN = (rotate(FIRST, SECOND, 50), rotate(SECOND, THIRD, 80))
SECOND_ID = SECOND.verifier.key_id.hex()
ONE = str(Rotation(ORIGIN, 50, FIRST.verifier, SECOND.verifier))


def judge(folder, kind, holds, rotations, signer, size):
    """Return what the library and the one-file verifier say to a proof that `signer` signed."""
    signed, kept = LOG.note(size, signer), LOG.note(45)
    if kind == "entry":
        kept, entry = "", LOG.entries[30]
        text = proof.write_inclusion(LOG.previous(30), entry, size, LOG.node, signed, rotations)
    else:
        text = proof.write_consistency(45, size, LOG.node, signed, rotations)
    if kind == "range":
        LOG.write_bundle(folder, 30, 40, size)
        (folder / export.CHECKPOINT_FILE).write_text(signed)
        (folder / export.ROTATIONS_FILE).write_text(rotation.join(rotations))
        ours = by_the_library_range(holds, rotations, signed, size)
        check, target, kept = standalone.check_bundle, str(folder), ""
    else:
        ours = by_the_library(text, holds, kept)
        check, target = standalone.check_proof, str(folder / "proof")
        (folder / "proof").write_text(text)
    try:
        check(target, standalone.parse_keys(str(holds.verifier)), kept)
    except standalone.Tampering:
        return ours, TAMPERED
    except ValueError:
        return ours, CANNOT
    return ours, PROVEN


def by_the_library(text, holds, kept):
    try:
        service.check_proof(text, [holds.verifier], kept or None)
    except Corrupted:
        return TAMPERED
    except Rejected:
        return CANNOT
    return PROVEN


def by_the_library_range(holds, rotations, signed, size):
    keys, frames = [holds.verifier], [LOG.frames(30, 40)]
    try:
        export.check(LOG.range(30, 40, size), frames, signed, ORIGIN, keys, rotations)
    except note.NoteError as error:
        return TAMPERED if "retired key" in str(error) else CANNOT
    return PROVEN


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("holds", "signer", "size"),
    [
        (FIRST, THIRD, SIZE),
        (FIRST, THIRD, 81),
        (FIRST, SECOND, 80),
        (FIRST, FIRST, 50),
        (SECOND, THIRD, SIZE),
        (SECOND, FIRST, 50),
        (THIRD, THIRD, SIZE),
        (THIRD, FIRST, 50),
    ],
)
def test_who_holds_any_key_follows_to_all_others(tmp_path, kind, holds, signer, size):
    assert judge(tmp_path, kind, holds, CHAIN, signer, size) == (PROVEN, PROVEN)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("holds", "signer", "size"),
    [(FIRST, FIRST, 51), (FIRST, SECOND, 81), (SECOND, FIRST, 51), (THIRD, FIRST, 51)],
)
def test_a_retired_key_is_not_believed_beyond_its_size(tmp_path, kind, holds, signer, size):
    assert judge(tmp_path, kind, holds, CHAIN, signer, size) == (TAMPERED, TAMPERED)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_counts_no_further_than_the_one_that_followed_it(tmp_path, kind):
    rotations = (rotate(FIRST, SECOND, 90), rotate(SECOND, THIRD, 80))
    assert judge(tmp_path, kind, THIRD, rotations, FIRST, 80) == (PROVEN, PROVEN)
    assert judge(tmp_path, kind, THIRD, rotations, FIRST, 85) == (TAMPERED, TAMPERED)


STRANGER = note._signer("example.com/other", bytes([9]) * 32)  # its name is not that of the log

WORTHLESS = {
    "none": (SECOND, ()),
    "signed by the old key alone": (SECOND, (FIRST.sign(ONE),)),
    "signed by the new key alone": (SECOND, (SECOND.sign(ONE),)),
    "signed by a thief for the old key": (
        SECOND,
        (SECOND.sign(ONE) + note.signature_line(THIEF, ONE),),
    ),
    "signature of the old key changed": (
        SECOND,
        (FIRST.sign(ONE + "x\n").replace("x\n", "") + note.signature_line(SECOND, ONE),),
    ),
    "size changed": (SECOND, (CHAIN[0].replace("\n50\n", "\n90\n"),)),
    "key changed": (THIEF, (CHAIN[0].replace(str(SECOND.verifier), str(THIEF.verifier)),)),
    "of a foreign key": (SECOND, (rotate(THIEF, SECOND, 50),)),
    "of another log": (SECOND, (rotate(FIRST, SECOND, 50, origin="example.com/other"),)),
    "cut off": (SECOND, (CHAIN[0][:-5],)),
    "cut off at a line": (SECOND, (CHAIN[0].rpartition("\u2014")[0],)),
    "the second of two is missing": (THIRD, CHAIN[:1]),
    "the first of two is missing": (THIRD, CHAIN[1:]),
    "in the wrong order": (THIRD, CHAIN[::-1]),
    "two successors": (THIEF, (*CHAIN, rotate(FIRST, THIEF, 50))),
    "a successor of a retired key": (THIEF, (*CHAIN, rotate(SECOND, THIEF, 300))),
    "a key of another name": (SECOND, (rotate(FIRST, STRANGER, 50), rotate(STRANGER, SECOND, 60))),
    **{
        f"size {size!r}": (SECOND, (signed_by_both(ONE.replace("\n50\n", f"\n{size}\n")),))
        for size in ("-1", "050", "", "1e2", "5 ", "\u00b2", "\u0665", str(2**63), "9" * 5000)
    },
    "key in capitals": (
        SECOND,
        (signed_by_both(ONE.replace(SECOND_ID, SECOND_ID.upper())),),
    ),
    "another line": (SECOND, (signed_by_both(ONE + "more\n"),)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", WORTHLESS)
def test_a_rotation_that_is_not_from_this_key_of_this_log_adds_nothing(tmp_path, kind, name):
    signer, rotations = WORTHLESS[name]
    assert judge(tmp_path, kind, FIRST, rotations, signer, SIZE) == (CANNOT, CANNOT)
    assert judge(tmp_path, kind, FIRST, rotations, FIRST, 50) == (PROVEN, PROVEN)


def test_a_worthless_rotation_does_not_hide_a_good_one(tmp_path):
    rotations = ["mts-audit/key-rotation/v1\nnonsense\n", CHAIN[0][:-5] + "\n", *CHAIN]
    for kind in KINDS:
        assert judge(tmp_path, kind, FIRST, rotations, THIRD, SIZE) == (PROVEN, PROVEN)


def test_a_key_with_the_same_id_is_another_key(monkeypatch):
    key, twin, heir = ("log", b"1234"), b"twin", ("log", b"heir")
    keys = {key: (b"ours", standalone.MAX_SIZE)}
    old, new = {key: (twin, standalone.MAX_SIZE)}, {heir: (b"heir", standalone.MAX_SIZE)}
    for pair in ((5, old, new), (5, new, old)):
        monkeypatch.setattr(standalone, "open_rotation", lambda _, pair=pair: pair)
        assert standalone.follow(keys, [""]) == keys


def test_what_is_followed_goes_with_the_next_proof():
    junk = rotate(THIEF, STRANGER, 5)
    for holds in (FIRST, SECOND, THIRD):
        found = rotation.follow([holds.verifier], ORIGIN, [junk, *CHAIN, CHAIN[0]])
        assert found.rotations == CHAIN


def test_rotations_are_parted_from_what_stands_before_as_they_were_joined():
    for rotations in ((), CHAIN[:1], CHAIN):
        for head in ("one\n", "one\n\ntwo\n"):
            text = rotation.join((head, *rotations))
            assert rotation.part(text) == (head, rotations)
            assert standalone.part(text) == (head, list(rotations))
        alone = "\n\n" + rotation.join(rotations)
        assert standalone.part(alone)[1] == list(rotations) == list(rotation.part(alone)[1])


def test_what_follows_a_checkpoint_is_a_rotation_or_the_file_is_no_proof(tmp_path):
    other = signed_by_both(ONE.replace("/v1\n", "/v2\n", 1))
    for kind in KINDS[:2]:
        found = judge(tmp_path, kind, FIRST, (other,), FIRST, 50)
        assert found == (TAMPERED, TAMPERED)  # the key of the log signed no such text


def test_golden_files_of_a_rotated_log_are_proven_with_the_first_key_alone():
    folder, key = GOLDEN / "rotated", (GOLDEN / "audit.vkey").read_text()
    old = GOLDEN / "checkpoint-3.txt"
    for arguments in (
        (folder / "bundle",),
        ("--proof", folder / "entry-2.tlog-proof"),
        ("--proof", folder / "consistency-3.txt", "--checkpoint", old),
    ):
        command = [sys.executable, "-I", "-S", standalone.__file__, *map(str, arguments)]
        done = subprocess.run([*command, "--key", key], capture_output=True, check=False)
        assert done.returncode == PROVEN, done.stdout
    for name, kept in (("entry-2.tlog-proof", None), ("consistency-3.txt", old.read_text())):
        text = (folder / name).read_text()
        assert service.check_proof(text, [note.parse_verifier(key)], kept).checkpoint.size == 8


@pytest.mark.parametrize("kind", KINDS)
def test_who_holds_the_newest_key_alone_is_not_led_astray_by_a_stolen_old_one(tmp_path, kind):
    theft = rotate(FIRST, THIEF, 40)
    for rotations in ((theft,), (theft, *CHAIN), (*CHAIN, theft)):
        found = judge(tmp_path, kind, THIRD, rotations, THIEF, SIZE)
        assert found == (CANNOT, CANNOT)
