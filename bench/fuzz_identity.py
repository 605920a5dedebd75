"""Do the fast path and the rule agree on who did it? On how many mutated payloads is asked.

The rule decides hashed bytes, so one disagreement would make two releases seal different logs.
Usage: python bench/fuzz_identity.py [COUNT] [SEED]; the default is a million. Exit 1 and the
payload in hex on the first disagreement.
"""

import json
import random
import sys

from operations.audit.identity import identify, identify_by_the_rule

SEEDS = (
    b'{"actor":"oms-1","subject_id":"ord-42","data":{"symbol":"AAPL","quantity":"100"}}',
    b'{"event_id":"0199","timestamp":"2026-11-20T20:00:00Z","actor":"a","data":[1,2.5e-3,null]}',
    b'{"act\\u006fr":"escaped key","subject\\u005fid":"escaped too"}',
    b'{"actor":"first","actor":"second","subject_id":1,"subject_id":"x"}',
    b'{"actor":"x","actor":7,"subject_id":"s","subject_id":{}}',
    b'{"actor":"\\ud800","subject_id":"\\ud83d\\ude00 \\u0000 \\/ \\b\\f\\n\\r\\t"}',
    b'{"\\ud800":"lone surrogate key","actor":"a","subject_id":"\\udc00\\ud800"}',
    b'\xef\xbb\xbf{"actor":"behind a byte order mark"}',
    b'{"actor":"a","n":NaN,"m":Infinity,"o":-Infinity}',
    b'{"actor":"a","n":-0,"m":1e999,"o":-1E+400,"p":0.1e-7}',
    b'{"actor":"a","n":' + b"9" * 5000 + b"}",
    b'{"actor":"a\x01b","subject_id":"\x7f"}',
    b'{"actor":"' + b"[{" * 40 + b'","subject_id":"deep only inside a string"}',
    b'{"actor":"a","d":' + b"[" * 63 + b"]" * 63 + b"}",
    b'{"actor":"a","d":' + b"[" * 64 + b"]" * 64 + b"}",
    b'{"actor":"a","d":' + b'{"k":' * 63 + b"1" + b"}" * 63 + b',"subject_id":"b"}',
    b'{"actor":"' + b"x" * 256 + b'","subject_id":"' + b"y" * 257 + b'"}',
    '{"actor":"zoë-行-😀","subject_id":"'.encode() + "é".encode() * 128 + b'"}',
    b'{"actor":"\xff","subject_id":"\xc0\x80"}',
    b'{"actor":"a","d":[' + b"{}," * 70 + b'{"k":"\\"[\\\\"}],"subject_id":"many brackets"}',
    b'{"actor":"a","d":['
    + b'{"k":["]"]},' * 40
    + b"[" * 62
    + b"]" * 62
    + b'],"subject_id":"\\u005b"}',
    b'{"data":{"actor":"nested","subject_id":"nested"},"subject_id":"top"}',
    b'[{"actor":"in a list"}]',
    b'"actor"',
    b'{"actor":null,"subject_id":true}',
    b' \t\r\n{ "actor" : "spaced" , "subject_id" : "out" } \t\r\n',
    b'{"actor":"a"}{"actor":"b"}',
    b'{"actor":"a",}',
    b'{"actor":"","subject_id":""}',
    b"{}",
    b"",
)
TOKENS = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u", b"\\ud83d", b"\\udc00", b"\\u0061",
    b"\\u0000", b"\\x41", b"\\'", b"null", b"true", b"false", b"nul", b"NaN", b"-Infinity", b"-",
    b"0", b"01", b"-0", b"1.", b".5", b"1e", b"1e+", b"1E5", b"1e400", b"+1", b"0x1", b"1_0",
    b"\x00", b"\x01", b"\x0b", b"\x0c", b"\x1f", b"\x7f", b"\x80", b"\xc2\xa0", b"\xff", b" ",
    b"\t", b"\n", b"\r", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x80\xa8",
    b'"actor"', b'"actor":"z"', b',"actor":"z"', b'"subject_id":', b',"subject_id":9', b"//",
    b"/**/", b"[" * 30, b"]" * 30, b'{"a":' * 20, b"\xc3\xa9" * 64, b"w" * 128, b"1" * 400,
    "٣".encode(), b'{"actor":"q"}', b"'", b"\\\\", b'\\"', b"\\/", b"\\uD8", b"\\u00e9",
)  # fmt: skip
WORDS = ("actor", "subject_id", "data", "Actor", "actor\x00", "", "é", "\ud800", "a" * 300)


def compare(count: int, seed: int) -> bytes | None:
    """Return the first of `count` payloads that the fast path reads otherwise than the rule."""
    random_source = random.Random(seed)
    for number in range(count):
        payload = SEEDS[number] if number < len(SEEDS) else mutated(random_source)
        if identify(payload) != identify_by_the_rule(payload):
            return payload
    return None


def mutated(source: random.Random) -> bytes:
    """Return a payload that is nearly, or exactly, JSON."""
    if source.random() < 0.15:
        text = json.dumps(_value(source, 0), ensure_ascii=source.random() < 0.5)
        payload = bytearray(text.encode(errors="surrogatepass"))
    else:
        payload = bytearray(source.choice(SEEDS))
    for _ in range(source.choice((0, 1, 1, 1, 2, 2, 3, 5))):
        _mutate(source, payload)
    return bytes(payload)


def _mutate(source: random.Random, payload: bytearray) -> None:
    start = source.randrange(len(payload) + 1)
    end = min(len(payload), start + source.choice((1, 1, 2, 5, 20)))
    kind = source.randrange(6)
    if kind == 0 and start < len(payload):
        payload[start] ^= 1 << source.randrange(8)
    elif kind == 1:
        del payload[start:end]
    elif kind == 2:
        payload[start:start] = source.choice(TOKENS)
    elif kind == 3:
        payload[start:end] = source.choice(TOKENS)
    elif kind == 4:
        payload[start:start] = payload[start:end]
    else:
        other = source.choice(SEEDS)
        payload[start:] = other[source.randrange(len(other) + 1) :]


def _value(source: random.Random, level: int) -> object:
    if level == 0 or (level < 6 and source.random() < 0.3):
        members = {}
        for _ in range(source.randrange(5)):
            members[source.choice(WORDS)] = _value(source, level + 1)
        return members
    choices = (
        "text", "\u2028", "\ud800", "\U0001f600", "a" * source.choice((1, 255, 256, 257)),
        source.randrange(-10, 10), 10 ** source.randrange(400), source.random() * 1e300, None,
        True, float("nan"), [[]] * source.randrange(4),
    )  # fmt: skip
    return source.choice(choices)


def main() -> int:
    """Compare as many as asked and say what came out."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    found = compare(count, seed)
    if found is not None:
        print(f"the fast path and the rule disagree on {found.hex()}")
        print(f"fast {identify(found)} rule {identify_by_the_rule(found)}")
        return 1
    print(f"{count} payloads, seed {seed}: the fast path and the rule agree on all")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
