"""Does the same stream always become the same bytes, and is nothing sealed over a hole?"""

import pytest
from audit_logs import CREATED_NS, KEY, ORIGIN, SimulatedLog, deliveries, reply
from hypothesis import given
from hypothesis import strategies as st

from operations.audit import chain
from operations.audit import entry as entries
from operations.audit.chain import Jump

pytestmark = pytest.mark.unit

COUNT = 60
MESSAGES = deliveries(COUNT)


def whole():
    log = SimulatedLog()
    log.seal(MESSAGES)
    return log


WHOLE = whole()


@given(st.lists(st.integers(0, 25), max_size=12))
def test_any_batching_seals_the_same_bytes(pieces):
    log, position = SimulatedLog(), 0
    for piece in [*pieces, COUNT]:
        log.seal(MESSAGES[position : position + piece])
        position += piece
    assert (log.entries, log.hashes, log.head) == (WHOLE.entries, WHOLE.hashes, WHOLE.head)


@given(st.lists(st.tuples(st.integers(0, COUNT), st.integers(0, COUNT)), max_size=8))
def test_redeliveries_change_nothing(ranges):
    log = SimulatedLog()
    for start, end in [*ranges, (0, COUNT)]:
        start = min(start, log.head.stream_sequence)  # noqa: PLW2901 (no jumps here)
        sealed = chain.seal(log.head, MESSAGES[start:end])
        assert sealed.taken == len(MESSAGES[start:end])
        log.add(sealed)
    assert (log.entries, log.head) == (WHOLE.entries, WHOLE.head)


def test_only_redeliveries_seal_nothing_and_are_done_with():
    sealed = chain.seal(WHOLE.head, MESSAGES)
    assert (sealed.entries, sealed.hashes, sealed.head) == ([], [], WHOLE.head)
    assert sealed.taken == COUNT
    assert chain.seal(WHOLE.head, []) == ([], [], WHOLE.head, 0)


def test_every_entry_is_linked_to_the_one_before():
    previous = entries.genesis_hash(ORIGIN)
    for number, (data, linked) in enumerate(zip(WHOLE.entries, WHOLE.hashes, strict=True)):
        assert entries.sequence_of(data) == number
        previous = entries.link(previous, data)
        assert previous == linked
    assert WHOLE.head == (COUNT + 1, previous, COUNT, CREATED_NS)


def test_entries_hold_what_was_delivered_byte_for_byte():
    for data, (subject, place, headers, payload) in zip(WHOLE.entries[1:], MESSAGES, strict=True):
        entry = entries.decode(data)
        assert (entry.subject, entry.headers, entry.data) == (subject, headers, payload)
        assert (entry.stream_sequence, entry.timestamp_ns) == chain.position(place)
        assert entries.encode(entry) == data == chain.message_entry(entry.sequence, (
            subject, place, headers, payload,
        ))  # fmt: skip


def test_a_jump_before_the_first_new_message_raises_and_seals_nothing():
    head = SimulatedLog().head
    for batch in (MESSAGES[1:], MESSAGES[59:]):
        with pytest.raises(Jump, match="after stream sequence 0 came"):
            chain.seal(head, batch)
    head = chain.seal(head, MESSAGES[:5]).head
    with pytest.raises(Jump, match="after stream sequence 5 came 8"):
        chain.seal(head, MESSAGES[:5] + MESSAGES[7:])


@pytest.mark.parametrize("gap_is_real", [False, True])
def test_a_jump_later_in_a_batch_stops_the_batch_before_it(gap_is_real):
    head = SimulatedLog().head
    batch = [*MESSAGES[:10], *MESSAGES[20:]]
    sealed = chain.seal(head, batch, gap_is_real=gap_is_real)
    assert sealed.entries == WHOLE.entries[1:11]
    assert (sealed.taken, sealed.head.stream_sequence) == (10, 10)


def test_a_real_gap_is_an_entry_of_its_own():
    log = SimulatedLog()
    log.seal(MESSAGES[:5])
    log.seal(MESSAGES[7:10], gap_is_real=True)
    gap, after = map(entries.decode, log.entries[6:8])
    assert gap == (
        6, 7, after.timestamp_ns, b"audit.gap", b"audit", b"audit.gap", b"audit.gap", b"",
        b'{"first_missing":6,"last_missing":7}',
    )  # fmt: skip
    assert (after.sequence, after.stream_sequence) == (7, 8)
    assert log.head.stream_sequence == 10
    assert log.hashes[7] == entries.link(log.hashes[6], log.entries[7])


