"""What the tests of the log share: simulated messages, whole logs in memory, published vectors."""

import json
import random
from functools import cache
from pathlib import Path

import pytest

from operations.audit import chain, checkpoint, export, merkle, note, proof
from operations.audit import entry as entries

VECTORS = Path(__file__).resolve().parents[1] / "../shared/vectors"
GOLDEN = Path(__file__).resolve().parent / "audit" / "golden"
ORIGIN = "example.com/audit"
KEY = note._signer(ORIGIN, bytes(range(32)))
OTHER_KEY = note._signer(ORIGIN, bytes(range(1, 33)))
CREATED_NS = 1_700_000_000_000_000_000


def vectors(name):
    """Return the content of a published vector file, or skip the test."""
    file = VECTORS / name
    if not file.exists():
        pytest.skip(f"published vectors are absent: {file}")
    return json.loads(file.read_text())


def vector_files(folder):
    """Return the vector files below a folder, or skip the test."""
    files = sorted((VECTORS / folder).rglob("*.json"))
    if not files:
        pytest.skip(f"published vectors are absent: {VECTORS / folder}")
    return files


def reply(sequence, tokens=9, timestamp_ns=None):
    """Return the reply subject of the message with a stream sequence."""
    time_ns = CREATED_NS + sequence * 1_000_003 if timestamp_ns is None else timestamp_ns
    middle = f"MTS.audit.1.{sequence}.{sequence}.{time_ns}.0"
    extra = {9: "", 11: "hub.a1b2c3.", 12: "_.a1b2c3."}[tokens]
    tail = ".4kXx" if tokens == 12 else ""
    return f"$JS.ACK.{extra}{middle}{tail}".encode()


def deliveries(count, seed=1, first=1):
    """Return messages as the bus hands them over: mostly orders, some of them hostile."""
    source = random.Random(seed)
    made = []
    for sequence in range(first, first + count):
        subject = source.choice((b"mts.v1.trading.order.submitted", b"mts.v1.trading.order.filled"))
        payload = json.dumps(
            {
                "actor": f"oms-{source.randrange(3)}",
                "subject_id": f"ord-{sequence}",
                "data": {"symbol": "AAPL", "quantity": str(source.randrange(1000))},
            }
        ).encode()
        if source.random() < 0.2:
            subject, payload = source.choice(
                (
                    (b"mts.v1.\xff\x0b", b"\x00\xff binary"),
                    (b"mts.v1.news.story.published", b""),
                    (b"mts.v1.a.b", b"[" * 65 + b"]" * 65),
                    (b"mts.v1.a.c", b'{"actor":"' + b"[{" * 70 + b'\\"","subject_id":7}'),
                    (b"mts.v1.a.d", b'{"actor":"\\ud800","subject_id":"\\u00e9"}'),
                )
            )
        headers = source.choice((b"", b"NATS/1.0\r\nNats-Msg-Id: %d\r\n\r\n" % sequence))
        made.append((subject, reply(sequence), headers, payload))
    return made


class SimulatedLog:
    """A log in memory, with every subtree at hand."""

    def __init__(self, origin=ORIGIN, key=KEY):
        self.origin, self.key = origin, key
        first = chain.first_entry(origin, str(key.verifier), "MTS", CREATED_NS)
        self.entries, self.hashes, self.head = list(first.entries), list(first.hashes), first.head

    def add(self, sealed):
        self.entries += sealed.entries
        self.hashes += sealed.hashes
        self.head = sealed.head

    def seal(self, messages, **options):
        self.add(chain.seal(self.head, messages, **options))

    @property
    def size(self):
        return len(self.entries)

    def previous(self, index):
        return self.hashes[index - 1] if index else entries.genesis_hash(self.origin)

    def leaf(self, index):
        return merkle.leaf_hash(self.hashes[index])

    def node(self, level, index):
        leaves = range(index << level, (index + 1) << level)
        return merkle.subtree_hash([self.leaf(each) for each in leaves])

    def root(self, size):
        tree = merkle.Frontier()
        tree.extend([self.leaf(each) for each in range(size)])
        return tree.root()

    def note(self, size, key=None):
        return checkpoint.sign(
            checkpoint.Checkpoint(self.origin, size, self.root(size)), key or self.key
        )

    def inclusion(self, index, size):
        return proof.write_inclusion(
            self.previous(index), self.entries[index], size, self.node, self.note(size)
        )

    def consistency(self, old, new):
        return proof.write_consistency(old, new, self.node, self.note(new))

    def range(self, first, end, size):
        return str(export.describe(self.origin, first, end, size, self.previous(first), self.node))

    def frames(self, first, end):
        return b"".join(map(export.frame, self.entries[first:end]))

    def write_bundle(self, folder, first, end, size):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / export.ENTRIES_FILE).write_bytes(self.frames(first, end))
        (folder / export.RANGE_FILE).write_text(self.range(first, end, size))
        (folder / export.CHECKPOINT_FILE).write_text(self.note(size))
        return folder


@cache
def sample_log():
    """Return a log of messages, a gap, more messages, another stream adopted, more messages."""
    log = SimulatedLog()
    log.seal(deliveries(60))
    log.seal(deliveries(20, seed=2, first=71), gap_is_real=True)
    command = chain.Adoption(
        b"mts.v1.operations.command.adopt", b"alice", CREATED_NS + 9, b"", b'{"actor":"alice"}'
    )
    log.add(chain.adopted(log.head, command, 1, CREATED_NS + 5))
    log.seal(deliveries(30, seed=3))
    return log
