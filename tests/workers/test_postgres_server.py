"""Does the embedded Postgres come up after every kind of bad end, with what was committed?"""

import os
from collections.abc import Iterator

import asyncpg
import msgspec
import pytest
from support import PostgresHandle, eventually_blocking, make_home, remove_home, settings_for

from operations.adapters import credentials
from operations.errors import Corrupted, Rejected, Retryable
from workers import servers

pytestmark = pytest.mark.integration


@pytest.fixture
def postgres() -> Iterator[PostgresHandle]:
    home = make_home()
    server = PostgresHandle(settings_for(home))
    try:
        server.start()
        yield server
    finally:
        server.stop()
        server.stop_leftovers()
        remove_home(home)


async def connect(server: PostgresHandle) -> asyncpg.Connection:
    return await asyncpg.connect(credentials.admin_dsn(server.settings, "postgres"))


async def test_what_is_promised_to_the_log_is_switched_on(postgres: PostgresHandle):
    connection = await connect(postgres)
    for name in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
        assert await connection.fetchval("SELECT current_setting($1)", name) == "on"
    rules = await connection.fetch("SELECT auth_method FROM pg_hba_file_rules")
    assert {row["auth_method"] for row in rules} == {"scram-sha-256"}
    await connection.close()
    nobody = credentials.admin_dsn(postgres.settings, "postgres").replace(":s", ":wrong")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(nobody)


async def test_a_committed_row_is_there_after_kill_9_of_a_busy_server(postgres: PostgresHandle):
    connection = await connect(postgres)
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
    sleeping = await connect(postgres)
    query = sleeping.execute("SELECT pg_sleep(600)")
    postgres.kill()
    query.close()
    sleeping.terminate()
    connection.terminate()
    postgres.start()
    connection = await connect(postgres)
    assert await connection.fetchval("SELECT value FROM kept") == 7
    await connection.close()


def test_a_stale_file_that_names_a_living_stranger_does_not_stop_a_start(postgres: PostgresHandle):
    file = postgres.settings.path("postgres", "data-18", "postmaster.pid")
    lines = file.read_text().splitlines()
    postgres.kill()
    file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    postgres.start()
    assert postgres.is_serving()


@pytest.mark.parametrize("paused", [False, True])
def test_a_server_that_a_killed_supervisor_left_behind_is_replaced(
    postgres: PostgresHandle, paused: bool
):
    if paused:
        postgres.pause()
    second = PostgresHandle(postgres.settings)
    assert [process.pid for process in second.leftovers()] == [postgres.pid]
    second.start()
    assert postgres.pid == 0
    assert second.is_serving()
    second.stop()
    assert second.leftovers() == []


def test_a_cluster_whose_making_was_cut_off_is_made_again():
    home = make_home()
    server = PostgresHandle(settings_for(home))
    half = server.settings.path("postgres", "data-18.new")
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    try:
        server.start()
        assert server.is_serving()
        assert not half.exists()
    finally:
        server.stop()
        remove_home(home)


def test_a_folder_of_another_version_is_left_alone(postgres: PostgresHandle):
    postgres.stop()
    postgres.settings.path("postgres", "data-18", "PG_VERSION").write_text("16\n")
    with pytest.raises(Corrupted, match="PG_VERSION says 16"):
        postgres.start()


def test_a_taken_port_is_named(postgres: PostgresHandle):
    home = make_home()
    ports = msgspec.structs.replace(settings_for(home), postgres=postgres.settings.postgres)
    with pytest.raises(Retryable, match="MTS_POSTGRES_PORT"):
        PostgresHandle(ports).start()
    remove_home(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a system user run the server")
def test_root_is_told_when_the_system_user_cannot_reach_the_folder(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(Rejected, match="chmod o"):
        PostgresHandle(settings_for(closed / "home")).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a system user run the server")
def test_root_does_not_run_the_server(postgres: PostgresHandle):
    process = servers.psutil.Process(postgres.pid)
    eventually_blocking(lambda: process.username() == "mts-postgres")
