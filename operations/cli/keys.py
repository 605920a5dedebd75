"""Keys of people and services, and the roster that says what each may sign: `mts keys`."""

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from operations import config
from operations.adapters import credentials, roster_files
from operations.cli import keys_roster
from operations.clock import now_ns, rfc3339
from operations.errors import Rejected
from operations.signing import keys as signing_keys
from operations.signing import roster
from operations.signing.development import VALID_NS
from operations.signing.roster import Body, Key, Member

keys = App(name="keys", help="Make signing keys, and sign the roster that says who may do what.")
keys.command(keys_roster.show)
keys.command(keys_roster.add)
keys.command(keys_roster.revoke)
keys.command(keys_roster.publish_roster, name="publish-roster")


@keys.command
def new(
    name: str,
    /,
    *,
    role: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    service: bool = False,
    folder: Path | None = None,
) -> None:
    """Make a key pair: NAME.key (mode 0600, for its holder alone) and NAME.vkey.

    Prints the public key. With --role also the entry for the roster, which the holder of the root
    key adds and signs with `mts keys sign-roster`.

    Example: mts keys new alice --role risk_manager

    Parameters
    ----------
    name
        Who holds the key; stands in every signature.
    role
        Role of the holder; may be given more than once.
    service
        The holder is a service, not a person.
    folder
        Where the files go; by default keys in the data folder.
    """
    if "/" in name or name.startswith("."):
        raise Rejected(f"{name!r} cannot name a file; leave out slashes and the leading dot")
    key = signing_keys.new_key(name)
    place = folder or config.load().path("keys")
    private, public = place / f"{name}.key", place / f"{name}.vkey"
    for file in (private, public):
        if file.exists():
            raise Rejected(f"{file} exists; move it away first, a lost key cannot be made again")
    if not place.exists():
        credentials.private_folder(place)
    credentials.write_private(private, key.secret_text() + "\n")
    public.write_text(f"{key.public}\n")
    print(key.public)
    if role:
        issued_ns = now_ns()
        entry = Key(
            public_key=str(key.public),
            valid_from=rfc3339(issued_ns),
            valid_until=rfc3339(issued_ns + VALID_NS),
        )
        member = Member(name=name, service=service, roles=role, keys=(entry,))
        print(msgspec.json.format(msgspec.json.encode(member)).decode())


@keys.command(name="sign-roster")
def sign_roster(body: Path, /, *, root: Path, to: Path) -> None:
    """Sign a roster with the root key, on the machine where that key lies.

    Example: mts keys sign-roster roster-body.json --root root.key --to roster.json

    Parameters
    ----------
    body
        JSON file: origin, environment, version, issued_at, roles (subjects that each may sign) and
        members.
    root
        Private root key.
    to
        Signed roster to write.
    """
    try:
        found = msgspec.json.decode(body.read_bytes(), type=Body)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(f"cannot read the roster {body}: {error}") from error
    key = roster_files.read_private(root)
    to.write_bytes(roster.sign(found, key))
    print(f"roster version {found.version} with {len(found.members)} members in {to}")


@keys.command(name="check-roster")
def check_roster(file: Path, /, *, root: Path, lowest_version: int = 1) -> None:
    """Check a signed roster as every receiver does, and show who may sign what.

    Example: mts keys check-roster roster.json --root root.vkey

    Parameters
    ----------
    file
        Signed roster.
    root
        Public root key.
    lowest_version
        Highest version seen before; nothing older is accepted.
    """
    key = roster_files.read_public(root)
    known = roster_files.read_roster(file, key, lowest_version, config.load().environment)
    mark = ", marked development" if known.body.development else ""
    print(f"version {known.body.version} of {known.body.issued_at}, signature holds{mark}")
    for member in known.body.members:
        print(f"  {member.name}: {', '.join(member.roles) or 'no role'}")
