"""Make the stream, its consumers, the roles and the schema: safe to repeat after any crash.

Nothing here weakens what it finds: a stream whose settings could lose events is refused, not
changed, because somebody must find out what was lost meanwhile.
"""

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from importlib import resources
from typing import Any

import asyncpg
import msgspec
import nats.errors
from nats.aio.client import Client

from operations.adapters import accounts, consumers, credentials, roster_files, side_streams, wire
from operations.audit import note
from operations.clock import NANOSECONDS
from operations.config import Settings
from operations.errors import Corrupted, Rejected, Retryable

DAY_SECONDS = 86_400
TIMEOUT_SECONDS = 10.0
MIGRATION_LOCK = 0x6D7473  # "mts": one provisioning at a time per database
STREAM_NOT_FOUND = 10059

# A value that differs here could lose, hide or change events.
DEMANDED = {
    "subjects": ["mts.v1.>"],
    "retention": "limits",
    "storage": "file",
    "max_msgs": -1,
    "max_bytes": -1,
    "max_msgs_per_subject": -1,
    "discard": "new",
    "deny_delete": True,
    "deny_purge": True,
    "allow_rollup_hdrs": False,
    "compression": "none",
    "sealed": False,
    "allow_msg_ttl": False,
}


def prove_durable_writes(monitor_url: str) -> None:
    """Read from the monitoring page that every acknowledged event is on the disk.

    Raises Retryable when the page does not answer, Rejected when the server acknowledges events
    that a power failure would lose.
    """
    url = f"{monitor_url}/varz"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 (http)
            page = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise Retryable(f"the monitoring page {url} does not answer: {error}") from error
    if page.get("jetstream", {}).get("config", {}).get("sync_always") is not True:
        raise Rejected(
            f"the NATS server at {url} does not prove sync_interval: always, so it acknowledges "
            "events before they are on the disk; set it in the jetstream block of its configuration"
        )


async def connect_admin(settings: Settings) -> Client:
    """Connect as the user that may make streams; Retryable when the server does not answer."""
    password = credentials.read_secret(credentials.nats_secret_file(settings, accounts.ADMIN))
    nats = msgspec.structs.replace(
        settings.nats,
        url=credentials.nats_url(settings),
        user=settings.nats.admin_user or accounts.ADMIN,
        password=password,
        inbox="",
    )
    return await wire.connect(nats, "provision")


async def provision_stream(settings: Settings) -> None:
    """Make the stream and its consumers where they are missing; refuse a stream that loses events.

    Raises Rejected with the setting, its value and the demanded one; Retryable when NATS does not
    answer.
    """
    monitor = credentials.monitor_url(settings)
    if monitor:
        prove_durable_writes(monitor)
    client = await connect_admin(settings)
    try:
        await _ensure_stream(client, settings)
        for config in side_streams.ALL:
            await _ensure_side_stream(client, config)
        for consumer in consumers.ALL:
            await _ensure_consumer(client, settings.nats.stream, consumer)
    finally:
        await client.close()


async def check_stream(settings: Settings) -> None:
    """Raise Rejected when the server or the stream could lose events; changes nothing."""
    monitor = credentials.monitor_url(settings)
    if monitor:
        prove_durable_writes(monitor)
    client = await connect_admin(settings)
    try:
        info = await _request(client, f"$JS.API.STREAM.INFO.{settings.nats.stream}")
    finally:
        await client.close()
    if "error" in info:
        raise Retryable(f"NATS cannot show the stream {settings.nats.stream}: {info['error']}")
    refuse_unsafe_stream(settings.nats.stream, info["config"])


async def _request(client: Client, subject: str, body: Any = None) -> dict[str, Any]:
    payload = json.dumps(body).encode() if body is not None else b""
    try:
        answer = await client.request(subject, payload, timeout=TIMEOUT_SECONDS)
    except nats.errors.Error as error:
        raise Retryable(f"NATS did not answer {subject}: {error!r}") from error
    result: dict[str, Any] = json.loads(answer.data)
    return result


