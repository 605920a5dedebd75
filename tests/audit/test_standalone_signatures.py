"""Does the one-file verifier judge signatures as everyone else does, and by one rule?"""

import base64
import random
from hashlib import sha256

import pytest
from audit_logs import vectors
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from operations.audit import note, standalone

pytestmark = pytest.mark.unit


def judge(public, message, signature):
    """Return what the note rule says: key accepted at load, and signature valid."""
    try:
        name, data = "a", note.ED25519 + public
        key_id = sha256(name.encode() + b"\n" + data).hexdigest()[:8]
        note.parse_verifier(f"{name}+{key_id}+{base64.b64encode(data).decode()}")
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
        more = int.from_bytes(signature[32:], "little") + standalone.ORDER
        malleable = signature[:32] + more.to_bytes(32, "little")
        assert not standalone.verify_signature(public, message, malleable)
