r"""The bytes that a signature of a message covers, and the header that carries it.

    signed bytes = "mts-signed/v1\n" ‖ bytes(origin) ‖ bytes(environment) ‖ bytes(subject)
                   ‖ bytes(payload as sent)             bytes(x) = u32 big-endian length ‖ x
    Mts-Signature: <key name>+<key id> <base64 of the 64 bytes>

Origin, environment and subject are inside, so a message that was captured in one place moves
nothing in another. A receiver puts in its own origin and environment and the subject on which the
message arrived; it never asks the message.
"""

import base64
import re

from msgspec import Struct

from operations.errors import Rejected
from operations.signing.keys import PrivateKey, decode_base64

HEADER = "Mts-Signature"
SIGNATURE_BYTES = 64
_PREFIX = b"mts-signed/v1\n"
_FORM = re.compile(r"(?P<name>[!-*,-\[\]-~]{1,128})\+(?P<key_id>[0-9a-f]{8}) (?P<text>[^ ]{88})")


class Message(Struct, frozen=True):
    """A message and the place where it is valid, as its receiver sees them."""

    origin: str
    environment: str
    subject: str
    payload: bytes

    def signed_bytes(self) -> bytes:
        """Return what a signature of this message covers."""
        return signed_bytes(self.origin, self.environment, self.subject, self.payload)


class Signature(Struct, frozen=True):
    """What a signature header says; nothing of it is proven yet."""

    key_name: str
    key_id: str
    raw: bytes


class Signer(Struct, frozen=True):
    """A key in the place where its signatures are valid."""

    key: PrivateKey
    origin: str
    environment: str

    def __call__(self, subject: str, payload: bytes) -> str:
        """Return the value of the signature header for a payload as sent on a subject."""
        message = Message(self.origin, self.environment, subject, payload)
        public = self.key.public
        return header(Signature(public.name, public.key_id, self.key.sign(message.signed_bytes())))


def signed_bytes(origin: str, environment: str, subject: str, payload: bytes) -> bytes:
    """Return what a signature covers; two different inputs never give the same bytes."""
    parts = (origin.encode(), environment.encode(), subject.encode(), payload)
    return _PREFIX + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def header(signature: Signature) -> str:
    """Write the value of the signature header."""
    text = base64.b64encode(signature.raw).decode()
    return f"{signature.key_name}+{signature.key_id} {text}"


def parse(value: str) -> Signature:
    """Read the value of a signature header. Raises Rejected for any other form."""
    found = _FORM.fullmatch(value)
    if not found:
        raise Rejected(
            f"the {HEADER} {value[:80]!r} does not read <key name>+<8 hex digits> <base64>"
        )
    raw = decode_base64(found["text"], "signature")
    if len(raw) != SIGNATURE_BYTES:
        raise Rejected(f"an Ed25519 signature has {SIGNATURE_BYTES} bytes, not {len(raw)}")
    return Signature(found["name"], found["key_id"], raw)