async def _ensure_stream(client: Client, settings: Settings) -> None:
    name = settings.nats.stream
    max_age = settings.nats.max_age_days * DAY_SECONDS * NANOSECONDS
    wanted = DEMANDED | {
        "name": name,
        "max_age": max_age,
        "max_msg_size": -1,
        "num_replicas": 1,
        "duplicate_window": 600 * NANOSECONDS,
        "allow_direct": False,
        "allow_atomic": True,
    }
    info = await _request(client, f"$JS.API.STREAM.INFO.{name}")
    if info.get("error", {}).get("err_code") == STREAM_NOT_FOUND:
        await _demand(client, f"$JS.API.STREAM.CREATE.{name}", wanted)
        info = await _request(client, f"$JS.API.STREAM.INFO.{name}")
    if "error" in info:
        raise Retryable(f"NATS cannot show the stream {name}: {info['error']}")
    found = info["config"]
    refuse_unsafe_stream(name, found)
    if found.get("max_age", 0) != max_age:
        await _demand(client, f"$JS.API.STREAM.UPDATE.{name}", found | {"max_age": max_age})


async def _ensure_side_stream(client: Client, config: Mapping[str, Any]) -> None:
    info = await _request(client, f"$JS.API.STREAM.INFO.{config['name']}")
    if info.get("error", {}).get("err_code") == STREAM_NOT_FOUND:
        await _demand(client, f"$JS.API.STREAM.CREATE.{config['name']}", config)


def refuse_unsafe_stream(name: str, found: Mapping[str, Any]) -> None:
    """Raise Rejected when the configuration of a stream could lose, hide or change events."""
    different = [
        f"{key} is {json.dumps(found.get(key, default))} and must be {json.dumps(value)}"
        for key, value in DEMANDED.items()
        if found.get(key, default := _absent(value)) != value
    ]
    if found.get("persist_mode", "") == "async":
        different.append('persist_mode is "async" and must be "default"')
    rewriting = (
        "mirror",
        "sources",
        "subject_transform",
        "republish",
        "allow_msg_counter",
        "allow_msg_schedules",
    )
    different += [f"{key} is set and must not be" for key in rewriting if found.get(key)]
    if different:
        raise Rejected(
            f"the stream {name} could lose or change events: {'; '.join(different)}. Publish on a "
            "stream made by `mts start`, and find out what this one has lost already"
        )


def _absent(value: Any) -> Any:
    """What a field means that the server leaves out because it is empty."""
    return "none" if value == "none" else type(value)()


async def _demand(client: Client, subject: str, body: Mapping[str, Any]) -> None:
    answer = await _request(client, subject, body)
    if "error" in answer:
        raise Rejected(f"NATS refused {subject}: {answer['error']}")


async def _ensure_consumer(client: Client, stream: str, consumer: Mapping[str, Any]) -> None:
    name = consumer["durable_name"]
    config: dict[str, Any] = {"deliver_policy": "all", "replay_policy": "instant", **consumer}
    if consumer["ack_policy"] != "none":
        config |= {"ack_wait": 60 * NANOSECONDS, "max_ack_pending": 65_536, "max_deliver": -1}
    body = {"stream_name": stream, "config": config, "action": ""}
    await _demand(client, f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{name}", body)


async def provision_database(settings: Settings) -> None:
    """Make roles, database and schema where they are missing.

    Raises Corrupted when a migration that was applied has changed since, Retryable when Postgres
    does not answer.
    """
    server = await _connect(credentials.admin_dsn(settings, "postgres"))
    try:
        await _ensure_roles(server, settings)
        await ensure_database(server, settings.postgres.database)
    finally:
        await server.close()
    await migrate(credentials.admin_dsn(settings))


async def _connect(dsn: str) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(dsn, timeout=TIMEOUT_SECONDS)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError) as error:
        place = dsn.rpartition("@")[2]
        raise Retryable(f"cannot connect to Postgres at {place}: {error!r}") from error


