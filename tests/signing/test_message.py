"""Does a signature hold for exactly one payload in one place?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.errors import Rejected
from operations.signing import keys, message
from operations.signing.message import Message, Signer

pytestmark = pytest.mark.unit

KEY = keys.private_key("alice", bytes(range(32)))
SIGNER = Signer(KEY, "mts.local/audit", "drill")
SUBJECT = "mts.v1.operations.command.halt"
GOLDEN = (
    "alice+db500c1f "
    "k+j8cs32fZKnjzU/x2eu6cmzbx8yB5FSJUz6KwbKSbnC1VaUp+Ka1fyeJHxisnetXedkNMFwT3utDzLaqMExAg=="
)


def test_the_signed_bytes_never_change():
    assert message.signed_bytes("o", "live", "mts.v1.a", b"{}") == (
        b"mts-signed/v1\n"
        b"\x00\x00\x00\x01o"
        b"\x00\x00\x00\x04live"
        b"\x00\x00\x00\x08mts.v1.a"
        b"\x00\x00\x00\x02{}"
    )


def test_the_header_never_changes():
    assert SIGNER(SUBJECT, b'{"event_id":"1"}') == GOLDEN


def test_lengths_count_bytes_and_not_characters():
    assert message.signed_bytes("é", "", "", b"")[14:20] == b"\x00\x00\x00\x02\xc3\xa9"


parts = st.tuples(st.text(max_size=9), st.text(max_size=9), st.text(max_size=9), st.binary())


@given(parts, parts)
def test_two_messages_never_have_the_same_bytes(one, other):
    assert (message.signed_bytes(*one) == message.signed_bytes(*other)) == (one == other)


@given(parts)
def test_a_signature_holds_for_its_message_only(other):
    mine = Message("mts.local/audit", "drill", SUBJECT, b"{}")
    signature = message.parse(SIGNER(SUBJECT, b"{}"))
    assert KEY.public.verifies(signature.raw, mine.signed_bytes())
    assert not KEY.public.verifies(signature.raw, Message(*other).signed_bytes())


@given(st.text(max_size=120))
def test_any_header_is_a_signature_or_rejected(value):
    with pytest.raises(Rejected):
        message.parse(value)


@given(st.data())
def test_no_changed_header_proves_the_same(data):
    value = SIGNER(SUBJECT, b"{}")
    place = data.draw(st.integers(0, len(value) - 1))
    changed = value[:place] + data.draw(st.characters()) + value[place + 1 :]
    if changed == value:
        return
    try:
        signature = message.parse(changed)
    except Rejected:
        return
    known = (signature.key_name, signature.key_id) == ("alice", KEY.public.key_id)
    signed = Message("mts.local/audit", "drill", SUBJECT, b"{}").signed_bytes()
    assert not (known and KEY.public.verifies(signature.raw, signed))


def test_a_header_survives_reading():
    value = SIGNER(SUBJECT, b"{}")
    assert message.header(message.parse(value)) == value
