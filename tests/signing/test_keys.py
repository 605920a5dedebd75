"""Do keys that prove nothing stay out, and does every signature that must fail, fail?"""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.errors import Rejected
from operations.signing import keys

pytestmark = pytest.mark.unit

VECTORS = Path(__file__).resolve().parents[2] / "../shared/vectors"
SEED = bytes(range(32))
PUBLIC = "alice+db500c1f+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"


def vectors(name):
    file = VECTORS / name
    if not file.exists():
        pytest.skip(f"{file} is absent")
    return json.loads(file.read_text())


def test_the_text_of_a_key_never_changes():
    key = keys.private_key("alice", SEED)
    assert str(key.public) == PUBLIC
    assert keys.parse_public(str(key.public)) == key.public
    assert keys.parse_private(key.secret_text()) == key
    assert key.secret_text().startswith("PRIVATE+KEY+alice+")


def test_the_printed_form_of_a_private_key_shows_no_secret():
    key = keys.private_key("alice", SEED)
    secret = key.secret_text().rpartition("+")[2]
    assert secret not in repr(key)
    assert SEED.hex() not in repr(key)
    assert secret not in str(key)


def test_a_renamed_key_no_longer_fits_its_text():
    text = str(keys.private_key("alice", SEED).public)
    with pytest.raises(Rejected, match="renamed, exchanged or mistyped"):
        keys.parse_public(text.replace("alice", "mallory"))


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "é", "a\\b", "x" * 129])
def test_a_name_that_cannot_stand_in_a_header_is_refused(name):
    with pytest.raises(Rejected, match="cannot name a key"):
        keys.new_key(name)


@given(st.text(max_size=120))
def test_any_text_is_a_key_or_rejected(text):
    for parse in (keys.parse_public, keys.parse_private):
        with pytest.raises(Rejected):
            parse(text)


@given(st.binary(max_size=64), st.data())
def test_any_change_of_one_character_of_a_public_key_is_refused(seed, data):
    text = str(keys.private_key("alice", seed.ljust(32, b"\0")[:32]).public)
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(exclude_characters=text[place], max_codepoint=0x17F))
    with pytest.raises(Rejected):
        keys.parse_public("x" + text[:place] + other + text[place + 1 :])
    with pytest.raises(Rejected):
        keys.parse_public(text[:place] + other + "x" + text[place + 1 :])


def test_every_point_of_small_order_and_every_unreduced_key_is_refused():
    refused = 0
    for vector in vectors("ed25519-cctv/ed25519/ed25519vectors.json"):
        flags, raw = set(vector["flags"] or ()), bytes.fromhex(vector["key"])
        if flags & {"low_order_A", "non_canonical_A"}:
            refused += 1
            with pytest.raises(Rejected, match=r"small order|canonical form"):
                keys.public_key("vector", raw)
        else:
            assert keys.public_key("vector", raw).raw == raw
    assert refused > 100


def test_under_an_accepted_key_no_edge_case_of_an_encoding_is_valid():
    # The rule: a key that is not of small order, and the cofactorless equation of RFC 8032 on the
    # encoded R; so a residue of small order and an R that is not canonical never pass.
    for vector in vectors("ed25519-cctv/ed25519/ed25519vectors.json"):
        flags = set(vector["flags"] or ())
        if flags & {"low_order_A", "non_canonical_A"}:
            continue
        key = keys.public_key("vector", bytes.fromhex(vector["key"]))
        valid = key.verifies(bytes.fromhex(vector["sig"]), vector["msg"].encode())
        assert valid == (not flags & {"low_order_residue", "non_canonical_R", "reencoded_k"}), (
            vector
        )


def test_the_wycheproof_vectors_hold():
    groups = vectors("ed25519-wycheproof/ed25519_test.json")["testGroups"]
    tried = 0
    for group in groups:
        key = keys.public_key("vector", bytes.fromhex(group["publicKey"]["pk"]))
        for case in group["tests"]:
            tried += 1
            valid = key.verifies(bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"]))
            assert valid == (case["result"] == "valid"), case
    assert tried == 151
