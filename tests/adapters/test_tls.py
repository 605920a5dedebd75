"""With an authority in the settings every connection to NATS is encrypted and checked."""

import datetime as dt
import ipaddress
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support import eventually

from operations.adapters import wire
from operations.adapters.link import Access
from operations.adapters.publisher import Publisher
from operations.config import Nats
from operations.errors import Retryable
from workers.nats_server import binary
from workers.servers import free_port

pytestmark = pytest.mark.integration
YEAR = dt.timedelta(days=365)
BEGAN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def authority(folder: Path, name: str):
    """Make a certificate authority; returns its key, its certificate and its file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = certificate(subject, key.public_key()).issuer_name(subject)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    usage = dict.fromkeys(
        (
            "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
            "key_agreement", "encipher_only", "decipher_only",
        ),
        False,
    )  # fmt: skip
    made = made.add_extension(
        x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True
    )
    made = made.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    )
    signed = made.sign(key, hashes.SHA256())
    file = folder / f"{name}.pem"
    file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return key, signed, file


def certificate(subject: x509.Name, public_key):
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGAN)
        .not_valid_after(BEGAN + 10 * YEAR)
    )


def server_files(folder: Path, issuer_key, issuer) -> tuple[Path, Path]:
    """Make the server's certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nats")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    signed = (
        certificate(subject, key.public_key())
        .issuer_name(issuer.subject)
        .add_extension(address, critical=False)
        .add_extension(identifier, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    files = folder / "server.pem", folder / "server.key"
    files[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


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
