"""What the test client of the order systems speaks: NATS and signatures, from documents alone.

Nothing of the product is imported. NATS is its text protocol; keys, signatures and the roster are
sections 3 and 4 of docs/oms-protocol.md.
"""

import asyncio
import base64
import json
import os
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

Hear = Callable[["Message"], None]


class Refused(Exception):  # noqa: N818 (it is what happened)
    """A message that does not count, and why."""


class Message(NamedTuple):
    subject: str
    reply: str
    headers: list[tuple[str, str]]
    status: str
    payload: bytes

    def header(self, name: str) -> str:
        """Return the value of a header; refuses a message that has it twice."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        if len(found) > 1:
            raise Refused(f"two headers {name}")
        return found[0] if found else ""


class Bus:
    """One connection to NATS."""

    def __init__(self, port: int, user: str, password: str) -> None:
        self._address = ("127.0.0.1", port)
        self._user, self._password = user, password
        self.inbox = f"_INBOX_{user}.{os.urandom(8).hex()}"
        self._hears: dict[int, Hear] = {}
        self._replies: dict[str, asyncio.Future[Message]] = {}
        self._count = 0

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        await self._reader.readline()
        login = {"user": self._user, "pass": self._password, "headers": True, "verbose": False}
        self._writer.write(b"CONNECT " + json.dumps(login).encode() + b"\r\nPING\r\n")
        while (line := await self._reader.readline()) != b"PONG\r\n":
            if line.startswith(b"-ERR") or not line:
                raise ConnectionError(line)
        self.reading = asyncio.create_task(self._read())
        self.subscribe(f"{self.inbox}.>", self._replied)

    async def close(self) -> None:
        self.reading.cancel()
        self._writer.close()
        await asyncio.gather(self.reading, return_exceptions=True)

    def subscribe(self, subject: str, hear: Hear) -> None:
        self._count += 1
        self._hears[self._count] = hear
        self._writer.write(f"SUB {subject} {self._count}\r\n".encode())

    def publish(
        self, subject: str, payload: bytes, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        names = " ".join(filter(None, (subject, reply)))
        block = b""
        if headers:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            block = f"NATS/1.0\r\n{lines}\r\n".encode()
            sizes = f"{len(block)} {len(block) + len(payload)}"
            self._writer.write(f"HPUB {names} {sizes}\r\n".encode() + block + payload + b"\r\n")
        else:
            self._writer.write(f"PUB {names} {len(payload)}\r\n".encode() + payload + b"\r\n")

    def new_inbox(self) -> str:
        self._count += 1
        return f"{self.inbox}.{self._count}"

    async def request(
        self, subject: str, body: Any = None, headers: dict[str, str] | None = None,
        payload: bytes | None = None, seconds: float = 5,
    ) -> dict[str, Any]:  # fmt: skip
        """Publish with a reply subject and return the JSON of the answer."""
        inbox = self.new_inbox()
        self._replies[inbox] = asyncio.get_running_loop().create_future()
        if payload is None:
            payload = b"" if body is None else json.dumps(body).encode()
        self.publish(subject, payload, inbox, headers)
        try:
            async with asyncio.timeout(seconds):
                answer = await self._replies[inbox]
        finally:
            del self._replies[inbox]
        return dict(json.loads(answer.payload or b"{}"))

    def _replied(self, message: Message) -> None:
        waiting = self._replies.get(message.subject)
        if waiting and not waiting.done():
            waiting.set_result(message)

    async def _read(self) -> None:
        while line := await self._reader.readline():
            words = line.split()
            if words[0] == b"PING":
                self._writer.write(b"PONG\r\n")
            elif words[0] in (b"MSG", b"HMSG"):
                with_headers = words[0] == b"HMSG"
                total = int(words[-1])
                head = int(words[-2]) if with_headers else 0
                named = words[1 : -2 if with_headers else -1]
                body = (await self._reader.readexactly(total + 2))[:-2]
                reply = named[2].decode() if len(named) == 3 else ""
                status, headers = _headers(body[:head])
                message = Message(named[0].decode(), reply, headers, status, body[head:])
                if hear := self._hears.get(int(named[1])):
                    hear(message)
        raise ConnectionError("the server closed the connection")


def _headers(block: bytes) -> tuple[str, list[tuple[str, str]]]:
    first, *lines = block.decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in lines if line]
    return first.removeprefix("NATS/1.0").strip(), [(a.strip(), c.strip()) for a, _, c in pairs]


def write(path: Path, text: str) -> None:
    """Replace a file so that a crash leaves the old or the new one, flushed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def joined(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def signed_bytes(origin: str, environment: str, subject: str, payload: bytes) -> bytes:
    return b"mts-signed/v1\n" + joined(
        origin.encode(), environment.encode(), subject.encode(), payload
    )


class Key:
    """A private key in its text form."""

    def __init__(self, text: str) -> None:
        _, _, self.name, self.key_id, raw = text.strip().split("+", 4)
        self._key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(raw)[1:])

    def header(self, signed: bytes) -> str:
        signature = base64.b64encode(self._key.sign(signed)).decode()
        return f"{self.name}+{self.key_id} {signature}"


