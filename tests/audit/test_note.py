"""Is a note accepted exactly when a known key signed it, and is no weak key ever known?"""

import json
from hashlib import sha256

import pytest
from audit_logs import KEY, OTHER_KEY, vectors
from hypothesis import given
from hypothesis import strategies as st

from operations.audit import note
from operations.audit.note import NoteError

pytestmark = pytest.mark.unit

TEXT = "example.com/audit\n7\nsomething\n\nafter a blank line\n"
PETER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"


def signed():
    return vectors("signed-note/notes.json")


def public_text(public, name="example.com/audit"):
    """Return a public key in text form, whatever it is worth."""
    data = note.ED25519 + public
    key_id = sha256(name.encode() + b"\n" + data).hexdigest()[:8]
    return f"{name}+{key_id}+{note._base64(data)}"


def test_published_notes_are_judged_as_published():
    for vector in signed()["open"]:
        known = [note.parse_verifier(each) for each in vector["vkeys"]]
        if "msg_hex" in vector:
            with pytest.raises(UnicodeDecodeError):
                bytes.fromhex(vector["msg_hex"]).decode()
        elif vector["ok"]:
            opened = note.open_note(vector["msg"], known)
            assert {key.name for key in opened.signers} == set(vector["verified"])
            assert vector["msg"].startswith(opened.text + "\n\u2014 ")
        else:
            with pytest.raises(NoteError):
                note.open_note(vector["msg"], known)


def test_a_published_signature_comes_out_byte_for_byte():
    (vector,) = signed()["sign"]
    signer = note.parse_signer(PETER)
    assert str(signer.verifier) == signed()["keys"]["peter_vkey"]
    assert signer.sign(vector["text"]) == vector["want"]


def test_damaged_public_keys_are_refused():
    good = signed()["keys"]["peter_vkey"]
    bad = [good[:length] for length in range(len(good))]
    bad += [good[start:] for start in range(1, len(good))]
    bad += [good[:n] + chr(ord(good[n]) + 1) + good[n + 1 :] for n in range(len(good))]
    bad += [each for each in signed()["bad_vkeys"] if not each.startswith(("every", "peter"))]
    for text in bad:
        with pytest.raises(NoteError):
            note.parse_verifier(text)


def test_keys_are_read_as_they_are_written():
    made = note.generate_key("example.com/audit")
    assert note.parse_signer(f"{made}\n") == made
    assert note.parse_verifier(f" {made.verifier}\n") == made.verifier
    assert made.seed != note.generate_key("example.com/audit").seed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PRIVATE+KEY+",
        str(KEY)[1:],
        "x" + str(KEY),
        str(KEY).replace("example", "exampel"),
        str(KEY.verifier),
        "PRIVATE+KEY+a+0000000g+" + str(KEY).rpartition("+")[2],
        "PRIVATE+KEY+a b+00000000+" + str(KEY).rpartition("+")[2],
        "PRIVATE+KEY+\ud800+00000000+" + str(KEY).rpartition("+")[2],
    ],
)
def test_damaged_private_keys_are_refused(text):
    with pytest.raises(NoteError):
        note.parse_signer(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\x07b", "a\u2028b", "\ud800"])
def test_a_name_that_a_note_cannot_carry_makes_no_key(name):
    with pytest.raises(NoteError, match="cannot name a key"):
        note.generate_key(name)


def test_keys_of_small_order_are_refused_at_load():
    published = {
        vector["key"]
        for vector in vectors("ed25519-cctv/ed25519/ed25519vectors.json")
        if {"low_order_A", "non_canonical_A"} & set(vector["flags"] or ())
    }
    assert len(published) == 14
    for key in published:
        with pytest.raises(NoteError, match=r"small order|canonical form"):
            note.parse_verifier(public_text(bytes.fromhex(key)))


def test_keys_that_are_not_canonical_are_refused_at_load():
    for y in range(2, 19):
        for sign in (0, 1):
            number = 2**255 - 19 + y | sign << 255
            with pytest.raises(NoteError, match="canonical form"):
                note.parse_verifier(public_text(number.to_bytes(32, "little")))


def test_published_signatures_are_judged_as_published():
    judged = 0
    for group in vectors("ed25519-wycheproof/ed25519_test.json")["testGroups"]:
        key = note.parse_verifier(public_text(bytes.fromhex(group["publicKey"]["pk"])))
        for test in group["tests"]:
            try:
                text = bytes.fromhex(test["msg"]).decode()
            except UnicodeDecodeError:
                continue  # a note is text
            expected = test["result"] == "valid"
            assert note.valid(key, text, bytes.fromhex(test["sig"])) == expected, test["comment"]
            judged += 1
    assert judged > 80


def test_a_note_that_is_signed_opens():
    opened = note.open_note(KEY.sign(TEXT), [OTHER_KEY.verifier, KEY.verifier])
    assert opened == (TEXT, (KEY.verifier,))


def test_a_second_signature_counts_and_a_strange_one_is_ignored():
    both = KEY.sign(TEXT) + OTHER_KEY.sign(TEXT).rpartition("\n\n")[2]
    known = [KEY.verifier, OTHER_KEY.verifier]
    assert note.open_note(both, known).signers == tuple(known)
    assert note.open_note(both, known[1:]).signers == (OTHER_KEY.verifier,)
    strange = KEY.sign(TEXT) + "\u2014 witness.example uKLPIAAAAABpVGeA\n"
    assert note.open_note(strange, known).signers == (KEY.verifier,)


def test_one_wrong_signature_of_a_known_key_refuses_the_note():
    wrong = OTHER_KEY.sign("another text\n").rpartition("\n\n")[2]
    both = KEY.sign(TEXT) + wrong
    assert note.open_note(both, [KEY.verifier]).signers == (KEY.verifier,)
    with pytest.raises(NoteError, match="is not valid for this text"):
        note.open_note(both, [KEY.verifier, OTHER_KEY.verifier])


@given(st.data())
def test_a_note_that_was_touched_says_nothing_else(draw):
    whole = KEY.sign(TEXT)
    place = draw.draw(st.integers(0, len(whole) - 1))
    character = draw.draw(st.characters())
    touched = whole[:place] + character + whole[place + draw.draw(st.integers(0, 1)) :]
    try:
        opened = note.open_note(touched, [KEY.verifier])
    except NoteError:
        return
    assert opened == (TEXT, (KEY.verifier,))


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "\n",
        "text\n",
        "text\n\n",
        "text\n\n\n",
        "text\n\n\u2014 a\n",
        "text\n\n\u2014 a b c\n",
        "text\n\n- a AAAAAAA=\n",
        "text\n\n\u2014  AAAAAAA=\n",
        "text\n\n\u2014 a AAAA\n",
        "text\n\n\u2014 a !!!!\n",
        "text\x00\n\n\u2014 a AAAAAAA=\n",
        "text\ud800\n\n\u2014 a AAAAAAA=\n",
        "text\n\n" + "\u2014 a AAAAAAA=\n" * 101,
        "x" * 1_000_001 + "\n\n\u2014 a AAAAAAA=\n",
    ],
)
def test_what_is_no_note_is_refused(broken):
    with pytest.raises(NoteError):
        note.split(broken)


def test_a_text_that_no_note_can_carry_is_not_signed():
    for text in ("no newline", "tab\t\n", "\ud800\n"):
        with pytest.raises(NoteError, match="the text of a note"):
            KEY.sign(text)


def test_signing_is_deterministic():
    assert KEY.sign(TEXT) == KEY.sign(TEXT)
    assert json.dumps(KEY.sign(TEXT)).isascii()
