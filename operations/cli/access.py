"""Where a command finds the log and its keys: what the user says, else the fleet of this folder.

The public key comes from a file, never from the database that it is to judge.
"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from operations.adapters import credentials, keyfiles
from operations.audit.note import VerifierKey
from operations.cli import fleet
from operations.config import Postgres, Settings
from operations.errors import Rejected
from operations.service import AuditLog

Dsn = Annotated[
    str,
    Parameter(
        help="Address of the database; default MTS_POSTGRES_DSN, else this fleet's reader.",
        show_default=False,
    ),
]
Checkpoints = Annotated[tuple[Path, ...], Parameter(negative=(), show_default=False)]
Key = Annotated[
    Path | None,
    Parameter(help="File with the public key of the log; default the one written at its start."),
]


def open_log(dsn: str, key: Path | None) -> AuditLog:
    """Return the log with its keys; raises Rejected if there is no key or no address."""
    settings = fleet.load()
    keys = keyfiles.read_public(key or settings.public_key_path)
    return AuditLog(postgres(settings, dsn), keys[0].name, keys)


def open_unproven(dsn: str, key: Path | None) -> AuditLog:
    """Return the log for looking at it, with keys only where there are some."""
    settings = fleet.load()
    file = key or settings.public_key_path
    keys: tuple[VerifierKey, ...] = ()
    if key or file.exists():
        keys = keyfiles.read_public(file)
    origin = keys[0].name if keys else settings.audit.origin
    return AuditLog(postgres(settings, dsn), origin, keys)


def postgres(settings: Settings, dsn: str) -> Postgres:
    """Return how to read the database: --dsn, MTS_POSTGRES_DSN, or the fleet's reader."""
    if dsn:
        return Postgres(dsn=dsn)
    if settings.postgres.dsn:
        return settings.postgres
    try:
        return Postgres(dsn=credentials.local_dsn(settings, credentials.READER))
    except Rejected as error:
        raise Rejected(
            f"no database is known: {error}; or give its address with --dsn or MTS_POSTGRES_DSN"
        ) from error
