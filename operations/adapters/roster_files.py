"""Keys and roster as files: what the first start makes, and what every receiver reads.

    <home>/keys/root.key, root.vkey          the key that signs rosters
    <home>/keys/operator.key, operator.vkey  the key of whoever started the fleet
    <home>/keys/service-<worker>.key, .vkey  the key a worker signs its findings with
    <home>/keys/roster.json                  who may sign what

A root key beside its roster proves little, so the roster is marked `development`. Where the
environment is live nothing is made: there a roster comes from a root key that lies elsewhere.
"""

from pathlib import Path

from operations.adapters.credentials import (
    WORKER_ROLES,
    private_folder,
    read_secret,
    write_private,
)
from operations.clock import now_ns
from operations.config import Settings
from operations.errors import Rejected
from operations.signing import keys, roster
from operations.signing.development import development_roster
from operations.signing.keys import PrivateKey, PublicKey
from operations.signing.roster import LIVE, Roster

ROOT, OPERATOR = "root", "operator"
OPERATOR_ROLES = ("risk_manager", "auditor")


def ensure_development(settings: Settings) -> None:
    """Make root key, operator key and roster where there are none; safe to repeat."""
    if settings.environment == LIVE or settings.roster_path.exists():
        return
    folder = private_folder(settings.path("keys"))
    root, operator = _ensure_key(folder, ROOT), _ensure_key(folder, OPERATOR)
    services = {
        _ensure_key(folder, f"service-{worker}").public: (f"check.{worker}",)
        for worker in WORKER_ROLES
    }
    document = development_roster(
        root,
        {operator.public: OPERATOR_ROLES, **services},
        origin=settings.audit.origin,
        environment=settings.environment,
        issued_ns=now_ns(),
    )
    write_private(settings.roster_path, document.decode())


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
