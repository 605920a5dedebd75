"""Do the commands of people start, show and stop a real fleet, whatever died before?"""

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import asyncpg
import psutil
import pytest
from support import (
    PATIENCE_SECONDS,
    Fleet,
    NatsHandle,
    PatientClient,
    Servers,
    eventually_blocking,
    kill_all,
    make_home,
    remove_home,
    run_blocking,
    settings_for,
)

from operations.adapters import credentials, fleet_files
from workers import WORKERS

pytestmark = pytest.mark.integration


def exports(fleet: Fleet, role: str) -> dict[str, str]:
    """What a shell has after evaluating `mts env`."""
    names = "MTS_NATS_URL MTS_NATS_USER MTS_NATS_PASSWORD MTS_POSTGRES_DSN MTS_AUDIT_ORIGIN"
    show = "".join(f'printf "%s\\n" "{name}=${name}";' for name in names.split())
    result = subprocess.run(
        ["sh", "-c", f"{fleet.mts('env', '--role', role)}\n{show}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in result.stdout.splitlines())


async def publish(variables: dict[str, str], subject: str) -> int:
    user = variables["MTS_NATS_USER"]
    client = PatientClient()
    await client.connect(
        variables["MTS_NATS_URL"],
        user=user,
        password=variables["MTS_NATS_PASSWORD"],
        inbox_prefix=f"_INBOX_{user}".encode(),
    )
    answer = await client.jetstream().publish(subject, b"{}")
    await client.close()
    return answer.seq


async def log_size(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval("SELECT size FROM audit.head")
    finally:
        await connection.close()


def test_a_fleet_starts_says_what_it_is_and_stops(fleet: Fleet):
    assert "is not running." in fleet.mts("check", code=1)
    assert "is not running." in fleet.mts("status", code=1)
    assert "run `mts start` first" in fleet.mts("env", "--role", "auditor", code=1)

    fleet.mts("start")
    assert "is already running, process" in fleet.mts("start")
    assert "is running, process" in fleet.mts("check")
    page = json.loads(fleet.mts("status", "--output", "json"))
    assert page["ready"]
    assert set(page["conditions"]) == {"nats", "postgres", *WORKERS}
    again = subprocess.run(
        [sys.executable, "-m", "workers", "up"],
        env=fleet.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (again.returncode, "already running" in again.stderr) == (1, True)

    assert "MTS_POSTGRES_DSN" not in fleet.mts("env", "--role", "publisher")
    assert "MTS_POSTGRES_DSN" not in fleet.mts("env", "--role", "oms")
    sequence = run_blocking(publish(exports(fleet, "publisher"), "mts.v1.trading.order.filled"))
    reader = exports(fleet, "auditor")["MTS_POSTGRES_DSN"]
    # The genesis entry comes first, so the log is one longer than the stream.
    # The genesis and the event; the watchdogs write minutes beside them.
    eventually_blocking(lambda: run_blocking(log_size(reader)) >= sequence + 1)

    lines = json.loads(fleet.mts("doctor", "--output", "json"))
    assert {"NATS", "Postgres", "parts", "rights"} <= {line["what"] for line in lines}

    fleet.mts("stop")
    assert "is not running." in fleet.mts("check", code=1)
    assert fleet.processes() == []
    assert "is not running." in fleet.mts("stop")


@pytest.fixture(scope="module")
def running() -> Iterator[Fleet]:
    """A fleet that runs for the tests that leave it running."""
    home = make_home()
    one = Fleet(settings_for(home))
    try:
        one.mts("start")
        yield one
    finally:
        one.end()
        remove_home(home)


def test_every_process_holds_only_its_own_credentials(running: Fleet):
    fleet = running
    folder = fleet.settings.path("secrets")
    secrets = {file.name: file.read_text().strip() for file in folder.iterdir()}
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in folder.iterdir())
    for worker in WORKERS:
        role = credentials.WORKER_ROLES[worker]
        values = " ".join(psutil.Process(fleet.pid(worker)).environ().values())
        known = {name for name, secret in secrets.items() if secret in values}
        assert known == {f"nats-{worker}"} | ({f"postgres-{role}"} if role else set())
    for process in fleet.processes():
        assert not any(secret in " ".join(process.cmdline()) for secret in secrets.values())


def test_what_dies_is_started_again(running: Fleet):
    fleet = running
    for part in ("nats", "postgres", *WORKERS):
        before = fleet.pid(part)
        psutil.Process(before).kill()
        eventually_blocking(
            lambda before=before, part=part: (
                fleet.status()["ready"] and fleet.pid(part) not in (0, before)
            ),
            message=f"{part} is back",
        )


def test_a_new_fleet_takes_over_what_a_killed_one_left_behind(fleet: Fleet):
    fleet.mts("start")
    sequence = run_blocking(publish(exports(fleet, "publisher"), "mts.v1.trading.order.filled"))
    psutil.Process(fleet.pid("fleet")).kill()
    assert "is not running." in fleet.mts("check", code=1)
    fleet.mts("start")
    reader = exports(fleet, "auditor")["MTS_POSTGRES_DSN"]
    # The genesis and the event; the watchdogs write minutes beside them.
    eventually_blocking(lambda: run_blocking(log_size(reader)) >= sequence + 1)
    before = run_blocking(log_size(reader))

    kill_all(fleet.processes())
    fleet.mts("start")
    assert run_blocking(log_size(reader)) >= before

    psutil.Process(fleet.pid("fleet")).kill()
    fleet.mts("stop")
    assert fleet.processes() == []


def test_a_supervisor_that_does_not_stop_is_killed_and_the_newest_log_says_so(fleet: Fleet):
    fleet.mts("start")
    assert "was killed by mts stop" in fleet.mts("stop", "--seconds", "0")
    log = fleet_files.newest_log(fleet.settings)
    assert "was killed by mts stop" in log.read_text()
    assert fleet.processes() == []


def test_a_taken_port_is_named_with_the_setting_to_change(fleet: Fleet):
    with socket.create_server(("127.0.0.1", fleet.settings.postgres.port)):
        said = fleet.mts("start", code=1)
        assert "MTS_POSTGRES_PORT" in said
        assert "did not start" in said
        assert "MTS_POSTGRES_PORT" in fleet.mts("doctor", code=1)
    assert fleet.processes() == []


def test_ctrl_c_stops_a_fleet_in_the_foreground_in_order(fleet: Fleet):
    with subprocess.Popen(
        [sys.executable, "-m", "workers", "up"],
        env=fleet.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        eventually_blocking(lambda: fleet.status()["ready"])
        process.send_signal(signal.SIGINT)
        said = process.stdout.read()
        assert process.wait(PATIENCE_SECONDS) == 0
    order = [said.index(f"stopping {part}") for part in ("the workers", "postgres", "nats")]
    assert order == sorted(order)
    assert "all parts are ready" in said
    assert fleet.processes() == []


def test_secrets_that_others_may_read_are_found(fleet: Fleet):
    file = fleet.settings.path("secrets", "nats-admin")
    credentials.private_folder(file.parent)
    credentials.ensure_secret(file)
    file.chmod(0o644)
    assert "others may read" in fleet.mts("doctor", "--output", "json", code=1)
    assert "chmod 600" in fleet.mts("start", code=1)


def test_a_fleet_uses_servers_that_somebody_else_runs(
    fleet: Fleet, nats_server: NatsHandle, servers: Servers
):
    secrets = credentials.private_folder(fleet.settings.path("secrets"))
    for source, pattern in ((nats_server, "nats-*"), (servers, "postgres-*")):
        for file in source.settings.path("secrets").glob(pattern):
            shutil.copy(file, secrets)
    fleet.more = {
        "MTS_NATS_URL": nats_server.url,
        "MTS_NATS_MONITOR_URL": nats_server.monitor_url,
        "MTS_NATS_ADMIN_PASSWORD_FILE": str(secrets / "nats-admin"),
        "MTS_POSTGRES_ADMIN_DSN": credentials.admin_dsn(servers.settings, "mts"),
        "MTS_POSTGRES_DATABASE": "mts_external",
    }
    fleet.mts("start")
    sequence = run_blocking(publish(exports(fleet, "publisher"), "mts.v1.trading.order.filled"))
    reader = exports(fleet, "auditor")["MTS_POSTGRES_DSN"]
    assert "mts_external" in reader
    # The genesis and the event; the watchdogs write minutes beside them.
    eventually_blocking(lambda: run_blocking(log_size(reader)) >= sequence + 1)
    page = fleet.status()["conditions"]
    assert page["nats"]["detail"] == f"external, {nats_server.url}"
    assert credentials.read_secret(secrets / "postgres-mts_admin") not in str(page)
    assert not {process.name() for process in fleet.processes()} & {"nats-server", "postgres"}
    fleet.mts("stop")
    assert nats_server.is_serving()
    assert servers.postgres.is_serving()