def verify(public_key: str, header: str, signed: bytes) -> None:
    """Refuse unless the holder of a public key, in its text form, signed these bytes."""
    name, key_id, raw = public_key.strip().split("+", 2)
    key = base64.b64decode(raw)
    if sha256(name.encode() + b"\n" + key).hexdigest()[:8] != key_id or key[:1] != b"\1":
        raise Refused(f"{public_key} is no key")
    label, _, signature = header.partition(" ")
    if label != f"{name}+{key_id}":
        raise Refused(f"signed by {label}")
    try:
        verifier = Ed25519PublicKey.from_public_bytes(key[1:])
        verifier.verify(base64.b64decode(signature, validate=True), signed)
    except (InvalidSignature, ValueError) as error:
        raise Refused("the signature does not hold") from error


def nanoseconds(text: str) -> int:
    whole, _, rest = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole + "+00:00").timestamp())
    return seconds * 1_000_000_000 + int(rest.ljust(9, "0") or 0)


def covers(right: str, subject: str) -> bool:
    rights, tokens = right.split("."), subject.split(".")
    for number, part in enumerate(rights):
        if part == ">":
            return len(tokens) > number
        if number >= len(tokens) or part not in ("*", tokens[number]):
            return False
    return len(rights) == len(tokens)


class Signer(NamedTuple):
    """Who signed: a member of the roster, and the key."""

    member: dict[str, Any]
    public_key: str


class Roster:
    """A roster that the root key signed."""

    def __init__(self, document: str, root: str, environment: str) -> None:
        text = document.strip()
        start = text.index('"roster":') + len('"roster":')
        body, end = json.JSONDecoder().raw_decode(text, start)
        header = json.loads(text)["signature"]
        verify(root, header, b"mts-roster/v1\n" + text[start:end].encode())
        if body["environment"] != environment or (
            body.get("development") and environment == "live"
        ):
            raise Refused("a roster for another environment")
        self.document, self.body, self.version = text, body, body["version"]

    def judge(self, header: str, signed: bytes, at_ns: int, wanted: tuple[str, ...]) -> Signer:
        """Return who signed; refuses as section 3 says. One of the wanted rights is enough."""
        label = header.partition(" ")[0]
        for member in self.body["members"]:
            for key in member.get("keys", ()):
                if key["public_key"].startswith(f"{label}+"):
                    verify(key["public_key"], header, signed)
                    self._in_time(key, at_ns)
                    rights = [
                        right
                        for role in member.get("roles", ())
                        for right in self.body["roles"][role]
                    ]
                    if not any(covers(right, each) for right in rights for each in wanted):
                        raise Refused(f"{member['name']} may not sign {wanted}")
                    return Signer(member, key["public_key"])
        raise Refused(f"unknown key {label}")

    def _in_time(self, key: dict[str, Any], at_ns: int) -> None:
        until = nanoseconds(key["valid_until"])
        if not nanoseconds(key["valid_from"]) <= at_ns < until:
            raise Refused("the key does not count at this time")
        if key.get("revoked_at") and at_ns >= nanoseconds(key["revoked_at"]):
            raise Refused("the key was revoked")
