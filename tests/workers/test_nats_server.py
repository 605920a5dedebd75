"""Is the embedded NATS server never trusted without proof, and replaced when it was left behind?"""

import json
import subprocess

import psutil
import pytest
from support import NatsHandle, eventually_blocking

from operations.adapters.ports import free_port
from operations.adapters.provision import prove_durable_writes
from operations.errors import Rejected, Retryable
from workers.nats_server import binary

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("paused", [False, True])
def test_a_server_that_a_killed_supervisor_left_behind_is_replaced(nats_server, paused):
    if paused:
        nats_server.pause()
    second = NatsHandle(nats_server.settings)
    assert [process.pid for process in second.leftovers()] == [nats_server.pid]
    second.start()
    assert nats_server.pid == 0
    assert second.is_serving()
    second.stop()
    assert second.leftovers() == []


def test_a_server_that_acknowledges_before_it_writes_is_refused(tmp_path):
    port, monitor = free_port(), free_port()
    config = tmp_path / "careless.conf"
    config.write_text(
        f'listen: "127.0.0.1:{port}"\nhttp: "127.0.0.1:{monitor}"\n'
        f"jetstream {{ store_dir: {json.dumps(str(tmp_path))}, sync_interval: 10s }}\n"
    )
    url = f"http://127.0.0.1:{monitor}"
    with pytest.raises(Retryable, match="does not answer"):
        prove_durable_writes(url)
    quiet = subprocess.DEVNULL
    with psutil.Popen([binary(), "-c", config], stdout=quiet, stderr=quiet) as process:

        def refused() -> bool:
            with pytest.raises(Rejected, match="sync_interval: always"):
                prove_durable_writes(url)
            return True

        eventually_blocking(refused)
        process.terminate()


def test_passwords_lie_in_a_file_that_only_its_owner_reads(nats_server: NatsHandle):
    config = nats_server.settings.path("nats", "nats.conf")
    assert config.stat().st_mode & 0o777 == 0o600
    assert config.parent.stat().st_mode & 0o777 == 0o700
    assert nats_server.password("audit") in config.read_text()