async def _ensure_roles(server: asyncpg.Connection, settings: Settings) -> None:
    names = (credentials.OWNER, *credentials.LOGIN_ROLES)
    known = {row["rolname"] for row in await server.fetch("SELECT rolname FROM pg_roles")}
    for name in names:
        if name not in known:
            await server.execute(f"CREATE ROLE {name} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE")
    for name in credentials.LOGIN_ROLES:
        password = credentials.ensure_secret(credentials.postgres_secret_file(settings, name))
        # The secret holds only letters and digits unless somebody wrote it; quotes are doubled.
        quoted = password.replace("'", "''")
        await server.execute(f"ALTER ROLE {name} LOGIN PASSWORD '{quoted}'")
    for name in credentials.WRITERS.values():
        await server.execute(f"ALTER ROLE {name} SET lock_timeout = '5s'")
        await server.execute(f"ALTER ROLE {name} SET statement_timeout = '60s'")
    with suppress(asyncpg.InsufficientPrivilegeError):  # then the measuring says what it lacks
        await server.execute(f"GRANT pg_read_all_stats TO {credentials.MEASURER}")
    if not await server.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        await server.execute(f"GRANT {credentials.OWNER} TO CURRENT_USER")


async def ensure_database(server: asyncpg.Connection, name: str) -> None:
    """Make the database where it is missing; only our roles may connect to it."""
    found = await server.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", name)
    if not found:
        await server.execute(
            f"CREATE DATABASE {_identifier(name)} TEMPLATE template0 ENCODING 'UTF8' "
            "LOCALE_PROVIDER libc LOCALE 'C'"
        )
    await grant_connect(server, name)


async def grant_connect(server: asyncpg.Connection, name: str) -> None:
    """Let only our roles connect to a database."""
    database = _identifier(name)
    await server.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
    roles = ", ".join(credentials.LOGIN_ROLES)
    await server.execute(f"GRANT CONNECT ON DATABASE {database} TO {roles}")
    await server.execute(f"GRANT CREATE ON DATABASE {database} TO {credentials.OWNER}")


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def migrations() -> dict[str, str]:
    """Return every migration in the order in which they are applied: file name to SQL."""
    folder = resources.files("operations.adapters").joinpath("migrations")
    files = sorted((file for file in folder.iterdir()), key=lambda file: file.name)
    return {file.name: file.read_text() for file in files if file.name.endswith(".sql")}


async def migrate(dsn: str) -> None:
    """Apply the migrations that the database does not have yet, each in one transaction.

    Raises Corrupted when one that was applied reads differently now.
    """
    database = await _connect(dsn)
    try:
        await database.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
        await database.execute(
            "CREATE TABLE IF NOT EXISTS public.migration ("
            "name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL)"
        )
        rows = await database.fetch("SELECT name, sha256 FROM public.migration")
        applied = {row["name"]: row["sha256"] for row in rows}
        for name, sql in migrations().items():
            digest = hashlib.sha256(sql.encode()).hexdigest()
            if name not in applied:
                await _apply(database, name, sql, digest)
            elif applied[name] != digest:
                raise Corrupted(
                    f"migration {name} was applied with SHA-256 {applied[name]} and is {digest} "
                    "now; install the release that made this database and write a new migration"
                )
    finally:
        await database.close()


async def _apply(database: asyncpg.Connection, name: str, sql: str, digest: str) -> None:
    async with database.transaction():
        await database.execute(sql)
        await database.execute("RESET ROLE")
        await database.execute("INSERT INTO public.migration VALUES ($1, $2, now())", name, digest)


async def provision(settings: Settings) -> None:
    """Make everything the workers need, on embedded or external servers; safe to repeat."""
    ensure_keys(settings)
    roster_files.ensure_development(settings)
    await provision_stream(settings)
    await provision_database(settings)


def ensure_keys(settings: Settings) -> None:
    """Make the signing key of the log and its public key where there are none.

    A public key that is missing beside its signing key is derived from it; a signing key is never
    made beside a public key, because nothing it signs would be believed.
    """
    if settings.public_key_path.exists():
        return
    if not settings.signing_key_path.exists():
        credentials.private_folder(settings.signing_key_path.parent)
        private = note.generate_key(settings.audit.origin)
        credentials.write_private(settings.signing_key_path, f"{private}\n")
    signer = note.parse_signer(credentials.read_secret(settings.signing_key_path))
    credentials.private_folder(settings.public_key_path.parent)
    credentials.write_private(settings.public_key_path, f"{signer.verifier}\n")
