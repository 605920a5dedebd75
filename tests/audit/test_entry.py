"""Are the bytes of an entry one thing only, and the same in every release?"""

import json
import struct
from hashlib import sha256

import pytest
from audit_logs import GOLDEN
from hypothesis import given
from hypothesis import strategies as st

from operations.audit import chain
from operations.audit import entry as entries
from operations.audit.entry import Entry

pytestmark = pytest.mark.unit

U64 = st.integers(0, 2**64 - 1)
ENTRIES = st.builds(
    Entry, U64, U64, st.integers(-(2**63), 2**63 - 1), *[st.binary(max_size=40)] * 6
)
SAMPLE = Entry(7, 9, -1, b"mts.v1.\xff", b"oms-1", b"\xff", b"", b"NATS/1.0\r\n\r\n", b"\x00{")


def golden(kind):
    return json.loads((GOLDEN / "entries.json").read_text())[kind]


def by_the_document(previous, sequence, stream_sequence, timestamp_ns, *fields):
    """Bytes and hash as docs/audit-format.md gives them, written once more from the text."""
    data = b"mts-audit/entry/v1\n" + struct.pack(">QQq", sequence, stream_sequence, timestamp_ns)
    data += b"".join(struct.pack(">I", len(field)) + field for field in fields)
    return data, sha256(previous + data).digest()


@given(ENTRIES)
def test_an_entry_that_is_written_reads_back(entry):
    data = entries.encode(entry)
    assert entries.decode(data) == entry
    assert entries.sequence_of(data) == entry.sequence
    assert (data, entries.link(bytes(32), data)) == by_the_document(bytes(32), *entry)


def test_every_truncation_is_refused():
    data = entries.encode(SAMPLE)
    for length in range(len(data)):
        with pytest.raises(ValueError, match="entry"):
            entries.decode(data[:length])


def test_every_extension_is_refused():
    data = entries.encode(SAMPLE)
    for tail in (b"\x00", b"\x00\x00\x00\x00", b"\n", data):
        with pytest.raises(ValueError, match="the lengths of the entry say"):
            entries.decode(data + tail)


@given(ENTRIES, st.data())
def test_a_length_that_lies_is_refused_or_moves_no_byte(entry, draw):
    data = bytearray(entries.encode(entry))
    place = draw.draw(st.integers(0, len(data) - 1))
    data[place] ^= 1 << draw.draw(st.integers(0, 7))
    try:
        changed = entries.decode(bytes(data))
    except ValueError:
        return
    assert changed != entry
    assert entries.encode(changed) == bytes(data)


def test_another_magic_is_refused():
    data = entries.encode(SAMPLE)
    for wrong in (b"", b"mts-audit/entry/v2\n" + data[19:], b"x" + data, data[1:]):
        with pytest.raises(ValueError, match="starts with"):
            entries.decode(wrong)


def test_the_action_is_the_subject_behind_the_prefix():
    assert entries.action_of(b"mts.v1.trading.order.filled") == b"trading.order.filled"
    assert entries.action_of(b"mts.v1.mts.v1.x") == b"mts.v1.x"
    assert entries.action_of(b"audit.gap") == b"audit.gap"
    assert entries.action_of(b"mts.v1.") == b""


def test_golden_messages_give_their_frozen_bytes():
    vectors = golden("messages")
    assert len(vectors) >= 20
    for vector in vectors:
        subject, reply, headers, data = (
            bytes.fromhex(vector[name]) for name in ("subject", "reply", "headers", "data")
        )
        made = chain.message_entry(vector["sequence"], (subject, reply, headers, data))
        assert made.hex() == vector["entry"], vector["name"]
        previous = bytes.fromhex(vector["previous_hash"])
        assert entries.link(previous, made).hex() == vector["hash"], vector["name"]
        decoded = entries.decode(made)
        assert by_the_document(previous, *decoded)[1].hex() == vector["hash"], vector["name"]
        assert decoded.actor.decode() == vector["actor"], vector["name"]
        assert decoded.subject_id.hex() == vector["subject_id"], vector["name"]


def test_the_golden_chain_gives_its_frozen_bytes():
    """Genesis, messages, a gap, another stream adopted: own entries and hashes in one chain."""
    vector = golden("chain")
    created_ns = vector["stream_created_ns"]
    sealed = chain.first_entry(vector["origin"], vector["public_key"], "MTS", created_ns)
    made, hashes, head = list(sealed.entries), list(sealed.hashes), sealed.head
    for step in vector["steps"]:
        if "adopt" in step:
            adopt = step["adopt"]
            command = chain.Adoption(
                adopt["subject"].encode(), adopt["actor"].encode(), adopt["timestamp_ns"],
                bytes.fromhex(adopt["headers"]), bytes.fromhex(adopt["data"]),
            )  # fmt: skip
            sealed = chain.adopted(
                head, command, adopt["from_sequence"], adopt["stream_created_ns"]
            )
        else:
            messages = [tuple(map(bytes.fromhex, message)) for message in step["messages"]]
            sealed = chain.seal(head, messages, gap_is_real=True)
        made, hashes, head = made + sealed.entries, hashes + sealed.hashes, sealed.head
    assert entries.genesis_hash(vector["origin"]).hex() == vector["genesis_hash"]
    assert [each.hex() for each in made] == vector["entries"]
    assert [each.hex() for each in hashes] == vector["hashes"]
    subjects = [entries.decode(each).subject for each in made]
    assert {chain.GENESIS, chain.GAP, chain.ADOPTED} <= set(subjects)
