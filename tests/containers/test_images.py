"""Do the images named in the settings carry a log from end to end?

Runs where a Docker engine answers. `MTS_IMAGES_*` name the images, so local ones do as well. All
containers share the host's network: what is tested are the images, not a bridge.
"""

import os
import subprocess
from pathlib import Path

import pytest
from nats.aio.client import Client
from support import PATIENCE_SECONDS, Database, eventually, make_home, remove_home, settings_for

from operations import config
from operations.adapters import accounts, credentials, provision
from operations.adapters.ports import free_port
from operations.cli import compose_secrets
from workers import WORKERS
from workers.nats_server import NatsServer

pytestmark = pytest.mark.containers
ROOT = Path(__file__).resolve().parents[2]
IMAGES = config.load(
    {name: value for name, value in os.environ.items() if name.startswith("MTS_IMAGES_")}  # noqa: TID251
).images


@pytest.fixture(scope="module")
def engine():
    """Skip, with the reason, where no engine answers or an image is not there."""
    place = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")  # noqa: TID251
    if place.startswith("unix://") and not Path(place.removeprefix("unix://")).exists():
        pytest.skip(f"no Docker engine answers: there is no {place}")
    docker = pytest.importorskip("docker")
    try:
        client = docker.from_env(timeout=10)
        client.ping()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")
    try:
        for image in (IMAGES.nats, IMAGES.postgres, IMAGES.operations):
            client.images.get(image)
    except docker.errors.ImageNotFound as error:
        client.close()
        pytest.skip(f"an image is missing, pull or build it: {error.explanation}")
    yield client
    client.close()


class Containers:
    """NATS, Postgres, init and the workers as containers on the host's network."""

    def __init__(self, home: Path) -> None:
        from testcontainers.core.container import DockerContainer

        self._make = DockerContainer
        self.settings = settings_for(home)
        self._home = home
        self._running = []
        compose_secrets.write(home / "secrets")

    def run(self, image: str, command: str, environment: dict[str, str], entrypoint: str = ""):
        container = self._make(image).with_kwargs(
            network_mode="host", entrypoint=entrypoint or None
        )
        container = container.with_volume_mapping(str(self._home), str(self._home), "rw")
        for name, value in environment.items():
            container = container.with_env(name, value)
        container.with_command(command).start()
        self._running.append(container)
        return container.get_wrapped_container()

    def secret(self, name: str) -> str:
        return (self._home / "secrets" / name).read_text().strip()

    def start_nats(self) -> None:
        nats, users = self.settings.nats, accounts.USERS
        text = accounts.deployed_configuration().replace("/data/jetstream", f"{self._home}/js")
        text = text.replace("0.0.0.0:4222", f"127.0.0.1:{nats.port}")
        text = text.replace("0.0.0.0:8222", f"127.0.0.1:{nats.monitor_port}")
        (self._home / "nats.conf").write_text(text)
        passwords = {user.variable: self.secret(f"nats-{user.name}") for user in users}
        self.run(IMAGES.nats, f"nats-server -c {self._home}/nats.conf", passwords, "/usr/bin/env")

    def start_postgres(self) -> None:
        self.run(
            IMAGES.postgres,
            f"-p {self.settings.postgres.port} -c listen_addresses=127.0.0.1",
            {
                "POSTGRES_USER": credentials.SUPERUSER,
                "POSTGRES_PASSWORD": self.secret(f"postgres-{credentials.SUPERUSER}"),
                "POSTGRES_DB": "postgres",
                "POSTGRES_INITDB_ARGS": "--data-checksums --auth-host=scram-sha-256",
            },
        )

    def environment(self, worker: str) -> dict[str, str]:
        if worker != "init":
            return credentials.worker_environment(self.settings, worker, free_port())
        nats = self.settings.nats
        return {
            "MTS_HOME": str(self._home),
            "MTS_NATS_URL": f"nats://127.0.0.1:{nats.port}",
            "MTS_NATS_MONITOR_URL": f"http://127.0.0.1:{nats.monitor_port}",
            "MTS_POSTGRES_ADMIN_DSN": credentials.admin_dsn(self.settings),
        }

    def stop(self) -> None:
        for container in reversed(self._running):
            container.stop()


@pytest.fixture
def containers(engine):
    home = make_home()
    made = Containers(home)
    try:
        yield made
    finally:
        made.stop()
        remove_home(home)
        subprocess.run(["rm", "-rf", str(home)], check=False)


async def test_the_images_carry_a_log_from_end_to_end(containers):
    containers.start_nats()
    containers.start_postgres()
    await eventually(NatsServer(containers.settings).is_serving, "NATS serves")
    await eventually(lambda: can_connect(containers), "Postgres answers")
    init = containers.run(IMAGES.operations, "init", containers.environment("init"))
    assert init.wait(timeout=PATIENCE_SECONDS)["StatusCode"] == 0, init.logs().decode()
    for worker in WORKERS:
        containers.run(IMAGES.operations, worker, containers.environment(worker))
    client = Client()
    await client.connect(
        f"nats://127.0.0.1:{containers.settings.nats.port}",
        user="publisher",
        password=containers.secret("nats-publisher"),
        inbox_prefix=accounts.inbox("publisher").encode(),
    )
    await client.jetstream().publish("mts.v1.trading.order.submitted", b"{}")
    await client.close()
    connection = await Database(containers.settings).connect()

    async def everything_arrived() -> bool:
        signed = await connection.fetchval("SELECT max(size) FROM audit.checkpoint")
        return signed == await connection.fetchval("SELECT count(*) FROM audit.event") == 2

    await eventually(everything_arrived, "the event is sealed, signed and projected")
    await connection.close()


async def can_connect(containers: Containers) -> bool:
    connection = await provision._connect(credentials.admin_dsn(containers.settings, "postgres"))
    await connection.close()
    return True
