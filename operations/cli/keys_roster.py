"""The roster in use: show it, revoke keys in it, publish it; and the table of roles."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from operations.adapters import credentials, halt_view, orders_of_people, roster_files, wire
from operations.cli import bus, fleet
from operations.cli.output import CANNOT, PROVEN, Output, complain, headline, run, write_json
from operations.cli.tables import write_table
from operations.clock import NANOSECONDS, now_ns, parse_rfc3339, rfc3339
from operations.errors import Denied, Rejected
from operations.signing import roles as table
from operations.signing import roster
from operations.signing.keys import parse_public
from operations.signing.roster import Body, Key, Member, Roster

DAY_SECONDS = 86_400
COLOURS = {"valid": "green", "revoked": "red", "expired": "red"}


def roles(*, output: Output = "table") -> int:
    """Print who may do what: every action of people, and the roles that may sign it.

    Nobody lifts a firm halt alone: one asks, and another one cosigns. Exit code 0.

    Example: mts roles
    """
    if output == "table":
        write_table([_cells(action) for action in table.ACTIONS])
        return PROVEN
    rows = [
        {
            "action": action.what,
            "right": action.right,
            "roles": [role for role in table.PEOPLE if role in action.roles],
        }
        for action in table.ACTIONS
    ]
    write_json(rows, output)
    return PROVEN


def _cells(action: table.Action) -> dict[str, Any]:
    """Return a row; names of roles stand on two lines so that all fit on 80 columns."""
    may = {role.replace("_", "\n"): role in action.roles for role in table.PEOPLE}
    return {"action": action.what, **may}


def show(name: str = "", /, *, file: Path | None = None, output: Output = "table") -> int:
    """Show the roster: who holds which key, whether it counts now, and what it may sign.

    With a name also every action of that person. The JSON is what `mts keys sign-roster` takes:
    change it, raise its version, sign it. Exit code 0: shown. 2: no roster that holds.

    Example: mts keys show

    Parameters
    ----------
    name
        Only this person or service.
    file
        Signed roster; by default that of this fleet.
    """

    async def work() -> int:
        known = _read(file)
        members = [each for each in known.body.members if name in ("", each.name)]
        if not members:
            complain("?", f"{name!r} is not in roster version {known.body.version}", "yellow")
            return CANNOT
        if output != "table":
            write_json(msgspec.structs.replace(known.body, members=tuple(members)), output)
            return PROVEN
        mark = ", marked development" if known.body.development else ""
        headline("✓", f"roster version {known.body.version} of {known.body.issued_at}{mark}", "")
        rows = [_row(member, key) for member in members for key in member.keys]
        write_table(rows, COLOURS)
        if name:
            _print_rights(known, members[0])
        return PROVEN

    return run(work())


def _row(member: Member, key: Key) -> dict[str, str]:
    return {
        "name": member.name,
        "roles": ", ".join(member.roles),
        "key": parse_public(key.public_key).key_id,
        "counts": _counts(key),
        "until": (key.revoked_at or key.valid_until)[:10],
    }


def _counts(key: Key) -> str:
    at_ns = now_ns()
    if key.revoked_at and parse_rfc3339(key.revoked_at) <= at_ns:
        return "revoked"
    if parse_rfc3339(key.valid_until) <= at_ns:
        return "expired"
    return "valid" if parse_rfc3339(key.valid_from) <= at_ns else "not yet"


def _print_rights(known: Roster, member: Member) -> None:
    rights = {right for role in member.roles for right in known.body.roles[role]}
    actions = [
        action.what
        for action in table.ACTIONS
        if any(roster.covers(right, action.right) for right in rights)
    ]
    others = sorted(right for right in rights if not right.startswith(f"{table.COMMAND}."))
    for what in actions or ["command nothing"]:
        print(f"  may {what}")
    for right in others:
        print(f"  may sign {right}")


def add(
    public: Path,
    /,
    *,
    role: Annotated[tuple[str, ...], Parameter(negative=())],
    days: int = 366,
    file: Path | None = None,
    root: Path | None = None,
    to: Path | None = None,
) -> int:
    """Add a public key to the roster, for a new holder or as a further key of a known one.

    Signs the next version of the roster with the root key; publish it then with `mts keys
    publish-roster`. Exit code 0: written. 2: no such role, a key that is there, not the root key.

    Example: mts keys add alice.vkey --role risk_manager

    Parameters
    ----------
    public
        File that `mts keys new` made; the name in it is the holder's.
    role
        Role of the holder from now on; may be given more than once. An order system has a role of
        its own, as oms.oms-4, and so has a check, as check.audit.
    days
        How long the key counts.
    file
        Signed roster; by default that of this fleet.
    root
        Private root key; by default root.key of this fleet.
    to
        Where the new roster goes; by default in place of the old one.
    """

    async def work() -> int:
        if not role:
            raise Rejected("a key without a role may sign nothing; say which: --role ROLE")
        rights = {each: table.rights_of(each) for each in role}
        key, at_ns = roster_files.read_public(public), now_ns()
        until_ns = at_ns + days * DAY_SECONDS * NANOSECONDS
        known = _read(file)
        is_service = not set(role) & set(table.PEOPLE)
        body = roster.with_key(known.body, key, rights, at_ns, until_ns, service=is_service)
        place = _write(body, file, root, to)
        words = f"{key.label} counts from roster version {body.version} on, {place}"
        headline("✓", words, "green")
        print("order systems and halt workers learn of it by `mts keys publish-roster`")
        return PROVEN

    return run(work())


def _write(body: Body, file: Path | None, root: Path | None, to: Path | None) -> Path:
    """Sign a roster, check it as every receiver does, and put it where it belongs."""
    settings = fleet.load()
    private = roster_files.read_private(root or settings.path("keys", "root.key"))
    document = roster.sign(body, private)
    public = roster_files.read_public(settings.root_key_path)
    roster.verify(document, public, body.version, settings.environment)
    place = to or file or settings.roster_path
    credentials.write_private(place, document.decode())
    return place


def revoke(
    name: str,
    /,
    *,
    key_id: str = "",
    file: Path | None = None,
    root: Path | None = None,
    to: Path | None = None,
) -> int:
    """Revoke keys of a person or service from now on; what was signed before stays valid.

    Signs the next version of the roster with the root key; publish it then with `mts keys
    publish-roster`. Exit code 0: written. 2: no such key, or not the root key.

    Example: mts keys revoke alice

    Parameters
    ----------
    name
        Whose keys.
    key_id
        Only the key with these 8 hexadecimal digits.
    file
        Signed roster; by default that of this fleet.
    root
        Private root key; by default root.key of this fleet.
    to
        Where the new roster goes; by default in place of the old one.
    """

    async def work() -> int:
        body = roster.revoked(_read(file).body, name, now_ns(), key_id)
        place = _write(body, file, root, to)
        headline("✓", f"{name} is revoked in roster version {body.version}, {place}", "green")
        print("order systems and halt workers learn of it by `mts keys publish-roster`")
        return PROVEN

    return run(work())


def publish_roster(
    *, file: Path | None = None, key: Path | None = None, seconds: float = 10.0
) -> int:
    """Publish the roster: order systems and halt workers judge by it from then on.

    They take a higher version than they have seen, signed by their root key, and nothing else.
    Publishing what is published already changes nothing. Exit code 0: it holds. 2: refused, older
    than what was published, or NATS does not answer.

    Example: mts keys publish-roster

    Parameters
    ----------
    file
        Signed roster; by default that of this fleet.
    key
        Your private key; by default MTS_PERSON_KEY_FILE, else operator.key.
    seconds
        How long to wait for NATS.
    """

    async def work() -> int:
        settings = fleet.load()
        known = _read(file)
        nats = bus.nats(settings, "operator")
        async with wire.connection(nats, "roster") as client:
            newest = await halt_view.published_roster(client, settings)
        version = known.body.version
        if newest is not None and newest.body.version >= version:
            if newest.body == known.body:
                headline("✓", f"roster version {version} is published already", "green")
                return PROVEN
            raise Denied(
                f"a roster of version {newest.body.version} is published; sign this one with a "
                f"higher version than that, it has {version}"
            )
        person = orders_of_people.person(settings, nats, key)
        event = orders_of_people.roster_publication(known, person.name, now_ns())
        stored = await orders_of_people.store(person, event, seconds)
        at = rfc3339(now_ns())[:19]
        headline("✓", f"roster version {version} is message {stored} of the stream, {at}Z", "green")
        return PROVEN

    return run(work())


def _read(file: Path | None) -> Roster:
    settings = fleet.load()
    root = roster_files.read_public(settings.root_key_path)
    return roster_files.read_roster(file or settings.roster_path, root, 0, settings.environment)
