"""Make the passwords that compose.yaml hands to its services: one file each, mode 0600.

    python -m operations.cli.compose_secrets deploy/secrets

Safe to repeat: what exists is kept. `pgpass` holds the administrator's password in the form that
database clients read, so that no password stands in an address.
"""

import sys
from pathlib import Path

from operations.adapters import accounts, credentials


def names() -> list[str]:
    """Return the name of every password file."""
    roles = (credentials.SUPERUSER, *credentials.LOGIN_ROLES)
    return [f"nats-{user.name}" for user in accounts.USERS] + [f"postgres-{role}" for role in roles]


def write(folder: Path) -> None:
    """Make what is missing in a folder that only its owner may enter."""
    credentials.private_folder(folder)
    for name in names():
        credentials.ensure_secret(folder / name)
    password = credentials.read_secret(folder / f"postgres-{credentials.SUPERUSER}")
    credentials.write_private(folder / "pgpass", f"*:*:*:{credentials.SUPERUSER}:{password}\n")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "deploy/secrets"))
