"""With an authority in the settings every connection to NATS is encrypted and checked."""

import subprocess

import pytest
from certificates import authority, server_files
from support import eventually

from operations.adapters import wire
from operations.adapters.link import Access
from operations.adapters.ports import free_port
from operations.adapters.publisher import Publisher
from operations.config import Nats
from operations.errors import Retryable
from workers.nats_server import binary

pytestmark = pytest.mark.integration


@pytest.fixture
def server(tmp_path):
    """A NATS server that speaks TLS only; yields its address and the file of its authority."""
    key, issuer, file = authority(tmp_path, "authority")
    cert, private = server_files(tmp_path, key, issuer)
    port = free_port()
    configuration = tmp_path / "nats.conf"
    configuration.write_text(
        f'listen: "127.0.0.1:{port}"\n'
        f'jetstream {{ store_dir: "{tmp_path}/store" }}\n'
        f'tls {{ cert_file: "{cert}", key_file: "{private}" }}\n'
    )
    process = subprocess.Popen([binary(), "-c", configuration], stderr=subprocess.DEVNULL)
    yield f"tls://127.0.0.1:{port}", file
    process.kill()
    process.wait()


async def test_a_reader_and_a_publisher_connect_through_tls(server):
    url, file = server

    async def connect():
        return await wire.connect(Nats(url=url, ca_file=str(file)), "test")

    client = await eventually(connect)
    assert client.is_connected
    await client.request(
        "$JS.API.STREAM.CREATE.MTS", b'{"name":"MTS","subjects":["mts.v1.>"],"storage":"file"}'
    )
    async with Publisher(Access(url=url, ca_file=str(file))) as publisher:
        done = await publisher.publish_bytes("mts.v1.trading.test", b"{}", "one")
    assert (await done).sequence == 1
    await client.close()


async def test_a_server_with_a_certificate_of_somebody_else_is_refused(server, tmp_path):
    url, file = server
    client = await eventually(lambda: wire.connect(Nats(url=url, ca_file=str(file)), "test"))
    await client.close()
    _, _, stranger = authority(tmp_path, "stranger")
    with pytest.raises(Retryable, match="cannot connect to NATS"):
        await wire.connect(Nats(url=url, ca_file=str(stranger)), "test")
    with pytest.raises(Retryable):
        async with Publisher(Access(url=url, ca_file=str(stranger))):
            pass
