"""Is everything made once, safe to repeat, and is what could lose events refused?"""

import asyncio
import json

import asyncpg
import msgspec
import pytest
from support import Database, NatsHandle

from operations import config
from operations.adapters import accounts, consumers, credentials, provision
from operations.adapters.ports import free_port
from operations.config import Settings, Watchdogs
from operations.errors import Corrupted, Rejected, Retryable


def with_nats(settings: Settings, **changes) -> Settings:
    return msgspec.structs.replace(settings, nats=msgspec.structs.replace(settings.nats, **changes))


async def admin_request(server: NatsHandle, subject: str, body=None) -> dict:
    client = await server.connect()
    answer = await client.request(subject, json.dumps(body).encode() if body else b"")
    await client.close()
    return json.loads(answer.data)


@pytest.mark.integration
async def test_the_stream_keeps_everything_and_cannot_be_emptied(nats_server: NatsHandle):
    config = (await admin_request(nats_server, "$JS.API.STREAM.INFO.MTS"))["config"]
    assert config["allow_atomic"] is True
    assert config["duplicate_window"] == 600_000_000_000
    for subject in ("$JS.API.STREAM.PURGE.MTS", "$JS.API.STREAM.MSG.DELETE.MTS"):
        answer = await admin_request(nats_server, subject, {"seq": 1})
        assert "error" in answer


@pytest.mark.integration
async def test_provisioning_twice_changes_nothing(nats_server: NatsHandle):
    before = await admin_request(nats_server, "$JS.API.STREAM.INFO.MTS")
    await provision.provision_stream(nats_server.settings)
    after = await admin_request(nats_server, "$JS.API.STREAM.INFO.MTS")
    assert (before["config"], before["created"]) == (after["config"], after["created"])
    assert after["state"]["consumer_count"] == len(consumers.ALL)


@pytest.mark.integration
async def test_how_long_the_stream_keeps_events_follows_the_setting(nats_server: NatsHandle):
    await provision.provision_stream(with_nats(nats_server.settings, max_age_days=30))
    config = (await admin_request(nats_server, "$JS.API.STREAM.INFO.MTS"))["config"]
    assert config["max_age"] == 30 * 86_400 * 1_000_000_000


@pytest.mark.integration
async def test_a_stream_that_drops_old_events_is_refused(nats_server: NatsHandle):
    await admin_request(nats_server, "$JS.API.STREAM.DELETE.MTS")
    unsafe = {"name": "MTS", "subjects": ["mts.v1.>"], "max_msgs": 10, "discard": "old"}
    await admin_request(nats_server, "$JS.API.STREAM.CREATE.MTS", unsafe)
    with pytest.raises(Rejected, match="max_msgs is 10 and must be -1"):
        await provision.provision_stream(nats_server.settings)
    with pytest.raises(Rejected, match="deny_delete"):
        await provision.check_stream(nats_server.settings)


@pytest.mark.integration
async def test_a_server_that_does_not_answer_is_tried_again_later(nats_server: NatsHandle):
    nats_server.stop()
    with pytest.raises(Retryable, match="does not answer"):
        await provision.provision_stream(nats_server.settings)
    nobody = with_nats(nats_server.settings, url=f"nats://127.0.0.1:{free_port()}")
    with pytest.raises(Retryable, match="cannot connect to NATS"):
        await provision.provision_stream(nobody)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"persist_mode": "async"}, "persist_mode"),
        ({"deny_purge": False}, "deny_purge is false"),
        ({"compression": "s2"}, "compression"),
        ({"subjects": ["mts.v1.trading.>"]}, "subjects"),
        ({"mirror": {"name": "OTHER"}}, "mirror is set"),
        ({"allow_rollup_hdrs": True}, "allow_rollup_hdrs"),
    ],
)
def test_every_setting_that_could_lose_events_is_refused(change, reason):
    safe = dict(provision.DEMANDED)
    provision.refuse_unsafe_stream("MTS", safe)
    with pytest.raises(Rejected, match=reason):
        provision.refuse_unsafe_stream("MTS", safe | change)


@pytest.mark.unit
def test_what_the_server_leaves_out_counts_as_empty():
    shown = {key: value for key, value in provision.DEMANDED.items() if value is not False}
    provision.refuse_unsafe_stream("MTS", shown)
    del shown["deny_delete"]
    with pytest.raises(Rejected, match="deny_delete is false and must be true"):
        provision.refuse_unsafe_stream("MTS", shown)