def test_a_gap_that_is_allowed_but_not_there_changes_nothing():
    log = SimulatedLog()
    for start in range(0, COUNT, 7):
        log.seal(MESSAGES[start : start + 7], gap_is_real=True)
    assert log.entries == WHOLE.entries


def test_a_gap_after_redeliveries_is_found_too():
    head = chain.seal(SimulatedLog().head, MESSAGES[:5]).head
    sealed = chain.seal(head, [*MESSAGES[:5], MESSAGES[9]], gap_is_real=True)
    assert [entries.decode(each).stream_sequence for each in sealed.entries] == [9, 10]
    assert sealed.taken == 6


def test_every_form_of_reply_gives_the_same_entry():
    subject, _, headers, payload = MESSAGES[0]
    forms = [chain.message_entry(1, (subject, reply(1, n), headers, payload)) for n in (9, 11, 12)]
    assert forms == [WHOLE.entries[1]] * 3
    assert {chain.position(reply(7, tokens)) for tokens in (9, 11, 12)} == {
        (7, CREATED_NS + 7 * 1_000_003)
    }


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"$JS.ACK",
        b"_INBOX.x.y",
        b"$JS.ACK.MTS.audit.1.2.3.4",
        b"$JS.ACK.MTS.audit.1.2.3.4.5.6",
        b"$JS.ACK.MTS.audit.1.x.3.4.5",
        b"$JS.ACK.MTS.audit.1.-2.3.4.5",
        b"$JS.ACK.MTS.audit.1.+2.3.4.5",
        b"$JS.ACK.MTS.audit.1.1_0.3.4.5",
        b"$JS.ACK.MTS.audit.1. 2.3.4.5",
        b"$JS.ACK.MTS.audit.1..3.4.5",
        b"$JS.ACK.MTS.audit.1.2.3.-4.5",
        b"$js.ack.MTS.audit.1.2.3.4.5",
    ],
)
def test_what_is_not_a_reply_of_the_stream_is_refused(wrong):
    with pytest.raises(ValueError, match=r"."):
        chain.position(wrong)


def test_two_messages_of_one_subject_do_not_lend_each_other_an_actor():
    chain._subject_fields.clear()
    for number in range(3 * chain._CACHED_FIELDS // 2):
        actor = b"actor-%d" % (number % 11_000)
        data = b'{"actor":"' + actor + b'"}'
        entry = entries.decode(chain.message_entry(1, (b"mts.v1.a.b", reply(1), b"", data)))
        assert (entry.actor, entry.action) == (actor, b"a.b")
    assert len(chain._subject_fields) <= chain._CACHED_FIELDS


def test_long_fields_have_their_lengths():
    for size in (4_095, 4_096, 70_000):
        message = (b"mts.v1." + b"s" * size, reply(1), b"h" * size, b"d" * size)
        entry = entries.decode(chain.message_entry(1, message))
        assert (entry.subject, entry.headers, entry.data) == (message[0], message[2], message[3])
        assert entry.subject_id == entry.subject


def test_the_first_entry_says_what_the_log_is():
    sealed = chain.first_entry(ORIGIN, str(KEY.verifier), "MTS", CREATED_NS)
    entry = entries.decode(sealed.entries[0])
    assert entry[:7] == (
        0, 0, CREATED_NS, b"audit.genesis", b"audit", b"audit.genesis", ORIGIN.encode(),
    )  # fmt: skip
    assert str(KEY.verifier).encode() in entry.data
    assert sealed.head == (1, sealed.hashes[0], 0, CREATED_NS)


def test_adopting_another_stream_goes_on_where_the_order_says():
    command = chain.Adoption(b"mts.v1.operations.command.x", b"alice", 77, b"headers", b"data")
    sealed = chain.adopted(WHOLE.head, command, 41, CREATED_NS + 1)
    entry = entries.decode(sealed.entries[0])
    assert entry == (
        COUNT + 1, 40, 77, b"audit.stream.adopted", b"alice", b"audit.stream.adopted",
        b"mts.v1.operations.command.x", b"headers", b"data",
    )  # fmt: skip
    assert sealed.head == (COUNT + 2, sealed.hashes[0], 40, CREATED_NS + 1)
    after = chain.seal(sealed.head, deliveries(2, first=41))
    assert [entries.sequence_of(each) for each in after.entries] == [COUNT + 2, COUNT + 3]
