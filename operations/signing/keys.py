"""Ed25519 keys with a name, in the text form that signed notes use (C2SP signed-note).

    private key  PRIVATE+KEY+<name>+<key id>+<base64 of 0x01 and the 32 byte seed>
    public key   <name>+<key id>+<base64 of 0x01 and the 32 byte key>

The key id is the first four bytes of SHA-256(name, newline, 0x01, public key) as 8 hex digits, so
a key that is renamed or exchanged no longer fits its own text. One form for the key of the log and
for keys of people, so that one pair of eyes and one set of tools serves both; the messages they
sign start differently, so a signature of one kind is never valid as the other.
"""

import base64
import binascii
import re
from functools import lru_cache
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from operations.errors import Rejected

ED25519 = b"\x01"
PRIVATE = "PRIVATE+KEY+"

# Printable ASCII without space, plus and backslash: a name stands in headers and in key texts.
_NAME = re.compile(r"[!-*,-\[\]-~]{1,128}")
_KEY_ID = re.compile(r"[0-9a-f]{8}")

# The y coordinates of the eight points of small order (C2SP CCTV ed25519; RFC 7748, section 7):
# under such a key one signature holds for many messages, so nobody can be held to it.
_PRIME = 2**255 - 19
_SMALL_ORDER_Y = frozenset(
    (
        0,
        1,
        _PRIME - 1,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    )
)


class PublicKey(Struct, frozen=True):
    """A key that signatures are checked with, and the name of who holds the private half."""

    name: str
    key_id: str
    raw: bytes

    def __str__(self) -> str:
        """Return the text form."""
        return f"{self.label}+{base64.b64encode(ED25519 + self.raw).decode()}"

    @property
    def label(self) -> str:
        """The name and key id that stand before a signature."""
        return f"{self.name}+{self.key_id}"

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether this key signed the message (RFC 8032, cofactorless, as OpenSSL judges)."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True


class PrivateKey(Struct, frozen=True):
    """A key that signs. Its `repr` shows no secret; only `secret_text` does."""

    seed: bytes
    public: PublicKey

    def __repr__(self) -> str:
        """Name the key without giving it away."""
        return f"PrivateKey({self.public.label})"

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of the signature."""
        return _loaded(self.seed).sign(message)

    def secret_text(self) -> str:
        """Return the text form; whoever reads it is this person or service."""
        text = base64.b64encode(ED25519 + self.seed).decode()
        return f"{PRIVATE}{self.public.label}+{text}"


@lru_cache(maxsize=16)
def _loaded(seed: bytes) -> Ed25519PrivateKey:
    """Return what signs; making it anew each time takes as long as signing."""
    return Ed25519PrivateKey.from_private_bytes(seed)


def new_key(name: str) -> PrivateKey:
    """Return a new random key. Raises Rejected when the name cannot stand in a header."""
    return private_key(name, Ed25519PrivateKey.generate().private_bytes_raw())


def private_key(name: str, seed: bytes) -> PrivateKey:
    """Return the key of a seed of 32 bytes. Raises Rejected for a wrong name or length."""
    if len(seed) != 32:
        raise Rejected(f"a seed has 32 bytes, not {len(seed)}")
    raw = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return PrivateKey(seed, public_key(name, raw))


def public_key(name: str, raw: bytes) -> PublicKey:
    """Return a named public key of 32 bytes.

    Raises Rejected for a name that cannot stand in a header, and for the encodings under which a
    signature proves nothing: points of small order, and coordinates that are not reduced.
    """
    if not _NAME.fullmatch(name):
        raise Rejected(
            f"{name!r} cannot name a key; use 1 to 128 printable ASCII characters without spaces, "
            "plus signs and backslashes"
        )
    if len(raw) != 32:
        raise Rejected(f"an Ed25519 public key has 32 bytes, that of {name!r} has {len(raw)}")
    if weakness(raw):
        raise Rejected(f"the public key of {name!r} {weakness(raw)}; make a new one")
    return PublicKey(name, _key_id(name, raw), raw)


def weakness(raw: bytes) -> str:
    """Return why a signature under this public key would prove nothing, or an empty text."""
    y = int.from_bytes(raw, "little") & (1 << 255) - 1
    if y >= _PRIME:
        return "is not written in its one canonical form"
    if y in _SMALL_ORDER_Y:
        return "has small order, so that anyone could sign with it"
    return ""


def parse_public(text: str) -> PublicKey:
    """Read the text form of a public key. Raises Rejected for anything else."""
    name, key_id, raw = _parse(text.strip(), "public key")
    return _with_id(public_key(name, raw), key_id)


def parse_private(text: str) -> PrivateKey:
    """Read the text form of a private key. Raises Rejected; no message shows the secret."""
    head, found, rest = text.strip().partition(PRIVATE)
    if head or not found:
        raise Rejected(f"a private key starts with {PRIVATE}")
    name, key_id, seed = _parse(rest, "private key")
    key = private_key(name, seed)
    _with_id(key.public, key_id)
    return key


def decode_base64(text: str, what: str) -> bytes:
    """Read the one canonical base64 form of some bytes. Raises Rejected for any other."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise Rejected(f"the {what} is not base64") from error
    if base64.b64encode(raw).decode() != text:
        raise Rejected(f"the {what} is not in the one canonical form of base64")
    return raw


def _key_id(name: str, raw: bytes) -> str:
    return sha256(name.encode() + b"\n" + ED25519 + raw).hexdigest()[:8]


def _parse(text: str, what: str) -> tuple[str, str, bytes]:
    # Base64 may contain plus signs, so only the first two separate.
    name, _, rest = text.partition("+")
    key_id, plus, encoded = rest.partition("+")
    if not plus or not _NAME.fullmatch(name) or not _KEY_ID.fullmatch(key_id):
        raise Rejected(f"a {what} reads <name>+<8 hex digits>+<base64>")
    raw = decode_base64(encoded, what)
    if raw[:1] != ED25519 or len(raw) != 33:
        raise Rejected(f"the {what} of {name!r} is not Ed25519: it has another type or length")
    return name, key_id, raw[1:]


def _with_id(key: PublicKey, key_id: str) -> PublicKey:
    if key.key_id != key_id:
        raise Rejected(
            f"the key of {key.name!r} has the id {key.key_id}, but its text says {key_id}; "
            "it was renamed, exchanged or mistyped"
        )
    return key
