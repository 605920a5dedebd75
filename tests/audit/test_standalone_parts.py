"""Does each part of the one-file verifier judge as everyone else does, signatures above all?"""

import base64
import random
from hashlib import sha256

import pytest
from audit_logs import sample_log, vectors
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PublicKey,
)

from operations.audit import chain, note, standalone
from operations.audit import entry as entries

pytestmark = pytest.mark.unit

LOG = sample_log()
OFF_THE_CURVE = b"\x02" + bytes(31)  # no point has y = 2


def key_text(public, name="a", kind=note.ED25519):
    """Return a public key in text form, whatever it is worth."""
    data = kind + public
    key_id = sha256(name.encode() + b"\n" + data).hexdigest()[:8]
    return f"{name}+{key_id}+{base64.b64encode(data).decode()}"


def test_a_key_that_is_damaged_or_weak_is_no_key():
    good = note._signer("a", bytes(32)).verifier.public
    ((public, last_size),) = standalone.parse_keys(f"\n{key_text(good)}\n").values()
    assert (public, last_size) == (good, standalone.MAX_SIZE)
    for reason, text in (
        ("there is no public key", " \n"),
        ("the key .* is not base64", key_text(good)[:-1]),
        ("the key .* is not base64", key_text(good) + "\ud800"),
        ("is not <name>", key_text(good, kind=b"\x04")),
        ("is not <name>", key_text(good + b"\x00")),
        ("is not <name>", key_text(good, name="")),
        ("key id of 'b' does not belong", "b" + key_text(good)[1:]),
        ("is weak: anyone could sign", key_text(bytes(32))),
        ("is weak: anyone could sign", key_text(b"\x01" + bytes(31))),
        ("is weak: anyone could sign", key_text(b"\xff" * 32)),
        ("is weak: anyone could sign", key_text(OFF_THE_CURVE)),
    ):
        with pytest.raises(ValueError, match=reason):
            standalone.parse_keys(text)


def test_a_signature_has_one_form_only():
    signer = note._signer("a", bytes(32))
    signed = signer.sign("a\n7\n" + base64.b64encode(bytes(32)).decode() + "\n")
    keys = standalone.parse_keys(str(signer.verifier))
    assert standalone.open_checkpoint(signed, keys).size == 7
    assert signed.endswith("=\n")
    for changed in (
        signed[:-2] + "\n",
        signed[:-3] + "?=\n",
        signed.replace("\u2014 a", "\u2014  "),
    ):
        with pytest.raises(ValueError, match=r"."):
            standalone.open_checkpoint(changed, keys)


def test_a_note_has_the_limits_of_every_note():
    signer = note._signer("a", bytes(32))
    text = "a\n7\n" + base64.b64encode(bytes(32)).decode() + "\n"
    keys = standalone.parse_keys(str(signer.verifier))
    strange = "\u2014 witness.example AAAAAAAA\n"
    assert standalone.open_checkpoint(signer.sign(text) + strange * 99, keys).size == 7
    for line in ("\u2014 w AAAAAAAA x\n", "\u2014  AAAAAAAA\n", "\u2014 w\n", "w AAAAAAAA\n", "\n"):
        with pytest.raises(ValueError, match=r"is not a signature line|no signed note"):
            standalone.open_checkpoint(signer.sign(text) + line, keys)
    with pytest.raises(ValueError, match="no key given signed this as a checkpoint of log 'b'"):
        standalone.open_checkpoint(signer.sign("b" + text[1:]), keys)
    hidden = text + "\x1b\n"
    for changed in (
        signer.sign(text) + strange * 100,
        signer.sign(text)[:-1],
        f"{hidden}\n{note.signature_line(signer, hidden)}",
        text,
    ):
        with pytest.raises(ValueError, match="there is no signed note"):
            standalone.open_checkpoint(changed, keys)


def judge(public, message, signature):
    """Return what the note rule says: key accepted at load, and signature valid."""
    try:
        note.parse_verifier(key_text(public))
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (note.NoteError, InvalidSignature):
        return False
    return True


def test_its_signatures_are_judged_as_wycheproof_and_the_note_rule_judge_them():
    judged = 0
    for group in vectors("ed25519-wycheproof/ed25519_test.json")["testGroups"]:
        public = bytes.fromhex(group["publicKey"]["pk"])
        for test in group["tests"]:
            message, signature = bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"])
            ours = standalone.verify_signature(public, message, signature)
            assert ours == (test["result"] == "valid"), test["comment"]
            assert ours == judge(public, message, signature), test["comment"]
            judged += 1
    assert judged == 151


def test_it_agrees_with_the_note_rule_on_every_edge_of_the_curve():
    accepted = 0
    for vector in vectors("ed25519-cctv/ed25519/ed25519vectors.json"):
        public, signature = bytes.fromhex(vector["key"]), bytes.fromhex(vector["sig"])
        message, flags = vector["msg"].encode(), set(vector["flags"] or ())
        ours = standalone.verify_signature(public, message, signature)
        assert ours == judge(public, message, signature), vector["number"]
        # No cofactor: what is left of low order must cancel out. Nothing weak, one encoding each.
        refused = {"low_order_A", "non_canonical_A", "non_canonical_R", "low_order_residue"}
        assert ours == (not flags & refused), (vector["number"], flags)
        accepted += ours
    assert accepted > 0


def test_it_agrees_with_the_note_rule_on_what_a_log_signs():
    source = random.Random(3)
    for number in range(40):
        signer = note._signer("a", source.randbytes(32))
        text = source.randbytes(source.randrange(200)).hex() + "\n"
        signature = note.split(signer.sign(text))[1][0][1][4:]
        message = text.encode()
        public = signer.verifier.public
        assert standalone.verify_signature(public, message, signature)
        changed = bytearray(signature)
        changed[number] ^= 1 << source.randrange(8)
        assert not standalone.verify_signature(public, message, bytes(changed))
        assert not standalone.verify_signature(public, message + b"\n", signature)
        assert not standalone.verify_signature(public + b"\x00", message, signature)
        assert not standalone.verify_signature(public, message, signature + b"\x00")
        more = int.from_bytes(signature[32:], "little") + standalone.ORDER
        malleable = signature[:32] + more.to_bytes(32, "little")
        assert not standalone.verify_signature(public, message, malleable)


def test_a_gap_that_says_nothing_is_missing_is_tampering():
    before = standalone.decode_entry(LOG.entries[5])
    message = entries.decode(LOG.entries[6])
    last = before.stream_sequence
    for first, end, tampering in ((1, 1, False), (1, 9, False), (1, 0, True), (2, 9, True)):
        data = f'{{"first_missing":{last + first},"last_missing":{last + end}}}'.encode()
        gap = message._replace(
            subject=chain.GAP, action=chain.GAP, stream_sequence=last + end, data=data
        )
        decoded = standalone.decode_entry(entries.encode(gap))
        if not tampering:
            standalone.check_entry(decoded, before)
            continue
        with pytest.raises(standalone.Tampering, match="messages are missing"):
            standalone.check_entry(decoded, before)


def test_a_subtree_that_does_not_fit_is_tampering():
    tree = standalone.Tree(3, [bytes(32), bytes(32)])
    for level in (1, 2, 63, -1):
        with pytest.raises(standalone.Tampering, match="does not fit at size 3"):
            tree.append(bytes(32), level)
