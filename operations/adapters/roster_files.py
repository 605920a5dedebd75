"""Keys and roster as files: what the first start makes, and what every receiver reads.

    <home>/keys/root.key, root.vkey          the key that signs rosters
    <home>/keys/operator.key, operator.vkey  the key of whoever started the fleet
    <home>/keys/cosigner.key, cosigner.vkey  the key of a second person
    <home>/keys/service-<worker>.key, .vkey  the key a worker signs with
    <home>/keys/<oms id>.key, .vkey          the key an order system signs with
    <home>/keys/roster.json                  who may sign what

A root key beside its roster proves little, so the roster is marked `development`. Where the
environment is live nothing is made: there a roster comes from a root key that lies elsewhere.
"""

from pathlib import Path

import msgspec

from operations.adapters import accounts
from operations.adapters.credentials import (
    WORKER_ROLES,
    private_folder,
    read_secret,
    write_private,
)
from operations.clock import now_ns, rfc3339
from operations.config import Settings
from operations.errors import Denied, Rejected
from operations.signing import keys, roster
from operations.signing.development import development_roster
from operations.signing.keys import PrivateKey, PublicKey
from operations.signing.roster import LIVE, Body, Roster

ROOT, OPERATOR, COSIGNER = "root", "operator", "cosigner"
PEOPLE_ROLES = {OPERATOR: ("risk_manager", "auditor"), COSIGNER: ("risk_manager",)}
# Workers whose role is not just a check of their own name.
SERVICE_ROLES = {
    accounts.HALT: ("halt_worker",),
    accounts.LIMITS: ("limits",),
    accounts.WATCHDOGS: ("watchdogs",),
    accounts.MEASURE: ("measure",),
    accounts.CANARY: ("canary",),
    accounts.ACTIONS: ("actions",),
    "evidence": ("evidence",),
    accounts.SETTINGS: ("settings",),
}


def ensure_development(settings: Settings) -> None:
    """Make keys and roster where there are none; safe to repeat.

    A development roster from before that lacks somebody is issued again with the next version.
    What it says of keys stays, so that signatures of its days still count.
    """
    folder = settings.path("keys")
    foreign = settings.roster_path.exists() and not (folder / f"{ROOT}.key").exists()
    if settings.environment == LIVE or foreign:
        return
    private_folder(folder)
    root = _ensure_key(folder, ROOT)
    people = {_ensure_key(folder, name).public: held for name, held in PEOPLE_ROLES.items()}
    issued_ns = now_ns()
    document = development_roster(
        root,
        people | _services(folder),
        origin=settings.audit.origin,
        environment=settings.environment,
        issued_ns=issued_ns,
    )
    if settings.roster_path.exists():
        try:
            found = read_roster(settings.roster_path, root.public, 1, settings.environment).body
        except (Denied, Rejected):
            return  # it is not ours, so it is not ours to change
        wanted = roster.verify(document, root.public, 1, settings.environment).body
        completed = _completed(found, wanted)
        if not found.development or completed == found:
            return
        later = msgspec.structs.replace(
            completed, version=found.version + 1, issued_at=rfc3339(issued_ns)
        )
        document = roster.sign(later, root)
    write_private(settings.roster_path, document.decode())


def _services(folder: Path) -> dict[PublicKey, tuple[str, ...]]:
    """Return the key of every worker and order system with its roles; makes missing keys."""
    held: dict[PublicKey, tuple[str, ...]] = {
        _ensure_key(folder, f"service-{worker}").public: SERVICE_ROLES.get(
            worker, (f"check.{worker}",)
        )
        for worker in WORKER_ROLES
    }
    return held | {_ensure_key(folder, name).public: (f"oms.{name}",) for name in accounts.OMS}


def _completed(found: Body, wanted: Body) -> Body:
    """Return a roster with everybody of another one: services with its roles, people with both."""
    members = {member.name: member for member in found.members}
    for member in wanted.members:
        old = members.get(member.name, member)
        known = {key.public_key for key in old.keys}
        held = member.roles if member.service else tuple(dict.fromkeys(old.roles + member.roles))
        members[member.name] = msgspec.structs.replace(
            member,
            roles=held,
            keys=(*old.keys, *(key for key in member.keys if key.public_key not in known)),
        )
    return msgspec.structs.replace(
        found, roles=found.roles | wanted.roles, members=tuple(members.values())
    )


def read_private(path: Path) -> PrivateKey:
    """Return a private key. Raises Rejected, also when others may read the file."""
    return keys.parse_private(read_secret(path))


def read_public(path: Path) -> PublicKey:
    """Return a public key. Raises Rejected."""
    try:
        return keys.parse_public(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise Rejected(f"cannot read the public key {path}: {error}") from error


def read_roster(path: Path, root: PublicKey, lowest_version: int, environment: str) -> Roster:
    """Return a roster that holds. Raises Rejected and Denied as `roster.verify` does."""
    try:
        document = path.read_bytes()
    except OSError as error:
        raise Rejected(f"cannot read the roster {path}: {error}") from error
    return roster.verify(document, root, lowest_version, environment)


def _ensure_key(folder: Path, name: str) -> PrivateKey:
    private, public = folder / f"{name}.key", folder / f"{name}.vkey"
    if not private.exists():
        write_private(private, f"{keys.new_key(name).secret_text()}\n")
    key = read_private(private)
    public.write_text(f"{key.public}\n")
    return key
