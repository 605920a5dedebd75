"""Do arguments become settings that the fleet can work with, and passwords files of their own?"""

import io
import stat
import sys

import asyncpg
import pytest
from commands import Command
from support import run_blocking

from operations import config
from operations.adapters import credentials
from operations.cli import setup
from operations.errors import Rejected

pytestmark = pytest.mark.integration
PASSWORD = 'a:b\\c/@é"% #d'


@pytest.fixture
def mts(tmp_path):
    return Command(tmp_path)


def settings(mts):
    return config.load(mts.settings)


def mode(file):
    return stat.S_IMODE(file.stat().st_mode)


def test_the_database_that_was_set_up_is_reached(mts, database, tmp_path):
    async def as_superuser(statement):
        db = await database.connect()
        await db.execute(statement)
        await db.close()

    async def reached():
        db = await asyncpg.connect(credentials.admin_dsn(settings(mts)))
        try:
            return await db.fetchrow("SELECT current_user, current_database()")
        finally:
            await db.close()

    create = f"CREATE ROLE \"set:up\" SUPERUSER LOGIN PASSWORD '{PASSWORD}'"
    run_blocking(as_superuser(create))
    address = f"127.0.0.1:{database.settings.postgres.port}?sslmode=disable"
    said = mts(
        "setup", "--password", PASSWORD, "--user", "set:up", "--database-address", address,
        "--schema", database.name,
    )  # fmt: skip
    assert (said.code, PASSWORD in said.out + said.err) == (0, False), said.err
    assert tuple(run_blocking(reached())) == ("set:up", database.name)
    run_blocking(as_superuser('DROP ROLE "set:up"'))
    home = tmp_path / "home"
    assert PASSWORD not in (home / "settings.toml").read_text()
    for file in (home / "settings.toml", home / "secrets" / "pgpass"):
        assert mode(file) == 0o600
    assert mode(home / "secrets") == 0o700


def test_addresses_become_settings(mts, tmp_path):
    said = mts(
        "setup", "--password", "p", "--local-address", "0.0.0.0:9000", "--advertised-address",
        "ops.example.com", "--service-address", "bus.example.com", "--service-password-file", "f",
        "--database-address", "[::1]?sslmode=verify-full&sslrootcert=/ca.pem",
    )  # fmt: skip
    assert said.code == 0, said.err
    found = settings(mts)
    assert (found.http.host, found.http.port) == ("0.0.0.0", 9000)
    assert found.http.advertised == "ops.example.com"
    assert found.nats.url == "nats://bus.example.com:4222"
    assert found.nats.admin_password_file == str(tmp_path / "f")
    assert found.postgres.admin_dsn == (
        "postgres://mts_admin@[::1]:5432/mts?sslmode=verify-full&sslrootcert=/ca.pem"
        f"&passfile={tmp_path}/home/secrets/pgpass"
    )


def test_without_addresses_the_fleet_starts_its_own_servers_with_that_password(mts):
    assert mts("setup", "--password", "p w").code == 0
    found = settings(mts)
    assert (found.nats.url, found.postgres.admin_dsn) == ("", "")
    assert credentials.admin_dsn(found).startswith("postgres://mts_admin:p%20w@127.0.0.1:15432/")
    found.path("postgres").mkdir()
    said = mts("setup", "--password", "other", "--force")
    assert (said.code, "holds a database already" in said.err) == (1, True)


def test_what_is_there_is_not_overwritten_without_force(mts):
    assert mts("setup", "--password", "p", "--schema", "one").code == 0
    said = mts("setup", "--password", "-x", "--schema", "two")
    assert (said.code, "nothing is changed. --force replaces it" in said.err) == (1, True)
    assert settings(mts).postgres.database == "one"
    assert mts("setup", "--password", "p", "--schema", "two", "--force").code == 0
    assert settings(mts).postgres.database == "two"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"database_password": ""}, "is empty"),
        ({"database_password": " a"}, "begins or ends with a space"),
        ({"database_password": "a\tb"}, "cannot be printed"),
        ({"database_password": "-"}, "is empty"),
        ({"schema": "a-b"}, "cannot name a database"),
        ({"local_address": "a:b"}, "is not HOST or HOST:PORT"),
        ({"advertised_address": "a/b"}, "is not HOST or HOST:PORT"),
        ({"service_address": "a@b"}, "is not HOST or HOST:PORT"),
        ({"database_address": ":5432"}, "is not HOST or HOST:PORT"),
        ({"database_user": "me"}, "give --database-address"),
    ],
)
def test_what_is_no_setting_is_refused_and_nothing_is_written(
    tmp_path, monkeypatch, arguments, reason
):
    monkeypatch.setenv("MTS_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(Rejected, match=reason):
        setup.setup(**{"database_password": "p", **arguments})
    assert list(tmp_path.iterdir()) == []


def test_a_password_may_come_from_standard_input(tmp_path, monkeypatch):
    monkeypatch.setenv("MTS_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", io.StringIO("from there\n"))
    setup.setup(database_password="-")
    assert (tmp_path / "secrets" / "postgres-mts_admin").read_text() == "from there\n"


def test_a_password_is_required(mts):
    said = mts("setup", "--schema", "mts")
    assert said.code != 0
    assert "--database-password" in said.out + said.err
