"""Every event has a golden sample whose bytes never change, and hostile bytes raise Rejected."""

import hashlib
import os
import random

import pytest
from golden_events import FOLDER, golden

from operations.errors import Rejected
from operations.events.base import Event, encode
from operations.events.subjects import ALL, decode, find, wildcard

pytestmark = pytest.mark.unit

GOLDEN = golden()
# A million is run by hand: MUTATIONS=1000000 pytest tests/events
MUTATIONS = int(os.environ.get("MUTATIONS", "6000"))  # noqa: TID251 (not a setting)
SPLICES = [
    b'"', b"{", b"}", b"[", b"]", b":", b",", b"\\", b"\\u0000", b"\\ud800", b"\x00", b"\xff",
    b"null", b"true", b"NaN", b"1e400", b"-0", b"1e-400", b"9" * 400, b"9" * 5000,
    b"[" * 70, b'{"a":' * 70, b'"data":{},', b'"event_id":"x",', b"\xed\xa0\x80", b"\xc0\x80",
]  # fmt: skip


def test_every_kind_of_event_has_exactly_one_golden_sample():
    assert sorted(kind.__name__ for kind in ALL) == sorted(find(s).__name__ for s in GOLDEN)


def test_subjects_and_names_are_unique():
    assert len({kind.pattern for kind in ALL}) == len({kind.__name__ for kind in ALL}) == len(ALL)


@pytest.mark.parametrize("subject", GOLDEN)
def test_a_golden_sample_is_read_and_written_again_to_the_same_bytes(subject):
    event = decode(subject, GOLDEN[subject])
    assert event.subject == subject
    assert encode(event) == GOLDEN[subject]


def test_the_bytes_of_golden_samples_never_change():
    lines = (FOLDER / "SHA256SUMS").read_text().splitlines()
    listed = dict(reversed(line.split()) for line in lines)
    assert listed == {
        f"{subject}.json": hashlib.sha256(payload).hexdigest()
        for subject, payload in GOLDEN.items()
    }


@pytest.mark.parametrize("kind", ALL)
def test_a_subject_names_version_area_thing_and_a_verb(kind):
    assert len(kind.pattern.split(".")) >= 5
    assert kind.pattern.startswith("mts.v1.")
    assert "{" not in wildcard(kind)


def mutate(payload: bytes, chance: random.Random) -> bytes:
    """Damage a payload in one to four ways: bytes, splices, cuts, repeats."""
    damaged = bytearray(payload)
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(damaged) + 1)
        end = min(len(damaged), start + chance.choice([0, 1, 1, 2, 5, 40]))
        new = chance.choice(
            [b"", bytes([chance.randrange(256)]), chance.choice(SPLICES), damaged[start:end] * 2]
        )
        damaged[start:end] = new
    return bytes(damaged)


def test_damaged_payloads_give_an_event_or_rejected_and_nothing_else():
    chance = random.Random(20261120)
    subjects = list(GOLDEN)
    outcomes = {"event": 0, "rejected": 0}
    for _ in range(MUTATIONS):
        subject = chance.choice(subjects)
        raw = mutate(GOLDEN[chance.choice([subject, subject, chance.choice(subjects)])], chance)
        try:
            event = decode(subject, raw)
        except Rejected:
            outcomes["rejected"] += 1
        else:
            assert isinstance(event, Event)
            assert decode(subject, encode(event)) == event
            outcomes["event"] += 1
    assert min(outcomes.values()) > MUTATIONS // 100
