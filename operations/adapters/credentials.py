"""Who logs in with which secret: files of mode 0600 below <home>, made once and never printed."""

import os
import secrets
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from operations.adapters import accounts
from operations.config import Settings, catalogue
from operations.errors import Rejected

SUPERUSER = "mts_admin"
OWNER = "mts_owner"
READER = "mts_reader"
MEASURER = "mts_measurer"  # sees statistics, and may vacuum what can be filled again
# Workers that write to the database, each as a role of its own.
WRITERS = {
    "audit": "mts_sealer",
    "checkpoint": "mts_signer",
    "projection": "mts_projector",
    "notifications": "mts_notifier",
}
# The role of every worker; an empty one never sees the database.
WORKER_ROLES = WRITERS | {
    "evidence": READER,
    "halt": "",
    "limits": "",
    "settings": "",
    "watchdogs": "",
    "measure": MEASURER,
    "canary": "",
    "actions": "",
}
# What only the one who makes users and roles may know.
FLEET_ONLY = (
    "MTS_NATS_ADMIN_USER",
    "MTS_NATS_ADMIN_PASSWORD_FILE",
    "MTS_NATS_PASSWORD_FILE",
    "MTS_POSTGRES_ADMIN_DSN",
    "MTS_POSTGRES_PASSWORD_FILE",
)
LOGIN_ROLES = (*WRITERS.values(), READER, MEASURER)


