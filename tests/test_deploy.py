"""Do compose.yaml and deploy/ run the fleet that the settings and the workers describe?"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml
from support import (
    PATIENCE_SECONDS,
    Database,
    PatientClient,
    PostgresHandle,
    eventually,
    make_home,
    remove_home,
    settings_for,
)

from operations.adapters import accounts, credentials
from operations.adapters.ports import free_port
from operations.cli import compose_secrets
from operations.config import Settings, catalogue
from workers import WORKERS, nats_server, servers

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")
HOME = "/var/lib/mts1b-operations"
KNOWN = {setting.variable: setting for setting in catalogue()}


@pytest.mark.unit
def test_there_is_one_service_per_worker_and_each_runs_its_worker():
    assert set(SERVICES) == {"nats", "postgres", "init", *WORKERS}
    for worker in WORKERS:
        assert SERVICES[worker]["command"] == [worker]
    assert SERVICES["init"]["command"] == ["init"]


@pytest.mark.unit
def test_variables_are_settings_and_their_defaults_are_the_settings_defaults():
    for name, default in VARIABLE.findall(TEXT):
        assert str(KNOWN[name].default) == default, name
    for service in ("init", *WORKERS):
        for name in SERVICES[service]["environment"]:
            assert name in KNOWN, f"{service} sets {name}, which no process reads"


@pytest.mark.unit
def test_images_come_from_the_settings():
    images = Settings().images
    defaults = {service: VARIABLE.findall(SERVICES[service]["image"]) for service in SERVICES}
    assert defaults["nats"] == [("MTS_IMAGES_NATS", images.nats)]
    assert defaults["postgres"] == [("MTS_IMAGES_POSTGRES", images.postgres)]
    for service in ("init", *WORKERS):
        assert defaults[service] == [("MTS_IMAGES_OPERATIONS", images.operations)]


@pytest.mark.unit
def test_each_worker_gets_only_its_own_secrets():
    for worker in WORKERS:
        role = credentials.WORKER_ROLES[worker]
        database = [f"postgres-{role}"] if role else []
        assert SERVICES[worker]["secrets"] == [f"nats-{worker}", *database]
    nats = [f"nats-{user.name}" for user in accounts.USERS]
    assert SERVICES["nats"]["secrets"] == nats
    assert set(COMPOSE["secrets"]) == {*compose_secrets.names(), "pgpass"}
    signing = [name for name in SERVICES if "signing:" in str(SERVICES[name].get("volumes"))]
    assert signing == ["init", "checkpoint"]


@pytest.mark.unit
def test_no_secret_stands_in_what_is_deployed():
    for file in (ROOT / "compose.yaml", *(ROOT / "deploy").glob("*.*"), ROOT / "deploy/Dockerfile"):
        for line in file.read_text().splitlines():
            assert not re.search(r"(?i)password[\"']?\s*[:=]\s*[\"']?[a-z0-9]{6,}", line), line
            assert not re.search(r"://\w+:\w+@", line), line


@pytest.mark.unit
def test_the_image_is_made_from_the_hashed_lock_file():
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    assert "--require-hashes -r requirements.lock" in text
    assert 'ENTRYPOINT ["python", "-P", "-m", "workers"]' in text


@pytest.mark.unit
def test_compose_secrets_are_made_once_and_for_their_owner_only(tmp_path):
    folder = tmp_path / "secrets"
    compose_secrets.write(folder)
    before = {file.name: file.read_text() for file in folder.iterdir()}
    compose_secrets.write(folder)
    assert {file.name: file.read_text() for file in folder.iterdir()} == before
    assert set(before) == set(COMPOSE["secrets"])
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    for secret, place in COMPOSE["secrets"].items():
        assert place == {"file": f"./deploy/secrets/{secret}"}


class Deployed:
    """The services of compose.yaml as processes: their own commands and variables, local places."""

    def __init__(self, home: Path) -> None:
        self.settings = settings_for(home)
        self.postgres = PostgresHandle(self.settings)
        self._home = home
        self._processes: list[psutil.Popen] = []
        self.http = {worker: free_port() for worker in WORKERS}

    def start_servers(self) -> None:
        compose_secrets.write(self._home / "secrets")
        self.postgres.start()
        nats = self.settings.nats
        text = (ROOT / "deploy" / "nats.conf").read_text()
        for before, after in (
            ("0.0.0.0:4222", f"127.0.0.1:{nats.port}"),
            ("0.0.0.0:8222", f"127.0.0.1:{nats.monitor_port}"),
            ("/data/jetstream", str(self._home / "jetstream")),
        ):
            assert before in text
            text = text.replace(before, after)
        (self._home / "nats.conf").write_text(text)
        passwords = {
            user.variable: (self._home / "secrets" / f"nats-{user.name}").read_text().strip()
            for user in accounts.USERS
        }
        self._run([str(nats_server.binary()), "-c", str(self._home / "nats.conf")], passwords)
        monitor = nats_server.NatsServer(self.settings)
        assert servers.wait_until(monitor.is_serving, lambda: True, PATIENCE_SECONDS)

    def environment(self, service: str) -> dict[str, str]:
        nats = self.settings.nats
        places = {
            "nats:4222": f"127.0.0.1:{nats.port}",
            "nats:8222": f"127.0.0.1:{nats.monitor_port}",
            "postgres:5432": f"127.0.0.1:{self.settings.postgres.port}",
            "/run/secrets": str(self._home / "secrets"),
            HOME: str(self._home),
            "0.0.0.0": "127.0.0.1",
        }
        variables = {}
        for name, value in SERVICES[service]["environment"].items():
            text = VARIABLE.sub(r"\2", str(value))
            for before, after in places.items():
                text = text.replace(before, after)
            variables[name] = text
        return variables | {"MTS_HTTP_PORT": str(self.http.get(service, 0))}

    def start(self, service: str) -> psutil.Popen:
        command = [sys.executable, "-P", "-m", "workers", *SERVICES[service]["command"]]
        return self._run(command, self.environment(service), self._home / f"{service}.log")

    def _run(
        self, command: list[str], environment: dict[str, str], output: Path = Path(os.devnull)
    ) -> psutil.Popen:
        with output.open("ab") as log:
            process = psutil.Popen(command, env=environment, stdout=log, start_new_session=True)
        self._processes.append(process)
        return process

    def is_healthy(self, worker: str) -> bool:
        """Run the health check of a service as compose does."""
        program = SERVICES[worker]["healthcheck"]["test"][3]
        program = program.replace("18300", str(self.http[worker]))
        ran = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
        said = (self._home / f"{worker}.log").read_text()[-2000:]
        assert ran.returncode == 0, f"{ran.stderr.decode()[-200:]}\n{said}"
        return True

    def has_its_keys(self, worker: str) -> bool:
        names = ("MTS_SERVICE_KEY_FILE", "MTS_NATS_PASSWORD_FILE", "MTS_POSTGRES_PASSWORD_FILE")
        environment = self.environment(worker)
        return all(Path(environment[name]).is_file() for name in names if name in environment)

    def stop(self) -> None:
        for process in reversed(self._processes):
            servers.stop_process(process, ((signal.SIGTERM, 10.0),))
        self.postgres.stop()


@pytest.fixture
def deployed():
    home = make_home()
    made = Deployed(home)
    try:
        made.start_servers()
        yield made
    finally:
        made.stop()
        remove_home(home)


@pytest.mark.integration
async def test_the_services_with_their_own_variables_are_a_fleet(deployed):
    assert deployed.start("init").wait(PATIENCE_SECONDS) == 0
    assert deployed.start("init").wait(PATIENCE_SECONDS) == 0  # safe to repeat
    for worker in WORKERS:
        assert deployed.has_its_keys(worker)
        deployed.start(worker)
    client = PatientClient()
    await client.connect(
        f"nats://127.0.0.1:{deployed.settings.nats.port}",
        user="publisher",
        password=(deployed.settings.path("secrets", "nats-publisher")).read_text().strip(),
        inbox_prefix=accounts.inbox("publisher").encode(),
    )
    await client.jetstream().publish("mts.v1.trading.order.submitted", b"{}")
    await client.close()
    connection = await Database(deployed.settings).connect()

    async def everything_arrived() -> bool:
        signed = await connection.fetchval("SELECT max(size) FROM audit.checkpoint")
        # The event and the genesis; the watchdogs write minutes beside them.
        return signed == await connection.fetchval("SELECT count(*) FROM audit.event") >= 2

    await eventually(everything_arrived, "the event is sealed, signed and projected")
    await connection.close()
    for worker in WORKERS:
        await eventually(lambda worker=worker: deployed.is_healthy(worker), f"{worker} is healthy")
