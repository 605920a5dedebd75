r"""Who may sign what, and when: a versioned list of people and services, signed offline.

The file is one JSON object `{"roster": {...}, "signature": "<root name>+<key id> <base64>"}`. The
signature covers "mts-roster/v1\n" and the bytes of the object `roster` exactly as they stand in
the file, so nobody needs a canonical form of JSON. Every receiver checks it with the root public
key from its own settings, keeps the highest version that it has seen, and takes nothing older.

A right is a NATS subject pattern: the subjects that a role may sign. Validity is judged at the
JetStream time of a message, so an old message stays judged by the keys of its day.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from operations.clock import parse_rfc3339, rfc3339
from operations.errors import Denied, Rejected
from operations.signing import message
from operations.signing.keys import PrivateKey, PublicKey, parse_public
from operations.signing.message import Message, Signature

MAX_BYTES = 1_000_000
_PREFIX = b"mts-roster/v1\n"
LIVE = "live"


class Key(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A public key and the time in which it counts: from `valid_from` until `valid_until`."""

    public_key: str
    valid_from: str
    valid_until: str
    revoked_at: str = ""


class Member(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person or service, its roles and its keys."""

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    service: bool = False
    roles: tuple[str, ...] = ()
    keys: tuple[Key, ...] = ()


class Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the root key signs. `development` means that the root key is no secret."""

    origin: str
    environment: str
    version: Annotated[int, Meta(ge=1)]
    issued_at: str
    development: bool = False
    roles: dict[str, tuple[str, ...]] = {}
    members: tuple[Member, ...] = ()


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """The file: the body as written and its signature."""

    roster: msgspec.Raw
    signature: str


class Holder(NamedTuple):
    """A key of the roster with its holder, its times in nanoseconds, and what it may sign."""

    member: Member
    key: PublicKey
    valid_from_ns: int
    valid_until_ns: int
    revoked_at_ns: int | None
    rights: frozenset[str]


class Roster(Struct, frozen=True):
    """A roster whose signature holds, ready to judge by. `document` is the file as read."""

    body: Body
    holders: dict[tuple[str, str], Holder]
    document: bytes


def verify(document: bytes, root: PublicKey, lowest_version: int, environment: str) -> Roster:
    """Read a roster that the root key signed.

    Raises Denied when the signature does not hold, when the version is below `lowest_version`
    (the highest this receiver has seen), when it is for another environment, or when it is marked
    development and the environment is live. Raises Rejected for what is signed but malformed.
    """
    try:
        if len(document) > MAX_BYTES:
            raise Rejected(f"the roster has {len(document)} bytes; the limit is {MAX_BYTES}")
        outer = msgspec.json.decode(document, type=Document)
        signature = message.parse(outer.signature)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejected(f"not a signed roster: {error}") from error
    raw = bytes(outer.roster)
    named = (signature.key_name, signature.key_id)
    if named != (root.name, root.key_id) or not root.verifies(signature.raw, _PREFIX + raw):
        raise Denied(
            f"the roster is not signed by the root key {root.label} (it names "
            f"{named[0]}+{named[1]}); fetch the roster again or check the root key in the settings"
        )
    roster = _read(raw, document)
    body = roster.body
    if body.version < lowest_version:
        raise Denied(
            f"roster version {body.version} is older than {lowest_version}, which was seen "
            "before; fetch the newest roster"
        )
    if body.environment != environment:
        raise Denied(f"the roster is for environment {body.environment!r}, not {environment!r}")
    if body.development and environment == LIVE:
        raise Denied(
            "the roster is marked development and is refused where environment is live; "
            "make a root key offline and sign a roster with it"
        )
    return roster


def newer(current: Roster, candidate: Roster) -> Roster:
    """Return the roster to go on with: the one with the higher version.

    Raises Denied for two different rosters of one version: the root key signed both, so nobody
    can say which one holds.
    """
    ours, theirs = current.body, candidate.body
    if ours.version == theirs.version and ours != theirs:
        raise Denied(
            f"two different rosters have version {ours.version}; sign one with a higher version"
        )
    return candidate if theirs.version > ours.version else current


def sign(body: Body, root: PrivateKey) -> bytes:
    """Return the roster file. Raises Rejected for a body that `verify` would refuse to read."""
    raw = msgspec.json.encode(body)
    _read(raw, raw)
    signature = Signature(root.public.name, root.public.key_id, root.sign(_PREFIX + raw))
    return msgspec.json.encode(Document(msgspec.Raw(raw), message.header(signature))) + b"\n"


def with_key(
    body: Body,
    key: PublicKey,
    rights: dict[str, tuple[str, ...]],
    from_ns: int,
    until_ns: int,
    *,
    service: bool = False,
) -> Body:
    """Return the next version of a roster, in which a key counts in a time, in ns since 1970.

    The key joins the others of the member of its name, or makes that member. `rights` are the
    roles that the member has from now on, each with what it may sign. Raises Rejected for a key
    that is there already.
    """
    at, until = rfc3339(from_ns), rfc3339(until_ns)
    added = Key(public_key=str(key), valid_from=at, valid_until=until)
    known = [member for member in body.members if member.name == key.name]
    before = known[0] if known else Member(name=key.name)
    if any(each.public_key == added.public_key for each in before.keys):
        raise Rejected(f"{key.label} is in roster version {body.version} already; make a new key")
    member = replace(before, service=service, roles=tuple(rights), keys=(*before.keys, added))
    others = [each for each in body.members if each.name != key.name]
    return replace(
        body,
        version=body.version + 1,
        issued_at=at,
        roles=body.roles | rights,
        members=(*others, member),
    )


def revoked(body: Body, name: str, at_ns: int, key_id: str = "") -> Body:
    """Return the next version of a roster, in which keys of a member count no more.

    All keys of the member, or the one with `key_id`; one that was revoked before keeps its time.
    `at_ns` is in ns since 1970. Raises Rejected when there is no such key.
    """
    at = rfc3339(at_ns)
    found = [
        key
        for member in body.members
        for key in member.keys
        if member.name == name and key_id in ("", parse_public(key.public_key).key_id)
    ]
    if not found:
        raise Rejected(f"roster version {body.version} has no key {key_id} of {name!r}")
    members = tuple(
        replace(
            member,
            keys=tuple(
                replace(key, revoked_at=key.revoked_at or at) if key in found else key
                for key in member.keys
            ),
        )
        if member.name == name
        else member
        for member in body.members
    )
    return replace(body, version=body.version + 1, issued_at=at, members=members)


def judge(
    signature: Signature,
    signed: Message,
    roster: Roster,
    at_ns: int,
    right: str = "",
    verifies: Callable[[PublicKey, bytes, bytes], bool] = PublicKey.verifies,
) -> Member:
    """Return who signed a message, or raise Denied with the reason.

    `at_ns` is the JetStream time of the message in nanoseconds since 1970; `right` is the subject
    that the role must cover, by default the subject of the message. Whether the signature holds
    is checked before anything else about a known key, so only its holder learns more; `verifies`
    may remember which signatures have held.
    """
    label = f"{signature.key_name}+{signature.key_id}"
    body = roster.body
    if (signed.origin, signed.environment) != (body.origin, body.environment):
        raise Denied(
            f"wrong environment: the roster is for {body.origin} {body.environment}, "
            f"this receiver is {signed.origin} {signed.environment}"
        )
    holder = roster.holders.get((signature.key_name, signature.key_id))
    if holder is None:
        raise Denied(f"unknown key: {label} is not in roster version {body.version}")
    if not verifies(holder.key, signature.raw, signed.signed_bytes()):
        raise Denied(
            f"bad signature: {label} did not sign this payload for {signed.origin} "
            f"{signed.environment} on {signed.subject}"
        )
    if at_ns < holder.valid_from_ns:
        raise Denied(f"not yet valid: {label} counts from {rfc3339(holder.valid_from_ns)}")
    if at_ns >= holder.valid_until_ns:
        raise Denied(f"expired: {label} counted until {rfc3339(holder.valid_until_ns)}")
    if holder.revoked_at_ns is not None and at_ns >= holder.revoked_at_ns:
        raise Denied(f"revoked: {label} was revoked at {rfc3339(holder.revoked_at_ns)}")
    wanted = right or signed.subject
    if not any(covers(pattern, wanted) for pattern in holder.rights):
        roles = ", ".join(holder.member.roles) or "no role"
        raise Denied(f"not entitled: {holder.member.name} ({roles}) may not sign {wanted}")
    return holder.member


@lru_cache(maxsize=4096)
def covers(pattern: str, subject: str) -> bool:
    """Whether a NATS subject pattern (`*` one token, `>` one or more at the end) has a subject."""
    wanted, tokens = subject.split("."), pattern.split(".")
    if tokens[-1] == ">":
        tokens.pop()
        if len(wanted) <= len(tokens):
            return False
        wanted = wanted[: len(tokens)]
    return len(tokens) == len(wanted) and all(
        token in ("*", part) for token, part in zip(tokens, wanted, strict=True)
    )


def _read(raw: bytes, document: bytes) -> Roster:
    try:
        body = msgspec.json.decode(raw, type=Body)
        parse_rfc3339(body.issued_at)
        _check_roles(body)
        holders = [_holder(body, member, key) for member in body.members for key in member.keys]
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Rejected(f"the roster is malformed: {error}") from error
    names = [member.name for member in body.members]
    found = {(holder.key.name, holder.key.key_id): holder for holder in holders}
    if len(set(names)) < len(names) or len(found) < len(holders):
        raise Rejected(f"roster version {body.version} has a name or a key twice")
    return Roster(body, found, document)


def _check_roles(body: Body) -> None:
    for member in body.members:
        if unknown := set(member.roles) - body.roles.keys():
            raise Rejected(f"{member.name} has roles without rights: {', '.join(sorted(unknown))}")


def _holder(body: Body, member: Member, key: Key) -> Holder:
    rights = frozenset(right for role in member.roles for right in body.roles[role])
    return Holder(
        member,
        parse_public(key.public_key),
        parse_rfc3339(key.valid_from),
        parse_rfc3339(key.valid_until),
        parse_rfc3339(key.revoked_at) if key.revoked_at else None,
        rights,
    )
