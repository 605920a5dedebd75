"""Signed notes (C2SP signed-note): text, a blank line, and one line per signature.

    private key  PRIVATE+KEY+<name>+<key id>+<base64 of type and seed>
    public key   <name>+<key id>+<base64 of type and key>
    signature    — <name> <base64 of key id and signature>

The key id is the first four bytes of SHA-256(name, newline, type, public key). A note is accepted
only if a known key signed it and no known key's signature is wrong; lines of unknown keys are
ignored. Only Ed25519 (type 1) is used here.
"""

import base64
import binascii
import unicodedata
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from operations.signing.keys import weakness

ED25519 = b"\x01"
MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 100


class NoteError(ValueError):
    """The note or key is malformed, or a signature that must hold does not."""


class VerifierKey(NamedTuple):
    """A public key and the name it signs under."""

    name: str
    key_id: bytes
    public: bytes

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{_base64(ED25519 + self.public)}"


class SignerKey(NamedTuple):
    """A private key and its public half."""

    seed: bytes
    verifier: VerifierKey

    def __str__(self) -> str:
        name, key_id, _ = self.verifier
        return f"PRIVATE+KEY+{name}+{key_id.hex()}+{_base64(ED25519 + self.seed)}"

    def sign(self, text: str) -> str:
        """Return the note: the text with this key's signature below it."""
        _check_text(text)
        return f"{text}\n{signature_line(self, text)}"


class Opened(NamedTuple):
    """The text of a note and the known keys that signed it."""

    text: str
    signers: tuple[VerifierKey, ...]


def generate_key(name: str) -> SignerKey:
    """Return a new key that signs under `name`."""
    return _signer(name, Ed25519PrivateKey.generate().private_bytes_raw())


def signature_line(key: SignerKey, text: str) -> str:
    """Return the line that a key adds below a text."""
    signature = Ed25519PrivateKey.from_private_bytes(key.seed).sign(text.encode())
    return f"\u2014 {key.verifier.name} {_base64(key.verifier.key_id + signature)}\n"


def parse_signer(text: str) -> SignerKey:
    """Read a private key; raises NoteError."""
    head, plus, rest = text.strip().partition("PRIVATE+KEY+")
    if head or not plus:
        raise NoteError("a private key starts with PRIVATE+KEY+")
    name, key_id, seed = _parse_key(rest)
    signer = _signer(name, seed)
    if signer.verifier.key_id != key_id:
        raise NoteError(f"the key id of {name!r} does not belong to its key")
    return signer


def parse_verifier(text: str) -> VerifierKey:
    """Read a public key; raises NoteError, also for a key of small order."""
    name, key_id, public = _parse_key(text.strip())
    if key_id != _key_id(name, public):
        raise NoteError(f"the key id of {name!r} does not belong to its key")
    if weakness(public):
        raise NoteError(f"the key of {name!r} {weakness(public)}")
    return VerifierKey(name, key_id, public)


def open_note(note: str, known: Iterable[VerifierKey]) -> Opened:
    """Return text and signers of a note that a known key signed; raises NoteError otherwise."""
    text, lines = split(note)
    keys = {(key.name, key.key_id): key for key in known}
    signers: dict[VerifierKey, None] = {}
    for name, blob in lines:
        key = keys.get((name, blob[:4]))
        if key is None:
            continue
        if not valid(key, text, blob[4:]):
            raise NoteError(f"the signature of {name!r} is not valid for this text")
        signers[key] = None
    if not signers:
        raise NoteError("none of the known keys signed this note")
    return Opened(text, tuple(signers))


def split(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Return the text and the (name, key id and signature) lines; raises NoteError."""
    if len(note) > MAX_NOTE_BYTES:
        raise NoteError(f"the note is longer than {MAX_NOTE_BYTES} bytes")
    _check_text(note)
    text, separator, signatures = note.rpartition("\n\n")
    lines = signatures.split("\n")
    if not separator or not signatures or lines.pop() or len(lines) > MAX_SIGNATURES:
        raise NoteError("a note is a text, a blank line and 1 to 100 signature lines")
    return text + "\n", [_parse_line(line) for line in lines]


def valid(key: VerifierKey, text: str, signature: bytes) -> bool:
    """Say whether the signature over the text is the key's."""
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, text.encode())
    except InvalidSignature:
        return False
    return True


def _parse_line(line: str) -> tuple[str, bytes]:
    dash, name, blob = (*line.split(" "), "", "")[:3]
    decoded = _unbase64(blob)
    if dash != "\u2014" or line.count(" ") != 2 or not _name_is_valid(name) or len(decoded) < 5:
        raise NoteError(f"{line[:80]!r} is not a signature line")
    return name, decoded


def _check_text(text: str) -> None:
    if not text.endswith("\n"):
        raise NoteError("the text of a note ends with a newline")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise NoteError("the text of a note is UTF-8") from error
    if any(ord(character) < 0x20 and character != "\n" for character in text):
        raise NoteError("the text of a note has no control characters but newline")


def _parse_key(text: str) -> tuple[str, bytes, bytes]:
    name, key_id, blob = (*text.split("+", 2), "", "")[:3]
    decoded = _unbase64(blob)
    if not _name_is_valid(name) or len(key_id) != 8 or decoded[:1] != ED25519 or len(decoded) != 33:
        raise NoteError("a key is <name>+<8 hex digits>+<base64 of an Ed25519 key>")
    try:
        return name, bytes.fromhex(key_id), decoded[1:]
    except ValueError as error:
        raise NoteError(f"the key id {key_id!r} is not 8 hex digits") from error


def _signer(name: str, seed: bytes) -> SignerKey:
    if not _name_is_valid(name):
        raise NoteError(f"{name!r} cannot name a key: it needs a letter, no space and no plus sign")
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return SignerKey(seed, VerifierKey(name, _key_id(name, public), public))


def _key_id(name: str, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + ED25519 + public).digest()[:4]


def _name_is_valid(name: str) -> bool:
    return bool(name) and not any(
        character == "+" or character.isspace() or unicodedata.category(character) in {"Cc", "Cs"}
        for character in name
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""
