"""Is a checkpoint one text only, and only ever the log's own?"""

import base64

import pytest
from audit_logs import KEY, ORIGIN, OTHER_KEY, VECTORS, vectors
from hypothesis import given
from hypothesis import strategies as st

from operations.audit import checkpoint, merkle, note
from operations.audit.checkpoint import Checkpoint
from operations.audit.note import NoteError

pytestmark = pytest.mark.unit

ROOT = bytes(range(32))
SAMPLE = Checkpoint(ORIGIN, 7, ROOT)
SUNLIGHT = VECTORS / "tlog-cosignature-sunlight/cmd/skylight/testdata/witness"


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_reads_back_and_opens(size, root):
    made = Checkpoint(ORIGIN, size, root)
    assert checkpoint.parse(str(made)) == made
    assert checkpoint.open_checkpoint(checkpoint.sign(made, KEY), ORIGIN, [KEY.verifier]) == made


def test_published_checkpoints_are_judged_as_published():
    for vector in vectors("tlog-formats/formats.json")["checkpoint_body"]:
        root = base64.b64decode(vector["m"].split("\n")[2]) if vector["ok"] else b""
        if vector["ok"] and len(root) == 32:
            parsed = checkpoint.parse(vector["m"])
            assert (parsed.origin, parsed.size) == (vector["origin"], vector["size"])
        elif vector["ok"]:  # the vector's root is words, no SHA-256: the rest must be accepted
            words = base64.b64encode(root).decode()
            fixed = vector["m"].replace(words, base64.b64encode(ROOT).decode())
            parsed = checkpoint.parse(fixed)
            assert parsed == (vector["origin"], vector["size"], ROOT)
            with pytest.raises(NoteError, match="root of 32 bytes"):
                checkpoint.parse(vector["m"])
        else:
            with pytest.raises(NoteError):
                checkpoint.parse(vector["m"])


def test_a_checkpoint_of_a_public_log_opens():
    for vector in vectors("signed-note/notes.json")["open"]:
        if vector["desc"].startswith("real public log"):
            known = [note.parse_verifier(each) for each in vector["vkeys"]]
            opened = note.open_note(vector["msg"], known)
            assert checkpoint.parse(opened.text).size == 35_225_469


def test_a_published_mirror_with_cosignatures_of_another_type_is_read():
    mirror = SUNLIGHT / "mirror/000de184301123b9278c086a7d9f68c9577e83872224c197058fd90784ea9706"
    if not mirror.exists():
        pytest.skip(f"published vectors are absent: {mirror}")
    text, lines = note.split((mirror / "checkpoint").read_text())
    parsed = checkpoint.parse(text)
    hashes = (mirror / "tile/0/000").read_bytes() + (mirror / "tile/0/001.p/44").read_bytes()
    tree = merkle.Frontier()
    tree.extend([hashes[start : start + 32] for start in range(0, len(hashes), 32)])
    assert (parsed.size, parsed.root) == (tree.size, tree.root())
    assert [name for name, _ in lines] == ["mirror.example.org"]
    with pytest.raises(NoteError, match="none of the known keys"):
        checkpoint.open_checkpoint((mirror / "checkpoint").read_text(), ORIGIN, [KEY.verifier])


@pytest.mark.parametrize(
    "text",
    [
        "",
        str(SAMPLE)[:-1],
        str(SAMPLE) + "\n",
        str(SAMPLE) + "extension\n\n",
        "\n" + str(SAMPLE),
        str(SAMPLE).replace("\n7\n", "\n07\n"),
        str(SAMPLE).replace("\n7\n", "\n+7\n"),
        str(SAMPLE).replace("\n7\n", "\n 7\n"),
        str(SAMPLE).replace("\n7\n", "\n-7\n"),
        str(SAMPLE).replace("\n7\n", "\n\u0667\n"),
        str(SAMPLE).replace("\n7\n", "\n\n"),
        str(SAMPLE).replace("\n7\n", f"\n{2**63}\n"),
        str(SAMPLE).replace("\n7\n", "\n" + "7" * 10_000 + "\n"),
        str(SAMPLE).replace("=\n", "\n"),
        str(SAMPLE).replace("8=\n", "9=\n"),  # other padding bits, the same bytes
        str(SAMPLE).replace("AAEC", "AA\u00e9C"),
        f"{ORIGIN}\n7\n{base64.b64encode(ROOT[:31]).decode()}\n",
        f"{ORIGIN}\n7\n{base64.b64encode(ROOT * 2).decode()}\n",
    ],
)
def test_what_is_not_exactly_a_checkpoint_is_refused(text):
    with pytest.raises(NoteError):
        checkpoint.parse(text)


def test_extension_lines_are_read_and_ignored():
    assert checkpoint.parse(str(SAMPLE) + "extension\nanother\n") == SAMPLE


def test_a_key_signs_for_the_log_of_its_name_only():
    other = note._signer("example.com/other", KEY.seed)
    with pytest.raises(NoteError, match="cannot sign for log"):
        checkpoint.sign(SAMPLE, other)
    foreign = other.sign(str(SAMPLE._replace(origin="example.com/other")))
    with pytest.raises(NoteError, match=r"is of log 'example.com/other', not 'example.com/audit'"):
        checkpoint.open_checkpoint(foreign, ORIGIN, [other.verifier])


def test_a_checkpoint_that_nobody_known_signed_is_refused():
    signed = checkpoint.sign(SAMPLE, OTHER_KEY)
    with pytest.raises(NoteError, match="none of the known keys"):
        checkpoint.open_checkpoint(signed, ORIGIN, [KEY.verifier])
    with pytest.raises(NoteError, match="is not valid for this text"):
        checkpoint.open_checkpoint(
            checkpoint.sign(SAMPLE, KEY).replace("\n7\n", "\n8\n"), ORIGIN, [KEY.verifier]
        )
