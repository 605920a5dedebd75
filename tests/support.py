"""What tests share: real servers with handles to hurt them, and waiting without sleeping blindly.

`eventually` polls a check until it holds, so that no test depends on how fast a machine is.
"""

import asyncio
import inspect
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import msgspec
import psutil
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from operations.adapters import accounts, credentials, fleet_files, provision
from operations.adapters.ports import free_port, free_ports
from operations.cli.fleet import ask
from operations.config import Nats, Postgres, Settings, subprocess_environment
from operations.process_settings import Http, Log
from workers import WORKERS
from workers.nats_server import NatsServer
from workers.postgres_server import PostgresServer
from workers.servers import running_with

T = TypeVar("T")
POLL_SECONDS = 0.02
ANSWER_SECONDS = 30.0  # for one answer of a server; who needs it asks again
PATIENCE_SECONDS = 200.0  # more than any busy machine needs; costs nothing when all is well
HOMES = Path("/var/tmp")  # a place that survives a restart is a place that needs sweeping
HOME_PREFIX = "mts-test-"
OWNER = "owner.pid"


async def eventually(check: Callable[[], T | Awaitable[T]], message: str = "it") -> T:
    """Await until the check returns something true and does not raise; return that.

    Fails with the last error or value when the time is over.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        last: object
        try:
            result = check()
            if inspect.isawaitable(result):
                result = await result
            if result:
                return result
            last = result
        except Exception as error:  # noqa: BLE001 (a check may fail in any way until it holds)
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{message} did not come true in {PATIENCE_SECONDS} s: {last!r}")
        await asyncio.sleep(POLL_SECONDS)


def eventually_blocking(check: Callable[[], T], message: str = "it") -> T:
    """Do the same in a test without an event loop."""
    return run_blocking(eventually(check, message))


def run_blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop of its own, also while another loop runs here."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, work).result()


def make_home() -> Path:
    """Make a data folder that the system user of Postgres reaches when tests run as root."""
    home = Path(tempfile.mkdtemp(prefix=HOME_PREFIX, dir=HOMES))
    home.chmod(0o755)
    (home / OWNER).write_text(str(os.getpid()))
    return home


def sweep_homes() -> None:
    """Stop servers and remove folders of test sessions that were killed before they could."""
    for home in HOMES.glob(f"{HOME_PREFIX}*"):
        try:
            owner = int((home / OWNER).read_text())
        except (OSError, ValueError):
            continue
        if not psutil.pid_exists(owner):
            kill_all(processes_of(home))
            remove_home(home)


def processes_of(home: Path) -> list[psutil.Process]:
    """Every process of a data folder, known by its command line, its folder or its settings."""
    folder = str(home)

    def matches(process: psutil.Process) -> bool:
        return (
            any(folder in word for word in process.cmdline())
            or process.cwd().startswith(folder)
            or process.environ().get("MTS_HOME") == folder
        )

    return running_with(matches)


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """Kill processes, of which some may end because others did."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def remove_home(home: Path) -> None:
    """Remove a data folder, whoever owns what is in it."""
    shutil.rmtree(home, ignore_errors=True)


def settings_for(home: Path, **sections: Any) -> Settings:
    """Return settings of servers on free ports below a folder."""
    return Settings(
        home=str(home),
        nats=Nats(port=free_port(), monitor_port=free_port()),
        postgres=Postgres(port=free_port()),
        http=Http(port=free_ports(1 + len(WORKERS))),
        log=Log(level="debug"),
        **sections,
    )


class PatientClient(Client):
    """A client of nats-py that waits for answers as long as a busy machine takes to give them."""

    async def request(self, subject: str, payload: bytes = b"", *more: Any, **named: Any) -> Msg:
        if not more:
            named = {"timeout": ANSWER_SECONDS} | named
        return await super().request(subject, payload, *more, **named)

    def jetstream(self, **options: Any) -> JetStreamContext:
        return super().jetstream(**({"timeout": ANSWER_SECONDS} | options))


class NatsHandle(NatsServer):
    """A real NATS server with our accounts and the stream, and ways to hurt it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.settings = settings

    def start(self) -> None:
        super().start()
        run_blocking(provision.provision_stream(self.settings))

    @property
    def url(self) -> str:
        return self.address

    def restart(self) -> None:
        """Stop in order and start again on the same folder."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """Kill -9; `start()` brings it back on the same folder."""
        assert self._process
        self._process.kill()
        self._process.wait()
        self._process = None

    def pause(self) -> None:
        """SIGSTOP: the server is there and says nothing."""
        assert self._process
        self._process.suspend()

    def resume(self) -> None:
        assert self._process
        self._process.resume()

    def password(self, user: str) -> str:
        return credentials.ensure_secret(credentials.nats_secret_file(self.settings, user))

    async def connect(self, user: str = accounts.ADMIN, **options: Any) -> Client:
        """Connect with nats-py as a user of accounts.py, with that user's inbox prefix."""
        client = PatientClient()
        await client.connect(
            self.url,
            user=user,
            password=self.password(user),
            inbox_prefix=accounts.inbox(user).encode(),
            **({"connect_timeout": ANSWER_SECONDS} | options),
        )
        return client


