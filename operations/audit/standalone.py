"""Is this export of an audit log genuine? One file, standard library only, Python 3.9 or newer.

    python verify.py BUNDLE --key audit.vkey [--checkpoint other.txt] [--json]
    python verify.py --proof FILE --key audit.vkey [--checkpoint other.txt] [--json]

BUNDLE is a folder with entries.bin, range.json, checkpoint.txt and, where the log has changed its
key, rotations.txt. FILE proves one entry, or that the log only grew since --checkpoint. The key is
a file or the text, and comes from elsewhere; rotations are followed from it to later keys.
Exit code: 0 proven, 1 tampering, 2 cannot verify. Format: docs/audit-format.md.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import json
import re
import struct
import sys
from hashlib import sha256, sha512
from itertools import accumulate
from types import SimpleNamespace as Entry
from typing import Any, BinaryIO, Iterator, NamedTuple  # noqa: UP035 (3.9 reads this too)

MAGIC = b"mts-audit/entry/v1\n"
GENESIS_MAGIC = b"mts-audit/genesis/v1\n"
RANGE_FORMAT = "mts-audit/range/v1"
ROTATION = "mts-audit/key-rotation/v1"
PREFIX = b"mts.v1."
MAX_SIZE = 2**63  # no log has so many entries
Key = tuple[str, bytes]  # name and key id
Keys = dict[Key, tuple[bytes, int]]  # public key, and the last size at which it counts
Point = tuple[int, int, int, int]
FIELDS = ("subject", "actor", "action", "subject_id", "headers", "data")
POSITION = ("sequence", "stream_sequence", "timestamp_ns")


class Tampering(Exception):  # noqa: N818 (it is the answer, not an error)
    """What was shown contradicts itself or what was signed. A ValueError: it cannot be verified."""


# Ed25519 (RFC 8032, 5.1.7) without the cofactor: R must be the canonical bytes of [S]B - [k]A, S
# below the group order, A canonical and not of small order.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
BASE_Y = 4 * pow(5, P - 2, P) % P


def add(one: Point, two: Point) -> Point:
    """Add two points in extended coordinates."""
    a = (one[1] - one[0]) * (two[1] - two[0]) % P
    b = (one[1] + one[0]) * (two[1] + two[0]) % P
    c, d = 2 * one[3] * two[3] * D % P, 2 * one[2] * two[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar: int, point: Point) -> Point:
    """Add a point to itself `scalar` times."""
    result = (0, 1, 1, 0)
    while scalar:
        result = add(result, point) if scalar & 1 else result
        point, scalar = add(point, point), scalar >> 1
    return result


def decode_point(data: bytes) -> Point | None:
    """Read a point; None unless it is canonical, on the curve, and not of small order."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if len(data) != 32 or y >= P or (x * x - square) % P:
        return None
    x = P - x if x & 1 != sign else x
    point = (x, y, 1, x * y % P)
    return point if multiply(8, point)[0] % P else None


