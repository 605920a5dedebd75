"""Does a proof file prove what it says, and does every file that was touched say why not?"""

import base64

import pytest
from audit_logs import KEY, ORIGIN, OTHER_KEY, SimulatedLog, deliveries, sample_log, vectors
from hypothesis import given
from hypothesis import strategies as st

from operations.audit import checkpoint, note, proof
from operations.audit import entry as entries

pytestmark = pytest.mark.unit

KNOWN = [KEY.verifier]
LOG = sample_log()
INDEX, SIZE = 30, LOG.size
INCLUSION = LOG.inclusion(INDEX, SIZE)
OLD = 50
CONSISTENCY = LOG.consistency(OLD, SIZE)


def lines_changed(text, number, line):
    """Return the text with one line replaced, or removed where the new one is None."""
    lines = text.split("\n")
    lines[number : number + 1] = [] if line is None else [line]
    return "\n".join(lines)


def refused(text, reason="."):
    with pytest.raises(ValueError, match=reason):
        proof.check_inclusion(text, ORIGIN, KNOWN)


def growth_refused(text, old_note, reason="."):
    with pytest.raises(ValueError, match=reason):
        proof.check_consistency(text, old_note, ORIGIN, KNOWN)


def test_every_entry_of_a_log_is_proven_by_its_file():
    for size in (1, 2, 61, SIZE):
        for index in range(size):
            proven = proof.check_inclusion(LOG.inclusion(index, size), ORIGIN, KNOWN)
            assert entries.encode(proven) == LOG.entries[index]


def test_growth_between_any_two_sizes_is_proven_by_its_file():
    for new in (1, 2, 61, 64, SIZE):
        for old in range(1, new + 1, 3):
            sizes = proof.check_consistency(LOG.consistency(old, new), LOG.note(old), ORIGIN, KNOWN)
            assert [each.size for each in sizes] == [old, new]


def test_published_proofs_are_read_as_published():
    for vector in vectors("tlog-formats/formats.json")["tlog_proof"]:
        if not vector["ok"]:
            with pytest.raises(ValueError, match=r"."):
                proof.parse_inclusion(vector["proof"])
            continue
        parsed = proof.parse_inclusion(vector["proof"])
        assert (parsed.leaf_index, len(parsed.hashes)) == (vector["index"], vector["n_hashes"])
        assert parsed.extra == (base64.b64decode(vector.get("extra_b64", "")) or None)
        assert str(parsed) == vector["proof"]


def test_published_requests_to_a_witness_are_read():
    published = vectors("tlog-witness/add-checkpoint.json")
    key = note.parse_verifier(published["log_vkey"])
    statuses = []
    for step in published["sequence"]:
        parsed = proof.parse_consistency(step["body"])
        assert str(parsed) == step["body"]
        if step["status"] in (200, 409, 422):
            opened = checkpoint.open_checkpoint(parsed.checkpoint, key.name, [key])
            assert opened.size >= parsed.old
        statuses.append(step["status"])
    assert statuses.count(200) == 3


def test_published_growth_is_judged_as_the_witness_judged_it():
    published = vectors("tlog-witness/add-checkpoint.json")
    key = note.parse_verifier(published["log_vkey"])
    kept = None
    judged = []
    for step in published["sequence"]:
        parsed = proof.parse_consistency(step["body"])
        if parsed.old and kept and step["status"] != 409:
            try:
                proof.check_consistency(step["body"], kept, key.name, [key])
                judged.append((200, step["status"]))
            except ValueError:
                judged.append((400, step["status"]))
        if step["status"] == 200:
            kept = parsed.checkpoint
    assert len(judged) >= 5
    assert all((ours == 200) == (theirs == 200) for ours, theirs in judged)


def test_a_proof_of_another_log_without_an_entry_is_read_but_proves_no_entry():
    parsed = proof.parse_inclusion(INCLUSION)._replace(extra=None)
    assert proof.parse_inclusion(str(parsed)) == parsed
    refused(str(parsed), "no entry in it")
    refused(str(parsed._replace(extra=bytes(32))), "no entry in it")


@given(st.data())
def test_a_file_that_was_touched_proves_nothing_else(draw):
    text = INCLUSION if draw.draw(st.booleans()) else CONSISTENCY
    place = draw.draw(st.integers(0, len(text) - 1))
    character = draw.draw(st.characters())
    touched = text[:place] + character + text[place + draw.draw(st.integers(0, 1)) :]
    try:
        if text is INCLUSION:
            found = proof.check_inclusion(touched, ORIGIN, KNOWN)
            assert entries.encode(found) == LOG.entries[INDEX]
        else:
            old, new = proof.check_consistency(touched, LOG.note(OLD), ORIGIN, KNOWN)
            assert (old.size, new.size) == (OLD, SIZE)
    except ValueError:
        return


def test_every_bit_of_the_entry_and_its_previous_hash_counts():
    parsed = proof.parse_inclusion(INCLUSION)
    for place in range(len(parsed.extra)):
        changed = bytearray(parsed.extra)
        changed[place] ^= 1 << place % 8
        refused(str(parsed._replace(extra=bytes(changed))))