class PostgresHandle(PostgresServer):
    """A real Postgres, and ways to hurt it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.settings = settings

    def restart(self) -> None:
        self.stop()
        self.start()

    def kill(self) -> None:
        """Kill -9 of the postmaster; `start()` brings it back on the same folder."""
        assert self._process
        self._process.kill()
        self._process.wait()
        self._process = None

    def pause(self) -> None:
        """SIGSTOP of the postmaster: new connections hang, existing ones go on."""
        assert self._process
        self._process.suspend()

    def resume(self) -> None:
        assert self._process
        self._process.resume()


class Fleet:
    """A whole fleet below a folder of its own, run by the commands that people use."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.more: dict[str, str] = {}  # settings beyond folder and ports

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to mean this fleet."""
        return subprocess_environment(
            {
                "MTS_HOME": self.settings.home,
                "MTS_NATS_PORT": str(self.settings.nats.port),
                "MTS_NATS_MONITOR_PORT": str(self.settings.nats.monitor_port),
                "MTS_POSTGRES_PORT": str(self.settings.postgres.port),
                "MTS_HTTP_PORT": str(self.settings.http.port),
                **self.more,
            }
        )

    def mts(self, *arguments: str, code: int | None = 0) -> str:
        """Run `mts` with arguments; returns what it said, fails on another exit code."""
        program = Path(sys.executable).with_name("mts")
        result = subprocess.run(
            [program, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        said = result.stdout + result.stderr
        assert code in (None, result.returncode), f"exit code {result.returncode}:\n{said}"
        return said

    def status(self) -> dict[str, Any]:
        """What the supervisor says about every part."""
        return ask(self.settings)

    def pid(self, part: str) -> int:
        """Process id of a part, or of the supervisor for `fleet`; 0 when it does not run."""
        if part == "fleet":
            running = fleet_files.holder(self.settings)
            return running.pid if running else 0
        condition = self.status()["conditions"].get(part, {})
        found = re.match(r"process (\d+)", condition.get("detail", ""))
        return int(found.group(1)) if found else 0

    def processes(self) -> list[psutil.Process]:
        """Every process of this fleet."""
        return processes_of(Path(self.settings.home))

    def end(self) -> None:
        """Stop it however it is, so that nothing of a failed test stays."""
        if self.processes():
            self.mts("stop", "--seconds", "20", code=None)
        kill_all(self.processes())


class Database:
    """One migrated database of the session's Postgres."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.name = settings.postgres.database

    @property
    def admin_dsn(self) -> str:
        """Address as superuser: who tampers uses this."""
        return credentials.admin_dsn(self.settings)

    def dsn(self, role: str) -> str:
        """Address as one of mts_sealer, mts_signer, mts_projector, mts_reader."""
        return credentials.role_dsn(self.settings, role)

    async def connect(self, role: str = "") -> asyncpg.Connection:
        """Connect as a role, or as superuser without one."""
        return await asyncpg.connect(self.dsn(role) if role else self.admin_dsn)


class Servers:
    """The session's NATS and Postgres on one data folder; tests may use them, not hurt them."""

    TEMPLATE = "mts_test_template"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.nats = NatsHandle(settings)
        self.postgres = PostgresHandle(settings)
        self._databases = 0

    def start(self) -> None:
        self.postgres.start()
        self.nats.start()
        run_blocking(provision.provision_database(self._named(self.TEMPLATE)))

    def stop(self) -> None:
        self.nats.stop()
        self.postgres.stop()

    def new_database(self) -> Database:
        """Make a fresh migrated database by copying the template."""
        self._databases += 1
        database = Database(self._named(f"mts_test_{self._databases}"))
        run_blocking(self._copy(database.name))
        return database

    def drop_database(self, database: Database) -> None:
        run_blocking(self._drop(database.name))

    def _named(self, name: str) -> Settings:
        postgres = msgspec.structs.replace(self.settings.postgres, database=name)
        return msgspec.structs.replace(self.settings, postgres=postgres)

    async def _copy(self, name: str) -> None:
        server = await asyncpg.connect(credentials.admin_dsn(self.settings, "postgres"))
        try:
            await server.execute(f"CREATE DATABASE {name} TEMPLATE {self.TEMPLATE}")
            await provision.grant_connect(server, name)
        finally:
            await server.close()

    async def _drop(self, name: str) -> None:
        server = await asyncpg.connect(credentials.admin_dsn(self.settings, "postgres"))
        try:
            await server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        finally:
            await server.close()