def verify_signature(public: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether the signature over the message is the key's."""
    base, key = decode_point(BASE_Y.to_bytes(32, "little")), decode_point(public)
    scalar = int.from_bytes(signature[32:], "little")
    if not base or not key or len(signature) != 64 or scalar >= ORDER:
        return False
    challenge = int.from_bytes(sha512(signature[:32] + public + message).digest(), "little")
    minus = (P - key[0], key[1], 1, P - key[3])
    x, y, z, _ = add(multiply(scalar, base), multiply(challenge % ORDER, minus))
    x, y = x * pow(z, P - 2, P) % P, y * pow(z, P - 2, P) % P
    return (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]


def unbase64(text: str, what: str) -> bytes:
    """Read base64 strictly: one text for the same bytes."""
    try:
        data = base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        data = b""
    if base64.b64encode(data).decode() != text:
        raise ValueError(f"{what} {text[:60]!r} is not base64")
    return data


def parse_keys(text: str) -> Keys:
    """Read public keys, one per line: <name>+<key id>+<base64 of type 1 and key>."""
    keys = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        name, key_id, blob = (*line.split("+", 2), "", "")[:3]
        data = unbase64(blob, "the key")
        if not name or data[:1] != b"\x01" or len(data) != 33:
            raise ValueError(f"{line[:80]!r} is not <name>+<key id>+<base64 Ed25519 key>")
        if sha256(name.encode() + b"\n" + data).hexdigest()[:8] != key_id.lower():
            raise ValueError(f"the key id of {name!r} does not belong to its key")
        if decode_point(data[1:]) is None:
            raise ValueError(f"the key of {name!r} is weak: anyone could sign with it")
        keys[name, bytes.fromhex(key_id)] = data[1:], MAX_SIZE
    if not keys:
        raise ValueError("there is no public key; give it with --key")
    return keys


class Checkpoint(NamedTuple):
    """What the log signed: its name, its size, its root."""

    origin: str
    size: int
    root: bytes


def open_note(note: str, keys: Keys) -> tuple[str, list[Key]]:
    """Return the text of a signed note, and which of the keys signed it."""
    text, blank, block = note.rpartition("\n\n")
    lines = block.split("\n")
    hidden = any(ord(character) < 32 and character != "\n" for character in note)
    if not blank or hidden or lines.pop() or not 1 <= len(lines) <= 100:
        raise ValueError("there is no signed note: text, blank line, signature lines")
    signers = []
    for line in lines:
        dash, name, blob = (*line.split(" "), "", "")[:3]
        if dash != "\u2014" or line.count(" ") != 2 or not name:
            raise ValueError(f"{line[:80]!r} is not a signature line")
        data = unbase64(blob, "the signature")
        public = keys.get((name, data[:4]), (b"", 0))[0]
        if public and not verify_signature(public, (text + "\n").encode(), data[4:]):
            raise Tampering(f"the signature of {name!r} is not valid for this note")
        signers += [(name, data[:4])] if public else []
    return text, signers


def parse_size(text: str) -> int:
    """Read the size of a log: decimal, in one form only."""
    if not re.fullmatch("0|[1-9][0-9]{0,18}", text) or int(text) >= MAX_SIZE:
        raise ValueError(f"{text[:40]!r} is not the size of a log")
    return int(text)


def open_checkpoint(note: str, keys: Keys) -> Checkpoint:
    """Return the checkpoint of a signed note that one of the keys signed for its own log."""
    text, signers = open_note(note, keys)
    origin, line, root = (*text.split("\n"), "", "", "")[:3]
    size, decoded = parse_size(line), unbase64(root, "the root")
    counting = [keys[key][1] >= size for key in signers if key[0] == origin]
    if not counting or len(decoded) != 32:
        raise ValueError(f"no key given signed this as a checkpoint of log {origin[:80]!r}")
    if not any(counting):
        raise Tampering(f"a retired key signed size {size}, after it was replaced")
    return Checkpoint(origin, size, decoded)


def part(text: str) -> tuple[str, list[str]]:
    """Split a text from the notes of rotations that follow it, each after a blank line."""
    before, *found = text.split(f"\n\n{ROTATION}\n")
    pieces = [before, *(f"{ROTATION}\n{each}" for each in found)]
    head, *notes = [each + "\n" for each in pieces[:-1]] + pieces[-1:]
    return head, notes


def open_rotation(note: str) -> tuple[int, Keys, Keys]:
    """Return the last size of the old key, that key and the new one; both signed it."""
    text = note.rpartition("\n\n")[0]
    key = r"(\1\+[0-9a-f]{8}\+[!-~]+)"
    match = re.fullmatch(rf"{ROTATION}\n(.+)\n([0-9]+)\n{key}\n{key}", text)
    if not match:
        raise ValueError("this is not a key rotation")
    old, new = parse_keys(match[3]), parse_keys(match[4])
    if set(open_note(note, {**old, **new})[1]) != {*old, *new}:
        raise ValueError("a key rotation is signed by the old key and by the new one")
    return parse_size(match[2]), old, new


def follow(keys: Keys, notes: list[str]) -> Keys:
    """Add the keys that rotations lead to from a trusted one, or back from it; limit retired ones.

    A note that is malformed, or has no trusted key, adds nothing.
    """
    known, opened = dict(keys), []
    for note in notes:
        try:
            opened.append(open_rotation(note))
        except (ValueError, Tampering):
            continue
    for size, old, new in opened:
        if old.items() <= known.items():  # trusted, and not retired before: no second successor
            known = {**new, **known, **{key: (old[key][0], size) for key in old}}
    for size, old, new in reversed(opened):
        limits = [known[key][1] for key in new if known.get(key, (b"",))[0] == new[key][0]]
        if limits and not old.keys() & known.keys():
            known.update({key: (old[key][0], min(size, *limits)) for key in old})
    return known


def decode_entry(data: bytes) -> Entry:
    """Read the canonical bytes of an entry; anything else is tampering."""
    end = start = len(MAGIC) + 24
    fields = []
    for _ in FIELDS:
        offset, end = end + 4, end + 4 + int.from_bytes(data[end : end + 4], "big")
        fields.append(data[offset:end])
    if end != len(data) or not data.startswith(MAGIC):
        raise Tampering(f"{data[:60]!r}... is not an entry: it was changed")
    position = struct.unpack(">QQq", data[len(MAGIC) : start])
    return Entry(**dict(zip((*POSITION, *FIELDS), (*position, *fields))))  # noqa: B905 (3.9)


def identify(data: bytes) -> tuple[bytes, bytes]:
    """Return actor and subject id of a payload, empty if absent: the rule of the format."""
    try:
        text = data.decode()
        if text.count("{") + text.count("[") > 64 and depth(text) > 64:
            return b"", b""
        # Numbers name nobody, so any value does; `int` refuses NaN and Infinity: not JSON.
        payload = json.loads(text, parse_int=len, parse_float=len, parse_constant=int)
    except ValueError:
        return b"", b""
    found = payload if isinstance(payload, dict) else {}
    return short_string(found.get("actor")), short_string(found.get("subject_id"))


def depth(text: str) -> int:
    """How deep objects and arrays are nested, brackets inside strings not counted."""
    outside = re.sub(r'"(?:[^"\\]|\\.|\\\Z)*(?:"|\Z)', "", text, flags=re.DOTALL)
    steps = ((each in "[{") - (each in "]}") for each in outside)
    return max(accumulate(steps, initial=0))


def short_string(value: Any) -> bytes:
    """Return a string of 1 to 256 UTF-8 bytes, else nothing."""
    encoded = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else b""
    surrogate = isinstance(value, str) and re.search("[\ud800-\udfff]", value)
    return encoded if len(encoded) <= 256 and not surrogate else b""


def check_entry(entry: Entry, before: Entry | None) -> None:
    """Check the names of an entry, and that no message is missing between it and the one before."""
    shown, expected = [entry.action], [entry.subject]
    if entry.subject.startswith(PREFIX):
        actor, subject_id = identify(entry.data)
        shown += [entry.actor, entry.subject_id]
        expected = [entry.subject[len(PREFIX) :], actor or b"unknown", subject_id or entry.subject]
    if shown != expected:
        raise Tampering(f"entry {entry.sequence} names {shown!r}, its message says {expected!r}")
    if before is None or entry.subject == b"audit.stream.adopted":
        return
    last = before.stream_sequence
    valid = entry.stream_sequence == last + 1
    if entry.subject == b"audit.gap":
        missing = f'{{"first_missing":{last + 1},"last_missing":{entry.stream_sequence}}}'
        valid = entry.stream_sequence > last and entry.data == missing.encode()
    if not valid:
        raise Tampering(f"before entry {entry.sequence} messages are missing and no gap says so")


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash of an interior node (RFC 9162)."""
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """The right edge of a growing tree: the complete subtrees that its size is the sum of."""

    def __init__(self, size: int, hashes: list[bytes]) -> None:
        if bin(size).count("1") != len(hashes):  # noqa: FURB161 (3.9)
            raise Tampering(f"{len(hashes)} hashes cannot stand for the {size} entries before")
        self.size, self.hashes = size, hashes

    def append(self, subtree: bytes, level: int = 0) -> None:
        """Add a complete subtree of 2**level leaves."""
        if not 0 <= level < 63 or self.size & ((1 << level) - 1):
            raise Tampering(f"a subtree of level {level} does not fit at size {self.size}")
        above = self.size >> level
        self.size += 1 << level
        while above & 1:
            subtree, above = node(self.hashes.pop(), subtree), above >> 1
        self.hashes.append(subtree)

    def root(self) -> bytes:
        """Return the root at this size."""
        root = self.hashes[-1] if self.hashes else sha256(b"").digest()
        for left in reversed(self.hashes[:-1]):
            root = node(left, root)
        return root


def root_of(index: int, size: int, found: bytes, path: list[bytes]) -> bytes:
    """Return the root to which an inclusion proof leads (RFC 9162, 2.1.3)."""
    if size == 1:
        return found
    middle, sibling = 1 << ((size - 1).bit_length() - 1), path.pop()
    if index < middle:
        return node(root_of(index, middle, found, path), sibling)
    return node(sibling, root_of(index - middle, size - middle, found, path))


def roots_of(old: int, new: int, whole: bytes | None, path: list[bytes]) -> tuple[bytes, bytes]:
    """Return the old and new root to which a consistency proof leads (RFC 9162, 2.1.4)."""
    if old == new:
        same = path.pop() if whole is None else whole
        return same, same
    middle, sibling = 1 << ((new - 1).bit_length() - 1), path.pop()
    if old <= middle:
        before, after = roots_of(old, middle, whole, path)
        return before, node(after, sibling)
    before, after = roots_of(old - middle, new - middle, None, path)
    return node(sibling, before), node(sibling, after)


def read(name: str) -> str:
    """Return a text file."""
    with open(name, encoding="utf-8", newline="") as file:  # noqa: PTH123 (one import less)
        return file.read(1 << 24)


def read_if_there(name: str) -> str:
    """Return a text file, nothing if there is none."""
    try:
        return read(name)
    except FileNotFoundError:
        return ""


def read_entries(file: BinaryIO) -> Iterator[bytes]:
    """Read entries.bin one entry at a time."""
    while prefix := file.read(4):
        length = int.from_bytes(prefix, "big")
        data = file.read(min(length, 1 << 27))
        if len(prefix) < 4 or len(data) < length:
            raise Tampering("entries.bin ends inside an entry: it was cut off")
        yield data


def open_both(note: str, kept: str, keys: Keys) -> tuple[Checkpoint, Checkpoint | None]:
    """Return a checkpoint, and the one that came another way if there is one."""
    return open_checkpoint(note, keys), open_checkpoint(kept, keys) if kept else None


def agree(ours: Checkpoint, other: Checkpoint | None, roots: dict[int, bytes]) -> None:
    """Demand that a checkpoint from elsewhere is of the same history, where that can be told."""
    if other and (other.origin != ours.origin or other.size not in roots):
        raise ValueError(f"size {other.size} of log {other.origin!r} is not covered by this")
    if other and roots[other.size] != other.root:
        raise Tampering(f"fork: at size {other.size} the other checkpoint has another root")


def check_bundle(folder: str, keys: Keys, kept: str) -> tuple[str, Checkpoint]:
    """Prove a range of entries; return what was proven, and by which checkpoint."""
    keys = follow(keys, part("\n\n" + read_if_there(f"{folder}/rotations.txt"))[1])
    checkpoint, other = open_both(read(f"{folder}/checkpoint.txt"), kept, keys)
    described = json.loads(read(f"{folder}/range.json"))
    first, end = int(described["first"]), int(described["end"])
    previous = bytes.fromhex(described["previous_hash"])
    left = [bytes.fromhex(each) for each in described["left"]]
    known = (described["format"], described["origin"]) == (RANGE_FORMAT, checkpoint.origin)
    if not known or not 0 <= first < end <= checkpoint.size:
        raise ValueError(f"range.json is no {RANGE_FORMAT} of log {checkpoint.origin!r}")
    if first == 0 and previous != sha256(GENESIS_MAGIC + checkpoint.origin.encode()).digest():
        raise Tampering("the log does not start from the genesis hash of its origin")
    tree, before, gaps = Tree(first, left), None, 0
    roots = {first: tree.root()}
    with open(f"{folder}/entries.bin", "rb") as file:  # noqa: PTH123
        for data in read_entries(file):
            entry = decode_entry(data)
            if entry.sequence != tree.size or tree.size == end:
                raise Tampering(f"where entry {tree.size} belongs stands entry {entry.sequence}")
            check_entry(entry, before)
            before, gaps = entry, gaps + (entry.subject == b"audit.gap")
            previous = sha256(previous + data).digest()
            tree.append(sha256(b"\x00" + previous).digest())
            if other and tree.size == other.size:
                roots[tree.size] = tree.root()
            if tree.size & 0x7FFF == 0 and sys.stderr.isatty():
                sys.stderr.write(f"\r{tree.size - first} of {end - first} entries\033[K\r")
    if tree.size != end:
        raise Tampering(f"entries.bin ends at entry {tree.size}, the range at {end}: it was cut")
    for level, subtree in described["right"]:
        tree.append(bytes.fromhex(subtree), level)
    roots[tree.size] = tree.root()
    if (tree.size, tree.root()) != (checkpoint.size, checkpoint.root):
        raise Tampering("the entries do not lead to the signed root: something was changed")
    agree(checkpoint, other, roots)
    count = f"recorded gaps: {gaps}" if gaps else "no gaps"
    return f"{end - first} entries from {first}, chain integrity OK, {count}", checkpoint


def check_proof(file: str, keys: Keys, kept: str) -> tuple[str, Checkpoint]:
    """Prove that an entry is in the log, or that the log only grew since the checkpoint kept."""
    signed, rotations = part(read(file))
    head, _, note = signed.partition("\n\n")
    checkpoint, other = open_both(note, kept, follow(keys, rotations))
    size = checkpoint.size
    form = r"c2sp\.org/tlog-proof@v1\nextra (\S+)\nindex (0|[1-9]\d{0,18})|old ([1-9]\d{0,18})"
    if not (match := re.fullmatch(f"(?:{form})((?:\n[!-~]+){{0,63}})", head, re.ASCII)):
        raise ValueError("the file is no proof of an entry of this log, and no proof of growth")
    path = [unbase64(line, "a hash") for line in match[4].split()]
    try:
        if match[3]:
            old, line = int(match[3]), f"the log only grew from {match[3]} to {size} entries"
            if other is None or old > size:
                raise ValueError("give the older checkpoint of the two with --checkpoint")
            old_root, root = roots_of(old, size, other.root, path)
            agree(checkpoint, other, {old: old_root})
        else:
            extra, index = unbase64(match[1], "the extra data"), int(match[2])
            entry = decode_entry(extra[32:])
            genesis = sha256(GENESIS_MAGIC + checkpoint.origin.encode()).digest()
            if index != entry.sequence or index >= size or (index == 0 and extra[:32] != genesis):
                raise Tampering(f"entry {entry.sequence} is not entry {index} of {size}")
            check_entry(entry, None)
            root = root_of(index, size, sha256(b"\x00" + sha256(extra).digest()).digest(), path)
            agree(checkpoint, other, {size: root})
            line = f"entry {index} is in the log: {entry.subject!r} by {entry.actor!r}"
    except IndexError:
        raise Tampering("the proof has too few hashes") from None
    if path or root != checkpoint.root:
        raise Tampering("the proof does not lead to the signed root: something was changed")
    return line, checkpoint


def main() -> int:
    """Check what the arguments name and say so in one line."""
    parser = argparse.ArgumentParser(description="Verify an export of an audit log.")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("bundle", nargs="?", help="folder of a range export")
    target.add_argument("--proof", help="file of one inclusion or consistency proof")
    parser.add_argument("--key", required=True, help="public key of the log: a file, or the text")
    parser.add_argument("--checkpoint", help="a signed checkpoint that came another way")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given, said = parser.parse_args(), {}
    try:
        keys = parse_keys(given.key if "+" in given.key else read(given.key))
        kept = read(given.checkpoint) if given.checkpoint else ""
        check, target = (check_proof, given.proof) if given.proof else (check_bundle, given.bundle)
        line, proven = check(target, keys, kept)
        root = base64.b64encode(proven.root).decode()
        said = {"origin": proven.origin, "size": proven.size, "root": root}
        code, line = 0, f"{line}; log {proven.origin}, {proven.size} entries signed, root {root}"
    except Tampering as error:
        code, line = 1, f"tampering: {error}"
    except (OSError, ValueError) as error:
        code, line = 2, f"cannot verify: {error}"
    except (TypeError, KeyError, RecursionError) as error:
        code, line = 2, f"cannot verify: range.json lacks something or is malformed: {error!r}"
    text = f"{'✗' if code else '✓'} {line}\n"
    text = json.dumps({"exit_code": code, "result": line, **said}) + "\n" if given.json else text
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    return code


if __name__ == "__main__":
    sys.exit(main())