@pytest.mark.integration
async def test_the_database_is_made_once_and_every_role_gets_in(database: Database):
    await provision.provision_database(database.settings)
    for role in credentials.LOGIN_ROLES:
        connection = await database.connect(role)
        assert await connection.fetchval("SELECT current_user") == role
        await connection.close()


@pytest.mark.integration
async def test_a_migration_that_changed_after_it_was_applied_is_refused(database: Database):
    connection = await database.connect()
    await connection.execute("UPDATE public.migration SET sha256 = 'other'")
    await connection.close()
    with pytest.raises(Corrupted, match="SHA-256 other"):
        await provision.migrate(database.admin_dsn)


@pytest.mark.integration
async def test_roles_cannot_make_tables_or_become_the_owner(database: Database):
    for role in credentials.LOGIN_ROLES:
        connection = await database.connect(role)
        for statement in (
            "CREATE TABLE public.mine (n int)",
            "CREATE TEMP TABLE mine (n int)",
            "CREATE SCHEMA mine",
            f"SET ROLE {credentials.OWNER}",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        await connection.close()


@pytest.mark.integration
async def test_two_migrations_at_once_apply_each_file_once(servers):
    named = msgspec.structs.replace(servers.settings.postgres, database="mts_test_raced")
    database = Database(msgspec.structs.replace(servers.settings, postgres=named))
    server = await asyncpg.connect(credentials.admin_dsn(servers.settings, "postgres"))
    await provision.ensure_database(server, database.name)
    await server.close()
    await asyncio.gather(*(provision.migrate(database.admin_dsn) for _ in range(3)))
    connection = await database.connect()
    names = [row["name"] for row in await connection.fetch("SELECT name FROM public.migration")]
    await connection.close()
    servers.drop_database(database)
    assert sorted(names) == list(provision.migrations())


@pytest.mark.unit
def test_keys_are_made_once_and_a_lost_public_key_is_derived_again(tmp_path):
    settings = Settings(home=str(tmp_path))
    provision.ensure_keys(settings)
    public = settings.public_key_path.read_text()
    private = settings.signing_key_path.read_text()
    assert settings.signing_key_path.stat().st_mode & 0o777 == 0o600
    settings.public_key_path.unlink()
    provision.ensure_keys(settings)
    assert settings.public_key_path.read_text() == public
    assert settings.signing_key_path.read_text() == private


@pytest.mark.unit
def test_secrets_of_others_are_not_used(tmp_path):
    file = tmp_path / "secrets" / "nats-audit"
    made = credentials.ensure_secret(file)
    assert credentials.ensure_secret(file) == made
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    with pytest.raises(Rejected, match="chmod 600"):
        credentials.ensure_secret(file)


@pytest.mark.unit
def test_a_worker_gets_its_own_credentials_and_no_others(tmp_path):
    settings = Settings(home=str(tmp_path))
    for user in accounts.USERS:
        credentials.ensure_secret(credentials.nats_secret_file(settings, user.name))
    for role in (*credentials.LOGIN_ROLES, credentials.SUPERUSER):
        credentials.ensure_secret(credentials.postgres_secret_file(settings, role))
    secrets = {file.name: file.read_text().strip() for file in (tmp_path / "secrets").iterdir()}
    for worker, role in credentials.WORKER_ROLES.items():
        text = json.dumps(credentials.worker_environment(settings, worker, 1))
        known = {name for name, secret in secrets.items() if secret in text}
        assert known == {f"nats-{worker}"} | ({f"postgres-{role}"} if role else set())


@pytest.mark.unit
def test_what_the_environment_says_of_checks_reaches_the_workers(tmp_path):
    said = {"MTS_WATCHDOGS_VPIN_THRESHOLD": "0.5"}
    settings = Settings(home=str(tmp_path), watchdogs=Watchdogs(environment=said))
    credentials.ensure_secret(credentials.nats_secret_file(settings, "settings"))
    environment = credentials.worker_environment(settings, "settings", 1)
    assert config.load(environment).watchdogs.environment == said


async def test_a_reader_on_this_machine_uses_the_socket_of_the_server(database: Database):
    dsn = credentials.local_dsn(database.settings, credentials.READER)
    connected = await asyncpg.connect(dsn)
    assert "host=" in dsn
    assert await connected.fetchval("SELECT inet_server_addr()") is None
    await connected.close()


def test_where_there_is_no_socket_a_reader_uses_the_port(tmp_path):
    settings = Settings(home=str(tmp_path))
    credentials.ensure_secret(credentials.postgres_secret_file(settings, credentials.READER))
    dsn = credentials.local_dsn(settings, credentials.READER)
    assert dsn == credentials.role_dsn(settings, credentials.READER)