def test_hashes_that_were_touched_are_refused():
    parsed = proof.parse_inclusion(INCLUSION)
    hashes = parsed.hashes
    for changed in (
        hashes[:-1],
        hashes[1:],
        (*hashes, bytes(32)),
        (bytes(32), *hashes),
        hashes[::-1],
        (bytes(32), *hashes[1:]),
        (*hashes[:2], hashes[1], *hashes[2:]),
        (),
    ):
        refused(str(parsed._replace(hashes=changed)), "do not lead from entry 30")
    refused(str(parsed._replace(hashes=(bytes(31), *hashes[1:]))), "a hash has 32 bytes, not 31")
    refused(str(parsed._replace(hashes=(bytes(32),) * 64)), "at most 63 hashes")


def test_another_index_or_size_is_refused():
    parsed = proof.parse_inclusion(INCLUSION)
    for index in (INDEX - 1, INDEX + 1, 0, SIZE):
        refused(str(parsed._replace(leaf_index=index)), f"is of entry {index}, the entry says 30")
    for size in (SIZE - 1, INDEX, 1):
        refused(str(parsed._replace(checkpoint=LOG.note(size))), "do not lead from entry 30")


def test_the_files_have_one_form_only():
    for number, line in (
        (0, "c2sp.org/tlog-proof@v2"),
        (0, None),
        (1, None),
        (1, "Extra AAAA"),
        (1, "extra "),
        (1, "extra !!!!"),
        (1, "extra \ud800"),
        (2, None),
        (2, "index 030"),
        (2, "index +30"),
        (2, "index  30"),
        (2, "index 3_0"),
        (2, "index \u0663"),
        (2, f"index {2**63}"),
        (2, "index " + "3" * 5_000),
        (2, "index"),
        (3, ""),
        (3, "AAAA"),
    ):
        refused(lines_changed(INCLUSION, number, line))
    for changed in (
        "",
        "\n\n",
        INCLUSION.replace("\n\n", "\n"),
        INCLUSION.replace("\n", "\r\n"),
        "\n" + INCLUSION,
        INCLUSION.partition("\n\n")[0] + "\n\n",
        INCLUSION + "\n",
        CONSISTENCY,
    ):
        refused(changed)
    refused(lines_changed(INCLUSION, 0, "x"), "an inclusion proof starts with c2sp.org")
    refused(INCLUSION.partition("\n\n")[0], "a blank line and a signed checkpoint")
    refused(lines_changed(INCLUSION, 2, f"index {2**63}"), "fewer than")
    for number, line in ((0, "old 050"), (0, "old -1"), (0, "new 50"), (0, None), (1, "?")):
        growth_refused(lines_changed(CONSISTENCY, number, line), LOG.note(OLD))
    growth_refused(INCLUSION, LOG.note(OLD), "is not `old <number>`")


def test_only_a_known_key_of_this_log_counts():
    parsed = proof.parse_inclusion(INCLUSION)
    forged = str(parsed._replace(checkpoint=LOG.note(SIZE, OTHER_KEY)))
    refused(forged, "none of the known keys")
    with pytest.raises(ValueError, match="is of log"):
        proof.check_inclusion(INCLUSION, "example.com/other", KNOWN)
    growth_refused(CONSISTENCY, LOG.note(OLD, OTHER_KEY), "none of the known keys")
    forged = proof.parse_consistency(CONSISTENCY)._replace(checkpoint=LOG.note(SIZE, OTHER_KEY))
    growth_refused(str(forged), LOG.note(OLD), "none of the known keys")


def test_a_rewritten_history_is_not_growth():
    forged = SimulatedLog()
    forged.seal(deliveries(SIZE, seed=9))
    growth_refused(CONSISTENCY, forged.note(OLD), "history was rewritten")
    growth_refused(forged.consistency(OLD, SIZE), LOG.note(OLD), "history was rewritten")
    growth_refused(CONSISTENCY, LOG.note(OLD - 1), "is from size 50, the old checkpoint has 49")
    swapped = str(proof.Consistency(SIZE, (), LOG.note(OLD)))
    growth_refused(swapped, LOG.note(SIZE), "the newer checkpoint has 50 entries")
    nothing = str(proof.Consistency(SIZE, (), forged.note(SIZE)))
    growth_refused(nothing, LOG.note(SIZE), "history was rewritten")


def test_a_signed_entry_whose_names_do_not_follow_is_refused():
    log = SimulatedLog()
    for number, forged in enumerate(
        ({"actor": b"mallory"}, {"action": b"x"}, {"subject_id": b"y"}, {"subject": b"audit.gap"}),
        start=1,
    ):
        log.seal(deliveries(1, seed=4, first=number))
        entry = entries.decode(log.entries[-1])._replace(**forged)
        log.entries[-1] = entries.encode(entry)
        log.hashes[-1] = entries.link(log.previous(log.size - 1), log.entries[-1])
        refused(log.inclusion(log.size - 1, log.size), "its message says")


def test_entry_0_starts_from_the_genesis_hash():
    log = SimulatedLog()
    log.previous = lambda _: bytes(32)
    log.hashes[0] = entries.link(bytes(32), log.entries[0])
    refused(log.inclusion(0, 1), "genesis hash")


def test_there_is_no_proof_of_what_is_not_in_the_log():
    with pytest.raises(ValueError, match="there is no entry 30 in a log of size 30"):
        proof.write_inclusion(bytes(32), LOG.entries[30], 30, LOG.node, "")
    with pytest.raises(ValueError, match="cannot grow"):
        proof.write_consistency(SIZE, OLD, LOG.node, "")