def private_folder(folder: Path) -> Path:
    """Make a folder that only its owner may enter, and the folders above it as usual."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    return folder


def write_private(file: Path, text: str) -> None:
    """Replace a file of mode 0600 in one step, so that a crash leaves the old or the new one."""
    new = file.with_name(f".{file.name}.{os.getpid()}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        os.fchmod(descriptor, 0o600)
        stream.write(text)
        stream.flush()
        os.fsync(descriptor)
    new.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def ensure_secret(file: Path) -> str:
    """Return the secret in a file; makes a random one where there is none.

    It starts with a letter because a NATS server reads variables as configuration text.
    """
    if not file.exists():
        private_folder(file.parent)
        write_private(file, "s" + secrets.token_hex(24) + "\n")
    return read_secret(file)


def read_secret(file: Path) -> str:
    """Return the secret in a file; Rejected when it is missing or others may read it."""
    try:
        text = file.read_text().strip()
        mode = file.stat().st_mode & 0o777
    except OSError as error:
        raise Rejected(f"cannot read the secret {file}: {error}; run `mts start` first") from error
    except UnicodeDecodeError as error:
        raise Rejected(f"the secret in {file} is no text in UTF-8; write it anew") from error
    if mode & 0o077:
        raise Rejected(f"{file} has mode {mode:04o}, so others may read it; run chmod 600 {file}")
    if not text:
        raise Rejected(f"{file} is empty; remove it and start again to make a new secret")
    return text


def nats_secret_file(settings: Settings, user: str) -> Path:
    """Where the password of a NATS user is."""
    if user == accounts.ADMIN and settings.nats.admin_password_file:
        return Path(settings.nats.admin_password_file)
    return settings.path("secrets", f"nats-{user}")


def postgres_secret_file(settings: Settings, role: str) -> Path:
    """Where the password of a database role is."""
    return settings.path("secrets", f"postgres-{role}")


def nats_url(settings: Settings) -> str:
    """Return the address of the external server, or of the embedded one."""
    return settings.nats.url or f"nats://127.0.0.1:{settings.nats.port}"


def monitor_url(settings: Settings) -> str:
    """Return the address of the monitoring page; empty where an external server shows none."""
    if settings.nats.url:
        return settings.nats.monitor_url.rstrip("/")
    return f"http://127.0.0.1:{settings.nats.monitor_port}"


def admin_dsn(settings: Settings, database: str = "") -> str:
    """Return the address by which roles and the schema are made."""
    database = database or settings.postgres.database
    if settings.postgres.admin_dsn:
        return _with_database(settings.postgres.admin_dsn, database)
    password = quote(read_secret(postgres_secret_file(settings, SUPERUSER)), safe="")
    return f"postgres://{SUPERUSER}:{password}@127.0.0.1:{settings.postgres.port}/{database}"


def role_dsn(settings: Settings, role: str) -> str:
    """Return the address by which a role logs in to the database of the log."""
    password = read_secret(postgres_secret_file(settings, role))
    address = urlsplit(settings.postgres.admin_dsn or settings.postgres.dsn)
    place = f"127.0.0.1:{settings.postgres.port}"
    if address.netloc:
        place = address.netloc.rpartition("@")[2]
    netloc = f"{quote(role)}:{quote(password, safe='')}@{place}"
    path = f"/{settings.postgres.database}"
    return urlunsplit(("postgres", netloc, path, address.query, ""))


def local_dsn(settings: Settings, role: str) -> str:
    """Return the same address through the Unix socket of the embedded server, where one may use it.

    Reading a whole log that way takes about a tenth less processor time than through TCP.
    """
    folder = settings.path("postgres", "socket")
    socket = folder / f".s.PGSQL.{settings.postgres.port}"
    embedded = not (settings.postgres.admin_dsn or settings.postgres.dsn)
    if not embedded or not os.access(socket, os.R_OK | os.W_OK):
        return role_dsn(settings, role)
    password = quote(read_secret(postgres_secret_file(settings, role)), safe="")
    query = f"host={quote(str(folder))}&port={settings.postgres.port}"
    return f"postgres://{quote(role)}:{password}@/{settings.postgres.database}?{query}"


def _with_database(dsn: str, database: str) -> str:
    address = urlsplit(dsn)
    return urlunsplit((address.scheme, address.netloc, f"/{database}", address.query, ""))


def reader_environment(settings: Settings, user: str, role: str) -> dict[str, str]:
    """Return what somebody needs to log in as a NATS user and, where named, a database role."""
    environment = {
        "MTS_NATS_URL": nats_url(settings),
        "MTS_NATS_USER": user,
        "MTS_NATS_PASSWORD": read_secret(nats_secret_file(settings, user)),
    }
    if role == SUPERUSER:
        environment["MTS_POSTGRES_DSN"] = admin_dsn(settings)
    elif role:
        environment["MTS_POSTGRES_DSN"] = role_dsn(settings, role)
    environment["MTS_AUDIT_ORIGIN"] = settings.audit.origin
    return environment


def service_key_file(settings: Settings, worker: str) -> Path:
    """Where the key is that a worker signs its findings with."""
    return settings.path("keys", f"service-{worker}.key")


def worker_environment(settings: Settings, worker: str, http_port: int) -> dict[str, str]:
    """Return every setting of one worker: the fleet's, with only its own credentials."""
    key = service_key_file(settings, worker)
    return _environment(settings, worker, WORKER_ROLES[worker], key, http_port)


def order_system_environment(settings: Settings, oms_id: str, http_port: int) -> dict[str, str]:
    """Return the same for a process that logs in as an order system and signs with its key."""
    return _environment(settings, oms_id, "", settings.path("keys", f"{oms_id}.key"), http_port)


def _environment(
    settings: Settings, user: str, role: str, key_file: Path, http_port: int
) -> dict[str, str]:
    values = dict(settings.watchdogs.environment)
    for setting in catalogue():
        section = getattr(settings, setting.section) if setting.section else settings
        values[setting.variable] = str(getattr(section, setting.name))
    for variable in (*FLEET_ONLY, "MTS_POSTGRES_DSN"):
        values[variable] = ""
    if user != accounts.NOTIFICATIONS:
        values |= {setting.variable: "" for setting in catalogue() if setting.secret}
    values |= reader_environment(settings, user, role)
    return values | {
        "MTS_NATS_INBOX": accounts.inbox(user),
        "MTS_HTTP_PORT": str(http_port),
        "MTS_SERVICE_KEY_FILE": str(key_file),
    }
