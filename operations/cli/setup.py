"""Writes settings.toml from arguments, and passwords into files of their own.

For whoever installs: the few settings that differ from place to place, in one command. Everything
else keeps its default (docs/settings.md) and can be added to the file by hand.
"""

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from cyclopts import Parameter

from operations import config
from operations.adapters import credentials
from operations.cli.output import headline
from operations.config import Settings
from operations.errors import Rejected
from operations.process_settings import Http

NATS_PORT, POSTGRES_PORT = 4222, 5432
STANDARD_INPUT = "-"


def setup(
    *,
    database_password: Annotated[
        str, Parameter(name=["--database-password", "--password"], allow_leading_hyphen=True)
    ],
    local_address: str = "",
    advertised_address: str = "",
    service_address: str = "",
    service_password_file: str = "",
    database_address: str = "",
    database_user: Annotated[
        str, Parameter(name=["--database-user", "--user"])
    ] = credentials.SUPERUSER,
    schema: str = "mts",
    force: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Write <home>/settings.toml; the password goes into a file of mode 0600 in <home>/secrets.

    Example: mts setup --password - --database-address db.example.com --schema mts < password

    Parameters
    ----------
    database_password
        Password of the database user; - reads it from standard input.
    local_address
        HOST or HOST:PORT that health and metrics listen on (http.host, http.port).
    advertised_address
        HOST or HOST:PORT under which others reach these (http.advertised).
    service_address
        HOST, HOST:PORT or URL of the NATS server (nats.url); without it one is started.
    service_password_file
        File with the password of that server's user admin (nats.admin_password_file).
    database_address
        HOST or HOST:PORT of Postgres, ?sslmode=... after it; without it one is started.
    database_user
        User that may create roles and the schema (postgres.admin_dsn).
    schema
        Name of the database for the log (postgres.database); its tables are in schema audit.
    force
        Replace the settings.toml that is there, which is left alone otherwise.
    """
    file = config.settings_file()
    if file.exists() and not force:
        raise Rejected(f"{file} exists; nothing is changed. --force replaces it")
    password = _password(database_password)
    if not re.fullmatch("[a-z_][a-z0-9_]{0,62}", schema):
        raise Rejected(f"{schema!r} cannot name a database: small letters, digits and _, no more")
    tree = {
        "nats": _nats(service_address, service_password_file),
        "postgres": {"database": schema},
        "http": _http(local_address, advertised_address),
    }
    if database_address:
        # asyncpg, who reads it, takes the rest of the line as it is: nothing is escaped.
        secret, text = file.parent / "secrets" / "pgpass", f"*:*:*:*:{password}"
        tree["postgres"]["admin_dsn"] = _dsn(database_address, database_user, schema, secret)
    else:
        secret, text = _of_embedded(file.parent, database_user), password
    _write(file, tree, secret, text)
    headline("✓", f"{file} written, the password is in {secret}; go on with: mts start", "green")


def _password(given: str) -> str:
    if given == STANDARD_INPUT:
        given = sys.stdin.readline().rstrip("\n")
    if not given.strip() == given != "" or not given.isprintable():
        raise Rejected("the password is empty, begins or ends with a space, or cannot be printed")
    return given


def _http(local: str, advertised: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if local:
        found["host"], found["port"] = config.place(local, Http().port)
    if advertised:
        config.place(advertised, 0)
        found["advertised"] = advertised
    return found


def _nats(address: str, password_file: str) -> dict[str, Any]:
    found = {"url": _url(address)} if address else {}
    if password_file:
        found["admin_password_file"] = str(Path(password_file).absolute())
    return found


def _url(address: str) -> str:
    scheme, separator, place = address.rpartition("://")
    host, port = config.place(place, NATS_PORT)
    host = f"[{host}]" if ":" in host else host
    return f"{scheme if separator else 'nats'}://{host}:{port}"


def _dsn(address: str, user: str, database: str, passfile: Path) -> str:
    place, _, query = address.partition("?")
    host, port = config.place(place, POSTGRES_PORT)
    host = f"[{host}]" if ":" in host else host
    query = "&".join(filter(None, (query, f"passfile={quote(str(passfile))}")))
    return f"postgres://{quote(user, safe='')}@{host}:{port}/{quote(database, safe='')}?{query}"


def _of_embedded(home: Path, user: str) -> Path:
    """Return the password file of the Postgres that the fleet starts itself."""
    if user != credentials.SUPERUSER:
        raise Rejected(
            f"the user of a Postgres that the fleet starts is {credentials.SUPERUSER}; give "
            "--database-address, or leave --database-user out"
        )
    if (home / "postgres").exists():
        raise Rejected(
            f"{home} holds a database already, whose password cannot be set here; give "
            "--database-address, or another MTS_HOME"
        )
    return credentials.postgres_secret_file(Settings(home=str(home)), user)


def _write(file: Path, tree: dict[str, Any], secret: Path, text: str) -> None:
    """Write both files, of mode 0600, if the settings are ones; raises Rejected."""
    try:
        msgspec.convert(tree, Settings)
    except msgspec.ValidationError as error:
        raise Rejected(f"wrong setting: {error}") from error
    lines = ["# Written by `mts setup`. Every setting there is: docs/settings.md."]
    for section, values in tree.items():
        # A JSON string is a TOML string.
        written = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        lines += ["", f"[{section}]", *written] if written else []
    try:
        credentials.private_folder(secret.parent)
        credentials.write_private(secret, text + "\n")
        credentials.write_private(file, "\n".join(lines) + "\n")
    except OSError as error:
        raise Rejected(f"cannot write to {file.parent}: {error}") from error
