"""The roster that `make up` starts with, so that halts can be tried on the first day.

Its root key lies beside it on the same disk, so it proves nothing about who holds it: it is marked
`development`, and every receiver whose environment is live refuses it.
"""

from collections.abc import Mapping

from operations.clock import NANOSECONDS, rfc3339
from operations.signing import roles
from operations.signing.keys import PrivateKey, PublicKey
from operations.signing.roster import Body, Key, Member, sign

VALID_NS = 366 * 24 * 3600 * NANOSECONDS


def development_roster(
    root: PrivateKey,
    holders: Mapping[PublicKey, tuple[str, ...]],
    *,
    origin: str,
    environment: str,
    issued_ns: int,
    version: int = 1,
) -> bytes:
    """Return a signed roster file in which each key, named for its holder, has the given roles.

    Keys count for 366 days from `issued_ns` (nanoseconds since 1970); the roles are those of
    `roles.py`. Raises Rejected for another one.
    """
    issued_at, until = rfc3339(issued_ns), rfc3339(issued_ns + VALID_NS)
    members = tuple(
        Member(
            name=key.name,
            service=not set(held) & set(roles.PEOPLE),
            roles=held,
            keys=(Key(public_key=str(key), valid_from=issued_at, valid_until=until),),
        )
        for key, held in holders.items()
    )
    body = Body(
        origin=origin,
        environment=environment,
        version=version,
        issued_at=issued_at,
        development=True,
        roles=roles.roster_roles(role for held in holders.values() for role in held),
        members=members,
    )
    return sign(body, root)
